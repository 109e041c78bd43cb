//! `AthTrust NETWORK… | all | none`: from which addresses the engine's own paths may be asked.

use super::words;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// The trusted addresses. The default is loopback: `127.0.0.0/8` and `::1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Every address; `Require` decides.
    All,
    /// These networks; none of them: nobody.
    Networks(Vec<IpNet>),
}

/// Why a line of `AthTrust` is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrustError {
    /// Nothing is named.
    #[error("AthTrust: name networks, or all, or none")]
    Empty,
    /// Neither address nor network.
    #[error(
        "AthTrust {0}: must be an IP address or network, for example 10.0.0.0/8, or all, or none"
    )]
    Network(String),
    /// `all` or `none` beside something else, be it on another line.
    #[error("AthTrust {0}: must stand alone, without other words or lines")]
    NotAlone(String),
}

impl Default for Trust {
    fn default() -> Self {
        Self::Networks(LOOPBACK.to_vec())
    }
}

impl Trust {
    /// Reads the arguments of one `AthTrust`. What it names takes the default's place.
    ///
    /// # Errors
    /// A word that is no network, or `all` or `none` among others.
    pub fn parse(args: &str) -> Result<Self, TrustError> {
        let words: Vec<_> = words::split(args).collect();
        let whole = |word: &str| ["all", "none"].iter().any(|w| w.eq_ignore_ascii_case(word));
        match words.as_slice() {
            [] => Err(TrustError::Empty),
            [word] if word.eq_ignore_ascii_case("all") => Ok(Self::All),
            [word] if word.eq_ignore_ascii_case("none") => Ok(Self::Networks(Vec::new())),
            many => many
                .iter()
                .map(|word| match network(word) {
                    Some(network) => Ok(network),
                    None if whole(word) => Err(TrustError::NotAlone(word.to_string())),
                    None => Err(TrustError::Network(word.to_string())),
                })
                .collect::<Result<_, _>>()
                .map(Self::Networks),
        }
    }

    /// With what another line of the same server names.
    ///
    /// # Errors
    /// One of them says `all` or `none`.
    pub fn and(self, more: Self) -> Result<Self, TrustError> {
        match (self, more) {
            (Self::All, _) | (_, Self::All) => Err(TrustError::NotAlone("all".to_owned())),
            (Self::Networks(one), Self::Networks(more)) if one.is_empty() || more.is_empty() => {
                Err(TrustError::NotAlone("none".to_owned()))
            }
            (Self::Networks(one), Self::Networks(more)) => Ok(Self::Networks([one, more].concat())),
        }
    }

    /// Whether everybody is trusted here, and `Require` alone decides.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether `address` is trusted. An IPv4 address inside IPv6 (`::ffff:10.0.0.1`, as dual-stack
    /// sockets report it) counts as IPv4.
    pub fn trusts(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Networks(networks) => networks
                .iter()
                .any(|network| network.contains(&address.to_canonical())),
        }
    }
}

/// An address or network; one inside `::ffff:0:0/96` as the IPv4 network it stands for.
fn network(text: &str) -> Option<IpNet> {
    let network = text
        .parse()
        .or_else(|_| text.parse().map(|a: IpAddr| IpNet::from(a)))
        .ok()?;
    let IpNet::V6(six) = network else {
        return Some(network);
    };
    let four = || {
        let length = six.prefix_len().checked_sub(96)?;
        Ipv4Net::new(six.addr().to_ipv4_mapped()?, length).ok()
    };
    Some(four().map_or(network, IpNet::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_trust_their_addresses() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "10.0.0.0/8",
                &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
                &["11.0.0.0", "127.0.0.1", "::1"],
            ),
            (
                "10.1.2.3/8 fe80::/10",
                &["10.9.9.9", "fe80::1"],
                &["fec0::1"],
            ),
            ("192.0.2.7", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            (
                "2001:db8::1 \"::1\"",
                &["2001:db8::1", "::1"],
                &["2001:db8::2"],
            ),
            (
                "::ffff:10.0.0.0/104",
                &["10.2.3.4", "::ffff:10.2.3.4"],
                &["11.0.0.1"],
            ),
            ("::ffff:10.0.0.1", &["10.0.0.1"], &["10.0.0.2"]),
            (
                "0.0.0.0/0",
                &["203.0.113.9", "::ffff:203.0.113.9"],
                &["::1"],
            ),
            ("::/0", &["::1"], &["10.0.0.1", "::ffff:10.0.0.1"]),
            ("ALL", &["203.0.113.9", "::1"], &[]),
            ("none", &[], &["127.0.0.1", "::1"]),
        ];
        for (args, inside, outside) in table {
            let trust = Trust::parse(args).unwrap();
            assert_eq!(trust.is_all(), *args == "ALL");
            for address in *inside {
                assert!(trust.trusts(address.parse().unwrap()), "{args} {address}");
            }
            for address in *outside {
                assert!(!trust.trusts(address.parse().unwrap()), "{args} {address}");
            }
        }
    }

    #[test]
    fn the_default_is_loopback() {
        let trust = Trust::default();
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(trust.trusts(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "128.0.0.1", "::2", "0.0.0.0", "::"] {
            assert!(!trust.trusts(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn another_line_adds_its_networks() {
        let lines = |one, more| Trust::parse(one).unwrap().and(Trust::parse(more).unwrap());
        let both = lines("10.0.0.0/8", "::1 192.0.2.1").unwrap();
        assert_eq!(Ok(both), Trust::parse("10.0.0.0/8 ::1 192.0.2.1"));
        for (one, more, word) in [
            ("all", "10.0.0.1", "all"),
            ("10.0.0.1", "none", "none"),
            ("none", "all", "all"),
        ] {
            let alone = TrustError::NotAlone(word.to_owned());
            assert_eq!(lines(one, more), Err(alone), "{one} {more}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        let network = "must be an IP address or network, for example 10.0.0.0/8, or all, or none";
        let table = [
            ("", "AthTrust: name networks, or all, or none".to_owned()),
            ("localhost", format!("AthTrust localhost: {network}")),
            ("10.0.0.0/33", format!("AthTrust 10.0.0.0/33: {network}")),
            ("10.0.0", format!("AthTrust 10.0.0: {network}")),
            ("10.0.0.1 bogus", format!("AthTrust bogus: {network}")),
            (
                "10.0.0.1 all",
                "AthTrust all: must stand alone, without other words or lines".to_owned(),
            ),
            (
                "None all",
                "AthTrust None: must stand alone, without other words or lines".to_owned(),
            ),
        ];
        for (args, error) in table {
            assert_eq!(Trust::parse(args).map_err(|e| e.to_string()), Err(error));
        }
    }
}
