//! `stickyattrs`: the attributes of the cookie that the module sets.

use crate::config::value::Must;
use std::fmt::{self, Display, Formatter};

/// Longest `Max-Age`: the 400 days that browsers allow (RFC 6265bis).
const MAX_AGE: u64 = 400 * 86_400;

/// The attributes, in the terms of RFC 6265.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    path: String,
    domain: Option<String>,
    max_age: Option<u64>,
    secure: bool,
    http_only: bool,
    same_site: Option<&'static str>,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            http_only: true,
            ..Self::bare()
        }
    }
}

/// As they stand behind the cookie's value, each with `; ` before it.
impl Display for Attributes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "; Path={}", self.path)?;
        if let Some(domain) = &self.domain {
            write!(f, "; Domain={domain}")?;
        }
        if let Some(seconds) = self.max_age {
            write!(f, "; Max-Age={seconds}")?;
        }
        if self.secure {
            f.write_str("; Secure")?;
        }
        if self.http_only {
            f.write_str("; HttpOnly")?;
        }
        if let Some(policy) = self.same_site {
            write!(f, "; SameSite={policy}")?;
        }
        Ok(())
    }
}

impl Attributes {
    fn bare() -> Self {
        Self {
            path: "/".to_owned(),
            domain: None,
            max_age: None,
            secure: false,
            http_only: false,
            same_site: None,
        }
    }

    /// Reads a list as it would stand in a `Set-Cookie` header. It takes the place of the default,
    /// whose `Path=/` stays unless another one is named.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, Must> {
        let mut read = Self::bare();
        let mut seen = Vec::new();
        for item in text
            .split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (name, value) = item.split_once('=').map_or((item, None), |(name, value)| {
                (name.trim(), Some(value.trim()))
            });
            let name = name.to_ascii_lowercase();
            if seen.contains(&name) || read.set(&name, value).is_none() {
                return Err(must());
            }
            seen.push(name);
        }
        if seen.is_empty() {
            return Err(must());
        }
        if read.same_site == Some("None") && !read.secure {
            return Err(
                "must hold Secure where it holds SameSite=None: browsers drop the cookie \
                        otherwise"
                    .to_owned(),
            );
        }
        Ok(read)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Option<()> {
        match (name, value) {
            ("path", Some(path)) if is_path(path) => path.clone_into(&mut self.path),
            ("domain", Some(domain)) if is_domain(domain) => self.domain = Some(domain.to_owned()),
            ("max-age", Some(seconds)) if seconds.bytes().all(|b| b.is_ascii_digit()) => {
                let within = |seconds: &u64| (1..=MAX_AGE).contains(seconds);
                self.max_age = Some(seconds.parse().ok().filter(within)?);
            }
            ("secure", None) => self.secure = true,
            ("httponly", None) => self.http_only = true,
            ("samesite", Some(policy)) => {
                let policies = ["Strict", "Lax", "None"];
                let named = |known: &&str| known.eq_ignore_ascii_case(policy);
                self.same_site = Some(policies.into_iter().find(named)?);
            }
            _ => return None,
        }
        Some(())
    }
}

fn must() -> Must {
    format!(
        "must be one or more of Path=/..., Domain=NAME, Secure, HttpOnly, \
         SameSite=Strict|Lax|None, Max-Age=SECONDS (1 to {MAX_AGE}), each once, separated by ';'"
    )
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_domain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    !name.is_empty() && name.len() < 254 && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        let table = [
            ("Secure", "; Path=/; Secure"),
            ("Path=/app;HttpOnly", "; Path=/app; HttpOnly"),
            (
                " max-age = 60 ; samesite=lax; domain=.example.com; httponly; secure; path=/a;",
                "; Path=/a; Domain=.example.com; Max-Age=60; Secure; HttpOnly; SameSite=Lax",
            ),
            ("SameSite=None; Secure", "; Path=/; Secure; SameSite=None"),
        ];
        for (text, written) in table {
            let read = Attributes::read(text).map(|attributes| attributes.to_string());
            assert_eq!(read.as_deref(), Ok(written), "{text}");
        }
        assert_eq!(Attributes::default().to_string(), "; Path=/; HttpOnly");
    }

    #[test]
    fn refused() {
        let table = [
            "",
            ";",
            "Path",
            "Path=",
            "Path=app",
            "Path=/a b",
            "Path=/\r\nX: y",
            "Domain=",
            "Domain=a b",
            "Domain=a_b",
            "Secure=1",
            "HttpOnly=",
            "SameSite",
            "SameSite=Maybe",
            "Max-Age=0",
            "Max-Age=-1",
            "Max-Age=1.5",
            "Max-Age=",
            "Max-Age=34560001",
            "Max-Age=99999999999999999999",
            "Expires=Thu",
            "Secure; Secure",
            "Path=/a; path=/b",
            "Secure, HttpOnly",
        ];
        for text in table {
            assert_eq!(Attributes::read(text), Err(must()), "{text:?}");
        }
        assert!(Attributes::read("SameSite=None").is_err_and(|text| text.contains("Secure")));
    }
}
