//! The lines that lead requests to farms, and those that only seem to.

use athena_engine::config::param;
use athena_engine::config::target::{self, Target, rule_proxies};
use athena_engine::config::words::{self, word};

use super::{Around, Node, Road, Walk};

impl Walk {
    /// A line that leads requests to a farm, or seems to.
    pub(super) fn road(&mut self, node: &Node, around: &Around<'_>) {
        let names = ["ProxyPass", "ProxyPassMatch", "RewriteRule", "SetHandler"];
        if !names.iter().any(|name| node.is(name))
            || node.is("RewriteRule") && !rule_proxies(&node.args)
        {
            return;
        }
        for word in words::split(&node.args) {
            let url = word.strip_prefix("proxy:").unwrap_or(&word);
            let Some(found) = Target::parse(url.as_bytes()) else {
                continue;
            };
            let host = found.host.to_ascii_lowercase();
            let named = self.farm_of(url, around.server);
            let is_pass = node.is("ProxyPass") || node.is("ProxyPassMatch");
            let alone = self.alone.contains(around.server);
            if let Some(farm) = named.and_then(|farm| self.known(around.server, &farm)) {
                if let Some(farm) = self.findings.farms.get_mut(farm) {
                    farm.roads.push(Road {
                        server: around.server.to_owned(),
                        place: node.place.clone(),
                        line: format!("{} {}", node.name, masked(&node.args)),
                        url: url.to_owned(),
                        early: is_pass || node.is("RewriteRule") && !around.nested,
                        on_its_own: is_pass
                            && found.is_balancer()
                            && farm.server != around.server
                            && !alone,
                    });
                }
                continue;
            }
            let known = self.known(around.server, &host).is_some();
            if known && found.is_balancer() {
                let what = if found.userinfo { "user" } else { "port" };
                let why = format!(
                    "{} {url}: a farm takes no {what}, and each request would be refused (403): write \
                     balancer://{host}/",
                    node.name
                );
                self.refuse(node, why);
                continue;
            }
            let why = if known {
                "a farm is named without user, with no port but the scheme's own, and with a dot \
                 in its name as balancer:// only: this is a host of that name"
            } else if found.port.is_none() && !found.userinfo && target::looks_like_farm(found.host)
            {
                "no farm here has this name: it is looked up as a host"
            } else {
                continue;
            };
            let ignored = format!("{} {url}: {why}", node.name);
            self.findings.ignored.push((node.place.clone(), ignored));
        }
    }
}

/// Arguments as they may be told.
fn masked(args: &str) -> String {
    let words = std::iter::successors(word(args, 0), |last| word(args, last.next));
    let mut told = String::new();
    let mut from = 0;
    for word in words {
        let Some((key, value)) = word.text.split_once('=') else {
            continue;
        };
        let shown = param::shown(key, value);
        if shown != value {
            told += args.get(from..word.span.start).unwrap_or_default();
            told += &format!("{key}={shown}");
            from = word.span.end;
        }
    }
    told + args.get(from..).unwrap_or_default()
}
