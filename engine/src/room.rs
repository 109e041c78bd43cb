//! Room at a member: how many requests may be under way there (`maxconn=`), and how many of these
//! places a class leaves to others (`AthQos reserve=`).

use crate::agent::Said;
use crate::board::record::MemberRecord;
use crate::{Micros, slow_start};

/// Most requests that may be under way at the member now: what its agent says, else what people or
/// the configuration do, and in its slow start a part of that; `None`: any number. Without a limit, the
/// clock is not read.
pub fn limit(member: &MemberRecord, now: impl FnOnce() -> Micros) -> Option<u32> {
    let limits = [Said::of(&member.admin).max_conn, member.admin.max_conn()];
    let limit = limits.into_iter().find(|limit| *limit != 0)?;
    let part = u64::from(limit) * u64::from(slow_start::part(member, now()));
    let now = part.div_ceil(u64::from(slow_start::FULL));
    Some(u32::try_from(now).unwrap_or(limit))
}

/// The same for a request whose class leaves so many percent of the places to others, rounded down;
/// at least one is left to it. `None`: for one that needs no place.
pub fn limit_for(
    leaves: Option<u8>,
    member: &MemberRecord,
    now: impl FnOnce() -> Micros,
) -> Option<u32> {
    let leaves = leaves?;
    let left = |limit| {
        let percent = u64::from(leaves.min(99));
        u32::try_from(u64::from(limit) * percent / 100).unwrap_or(0)
    };
    limit(member, now).map(|limit| limit - left(limit))
}

/// There is a place for such a request.
pub fn is_left(leaves: Option<u8>, member: &MemberRecord, now: Micros) -> bool {
    limit_for(leaves, member, || now).is_none_or(|limit| member.hot.inflight.count() < limit.into())
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    fn member(max_conn: u32) -> MemberRecord {
        let member = MemberRecord::default();
        member.admin.max_conn.store(max_conn, Ordering::Relaxed);
        member
    }

    #[test]
    fn a_class_leaves_whole_places_and_has_one_itself() {
        let table = [
            (10, 0, 10),
            (10, 20, 8),
            (10, 29, 8),
            (5, 20, 4),
            (4, 20, 4),
            (1, 99, 1),
            (1_000_000, 99, 10_000),
        ];
        for (limit, leaves, expected) in table {
            assert_eq!(
                limit_for(Some(leaves), &member(limit), || 1),
                Some(expected)
            );
        }
        assert_eq!(limit_for(Some(99), &member(0), || 1), None);
        assert_eq!(limit_for(None, &member(1), || 1), None);
    }

    #[test]
    fn room_is_left_until_the_limit() {
        let full = member(2);
        for left in [true, true, false] {
            assert_eq!(is_left(Some(0), &full, 1), left);
            full.hot.inflight.take(None);
        }
        assert!(is_left(Some(0), &member(0), 1) && is_left(None, &full, 1));
    }

    #[test]
    fn a_slow_start_opens_the_places_little_by_little() {
        let member = member(40);
        member.health.warm_from.store(100, Ordering::Relaxed);
        member.health.warm_for.store(200, Ordering::Relaxed);
        for (now, places) in [(100, 2), (200, 20), (299, 40), (300, 40)] {
            assert_eq!(limit(&member, || now), Some(places));
        }
    }

    #[test]
    fn an_agent_has_the_last_word() {
        let member = member(7);
        assert_eq!(limit(&member, || 1), Some(7));
        member.admin.agent_max_conn.store(30, Ordering::Relaxed);
        assert_eq!(limit(&member, || 1), Some(30));
    }
}
