//! A member as people add it at run time: fields, from whatever form they came in, become a line as
//! `BalancerMember` has it, and the line is read as that is. The line is what is kept, and every
//! process reads it anew.

use super::param::{self, MemberParams, ParamError, Whose};
use super::{native, words};
use crate::board::record::LINE_MAX;

/// What a line says of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// `mod_proxy`'s parameters, in order, with values that it takes.
    pub native: Vec<(String, String)>,
    /// Ours.
    pub params: MemberParams,
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
    let mut line = String::new();
    let mut status = String::new();
    for (key, value) in fields {
        if key.eq_ignore_ascii_case("status") {
            native::check(key, value).map_err(|must| refused(key, value, must))?;
            status.push_str(if value.starts_with(['+', '-']) {
                ""
            } else {
                "+"
            });
            status.push_str(value);
        } else if let Some(letter) = letter(key) {
            let on = super::value::on_off(value).map_err(|must| refused(key, value, must))?;
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
        return Err(refused("parameters", &line, must));
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
            return Err(refused(key, value, must));
        }
        if param::whose(key).is_some() {
            line.params.set(key, value)?;
            continue;
        }
        match native::whose(key) {
            None => return Err(ParamError::Unknown(key.to_owned())),
            Some(Whose::Farm) => return Err(ParamError::Farms(key.to_owned())),
            // mod_proxy_hcheck does not see members that are added.
            Some(_) if key.get(..2).is_some_and(|hc| hc.eq_ignore_ascii_case("hc")) => {
                return Err(ParamError::NotAtRunTime(key.to_owned()));
            }
            Some(_) => native::check(key, value).map_err(|must| refused(key, value, must))?,
        }
        line.native
            .push((key.to_ascii_lowercase(), value.to_owned()));
    }
    Ok(line)
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

fn refused(key: &str, value: &str, must: String) -> ParamError {
    ParamError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        must,
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
                "hcmethod",
                "TCP",
                "hcmethod: not for a member that is added at run time",
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
        assert!(line([("secret", long.as_str())]).is_err());
    }

    proptest! {
        #![proptest_config(crate::config::seeded())]

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
