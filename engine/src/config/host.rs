//! Which Host values the engine's own paths answer to.
//!
//! A page elsewhere whose name is made to resolve to this server (DNS rebinding) sends its own name
//! in Host. So a name must be one of the server's; an address literal or `localhost` cannot be
//! rebound. Of `ServerAlias *`, anybody can have a name: wildcards count below a domain alone.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a Host value (`name[:port]`, any case) is an address literal, `localhost` or one of
/// `names`: the `ServerName` and the aliases, in which `*` and `?` stand for any characters and for
/// one, as in `ServerAlias`, if a domain of at least two labels follows.
pub fn accepts(host: &str, names: impl IntoIterator<Item = impl AsRef<str>>) -> bool {
    let Some(name) = without_port(host) else {
        return false;
    };
    if let Some(rest) = name.strip_prefix('[') {
        let address = rest.strip_suffix(']').map(str::parse::<Ipv6Addr>);
        return address.is_some_and(|address| address.is_ok());
    }
    // The root's dot, as in httpd's own comparison of names.
    let name = name.strip_suffix('.').unwrap_or(name);
    is_name(name)
        && (name.parse::<Ipv4Addr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || names.into_iter().any(|pattern| {
                let pattern = pattern.as_ref();
                is_narrow(pattern) && matches(pattern.as_bytes(), name.as_bytes())
            }))
}

/// Names that it matches are all of one domain.
fn is_narrow(pattern: &str) -> bool {
    let Some(last) = pattern.rfind(['*', '?']) else {
        return true;
    };
    let domain = pattern
        .get(last + 1..)
        .and_then(|rest| rest.strip_prefix('.'));
    domain.is_some_and(|domain| domain.trim_matches('.').contains('.'))
}

/// Whether a URL (of an `Origin` or `Referer` header) is one of the host that a `Host` header names:
/// a page from another port of the same machine may be somebody else's. Without a port, it is that of
/// the URL's scheme: in front of httpd there may be TLS.
pub fn is_of(url: &str, host: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let named = |authority: &str| {
        let host = without_port(authority).filter(|host| !host.is_empty())?;
        let port = authority.get(host.len()..).filter(|port| port.len() > 1);
        Some((host.to_ascii_lowercase(), port.unwrap_or(usual).to_owned()))
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let page = rest.get(..end).and_then(named);
    page.is_some() && page == named(host)
}

/// The host of `host[:port]`, an IPv6 address with its brackets; `None` when what follows is no port.
fn without_port(text: &str) -> Option<&str> {
    let end = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, port) = text.split_at_checked(end)?;
    is_port(port).then_some(host)
}

/// Nothing, or a colon and up to five digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|port| port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    !text.is_empty() && text.bytes().all(inner)
}

/// Wildcard match without case, in at most `pattern × name` steps: after a mismatch the last `*`
/// takes one character more; an earlier one never needs to.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(have) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(want) if *want == b'?' || want.eq_ignore_ascii_case(have) => {
                (p, n) = (p + 1, n + 1);
            }
            _ => match star {
                Some((behind, taken)) => {
                    star = Some((behind, taken + 1));
                    (p, n) = (behind, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|&b| b == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAMES: [&str; 9] = [
        "www.example.com",
        "*.example.org",
        "node?.a.lan",
        "",
        // Of any domain.
        "*",
        "????.example",
        "www.evil*",
        "*.lan",
        "*xample.org",
    ];

    #[test]
    fn names_of_the_server_and_addresses_are_accepted() {
        let hosts = [
            "www.example.com",
            "WWW.Example.COM:8443",
            "www.example.com.",
            "a.b.example.org",
            "node1.a.lan:80",
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1",
            "10.1.2.3:80",
            "[::1]",
            "[2001:db8::1]:443",
            "www.example.com:",
        ];
        for host in hosts {
            assert!(accepts(host, NAMES), "{host}");
        }
    }

    #[test]
    fn a_url_is_of_one_host() {
        for (url, host) in [
            ("http://localhost", "localhost"),
            ("http://localhost?x", "localhost:80"),
            ("http://localhost:80/", "LocalHost"),
            ("https://localhost", "localhost"),
            ("https://localhost:443/x", "localhost:"),
            (
                "https://LOCALHOST:8443/balancer-manager?b=1",
                "localhost:8443",
            ),
            ("http://[::1]:80/x", "[::1]"),
            ("http://[::1]:8080/x", "[::1]:8080"),
        ] {
            assert!(is_of(url, host), "{url} {host}");
        }
        for (url, host) in [
            ("http://localhost:8080", "localhost"),
            ("http://localhost", "localhost:8080"),
            ("http://localhost:443", "localhost"),
            ("http://localhost", "localhost:443"),
            ("http://localhost", ""),
            ("http://", ""),
            ("ftp://localhost", "localhost"),
        ] {
            assert!(!is_of(url, host), "{url} {host}");
        }
        for url in [
            "null",
            "",
            "localhost",
            "http://localhost.evil.example/",
            "http://evil.example/http://localhost/",
            "http://localhost@evil.example/",
            "http://localhost:80@evil.example/",
            "http://evil@localhost/",
            "http://",
        ] {
            assert!(!is_of(url, "localhost"), "{url}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        let hosts = [
            "",
            ":80",
            ".",
            "evil.example",
            "www.evil.net",
            "evil.lan",
            "example.org",
            "xexample.org",
            "node.a.lan",
            "node12.a.lan",
            "node1.lan",
            "www.example.com.evil",
            "www.example.com:80:80",
            "www.example.com:x",
            "www.example.com:123456",
            "www.example.com:+1",
            "localhost.evil",
            "127.0.0.1.evil",
            "1.2.3",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[www.example.com]",
            "[127.0.0.1]",
            "[fe80::1%eth0]",
            "user@localhost",
            "localhost/",
            "*",
            "evil/.example.org",
            "evil\0.example.org",
            "é.example.org",
            "localhost ",
            " localhost",
        ];
        for host in hosts {
            assert!(!accepts(host, NAMES), "{host:?}");
        }
    }

    #[test]
    fn wildcards() {
        let table = [
            ("*", "a", true),
            ("a*", "a", true),
            ("a*b*c", "axxbxxc", true),
            ("a*b*c", "axxbxx", false),
            ("*ab", "aab", true),
            ("?", "", false),
            ("??", "ab", true),
            ("*?*", "a", true),
            ("", "a", false),
            ("a**b", "ab", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaa", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    /// The definition, without the economy.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, rest) => rest.is_none(),
            (Some((b'*', p)), rest) => {
                naive(p, name) || rest.is_some_and(|(_, n)| naive(pattern, n))
            }
            (Some((want, p)), Some((have, n))) => (*want == b'?' || want == have) && naive(p, n),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn wildcards_mean_what_they_say(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(pattern, name), naive(pattern, name));
        }

        #[test]
        fn any_text_is_safe(host in any::<String>(), name in any::<String>()) {
            let _ = accepts(&host, [name.as_str()]);
        }
    }
}
