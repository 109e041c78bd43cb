//! The handle of the board, in the parent and, by the fork, in each child.

use std::collections::HashSet;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Duration;

use nix::fcntl::Flock;

use super::attach::Import;
use super::directory::Directory;
use super::error::{BoardError, Notice};
use super::file::{self, Fresh, Storage, existing, set_aside};
use super::layout::{ExtentHead, MAGIC, MAX_SLOTS, VERSION};
use super::load::{Loaded, load};
use super::lock::{FarmLock, LockError, Locks};
use super::map::Segment;
use super::queue::Queue;
use super::reading::Refusal;
use super::record::{FarmRecord, MemberRecord};
use super::slots::{LiveSlot, Repaired, SlotId};
use super::spec::{Attached, FarmSpec};
use super::view::{View, view};
use crate::sync::{AtomicU32, Ordering};
use crate::{FarmId, MemberId, Micros, waiting};

/// The board. Dropping it neither unmaps nor closes nor unlocks anything: references into it are
/// good for the life of the process, and a graceful restart goes on with it.
#[derive(Debug)]
pub struct Board {
    pub(super) storage: Storage,
    /// Open for reading only, and locked against other servers.
    pub(super) file: ManuallyDrop<Flock<File>>,
    pub(super) locks: Locks,
    pub(super) segments: Vec<Segment>,
    pub(super) directory: Directory,
    pub(super) view: View,
}

impl Board {
    /// A full start: makes a new board for that many child slots with the farms of `specs`, and
    /// takes over what the last run left in the file. `now` dates the response times among it.
    ///
    /// # Errors
    ///
    /// The file is in use by another httpd, is no regular file or no board, or cannot be written; or
    /// the configuration does not fit. A board that is damaged or of another version is no error: it
    /// is set aside, with a [`Notice`].
    pub fn open(
        storage: Storage,
        slots: u32,
        specs: &[FarmSpec],
        now: Micros,
    ) -> Result<(Self, Attached), BoardError> {
        if !(1..=MAX_SLOTS).contains(&slots) {
            let count = slots as usize;
            return Err(BoardError::TooMany {
                what: "child slots",
                count,
                max: MAX_SLOTS,
            });
        }
        let last = match &storage {
            Storage::File(path) => Last::of(path)?,
            Storage::Memory => Last::default(),
        };
        let (file, fresh) = Fresh::create(&storage)?;
        let mut board = Self::blank(storage, file, slots)?;
        let import = Import {
            loaded: last.loaded,
            now,
        };
        let attached = board.advance(specs, import).and_then(|attached| {
            fresh.publish(&board.storage, last.replaced.is_some())?;
            Ok(attached)
        });
        match attached {
            Ok(mut attached) => {
                attached.notices.splice(0..0, last.notice);
                Ok((board, attached))
            }
            Err(error) => {
                board.close();
                Err(error)
            }
        }
    }

    fn blank(storage: Storage, file: Flock<File>, slots: u32) -> Result<Self, BoardError> {
        let directory = Directory::empty(slots);
        let locks = Locks::create().map_err(storage.error("create its locks"))?;
        let segments = vec![append(&storage, &file, 0, directory.total)?];
        let view = View::of(&segments, &directory)?;
        view.header.magic.store(MAGIC, Ordering::Relaxed);
        view.header.version.store(VERSION, Ordering::Relaxed);
        view.header.slots.store(slots, Ordering::Relaxed);
        let file = ManuallyDrop::new(file);
        Ok(Self {
            storage,
            file,
            locks,
            segments,
            directory,
            view,
        })
    }

    /// Goes on with a directory that has more extents: appends them to the file and the mapping.
    pub(super) fn go_on_with(&mut self, next: Directory) -> Result<(), BoardError> {
        let from = self.directory.total;
        if next.total > from {
            self.segments
                .push(append(&self.storage, &self.file, from, next.total)?);
            for extent in next.extents.iter().filter(|extent| extent.offset >= from) {
                let head = view::<ExtentHead>(&self.segments, extent.offset, 1)?;
                let head = head.first().ok_or(BoardError::Layout)?;
                head.kind.store(extent.kind as u32, Ordering::Relaxed);
                head.count.store(extent.count, Ordering::Relaxed);
                head.first.store(extent.first, Ordering::Relaxed);
                head.length
                    .store(extent.length(next.slots), Ordering::Relaxed);
            }
        }
        self.view = View::of(&self.segments, &next)?;
        self.locks.resize(next.farms.len());
        self.directory = next;
        Ok(())
    }

    /// Completes the file's own description.
    pub(super) fn describe(&self) {
        let header = self.view.header;
        header.total.store(self.directory.total, Ordering::Relaxed);
        header
            .generation
            .store(self.directory.generation, Ordering::Relaxed);
        // SYNC POINT: the board is complete (checked first by `load`).
        header.ready.store(1, Ordering::Release);
    }

    /// Gives up the file, for a configuration that names another one. The mapping stays, and with
    /// it every reference.
    pub fn close(self) {
        drop(ManuallyDrop::into_inner(self.file));
        self.locks.close();
    }

    /// Where the board is kept.
    pub const fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether no later configuration pass has taken the board over. What a hostile child may
    /// write there keeps others from changes, which it can undo as well.
    pub fn is_current(&self) -> bool {
        self.view.header.generation.load(Ordering::Relaxed) == self.directory.generation
    }

    /// A farm's record; None for an index that is none.
    pub fn farm(&self, farm: FarmId) -> Option<&'static FarmRecord> {
        self.view.farms.get(farm.0 as usize).copied()
    }

    /// A member's record; None for an index that is none.
    pub fn member(&self, member: MemberId) -> Option<&'static MemberRecord> {
        self.view.members.get(member.0 as usize).copied()
    }

    /// Locks a farm against other writers, trying for as long as `patience`.
    ///
    /// # Errors
    ///
    /// See [`LockError`].
    pub fn lock(&self, farm: FarmId, patience: Duration) -> Result<FarmLock<'_>, LockError> {
        self.locks.lock(farm, patience)
    }

    /// The same for a change of what the configuration says, too: `Over` once a later pass has begun.
    ///
    /// # Errors
    ///
    /// See [`LockError`].
    pub fn lock_to_change(
        &self,
        farm: FarmId,
        patience: Duration,
    ) -> Result<FarmLock<'_>, LockError> {
        let lasts = || self.is_current().then_some(()).ok_or(LockError::Over);
        // So that nobody waits in vain.
        lasts()?;
        let held = self.lock(farm, patience)?;
        // What counts: who begins a pass waits for those that had the lock before, and for no other.
        lasts()?;
        Ok(held)
    }

    /// Takes a slot, in the child. None when all are taken: the child then counts nothing in flight.
    pub fn claim(&self, pid: u32) -> Option<SlotId> {
        self.view.slots.claim(pid, self.directory.generation)
    }

    /// The slot's own in-flight count for a member, to be moved by [`super::inflight::open`] and
    /// [`super::inflight::close`].
    pub fn cell(&self, slot: SlotId, member: MemberId) -> Option<&'static AtomicU32> {
        self.view.slots.cell(slot, member)
    }

    /// Gives back the slot of a child that certainly runs no more, and what it had under way. For
    /// the parent.
    pub fn release(&self, pid: u32) -> Repaired {
        self.forget(|live| live.pid == pid)
    }

    /// Gives back the slots of all owners that are not `alive`: after a child has written where it
    /// must not, the table may name processes that never were. For the parent.
    pub fn sweep(&self, alive: impl Fn(u32) -> bool) -> Repaired {
        let repaired = self.forget(|live| !alive(live.pid));
        let live: HashSet<_> = self.view.slots.live().map(|live| live.slot).collect();
        self.all_waiters()
            .abandon_unless(|slot| live.contains(&slot));
        repaired
    }

    fn forget(&self, dead: impl Fn(LiveSlot) -> bool) -> Repaired {
        for live in self.view.slots.live().filter(|live| dead(*live)) {
            self.all_waiters().abandon(live.slot);
        }
        self.repaired(self.view.slots.release(dead))
    }

    fn all_waiters(&self) -> Queue<'_> {
        Queue::new(&self.view.waiters)
    }

    /// Requests that wait for a place, all children and farms together, of which there are at most
    /// so many.
    pub fn queue(&self, most: usize) -> Queue<'_> {
        let waiters = &self.view.waiters;
        Queue::new(waiters.get(..most).unwrap_or(waiters))
    }

    /// Whether a dead child's requests had begun to be answered is not recorded, so the members that
    /// it had requests at start counting anew.
    fn repaired(&self, repaired: Repaired) -> Repaired {
        for member in repaired.members.iter().filter_map(|id| self.member(*id)) {
            waiting::forget(&member.hot.waiting);
        }
        repaired
    }

    /// The slots in use.
    pub fn live_slots(&self) -> Vec<LiveSlot> {
        self.view.slots.live().collect()
    }

    /// What all children have under way at a member: the truth, for reports.
    pub fn inflight(&self, member: MemberId) -> u64 {
        self.view.slots.inflight(member)
    }

    /// Corrects totals that differ from the truth. To be called every few seconds, by one process.
    pub fn reconcile(&self) -> Repaired {
        self.repaired(self.view.slots.reconcile())
    }
}

/// Appends the bytes from `from` to `total` to the file, and maps them.
fn append(storage: &Storage, file: &File, from: u64, total: u64) -> Result<Segment, BoardError> {
    let failed = |error| storage.error("make room in it")(error);
    let writable = file::grow(file, from, total).map_err(failed)?;
    let length = usize::try_from(total - from).map_err(|_| BoardError::Layout)?;
    Segment::map(&writable, from, length).map_err(storage.error("map it"))
}

/// What the last run left.
#[derive(Default)]
struct Last {
    loaded: Loaded,
    /// Its file, locked until the new one has its place.
    replaced: Option<Flock<File>>,
    notice: Option<Notice>,
}

impl Last {
    fn of(path: &Path) -> Result<Self, BoardError> {
        let Some(file) = existing(path)? else {
            return Ok(Self::default());
        };
        let refusal = match load(&*file) {
            Ok(loaded) => {
                return Ok(Self {
                    loaded,
                    replaced: Some(file),
                    notice: None,
                });
            }
            Err(refusal) => refusal,
        };
        file::refuse_foreign(&file, path)?;
        let suffix = match refusal {
            Refusal::OtherVersion(version) => format!(".v{version}"),
            Refusal::Damaged(_) | Refusal::Unreadable(_) => ".damaged".to_owned(),
        };
        let notice = Notice::SetAside {
            path: set_aside(path, &suffix)?,
            reason: refusal.to_string(),
        };
        Ok(Self {
            notice: Some(notice),
            ..Self::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::sample;
    use super::*;

    /// It was its generation's turn when it began to wait.
    #[test]
    fn who_gets_a_lock_in_a_later_pass_changes_nothing() {
        let (farm, patient) = (FarmId(0), Duration::from_secs(10));
        let (board, _) = Board::open(Storage::Memory, 1, &[sample("f", ["a"])], 1).unwrap();
        let held = board.lock_to_change(farm, Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| board.lock_to_change(farm, patient).map(drop));
            std::thread::sleep(Duration::from_millis(20));
            let generation = &board.view.header.generation;
            generation.fetch_add(1, Ordering::Relaxed);
            drop(held);
            assert!(matches!(waits.join().unwrap(), Err(LockError::Over)));
        });
        let at_once = board.lock_to_change(farm, Duration::ZERO);
        assert!(matches!(at_once, Err(LockError::Over)));
        assert!(board.lock(farm, Duration::ZERO).is_ok());
    }
}
