//! What the words of the command line are.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::{farm_path, member_path};

/// A farm, or a member of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `NAME`, or `NAME@SERVER`.
    pub farm: String,
    pub member: Option<String>,
}

impl Target {
    /// Where its document is.
    pub fn path(&self) -> String {
        match &self.member {
            None => farm_path(&self.farm),
            Some(member) => member_path(&self.farm, member),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.farm)?;
        self.member
            .iter()
            .try_for_each(|member| write!(f, "/{member}"))
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A member's name may have a path.
        let (farm, member) = match text.split_once('/') {
            Some((farm, member)) => (farm, Some(member.to_owned())),
            None => (text, None),
        };
        if farm.is_empty() || member.as_ref().is_some_and(String::is_empty) {
            return Err("must be FARM or FARM/MEMBER");
        }
        Ok(Self {
            farm: farm.to_owned(),
            member,
        })
    }
}

pub fn member(text: &str) -> Result<Target, &'static str> {
    let target = text.parse::<Target>().ok();
    let of_member = target.filter(|target| target.member.is_some());
    of_member.ok_or("must be FARM/MEMBER")
}

pub fn pair(text: &str) -> Result<(String, String), &'static str> {
    let pair = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// A member's name may have a `=` in its path, a key has no slash.
pub fn word(text: &str) -> Result<Word, &'static str> {
    let key = text.split_once('=').map(|(key, _)| key);
    if key.is_some_and(|key| !key.contains('/')) {
        return pair(text).map(Word::Value);
    }
    member(text)
        .map(Word::Also)
        .map_err(|_| "must be KEY=VALUE, or FARM/MEMBER")
}

/// A word behind the first target.
#[derive(Clone, Debug)]
pub enum Word {
    Also(Target),
    Value((String, String)),
}

impl Word {
    /// The key of a value.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Also(_) => None,
            Self::Value((key, _)) => Some(key),
        }
    }
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

pub fn expiry(text: &str) -> Result<u64, String> {
    let (start, digits) = text
        .strip_prefix('+')
        .map_or((0, text), |digits| (now(), digits));
    let seconds = digits.parse::<u64>().ok();
    seconds
        .filter(|_| !digits.starts_with('+'))
        .and_then(|seconds| start.checked_add(seconds))
        .ok_or_else(|| "must be seconds since 1970, or +SECONDS from now".to_owned())
}

pub fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (1..=3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a whole number of seconds from 1 to 3600".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_time_or_a_span() {
        assert_eq!(expiry("1900000000"), Ok(1_900_000_000));
        assert!(expiry("+60").unwrap() >= now() + 59);
        for text in ["", "+", "++1", "-1", "x", "1h", "+18446744073709551615"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets() {
        let read = |text: &str| text.parse::<Target>().map(|target| target.path());
        for (text, path) in [
            ("f@v:80#2", "f@v:80%232"),
            ("f/m:1/p", "f/members/m:1%2Fp"),
            ("f#2/m/p?q=1#x", "f%232/members/m%2Fp%3Fq%3D1%23x"),
            (
                "f/m/%41 % \"<>\\",
                "f/members/m%2F%2541%20%25%20%22%3C%3E%5C",
            ),
        ] {
            assert_eq!(read(text), Ok(format!("/api/v1/farms/{path}")));
        }
        assert!(read("f/").is_err() && read("/m").is_err() && read("").is_err());
        assert!(member("f").is_err());
        assert_eq!(member("f/m").unwrap().to_string(), "f/m");
    }

    #[test]
    fn a_timeout_is_a_number_of_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        for text in ["0", "3601", "-1", "1.5", "x", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
