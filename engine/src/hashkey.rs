//! What `lbmethod=hash` knows a request by (`hashkey=`), and the hash of it.
//!
//! The hash is SipHash-1-3 with a key that is part of the module: several balancers, of whatever
//! machine and version, send the same request to the same member. That a client could find many
//! keys of one member is met by the bounded load, not by a secret.

use crate::config::value::{self, Must};
use crate::{cookie, sticky};
use siphasher::sip::SipHasher13;
use std::ffi::{CStr, CString};
use std::hash::Hasher;

/// Never to be changed: balancers would no longer agree.
const KEY: (u64, u64) = (0x6d6f_645f_6174_6865, 0x6e61_2068_6173_6820);

/// The hash of a text given in parts.
pub fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
    parts.into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// What a request is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    #[default]
    Ip,
    /// The path and the query.
    Uri,
    /// The path.
    Path,
    /// A parameter of the query.
    Query(String),
    /// A header.
    Header(CString),
    /// A cookie.
    Cookie(String),
}

/// What a request says, in bytes as it came.
pub struct Spoken<'a> {
    /// The client's address, as text.
    pub ip: &'a [u8],
    /// The path.
    pub path: &'a [u8],
    /// What stands behind the `?`; empty for nothing.
    pub query: &'a [u8],
    /// A header's value; empty for none.
    pub header: &'a dyn Fn(&CStr) -> &'a [u8],
}

impl HashKey {
    /// Reads `ip`, `uri`, `path`, `query:NAME`, `header:NAME` or `cookie:NAME`, the kind in any case.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, Must> {
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        let is_token = |name: &str| name.bytes().all(value::is_token);
        let key = match (kind.to_ascii_lowercase().as_str(), name) {
            (_, Some(name)) if !(1..=NAME_MAX).contains(&name.len()) => None,
            ("ip", None) => Some(Self::Ip),
            ("uri", None) => Some(Self::Uri),
            ("path", None) => Some(Self::Path),
            ("query", Some(name)) => Some(Self::Query(name.to_owned())),
            ("cookie", Some(name)) if is_token(name) => Some(Self::Cookie(name.to_owned())),
            ("header", Some(name)) if is_token(name) => CString::new(name).ok().map(Self::Header),
            _ => None,
        };
        key.ok_or_else(|| {
            "must be ip, uri, path, query:NAME, header:NAME or cookie:NAME".to_owned()
        })
    }

    /// The hash of what the request is known by; `None` if it does not say.
    pub fn of(&self, spoken: &Spoken<'_>) -> Option<u64> {
        let value = match self {
            Self::Ip => spoken.ip,
            Self::Path => spoken.path,
            Self::Uri if spoken.query.is_empty() => spoken.path,
            Self::Uri => return Some(hash([spoken.path, b"?", spoken.query])),
            Self::Query(name) => {
                sticky::query_parameter(spoken.query, name.as_bytes(), false).unwrap_or_default()
            }
            Self::Cookie(name) => {
                let cookies = (spoken.header)(c"Cookie");
                let value = cookie::header::value(cookies, name.as_bytes());
                value
                    .and_then(|value| cookies.get(value))
                    .unwrap_or_default()
            }
            Self::Header(name) => (spoken.header)(name),
        };
        (!value.is_empty()).then(|| hash([value]))
    }
}

/// Longest name, in bytes.
const NAME_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, path: &str, query: &str, cookies: &str) -> Option<u64> {
        let header = |name: &CStr| match name.to_bytes() {
            b"Cookie" => cookies.as_bytes(),
            b"X-Tenant" => b"t1",
            _ => b"",
        };
        HashKey::read(key).unwrap().of(&Spoken {
            ip: b"192.0.2.1",
            path: path.as_bytes(),
            query: query.as_bytes(),
            header: &header,
        })
    }

    fn text(value: &str) -> u64 {
        hash([value.as_bytes()])
    }

    /// Other balancers rely on it.
    #[test]
    fn the_hash_is_what_it_always_was() {
        assert_eq!(hash([&b"10.0.0.1:8080"[..]]), 0x2209_30b0_7599_1032);
        assert_eq!(
            hash([&b"10.0.0"[..], b".1:8080"]),
            hash([&b"10.0.0.1:8080"[..]])
        );
    }

    #[test]
    fn each_form_reads_its_part_of_the_request() {
        let of = |key| of(key, "/a/b", "x=1&user=u&x=2", "c=3; session=s");
        for (key, expected) in [
            ("ip", Some(text("192.0.2.1"))),
            ("uri", Some(text("/a/b?x=1&user=u&x=2"))),
            ("path", Some(text("/a/b"))),
            ("query:user", Some(text("u"))),
            ("query:x", Some(text("1"))),
            ("query:ser", None),
            ("cookie:session", Some(text("s"))),
            ("cookie:user", None),
            ("header:X-Tenant", Some(text("t1"))),
            ("header:X-Other", None),
        ] {
            assert_eq!(of(key), expected, "{key}");
        }
    }

    #[test]
    fn a_request_may_not_say() {
        assert_eq!(of("uri", "/a", "", ""), Some(text("/a")));
        assert_eq!(of("query:x", "/a", "x=", ""), None);
        assert_eq!(of("cookie:c", "/a", "", ""), None);
    }

    #[test]
    fn the_kind_is_compared_without_case_the_name_is_as_it_stands() {
        for (written, read) in [
            ("IP", HashKey::Ip),
            ("Uri", HashKey::Uri),
            ("PATH", HashKey::Path),
            ("QUERY:Id", HashKey::Query("Id".to_owned())),
            ("Cookie:Id", HashKey::Cookie("Id".to_owned())),
            ("Header:X-Id", HashKey::Header(c"X-Id".to_owned())),
        ] {
            assert_eq!(HashKey::read(written), Ok(read));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in [
            "",
            "ip:",
            "url",
            "query",
            "query:",
            "header:a b",
            "cookie:a=b",
            "header:",
            "ip:x",
        ] {
            assert!(HashKey::read(bad).is_err(), "{bad}");
        }
    }
}
