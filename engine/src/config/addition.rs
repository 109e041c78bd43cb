//! A member as people add it at run time: fields, from whatever form they came in, become a line as
//! `BalancerMember` has it, and the line is read as that is. The line is what is kept, and every
//! process reads it anew.

use super::param::{self, MemberParams, ParamError, Whose};
use super::target::{SCHEMES, Target, is_members_scheme};
use super::{native, words};
use crate::board::record::LINE_MAX;
use crate::change::Kind;
use crate::check::CheckParams;

/// What a line says of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `mod_proxy`'s parameters, in order, with values that it takes.
    pub native: Vec<(String, String)>,
    /// Ours.
    pub params: MemberParams,
    /// `mod_proxy_hcheck`'s, which does not see members that are added.
    pub check: CheckParams,
}

/// Everything that can be said of a member beside its URL, and what its values are; a time is a
/// number, or a text with a unit.
#[rustfmt::skip]
pub const FIELDS: &[(&str, Kind)] = &[
    // In the words of the API.
    ("weight", Kind::Number), ("on", Kind::Switch), ("drain", Kind::Switch), ("standby", Kind::Switch),
    ("spare", Kind::Switch), ("stopped", Kind::Switch), ("ignore_errors", Kind::Switch),
    // mod_proxy's parameters.
    ("loadfactor", Kind::Number), ("lbset", Kind::Number), ("route", Kind::Text), ("redirect", Kind::Text),
    ("status", Kind::Text), ("retry", Kind::Number), ("timeout", Kind::Number),
    ("connectiontimeout", Kind::Number), ("ping", Kind::Number), ("acquire", Kind::Number),
    ("ttl", Kind::Number), ("min", Kind::Number), ("max", Kind::Number), ("smax", Kind::Number),
    ("keepalive", Kind::Switch), ("disablereuse", Kind::Switch), ("enablereuse", Kind::Switch),
    ("addressttl", Kind::Number), ("flushpackets", Kind::Text), ("flushwait", Kind::Number),
    ("flusher", Kind::Text), ("iobuffersize", Kind::Number), ("receivebuffersize", Kind::Number),
    ("responsefieldsize", Kind::Number), ("upgrade", Kind::Text), ("secret", Kind::Text),
    // mod_proxy_hcheck's, which this module keeps for them.
    ("hcmethod", Kind::Text), ("hcuri", Kind::Text), ("hcinterval", Kind::Number),
    ("hcpasses", Kind::Number), ("hcfails", Kind::Number), ("hctemplate", Kind::Text),
    // Ours.
    ("name", Kind::Text), ("maxconn", Kind::Number), ("slowstart", Kind::Number),
    ("draintimeout", Kind::Number), ("expectupdate", Kind::Number), ("agent", Kind::Text),
    ("forward", Kind::Text),
];

/// What the values of a field are.
///
/// # Errors
/// No member that is added has such a field.
pub fn kind(field: &str) -> Result<Kind, ParamError> {
    let mut fields = FIELDS.iter();
    let known = fields.find(|(name, _)| name.eq_ignore_ascii_case(field));
    known.map(|(_, kind)| *kind).ok_or_else(|| {
        match param::whose(field).or_else(|| native::whose(field)) {
            None => ParamError::Unknown(field.to_owned()),
            Some(Whose::Farm) => ParamError::Farms(field.to_owned()),
            // A condition that mod_proxy_hcheck alone can read.
            Some(_) => ParamError::NotAtRunTime(field.to_owned()),
        }
    })
}

/// Whether a URL may be a member's that is added: one that neither httpd nor `mod_proxy` can read in a
/// second way. A unix socket has no host that could be allowed: in `unix://HOST/SOCKET|URL` the latter sees a socket, and no HOST.
///
/// # Errors
/// What is allowed.
pub fn check_url(url: &str) -> Result<(), String> {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("url: must be printable ASCII characters without a blank".to_owned());
    }
    let behind_host = Target::parse(url.as_bytes()).and_then(|target| target.rest.first());
    if matches!(behind_host, Some(b'?' | b'#')) {
        return Err("url: must have a / before any ? or #".to_owned());
    }
    let is_members = |target: Target<'_>| is_members_scheme(target.scheme);
    if Target::parse_strict(url).is_some_and(is_members) && !url.contains('|') {
        return Ok(());
    }
    let schemes: Vec<&str> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
    Err(format!(
        "url: must be SCHEME://HOST[:PORT][/PATH] without user and |, SCHEME one of {}, PORT from 1 to 65535",
        schemes.join(", ")
    ))
}

/// States that have a name of their own in the API, and their letters.
const STATES: [(&str, char); 5] = [
    ("drain", 'N'),
    ("standby", 'H'),
    ("spare", 'R'),
    ("stopped", 'S'),
    ("ignore_errors", 'I'),
];

/// Writes the line of these fields, and checks it.
///
/// # Errors
/// A key that no member has, or a value that is not allowed.
pub fn line<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<String, ParamError> {
    let fields: Vec<_> = fields.into_iter().collect();
    no_two_say_the_same(&fields)?;
    let mut line = String::new();
    let mut status = String::new();
    for (key, value) in fields {
        if key.eq_ignore_ascii_case("status") {
            native::check(key, value).map_err(|must| ParamError::value(key, value, must))?;
            status.push_str(if value.starts_with(['+', '-']) {
                ""
            } else {
                "+"
            });
            status.push_str(value);
        } else if let Some(letter) = letter(key) {
            let on =
                super::value::on_off(value).map_err(|must| ParamError::value(key, value, must))?;
            // A member that is `on` is not disabled.
            let set = on != key.eq_ignore_ascii_case("on");
            status.extend([if set { '+' } else { '-' }, letter]);
        } else {
            push(
                &mut line,
                if key.eq_ignore_ascii_case("weight") {
                    "loadfactor"
                } else {
                    key
                },
                value,
            );
        }
    }
    if !status.is_empty() {
        push(&mut line, "status", &status);
    }
    read(&line)?;
    if line.len() > LINE_MAX {
        let must = format!("all parameters together have at most {LINE_MAX} bytes");
        // One of them may be a secret.
        return Err(ParamError::value("parameters", "…", must));
    }
    Ok(line)
}

/// Reads a line; of a repeated parameter the last holds.
///
/// # Errors
/// As [`line()`].
pub fn read(text: &str) -> Result<Line, ParamError> {
    let mut line = Line::default();
    for word in words::split(text) {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| ParamError::Unknown(word.to_string()))?;
        if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            let must = "must be printable ASCII".to_owned();
            return Err(ParamError::value(key, value, must));
        }
        kind(key)?;
        if param::whose(key).is_some() {
            line.params.set(key, value)?;
            continue;
        }
        if let Some(read) = line.check.set(key, value) {
            read.map_err(|must| ParamError::value(key, value, must))?;
            continue;
        }
        native::check(key, value).map_err(|must| ParamError::value(key, value, must))?;
        line.native
            .push((key.to_ascii_lowercase(), value.to_owned()));
    }
    Ok(line)
}

/// What a line says, by key, as it may be told: without `secret`.
pub fn told(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let pairs = words::split(text).filter_map(|word| {
        let (key, value) = word.split_once('=')?;
        Some((key.to_ascii_lowercase(), value.to_owned()))
    });
    pairs.filter(|(key, _)| key != "secret")
}

fn no_two_say_the_same(fields: &[(&str, &str)]) -> Result<(), ParamError> {
    for (index, field) in fields.iter().enumerate() {
        let mut earlier = fields.iter().take(index);
        if let Some((other, _)) = earlier.find(|other| say_the_same(field, other)) {
            let (key, _) = field;
            return Err(ParamError::Both((*other).to_owned(), (*key).to_owned()));
        }
    }
    Ok(())
}

fn say_the_same((key, value): &(&str, &str), (other, said): &(&str, &str)) -> bool {
    let one = |key: &str| {
        if key.eq_ignore_ascii_case("weight") {
            "loadfactor".to_owned()
        } else {
            key.to_ascii_lowercase()
        }
    };
    let has = |status: &str, key: &str| {
        letter(key).is_some_and(|letter| status.to_ascii_uppercase().contains(letter))
    };
    match (one(key).as_str(), one(other).as_str()) {
        (key, other) if key == other => true,
        ("status", other) => has(value, other),
        (key, "status") => has(said, key),
        _ => false,
    }
}

fn letter(key: &str) -> Option<char> {
    std::iter::once(("on", 'D'))
        .chain(STATES)
        .find(|(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, letter)| letter)
}

fn push(line: &mut String, key: &str, value: &str) {
    if !line.is_empty() {
        line.push(' ');
    }
    let word = format!("{key}={value}");
    if word.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\')) {
        line.push_str(&words::quote(&word));
    } else {
        line.push_str(&word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_become_a_line_as_the_configuration_has_it() {
        let fields = [
            ("route", "a"),
            ("weight", "2.5"),
            ("slowstart", "30"),
            ("status", "I"),
            ("standby", "on"),
            ("on", "off"),
            ("drain", "off"),
        ];
        let text = line(fields).unwrap();
        assert_eq!(text, "route=a loadfactor=2.5 slowstart=30 status=+I+H+D-N");
        let read = read(&text).unwrap();
        assert_eq!(read.native.len(), 3);
        assert_eq!(read.params.slow_start.map(|time| time.as_secs()), Some(30));
        assert_eq!(line([]).unwrap(), "");
        // Told, it can be added again.
        let again: Vec<_> = told(&text).collect();
        let again = again
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        assert_eq!(super::read(&line(again).unwrap()).unwrap(), read);
        assert_eq!(told("Secret=x retry=1").count(), 1);
    }

    #[test]
    fn a_url_of_a_member_is_read_in_one_way() {
        for url in [
            "http://a",
            "HTTPS://a:8443/x?y#z",
            "Ajp://[::1]:8009/",
            "h2c://10.0.0.1",
        ] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        let sockets = ["unix:", "UNIX:", "unix :", "Unix:"].map(|unix| {
            [
                format!("{unix}//a/s|http://b/"),
                format!("{unix}//a"),
                format!("{unix}/s|http://b/"),
            ]
        });
        for url in sockets.as_flattened() {
            assert!(check_url(url).is_err(), "{url}");
        }
        for url in [
            "",
            "a",
            "a:80",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://a:",
            "xyz://a/",
            "balancer://a/",
            "http://u@a/",
            "http://a/x|http://b/",
            "http://a?x",
            "http://a/ x",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn one_thing_is_said_once() {
        for (one, other) in [
            (("weight", "1"), ("loadfactor", "2")),
            (("status", "+D"), ("on", "on")),
            (("standby", "off"), ("Status", "h")),
            (("route", "a"), ("Route", "b")),
        ] {
            let error = line([one, ("retry", "1"), other]).unwrap_err();
            let (one, other) = (one.0.to_owned(), other.0.to_owned());
            assert_eq!(error, ParamError::Both(one, other));
        }
    }

    #[test]
    fn every_parameter_of_a_member_is_a_field() {
        let ours = param::PARAMS.iter().map(|param| param.key);
        let mut keys: Vec<_> = native::names()
            .filter(|key| native::whose(key) != Some(Whose::Farm) && *key != "hcexpr")
            .chain(ours.filter(|key| param::whose(key) != Some(Whose::Farm)))
            .chain(STATES.map(|(name, _)| name))
            .chain(["on", "weight"])
            .collect();
        let mut fields: Vec<_> = FIELDS.iter().map(|(name, _)| *name).collect();
        keys.sort_unstable();
        fields.sort_unstable();
        assert_eq!(fields, keys);
    }

    #[test]
    fn what_no_line_has_is_refused_by_name() {
        for (key, value, error) in [
            ("bogus", "1", "bogus: unknown parameter"),
            (
                "lbmethod",
                "hash",
                "lbmethod: belongs to the farm, not to a member",
            ),
            (
                "fallback",
                "http://a/",
                "fallback: belongs to the farm, not to a member",
            ),
            (
                "hcexpr",
                "ok",
                "hcexpr: not for a member that is added at run time",
            ),
            (
                "hcuri",
                "health",
                "hcuri=health: must be a path: '/' and up to 255 bytes of visible ASCII without '#'",
            ),
            ("standby", "yes", "standby=yes: must be On or Off"),
            (
                "lbset",
                "100",
                "lbset=100: must be a whole number from 0 to 99",
            ),
            ("a b", "c", "a b: unknown parameter"),
            ("", "c", ": unknown parameter"),
        ] {
            assert_eq!(line([(key, value)]).unwrap_err().to_string(), error);
        }
        assert!(line([("route", "x\ny")]).is_err());
        let long = "x".repeat(LINE_MAX);
        for fields in [
            vec![("secret", long.as_str())],
            vec![("secret", "xxx\ny")],
            vec![("route", long.as_str()), ("Secret", "xxx")],
        ] {
            let error = line(fields).unwrap_err().to_string();
            let told = error.contains("xxx") && !error.starts_with("route=");
            assert!(!told, "{error}");
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        /// Whatever a line was made of, it says that again.
        #[test]
        fn values_come_back(key in "flusher|upgrade|secret", value in "[ -~]{0,40}") {
            let text = line([(key.as_str(), value.as_str())]).unwrap();
            prop_assert_eq!(read(&text).unwrap().native, vec![(key, value)]);
        }

        #[test]
        fn any_line_is_safe(text in ".{0,60}|[a-z]{1,12}=[ -~]{0,20}") {
            let _ = read(&text);
        }
    }
}
