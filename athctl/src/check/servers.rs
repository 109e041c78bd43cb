//! The servers of a configuration, the main one and each virtual host, named as the module names them.

use std::collections::BTreeMap;

use athena_engine::config::words;

use super::lines::Node;

/// Each server's name and lines, the main one first; the next of a name is `NAME#2`.
pub fn of(nodes: Vec<Node>) -> Vec<(String, Vec<Node>)> {
    let (hosts, main): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| node.is("<VirtualHost"));
    let named = main.iter().rfind(|node| node.is("ServerName"));
    let port = named.and_then(|named| split_port(&first(&named.args)).1);
    let mut servers = vec![("main".to_owned(), main)];
    let mut taken = BTreeMap::from([("main".to_owned(), 1)]);
    servers.extend(hosts.into_iter().map(|host| {
        let mut name = name(&host, port);
        let count = taken.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            name = format!("{name}#{count}");
        }
        (name, host.children)
    }));
    servers
}

/// The host of a virtual host's `ServerName` with the port of its first address, which is the main server's
/// `default` where it has none. Without `ServerName`, httpd asks for the address's name: here it is where the
/// section stands.
fn name(host: &Node, default: Option<u16>) -> String {
    let Some(named) = host.children.iter().rfind(|node| node.is("ServerName")) else {
        return host.place.to_string();
    };
    let name = first(&named.args);
    let name = name.split_once("://").map_or(&*name, |(_, name)| name);
    let (name, _) = split_port(name);
    let address = first(host.args.trim_end_matches('>'));
    let port = match split_port(&address) {
        ("*", port) => port,
        (host, None) if host.ends_with(":*") => None,
        (_, port) => port.or(default),
    };
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    name.to_ascii_lowercase() + &port
}

fn first(args: &str) -> String {
    let word = words::split(args).next();
    word.unwrap_or_default().into_owned()
}

/// A host and its port, if it has one.
fn split_port(address: &str) -> (&str, Option<u16>) {
    let split = address.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let inner = host.contains(':') && !host.ends_with(']');
        (!inner).then_some((host, Some(port)))
    });
    split.unwrap_or((address, None))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::lines::{Kind, parse};
    use super::of;

    #[test]
    fn virtual_hosts_are_named_as_in_the_module() {
        let hosts = [
            ("*:80", "ServerName Shop"),
            ("10.0.0.1:443 *:80", "ServerName https://shop:80"),
            ("*:443", "ServerName shop"),
            ("[::1]", "ServerName shop"),
            ("*", "ServerName shop"),
            ("[::1]:*", "ServerName shop"),
            ("*:80", "ServerName shop"),
            ("*:80", "ServerAlias none"),
        ];
        let hosts = hosts
            .map(|(address, name)| format!("<VirtualHost {address}>\n{name}\n</VirtualHost>\n"));
        let named = |main: &str| {
            let text = format!("{main}\n{}", hosts.concat());
            let servers = of(parse(&text, Path::new("f"), Kind::File));
            servers
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        let mut names = [
            "main",
            "shop:80",
            "shop:443",
            "shop:443#2",
            "shop",
            "shop#2",
            "shop#3",
            "shop:80#2",
            "f:23",
        ];
        assert_eq!(named("ServerName x"), names);
        names[4..7].copy_from_slice(&["shop:8080", "shop", "shop#2"]);
        assert_eq!(named("ServerName x:8080"), names);
    }
}
