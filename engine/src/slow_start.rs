//! Slow start (`slowstart=`): a member that has just come into service, new, recovered or switched on
//! again, gets a part of its share that grows from [`FLOOR`] to the whole in a straight line.
//!
//! Nothing has to be published while the part grows: it is a matter of the clock, and methods ask for
//! it at each choice. While no member of a farm is at it, that costs a load and a comparison.
//!
//! Whoever compiles a plan tells which members are in service ([`note`]); one that was not when the
//! last plan was made begins. When a farm's first plan is made all of its members begin, so none of
//! them has to hold back.

use crate::Micros;
use crate::board::record::{FarmRecord, MemberRecord};
use crate::sync::Ordering;

/// The whole share.
pub const FULL: u32 = 1 << 10;
/// What a member begins with: a twentieth (Envoy's `min_weight_percent` is a tenth).
pub const FLOOR: u32 = FULL / 20;

/// Notes whether a member is in service now; one that comes into it begins its slow start of that
/// `time`, 0 for none. One that is at it takes no longer than that, should it be another by now. The caller
/// holds the farm's lock.
pub fn note(farm: &FarmRecord, member: &MemberRecord, in_service: bool, now: Micros, time: Micros) {
    let was = member
        .health
        .in_service
        .swap(u32::from(in_service), Ordering::Relaxed);
    let cold = &farm.cold;
    member.health.warm_for.fetch_min(time, Ordering::Relaxed);
    if in_service && was == 0 && time > 0 && cold.published.load(Ordering::Relaxed) != 0 {
        member.health.warm_from.store(now, Ordering::Relaxed);
        member.health.warm_for.store(time, Ordering::Relaxed);
        cold.warm_until
            .fetch_max(now.saturating_add(time), Ordering::Relaxed);
    }
}

/// Whether no member of the farm is at it.
pub fn is_over(farm: &FarmRecord, now: Micros) -> bool {
    now >= farm.cold.warm_until.load(Ordering::Relaxed)
}

/// What a member is to get of its share now, of [`FULL`].
pub fn share(farm: &FarmRecord, member: &MemberRecord, now: Micros) -> u32 {
    if is_over(farm, now) {
        FULL
    } else {
        part(member, now)
    }
}

/// The same by the member alone.
pub fn part(member: &MemberRecord, now: Micros) -> u32 {
    let health = &member.health;
    let time = health.warm_for.load(Ordering::Relaxed);
    let from = health.warm_from.load(Ordering::Relaxed);
    // One that begins in the future is none.
    let gone = now.checked_sub(from).unwrap_or(time);
    if gone >= time {
        return FULL;
    }
    let part = u128::from(gone) * u128::from(FULL) / u128::from(time);
    u32::try_from(part).unwrap_or(FULL).clamp(FLOOR, FULL)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;
    const NOW: Micros = 1_000 * SECOND;
    const TIME: Micros = 40 * SECOND;

    fn planned() -> FarmRecord {
        let farm = FarmRecord::default();
        farm.cold.published.store(2, Ordering::Relaxed);
        farm
    }

    #[test]
    fn a_member_that_comes_into_service_ramps_up() {
        let (farm, member) = (planned(), MemberRecord::default());
        note(&farm, &member, true, NOW, TIME);
        let share = |seconds| share(&farm, &member, NOW + seconds * SECOND);
        assert_eq!(
            [0, 1, 10, 20, 39, 40, 90].map(share),
            [51, 51, 256, 512, 998, FULL, FULL]
        );
        // It stays in service: nothing begins anew.
        note(&farm, &member, true, NOW + 90 * SECOND, TIME);
        assert_eq!(share(90), FULL);
        note(&farm, &member, false, NOW + 95 * SECOND, TIME);
        note(&farm, &member, true, NOW + 100 * SECOND, TIME);
        assert_eq!(share(101), FLOOR);
    }

    #[test]
    fn a_shorter_time_holds_at_once() {
        for (time, share_after_10) in [(TIME, 256), (2 * TIME, 256), (TIME / 2, 512), (0, FULL)] {
            let (farm, member) = (planned(), MemberRecord::default());
            note(&farm, &member, true, NOW, TIME);
            note(&farm, &member, true, NOW + SECOND, time);
            let now = NOW + 10 * SECOND;
            assert_eq!(share(&farm, &member, now), share_after_10, "{time}");
        }
    }

    #[test]
    fn not_at_a_farms_start_and_not_without_the_parameter() {
        let (farm, member) = (FarmRecord::default(), MemberRecord::default());
        note(&farm, &member, true, NOW, TIME);
        assert_eq!(share(&farm, &member, NOW), FULL);
        let member = MemberRecord::default();
        note(&planned(), &member, true, NOW, 0);
        assert_eq!(share(&farm, &member, NOW), FULL);
    }

    #[test]
    fn damaged_times_are_survived() {
        let (farm, member) = (planned(), MemberRecord::default());
        farm.cold.warm_until.store(u64::MAX, Ordering::Relaxed);
        for (from, time, expected) in [
            (0, 0, FULL),
            (0, u64::MAX, FLOOR),
            (u64::MAX, 1, FULL),
            (u64::MAX, u64::MAX, FULL),
        ] {
            member.health.warm_from.store(from, Ordering::Relaxed);
            member.health.warm_for.store(time, Ordering::Relaxed);
            assert_eq!(share(&farm, &member, NOW), expected, "{from} {time}");
        }
    }
}
