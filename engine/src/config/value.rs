//! How the values of parameters are read. Each reader's error says what is allowed, to stand
//! behind `key=value: `.

use super::target::Target;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// What is allowed, as text: "must be …".
pub type Must = String;

/// Digits alone, within `range`.
///
/// # Errors
/// What is allowed.
pub fn number<N>(text: &str, range: RangeInclusive<N>) -> Result<N, Must>
where
    N: FromStr + PartialOrd + Display,
{
    counted(text, "number", range)
}

/// A whole percentage within `range`.
///
/// # Errors
/// What is allowed.
pub fn percent<N>(text: &str, range: RangeInclusive<N>) -> Result<N, Must>
where
    N: FromStr + PartialOrd + Display,
{
    counted(text, "percentage", range)
}

/// Whole seconds within `range`.
///
/// # Errors
/// What is allowed.
pub fn seconds(text: &str, range: RangeInclusive<u64>) -> Result<Duration, Must> {
    counted(text, "number of seconds", range).map(Duration::from_secs)
}

/// Whole milliseconds within `range`.
///
/// # Errors
/// What is allowed.
pub fn millis(text: &str, range: RangeInclusive<u64>) -> Result<Duration, Must> {
    counted(text, "number of milliseconds", range).map(Duration::from_millis)
}

/// A list of numbers out of `allowed`, separated by commas or blanks; repeated ones count once.
///
/// # Errors
/// What is allowed.
pub fn list(text: &str, allowed: &[u16]) -> Result<Vec<u16>, Must> {
    let must = || {
        let all: Vec<_> = allowed.iter().map(ToString::to_string).collect();
        format!(
            "must be one or more of {}, separated by commas",
            all.join(", ")
        )
    };
    let mut read = Vec::new();
    for item in text.split([',', ' ']).filter(|item| !item.is_empty()) {
        let known = allowed
            .iter()
            .find(|n| n.to_string() == item)
            .ok_or_else(must)?;
        if !read.contains(known) {
            read.push(*known);
        }
    }
    if read.is_empty() {
        Err(must())
    } else {
        Ok(read)
    }
}

/// A decimal number without sign or exponent, within `least` and `most`.
///
/// # Errors
/// What is allowed.
pub fn decimal(text: &str, least: u16, most: u16) -> Result<(), Must> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    match text.parse::<f64>() {
        Ok(number) if plain && (least.into()..=most.into()).contains(&number) => Ok(()),
        _ => Err(format!("must be a number from {least} to {most}")),
    }
}

/// A list of status codes of HTTP, separated by commas or blanks.
///
/// # Errors
/// What is allowed.
pub fn statuses(text: &str) -> Result<(), Must> {
    let mut items = text
        .split([',', ' '])
        .filter(|item| !item.is_empty())
        .peekable();
    if items.peek().is_some() && items.all(|item| number::<u16>(item, 100..=599).is_ok()) {
        return Ok(());
    }
    Err("must be one or more status codes from 100 to 599, separated by commas".to_owned())
}

/// Any text of at most `most` bytes.
///
/// # Errors
/// What is allowed.
pub fn bytes(text: &str, most: usize) -> Result<(), Must> {
    if text.len() <= most {
        Ok(())
    } else {
        Err(format!("must have at most {most} bytes"))
    }
}

/// `On` or `Off`, in any case.
///
/// # Errors
/// What is allowed.
pub fn on_off(text: &str) -> Result<bool, Must> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be On or Off".to_owned()),
    }
}

/// `1` or `0`, as HTML forms write it.
///
/// # Errors
/// What is allowed.
pub fn bit(text: &str) -> Result<bool, Must> {
    match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err("must be 0 or 1".to_owned()),
    }
}

/// An absolute URL for a Location header: `http` or `https`, a host, visible ASCII only, so that it
/// can neither split a header nor be read in two ways.
///
/// # Errors
/// What is allowed.
pub fn url(text: &str) -> Result<String, Must> {
    let is_http = |target: Target<'_>| {
        let mut schemes = ["http", "https"].iter();
        schemes.any(|scheme| scheme.eq_ignore_ascii_case(target.scheme))
    };
    if Target::parse_strict(text).is_some_and(is_http) && text.bytes().all(|b| b.is_ascii_graphic())
    {
        Ok(text.to_owned())
    } else {
        Err(
            "must be an absolute http:// or https:// URL without blanks and user, with a / before \
             any ? or #"
                .to_owned(),
        )
    }
}

/// As [`url`], for the proxy: without a fragment, which would be sent.
///
/// # Errors
/// What is allowed.
pub fn proxied_url(text: &str) -> Result<String, Must> {
    url(text)
        .ok()
        .filter(|url| !url.contains('#'))
        .ok_or_else(|| {
            "must be an absolute http:// or https:// URL without blanks, user and #, with a / \
             before any ?"
                .to_owned()
        })
}

/// A name that can stand in a query: letters, digits, `.`, `_`, `-` and `:`, at most `most` bytes.
///
/// # Errors
/// What is allowed.
pub fn name(text: &str, most: usize) -> Result<String, Must> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:".contains(&b);
    if (1..=most).contains(&text.len()) && text.bytes().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be 1 to {most} letters, digits, '.', '_', '-' or ':'"
        ))
    }
}

/// A byte of a token (RFC 9110), such as a header's or a cookie's name.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A cookie-octet (RFC 6265): what a cookie's value is made of.
pub fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

/// The word, in any case, that stands for none, or what `read` reads.
///
/// # Errors
/// What is allowed.
pub fn or<T>(
    word: &str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Must>,
) -> Result<Option<T>, Must> {
    unless(word, text, read).map_err(|must| format!("{must}, or {word}"))
}

/// As [`or`], where what is allowed ends with what is wrong.
///
/// # Errors
/// What is allowed.
pub fn unless<T>(
    word: &str,
    text: &str,
    read: impl FnOnce(&str) -> Result<T, Must>,
) -> Result<Option<T>, Must> {
    if text.eq_ignore_ascii_case(word) {
        return Ok(None);
    }
    read(text).map(Some)
}

/// A factor with up to two decimals within `range`, in hundredths.
///
/// # Errors
/// What is allowed.
pub fn hundredths(text: &str, range: RangeInclusive<u32>) -> Result<u32, Must> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let plain =
        (1..=9).contains(&whole.len()) && decimals.len() <= 2 && digits(whole) && digits(decimals);
    let parse = || {
        let hundredths: u32 = format!("{decimals:0<2}").parse().ok()?;
        let whole: u32 = whole.parse().ok()?;
        whole.checked_mul(100)?.checked_add(hundredths)
    };
    match parse() {
        Some(factor) if plain && range.contains(&factor) => Ok(factor),
        _ => Err(format!(
            "must be a number from {} to {}, with at most two decimals",
            f64::from(*range.start()) / 100.0,
            f64::from(*range.end()) / 100.0
        )),
    }
}

fn counted<N>(text: &str, what: &str, range: RangeInclusive<N>) -> Result<N, Must>
where
    N: FromStr + PartialOrd + Display,
{
    // `FromStr` would take a leading `+`.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits && range.contains(&number) => Ok(number),
        _ => Err(format!(
            "must be a whole {what} from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_two_decimals() {
        let read = |text| hundredths(text, 101..=1000).ok();
        for (text, factor) in [
            ("1.25", 125),
            ("1.5", 150),
            ("1.01", 101),
            ("2", 200),
            ("2.", 200),
            ("10", 1000),
        ] {
            assert_eq!(read(text), Some(factor), "{text}");
        }
        for bad in [
            "",
            "1",
            "1.",
            ".5",
            "1.255",
            "-2",
            "+2",
            "10.01",
            "1e1",
            "99999999999",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers() {
        let table = [("1", Some(1)), ("007", Some(7)), ("1000", Some(1000))];
        let refused = [
            "",
            "0",
            "1001",
            "+1",
            "-1",
            "1.5",
            "1 ",
            "abc",
            "99999999999999999999",
            "٣",
        ];
        for (text, value) in table {
            assert_eq!(number::<u32>(text, 1..=1000).ok(), value, "{text:?}");
        }
        for text in refused {
            let must = "must be a whole number from 1 to 1000";
            assert_eq!(
                number::<u32>(text, 1..=1000),
                Err(must.to_owned()),
                "{text:?}"
            );
        }
        assert_eq!(
            percent::<u8>("256", 1..=100),
            Err("must be a whole percentage from 1 to 100".into())
        );
        assert_eq!(seconds("30", 1..=60), Ok(Duration::from_secs(30)));
        assert_eq!(millis("30", 1..=60), Ok(Duration::from_millis(30)));
    }

    #[test]
    fn lists() {
        let allowed = [500, 502, 503];
        let table: &[(&str, &[u16])] = &[
            ("502", &[502]),
            ("503,502", &[503, 502]),
            ("502, 503", &[502, 503]),
            (",502,,502,", &[502]),
        ];
        for (text, read) in table {
            assert_eq!(list(text, &allowed).as_deref(), Ok(*read), "{text:?}");
        }
        for text in ["", ",", "504", "0502", "502;503", "5xx"] {
            let must = "must be one or more of 500, 502, 503, separated by commas";
            assert_eq!(list(text, &allowed), Err(must.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn switches() {
        assert_eq!(on_off("On"), Ok(true));
        assert_eq!(on_off("oFF"), Ok(false));
        for text in ["", "1", "true", "On "] {
            assert_eq!(
                on_off(text),
                Err("must be On or Off".to_owned()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn urls() {
        let good = [
            "http://a",
            "HTTPS://a.example:8443/b?c=d",
            "http://[::1]/",
            "http://farm",
            "http://a/?b@c#d",
        ];
        let bad = [
            "",
            "a",
            "/a",
            "//a",
            "http:/a",
            "http://",
            "http:///a",
            "http://?a",
            "http://a?b",
            "http://a#b",
            "http://:80/",
            "http://a:x/",
            "http://u:p@a/",
            "ftp://a/",
            "javascript:alert(1)",
            "http://a/b c",
            "http://a/\r\nSet-Cookie: x",
            "http://a/\u{7f}",
            "http://a/ü",
            " http://a",
        ];
        for text in good {
            assert_eq!(url(text).as_deref(), Ok(text));
        }
        for text in bad {
            assert!(url(text).is_err(), "{text:?}");
        }
        assert!(proxied_url("http://a/?b").is_ok() && proxied_url("http://a/#b").is_err());
    }

    #[test]
    fn names() {
        for text in ["a", "app01", "10.0.0.1:8080", "A-b_c"] {
            assert_eq!(name(text, 13).as_deref(), Ok(text));
        }
        for text in ["", "a/b", "a b", "a,b", "a&b", "a=b", "ä", "12345678901234"] {
            assert!(name(text, 13).is_err(), "{text:?}");
        }
    }
}
