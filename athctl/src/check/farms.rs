//! What the lines mean: the farms, who leads to them, what is refused and what is passed over. The
//! engine reads each line as the module does at start.

use std::collections::{BTreeMap, BTreeSet};

use athena_engine::config::line::{self, Line};
use athena_engine::config::own;
use athena_engine::config::param::{FarmParams, MemberParams};
use athena_engine::config::rewrite::{self, Plain};
use athena_engine::config::target::{self, Target, balancer_name};
use athena_engine::config::{words, worker};

use super::lines::{Node, Place};
use super::{modules, servers, whole};

mod roads;

/// What there is to tell.
#[derive(Debug, Default)]
pub struct Findings {
    /// `AthEngine On` stands there.
    pub engine: bool,
    pub farms: Vec<Farm>,
    /// What stops httpd from starting, or each request.
    pub refused: Vec<(Place, String)>,
    /// What does not do what it seems to.
    pub ignored: Vec<(Place, String)>,
}

type Pairs = Vec<(String, String)>;

/// One farm.
#[derive(Debug)]
pub struct Farm {
    pub name: String,
    /// Its name ([`servers`]).
    pub server: String,
    /// By `AthFarm` or `LBServerCluster`: any scheme may stand before its name, with a dot in it, too.
    pub declared: bool,
    pub place: Place,
    pub members: Vec<Member>,
    /// The lines with its parameters, in order.
    pub lines: Vec<Params>,
    /// The lines that lead to it.
    pub roads: Vec<Road>,
    /// The sections with rules for it.
    pub sections: Vec<Section>,
}

/// `mod_proxy`'s parameters and ours of one line.
#[derive(Debug)]
pub struct Params {
    pub server: String,
    pub place: Place,
    pub params: Pairs,
}

/// A line that leads to a farm.
#[derive(Debug)]
pub struct Road {
    pub server: String,
    pub place: Place,
    pub line: String,
    pub url: String,
    /// The target is known before `mod_proxy` looks for sections.
    pub early: bool,
    /// For its virtual host `mod_proxy` makes a balancer besides the main server's.
    pub on_its_own: bool,
}

/// A `<Proxy>` section with rules.
#[derive(Debug)]
pub struct Section {
    pub server: String,
    pub place: Place,
    pub url: String,
}

/// One member.
#[derive(Debug)]
pub struct Member {
    pub url: String,
    /// What `mod_proxy` calls it.
    pub worker: String,
    pub params: Pairs,
}

impl Farm {
    /// The value that holds of a parameter: the last one written.
    pub fn param(&self, key: &str) -> Option<&str> {
        let mut lines = self.lines.iter().rev();
        lines.find_map(|line| find(&line.params, key))
    }

    /// Whether the value that holds of a parameter is this one, in any case.
    pub fn says(&self, key: &str, value: &str) -> bool {
        self.param(key)
            .is_some_and(|now| now.eq_ignore_ascii_case(value))
    }

    /// `NAME`, with its server where that is not the main one.
    pub fn title(&self) -> String {
        match self.server.as_str() {
            "main" => self.name.clone(),
            server => format!("{}@{server}", self.name),
        }
    }
}

/// The last value of a key.
pub fn find<'a>(params: &'a Pairs, key: &str) -> Option<&'a str> {
    let mut found = params.iter().rev();
    found
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value.as_str())
}

/// Reads a configuration's lines, as if the engine were on.
pub fn read(nodes: Vec<Node>) -> Findings {
    let mut walk = Walk::default();
    let nodes = walk.modernise(nodes);
    walk.findings.engine = last_says(&nodes, "AthEngine", "on");
    let servers = servers::of(nodes);
    for (server, nodes) in &servers {
        walk.define(server, nodes);
    }
    for (server, nodes) in &servers {
        walk.lines(nodes, &Around::of(server));
    }
    walk.refuse_hidden_members();
    modules::check(&servers, &mut walk.findings);
    whole::check(&mut walk.findings);
    walk.findings
}

#[derive(Default)]
struct Walk {
    findings: Findings,
    /// Farms that `AthFarm` or `LBServerCluster` declared: these may have a dot in their name.
    declared: BTreeSet<String>,
    /// Where each farm of a server stands in the findings.
    farms: BTreeMap<(String, String), usize>,
    /// Servers that inherit nothing of the main one.
    alone: BTreeSet<String>,
}

/// What surrounds a line.
#[derive(Clone)]
struct Around<'a> {
    server: &'a str,
    proxy: Option<String>,
    location: Option<String>,
    /// Within a section.
    nested: bool,
}

impl<'a> Around<'a> {
    fn of(server: &'a str) -> Self {
        Self {
            server,
            proxy: None,
            location: None,
            nested: false,
        }
    }
}

impl Walk {
    /// Turns the old directives into `mod_proxy`'s lines, at the same place.
    fn modernise(&mut self, nodes: Vec<Node>) -> Vec<Node> {
        let mut modern = Vec::new();
        for mut node in nodes {
            let plain = match node.name.to_ascii_lowercase().as_str() {
                "athfarm" => rewrite::ath_farm(&node.args),
                "lbservercluster" => rewrite::lb_server_cluster(&node.args),
                "lbproxypass" => rewrite::lb_proxy_pass(&node.args),
                "<virtualhost" => {
                    node.children = self.modernise(node.children);
                    modern.push(node);
                    continue;
                }
                _ => {
                    modern.push(node);
                    continue;
                }
            };
            match plain {
                Ok(lines) => {
                    if !node.is("LBProxyPass")
                        && let Some(farm) = words::split(&node.args).next()
                    {
                        self.declared.insert(farm.to_ascii_lowercase());
                    }
                    modern.extend(lines.into_iter().map(|line| placed(line, &node.place)));
                }
                Err(error) => self.refuse(&node, error.to_string()),
            }
        }
        modern
    }

    fn refuse(&mut self, node: &Node, why: String) {
        self.findings.refused.push((node.place.clone(), why));
    }

    /// Notes the farms that a server defines.
    fn define(&mut self, server: &str, nodes: &[Node]) {
        let off = |name| last_says(nodes, name, "off");
        if off("BalancerInherit") && off("ProxyPassInherit") {
            self.alone.insert(server.to_owned());
        }
        for node in nodes {
            let names = ["<Proxy", "BalancerMember", "ProxyPass", "ProxyPassMatch"];
            let [proxy, member, ..] = names;
            if !names.iter().any(|name| node.is(name)) {
                continue;
            }
            let most = if node.is(proxy) || node.is(member) {
                1
            } else {
                usize::MAX
            };
            for word in words::split(node.args.trim_end_matches('>')).take(most) {
                let Some(farm) = balancer_name(&word) else {
                    continue;
                };
                let inherited = self.farm_id("main", &farm).is_some();
                if (most == 1 || !inherited) && self.farm_id(server, &farm).is_none() {
                    let key = (server.to_owned(), farm.clone());
                    self.farms.insert(key, self.findings.farms.len());
                    self.findings.farms.push(Farm {
                        declared: self.declared.contains(&farm),
                        name: farm,
                        server: server.to_owned(),
                        place: node.place.clone(),
                        members: Vec::new(),
                        lines: Vec::new(),
                        roads: Vec::new(),
                        sections: Vec::new(),
                    });
                }
            }
        }
    }

    fn farm_id(&self, server: &str, farm: &str) -> Option<usize> {
        let key = (server.to_owned(), farm.to_owned());
        self.farms.get(&key).copied()
    }

    /// The farm that a server means by a name: its own, or else the main server's.
    fn known(&self, server: &str, farm: &str) -> Option<usize> {
        self.farm_id(server, farm)
            .or_else(|| self.farm_id("main", farm))
    }

    /// The farm that a URL names in a server, in any spelling.
    fn farm_of(&self, url: &str, server: &str) -> Option<String> {
        let target = Target::parse(url.as_bytes())?;
        let name = target::farm_name(&target, |name| self.declared.contains(name))?.into_owned();
        self.known(server, &name).map(|_| name)
    }

    fn lines(&mut self, nodes: &[Node], around: &Around<'_>) {
        for node in nodes {
            if let Some(line) = Line::from_directive(&node.name) {
                self.line(node, line, around);
            }
            if node.is("AthParams") {
                self.taken_before(node, around);
            }
            if let Err(why) = directive(node, around) {
                self.refuse(node, why);
            }
            self.road(node, around);
            self.section(node, around);
            let mut inner = around.clone();
            // What a macro holds stands where it is used.
            inner.nested |= !node.is("<Macro");
            let first = words::split(node.args.trim_end_matches('>')).next();
            let first = first.map(|word| word.into_owned());
            match node.name.to_ascii_lowercase().as_str() {
                "<proxy" => inner.proxy = first,
                "<proxymatch" => inner.proxy = None,
                "<location" | "<locationmatch" => inner.location = first,
                _ => {}
            }
            self.lines(&node.children, &inner);
        }
    }

    fn line(&mut self, node: &Node, line: Line, around: &Around<'_>) {
        let section = match line {
            Line::BalancerMember | Line::ProxySet => around.proxy.as_deref(),
            Line::ProxyPass | Line::ProxyPassMatch => around.location.as_deref(),
            Line::Proxy => None,
        };
        let farm_of = |url: &str| self.farm_of(url, around.server);
        let taken = line::take(line, &node.args, section, farm_of)
            .and_then(|taken| line::check(line, &taken).map(|()| taken));
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => return self.refuse(node, error.to_string()),
        };
        let native = taken.native(line);
        let refused = if line == Line::BalancerMember {
            let mut params = MemberParams::default();
            first_refusal(&taken.params, |key, value| params.set(key, value))
        } else {
            let mut params = FarmParams::default();
            first_refusal(&taken.params, |key, value| params.set(key, value))
        };
        if let Some(error) = refused {
            self.refuse(node, format!("{} {error}", line.shown()));
        }
        let farm = taken.farm.as_deref();
        let Some(farm) = farm.and_then(|farm| self.known(around.server, farm)) else {
            return;
        };
        let Some(farm) = self.findings.farms.get_mut(farm) else {
            return;
        };
        let known = farm.members.iter().map(|member| member.worker.as_str());
        if let Some(url) = &taken.member
            && let Some(other) = worker::taken_for(url, known)
        {
            let said = format!(
                "BalancerMember {url}: mod_proxy takes it for {other}, which stands before it"
            );
            let place = node.place.clone();
            if taken.params.is_empty() {
                let why = format!("{said}: its parameters are passed over");
                self.findings.ignored.push((place, why));
            } else {
                let why = format!(
                    "{said}: write one line for both, or the one with the longer path first"
                );
                self.findings.refused.push((place, why));
            }
            return;
        }
        let params = native.into_iter().chain(taken.params);
        match taken.member {
            Some(url) => farm.members.push(Member {
                worker: worker::name(&url),
                url,
                params: params.collect(),
            }),
            None => farm.lines.push(Params {
                server: around.server.to_owned(),
                place: node.place.clone(),
                params: params.collect(),
            }),
        }
    }

    /// `AthParams DIRECTIVE FARM MEMBER key=value…`: what a loaded module has taken off a line and
    /// found right, in its own dump.
    fn taken_before(&mut self, node: &Node, around: &Around<'_>) {
        let mut words = words::split(&node.args).skip(1);
        let (Some(farm), Some(member)) = (words.next(), words.next()) else {
            return;
        };
        let params = words.filter_map(|word| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        });
        let farm = self.known(around.server, &farm);
        let Some(farm) = farm.and_then(|farm| self.findings.farms.get_mut(farm)) else {
            return;
        };
        if member.is_empty() {
            farm.lines.push(Params {
                server: around.server.to_owned(),
                place: node.place.clone(),
                params: params.collect(),
            });
        } else if let Some(member) = farm.members.iter_mut().rev().find(|m| m.url == member) {
            member.params.extend(params);
        }
    }

    /// A section that says more of a farm than its members and parameters.
    fn section(&mut self, node: &Node, around: &Around<'_>) {
        let is_rule = |line: &Node| {
            let known = ["BalancerMember", "ProxySet", "AthParams"];
            !known.iter().any(|name| line.is(name))
        };
        if !node.is("<Proxy") || !node.children.iter().any(is_rule) {
            return;
        }
        let Some(url) = words::split(node.args.trim_end_matches('>')).next() else {
            return;
        };
        let farm = self.farm_of(&url, around.server);
        let farm = farm.and_then(|farm| self.known(around.server, &farm));
        if let Some(farm) = farm.and_then(|farm| self.findings.farms.get_mut(farm)) {
            farm.sections.push(Section {
                server: around.server.to_owned(),
                place: node.place.clone(),
                url: url.into_owned(),
            });
        }
    }

    /// `mod_proxy`'s merge drops the members that a virtual host gives to a farm it inherits.
    fn refuse_hidden_members(&mut self) {
        let mut hidden = Vec::new();
        for farm in &self.findings.farms {
            let inherits = farm.server != "main" && !self.alone.contains(&farm.server);
            if inherits && !farm.members.is_empty() && self.farm_id("main", &farm.name).is_some() {
                let why = format!(
                    "farm {} is inherited from the main server, and httpd would drop the members \
                     that virtual host {} adds to it: give it another name here, or write \
                     BalancerInherit Off and ProxyPassInherit Off",
                    farm.name, farm.server
                );
                hidden.push((farm.place.clone(), why));
            }
        }
        self.findings.refused.extend(hidden);
    }
}

/// Whether the last line of a directive, the one that holds, has this argument.
fn last_says(nodes: &[Node], directive: &str, argument: &str) -> bool {
    let last = nodes.iter().rfind(|node| node.is(directive));
    last.is_some_and(|node| node.args.eq_ignore_ascii_case(argument))
}

/// Reads a directive of the module's own, or the line that opens a section.
fn directive(node: &Node, around: &Around<'_>) -> Result<(), String> {
    let name = node.name.to_ascii_lowercase();
    if name.starts_with('<') && !node.args.trim_end().ends_with('>') && !name.ends_with('>') {
        return Err(format!("{}> directive missing closing '>'", node.name));
    }
    let of_farms = ["AthFarm", "LBServerCluster", "LBProxyPass"];
    let read = own::check(&name, &node.args);
    let is_ours = read.is_some() || of_farms.iter().any(|old| node.is(old));
    if is_ours && around.nested {
        let places = "it stands in the main server or a virtual host, outside of other sections";
        return Err(format!("{} not allowed here: {places}", node.name));
    }
    let of_main = matches!(name.as_str(), "athengine" | "athshmfile");
    if of_main && around.server != "main" {
        return Err(format!(
            "{} cannot occur within <VirtualHost> section",
            node.name
        ));
    }
    read.unwrap_or(Ok(()))
}

fn first_refusal<E>(params: &Pairs, mut set: impl FnMut(&str, &str) -> Result<(), E>) -> Option<E> {
    params.iter().find_map(|(key, value)| set(key, value).err())
}

fn placed(line: Plain, place: &Place) -> Node {
    let children = line.children.into_iter();
    Node {
        name: line.name.to_owned(),
        args: line.args,
        place: place.clone(),
        children: children.map(|line| placed(line, place)).collect(),
    }
}

#[cfg(test)]
mod tests;
