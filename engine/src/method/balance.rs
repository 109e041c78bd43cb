//! The running balance of stock httpd's rules (`lbstatus`): each choice adds its weight to the
//! balance of every member there was to choose from, and takes the sum from the chosen one's.
//!
//! Stock does so with plain additions in shared memory; here they are atomic, so that nothing is lost,
//! and what one choice adds, it takes away.

use super::weight;
use crate::MemberId;
use crate::board::record::MemberRecord;
use crate::sync::Ordering;

/// Adds a member's weight, or what holds for it now, to its balance, and to `total`; gives the new balance.
pub fn credit(member: &MemberRecord, factor: u32, total: &mut i64) -> i64 {
    let factor = i64::from(factor);
    *total += factor;
    member
        .hot
        .lbstatus
        .fetch_add(factor, Ordering::Relaxed)
        .wrapping_add(factor)
}

/// The member with the largest balance; of equals, the first.
pub fn largest<'a>(
    members: impl Iterator<Item = (MemberId, &'a MemberRecord, i64)>,
) -> Option<(MemberId, &'a MemberRecord, i64)> {
    members.reduce(|best, next| if next.2 > best.2 { next } else { best })
}

/// Takes the sum of all weights from the chosen member's balance.
pub fn pay(member: &MemberRecord, total: i64) {
    member.hot.lbstatus.fetch_sub(total, Ordering::Relaxed);
}

/// The same, if the member's balance is still what the choice was made by.
pub fn pay_if(member: &MemberRecord, balance: i64, total: i64) -> bool {
    let rest = balance.wrapping_sub(total);
    let lbstatus = &member.hot.lbstatus;
    lbstatus
        .compare_exchange(balance, rest, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
}

/// A request went to a member that no method chose, as a session's does: it counts all the same.
pub fn passed_over(usable: &mut dyn Iterator<Item = &MemberRecord>, went_to: &MemberRecord) {
    let mut total = 0;
    for member in usable {
        credit(member, weight(member), &mut total);
    }
    pay(went_to, total);
}
