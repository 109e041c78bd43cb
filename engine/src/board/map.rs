//! The only `unsafe` of the crate: mapped bytes seen as records.
//!
//! A board's bytes are written by other processes at any time, so they are never seen as anything
//! but integer atomics, for which every bit pattern is a value ([`Plain`]), and nothing that is
//! mapped is ever unmapped: a view is good for the life of the process. Where a view lies is asked
//! with numbers of the parent's private directory, and checked against the mapping here.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;

use super::events::EventRecord;
use super::layout::{ExtentHead, Header};
use super::plan_area::PlanHead;
use super::queue::Waiter;
use super::record::{
    FarmRecord, MemberAnswers, MemberChanged, MemberHealth, MemberIdentity, MemberRecord,
    MemberStats,
};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Types that may be seen in shared memory.
///
/// # Safety
///
/// The type is `repr(C)` or a primitive atomic, consists of integer atomics only and has no
/// padding; so any bytes are a valid value and any process may write them.
pub unsafe trait Plain: Sync + 'static {}

// SAFETY: primitive atomics.
unsafe impl Plain for AtomicU8 {}
// SAFETY: primitive atomics.
unsafe impl Plain for AtomicU32 {}
// SAFETY: primitive atomics.
unsafe impl Plain for AtomicU64 {}
// SAFETY: repr(C), atomics only, size asserted in layout.rs.
unsafe impl Plain for Header {}
// SAFETY: repr(C), atomics only, size asserted in layout.rs.
unsafe impl Plain for ExtentHead {}
// SAFETY: repr(C), atomics only, size asserted in layout.rs.
unsafe impl Plain for PlanHead {}
// SAFETY: repr(C), atomics only, size asserted in queue.rs.
unsafe impl Plain for Waiter {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for FarmRecord {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for MemberRecord {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for MemberAnswers {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for MemberHealth {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for MemberChanged {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for MemberStats {}
// SAFETY: repr(C), atomics only, size asserted in record.rs.
unsafe impl Plain for MemberIdentity {}
// SAFETY: repr(C), atomics only, size asserted in events.rs.
unsafe impl Plain for EventRecord {}

/// A contiguous part of the file, mapped shared and for good.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    offset: u64,
    bytes: &'static [AtomicU8],
}

impl Segment {
    /// Maps `length` bytes of `file` from `offset` on, for reading and writing.
    ///
    /// # Errors
    ///
    /// What `mmap` says.
    pub fn map(file: &File, offset: u64, length: usize) -> io::Result<Self> {
        let map = memmap2::MmapOptions::new()
            .offset(offset)
            .len(length)
            .map_raw(file)?;
        let address = map.as_mut_ptr();
        // Never unmapped: references into it live as long as the process.
        std::mem::forget(map);
        Ok(Self::at(offset, address.cast(), length))
    }

    /// The segment that an earlier [`Segment::map`] of this process made at `address`, for a module
    /// that was unloaded and loaded again. None unless the kernel confirms that exactly this part
    /// of the file with that inode number is mapped there, shared and writable.
    pub fn resume(inode: u64, offset: u64, address: usize, length: usize) -> Option<Self> {
        let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
        let confirmed = maps
            .lines()
            .any(|line| covers(line, inode, offset, address, length));
        let address = ptr::with_exposed_provenance(address);
        confirmed.then(|| Self::at(offset, address, length))
    }

    fn at(offset: u64, address: *const AtomicU8, length: usize) -> Self {
        address.expose_provenance();
        // SAFETY: both callers know `length` bytes to be mapped there, readable and writable, and
        // this process never unmaps them; bytes have no alignment and every value is valid.
        let bytes = unsafe { slice::from_raw_parts(address, length) };
        Self { offset, bytes }
    }

    /// Where it lies in this process, for [`Segment::resume`].
    pub fn address(&self) -> usize {
        self.bytes.as_ptr().addr()
    }

    /// Where it begins in the file.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Its bytes.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// `count` records at `offset` of the file; None if they do not lie within this segment or
    /// would not be aligned.
    pub fn view<T: Plain>(&self, offset: u64, count: usize) -> Option<&'static [T]> {
        let start = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
        let first = self.bytes.get(start..end)?.as_ptr().cast::<T>();
        if !first.is_aligned() {
            return None;
        }
        // SAFETY: the range was taken from a live slice of shared bytes, is `count` times the
        // type's size and aligned for it; by `Plain` whatever other processes write is valid.
        Some(unsafe { slice::from_raw_parts(first, count) })
    }
}

/// Sets every byte of a record that is nobody's to zero.
pub fn zero<T: Plain>(record: &T) {
    // SAFETY: the reference covers size_of::<T>() bytes, which by `Plain` are atomics all through,
    // so that they may be written behind a shared reference.
    let bytes =
        unsafe { slice::from_raw_parts(ptr::from_ref(record).cast::<AtomicU8>(), size_of::<T>()) };
    for byte in bytes {
        byte.store(0, Ordering::Relaxed);
    }
}

/// Whether a line of `/proc/self/maps` (`start-end perms offset dev inode path`) is a shared,
/// writable mapping of that part of the file at that address.
fn covers(line: &str, inode: u64, offset: u64, address: usize, length: usize) -> bool {
    let inside = || -> Option<bool> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        let shared = fields.next()?.starts_with("rw-s");
        let from = u64::from_str_radix(fields.next()?, 16).ok()?;
        let same = fields.nth(1)?.parse() == Ok(inode);
        let skipped = address.checked_sub(start)?;
        let fits = address.checked_add(length)? <= end;
        Some(shared && same && fits && from.checked_add(skipped as u64)? == offset)
    };
    inside().unwrap_or(false)
}

/// The file behind a retained descriptor; None unless it is open and its inode is the expected one.
pub fn resume_file(descriptor: RawFd, inode: u64) -> Option<File> {
    use std::os::unix::fs::MetadataExt;
    let open = std::fs::metadata(format!("/proc/self/fd/{descriptor}")).ok()?;
    if open.ino() != inode {
        return None;
    }
    // SAFETY: the descriptor is open, is the board's by its inode, and whoever retained it gave it
    // up to the caller (the value that owned it before was forgotten, not dropped).
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment() -> Segment {
        let fd = nix::sys::memfd::memfd_create(c"map", nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
        let file = File::from(fd.unwrap());
        file.set_len(16384).unwrap();
        Segment::map(&file, 8192, 8192).unwrap()
    }

    #[test]
    fn a_view_stays_within_its_segment() {
        let segment = segment();
        assert_eq!(segment.view::<AtomicU32>(8192, 2048).unwrap().len(), 2048);
        assert!(segment.view::<AtomicU32>(8192, 2049).is_none());
        assert!(segment.view::<AtomicU32>(16384, 1).is_none());
        assert!(segment.view::<AtomicU32>(8188, 1).is_none());
        assert!(segment.view::<AtomicU32>(u64::MAX, 1).is_none());
        assert!(segment.view::<MemberRecord>(8192, usize::MAX).is_none());
        assert!(segment.view::<AtomicU32>(8193, 1).is_none(), "not aligned");
        assert!(
            segment.view::<FarmRecord>(8192 + 64, 1).is_none(),
            "not aligned"
        );
    }

    #[test]
    fn only_lines_that_cover_the_part_confirm_it() {
        let line = "7f0000001000-7f0000005000 rw-s 00002000 00:01 77   /memfd:map (deleted)";
        let base = 0x7f00_0000_1000;
        assert!(covers(line, 77, 0x2000, base, 0x4000));
        assert!(
            covers(line, 77, 0x3000, base + 0x1000, 0x1000),
            "neighbours may be merged"
        );
        assert!(!covers(line, 78, 0x2000, base, 0x4000), "another file");
        assert!(!covers(line, 77, 0x3000, base, 0x1000), "another part");
        assert!(!covers(line, 77, 0x2000, base, 0x4001), "too long");
        assert!(!covers(line, 77, 0x2000, base, usize::MAX));
        assert!(!covers(
            &line.replace("rw-s", "rw-p"),
            77,
            0x2000,
            base,
            0x4000
        ));
        assert!(!covers(
            &line.replace("rw-s", "r--s"),
            77,
            0x2000,
            base,
            0x4000
        ));
        assert!(!covers("", 0, 0, 0, 0));
    }
}
