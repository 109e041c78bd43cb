//! Which farms each server defines, and which of them it inherits.

use std::collections::{BTreeMap, BTreeSet};

use athena_engine::config::target::{balancer_name, is_filled_in};
use athena_engine::config::words;

use super::nodes::each;
use super::{Node, ServerId, Walk};
use crate::naming::text;

/// One server's lines.
pub(super) struct Server {
    pub(super) head: *mut *mut Node,
    /// `ServerName` of a virtual host, for messages.
    pub(super) name: String,
    /// Farms that `AthFarm` or `LBServerCluster` declared here.
    pub(super) declared: BTreeSet<String>,
    /// Farms this server defines.
    pub(super) farms: BTreeMap<String, FarmLines>,
    /// What it says about inheriting the main server's farms.
    pub(super) inherits: Inherits,
}

/// What a server says about its inheritance of the main server's farms (merge_proxy_config in
/// mod_proxy.c: either one suffices to inherit).
#[derive(Clone, Copy, Default)]
pub(super) struct Inherits {
    pub(super) balancers: Option<bool>,
    pub(super) passes: Option<bool>,
}

impl Server {
    fn inherits(&self, main: &Self) -> bool {
        let or = |own: Option<bool>, base: Option<bool>| own.or(base).unwrap_or(true);
        or(self.inherits.balancers, main.inherits.balancers)
            || or(self.inherits.passes, main.inherits.passes)
    }
}

#[derive(Default)]
pub(super) struct FarmLines {
    /// The first line that gives it a member.
    pub(super) member: Option<*mut Node>,
}

impl Walk {
    /// Lists the servers and the farms each defines, the old directives being turned into mod_proxy's.
    ///
    /// # Safety
    /// `root` is the head of the tree that is being read, by this thread alone.
    pub(super) unsafe fn collect(&mut self, root: *mut *mut Node) {
        // SAFETY: the caller's promise.
        unsafe {
            self.collect_server(root);
            let mut node = *root;
            while !node.is_null() {
                if text((*node).directive).eq_ignore_ascii_case("<VirtualHost") {
                    self.collect_server(&raw mut (*node).first_child);
                }
                node = (*node).next;
            }
        }
    }

    unsafe fn collect_server(&mut self, head: *mut *mut Node) {
        let mut server = Server {
            head,
            name: String::new(),
            // SAFETY: as `modernise`.
            declared: unsafe { self.modernise(head) },
            farms: BTreeMap::new(),
            inherits: Inherits::default(),
        };
        // SAFETY: the caller's promise.
        unsafe {
            each(*head, &mut |node| {
                let name = text((*node).directive).to_ascii_lowercase();
                let args = text((*node).args);
                let first = words::split(args.trim_end_matches('>')).next();
                let first = first.as_deref().unwrap_or_default();
                match name.as_str() {
                    "<proxy" => {
                        if let Some(farm) = balancer_name(first) {
                            let lines = server.farms.entry(farm).or_default();
                            each((*node).first_child, &mut |child| {
                                if text((*child).directive).eq_ignore_ascii_case("BalancerMember") {
                                    lines.member.get_or_insert(child);
                                }
                            });
                        }
                    }
                    "balancermember" => {
                        if let Some(farm) = balancer_name(first) {
                            server
                                .farms
                                .entry(farm)
                                .or_default()
                                .member
                                .get_or_insert(node);
                        }
                    }
                    "proxypass" | "proxypassmatch" => {
                        for word in words::split(&args) {
                            if let Some(farm) =
                                balancer_name(&word).filter(|name| !is_filled_in(name))
                            {
                                server.farms.entry(farm).or_default();
                            }
                        }
                    }
                    "servername" => first.clone_into(&mut server.name),
                    "balancerinherit" => server.inherits.balancers = Some(is_on(first)),
                    "proxypassinherit" => server.inherits.passes = Some(is_on(first)),
                    _ => {}
                }
            });
        }
        self.servers.push(server);
    }

    /// mod_proxy's merge drops the members that a virtual host gives to a farm it inherits: a start
    /// that went well would hide it.
    ///
    /// # Safety
    /// The lists that were collected are still the tree's.
    pub(super) unsafe fn refuse_hidden_members(&mut self) {
        let Some((main, hosts)) = self.servers.split_first() else {
            return;
        };
        let mut hidden = Vec::new();
        for host in hosts {
            for (farm, lines) in host.farms.iter().filter(|_| host.inherits(main)) {
                if let Some(node) = lines.member
                    && main.farms.contains_key(farm)
                {
                    hidden.push((node, farm.clone(), host.name.clone()));
                }
            }
        }
        for (node, farm, host) in hidden {
            // SAFETY: a node of the tree.
            unsafe {
                let member = text((*node).args);
                self.refuse(
                    node,
                    &format!(
                        "farm {farm} is inherited from the main server, and httpd would drop the \
                         member {member} that virtual host {host} adds to it: give the farm \
                         another name here, or write BalancerInherit Off and \
                         ProxyPassInherit Off in this virtual host"
                    ),
                );
            }
        }
    }

    pub(super) fn list_empty_farms(&mut self) {
        for (id, server) in self.servers.iter().enumerate() {
            for farm in server.farms.keys() {
                if !self.has_members(farm, id) {
                    let own = self.farm_lines(farm, 0).is_some_and(|_| id != 0);
                    let whose = match server.name.as_str() {
                        name if own && !name.is_empty() => format!(" of virtual host {name}"),
                        _ => String::new(),
                    };
                    let alike = self.begin_with(farm, id);
                    let alike = if alike.is_empty() {
                        alike
                    } else {
                        format!(
                            "; a <Proxy> section of this name holds for {alike}, whose names begin so"
                        )
                    };
                    self.findings.empty.insert(format!(
                        "farm {farm}{whose} has no members: requests to it get 503{alike}"
                    ));
                }
            }
        }
    }

    /// The farms with members that a server's `<Proxy>` section holds for as the beginning of their names.
    fn begin_with(&self, farm: &str, server: ServerId) -> String {
        let all = [self.servers.first(), self.servers.get(server)];
        let names: BTreeSet<&str> = all
            .iter()
            .flatten()
            .flat_map(|server| server.farms.keys())
            .filter(|name| name.starts_with(farm) && self.has_members(name, server))
            .map(String::as_str)
            .collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// What a server says of a farm itself.
    fn farm_lines(&self, farm: &str, server: ServerId) -> Option<&FarmLines> {
        self.servers.get(server)?.farms.get(farm)
    }

    /// What the main server says of a farm that a server inherits by its name.
    fn inherited(&self, farm: &str, server: ServerId) -> Option<&FarmLines> {
        let main = self.servers.first()?;
        let inherits = server != 0 && self.servers.get(server)?.inherits(main);
        main.farms.get(farm).filter(|_| inherits)
    }

    /// The farm that a server means by a name has members.
    pub(super) fn has_members(&self, farm: &str, server: ServerId) -> bool {
        let lines = [self.farm_lines(farm, server), self.inherited(farm, server)];
        lines.iter().flatten().any(|lines| lines.member.is_some())
    }

    /// A server has a farm of this name.
    pub(super) fn known(&self, farm: &str, server: ServerId) -> bool {
        self.farm_lines(farm, server).is_some() || self.inherited(farm, server).is_some()
    }

    /// Whether a farm's name with a dot in it is no host's: by what this server says, or the one that it
    /// has the farm from.
    pub(super) fn declares(&self, farm: &str, server: ServerId) -> bool {
        let servers = [server, self.defines(farm, server)];
        let mut servers = servers.iter().filter_map(|id| self.servers.get(*id));
        servers.any(|server| server.declared.contains(farm))
    }

    /// The server whose farm a server means by a name: its own, or the main one's. A ProxyPass to
    /// an inherited farm makes none of its own (merge_balancers in mod_proxy.c).
    pub(super) fn defines(&self, farm: &str, server: ServerId) -> ServerId {
        let own = self.farm_lines(farm, server);
        let own = own.is_some_and(|lines| lines.member.is_some())
            || self.inherited(farm, server).is_none();
        if own { server } else { 0 }
    }
}

pub(super) fn is_on(word: &str) -> bool {
    word.eq_ignore_ascii_case("on")
}
