//! The arguments of a line: plain words and `key=value`.

use super::param;
use super::words::{Word, word};
use std::borrow::Cow;

impl Word<'_> {
    /// Key and value, split at the first `=`, as `mod_proxy` splits them.
    pub fn pair(&self) -> Option<(&str, &str)> {
        self.text.split_once('=')
    }
}

/// The first argument at or after byte `from`.
///
/// `mod_proxy` wants blanks quoted around the whole word (`"key=a b"`). For keys of ours the value
/// alone may be quoted as well (`key="a b"`), which httpd's reader would end at the blank.
pub fn argument(args: &str, from: usize) -> Option<Word<'_>> {
    let plain = word(args, from)?;
    Some(quoted_value(args, &plain).unwrap_or(plain))
}

/// All arguments at or after byte `from`.
pub fn arguments(args: &str, from: usize) -> impl Iterator<Item = Word<'_>> {
    std::iter::successors(argument(args, from), |last| argument(args, last.next))
}

fn quoted_value<'a>(args: &'a str, plain: &Word<'_>) -> Option<Word<'a>> {
    let (key, raw) = args.get(plain.span.clone())?.split_once('=')?;
    if !raw.starts_with(['"', '\'']) || param::whose(key).is_none() {
        return None;
    }
    let value = word(args, plain.span.start + key.len() + 1)?;
    Some(Word {
        text: Cow::Owned(format!("{key}={}", value.text)),
        span: plain.span.start..value.span.end,
        next: value.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_ours_may_be_quoted_alone() {
        let table: &[(&str, &[&str])] = &[
            (r#"retryon="502, 503" x"#, &["retryon=502, 503", "x"]),
            (r#""retryon=502, 503" x"#, &["retryon=502, 503", "x"]),
            (r"RetryOn='502 503'y", &["RetryOn=502 503", "y"]),
            (r#"retryon="502 503"#, &["retryon=502 503"]),
            // mod_proxy's own keys are read as mod_proxy reads them.
            (r#"route="a b""#, &["route=\"a", "b\""]),
            ("retryon=", &["retryon="]),
            ("retryon= 502", &["retryon=", "502"]),
        ];
        for (args, words) in table {
            let read: Vec<_> = arguments(args, 0).map(|a| a.text).collect();
            assert_eq!(&read, words, "{args:?}");
        }
    }
}
