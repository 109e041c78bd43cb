//! The characters of a query: decoded once, with the way back to where they came from.

use super::error::{QueryError, Reason};
use std::borrow::Cow;

/// The text of a query or of a POST's body.
#[derive(Debug)]
pub struct Text<'s> {
    characters: Cow<'s, str>,
    /// The query as sent, where `characters` are decoded from it.
    escaped: Option<&'s [u8]>,
    lines: bool,
}

impl<'s> Text<'s> {
    /// A query string. After a leading `E`, each valid `%XX` is the byte it stands for; any other
    /// `%` stays.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, or control characters.
    pub fn of_query(query: &'s [u8]) -> Result<Self, QueryError> {
        let escaped = query.strip_prefix(b"E");
        let bytes = escaped.map_or(Cow::Borrowed(query), decoded);
        Self::of(bytes, escaped, false)
    }

    /// The body of a POST, in which a new line separates requests, too.
    ///
    /// # Errors
    /// As [`Self::of_query`].
    pub fn of_body(body: &'s [u8]) -> Result<Self, QueryError> {
        Self::of(Cow::Borrowed(body), None, true)
    }

    fn of(
        bytes: Cow<'s, [u8]>,
        escaped: Option<&'s [u8]>,
        lines: bool,
    ) -> Result<Self, QueryError> {
        let (characters, invalid) = match bytes {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => (Cow::Borrowed(text), None),
                Err(error) => (Cow::Borrowed(""), Some(error.valid_up_to())),
            },
            Cow::Owned(bytes) => match String::from_utf8(bytes) {
                Ok(text) => (Cow::Owned(text), None),
                Err(error) => (Cow::Borrowed(""), Some(error.utf8_error().valid_up_to())),
            },
        };
        let text = Self {
            characters,
            escaped,
            lines,
        };
        if let Some(at) = invalid {
            return Err(text.located(QueryError::new(at, Reason::Encoding)));
        }
        let bad = |byte: u8| byte.is_ascii_control() && !(lines && matches!(byte, b'\n' | b'\r'));
        match text.characters.bytes().position(bad) {
            Some(at) => Err(text.located(QueryError::new(at, Reason::Control))),
            None => Ok(text),
        }
    }

    /// The characters.
    pub(super) fn as_str(&self) -> &str {
        &self.characters
    }

    /// Whether this character ends a request.
    pub(super) fn separates(&self, c: char) -> bool {
        c == '&' || self.lines && matches!(c, '\n' | '\r')
    }

    /// Whether new lines separate.
    pub(super) const fn has_lines(&self) -> bool {
        self.lines
    }

    /// The error with its position as the query was sent.
    pub(super) fn located(&self, error: QueryError) -> QueryError {
        let Some(escaped) = self.escaped else {
            return error;
        };
        let (mut offset, mut left) = (0, error.at - 1);
        while left > 0 && offset < escaped.len() {
            offset += if escape_at(escaped, offset).is_some() {
                3
            } else {
                1
            };
            left -= 1;
        }
        // The E, too.
        QueryError::new(offset + 1, error.reason)
    }
}

fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut offset = 0;
    while let Some(byte) = bytes.get(offset) {
        let escape = escape_at(bytes, offset);
        decoded.push(escape.unwrap_or(*byte));
        offset += if escape.is_some() { 3 } else { 1 };
    }
    Cow::Owned(decoded)
}

/// The byte that a valid `%XX` at this offset stands for.
fn escape_at(bytes: &[u8], offset: usize) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match bytes.get(offset..offset.checked_add(3)?)? {
        [b'%', high, low] => u8::try_from(digit(*high)? << 4 | digit(*low)?).ok(),
        _ => None,
    }
}
