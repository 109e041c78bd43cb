//! What selects a farm: the host of a reverse-proxy request's URL.

use super::words;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A proxy URL, `scheme://host[:port]rest`, read without copying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The scheme as written.
    pub scheme: &'a str,
    /// Whether a `user[:password]@` stands before the host.
    pub userinfo: bool,
    /// The host as written, never empty; an IPv6 address with its brackets.
    pub host: &'a str,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// Path, query and fragment: empty, or beginning with `/`, `?` or `#`. Any bytes.
    pub rest: &'a [u8],
}

impl<'a> Target<'a> {
    /// Reads a URL as `mod_proxy` hands it on. `None`: no absolute URL with a host, such as a path,
    /// `!` or `unix:/socket|http://host/`, or a port that is none. Never panics, whatever the bytes.
    pub fn parse(url: &'a [u8]) -> Option<Self> {
        let colon = url.iter().position(|&b| b == b':')?;
        let (scheme, rest) = url.split_at_checked(colon)?;
        Self::behind_slashes(read_scheme(scheme)?, rest.strip_prefix(b"://")?)
    }

    /// As [`Self::parse`], of a URL that nobody can read another host in. httpd takes all up to the first
    /// `/` for the authority, `?` and `#` too, and what is behind its last `@` for the host
    /// (`ap_proxy_canon_netloc`). So there are only a plain host, perhaps a port, and nothing or a path.
    pub fn parse_strict(url: &'a str) -> Option<Self> {
        let target = Self::parse(url.as_bytes())?;
        let authority = url.as_bytes().strip_suffix(target.rest)?;
        let strict = !target.userinfo
            && is_plain_host(target.host)
            && target.port != Some(0)
            && !authority.ends_with(b":")
            && matches!(target.rest.first(), None | Some(b'/'));
        strict.then_some(target)
    }

    /// Reads what stands behind `scheme://`.
    pub fn behind_slashes(scheme: &'a str, rest: &'a [u8]) -> Option<Self> {
        // Nearly always a plain name, which has no parts to look for.
        let mut plain = true;
        let authority_end = rest
            .iter()
            .position(|b| {
                plain &= !matches!(b, b':' | b'@' | b'[' | b']');
                matches!(b, b'/' | b'?' | b'#')
            })
            .unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(authority_end)?;
        let authority = std::str::from_utf8(authority).ok()?;
        let (userinfo, host, port) = if plain {
            (false, authority, None)
        } else {
            split_authority(authority)?
        };
        (!host.is_empty()).then_some(Self {
            scheme,
            userinfo,
            host,
            port,
            rest,
        })
    }

    /// The port that is written, or else the scheme's default one.
    pub fn effective_port(&self) -> Option<u16> {
        self.port.or_else(|| default_port(self.scheme))
    }

    /// No port is written, or the scheme's default one.
    pub fn has_standard_port(&self) -> bool {
        self.port.is_none() || self.port == default_port(self.scheme)
    }

    /// Neither a user is written nor a port, but the scheme's default one.
    pub(super) fn has_no_more_than_a_host(&self) -> bool {
        !self.userinfo && self.has_standard_port()
    }

    /// Whether the target is spelt `balancer://NAME`, a balancer to `mod_proxy`.
    pub fn is_balancer(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("balancer")
    }
}

/// The farm that a target names, in lower case: no user, no port but the scheme's default one, and
/// no dot unless the target is `balancer://NAME` or `is_declared` knows the (lower-case) name from
/// `AthFarm` or `LBServerCluster`: a name with a dot may be a real host elsewhere in the
/// configuration. Whether such a farm exists is the caller's to look up.
pub fn farm_name<'a>(
    target: &Target<'a>,
    is_declared: impl Fn(&str) -> bool,
) -> Option<Cow<'a, str>> {
    if !target.has_no_more_than_a_host() || target.host.starts_with('[') {
        return None;
    }
    let name = lower(target.host);
    let is_farms = !name.contains('.') || target.is_balancer() || is_declared(&name);
    is_farms.then_some(name)
}

/// The farm of a target spelt `balancer://NAME`, in lower case; whatever there is of user and port. None of
/// a section with wildcards.
pub fn balancer_name(url: &str) -> Option<String> {
    let target = Target::parse(url.as_bytes())?;
    let named = target.is_balancer() && !target.host.contains('*');
    named.then(|| target.host.to_ascii_lowercase())
}

/// The name that `mod_proxy_balancer` looks a target up by, whoever it is for: the host of `balancer://`
/// (`proxy_balancer_canon` in `mod_proxy_balancer.c`), which ends at nothing but a slash; a user and a
/// port are dropped.
pub fn looked_up_by_stock(url: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = url.split_at_checked(b"balancer://".len())?;
    if !scheme.eq_ignore_ascii_case(b"balancer://") {
        return None;
    }
    let authority = rest.split(|&b| b == b'/').next()?;
    let host = authority.rsplit(|&b| b == b'@').next()?;
    host.split(|&b| b == b':').next()
}

/// The user that a proxy URL names before its host, without a password.
pub fn user(url: &[u8]) -> Option<&[u8]> {
    // Hardly any URL has one, and this is asked of all.
    if !url.contains(&b'@') {
        return None;
    }
    let authority = url.splitn(4, |&b| b == b'/').nth(2)?;
    let at = authority.iter().position(|&b| b == b'@')?;
    authority.get(..at)?.split(|&b| b == b':').next()
}

/// Whether a target's name is known only when a request comes: `ProxyPassMatch` fills in what its
/// pattern matched, `ProxyPass interpolate` a variable.
pub fn is_filled_in(name: &str) -> bool {
    name.contains('$')
}

/// The name in a target that a request's path goes on with directly: that of `http://NAME` where a `ProxyPass`
/// (`by_prefix`) maps a path with a slash at its end, and that of `http://NAME$1`, unless the pattern's groups
/// begin with a slash, or with the path.
pub fn open_ended<'a>(target: &Target<'a>, pattern: &str, by_prefix: bool) -> Option<&'a str> {
    if let Some((name, _)) = target.host.split_once('$') {
        let behind_slash =
            pattern.contains("(/") || pattern.trim_start_matches('^').starts_with('(');
        return (!behind_slash).then_some(name);
    }
    let open = by_prefix && target.rest.is_empty() && pattern.ends_with('/');
    open.then_some(target.host)
}

/// Whether a `RewriteRule` proxies: `[P]` or `[proxy]` among its flags.
pub fn rule_proxies(args: &str) -> bool {
    words::split(args).nth(2).is_some_and(|flags| {
        flags
            .trim_matches(['[', ']'])
            .split(',')
            .any(|flag| matches!(flag.trim().to_ascii_lowercase().as_str(), "p" | "proxy"))
    })
}

/// Whether a member is written as a URL (`unix:/socket|http://host/` is one, too).
pub fn has_scheme(url: &str) -> bool {
    url.find("://").is_some_and(|at| at > 0)
}

/// A URL without its port; `None` if it has none.
pub fn without_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (host, port) = authority.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| format!("{scheme}://{host}{path}"))
}

/// Whether an unknown host is likely a misspelt farm (a name without a dot, no address, not
/// `localhost`): worth a warning at start, for each request would end in a failed DNS look-up.
pub fn looks_like_farm(host: &str) -> bool {
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    // inet_aton takes a bare number for an address.
    let number = host.bytes().all(|b| b.is_ascii_digit());
    host.bytes().all(name) && !number && !host.eq_ignore_ascii_case("localhost")
}

/// Whether `name` may be declared as a farm: 1 to [`FARM_NAME_MAX`] letters, digits, `.`, `_` and
/// `-`, the first a letter or digit, and neither an address nor `localhost`, which may be real
/// hosts elsewhere in the configuration.
pub fn is_farm_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    name.len() <= FARM_NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(inner)
        && name.parse::<Ipv4Addr>().is_err()
        && !name.eq_ignore_ascii_case("localhost")
}

/// Longest name that a farm can be declared with, in bytes. `mod_proxy` keeps `balancer://NAME` in
/// 96 bytes.
pub const FARM_NAME_MAX: usize = 64;

/// The schemes that a member with a host can have, and the ports that they stand for (httpd:
/// `ap_proxy_port_of_scheme` and the schemes' own modules).
pub const SCHEMES: &[(&str, u16)] = &[
    ("http", 80),
    ("https", 443),
    ("h2c", 80),
    ("h2", 443),
    ("ws", 80),
    ("wss", 443),
    ("ajp", 8009),
    ("fcgi", 8000),
    ("scgi", 4000),
    ("uwsgi", 3031),
    ("ftp", 21),
];

/// Whether members can have it.
pub fn is_members_scheme(scheme: &str) -> bool {
    port_among(SCHEMES, scheme).is_some()
}

/// The port a scheme stands for.
pub fn default_port(scheme: &str) -> Option<u16> {
    port_among(SCHEMES, scheme).or_else(|| port_among(&[("balancer", 80)], scheme))
}

fn port_among(schemes: &[(&str, u16)], scheme: &str) -> Option<u16> {
    let mut schemes = schemes.iter();
    let same = schemes.find(|(name, _)| name.eq_ignore_ascii_case(scheme));
    same.map(|&(_, port)| port)
}

fn read_scheme(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|_| is_scheme(bytes))
}

pub(super) fn is_scheme(bytes: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.iter().all(inner)
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_plain_host(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match host.strip_prefix('[') {
        Some(six) => six
            .strip_suffix(']')
            .is_some_and(|six| six.parse::<Ipv6Addr>().is_ok()),
        None => host.bytes().all(plain),
    }
}

/// Whether there is a user, host and port.
fn split_authority(authority: &str) -> Option<(bool, &str, Option<u16>)> {
    let at = authority.bytes().rposition(|b| b == b'@');
    let host_port = authority.get(at.map_or(0, |at| at + 1)..)?;
    let (host, port) = split_port(host_port)?;
    Some((at.is_some(), host, port))
}

/// Host and port. As in `apr_uri_parse`, an empty port counts as none.
fn split_port(host_port: &str) -> Option<(&str, Option<u16>)> {
    let last = host_port.bytes().rposition(|b| matches!(b, b':' | b']'));
    let Some((host, port)) = last.and_then(|at| host_port.split_at_checked(at)) else {
        return Some((host_port, None));
    };
    let Some(port) = port.strip_prefix(':') else {
        return Some((host_port, None));
    };
    if !host.starts_with('[') && host.bytes().any(|b| b == b':') {
        return None;
    }
    if port.is_empty() {
        return Some((host, None));
    }
    let value = port.bytes().try_fold(0u16, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u16::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    });
    value.map(|port| (host, Some(port)))
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `scheme host port rest`, `@` before a host with a user.
    fn shown(url: &[u8]) -> Option<String> {
        Target::parse(url).map(|t| {
            let user = if t.userinfo { "@" } else { "" };
            let port = t.port.map_or("-".to_owned(), |p| p.to_string());
            format!(
                "{} {user}{} {port} {}",
                t.scheme,
                t.host,
                t.rest.escape_ascii()
            )
        })
    }

    #[test]
    fn a_path_goes_on_directly_behind_a_name() {
        for (target, pattern, by_prefix, name) in [
            ("http://farm", "/x/", true, Some("farm")),
            ("http://farm", "/x", true, None),
            ("http://farm", "^/x/", false, None),
            ("http://farm/", "/x/", true, None),
            ("http://farm?x", "/x/", true, None),
            ("http://Farm$1", "^/x(.*)", false, Some("Farm")),
            ("http://farm$1/$2", "^/x(.*)", false, Some("farm")),
            ("http://farm/$1", "^/x(.*)", false, None),
            ("http://farm$1", "^/x(/.*)", false, None),
            ("http://farm$1", "^(.*[.]gif)", false, None),
        ] {
            let parsed = Target::parse(target.as_bytes()).unwrap();
            assert_eq!(
                open_ended(&parsed, pattern, by_prefix),
                name,
                "{target} {pattern}"
            );
        }
    }

    #[test]
    fn a_port_is_left_out() {
        for (url, without) in [
            ("http://a:80", Some("http://a")),
            ("http://u:p@a:80/b:1?c", Some("http://u:p@a/b:1?c")),
            ("https://[::1]:443/", Some("https://[::1]/")),
            ("https://[::1]/", None),
            ("http://a/b:80", None),
            ("http://a:", None),
            ("a:80", None),
        ] {
            assert_eq!(without_port(url).as_deref(), without, "{url}");
        }
    }

    #[test]
    fn urls_are_taken_apart() {
        let table: &[(&[u8], Option<&str>)] = &[
            (b"http://farm/a?b", Some("http farm - /a?b")),
            (b"HTTP://Farm_One:80/", Some("HTTP Farm_One 80 /")),
            (b"balancer://farm", Some("balancer farm - ")),
            (b"http://farm?x=/y", Some("http farm - ?x=/y")),
            (b"http://farm#f", Some("http farm - #f")),
            (b"http://farm:/x", Some("http farm - /x")),
            (b"http://user:p@farm:81/x", Some("http @farm 81 /x")),
            (b"http://u@v@farm/", Some("http @farm - /")),
            (b"http://farm/x@y:1", Some("http farm - /x@y:1")),
            (b"http://[::1]:8080/x", Some("http [::1] 8080 /x")),
            (b"http://[::1]", Some("http [::1] - ")),
            (
                b"http://farm/\xff\x80%zz",
                Some("http farm - /\\xff\\x80%zz"),
            ),
            (b"http://farm\\@evil/", Some("http @evil - /")),
            (b"http://::1/", None),
            (b"http://farm:65536/", None),
            (b"http://farm:+80/", None),
            (b"http://farm:8 0/", None),
            (b"http://f\xffrm/", None),
            (b"http:///x", None),
            (b"http://:80/", None),
            (b"http://user@/", None),
            (b"http:/farm/", None),
            (b"//farm/", None),
            (b"/farm", None),
            (b"!", None),
            (b"", None),
            (b"://farm/", None),
            (b"1http://farm/", None),
            (b"unix:/run/app.sock|http://farm/", None),
            (b"x y://farm/", None),
        ];
        for (url, expected) in table {
            assert_eq!(shown(url).as_deref(), *expected, "{}", url.escape_ascii());
        }
    }

    #[test]
    fn a_strict_url_has_one_host() {
        for url in [
            "http://a",
            "HTTPS://A.b-c_d.:8443/x?y#z",
            "http://127.0.0.1:65535/?@evil/",
            "ajp://[2001:db8::1]:8009/@evil",
            "http://[::1]/",
        ] {
            assert_eq!(
                Target::parse_strict(url),
                Target::parse(url.as_bytes()),
                "{url}"
            );
            assert!(Target::parse_strict(url).is_some(), "{url}");
        }
        for url in [
            "http://a?@evil/",
            "http://a#@evil/",
            "http://a?x=1",
            "http://a#x",
            "http://u@a/",
            "http://@a/",
            "http://a\\@evil/",
            "http://a\\evil/",
            "http://a;x/",
            "http://a%2eb/",
            "http://a\tb/",
            "http://a\nb/",
            "http://a b/",
            "http://ä/",
            "http://a:/",
            "http://a:",
            "http://a:0/",
            "http://a:65536/",
            "http://127.0.0.1]:80/",
            "http://[127.0.0.1]:80/",
            "http://[[::1]]:80/",
            "http://[::1]]:80/",
            "http://[::1]x/",
            "http://[fe80::1%25eth0]/",
            "unix:/s|http://a/",
            "/a",
        ] {
            assert_eq!(Target::parse_strict(url), None, "{url}");
        }
    }

    #[test]
    fn a_target_selects_a_farm() {
        let table: &[(&[u8], Option<&str>)] = &[
            (b"http://farm_one/reports/", Some("farm_one")),
            (b"HTTP://FARM_One", Some("farm_one")),
            (b"balancer://farm/x", Some("farm")),
            (b"Balancer://farm.v2/x", Some("farm.v2")),
            (b"http://farm:80/", Some("farm")),
            (b"https://farm:443/", Some("farm")),
            (b"wss://farm:443/", Some("farm")),
            (b"ajp://farm:8009/", Some("farm")),
            (b"fcgi://farm:8000/", Some("farm")),
            (b"balancer://farm:80/", Some("farm")),
            (b"http://shop.example/", Some("shop.example")),
            (b"http://SHOP.example/", Some("shop.example")),
            (b"http://farm:443/", None),
            (b"https://farm:80/", None),
            (b"balancer://farm:8080/", None),
            (b"balancer://user@farm/", None),
            (b"http://user@farm/", None),
            (b"http://@farm/", None),
            (b"http://www.example.com/", None),
            (b"http://farm.v2/", None),
            (b"http://10.0.0.1/", None),
            (b"http://[::1]/", None),
        ];
        for (url, expected) in table {
            let target = Target::parse(url).unwrap();
            let name = farm_name(&target, |name| name == "shop.example");
            assert_eq!(name.as_deref(), *expected, "{}", url.escape_ascii());
        }
    }

    #[test]
    fn what_stock_looks_up() {
        for (url, name) in [
            ("balancer://Farm/x", Some("Farm")),
            ("BALANCER://farm", Some("farm")),
            ("balancer://u:p@farm:8080/x@y", Some("farm")),
            ("balancer://a?b@c@farm:/", Some("farm")),
            ("balancer://farm?x/", Some("farm?x")),
            ("balancer:/farm/", None),
            ("http://farm/", None),
            ("balancer", None),
        ] {
            assert_eq!(
                looked_up_by_stock(url.as_bytes()),
                name.map(str::as_bytes),
                "{url}"
            );
        }
    }

    #[test]
    fn flags_of_rules() {
        for args in ["^ http://a/ [P]", "^ \"http://a/\" \"[L, proxy]\"", "^ x p"] {
            assert!(rule_proxies(args), "{args}");
        }
        for args in ["^ http://a/", "^ http://a/ [PT]", "^ P", "[P]"] {
            assert!(!rule_proxies(args), "{args}");
        }
    }

    #[test]
    fn misspelt_farms_are_noticed() {
        for host in ["farm_one", "Farm-1", "x"] {
            assert!(looks_like_farm(host), "{host}");
        }
        for host in [
            "www.example.com",
            "10.0.0.1",
            "[::1]",
            "localhost",
            "LocalHost",
            "80",
            "",
            "$1",
        ] {
            assert!(!looks_like_farm(host), "{host}");
        }
    }

    #[test]
    fn farm_names() {
        let longest = "a".repeat(FARM_NAME_MAX);
        for name in ["farm_one", "a", "9-b", "shop.example", &longest] {
            assert!(is_farm_name(name), "{name}");
        }
        let longer = "a".repeat(FARM_NAME_MAX + 1);
        for name in [
            "",
            ".a",
            "-a",
            "_a",
            "a/b",
            "a:80",
            "a@b",
            "a b",
            "ä",
            "10.0.0.1",
            "Localhost",
            &longer,
        ] {
            assert!(!is_farm_name(name), "{name}");
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_bytes_are_safe(url in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Target::parse(&url).and_then(|t| farm_name(&t, |_| true).map(Cow::into_owned));
        }

        #[test]
        fn near_urls_are_safe(
            url in "[hH]?[tb]{0,2}:?/{0,3}[a-zé.@:\\[\\]]{0,8}[:@]?[0-9+]{0,6}[/?#]?[ -~]{0,9}",
        ) {
            if let Some(target) = Target::parse(url.as_bytes()) {
                prop_assert!(!target.host.is_empty());
                prop_assert!(url.as_bytes().ends_with(target.rest));
                if let Some(name) = farm_name(&target, |_| true) {
                    let lower = !name.bytes().any(|b| b.is_ascii_uppercase());
                    prop_assert!(lower && !target.userinfo);
                    prop_assert!(name.eq_ignore_ascii_case(target.host));
                }
            }
        }
    }
}
