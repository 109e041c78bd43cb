//! Where a cookie's value stands in a header.

use std::ops::Range;

/// The value of a cookie in a `Cookie` header, without the quotes it may stand in; several headers
/// are joined by commas, as httpd does. Of several cookies of the name the first that is not empty.
pub fn value(header: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let mut start = 0;
    for pair in header.split(|byte| matches!(byte, b';' | b',')) {
        let found = value_of_pair(pair, name).filter(|range| !range.is_empty());
        if let Some(range) = found {
            return Some(start + range.start..start + range.end);
        }
        start += pair.len() + 1;
    }
    None
}

/// The value in a `Set-Cookie` header that sets the cookie; it may be empty.
pub fn set_value(header: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let pair = header.split(|byte| *byte == b';').next()?;
    value_of_pair(pair, name)
}

/// The header with something else in the value's place.
pub fn replace(header: &[u8], value: Range<usize>, new: &[u8]) -> Option<Vec<u8>> {
    Some([header.get(..value.start)?, new, header.get(value.end..)?].concat())
}

/// The value of `name=value`, if that is the name: exactly, in case too.
fn value_of_pair(pair: &[u8], name: &[u8]) -> Option<Range<usize>> {
    let rest = pair.trim_ascii_start().strip_prefix(name)?;
    let value = rest
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    if name.is_empty() {
        return None;
    }
    let start = pair.len() - value.len();
    let value = value.trim_ascii_end();
    let end = start + value.len();
    match value {
        [b'"', .., b'"'] => Some(start + 1..end - 1),
        _ => Some(start..end),
    }
}
