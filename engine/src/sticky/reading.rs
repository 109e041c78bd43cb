//! Which part of a session's value is the route.

use crate::config::value::Must;
use regex::bytes::{Regex, RegexBuilder};

/// How the route is read off a value.
#[derive(Clone, Copy, Debug)]
pub enum Reading<'a> {
    /// Everything behind the first separator (`stickysessionsep`): Tomcat's `id.route`.
    Separator(u8),
    /// Everything (`stickysessionsep=Off`).
    Whole,
    /// The first group of a match (`routeregex`).
    Regex(&'a RouteRegex),
}

impl Reading<'_> {
    /// The route in `value`, which may be empty; `None`: the value has none.
    pub fn route<'v>(&self, value: &'v [u8]) -> Option<&'v [u8]> {
        match self {
            Self::Whole => Some(value),
            Self::Separator(separator) => {
                let at = value.iter().position(|byte| byte == separator)?;
                value.get(at + 1..)
            }
            Self::Regex(RouteRegex(regex)) => {
                let group = regex.captures(value)?.get(1)?;
                Some(group.as_bytes())
            }
        }
    }
}

/// `routeregex`. Two of them are equal when they are written alike.
#[derive(Clone, Debug)]
pub struct RouteRegex(Regex);

impl PartialEq for RouteRegex {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for RouteRegex {}

impl RouteRegex {
    /// Reads the regular expression, of bytes: `\w`, `\d` and `(?i)` are about ASCII.
    ///
    /// # Errors
    /// What is allowed, and what the compiler complains about.
    pub fn read(text: &str) -> Result<Self, Must> {
        const MUST: &str = "must be a regular expression whose first group ( ) is the route";
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .build()
            .map_err(|error| format!("{MUST}: {}", in_one_line(&error.to_string())))?;
        if regex.captures_len() < 2 {
            return Err(format!("{MUST}: there is no group"));
        }
        Ok(Self(regex))
    }
}

/// The complaint without the drawing that points at its place.
fn in_one_line(complaint: &str) -> &str {
    let last = complaint.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn route(reading: &Reading<'_>, value: &str) -> Option<String> {
        let route = reading.route(value.as_bytes())?;
        Some(String::from_utf8_lossy(route).into_owned())
    }

    #[test]
    fn behind_the_first_separator() {
        let table = [
            ("1234.a", Some("a")),
            (".a", Some("a")),
            ("1.a.b", Some("a.b")),
            ("1.", Some("")),
            ("1234", None),
            ("", None),
        ];
        for (value, expected) in table {
            let found = route(&Reading::Separator(b'.'), value);
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        assert_eq!(route(&Reading::Whole, "1.a").as_deref(), Some("1.a"));
    }

    #[test]
    fn first_group_of_a_match() {
        let table = [
            ("!(.*)$", "data!app1", Some("app1")),
            ("!(.*)$", "a!b!c", Some("b!c")),
            ("!([^!]*)$", "a!b!c", Some("c")),
            ("!(.*)$", "data!", Some("")),
            ("!(.*)$", "data", None),
            ("(?:x(y))?z", "z", None),
            (r"^(\w+)-\d+$", "app-17", Some("app")),
            (r"(?i)NODE=(a|b)", "node=B", Some("B")),
        ];
        for (regex, value, expected) in table {
            let regex = RouteRegex::read(regex).expect("compiles");
            let found = route(&Reading::Regex(&regex), value);
            assert_eq!(found.as_deref(), expected, "{regex:?} {value}");
        }
    }

    #[test]
    fn what_is_no_route_regex() {
        let must = "must be a regular expression whose first group ( ) is the route: ";
        let table = [
            ("!(.*", "unclosed group"),
            ("!.*$", "there is no group"),
            ("(?:a)", "there is no group"),
            ("", "there is no group"),
            (
                "(?=a)",
                "look-around, including look-ahead and look-behind, is not supported",
            ),
            (r"(a)\1", "backreferences are not supported"),
            (
                "(a{1000}{1000}{1000})",
                "Compiled regex exceeds size limit of 10485760 bytes.",
            ),
        ];
        for (text, complaint) in table {
            assert_eq!(
                RouteRegex::read(text),
                Err(format!("{must}{complaint}")),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes(value in prop::collection::vec(any::<u8>(), 0..200), separator: u8) {
            let regex = RouteRegex::read("!(.*)$").expect("compiles");
            for reading in [Reading::Whole, Reading::Separator(separator), Reading::Regex(&regex)] {
                if let Some(route) = reading.route(&value) {
                    let piece = value.windows(route.len().max(1)).any(|piece| piece == route);
                    prop_assert!(piece || route.is_empty());
                    let separated = !matches!(reading, Reading::Separator(_))
                        || value.ends_with(&[&[separator], route].concat());
                    prop_assert!(separated);
                }
            }
        }
    }
}
