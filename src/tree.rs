//! The parsed configuration, before any module reads it: our own parameters are taken off
//! mod_proxy's lines and stand in lines of their own ([`crate::directives::PARAMS`]), and the old
//! directives become mod_proxy's. Works in whatever order the modules were loaded.
//!
//! A line that is wrong becomes `AthError`, so that httpd reports it at its own file and line.

use std::borrow::Cow;
use std::collections::BTreeSet;

use athena_engine::config::line::{Line, check, take};
use athena_engine::config::mark;
use athena_engine::config::rewrite::{self, Plain, RewriteError};
use athena_engine::config::target::{self, Target, balancer_name, rule_proxies};
use athena_engine::config::words;

pub use self::nodes::last_value;
use self::nodes::{each, to_str};
use self::servers::{Server, is_on};
use crate::naming::text;
use crate::{directives, ffi, heartbeat, pool, provider};

mod nodes;
mod servers;
mod sockets;

type Node = ffi::ap_directive_t;

/// Where a list of lines stands: the main server, or a virtual host's section.
type ServerId = usize;

/// A farm has one rule, and its members one state, whoever inherits it. (Besides, mod_proxy's merge reads
/// a `failonstatus` that the main server may not have.)
const ONE_FOR_ALL: [&str; 3] = ["lbmethod", "failonstatus", "failontimeout"];

/// What the walk found that only makes sense once all servers are known.
#[derive(Default)]
pub struct Findings {
    /// What there is to say of farms without a member.
    pub empty: BTreeSet<String>,
    /// Some `ProxyPassReverse` line is marked ([`mark`]).
    pub marked: bool,
    /// Targets that look like a farm and name none, as texts for the log.
    pub strangers: Vec<String>,
    /// Targets in which a request can make another host's name of a farm's, as texts for the log.
    pub open_ended: Vec<String>,
}

/// What surrounds a line.
#[derive(Clone, Default)]
struct Around {
    server: ServerId,
    /// The name of the `<Proxy>` section.
    proxy: Option<String>,
    /// The name of the `<Location>` section.
    location: Option<String>,
}

/// Rewrites the tree of this configuration pass.
///
/// # Safety
/// Called from pre_config with httpd's own tree and the configuration's pool, in one thread.
pub unsafe fn rewrite(pool: *mut ffi::apr_pool_t, root: *mut *mut Node) -> Findings {
    let mut walk = Walk {
        pool,
        servers: Vec::new(),
        findings: Findings::default(),
        sets: Vec::new(),
        engine: false,
    };
    // SAFETY: the caller's promise; every node reached is httpd's or made in the same pool.
    unsafe {
        walk.collect(root);
        walk.engine = engine_is_on(*root);
        walk.refuse_hidden_members();
        walk.list_empty_farms();
        if walk.engine {
            walk.refuse_shared_hosts();
        }
        for server in 0..walk.servers.len() {
            if let Some(head) = walk.servers.get(server).map(|server| server.head) {
                walk.lines(
                    head,
                    &Around {
                        server,
                        ..Around::default()
                    },
                );
            }
        }
        walk.append_sets();
    }
    walk.findings
}

/// Parameters that a line gives a balancer.
struct Set {
    server: ServerId,
    farm: String,
    params: String,
    /// In this server the balancer is one that its own line makes, as `ProxyPass balancer://FARM` would.
    made: bool,
    origin: *mut Node,
}

struct Walk {
    pool: *mut ffi::apr_pool_t,
    servers: Vec<Server>,
    findings: Findings,
    /// What to append to servers' lists: mod_proxy sets only what is defined by then.
    sets: Vec<Set>,
    /// `AthEngine On`: every farm is ours.
    engine: bool,
}

impl Walk {
    /// Turns the old directives of a server's list into mod_proxy's lines; the farms they declare.
    unsafe fn modernise(&self, head: *mut *mut Node) -> BTreeSet<String> {
        let mut declared = BTreeSet::new();
        // SAFETY: the tree's own links.
        unsafe {
            let mut node = *head;
            while !node.is_null() {
                let next = (*node).next;
                let name = text((*node).directive);
                let args = text((*node).args);
                let lines = match name.to_ascii_lowercase().as_str() {
                    "athfarm" => Some(self.ath_farm(&name, &args)),
                    "lbservercluster" => Some(said(rewrite::lb_server_cluster(&args))),
                    "lbproxypass" => Some(said(rewrite::lb_proxy_pass(&args))),
                    _ => None,
                };
                match lines {
                    Some(Ok(mut lines)) => {
                        if !name.eq_ignore_ascii_case("lbproxypass")
                            && let Some(farm) = words::split(&args).next()
                        {
                            let farm = farm.to_ascii_lowercase();
                            lines.push(Plain {
                                name: to_str(directives::DECLARED),
                                args: words::quote(&farm),
                                children: Vec::new(),
                            });
                            declared.insert(farm);
                        }
                        self.replace(node, lines);
                    }
                    Some(Err(error)) => self.refuse(node, &error),
                    None => {}
                }
                node = next;
            }
        }
        declared
    }

    unsafe fn ath_farm(&self, shown: &str, args: &str) -> Result<Vec<Plain>, String> {
        let params: Vec<_> = words::split(args).filter_map(pair).collect();
        // SAFETY: as `modernise`.
        match unsafe { self.unknown_method(shown, &params) } {
            Some(error) => Err(error),
            None => said(rewrite::ath_farm(args)),
        }
    }

    /// Takes our parameters off the lines of a list and of the sections in it.
    unsafe fn lines(&mut self, head: *mut *mut Node, around: &Around) {
        // SAFETY: as `modernise`.
        unsafe {
            let mut node = *head;
            while !node.is_null() {
                // What is inserted behind this line is not looked at again.
                let next = (*node).next;
                let name = text((*node).directive);
                let lower = name.to_ascii_lowercase();
                if let Some(line) = Line::from_directive(&name) {
                    self.line(node, line, around);
                }
                if self.engine
                    && lower == "proxypassreverse"
                    && let Some(marked) = mark::put(&text((*node).args))
                {
                    (*node).args = pool::text(self.pool, &marked);
                    self.findings.marked = true;
                }
                self.look_for_strangers(node, &lower, around);
                let holds = !(*node).first_child.is_null() || lower == "<proxy";
                if holds && lower != "<virtualhost" {
                    self.section(node, &lower, around);
                }
                node = next;
            }
        }
    }

    unsafe fn section(&mut self, node: *mut Node, lower: &str, around: &Around) {
        // SAFETY: as `modernise`.
        unsafe {
            let args = text((*node).args);
            let first = words::split(args.trim_end_matches('>'))
                .next()
                .map(|word| word.into_owned());
            let mut inner = around.clone();
            match lower {
                "<proxy" | "<proxymatch" => {
                    if holds_rules((*node).first_child) {
                        self.first_child(node, to_str(directives::RULES), "");
                    }
                    inner.proxy = (lower == "<proxy").then_some(first).flatten();
                    let farm = inner.proxy.as_deref().and_then(balancer_name);
                    if farm.is_some_and(|farm| !self.has_members(&farm, around.server)) {
                        // mod_proxy makes no balancer of a section with nothing in it.
                        self.first_child(node, "ProxySet", "nofailover=Off");
                    }
                }
                "<location" | "<locationmatch" => inner.location = first,
                _ => {}
            }
            self.lines(&raw mut (*node).first_child, &inner);
        }
    }

    unsafe fn line(&mut self, node: *mut Node, line: Line, around: &Around) {
        // SAFETY: as `modernise`.
        unsafe {
            let args = text((*node).args);
            let section = match line {
                Line::BalancerMember | Line::ProxySet => around.proxy.as_deref(),
                Line::ProxyPass | Line::ProxyPassMatch => around.location.as_deref(),
                Line::Proxy => None,
            };
            let named = |url: &str| self.farm_of(url, around.server);
            let taken = if self.engine {
                let taken = take(line, &args, section, named);
                taken.and_then(|taken| check(line, &taken).map(|()| taken))
            } else {
                // `http://NAME` is a host, unless the line has what only a farm can.
                let taken = take(line, &args, section, |_| None);
                if taken.as_ref().is_ok_and(|taken| !taken.keeps_for_farm()) {
                    taken
                } else {
                    take(line, &args, section, named).or(taken)
                }
            };
            let mut taken = match taken {
                Ok(taken) => taken,
                Err(error) => return self.refuse(node, &error.to_string()),
            };
            if let Some(text) = self.unknown_method(line.shown(), &taken.native(line)) {
                return self.refuse(node, &text);
            }
            let farm = taken.farm.clone();
            let defined = farm.map(|farm| (self.defines(&farm, around.server), farm));
            if self.engine && defined.as_ref().is_some_and(|(id, _)| *id != around.server) {
                for key in ONE_FOR_ALL {
                    taken.lift(line, section, key);
                }
            }
            if taken.kept != args {
                (*node).args = pool::text(self.pool, &taken.kept);
            }
            let Some((server, farm)) = defined else {
                return;
            };
            // In all else a server has, as in stock httpd, what its own lines say.
            let for_all = |(key, _): &(String, String)| {
                ONE_FOR_ALL.iter().any(|one| one.eq_ignore_ascii_case(key))
            };
            let for_farm = std::mem::take(&mut taken.for_farm).into_iter();
            let (all, own): (Vec<_>, Vec<_>) = for_farm.partition(for_all);
            for (target, params) in [(server, all), (around.server, own)] {
                if !params.is_empty() {
                    self.sets.push(Set {
                        server: target,
                        farm: farm.clone(),
                        params: pairs(&params),
                        made: target != server,
                        origin: node,
                    });
                }
            }
            // Of every member we know whether mod_proxy has one of its own for the line.
            let is_ours = self.engine && line == Line::BalancerMember;
            if is_ours || !taken.params.is_empty() {
                let shown = line.directive().trim_start_matches('<');
                let member = taken.member.unwrap_or_default();
                let head = [shown, farm.as_str(), member.as_str()].map(words::quote);
                let args = format!("{} {}", head.join(" "), pairs(&taken.params));
                if member.is_empty() && server != around.server {
                    self.append(server, to_str(directives::PARAMS), &args, node);
                } else {
                    self.insert_after(node, to_str(directives::PARAMS), &args);
                }
            }
        }
    }

    /// What is to be said of an `lbmethod` that nobody provides.
    unsafe fn unknown_method(&self, shown: &str, params: &[(String, String)]) -> Option<String> {
        let mut methods = params
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case("lbmethod"));
        // SAFETY: as `modernise`.
        methods.find_map(|(_, value)| unsafe {
            let names = provider::alternatives_to(self.pool, value)?.join(", ");
            let needs = if value == "heartbeat" {
                heartbeat::NEEDS
            } else {
                ""
            };
            Some(format!(
                "{shown}: lbmethod={value}: no such method{needs}; there are {names}"
            ))
        })
    }

    /// The farm that a URL names in a server, in any spelling.
    fn farm_of(&self, url: &str, server: ServerId) -> Option<String> {
        let target = Target::parse(url.as_bytes())?;
        let declared = |name: &str| self.declares(name, server);
        let name = target::farm_name(&target, declared)?.into_owned();
        self.known(&name, server).then_some(name)
    }

    /// Targets that look like a farm and name none: each request would end in a failed look-up.
    unsafe fn look_for_strangers(&mut self, node: *mut Node, lower: &str, around: &Around) {
        if !matches!(
            lower,
            "proxypass" | "proxypassmatch" | "rewriterule" | "sethandler"
        ) {
            return;
        }
        // SAFETY: as `modernise`.
        let (args, file, line) =
            unsafe { (text((*node).args), text((*node).filename), (*node).line_num) };
        if lower == "rewriterule" && !rule_proxies(&args) {
            return;
        }
        let pattern = match &around.location {
            Some(path) if lower.starts_with("proxypass") => Some(Cow::Borrowed(path.as_str())),
            _ => words::split(&args).find(|word| word != "~"),
        };
        let pattern = pattern.unwrap_or_default();
        for word in words::split(&args) {
            let url = word.strip_prefix("proxy:").unwrap_or(&word);
            let Some(found) = Target::parse(url.as_bytes()) else {
                continue;
            };
            let plain = !found.userinfo && found.port.is_none() && !found.is_balancer();
            if plain
                && target::looks_like_farm(found.host)
                && !self.known(&found.host.to_ascii_lowercase(), around.server)
            {
                self.findings.strangers.push(format!(
                    "{file}:{line}: {word}: no farm here is called {}, so it will be looked up as \
                     a host name",
                    found.host
                ));
            }
            if plain
                && let Some(name) = target::open_ended(&found, &pattern, lower == "proxypass")
                && self
                    .farm_of(&format!("{}://{name}", found.scheme), around.server)
                    .is_some()
            {
                self.findings.open_ended.push(format!(
                    "{file}:{line}: {word}: what a client's path goes on with could make another host's name \
                     of {name}: write a \"/\" behind the farm's name"
                ));
            }
        }
    }

    unsafe fn append_sets(&mut self) {
        for set in std::mem::take(&mut self.sets) {
            let url = words::quote(&format!("balancer://{}", set.farm));
            // SAFETY: as `modernise`.
            unsafe {
                if !set.made {
                    let args = format!("{url} {}", set.params);
                    self.append(set.server, "ProxySet", &args, set.origin);
                } else if let Some(section) =
                    self.append(set.server, "<Proxy", &format!("{url}>"), set.origin)
                {
                    self.first_child(section, "ProxySet", &set.params);
                }
            }
        }
    }
}

/// What the last `AthEngine` says.
unsafe fn engine_is_on(root: *mut Node) -> bool {
    let mut on = false;
    // SAFETY: the tree's own links.
    unsafe {
        each(root, &mut |node| {
            if text((*node).directive).eq_ignore_ascii_case("AthEngine") {
                on = words::split(&text((*node).args)).any(|word| is_on(&word));
            }
        });
    }
    on
}

/// A `<Proxy>` section with anything but members and parameters in it.
unsafe fn holds_rules(first: *mut Node) -> bool {
    let mut rules = false;
    // SAFETY: the tree's own links.
    unsafe {
        each(first, &mut |node| {
            let name = text((*node).directive).to_ascii_lowercase();
            rules |= !matches!(name.as_str(), "balancermember" | "proxyset");
        });
    }
    rules
}

fn said<T>(read: Result<T, RewriteError>) -> Result<T, String> {
    read.map_err(|error| error.to_string())
}

fn pair(word: Cow<'_, str>) -> Option<(String, String)> {
    let (key, value) = word.split_once('=')?;
    Some((key.to_owned(), value.to_owned()))
}

fn pairs(pairs: &[(String, String)]) -> String {
    let quoted: Vec<String> = pairs
        .iter()
        .map(|(key, value)| words::quote(&format!("{key}={value}")))
        .collect();
    quoted.join(" ")
}
