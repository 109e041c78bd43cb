//! The writers' lock of a farm: for people's changes and plan publications, never on a request's
//! way.
//!
//! Between processes it is a POSIX record lock (`fcntl`, `F_SETLK`) on one byte per farm: the
//! kernel gives it back when its holder dies, and unlike a robust mutex it keeps no pointers in
//! memory that others can write. Such locks belong to a process, so between threads a mutex of the
//! process's own stands before it. And they are dropped when the process closes *any* descriptor
//! of the file; therefore the file is an anonymous one of its own, which nobody else can open,
//! rather than the board's. A child inherits the descriptor but no lock.
//!
//! A hostile child may hold a lock for ever: waiting is bounded, and what the parent must do at
//! a start does not depend on it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::FarmId;

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(1);

/// Why a farm could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another writer did not finish in time.
    #[error("another change of this farm is under way")]
    Busy,
    /// A later configuration pass has begun: this process changes nothing any more.
    #[error("this process is about to end: ask again")]
    Over,
    /// There is no such farm.
    #[error("the board has no farm {0:?}")]
    NoFarm(FarmId),
    /// The kernel refused.
    #[error("cannot lock the farm: {0}")]
    Refused(#[from] io::Error),
}

/// Until when the locks of several farms are waited for, all in all.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(patience: Duration) -> Self {
        Self(Instant::now() + patience)
    }

    /// What is left of it.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

/// The file of the locks, and the mutexes before them.
#[derive(Debug)]
pub struct Locks {
    file: std::mem::ManuallyDrop<File>,
    farms: Vec<Mutex<()>>,
}

/// A farm's lock, held until dropped.
#[derive(Debug)]
pub struct FarmLock<'a> {
    file: &'a File,
    farm: FarmId,
    _threads: MutexGuard<'a, ()>,
}

impl Locks {
    /// A new file of locks.
    ///
    /// # Errors
    ///
    /// What `memfd_create` says.
    pub fn create() -> io::Result<Self> {
        Ok(Self::of(
            memfd_create(c"athena.locks", MFdFlags::MFD_CLOEXEC)?.into(),
        ))
    }

    /// The locks in a file made by [`Locks::create`]. It stays open when this is dropped.
    pub const fn of(file: File) -> Self {
        Self {
            file: std::mem::ManuallyDrop::new(file),
            farms: Vec::new(),
        }
    }

    /// The file, for the next generation.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Closes the file; all its locks of this process are gone then.
    pub fn close(self) {
        drop(std::mem::ManuallyDrop::into_inner(self.file));
    }

    /// Room for that many farms.
    pub fn resize(&mut self, farms: usize) {
        self.farms.resize_with(farms, Mutex::default);
    }

    /// Locks a farm, trying again every millisecond for as long as `patience`.
    ///
    /// # Errors
    ///
    /// See [`LockError`].
    pub fn lock(&self, farm: FarmId, patience: Duration) -> Result<FarmLock<'_>, LockError> {
        let threads = self
            .farms
            .get(farm.0 as usize)
            .ok_or(LockError::NoFarm(farm))?;
        let mut left = patience;
        loop {
            if let Some(lock) = self.attempt(farm, threads)? {
                return Ok(lock);
            }
            left = left.checked_sub(PAUSE).ok_or(LockError::Busy)?;
            std::thread::sleep(PAUSE);
        }
    }

    fn attempt<'a>(
        &'a self,
        farm: FarmId,
        threads: &'a Mutex<()>,
    ) -> Result<Option<FarmLock<'a>>, LockError> {
        let threads = match threads.try_lock() {
            Ok(guard) => guard,
            // What it protects is on the board, and valid in every state.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        match set(&*self.file, farm, libc::F_WRLCK) {
            Ok(()) => Ok(Some(FarmLock {
                file: &self.file,
                farm,
                _threads: threads,
            })),
            Err(Errno::EACCES | Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(LockError::Refused(errno.into())),
        }
    }
}

impl FarmLock<'_> {
    /// Whose lock it is.
    pub(super) const fn farm(&self) -> FarmId {
        self.farm
    }
}

impl Drop for FarmLock<'_> {
    fn drop(&mut self) {
        // Releasing a lock that is held cannot fail, and there is nobody to tell.
        let _ = set(self.file, self.farm, libc::F_UNLCK);
    }
}

// The constants fit: they are meant for these fields.
#[allow(clippy::cast_possible_truncation)]
fn set(file: impl AsFd, farm: FarmId, kind: libc::c_int) -> Result<(), Errno> {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: libc::off_t::from(farm.0),
        l_len: 1,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_SETLK(&range)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_process_exclude_each_other_by_farm() {
        let mut locks = Locks::create().unwrap();
        locks.resize(2);
        let held = locks.lock(FarmId(0), Duration::ZERO).unwrap();
        assert!(matches!(locks.lock(FarmId(0), PAUSE), Err(LockError::Busy)));
        assert!(locks.lock(FarmId(1), Duration::ZERO).is_ok());
        drop(held);
        assert!(locks.lock(FarmId(0), Duration::ZERO).is_ok());
        assert!(matches!(
            locks.lock(FarmId(2), PAUSE),
            Err(LockError::NoFarm(_))
        ));
        locks.close();
    }
}
