//! The board's file: found, locked, created, replaced and grown.
//!
//! The parent keeps it open for reading only, which suffices for its lock, and opens it for writing
//! through `/proc/self/fd` when it maps or grows it: children inherit the descriptor, and one that
//! could be written would let them cut the file short, which ends every process that touches the
//! missing part. A memfd is sealed against that. Space is allocated, not only promised, since a
//! full file system would end processes the same way.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{
    AT_FDCWD, FcntlArg, Flock, FlockArg, OFlag, RenameFlags, SealFlag, fcntl, posix_fallocate,
    renameat2,
};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Uid;

use super::error::BoardError;
use super::layout::{MAGIC, first_extent};

/// Nobody else's to read.
const MODE: u32 = 0o600;

/// Where the board lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In a file, which the next full start takes its figures from.
    File(PathBuf),
    /// In memory only (`AthSHMFile none`): a full stop forgets it.
    Memory,
}

impl Storage {
    /// How messages name it.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory => Path::new("(in memory)"),
        }
    }

    /// Finds what keeps the board from being here, as far as can be seen without making anything. What
    /// this process may not look at is for the start to find.
    ///
    /// # Errors
    ///
    /// There is something else, or no directory.
    pub fn check(&self) -> Result<(), BoardError> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let hidden = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
        match found(path) {
            Ok(Some(file)) => refuse_foreign(&file, path),
            Ok(None) => match path.parent().map(fs::metadata) {
                Some(Err(error)) if !hidden(&error) => Err(failure(path, "create it")(error)),
                _ => Ok(()),
            },
            Err(BoardError::File { source, .. }) if hidden(&source) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn error(&self, action: &'static str) -> impl FnOnce(io::Error) -> BoardError {
        failure(self.path(), action)
    }
}

fn failure(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> BoardError + use<> {
    let path = path.to_owned();
    move |source| BoardError::File {
        action,
        path,
        source,
    }
}

/// The existing file at `path`, locked; None when there is none.
///
/// # Errors
///
/// In use, no regular file, or not to be opened.
pub fn existing(path: &Path) -> Result<Option<Flock<File>>, BoardError> {
    while let Some(file) = found(path)? {
        let file = lock(file, path)?;
        // Replaced between opening and locking: the lock is on yesterday's file. Each turn needs
        // another httpd that starts right then, so this ends.
        let there = fs::symlink_metadata(path)
            .ok()
            .map(|there| (there.dev(), there.ino()));
        let here = file.metadata().map_err(failure(path, "inspect it"))?;
        if there == Some((here.dev(), here.ino())) {
            return Ok(Some(file));
        }
    }
    Ok(None)
}

/// The regular file at `path`; None when there is none.
fn found(path: &Path) -> Result<Option<File>, BoardError> {
    let failed = |action| failure(path, action);
    // O_NONBLOCK: a FIFO must not hold up the start.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Err(BoardError::NotRegular(path.to_owned()));
        }
        Err(error) => return Err(failed("open it")(error)),
    };
    if !file.metadata().map_err(failed("inspect it"))?.is_file() {
        return Err(BoardError::NotRegular(path.to_owned()));
    }
    Ok(Some(file))
}

/// Leaves alone what is somebody else's, named by mistake. A board is known by how it begins, or,
/// whatever was written over it, by its owner, mode and size, which the processes that share it cannot
/// change; what is empty is nobody's loss.
///
/// # Errors
///
/// No board, or not to be inspected.
pub fn refuse_foreign(file: &File, path: &Path) -> Result<(), BoardError> {
    let about = file.metadata().map_err(failure(path, "inspect it"))?;
    let made_by_us = about.uid() == Uid::effective().as_raw()
        && about.mode() & 0o7777 == MODE
        && about.len() >= first_extent(1);
    let mut start = [0; size_of_val(&MAGIC)];
    let mut begins = || file.read_exact_at(&mut start, 0).is_ok() && start == MAGIC.to_ne_bytes();
    if about.len() == 0 || made_by_us || begins() {
        return Ok(());
    }
    Err(BoardError::Foreign(path.to_owned()))
}

/// Renames a file that is not trusted to its own name with `suffix`; tells where it lies then.
///
/// # Errors
///
/// What `rename` says.
pub fn set_aside(path: &Path, suffix: &str) -> Result<PathBuf, BoardError> {
    let aside = beside(path, suffix);
    let failed = failure(path, "set it aside");
    fs::rename(path, &aside).map_err(failed)?;
    Ok(aside)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A new file that is not yet under its name.
#[derive(Debug)]
pub struct Fresh {
    temporary: Option<Temporary>,
}

/// A file under a temporary name, removed when dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may have been renamed meanwhile; nobody else uses such a name.
        let _ = fs::remove_file(&self.0);
    }
}

impl Fresh {
    /// A new, empty file in the directory of the one it will be, locked, open for reading only.
    ///
    /// # Errors
    ///
    /// Not to be created there.
    pub fn create(storage: &Storage) -> Result<(Flock<File>, Self), BoardError> {
        let failed = |error| storage.error("create it")(error);
        let (writable, temporary) = match storage {
            Storage::File(path) => {
                let temporary = beside(path, &format!(".new-{}", std::process::id()));
                // Left over by a process of the same number that was killed.
                let _ = fs::remove_file(&temporary);
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .create_new(true)
                    .mode(MODE)
                    .custom_flags(OFlag::O_NOFOLLOW.bits())
                    .open(&temporary)
                    .map_err(failed)?;
                (file, Some(Temporary(temporary)))
            }
            Storage::Memory => {
                let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
                let file = memfd_create(c"athena.board", flags).map_err(io::Error::from);
                let file = File::from(file.map_err(failed)?);
                let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
                let sealed = fcntl(&file, FcntlArg::F_ADD_SEALS(seals));
                sealed.map_err(|errno| failed(errno.into()))?;
                (file, None)
            }
        };
        let file = reopen(&writable, false).map_err(failed)?;
        Ok((lock(file, storage.path())?, Self { temporary }))
    }

    /// Puts the file under its name, in place of the one there (whose lock the caller holds) or
    /// where none is.
    ///
    /// # Errors
    ///
    /// In use by another httpd that was quicker, or what the file system says.
    pub fn publish(self, storage: &Storage, replace: bool) -> Result<(), BoardError> {
        if let (Some(Temporary(temporary)), Storage::File(path)) = (&self.temporary, storage) {
            let flags = if replace {
                RenameFlags::empty()
            } else {
                RenameFlags::RENAME_NOREPLACE
            };
            let placed = renameat2(
                AT_FDCWD,
                temporary.as_path(),
                AT_FDCWD,
                path.as_path(),
                flags,
            );
            placed.map_err(|errno| match errno {
                Errno::EEXIST => BoardError::InUse(path.clone()),
                _ => storage.error("put it in place")(errno.into()),
            })?;
        }
        Ok(())
    }
}

/// Makes the file `length` bytes long, with zeros from `from` on, and returns it open for writing.
/// What does not fit may leave it longer than before: what it says of itself holds.
///
/// # Errors
///
/// Typically: no space left on the device.
pub fn grow(file: &File, from: u64, length: u64) -> io::Result<File> {
    let writable = reopen(file, true)?;
    let offset = |bytes: u64| bytes.try_into().map_err(|_| io::Error::from(Errno::EFBIG));
    posix_fallocate(
        &writable,
        offset(from)?,
        offset(length.saturating_sub(from))?,
    )?;
    Ok(writable)
}

/// Another descriptor of the same inode, whatever its name is by now.
fn reopen(file: &File, write: bool) -> io::Result<File> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).write(write).open(path)
}

/// Takes the lock that tells other servers that the file is in use.
///
/// # Errors
///
/// In use.
pub fn lock(file: File, path: &Path) -> Result<Flock<File>, BoardError> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => BoardError::InUse(path.to_owned()),
        _ => failure(path, "lock it")(errno.into()),
    })
}
