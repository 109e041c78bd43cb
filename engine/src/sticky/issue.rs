//! `stickyissue`: the cookie that sends a client back to its member.

use super::{Attributes, Names, Reading, Request, find};
use crate::config::value::{is_cookie_octet, is_token};

/// The value of a `Set-Cookie` header: the route behind the separator, so that it is read like the
/// values of applications (`id.route`) that have no id yet. `None`: the name or the route cannot
/// stand in a cookie.
pub fn cookie(
    name: &[u8],
    separator: Option<u8>,
    route: &[u8],
    attributes: &Attributes,
) -> Option<Vec<u8>> {
    let value = [separator.as_slice(), route].concat();
    let fits = !name.is_empty()
        && name.iter().all(|byte| is_token(*byte))
        && !route.is_empty()
        && value.iter().all(|byte| is_cookie_octet(*byte));
    fits.then(|| [name, b"=", &value, attributes.to_string().as_bytes()].concat())
}

/// Whether a client that sends the cookie back comes to the route.
pub fn comes_back(name: &[u8], separator: Option<u8>, route: &[u8], reading: &Reading<'_>) -> bool {
    let Some(cookie) = cookie(name, separator, route, &Attributes::default()) else {
        return false;
    };
    let names = Names {
        cookie: name,
        parameter: b"",
        semicolon_ends: false,
    };
    let request = Request {
        path: b"",
        query: b"",
        cookies: &cookie,
    };
    find(&names, &request).and_then(|found| reading.route(found.value)) == Some(route)
}

#[cfg(test)]
mod tests {
    use super::super::RouteRegex;
    use super::*;
    use proptest::prelude::*;

    fn issued(name: &str, separator: Option<u8>, route: &str) -> Option<String> {
        let route = route.as_bytes();
        let cookie = cookie(name.as_bytes(), separator, route, &Attributes::default())?;
        String::from_utf8(cookie).ok()
    }

    #[test]
    fn the_route_behind_the_separator() {
        let attributes = "; Path=/; HttpOnly";
        assert_eq!(
            issued("ROUTEID", Some(b'.'), "a"),
            Some(format!("ROUTEID=.a{attributes}"))
        );
        assert_eq!(
            issued("R", Some(b'!'), "a-1"),
            Some(format!("R=!a-1{attributes}"))
        );
        assert_eq!(issued("R", None, "a"), Some(format!("R=a{attributes}")));
    }

    #[test]
    fn what_cannot_stand_in_a_cookie() {
        for name in ["", "a b", "a=b", "a;b", "a\r\nb", "ä"] {
            assert_eq!(issued(name, Some(b'.'), "a"), None, "{name:?}");
        }
        for route in [
            "",
            "a b",
            "a;b",
            "a,b",
            "a\"",
            "a\\b",
            "a\r\nSet-Cookie: x=y",
            "ä",
            "a\0",
        ] {
            assert_eq!(issued("R", Some(b'.'), route), None, "{route:?}");
        }
        for separator in [b';', b',', b' ', b'"', 0, 200] {
            assert_eq!(issued("R", Some(separator), "a"), None, "{separator}");
        }
    }

    #[test]
    fn a_reading_that_does_not_fit() {
        let regex = RouteRegex::read("!(.*)$").expect("compiles");
        let reading = Reading::Regex(&regex);
        assert!(comes_back(b"R", Some(b'!'), b"a", &reading));
        assert!(!comes_back(b"R", Some(b'.'), b"a", &reading));
        assert!(!comes_back(
            b"R",
            Some(b';'),
            b"a",
            &Reading::Separator(b';')
        ));
    }

    proptest! {
        #[test]
        fn what_is_issued_comes_back(route in "[!#-+\\--:<-\\[\\]-~]{1,40}", separator in "[.!:/=|]") {
            let separator = separator.as_bytes()[0];
            let route = route.as_bytes();
            prop_assert!(comes_back(b"R", Some(separator), route, &Reading::Separator(separator)));
            prop_assert!(comes_back(b"R", None, route, &Reading::Whole));
        }

        #[test]
        fn hostile_routes_never_split_a_header(route in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(cookie) = cookie(b"R", Some(b'.'), &route, &Attributes::default()) {
                let expected = [b"R=.", route.as_slice(), b"; Path=/; HttpOnly"].concat();
                prop_assert_eq!(&cookie, &expected);
                prop_assert!(cookie.iter().all(|byte| (b' '..0x7f).contains(byte)));
            }
        }
    }
}
