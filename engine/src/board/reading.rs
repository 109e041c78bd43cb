//! The board's file as it is read, not mapped: by who does not trust it, or does not belong to the
//! processes that share it. Every number that says where something lies is checked here.

use std::io::{self, Read, Seek, SeekFrom};
use std::mem::offset_of;

use super::layout::{Extent, ExtentHead, Header, Kind, MAGIC, MAX_SLOTS, VERSION, first_extent};

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Written by a module with another layout.
    #[error("layout version {0}, this module's is {VERSION}")]
    OtherVersion(u32),
    /// Not as a board is.
    #[error("{0}")]
    Damaged(&'static str),
    /// Too short, or the disk failed.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
}

/// Where everything lies.
///
/// # Errors
///
/// Anything but a complete board of this version.
pub fn extents(file: &mut (impl Read + Seek)) -> Result<Vec<Extent>, Refusal> {
    let there = file.seek(SeekFrom::End(0))?;
    let header = Bytes::read(file, 0, size_of::<Header>())?;
    ensure(
        header.u64(offset_of!(Header, magic)) == MAGIC,
        "not a board",
    )?;
    let version = header.u32(offset_of!(Header, version));
    if version != VERSION {
        return Err(Refusal::OtherVersion(version));
    }
    ensure(
        header.u32(offset_of!(Header, ready)) == 1,
        "left half written",
    )?;
    // It may be longer: there was no room for all that was to be appended.
    let length = header.u64(offset_of!(Header, total));
    ensure(length <= there, "it is shorter than written")?;
    let slots = header.u32(offset_of!(Header, slots));
    ensure(
        (1..=MAX_SLOTS).contains(&slots),
        "the number of child slots is out of range",
    )?;

    let mut extents = Vec::new();
    let mut offset = first_extent(slots);
    while offset < length {
        let head = Bytes::read(file, offset, size_of::<ExtentHead>())?;
        let kind = Kind::of(head.u32(offset_of!(ExtentHead, kind)));
        let Some(kind) = kind else {
            return Err(Refusal::Damaged("an extent of unknown kind"));
        };
        let extent = Extent {
            kind,
            offset,
            first: head.u32(offset_of!(ExtentHead, first)),
            count: head.u32(offset_of!(ExtentHead, count)),
        };
        ensure(
            (1..=kind.most()).contains(&extent.count),
            "an extent's count is out of range",
        )?;
        let written = head.u64(offset_of!(ExtentHead, length));
        ensure(
            written == extent.length(slots),
            "an extent's length does not fit its count",
        )?;
        offset += written;
        ensure(offset <= length, "an extent reaches beyond the end")?;
        extents.push(extent);
    }
    ensure(offset == length, "the end is missing")?;
    Ok(extents)
}

/// Refuses what does not hold.
pub fn ensure(holds: bool, otherwise: &'static str) -> Result<(), Refusal> {
    if holds {
        Ok(())
    } else {
        Err(Refusal::Damaged(otherwise))
    }
}

/// A copy of a record. Fields asked for lie within it, by `offset_of` its type.
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// Reads `length` bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// They are not there.
    pub fn read(file: &mut (impl Read + Seek), offset: u64, length: usize) -> io::Result<Self> {
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(error.kind(), "it is shorter than a board")
                }
                _ => error,
            })?;
        Ok(Self(bytes))
    }

    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        let field = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        field.copied().unwrap_or([0; N])
    }

    /// The field at `offset`.
    pub fn u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.array(offset))
    }

    /// The field at `offset`.
    pub fn u64(&self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.array(offset))
    }

    /// Text padded with NUL up to `length`.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn text(&self, offset: usize, length: usize) -> Result<String, Refusal> {
        let field = self.0.get(offset..offset + length).unwrap_or_default();
        let end = field.iter().position(|byte| *byte == 0).unwrap_or(length);
        let (text, padding) = field.split_at_checked(end).unwrap_or_default();
        ensure(
            padding.iter().all(|byte| *byte == 0),
            "bytes after the end of a name",
        )?;
        let text =
            std::str::from_utf8(text).map_err(|_| Refusal::Damaged("a name not in UTF-8"))?;
        Ok(text.to_owned())
    }

    /// The same for people's eyes, whatever is there: no byte of it steers a terminal.
    pub fn shown(&self, offset: usize, length: usize) -> String {
        let field = self.0.get(offset..offset + length).unwrap_or_default();
        let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).replace(char::is_control, "\u{fffd}")
    }
}
