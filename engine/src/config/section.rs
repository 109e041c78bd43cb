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
/// A section without a path holds for all of the farm. One with a path holds for every path that
/// begins with it, compared with case, as in stock httpd; its trailing slash may be missing in the
/// request. A section that ends before the host (`http:`, `balancer://`) holds for all farms
/// reached by that scheme; one of `balancer:` for all farms. `is_declared` as in
/// [`target::farm_name`].
pub fn section_holds(
    section: &[u8],
    farm: &str,
    scheme: &str,
    path: &[u8],
    is_declared: impl Fn(&str) -> bool,
) -> bool {
    let Some(named) = Target::parse(section) else {
        return begins_scheme(section, scheme) || begins_scheme(section, "balancer");
    };
    target::farm_name(&named, is_declared).is_some_and(|name| name == farm)
        && path_holds(named.rest, path)
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

/// A section's pattern in two: what it says of scheme and name, which are the same in any case, and from
/// the first slash behind `://` on what it says of the path. Without such a slash all of it is the former.
pub fn split_pattern(pattern: &[u8]) -> (&[u8], &[u8]) {
    let name = pattern.windows(3).position(|three| three == b"://");
    let slash = name.and_then(|at| slash_behind(pattern, at + 3));
    pattern
        .split_at_checked(slash.unwrap_or(pattern.len()))
        .unwrap_or((pattern, b""))
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
    fn a_pattern_speaks_of_a_name_and_a_path() {
        let table = [
            ("^balancer://Closed/A", "/A"),
            ("^http://[^/]+/A", "/A"),
            (r"^http://\w+\/A/", r"\/A/"),
            ("^http://(?<WHO>[^]/[:alpha:]/x]+)/A", "/A"),
            ("^[a-z]+://Clos(ed(/|$)|x/)", "/|$)|x/)"),
            ("balancer://Clo*", ""),
            (r"^http:\/\/Closed\/A", ""),
            ("http://[a/", ""),
            (r"x://a\", ""),
            ("Closed/A", ""),
            ("*", ""),
            ("", ""),
        ];
        for (pattern, path) in table {
            let split = split_pattern(pattern.as_bytes());
            assert_eq!(
                split.1.escape_ascii().to_string(),
                path.as_bytes().escape_ascii().to_string()
            );
            assert_eq!([split.0, split.1].concat(), pattern.as_bytes());
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn any_bytes_are_safe(
            section in prop::collection::vec(any::<u8>(), 0..40),
            path in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = section_holds(&section, "farm", "http", &path, |_| true);
            let (name, rest) = split_pattern(&section);
            prop_assert_eq!([name, rest].concat(), section);
        }

        #[test]
        fn both_spellings_get_the_same_sections(
            section in "(balancer|http)://(farm|FARM|far|farm2)(:80)?(/[ab]{0,2}/?)?",
            path in "/[ab]{0,3}/?[ab]?",
        ) {
            let (section, path) = (section.as_bytes(), path.as_bytes());
            let by = |scheme| section_holds(section, "farm", scheme, path, |_| false);
            prop_assert_eq!(by("balancer"), by("http"));
        }
    }
}
