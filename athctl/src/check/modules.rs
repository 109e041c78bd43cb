//! What another module reads that the configuration does not load.

use super::farms::{Findings, find};
use super::lines::Node;

/// Adds to the findings what only `mod_proxy_balancer` reads, where the lines show that it is not loaded:
/// `mod_proxy` is, and no file is included that could do more.
pub fn check(servers: &[(String, Vec<Node>)], findings: &mut Findings) {
    let nodes = || servers.iter().flat_map(|(_, nodes)| nodes);
    let loads = |module: &str| {
        let mut loads = nodes().filter(|node| node.is("LoadModule"));
        loads.any(|node| node.args.split_whitespace().next() == Some(module))
    };
    let includes = nodes().any(|node| node.is("Include") || node.is("IncludeOptional"));
    if includes || !loads("proxy_module") || loads("proxy_balancer_module") {
        return;
    }
    let lines = findings.farms.iter().flat_map(|farm| &farm.lines);
    let mut ignored: Vec<_> = lines
        .filter_map(|line| {
            let value = find(&line.params, "growth").filter(|value| *value != "0")?;
            let why = format!(
                "growth={value}: without mod_proxy_balancer nothing reads it, and its page adds no member"
            );
            Some((line.place.clone(), why))
        })
        .collect();
    let stores = nodes().filter(|node| {
        node.is("BalancerPersist") && node.args.trim_matches('"').eq_ignore_ascii_case("on")
    });
    ignored.extend(stores.map(|node| {
        let why = "BalancerPersist: without mod_proxy_balancer nothing is stored".to_owned();
        (node.place.clone(), why)
    }));
    findings.ignored.extend(ignored);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::farms::read;
    use super::super::lines::{Kind, parse};

    #[test]
    fn what_nobody_reads() {
        let proxy = "LoadModule proxy_module p.so";
        let balancer = "LoadModule proxy_balancer_module b.so";
        for (before, places) in [
            (proxy.to_owned(), &[4, 6][..]),
            (String::new(), &[]),
            ("LoadModule athena_module a.so".to_owned(), &[]),
            (
                format!("<IfModule !b>\n{balancer}\n</IfModule>\n{proxy}"),
                &[],
            ),
            (format!("{proxy}\nIncludeOptional mods/*.load"), &[]),
        ] {
            let text = format!(
                "{before}\n<Proxy balancer://a>\nBalancerMember http://m\nProxySet growth=5\n</Proxy>\n\
                 BalancerPersist On\n"
            );
            let found = read(parse(&text, Path::new("f"), Kind::File));
            let ignored: Vec<_> = found.ignored.iter().map(|(place, _)| place.line).collect();
            assert_eq!(ignored, places, "{before}");
            assert!(found.refused.is_empty(), "{:?}", found.refused);
        }
    }
}
