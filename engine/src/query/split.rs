//! From characters to requests and their items.

use super::error::{QueryError, Reason};
use super::text::Text;
use std::borrow::Cow;

/// Most items of one request.
const ITEMS_MAX: usize = 64;

/// A request as it stands there.
#[derive(Debug, Default)]
pub struct Raw<'t> {
    /// Where it begins.
    pub at: usize,
    /// The path before its `?`.
    pub path: Option<&'t str>,
    /// What it holds.
    pub items: Vec<Item<'t>>,
}

/// `word` or `word=value`.
#[derive(Clone, Debug)]
pub struct Item<'t> {
    /// Where it begins.
    pub at: usize,
    /// The word.
    pub word: &'t str,
    /// What stands behind `=`.
    pub value: Option<Value<'t>>,
}

/// What stands behind `=`, without its quotes.
#[derive(Clone, Copy, Debug)]
pub struct Value<'t> {
    /// Where it begins.
    pub at: usize,
    raw: &'t str,
}

impl<'t> Value<'t> {
    /// Its characters and where each stands, escapes resolved.
    pub fn chars(self) -> impl Iterator<Item = (usize, char)> + 't {
        let mut chars = self.raw.char_indices();
        std::iter::from_fn(move || {
            let (offset, c) = chars.next()?;
            let c = match c {
                '\\' => chars.next().and_then(|(_, c)| escape(c)).unwrap_or('\\'),
                c => c,
            };
            Some((self.at + offset, c))
        })
    }

    /// Its text.
    pub fn text(self) -> Cow<'t, str> {
        if self.raw.contains('\\') {
            Cow::Owned(self.chars().map(|(_, c)| c).collect())
        } else {
            Cow::Borrowed(self.raw)
        }
    }
}

/// The text as a value that reads back as itself.
pub fn quoted(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, ',' | '&' | '"' | '\\') || c.is_control();
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Cow::Owned(quoted)
}

fn escape(c: char) -> Option<char> {
    match c {
        '"' | '\\' => Some(c),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        _ => None,
    }
}

/// Finds up to `most` requests. A query without a character is one request without an item.
pub fn requests<'t>(text: &'t Text<'_>, most: usize) -> Result<Vec<Raw<'t>>, QueryError> {
    let mut cursor = Cursor { text, offset: 0 };
    let mut requests = Vec::new();
    loop {
        let raw = cursor.request()?;
        let at = raw.at;
        let empty = raw.items.is_empty() && raw.path.is_none();
        let alone = text.as_str().is_empty();
        if !empty || alone {
            if requests.len() == most {
                let reason = if text.has_lines() {
                    Reason::TooManyInBody(most)
                } else {
                    Reason::TooMany(most)
                };
                return Err(QueryError::new(at, reason));
            }
            requests.push(raw);
        } else if !text.has_lines() {
            return Err(QueryError::new(at, Reason::Empty));
        }
        match cursor.peek() {
            Some(c) => cursor.skip(c),
            None => return Ok(requests),
        }
    }
}

struct Cursor<'t, 's> {
    text: &'t Text<'s>,
    offset: usize,
}

impl<'t> Cursor<'t, '_> {
    fn rest(&self) -> &'t str {
        self.text.as_str().get(self.offset..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, c: char) {
        self.offset += c.len_utf8();
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.skip(c);
        }
        found
    }

    /// Everything up to a character that `ends`.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let taken = rest
            .find(ends)
            .and_then(|end| rest.get(..end))
            .unwrap_or(rest);
        self.offset += taken.len();
        taken
    }

    /// As far as the separator, or the end.
    fn request(&mut self) -> Result<Raw<'t>, QueryError> {
        let mut raw = Raw {
            at: self.offset,
            ..Raw::default()
        };
        let text = self.text;
        let ends = |c| text.separates(c);
        let path = self.until(|c| ends(c) || matches!(c, '?' | ',' | '=' | '"' | '\\'));
        if self.take('?') {
            raw.path = Some(path);
        } else {
            self.offset = raw.at;
        }
        if self.peek().is_none_or(ends) {
            return Ok(raw);
        }
        loop {
            if raw.items.len() == ITEMS_MAX {
                return Err(QueryError::new(self.offset, Reason::TooLong(ITEMS_MAX)));
            }
            raw.items.push(self.item()?);
            match self.peek() {
                Some(',') => self.skip(','),
                Some(c) if !ends(c) => return Err(QueryError::new(self.offset, Reason::Stray(c))),
                _ => return Ok(raw),
            }
        }
    }

    fn item(&mut self) -> Result<Item<'t>, QueryError> {
        let at = self.offset;
        let text = self.text;
        let ends = |c| text.separates(c) || matches!(c, ',' | '"' | '\\');
        let word = self.until(|c| ends(c) || matches!(c, '=' | '?'));
        if word.is_empty() {
            return Err(QueryError::new(at, Reason::Empty));
        }
        let value = match self.take('=') {
            false => None,
            true if self.peek() == Some('"') => Some(self.quoted()?),
            true => Some(Value {
                at: self.offset,
                raw: self.until(ends),
            }),
        };
        Ok(Item { at, word, value })
    }

    fn quoted(&mut self) -> Result<Value<'t>, QueryError> {
        let unclosed = QueryError::new(self.offset, Reason::Unclosed);
        self.skip('"');
        let at = self.offset;
        loop {
            let text = self.text;
            let line = |c| c != '&' && text.separates(c);
            self.until(|c| line(c) || matches!(c, '"' | '\\'));
            let raw = self.text.as_str().get(at..self.offset).unwrap_or("");
            match self.peek() {
                Some('"') => {
                    self.skip('"');
                    return Ok(Value { at, raw });
                }
                Some('\\') => {
                    let backslash = self.offset;
                    self.skip('\\');
                    match self.peek() {
                        Some(c) if escape(c).is_some() => self.skip(c),
                        Some(c) => return Err(QueryError::new(backslash, Reason::Escape(c))),
                        None => return Err(unclosed),
                    }
                }
                _ => return Err(unclosed),
            }
        }
    }
}
