//! `AthMemberAllow [SCHEME://]HOST|NETWORK[:PORT]… | none`: which URLs people may make this server
//! send requests to at run time (`forward`, `fallback`, members that are added). What the
//! configuration itself names needs no leave.

use super::target::{Target, is_members_scheme};
use super::words;
use ipnet::IpNet;
use std::net::IpAddr;
use thiserror::Error;

/// The URLs that are allowed; the default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Entry>);

/// One word of the line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Lower case; `None`: any.
    scheme: Option<String>,
    host: Host,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// The whole name, lower case.
    Name(String),
    /// An address as a literal; names are not looked up.
    Network(IpNet),
}

/// Why a line of `AthMemberAllow` is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AllowError {
    /// Nothing is named.
    #[error("AthMemberAllow: name hosts or networks, or none")]
    Empty,
    /// Not of the form.
    #[error(
        "AthMemberAllow {0}: must be [SCHEME://]HOST[:PORT], SCHEME a member's, HOST a name, an IP address or a network \
         (of IPv6 in brackets), for example http://10.0.0.0/8:8080; or none alone"
    )]
    Entry(String),
}

impl Allowed {
    /// Reads the arguments of one line.
    ///
    /// # Errors
    /// A word that is not of the form.
    pub fn parse(args: &str) -> Result<Self, AllowError> {
        let words: Vec<_> = words::split(args).collect();
        match words.as_slice() {
            [] => Err(AllowError::Empty),
            [word] if word.eq_ignore_ascii_case("none") => Ok(Self::default()),
            many => many
                .iter()
                .map(|word| {
                    let entry = Entry::parse(word).filter(|_| !word.eq_ignore_ascii_case("none"));
                    entry.ok_or_else(|| AllowError::Entry(word.to_string()))
                })
                .collect::<Result<_, _>>()
                .map(Self),
        }
    }

    /// With what another line of the same server names.
    ///
    /// # Errors
    /// One of them says `none`.
    pub fn and(self, more: Self) -> Result<Self, AllowError> {
        if self.is_none() || more.is_none() {
            return Err(AllowError::Entry("none".to_owned()));
        }
        Ok(Self([self.0, more.0].concat()))
    }

    /// No URL is.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether requests may be sent to this URL. Hosts are compared whole; a URL that httpd could read
    /// another host in is not allowed.
    pub fn allows(&self, url: &str) -> bool {
        Target::parse_strict(url)
            .is_some_and(|target| self.0.iter().any(|entry| entry.allows(&target)))
    }

    /// Whether this host is named with this port, or with any, for whatever scheme.
    pub fn names(&self, host: &str, port: u16) -> bool {
        let same = |entry: &Entry| entry.port.is_none_or(|own| own == port);
        self.0
            .iter()
            .any(|entry| entry.host.is(host) && same(entry))
    }
}

impl Entry {
    fn parse(word: &str) -> Option<Self> {
        let (scheme, rest) = match word.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, word),
        };
        if !scheme.as_deref().is_none_or(is_members_scheme) {
            return None;
        }
        let (host, port) = if let Some(rest) = rest.strip_prefix('[') {
            let (inner, behind) = rest.split_once(']')?;
            // `[2001:db8::]/32` as well as `[2001:db8::/32]`.
            let end = behind.find(':').unwrap_or(behind.len());
            let (length, port) = behind.split_at_checked(end)?;
            let six = network(&format!("{inner}{length}"))?;
            if !matches!(six, IpNet::V6(_)) {
                return None;
            }
            (Host::Network(six), port)
        } else {
            let end = rest.find(':').unwrap_or(rest.len());
            let (host, port) = rest.split_at_checked(end)?;
            (read_host(host)?, port)
        };
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
            None if port.is_empty() => None,
            None => return None,
        };
        Some(Self { scheme, host, port })
    }

    fn allows(&self, target: &Target<'_>) -> bool {
        let same = |scheme: &String| scheme.eq_ignore_ascii_case(target.scheme);
        self.host.is(target.host)
            && self.scheme.as_ref().is_none_or(same)
            && self
                .port
                .is_none_or(|port| target.effective_port() == Some(port))
    }
}

impl Host {
    fn is(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name.eq_ignore_ascii_case(host),
            Self::Network(network) => host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .unwrap_or(host)
                .parse()
                .is_ok_and(|address: IpAddr| network.contains(&address)),
        }
    }
}

fn read_host(text: &str) -> Option<Host> {
    if let Some(network) = network(text) {
        return Some(Host::Network(network));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let name = !text.is_empty() && text.bytes().all(plain);
    // What only looks like an address would never match one.
    let numbers = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (name && !numbers).then(|| Host::Name(text.to_ascii_lowercase()))
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse().map(|address: IpAddr| IpNet::from(address));
    text.parse().or_else(|_| address()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_hosts_ports_and_schemes() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "app.example",
                &["http://app.example/", "https://APP.example:8443/x"],
                &[
                    "http://app.example.evil/",
                    "http://evil.app.example/",
                    "http://app.example@evil/",
                    "http://user@app.example/",
                    "http://evil/app.example",
                    "http://app.example?@evil/",
                    "http://app.example#@evil/",
                    "http://app.example?x",
                    "http://app.example:80?a@evil/",
                    "http://app.example./",
                ],
            ),
            (
                "http://10.0.0.0/8:8080",
                &["http://10.1.2.3:8080/x"],
                &[
                    "http://10.1.2.3/",
                    "https://10.1.2.3:8080/",
                    "http://11.0.0.1:8080/",
                    "http://10.evil:8080/",
                    "http://10.1.2.3:8080?@evil/",
                    "http://10.1.2.3]:8080/",
                    "http://[10.1.2.3]:8080/",
                ],
            ),
            (
                "[2001:db8::/32]:80 192.0.2.7",
                &["http://[2001:db8::1]/", "ajp://192.0.2.7/"],
                &[
                    "https://[2001:db8::1]/",
                    "http://[2001:db9::1]/",
                    "http://192.0.2.70/",
                ],
            ),
            ("none", &[], &["http://localhost/", "http://none/"]),
        ];
        for (args, yes, no) in table {
            let allowed = Allowed::parse(args).unwrap();
            for url in *yes {
                assert!(allowed.allows(url), "{args}: {url}");
            }
            for url in *no {
                assert!(!allowed.allows(url), "{args}: {url}");
            }
        }
        assert!(!Allowed::default().allows("http://localhost/"));
        let allowed = Allowed::parse("http://10.0.0.0/8:80 10.0.0.0/8:9 app.example").unwrap();
        for (host, port, is) in [
            ("10.0.0.1", 9, true),
            ("10.0.0.1", 10, false),
            ("app.example", 10, true),
            ("evil.example", 9, false),
        ] {
            assert_eq!(allowed.names(host, port), is, "{host}:{port}");
        }
    }

    #[test]
    fn another_line_adds_its_hosts() {
        let lines = |one, more| {
            Allowed::parse(one)
                .unwrap()
                .and(Allowed::parse(more).unwrap())
        };
        assert_eq!(
            lines("a.example", "10.0.0.0/8:80"),
            Allowed::parse("a.example 10.0.0.0/8:80")
        );
        assert!(lines("a.example", "none").is_err() && lines("none", "a.example").is_err());
    }

    #[test]
    fn a_word_that_could_mean_two_things_is_refused() {
        assert_eq!(Allowed::parse(" "), Err(AllowError::Empty));
        for word in [
            "*",
            "*.example",
            "10.0.0.0/33",
            "1.2.3",
            "host:",
            "host:0",
            "host:65536",
            "host/x",
            "http://",
            "://host",
            "unix://host",
            "xyz://host",
            "[10.0.0.1]",
            "[::1",
            "::1",
            "user@host",
            "none 127.0.0.1",
            "127.0.0.1 NONE",
        ] {
            let error = Allowed::parse(word).map(|_| word).unwrap_err();
            assert!(matches!(error, AllowError::Entry(_)), "{word}");
        }
    }

    /// The host and port that httpd would send a request to: `ap_proxy_canon_netloc`.
    fn httpds(url: &str) -> (&str, Option<&str>) {
        let (_, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let end = host.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        match host.get(..end).and_then(|name| name.strip_suffix(':')) {
            Some(name) => (name, host.get(end..)),
            None => (host, None),
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn what_is_allowed_is_where_httpd_goes(
            user in "([a-z:]{0,3}@)?",
            host in "(http://)?good|10\\.0\\.0\\.7|\\[::1\\]|\\[10\\.0\\.0\\.7\\]",
            port in "|:|:80|:0080|:81|:65616",
            rest in "[?#/\\\\;@%]{0,3}[a-z:]{0,3}([/@?#]{0,2}evil)?(:[0-9]{1,2})?/?",
        ) {
            let url = format!("http://{user}{}{port}{rest}", host.trim_start_matches("http://"));
            if Allowed::parse("http://good:80 10.0.0.0/8 [::1]:80").unwrap().allows(&url) {
                let (host, port) = httpds(&url);
                prop_assert!(["good", "10.0.0.7", "[::1]"].contains(&host), "{}", url);
                let port = port.map_or(80, |port| port.parse().unwrap());
                prop_assert!(port == 80 || port == 81 && host == "10.0.0.7", "{}", url);
            }
        }

        #[test]
        fn any_text_is_safe(args in ".{0,40}|[a-z0-9:./\\[\\]]{0,30}", url in ".{0,40}") {
            if let Ok(allowed) = Allowed::parse(&args) {
                let _ = allowed.allows(&url);
            }
        }
    }
}
