//! Values that people set at run time in place of the configured ones. Where nothing was set the
//! configuration holds, which each process knows by itself: only what differs from it lies on the
//! board, with a hash of the configured value that it replaced. When that value changes, the
//! configuration wins ([`ChangedNumber::settle`], [`ChangedText::settle`]).
//!
//! Writers hold the farm's lock. A text has a version, odd while it is written, so that nobody reads
//! half of one. Whoever dies at it leaves the version odd: then the configuration holds, until people
//! set a text again.

use super::text;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// Either of them as a full start finds it in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept<T> {
    /// As stored; for a text `None` where the configuration held.
    pub value: T,
    /// Hash of the configured value that it replaced.
    pub configured: u64,
}

/// Largest stored number.
#[cfg(not(loom))]
pub(super) const STORED_MAX: u64 = u32::MAX as u64 + 2;

/// A number, or none, in place of the configured one.
#[repr(C)]
#[derive(Debug, Default)]
pub struct ChangedNumber {
    /// 0: the configuration holds. 1: none. Otherwise the number and 2.
    pub(super) value: AtomicU64,
    /// Hash of the configured value when `value` was set.
    pub(super) configured: AtomicU64,
}

/// A text of up to `N` bytes, empty for none, in place of the configured one.
#[repr(C)]
#[derive(Debug)]
pub struct ChangedText<const N: usize> {
    /// Odd while the text is written.
    pub(super) version: AtomicU32,
    /// 0: the configuration holds. Otherwise the text's length and 1.
    pub(super) length: AtomicU32,
    /// Hash of the configured value when the text was set.
    pub(super) configured: AtomicU64,
    pub(super) bytes: [AtomicU8; N],
}

impl<const N: usize> Default for ChangedText<N> {
    fn default() -> Self {
        Self {
            version: AtomicU32::new(0),
            length: AtomicU32::new(0),
            configured: AtomicU64::new(0),
            bytes: text::blank(),
        }
    }
}

impl ChangedNumber {
    /// What people set; `None`: the configuration holds.
    pub fn get(&self) -> Option<Option<u32>> {
        match self.value.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(None),
            // More than a number can be is what a hostile child wrote.
            value => Some(u32::try_from(value - 2).ok()),
        }
    }

    /// Sets a value; the configured one is none of people's.
    pub fn set(&self, value: Option<u32>, configured: Option<u32>) {
        let stored = if value == configured {
            0
        } else {
            value.map_or(1, |value| u64::from(value) + 2)
        };
        self.configured
            .store(hash_of(configured), Ordering::Relaxed);
        self.value.store(stored, Ordering::Relaxed);
    }

    /// Puts back what a full start found.
    #[cfg(not(loom))]
    pub(super) fn restore(&self, kept: &Kept<u64>) {
        self.value.store(kept.value, Ordering::Relaxed);
        self.configured.store(kept.configured, Ordering::Relaxed);
    }

    /// The configuration was read: what people had set is given back if it is lost, because the
    /// configured value is another one than it replaced.
    pub fn settle(&self, configured: Option<u32>) -> Option<Option<u32>> {
        let set = self.get()?;
        let kept = self.configured.load(Ordering::Relaxed) == hash_of(configured);
        if !kept || set == configured {
            self.value.store(0, Ordering::Relaxed);
        }
        (!kept && set != configured).then_some(set)
    }
}

impl<const N: usize> ChangedText<N> {
    /// What people set; `None`: the configuration holds.
    pub fn get(&self) -> Option<String> {
        if self.length.load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Writing takes no time; a writer that died at it leaves the version odd.
        let bytes = (0..16).find_map(|_| self.read())?;
        String::from_utf8(bytes).ok()
    }

    /// Whether there is a text, where the configuration has one or has none: one load where nothing
    /// was set.
    pub fn is(&self, configured: bool) -> bool {
        match self.length.load(Ordering::Relaxed) {
            0 => configured,
            _ if !self.version().is_multiple_of(2) => configured,
            length => length > 1,
        }
    }

    /// Changes with each text that is set.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::Acquire)
    }

    /// One look; `None`: it was being written, or is no longer set.
    fn read(&self) -> Option<Vec<u8>> {
        let before = self.version.load(Ordering::Acquire);
        let length = (self.length.load(Ordering::Relaxed) as usize).checked_sub(1)?;
        let bytes = self.bytes.iter().take(length);
        let bytes = bytes.map(|byte| byte.load(Ordering::Relaxed)).collect();
        // SYNC POINT: the text was read between two looks at its version.
        fence(Ordering::Acquire);
        let after = self.version.load(Ordering::Relaxed);
        (before.is_multiple_of(2) && before == after).then_some(bytes)
    }

    /// Sets a text of at most `N` bytes (the rest is cut off); the configured one is none of people's.
    pub fn set(&self, text: &str, configured: &str) {
        self.write((text != configured).then_some(text), hash(configured));
    }

    /// Puts back what a full start found.
    #[cfg(not(loom))]
    pub(super) fn restore(&self, kept: &Kept<Option<String>>) {
        self.write(kept.value.as_deref(), kept.configured);
    }

    fn write(&self, text: Option<&str>, configured: u64) {
        let odd = self.version.load(Ordering::Relaxed) | 1;
        self.version.store(odd, Ordering::Relaxed);
        // SYNC POINT: the version is odd before a byte changes, and even again after the last did.
        fence(Ordering::Release);
        let written = text::write(&self.bytes, text.unwrap_or_default());
        let length = text.map_or(0, |_| written + 1);
        self.length
            .store(u32::try_from(length).unwrap_or(0), Ordering::Relaxed);
        self.configured.store(configured, Ordering::Relaxed);
        self.version.store(odd.wrapping_add(1), Ordering::Release);
    }

    /// As [`ChangedNumber::settle`]; half a text is none. Nobody writes any more.
    pub fn settle(&self, configured: &str) -> Option<String> {
        if !self.version().is_multiple_of(2) {
            self.set(configured, configured);
        }
        let set = self.get()?;
        let kept = self.configured.load(Ordering::Relaxed) == hash(configured);
        if !kept || set == configured {
            self.set(configured, configured);
        }
        (!kept && set != configured).then_some(set)
    }
}

fn hash_of(number: Option<u32>) -> u64 {
    number.map_or(0, |number| hash(&number.to_string()))
}

/// FNV-1a: the same in every build of this module, for a value that people write, not an attacker.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_holds_until_its_configured_value_changes() {
        let number = ChangedNumber::default();
        assert_eq!((number.get(), number.settle(Some(5))), (None, None));
        number.set(Some(7), Some(5));
        assert_eq!(
            (number.get(), number.settle(Some(5))),
            (Some(Some(7)), None)
        );
        assert_eq!(number.settle(Some(6)), Some(Some(7)));
        assert_eq!(number.get(), None);
        // None is a value, too; and the configured one is none of people's.
        number.set(None, Some(6));
        assert_eq!(number.get(), Some(None));
        number.set(Some(6), Some(6));
        assert_eq!(number.get(), None);
        // The configuration came to say the same: nothing is lost, and nothing is people's.
        number.set(Some(9), None);
        assert_eq!((number.settle(Some(9)), number.get()), (None, None));
    }

    #[test]
    fn a_text_holds_until_its_configured_value_changes() {
        let text = ChangedText::<8>::default();
        assert_eq!((text.get(), text.version()), (None, 0));
        text.set("eight888, and more", "");
        assert_eq!(text.get().as_deref(), Some("eight888"));
        assert_ne!(text.version(), 0);
        text.set("", "a");
        assert_eq!((text.get().as_deref(), text.settle("a")), (Some(""), None));
        assert_eq!(text.settle("b").as_deref(), Some(""));
        assert_eq!(text.get(), None);
        text.set("b", "b");
        assert_eq!(text.get(), None);
    }

    #[test]
    fn half_a_text_is_none() {
        let text = ChangedText::<8>::default();
        text.set("whole", "");
        text.version.store(7, Ordering::Relaxed);
        assert_eq!(
            (text.get(), text.is(false), text.is(true)),
            (None, false, true)
        );
        // At the next start nothing is set.
        assert_eq!(
            (text.settle(""), text.version().is_multiple_of(2)),
            (None, true)
        );
        assert_eq!((text.get(), text.length.load(Ordering::Relaxed)), (None, 0));
        // The next writer is whole again.
        text.version.store(7, Ordering::Relaxed);
        text.set("next", "");
        assert_eq!(text.get().as_deref(), Some("next"));
        text.length.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(text.get().as_deref(), Some("next\0\0\0\0"));
    }
}
