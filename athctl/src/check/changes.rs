//! What is another thing than under `mod_proxy_balancer`; only what the lines themselves show.

use std::collections::BTreeSet;

use athena_engine::config::target::{Target, farm_name};
use athena_engine::method;

use super::farms::{Farm, Road, find};

/// What changes for a farm with that method, a line each.
pub fn of(farm: &Farm, method: &str) -> Vec<String> {
    let mut changes = Vec::new();
    let stock = ["byrequests", "bybusyness", "bytraffic"].contains(&method);
    if stock {
        changes.push(format!(
            "{method} keeps httpd's rule, on counters exact over all children"
        ));
    } else if method::by_name(method).is_none() {
        changes.push(format!(
            "the module that provides {method} is asked for each member; without it httpd does not start"
        ));
    }
    changes.extend(other_name(farm));
    changes.push(
        "a member in error is probed by one request after its retry=, not by all of them"
            .to_owned(),
    );
    changes.push(
        "a request broken before its answer is replayed at most once, and never a POST".to_owned(),
    );
    changes.extend(sections(farm));
    changes.extend(methods(farm, method));
    changes.extend(failures(farm));
    changes.extend(timeout(farm));
    changes
}

/// The farm under another scheme; a name with a dot is a host's there, unless it was declared.
fn other_name(farm: &Farm) -> Option<String> {
    let url = format!("http://{}/", farm.name);
    let target = Target::parse(url.as_bytes())?;
    let name = farm_name(&target, |_| farm.declared)?;
    (name == farm.name).then(|| format!("{url} names it too, in every proxied URL"))
}

/// Sections that name the farm in another case or by another scheme than its targets do: httpd
/// compares them byte by byte.
fn sections(farm: &Farm) -> Vec<String> {
    let mut changes = Vec::new();
    for section in &farm.sections {
        let holds = |road: &&Road| {
            road.early && (section.server == "main" || section.server == road.server)
        };
        let named = farm.roads.iter().filter(holds).map(|road| name(&road.url));
        let others: BTreeSet<_> = named.filter(|other| *other != name(&section.url)).collect();
        changes.extend(others.into_iter().map(|other| {
            format!(
                "the rules of <Proxy {}> ({}) hold for {other}/, too",
                section.url, section.place
            )
        }));
    }
    changes
}

/// A URL up to its path.
fn name(url: &str) -> &str {
    let path = Target::parse(url.as_bytes()).map_or(0, |target| target.rest.len());
    url.get(..url.len() - path).unwrap_or(url)
}

/// Virtual hosts that lead to the main server's farm: `mod_proxy` makes each a balancer of its own, with
/// the method that its lines name.
fn methods(farm: &Farm, method: &str) -> Vec<String> {
    let mut told = BTreeSet::new();
    let mut changes = Vec::new();
    for road in on_its_own(farm).filter(|road| told.insert(&road.server)) {
        let mut names = farm.lines.iter().filter(|line| {
            let mut roads = on_its_own(farm).filter(|other| other.server == road.server);
            line.server == road.server || roads.any(|other| other.place == line.place)
        });
        let named = names.rfind(|line| find(&line.params, "lbmethod").is_some());
        let before = named.and_then(|line| find(&line.params, "lbmethod"));
        let before = before.unwrap_or("byrequests");
        if before != method {
            changes.push(format!(
                "{} ({}): lbmethod={method} as everywhere, not {before}",
                road.line, road.place
            ));
        }
    }
    changes
}

/// What such a line says of errors.
fn failures(farm: &Farm) -> Vec<String> {
    let of_hosts = farm
        .lines
        .iter()
        .filter(|line| on_its_own(farm).any(|road| road.place == line.place));
    let said = of_hosts.flat_map(|line| {
        ["failonstatus", "failontimeout"]
            .into_iter()
            .filter_map(|key| {
                let value = find(&line.params, key)?;
                Some(format!(
                    "{key}={value} ({}) holds for all servers",
                    line.place
                ))
            })
    });
    said.collect()
}

fn on_its_own(farm: &Farm) -> impl Iterator<Item = &Road> {
    farm.roads.iter().filter(|road| road.on_its_own)
}

fn timeout(farm: &Farm) -> Option<String> {
    let timeout = farm.param("timeout")?;
    (timeout.parse() != Ok(0)).then(|| {
        format!(
            "timeout={timeout}: each request waits so long for a member, forcerecovery comes at \
             the end; no errors are forgotten first"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::farms::read;
    use super::super::lines::{Kind, parse};
    use super::of;

    /// What changes for the first farm beside what changes for each.
    fn changes(text: &str) -> Vec<String> {
        let found = read(parse(text, Path::new("f"), Kind::File));
        let farm = found.farms.first().unwrap();
        let changes = of(farm, farm.param("lbmethod").unwrap_or("byrequests"));
        let own = changes
            .into_iter()
            .skip_while(|change| !change.starts_with("a request broken"));
        own.skip(1).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn rules_that_hold_now() {
        let section = |name: &str, rule: &str, road: &str| {
            changes(&format!(
                "<Proxy balancer://a>\nBalancerMember http://m\n</Proxy>\n<Proxy {name}>\n{rule}\n\
                 </Proxy>\n{road}\n"
            ))
        };
        let denied = "Require all denied";
        for (name, road, target) in [
            ("balancer://A", "ProxyPass / balancer://a/", "balancer://a"),
            (
                "balancer://a/x",
                "ProxyPass / balancer://A/x",
                "balancer://A",
            ),
            ("balancer://a", "ProxyPass / http://a/", "http://a"),
            (
                "http://a/",
                "RewriteRule ^ balancer://a/ [P]",
                "balancer://a",
            ),
        ] {
            let said = format!("the rules of <Proxy {name}> (f:4) hold for {target}/, too");
            assert_eq!(section(name, denied, road), [said]);
        }
        for (name, rule, road) in [
            ("balancer://a/", denied, "ProxyPass / balancer://a"),
            (
                "balancer://A",
                "ProxySet nofailover=On",
                "ProxyPass / balancer://a/",
            ),
            // These come to sections late, in any spelling.
            ("balancer://A", denied, "SetHandler proxy:balancer://a/"),
            (
                "balancer://A",
                denied,
                "<Location />\nRewriteRule ^ balancer://a/ [P]\n</Location>",
            ),
        ] {
            assert_eq!(section(name, rule, road), NONE, "{name} {rule} {road}");
        }
        let host = |inner: &str| format!("<VirtualHost *>\n{inner}\n</VirtualHost>\n");
        let elsewhere =
            "<Proxy balancer://a>\nBalancerMember http://m\n</Proxy>\nProxyPass / balancer://a/\n";
        let rules = host("<Proxy http://a>\nRequire all denied\n</Proxy>");
        assert_eq!(changes(&format!("{elsewhere}{rules}")), NONE);
    }

    /// A farm of the main server, and lines of a virtual host.
    fn inherited(settings: &str, lines: &str) -> Vec<String> {
        changes(&format!(
            "<Proxy balancer://a>\nBalancerMember http://m\nProxySet nofailover=On {settings}\n\
             </Proxy>\n<VirtualHost *>\n{lines}\n</VirtualHost>\n"
        ))
    }

    #[test]
    fn a_method_holds_in_virtual_hosts() {
        let to = "ProxyPass / balancer://a/";
        assert_eq!(
            inherited(
                "lbmethod=leastconn",
                &format!("{to}\nProxyPass /x balancer://a/x")
            ),
            [format!(
                "{to} (f:6): lbmethod=leastconn as everywhere, not byrequests"
            )]
        );
        for (settings, lines) in [
            ("", to),
            (
                "lbmethod=bytraffic",
                "ProxyPass / balancer://a/ lbmethod=leastconn",
            ),
            ("lbmethod=leastconn", "ProxyPass / http://a/"),
            ("lbmethod=leastconn", "RewriteRule ^ balancer://a/ [P]"),
            (
                "lbmethod=leastconn",
                "BalancerInherit Off\nProxyPassInherit Off\nProxyPass / balancer://a/",
            ),
        ] {
            assert_eq!(inherited(settings, lines), NONE, "{settings} {lines}");
        }
    }

    #[test]
    fn failures_are_those_of_all_servers() {
        let lines = "ProxyPass / balancer://a/ failonstatus=503 failontimeout=On";
        let said = ["failonstatus=503", "failontimeout=On"];
        let said = said.map(|said| format!("{said} (f:6) holds for all servers"));
        assert_eq!(inherited("", lines), said);
        assert_eq!(
            inherited("failonstatus=503", "ProxyPass / balancer://a/"),
            NONE
        );
    }

    #[test]
    fn a_timeout_is_each_requests() {
        let said = inherited("timeout=5", "");
        assert!(
            said.len() == 1 && said[0].starts_with("timeout=5: each request"),
            "{said:?}"
        );
        assert_eq!(inherited("timeout=0", ""), NONE);
    }
}
