//! In and out (`expectupdate=`): a member is out when it did not report within that time, statistics or
//! its agent's word, and in again with its next report.
//!
//! Its deadline moves with each report and is written down nowhere. A farm only knows when to look
//! next ([`crate::lookout`]): the earliest deadline as it was at the last look. Reports that came meanwhile
//! make whoever looks find a later one. So a report writes nothing of its farm's.

use crate::Micros;
use crate::board::record::{FarmRecord, MemberRecord};
use crate::lookout::Look;
use crate::sync::Ordering;

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

/// Takes a member out whose time, within which reports are `expected`, has passed by this look at its farm.
/// True when this call did.
pub fn expire(look: &mut Look<'_>, member: &MemberRecord, expected: Option<Micros>) -> bool {
    let Some(within) = expected else {
        return false;
    };
    let out = &member.admin.out;
    let in_time = deadline(member, within);
    if in_time > look.now() {
        look.again(in_time);
        return false;
    }
    if out.swap(1, Ordering::SeqCst) != 0 {
        return false;
    }
    // A report that came in between saw the member in, and left it so.
    let meanwhile = deadline(member, within);
    if meanwhile > look.now() {
        look.again(meanwhile);
        return out.swap(0, Ordering::SeqCst) == 0;
    }
    true
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
