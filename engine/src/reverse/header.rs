//! Values of headers: where the URLs are in them, and how they look with others in their place.

use std::ops::Range;

/// What a URL becomes; `None`: it stays.
type Replaced = Option<Vec<u8>>;

/// `Location` and others that are one URL.
pub fn url(value: &[u8], map: impl FnMut(&[u8]) -> Replaced) -> Replaced {
    replace(value, std::iter::once(trimmed(value, 0..value.len())), map)
}

/// `Refresh: 5; url=http://…`, read as browsers do (HTML, "shared declarative refresh steps"): the
/// name and quotes around the URL may be missing.
pub fn refresh(value: &[u8], map: impl FnMut(&[u8]) -> Replaced) -> Replaced {
    let number = span(value, 0, |b| b.is_ascii_digit() || b == b'.');
    let start = span(value, number, |b| matches!(b, b';' | b',') || is_space(b));
    if start == number {
        return None;
    }
    let named = value
        .get(start..start + 3)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"url"))
        .then(|| span(value, start + 3, is_space))
        .filter(|&equals| value.get(equals) == Some(&b'='))
        .map(|equals| span(value, equals + 1, is_space));
    let start = named.unwrap_or(start);
    let place = match value.get(start) {
        Some(&quote @ (b'"' | b'\'')) => {
            start + 1..start + 1 + span(behind(value, start + 1), 0, |b| b != quote)
        }
        _ => trimmed(value, start..value.len()),
    };
    replace(value, std::iter::once(place), map)
}

/// `Link: <http://…>; rel=next, <…>…` (RFC 8288 §3); what is malformed stays as it is.
pub fn link(value: &[u8], map: impl FnMut(&[u8]) -> Replaced) -> Replaced {
    let mut at = 0;
    let places = std::iter::from_fn(|| {
        at = span(value, at, |b| b == b',' || is_space(b));
        let start = at + 1;
        let end = span(value, start, |b| b != b'>');
        let closed = value.get(at) == Some(&b'<') && end < value.len();
        at = closed.then(|| end_of_item(value, end + 1))?;
        Some(trimmed(value, start..end))
    });
    replace(value, places, map)
}

/// The attributes of a cookie that say where it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `Domain=`
    Domain,
    /// `Path=`
    Path,
}

/// `Set-Cookie: name=value; Domain=…; Path=…`
pub fn cookie(value: &[u8], mut map: impl FnMut(Scope, &[u8]) -> Replaced) -> Replaced {
    let mut at = 0;
    let mut scopes = Vec::new();
    for (index, attribute) in value.split(|&b| b == b';').enumerate() {
        let end = at + attribute.len();
        let equals = attribute.iter().position(|&b| b == b'=');
        // The first is the cookie itself.
        if let Some(equals) = equals.filter(|_| index > 0) {
            let name = attribute.get(..equals).unwrap_or_default().trim_ascii();
            let place = trimmed(value, at + equals + 1..end);
            if name.eq_ignore_ascii_case(b"domain") {
                scopes.push((Scope::Domain, place));
            } else if name.eq_ignore_ascii_case(b"path") {
                scopes.push((Scope::Path, place));
            }
        }
        at = end + 1;
    }
    let mut kinds = scopes.iter().map(|(scope, _)| *scope);
    let places = scopes.iter().map(|(_, place)| place.clone());
    replace(value, places, |text| map(kinds.next()?, text))
}

/// The value with what `map` makes of each place in it; `None` when all of them stay.
fn replace(
    value: &[u8],
    places: impl Iterator<Item = Range<usize>>,
    mut map: impl FnMut(&[u8]) -> Replaced,
) -> Replaced {
    let mut result: Replaced = None;
    let mut done = 0;
    for place in places {
        let text = value.get(place.clone()).unwrap_or_default();
        if let Some(new) = map(text) {
            let result = result.get_or_insert_default();
            result.extend_from_slice(value.get(done..place.start).unwrap_or_default());
            result.extend_from_slice(&new);
            done = place.end;
        }
    }
    if let Some(result) = &mut result {
        result.extend_from_slice(behind(value, done));
    }
    result
}

/// Where a link's parameters end: at a comma outside of quotes.
fn end_of_item(value: &[u8], from: usize) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    span(value, from, |b| {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return false,
            _ => {}
        }
        true
    })
}

/// The end of the run of bytes from `from` on that `belongs` holds for.
fn span(value: &[u8], from: usize, mut belongs: impl FnMut(u8) -> bool) -> usize {
    from + behind(value, from)
        .iter()
        .take_while(|&&byte| belongs(byte))
        .count()
}

fn behind(value: &[u8], from: usize) -> &[u8] {
    value.get(from..).unwrap_or_default()
}

/// The range without white space at its ends.
fn trimmed(value: &[u8], range: Range<usize>) -> Range<usize> {
    let text = value.get(range.clone()).unwrap_or_default();
    let start = range.start + text.len() - text.trim_ascii_start().len();
    start..start + text.trim_ascii().len()
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

#[cfg(test)]
mod tests;
