//! Words of an argument string, split as `ap_getword_conf` does (httpd, `server/util.c`), and
//! quoted so that it reads them back unchanged.
//!
//! A word that begins with `"` or `'` runs to the same quote; inside it a backslash escapes that
//! quote and itself. Any other word runs to white space; there a backslash escapes only itself,
//! and quotes are ordinary characters. A missing closing quote is no error, and the next word may
//! follow a closing quote without white space.

use std::borrow::Cow;
use std::ops::Range;

/// One word of an argument string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word without its quotes and escapes.
    pub text: Cow<'a, str>,
    /// Where it stands in the argument string, quotes included, in bytes.
    pub span: Range<usize>,
    /// Where the next word begins: the end of the white space behind this one.
    pub next: usize,
}

/// The first word at or after byte `from`; `None` when only white space is left.
pub fn word(args: &str, from: usize) -> Option<Word<'_>> {
    let bytes = args.as_bytes();
    let start = skip_space(bytes, from);
    let first = *bytes.get(start)?;
    let (text, end) = if matches!(first, b'"' | b'\'') {
        let close = closing_quote(bytes, start + 1, first);
        let inside = args.get(start + 1..close).unwrap_or_default();
        (unescape(inside, Some(first)), (close + 1).min(bytes.len()))
    } else {
        let rest = bytes.get(start..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|&b| is_space(b))
            .map_or(bytes.len(), |n| start + n);
        (
            unescape(args.get(start..end).unwrap_or_default(), None),
            end,
        )
    };
    Some(Word {
        text,
        span: start..end,
        next: skip_space(bytes, end),
    })
}

/// All words of an argument string.
pub fn split(args: &str) -> impl Iterator<Item = Cow<'_, str>> {
    std::iter::successors(word(args, 0), |last| word(args, last.next)).map(|word| word.text)
}

/// `text` as one word, in double quotes.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// C's `isspace`, which counts the vertical tab too.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|&&b| is_space(b)).count()
}

/// Where the word that `quote` opened ends: at its closing quote or at the end of the text.
fn closing_quote(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while let Some(&byte) = bytes.get(at) {
        if byte == quote {
            break;
        }
        let escapes =
            byte == b'\\' && matches!(bytes.get(at + 1), Some(&n) if n == quote || n == b'\\');
        at += if escapes { 2 } else { 1 };
    }
    at
}

fn unescape(text: &str, quote: Option<u8>) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let quote = quote.map(char::from);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = (c == '\\').then(|| chars.next_if(|&n| n == '\\' || Some(n) == quote));
        plain.push(escaped.flatten().unwrap_or(c));
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_split_as_httpd_splits_them() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (" \t\x0b\r\n ", &[]),
            ("a b", &["a", "b"]),
            ("  a\x0bb  ", &["a", "b"]),
            (r#""a b" 'c d'"#, &["a b", "c d"]),
            (r#""a\"b" 'c\'d' "e\'f""#, &["a\"b", "c'd", r"e\'f"]),
            (r#""a\\" b"#, &[r"a\", "b"]),
            (r"a\b c\\d e\", &[r"a\b", r"c\d", r"e\"]),
            (r#"a\"b"#, &[r#"a\"b"#]),
            (r#"k="a b""#, &["k=\"a", "b\""]),
            (r#""a"b"#, &["a", "b"]),
            (r#""a""b""#, &["a", "b"]),
            (r#""" x"#, &["", "x"]),
            (r#""open to the end"#, &["open to the end"]),
            ("\"open \\", &["open \\"]),
            ("\"", &[""]),
            ("grün \"größer als\"", &["grün", "größer als"]),
        ];
        for (args, words) in table {
            assert_eq!(&split(args).collect::<Vec<_>>(), words, "{args:?}");
        }
    }

    #[test]
    fn a_word_knows_where_it_stands() {
        let args = r#" a "b c"  d"#;
        let spans: Vec<_> = std::iter::successors(word(args, 0), |w| word(args, w.next))
            .map(|w| (args[w.span.clone()].to_owned(), w.next))
            .collect();
        assert_eq!(
            spans,
            [
                ("a".to_owned(), 3),
                ("\"b c\"".to_owned(), 10),
                ("d".to_owned(), 11)
            ]
        );
    }

    #[test]
    fn quoting_is_readable() {
        assert_eq!(quote("/snoop"), "\"/snoop\"");
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn a_quoted_word_is_read_back_unchanged(words in prop::collection::vec("[^\0]*", 0..5)) {
            let line = words.iter().map(|w| quote(w)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split(&line).collect::<Vec<_>>(), words);
        }

        #[test]
        fn backslashes_and_quotes_survive(text in r#"[\\"' a]{0,12}"#) {
            let quoted = quote(&text);
            prop_assert_eq!(split(&quoted).collect::<Vec<_>>(), [text]);
        }

        #[test]
        fn any_text_is_split_to_its_end(args in any::<String>()) {
            let words = split(&args).count();
            prop_assert!(words <= args.len());
        }
    }
}
