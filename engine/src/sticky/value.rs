//! The session's value: what stands behind its name in the URL or in a cookie.

use crate::cookie::header;

/// The names under which a session's value is sent. An empty name is never found.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The cookie.
    pub cookie: &'a [u8],
    /// The parameter of the URL.
    pub parameter: &'a [u8],
    /// `scolonpathdelim`: a semicolon ends a parameter's value.
    pub semicolon_ends: bool,
}

/// Where clients send it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The path.
    pub path: &'a [u8],
    /// What stands behind the `?`.
    pub query: &'a [u8],
    /// The `Cookie` header; several ones joined by commas, as httpd does.
    pub cookies: &'a [u8],
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the URL.
    Parameter,
    /// In a cookie.
    Cookie,
}

impl Source {
    /// The word for the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Parameter => "URL",
            Self::Cookie => "cookie",
        }
    }
}

/// A session's value: at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Where it stood.
    pub source: Source,
}

/// The session's value; a parameter wins over a cookie. Of several the first one that is not empty.
pub fn find<'a>(names: &Names<'_>, request: &Request<'a>) -> Option<Found<'a>> {
    let semicolon_ends = names.semicolon_ends;
    // A path parameter ends with its segment.
    let in_path = || {
        parameter(request.path, names.parameter, b"/;?&", |b| {
            b == b'/' || ends(b, semicolon_ends)
        })
    };
    let in_query = || query_parameter(request.query, names.parameter, semicolon_ends);
    let found = |source| move |value| Found { value, source };
    in_path()
        .or_else(in_query)
        .map(found(Source::Parameter))
        .or_else(|| {
            let value = header::value(request.cookies, names.cookie)?;
            request.cookies.get(value).map(found(Source::Cookie))
        })
}

/// A parameter's value in a query. Of several the first one that is not empty.
pub fn query_parameter<'a>(query: &'a [u8], name: &[u8], semicolon_ends: bool) -> Option<&'a [u8]> {
    parameter(query, name, b";?&", |b| ends(b, semicolon_ends))
}

fn ends(byte: u8, semicolon_ends: bool) -> bool {
    matches!(byte, b'?' | b'&') || (byte == b';' && semicolon_ends)
}

/// The value behind `name=`, where `name` begins the text or follows one of `before`.
fn parameter<'a>(
    text: &'a [u8],
    name: &[u8],
    before: &[u8],
    ends: impl Fn(u8) -> bool,
) -> Option<&'a [u8]> {
    let mut left = Some(text).filter(|_| !name.is_empty());
    while let Some(text) = left {
        let value = text
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(b"="))
            .and_then(|rest| rest.split(|byte| ends(*byte)).next())
            .filter(|value| !value.is_empty());
        if value.is_some() {
            return value;
        }
        let next = text.iter().position(|byte| before.contains(byte));
        left = next.and_then(|at| text.get(at + 1..));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(path: &str, query: &str, cookies: &str, semicolon_ends: bool) -> String {
        let names = Names {
            cookie: b"JSESSIONID",
            parameter: b"jsessionid",
            semicolon_ends,
        };
        let request = Request {
            path: path.as_bytes(),
            query: query.as_bytes(),
            cookies: cookies.as_bytes(),
        };
        find(&names, &request).map_or_else(String::new, |found| {
            let value = String::from_utf8_lossy(found.value).into_owned();
            format!("{} {value}", found.source.word())
        })
    }

    #[test]
    fn cookies() {
        let table = [
            ("JSESSIONID=1.a", "cookie 1.a"),
            ("x=y; JSESSIONID=1.a; z=1", "cookie 1.a"),
            ("x=y;JSESSIONID=1.a,z", "cookie 1.a"),
            ("x=y, JSESSIONID = 1.a ", "cookie 1.a"),
            ("JSESSIONID=\"1.a\"", "cookie 1.a"),
            ("JSESSIONID=; JSESSIONID=2.b; JSESSIONID=3.c", "cookie 2.b"),
            ("JSESSIONID==.a", "cookie =.a"),
            ("xJSESSIONID=1.a", ""),
            ("JSESSIONIDx=1.a", ""),
            ("jsessionid=1.a", ""),
            ("x=JSESSIONID=1.a", ""),
            ("x JSESSIONID=1.a", ""),
            ("JSESSIONID", ""),
            ("JSESSIONID=", ""),
            ("JSESSIONID=\"\"", ""),
            ("", ""),
            (";,;=;", ""),
        ];
        for (cookies, expected) in table {
            assert_eq!(found("/", "", cookies, false), expected, "{cookies}");
        }
    }

    #[test]
    fn parameters() {
        let table = [
            ("/x;jsessionid=1.a", "", "URL 1.a", "URL 1.a"),
            ("/x;jsessionid=1.a/y", "", "URL 1.a", "URL 1.a"),
            ("/x;v=2;jsessionid=1.a", "", "URL 1.a", "URL 1.a"),
            ("/x;jsessionid=1.a;v=2", "", "URL 1.a;v=2", "URL 1.a"),
            ("/jsessionid=1.a", "", "URL 1.a", "URL 1.a"),
            ("/x", "jsessionid=1.a", "URL 1.a", "URL 1.a"),
            ("/x", "v=2&jsessionid=1.a&w=3", "URL 1.a", "URL 1.a"),
            ("/x", "jsessionid=1.a;w=3", "URL 1.a;w=3", "URL 1.a"),
            ("/x", "jsessionid=/1.a", "URL /1.a", "URL /1.a"),
            ("/x", "jsessionid=&jsessionid=1.a", "URL 1.a", "URL 1.a"),
            ("/x;jsessionid=1.a", "jsessionid=2.b", "URL 1.a", "URL 1.a"),
            ("/x;xjsessionid=1.a", "xjsessionid=1.a", "", ""),
            ("/x;jsessionidx=1.a", "v=jsessionid=1.a", "", ""),
            ("/x;JSESSIONID=1.a", "JSESSIONID=1.a", "", ""),
            ("/x;jsessionid", "jsessionid", "", ""),
            ("/x;jsessionid=", "jsessionid=&", "", ""),
            ("", "", "", ""),
        ];
        for (path, query, without, with) in table {
            assert_eq!(found(path, query, "", false), without, "{path}?{query}");
            assert_eq!(found(path, query, "", true), with, "{path}?{query}");
        }
    }

    #[test]
    fn the_parameter_wins() {
        let cookie = "JSESSIONID=1.a";
        assert_eq!(found("/;jsessionid=2.b", "", cookie, false), "URL 2.b");
        assert_eq!(found("/", "jsessionid=2", cookie, false), "URL 2");
        assert_eq!(found("/", "jsessionid=", cookie, false), "cookie 1.a");
    }

    #[test]
    fn an_empty_name_is_never_found() {
        let request = Request {
            path: b"/=1.a",
            query: b"=1.a",
            cookies: b"=1.a; x",
        };
        let names = Names {
            cookie: b"",
            parameter: b"",
            semicolon_ends: true,
        };
        assert_eq!(find(&names, &request), None);
    }

    fn soup() -> impl Strategy<Value = Vec<u8>> {
        let pieces = [
            "S", "s", "=", ";", ",", "&", "?", "/", " ", "\"", ".a", "\0", "\u{ff}",
        ];
        let piece = prop_oneof![
            prop::sample::select(pieces.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..4),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Whatever the bytes: a value is a piece of the request behind an exact name.
        #[test]
        fn hostile_bytes(path in soup(), query in soup(), cookies in soup(), semicolon_ends: bool) {
            let names = Names { cookie: b"S", parameter: b"s", semicolon_ends };
            let request = Request { path: &path, query: &query, cookies: &cookies };
            if let Some(Found { value, source }) = find(&names, &request) {
                let stops: &[u8] = match source {
                    Source::Parameter if semicolon_ends => b"?&;",
                    Source::Parameter => b"?&",
                    Source::Cookie => b";,",
                };
                prop_assert!(!value.is_empty());
                prop_assert!(!value.iter().any(|byte| stops.contains(byte)));
            }
        }

        #[test]
        fn any_value_comes_back(value in "[!-+\\--:<->@-~]{1,40}", before in soup()) {
            let names = Names { cookie: b"S", parameter: b"none", semicolon_ends: false };
            let before: Vec<u8> = before.into_iter().filter(|byte| *byte != b'S').collect();
            let header = [&before, b";S=".as_slice(), value.as_bytes()].concat();
            let request = Request { path: b"/", query: b"", cookies: &header };
            let found = find(&names, &request).map(|found| found.value.to_vec());
            let plain = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
            let expected = plain.unwrap_or(&value).as_bytes().to_vec();
            prop_assert_eq!(found, Some(expected).filter(|value| !value.is_empty()));
        }
    }
}
