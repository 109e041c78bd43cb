//! In and out (`expectupdate=`): a member is out when it did not report within that time, statistics or
//! its agent's word, and in again with its next report.
//!
//! Its deadline moves with each report and is written down nowhere. A farm only knows when to look
//! next: the earliest deadline as it was at the last look. Whoever comes by after that, a request or
//! the watch, looks; reports that came meanwhile make it find a later one. So a report writes nothing
//! of its farm's, and a request reads one word.

use crate::Micros;
use crate::board::record::{FarmRecord, MemberRecord};
use crate::sync::Ordering;

/// Whoever looks has so long until another may, should he not come to an end.
const LOOKING: Micros = 1_000_000;

/// From now on reports are expected of a member, or no longer. What was expected before goes on: at a
/// graceful restart only a member whose time has become longer comes in.
pub fn begin(member: &MemberRecord, expected: Option<Micros>, now: Micros) {
    let from = &member.stats.expected_from;
    let Some(within) = expected else {
        from.store(0, Ordering::SeqCst);
        member.admin.out.store(0, Ordering::SeqCst);
        return;
    };
    if from.load(Ordering::SeqCst) == 0 {
        from.store(now.max(1), Ordering::SeqCst);
    }
    if deadline(member, within) > now {
        member.admin.out.store(0, Ordering::SeqCst);
    }
}

/// When a farm has to be looked at: soon if reports are expected of any of its members, else never.
pub fn begin_farm(farm: &FarmRecord, expects: bool) {
    let next = if expects { 0 } else { Micros::MAX };
    farm.hot.next_out_at.store(next, Ordering::SeqCst);
}

/// Claims the look at a farm that is due. Costs one load where nothing is expected.
pub fn look(farm: &FarmRecord, clock: impl FnOnce() -> Micros) -> Option<Look<'_>> {
    let next = &farm.hot.next_out_at;
    let due = next.load(Ordering::Relaxed);
    if due == Micros::MAX {
        return None;
    }
    let now = clock();
    let claim = || {
        let lease = now.saturating_add(LOOKING);
        next.compare_exchange(due, lease, Ordering::SeqCst, Ordering::SeqCst)
    };
    (due <= now && claim().is_ok()).then_some(Look {
        farm,
        now,
        next: Micros::MAX,
    })
}

/// A look at a farm, by the one who claimed it: `expire` for each of its members, then `end`.
pub struct Look<'a> {
    farm: &'a FarmRecord,
    now: Micros,
    next: Micros,
}

impl Look<'_> {
    /// Takes a member out whose time, within which reports are `expected`, has passed. True when this call did.
    pub fn expire(&mut self, member: &MemberRecord, expected: Option<Micros>) -> bool {
        let Some(within) = expected else {
            return false;
        };
        let out = &member.admin.out;
        if deadline(member, within) > self.now {
            self.next = self.next.min(deadline(member, within));
            return false;
        }
        if out.swap(1, Ordering::SeqCst) != 0 {
            return false;
        }
        // A report that came in between saw the member in, and left it so.
        let meanwhile = deadline(member, within);
        if meanwhile > self.now {
            self.next = self.next.min(meanwhile);
            return out.swap(0, Ordering::SeqCst) == 0;
        }
        true
    }

    /// Writes down when to look next, unless a member that came in meanwhile made it earlier.
    pub fn end(self) {
        let looking = self.now.saturating_add(LOOKING);
        let next = &self.farm.hot.next_out_at;
        if self.next < looking {
            next.fetch_min(self.next, Ordering::SeqCst);
        } else {
            let _ = next.compare_exchange(looking, self.next, Ordering::SeqCst, Ordering::SeqCst);
        }
    }
}

/// Something came from the member. True when it was out and this call took it in.
pub fn reported(farm: &FarmRecord, member: &MemberRecord, now: Micros) -> bool {
    member.stats.reported_at.fetch_max(now, Ordering::SeqCst);
    // Written before: whoever takes the member out after this looks for it again.
    let was_out = member.admin.out.load(Ordering::SeqCst) != 0
        && member.admin.out.swap(0, Ordering::SeqCst) != 0;
    if was_out {
        // Not its deadline: a look that is under way may know nothing of it, and must not end as if
        // it were the last one.
        farm.hot.next_out_at.fetch_min(now, Ordering::SeqCst);
    }
    was_out
}

/// When the member goes out if no report comes. Never while nobody has begun to expect one: its line is
/// gone, or it is just joining.
fn deadline(member: &MemberRecord, within: Micros) -> Micros {
    let stats = &member.stats;
    match stats.expected_from.load(Ordering::SeqCst) {
        0 => Micros::MAX,
        from => from
            .max(stats.reported_at.load(Ordering::SeqCst))
            .saturating_add(within),
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
