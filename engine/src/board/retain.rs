//! A graceful restart: the next configuration pass of the same process goes on with the same
//! mapping.
//!
//! The module may be unloaded and loaded again in between, so nothing but plain bytes is handed
//! over (JSON, a few hundred bytes a member). They come from the parent's own memory; still they
//! are checked against what the kernel says is open and mapped, so that nothing wrong becomes
//! a reference.

use std::ffi::OsString;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
    fn of(file: &File) -> Self {
        // An inode number of 0 is refused on resuming.
        Self {
            number: file.as_raw_fd(),
            inode: file.metadata().map_or(0, |meta| meta.ino()),
        }
    }

    fn open(&self) -> Option<File> {
        resume_file(self.number, self.inode)
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
    /// The bytes are of another version (the module was updated), damaged, or of another process. The
    /// old board's lock and descriptors are given up then, and a full [`Board::open`] may follow.
    pub fn resume(retained: &[u8]) -> Result<Self, BoardError> {
        let (files, retained): (Files, serde_json::Value) =
            serde_json::from_slice(retained).map_err(damaged)?;
        match (
            Parts::of(&files, retained),
            files.board.open(),
            files.locks.open(),
        ) {
            (Ok(parts), Some(board), Some(locks)) => parts.resume(board, locks),
            (parts, board, _) => {
                // Unlocked before it is closed: children share the open file.
                drop(board.map(|board| lock(board, Path::new(""))));
                let closed = || BoardError::Retained("its file is no longer open".into());
                Err(parts.err().unwrap_or_else(closed))
            }
        }
    }
}

/// What was handed over, checked, without its files.
struct Parts {
    storage: Storage,
    segments: Vec<Segment>,
    directory: Directory,
    view: View,
}

impl Parts {
    fn of(files: &Files, retained: serde_json::Value) -> Result<Self, BoardError> {
        if files.version != VERSION {
            return Err(BoardError::OtherRetained(files.version));
        }
        let Retained {
            path,
            segments,
            directory,
        } = serde_json::from_value(retained).map_err(damaged)?;
        let segments: Option<Vec<Segment>> = segments
            .into_iter()
            .map(|(offset, at, length)| Segment::resume(files.board.inode, offset, at, length))
            .collect();
        let segments =
            segments.ok_or_else(|| BoardError::Retained("it is no longer mapped".into()))?;
        Ok(Self {
            storage: path.map_or(Storage::Memory, |path| Storage::File(path.into())),
            view: View::of(&segments, &directory)?,
            segments,
            directory,
        })
    }

    fn resume(self, board: File, locks: File) -> Result<Board, BoardError> {
        let file = lock(board, self.storage.path())?;
        let mut locks = Locks::of(locks);
        locks.resize(self.directory.farms.len());
        Ok(Board {
            storage: self.storage,
            file: ManuallyDrop::new(file),
            locks,
            segments: self.segments,
            directory: self.directory,
            view: self.view,
        })
    }
}

// By value, as `map_err` has it.
#[allow(clippy::needless_pass_by_value)]
fn damaged(error: serde_json::Error) -> BoardError {
    BoardError::Retained(error.to_string())
}
