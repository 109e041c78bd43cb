//! Directives of the module that say one thing each: what may stand behind their names. The server
//! reads them here, and who looks at a configuration without one.

use std::borrow::Cow;
use std::fmt::Display;

use super::allow::Allowed;
use super::qos::Qos;
use super::trust::Trust;
use super::{value, words};
use crate::cookie::Settings;

/// Reads the arguments of a directive, and says what is allowed; `None`: it is none of these.
pub fn check(directive: &str, args: &str) -> Option<Result<(), String>> {
    Some(match directive.to_ascii_lowercase().as_str() {
        "athengine" => checked(on_off("AthEngine", args)),
        "athshmfile" => checked(board_file(args)),
        "athpath" => checked(path(args)),
        "athtrust" => checked(Trust::parse(args)),
        "athupdatekey" => checked(update_key(args)),
        "athmemberallow" => checked(Allowed::parse(args)),
        "athqos" => checked(Qos::parse(args)),
        "athcookiename" => cookie_name(args).and_then(|name| Settings::default().set_name(&name)),
        "athcookiekey" => checked(cookie_key(args)),
        "athcookiemode" => cookie_mode(args).and_then(|mode| Settings::default().set_mode(&mode)),
        "athmaxembed" => checked(max_embed(args)),
        "athallowdiversemulti" => checked(on_off("AthAllowDiverseMulti", args)),
        _ => return None,
    })
}

/// What a reader says against the arguments.
fn checked<T>(read: Result<T, impl Display>) -> Result<(), String> {
    read.map(drop).map_err(|error| error.to_string())
}

/// `AthEngine On`, `AthAllowDiverseMulti Off`.
///
/// # Errors
/// What is allowed.
pub fn on_off(directive: &str, args: &str) -> Result<bool, String> {
    let word = word(directive, args, "On or Off")?;
    value::on_off(&word).map_err(|must| format!("{directive} {word}: {must}"))
}

/// `AthSHMFile PATH|none`; `None` for none.
///
/// # Errors
/// What is allowed.
pub fn board_file(args: &str) -> Result<Option<String>, String> {
    let word = word("AthSHMFile", args, "a file's path or none")?;
    if word.is_empty() {
        return Err("AthSHMFile: the path is empty; name a file, or none".to_owned());
    }
    Ok(or_none(word))
}

/// `AthPath PATH|none`; `None` for none.
///
/// # Errors
/// What is allowed.
pub fn path(args: &str) -> Result<Option<String>, String> {
    let Some(word) = or_none(word("AthPath", args, "a path or none")?) else {
        return Ok(None);
    };
    let trimmed = word.strip_suffix('/').unwrap_or(&word);
    // httpd resolves these before anybody sees a request's path.
    let never = |segment: &str| matches!(segment, "" | "." | "..");
    if !trimmed.starts_with('/')
        || trimmed.contains(['?', '#', '%'])
        || trimmed.split('/').skip(1).any(never)
    {
        return Err(format!(
            "AthPath {word}: must be none, or a path as requests have it, that begins with / and is \
             not / alone, such as /athena"
        ));
    }
    Ok(Some(trimmed.to_owned()))
}

/// `AthUpdateKey file:PATH|none`: the path; `None` for none.
///
/// # Errors
/// What is allowed.
pub fn update_key(args: &str) -> Result<Option<String>, String> {
    let Some(source) = or_none(word("AthUpdateKey", args, "file:PATH or none")?) else {
        return Ok(None);
    };
    let must = "AthUpdateKey: the key must stand in a file, named as file:PATH; or none";
    file(&source).map(Some).ok_or_else(|| must.to_owned())
}

/// `AthCookieName NAME`, its word.
///
/// # Errors
/// It is none, or several.
pub fn cookie_name(args: &str) -> Result<String, String> {
    word("AthCookieName", args, "the cookie's name")
}

/// `AthCookieMode pass|wrap`, its word.
///
/// # Errors
/// It is none, or several.
pub fn cookie_mode(args: &str) -> Result<String, String> {
    word("AthCookieMode", args, "pass or wrap")
}

/// `AthCookieKey ID file:PATH`: the name and the path.
///
/// # Errors
/// What is allowed.
pub fn cookie_key(args: &str) -> Result<(String, String), String> {
    let words: Vec<_> = words::split(args).map(Cow::into_owned).collect();
    let [id, source] = words.as_slice() else {
        return Err(format!(
            "AthCookieKey: takes two arguments, ID file:PATH, not {}",
            words.len()
        ));
    };
    let path = file(source).ok_or_else(|| {
        format!("AthCookieKey {id}: the key must stand in a file of its own, named as file:PATH")
    })?;
    Ok((id.clone(), path))
}

/// `AthMaxEmbed N`.
///
/// # Errors
/// What is allowed.
pub fn max_embed(args: &str) -> Result<usize, String> {
    let word = word("AthMaxEmbed", args, "a whole number from 1 to 1000")?;
    value::number(&word, 1..=1000).map_err(|must| format!("AthMaxEmbed {word}: {must}"))
}

/// The line's only word.
fn word(directive: &str, args: &str, allowed: &str) -> Result<String, String> {
    let mut words = words::split(args);
    match (words.next(), words.next()) {
        (Some(word), None) => Ok(word.into_owned()),
        _ => Err(format!("{directive} {args}: takes one argument, {allowed}")),
    }
}

fn or_none(word: String) -> Option<String> {
    (!word.eq_ignore_ascii_case("none")).then_some(word)
}

fn file(source: &str) -> Option<String> {
    let path = source.strip_prefix("file:").filter(|path| !path.is_empty());
    path.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directive_is_read() {
        for (directive, right, wrong) in [
            ("AthEngine", "on", "Maybe"),
            ("AthSHMFile", "a.board", "\"\""),
            ("athPATH", "/a/", "/"),
            ("AthTrust", "10.0.0.0/8 ::1", "10.0.0.0/33"),
            ("AthUpdateKey", "file:k", "k"),
            ("AthMemberAllow", "10.0.0.0/8", "what/"),
            ("AthQos", "gold priority=1", "gold"),
            ("AthCookieName", "A", "a=b"),
            ("AthCookieKey", "k file:k", "k k"),
            ("AthCookieMode", "Wrap", "seal"),
            ("AthMaxEmbed", "1000", "1001"),
            ("AthAllowDiverseMulti", "Off", "1"),
        ] {
            assert_eq!(check(directive, right), Some(Ok(())), "{directive}");
            let why = check(directive, wrong).unwrap().unwrap_err();
            assert!(
                why.to_ascii_lowercase()
                    .contains(&directive.to_ascii_lowercase()),
                "{why}"
            );
        }
        assert_eq!(check("ProxyPass", "a b c d"), None);
    }

    #[test]
    fn none_is_none() {
        assert_eq!(path("None"), Ok(None));
        assert_eq!(board_file("none"), Ok(None));
        assert_eq!(update_key("none"), Ok(None));
        assert_eq!(path("/a/"), Ok(Some("/a".to_owned())));
    }
}
