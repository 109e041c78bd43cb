//! Texts on the board: plain bytes, padded with NUL.

use crate::sync::{AtomicU8, Ordering};

/// No text: `Default` of std ends at arrays of 32.
pub(super) fn blank<const N: usize>() -> [AtomicU8; N] {
    core::array::from_fn(|_| AtomicU8::new(0))
}

/// Writes a text; what has no room is cut off. How many bytes there are of it.
pub(super) fn write(field: &[AtomicU8], text: &str) -> usize {
    let text = truncated(text, field.len());
    for (place, byte) in field.iter().zip(text.bytes().chain(std::iter::repeat(0))) {
        place.store(byte, Ordering::Relaxed);
    }
    text.len()
}

/// The longest start of `text` of at most `max` bytes that ends with a whole character.
pub(super) fn truncated(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Reads a text; `None`: not UTF-8.
#[cfg(not(loom))]
pub(super) fn read(field: &[AtomicU8]) -> Option<String> {
    String::from_utf8(bytes(field)).ok()
}

/// Reads a text for people's eyes.
#[cfg(not(loom))]
pub(super) fn read_lossy(field: &[AtomicU8]) -> String {
    String::from_utf8_lossy(&bytes(field)).into_owned()
}

#[cfg(not(loom))]
fn bytes(field: &[AtomicU8]) -> Vec<u8> {
    let bytes = field.iter().map(|byte| byte.load(Ordering::Relaxed));
    bytes.take_while(|byte| *byte != 0).collect()
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for (text, cut) in [("abc", "abc"), ("abcd", "abc"), ("abé", "ab"), ("éé", "é")] {
            let field = blank::<3>();
            assert_eq!(write(&field, text), cut.len());
            assert_eq!(read(&field).as_deref(), Some(cut));
            assert_eq!(read_lossy(&field), cut);
        }
        assert_eq!(truncated("é", 1), "");
    }

    #[test]
    fn any_bytes_are_read() {
        let field = [b'a', 0xff, 0, b'b'].map(AtomicU8::new);
        assert_eq!(read(&field), None);
        assert_eq!(read_lossy(&field), "a\u{fffd}");
    }
}
