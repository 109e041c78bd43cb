//! A graceful restart: the next configuration pass of the same process goes on with the same
//! mapping.
//!
//! The module may be unloaded and loaded again in between, so nothing but plain bytes is handed
//! over (JSON, a few hundred bytes a member). They come from the parent's own memory; still they
//! are checked against what the kernel says is open and mapped, so that nothing wrong becomes
//! a reference.

use std::ffi::OsString;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Board;
use super::directory::Directory;
use super::error::BoardError;
use super::file::{Storage, lock};
use super::lock::Locks;
use super::map::{Segment, resume_file};
use super::view::View;

/// Version of what is handed over; [`Files`] is readable in all versions.
const VERSION: u32 = 2;

/// The version, and the descriptors that have to be closed if it is another one.
#[derive(Serialize, Deserialize)]
struct Files {
    version: u32,
    board: Descriptor,
    locks: Descriptor,
}

#[derive(Serialize, Deserialize)]
struct Descriptor {
    number: RawFd,
    inode: u64,
}

#[derive(Serialize, Deserialize)]
struct Retained {
    /// None: in memory.
    path: Option<OsString>,
    /// Offset, address and length of each mapping.
    segments: Vec<(u64, usize, usize)>,
    directory: Directory,
}

impl Descriptor {
    fn of(file: &std::fs::File) -> Self {
        // An inode number of 0 is refused on resuming.
        Self {
            number: file.as_raw_fd(),
            inode: file.metadata().map_or(0, |meta| meta.ino()),
        }
    }
}

impl Board {
    /// The private directory as bytes, for [`Board::resume`] in this process. Whoever drops the
    /// board afterwards closes and unmaps nothing.
    pub fn retain(&self) -> Vec<u8> {
        let files = Files {
            version: VERSION,
            board: Descriptor::of(&self.file),
            locks: Descriptor::of(self.locks.file()),
        };
        let retained = Retained {
            path: match &self.storage {
                Storage::File(path) => Some(path.clone().into_os_string()),
                Storage::Memory => None,
            },
            segments: self
                .segments
                .iter()
                .map(|s| (s.offset(), s.address(), s.len()))
                .collect(),
            directory: self.directory.clone(),
        };
        // Plain structures and numbers cannot fail to serialise; if they did, nothing is resumed.
        serde_json::to_vec(&(files, retained)).unwrap_or_default()
    }

    /// The board that an earlier generation of this process retained. Its parts are those of that
    /// generation until [`Board::attach`].
    ///
    /// # Errors
    ///
    /// The bytes are of another version (the module was updated; then the old board's lock and
    /// descriptors are given up, and a full [`Board::open`] may follow), damaged, or of another
    /// process.
    pub fn resume(retained: &[u8]) -> Result<Self, BoardError> {
        let wrong = |error: serde_json::Error| BoardError::Retained(error.to_string());
        let (files, retained): (Files, serde_json::Value) =
            serde_json::from_slice(retained).map_err(wrong)?;
        let open = |descriptor: &Descriptor| {
            resume_file(descriptor.number, descriptor.inode)
                .map(ManuallyDrop::new)
                .ok_or_else(|| BoardError::Retained("its file is no longer open".into()))
        };
        let (board, locks) = (open(&files.board)?, open(&files.locks)?);
        if files.version != VERSION {
            // Unlocked before it is closed: children share the open file.
            drop(lock(
                ManuallyDrop::into_inner(board),
                PathBuf::new().as_path(),
            ));
            drop(ManuallyDrop::into_inner(locks));
            return Err(BoardError::OtherRetained(files.version));
        }
        let Retained {
            path,
            segments,
            directory,
        } = serde_json::from_value(retained).map_err(wrong)?;
        let storage = path.map_or(Storage::Memory, |path| Storage::File(path.into()));
        let segments: Option<Vec<Segment>> = segments
            .into_iter()
            .map(|(offset, at, length)| Segment::resume(files.board.inode, offset, at, length))
            .collect();
        let segments =
            segments.ok_or_else(|| BoardError::Retained("it is no longer mapped".into()))?;
        let view = View::of(&segments, &directory)?;
        let file = lock(ManuallyDrop::into_inner(board), storage.path())?;
        let mut locks = Locks::of(ManuallyDrop::into_inner(locks));
        locks.resize(directory.farms.len());
        Ok(Self {
            storage,
            file: ManuallyDrop::new(file),
            locks,
            segments,
            directory,
            view,
        })
    }
}
