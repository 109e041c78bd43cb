//! Which `<Proxy>` sections hold for a farm.
//!
//! httpd compares a section's name with the proxied URL byte by byte (`mod_proxy.c`:
//! `proxy_walk`), so a farm's access rules would hold for one spelling of its name and not for
//! another. Here a section that names the farm holds for every spelling: without case, with the
//! default port or none, `balancer://NAME` or any other scheme.

use super::target::{self, Target};

/// Whether the section `<Proxy "section">` (no pattern, no regular expression) holds for a request
/// to `farm` (lower case) that came as `scheme://farm` followed by `path` (path and query as sent).
///
/// A section without a path holds for all of the farm, and for all farms whose names begin so, unless the
/// name is that of a farm with members itself. One with a path holds for every path that begins with it,
/// compared with case, as in stock httpd; its trailing slash may be missing in the request. A section that
/// ends before the host (`http:`, `balancer://`) holds for all farms reached by that scheme; one of
/// `balancer:` for all farms. `is_declared` as in [`target::farm_name`].
pub fn section_holds(
    section: &[u8],
    farm: &str,
    scheme: &str,
    path: &[u8],
    is_declared: impl Fn(&str) -> bool,
    has_members: impl Fn(&str) -> bool,
) -> bool {
    let Some(named) = Target::parse(section) else {
        return begins_scheme(section, scheme) || begins_scheme(section, "balancer");
    };
    let Some(name) = target::farm_name(&named, is_declared) else {
        return false;
    };
    if name == farm {
        return path_holds(named.rest, path);
    }
    let ends_with_name = named.port.is_none() && named.rest.is_empty();
    ends_with_name && farm.starts_with(&*name) && !has_members(&name)
}

fn begins_scheme(section: &[u8], scheme: &str) -> bool {
    let all = [scheme.as_bytes(), b"://"].concat();
    all.get(..section.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(section))
}

fn path_holds(section: &[u8], path: &[u8]) -> bool {
    if path.starts_with(section) {
        return true;
    }
    section
        .strip_suffix(b"/")
        .and_then(|directory| path.strip_prefix(directory))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'?' | b'#')))
}

/// What a section's pattern says of names: all between a `://` and the next slash. Without any `://`, all of it.
pub fn names_in(pattern: &[u8]) -> Vec<u8> {
    let starts = pattern
        .windows(3)
        .enumerate()
        .filter_map(|(at, three)| (three == b"://").then_some(at + 3));
    let names: Vec<&[u8]> = starts
        .filter_map(|start| {
            let end = slash_behind(pattern, start).unwrap_or(pattern.len());
            pattern.get(start..end)
        })
        .collect();
    if names.is_empty() {
        return pattern.to_vec();
    }
    names.join(&b'/')
}

/// A farm's name (lower case) in the case in which a pattern writes it, or the longest pieces of it: so a pattern
/// is the same for a name in any case and stays as it is for all else. `names` from [`names_in`].
pub fn spelt_as_in(names: &[u8], farm: &str) -> Vec<u8> {
    let shouts =
        names.iter().any(u8::is_ascii_uppercase) && !names.iter().any(u8::is_ascii_lowercase);
    let mut spelt = Vec::with_capacity(farm.len());
    while let Some(rest @ [first, ..]) = farm.as_bytes().get(spelt.len()..) {
        let mut longest: &[u8] = b"";
        for at in 0..names.len() {
            let from = names.get(at..).unwrap_or_default();
            let length = same_letters(from, rest);
            if length > longest.len() {
                longest = from.get(..length).unwrap_or_default();
            }
        }
        match longest {
            [] if shouts => spelt.push(first.to_ascii_uppercase()),
            [] => spelt.push(*first),
            piece => spelt.extend_from_slice(piece),
        }
    }
    spelt
}

/// Whether the name stands there in one piece: if not, its letters may come from what is no name.
pub fn is_written_in(names: &[u8], farm: &str) -> bool {
    let farm = farm.as_bytes();
    (0..names.len())
        .filter_map(|at| names.get(at..))
        .any(|from| same_letters(from, farm) == farm.len())
}

/// How many bytes at the start of both are the same in any case.
fn same_letters(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.iter().zip(other);
    pairs
        .take_while(|(one, other)| one.eq_ignore_ascii_case(other))
        .count()
}

/// Where a slash stands that is not one among the characters of a class.
fn slash_behind(pattern: &[u8], from: usize) -> Option<usize> {
    let mut class = None;
    let mut at = from;
    loop {
        let rest = pattern.get(at..)?;
        at += match (class, rest) {
            (_, []) => return None,
            (None, [b'/', ..] | [b'\\', b'/', ..]) => return Some(at),
            (_, [b'\\', ..]) => 2,
            (None, [b'[', b'^', ..]) => {
                class = Some(at + 2);
                2
            }
            (None, [b'[', ..]) => {
                class = Some(at + 1);
                1
            }
            // A class of its own within, as `[:alpha:]`.
            (Some(_), [b'[', b':', ..]) => rest.windows(2).position(|two| two == b":]")? + 2,
            // The first character of a class is none of its brackets.
            (Some(first), [b']', ..]) if at > first => {
                class = None;
                1
            }
            _ => 1,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(section: &str, url: &str) -> bool {
        let target = Target::parse(url.as_bytes()).unwrap();
        let is_declared = |name: &str| name == "shop.example";
        let farm = target::farm_name(&target, is_declared).unwrap();
        section_holds(
            section.as_bytes(),
            &farm,
            target.scheme,
            target.rest,
            is_declared,
            |name| name == "far",
        )
    }

    #[test]
    fn a_section_holds_for_every_spelling_of_its_farm() {
        let sections = [
            "balancer://farm",
            "balancer://FARM/",
            "BALANCER://Farm",
            "http://farm",
            "http://farm/",
            "HTTP://FARM:80",
            "https://farm:443/",
            "ajp://farm",
        ];
        let urls = [
            "balancer://farm",
            "balancer://farm/",
            "balancer://Farm/a/b",
            "http://farm/a",
            "http://FARM:80/a",
            "https://farm",
            "http://farm?x",
            "ws://farm/",
        ];
        for section in sections {
            for url in urls {
                assert!(holds(section, url), "{section} {url}");
            }
        }
    }

    #[test]
    fn a_section_holds_for_no_other_farm() {
        let sections = [
            "balancer://far",
            "balancer://farm2",
            "http://farm_",
            "http://farm:8080",
            "http://user@farm/",
            "http://farm.example",
            "/farm",
            "farm",
            "*",
            "balancer:/farm",
            "x",
        ];
        for section in sections {
            for url in ["balancer://farm/a", "http://farm/a"] {
                assert!(!holds(section, url), "{section} {url}");
            }
        }
    }

    #[test]
    fn paths_and_dots_and_bare_schemes() {
        let table = [
            ("http://farm/admin/", "balancer://farm/admin/x", true),
            ("balancer://farm/admin", "http://farm/admin", true),
            ("balancer://farm/admin", "http://farm/admin.html", true),
            ("balancer://farm/admin/", "http://farm/admin", true),
            ("balancer://farm/admin/", "http://farm/admin?x", true),
            ("balancer://farm/admin/", "http://farm/admin.html", false),
            ("balancer://farm/admin", "http://farm/Admin", false),
            ("balancer://farm/admin", "http://farm/", false),
            ("balancer://farm/admin", "http://farm", false),
            ("http://shop.example", "http://shop.example/", true),
            ("http://shop.example/", "balancer://shop.example", true),
            ("balancer://farm.v2", "balancer://FARM.v2/x", true),
            // Not declared: the section speaks of the real host of that name.
            ("http://farm.v2", "balancer://farm.v2/x", false),
            ("balancer://fa", "http://farm/", true),
            ("http://FA", "balancer://farm/x", true),
            ("balancer://farm.", "http://shop.example/", false),
            ("balancer://shop.ex", "http://shop.example/", true),
            ("balancer://fa/", "balancer://farm/", false),
            ("balancer://fa:80", "balancer://farm/", false),
            ("", "http://farm/", true),
            ("http:", "http://farm/", true),
            ("HTTP://", "http://farm/", true),
            ("https://", "http://farm/", false),
            ("balancer://", "http://farm/", true),
        ];
        for (section, url, expected) in table {
            assert_eq!(holds(section, url), expected, "{section} {url}");
        }
    }

    #[test]
    fn a_pattern_speaks_of_names() {
        let table = [
            ("^balancer://Closed/A", "Closed"),
            ("^http://[^/]+/A", "[^/]+"),
            (r"^http://\w+\/A/", r"\w+"),
            (
                "^http://(?<WHO>[^]/[:alpha:]/x]+)/A",
                "(?<WHO>[^]/[:alpha:]/x]+)",
            ),
            ("^a://SHOP/admin|^b://Closed/", "SHOP/Closed"),
            ("balancer://Clo*", "Clo*"),
            (r"^http:\/\/Closed\/A", r"^http:\/\/Closed\/A"),
            ("http://[a/", "[a/"),
            (r"x://a\", r"a\"),
            ("x://", ""),
            ("*", "*"),
            ("", ""),
        ];
        for (pattern, names) in table {
            let found = names_in(pattern.as_bytes());
            assert_eq!(
                found.escape_ascii().to_string(),
                names.as_bytes().escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn a_name_is_spelt_as_a_pattern_writes_it() {
        let table = [
            ("^balancer://Closed/X", "Closed"),
            ("balancer://CLOS*D/*", "CLOSED"),
            ("balancer://C?oSed/*", "CloSed"),
            ("^http://[^/]*SED/", "CLOSED"),
            ("^http://[A-Z]+/x", "CLOSED"),
            ("^http://[a-z]+/SED", "closed"),
            ("^(a://SHOP/admin|b://CLOSED/)", "CLOSED"),
            ("^balancer://(?!Clo)", "Closed"),
            ("^balancer://.*Other", "clOsed"),
        ];
        for (pattern, expected) in table {
            let spelt = spelt_as_in(&names_in(pattern.as_bytes()), "closed");
            assert_eq!(String::from_utf8(spelt).unwrap(), expected, "{pattern}");
        }
        for (names, whole) in [("(?!cLOSED)", true), ("(?<WHO>[a-z]+)", false), ("", false)] {
            assert_eq!(is_written_in(names.as_bytes(), "closed"), whole, "{names}");
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_bytes_are_safe(
            section in prop::collection::vec(any::<u8>(), 0..40),
            path in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = section_holds(&section, "farm", "http", &path, |_| true, |_| false);
            let spelt = spelt_as_in(&names_in(&section), "farm");
            prop_assert_eq!(spelt.to_ascii_lowercase(), b"farm");
        }

        #[test]
        fn both_spellings_get_the_same_sections(
            section in "(balancer|http)://(farm|FARM|far|farm2)(:80)?(/[ab]{0,2}/?)?",
            path in "/[ab]{0,3}/?[ab]?",
        ) {
            let (section, path) = (section.as_bytes(), path.as_bytes());
            let by = |scheme| section_holds(section, "farm", scheme, path, |_| false, |_| false);
            prop_assert_eq!(by("balancer"), by("http"));
        }
    }
}
