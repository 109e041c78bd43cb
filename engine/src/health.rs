//! Whether a member can be used: healthy, in error, ejected, probing.
//!
//! One word decides: `retry_at` is 0 for a healthy member, else the time from which one request may
//! probe it. Every transition is one compare-and-swap of that word, over all processes:
//!
//! ```text
//! healthy ── fail, eject: the one that moves it from 0 ──► in error
//! in error ── claim_probe: the one that moves it on ─────► in error, being probed
//! in error ── force_probe: before it is due, likewise ───► in error, being probed
//! in error ── give_probe_back: moves it to now ──────────► in error, due
//! in error ── fail: moves it on, never back ─────────────► in error
//! in error ── bound: moves it back, at a start ──────────► in error
//! in error ── recover: the one that moves it to 0 ───────► healthy
//! ```
//!
//! There is no lease to give back: a prober that dies just lets the next period begin.
//!
//! `retry_at` alone says whether the member is in error. The other fields are written beside it, not
//! with it: a reader may see the former one for a moment, and each rule must bear that.

use crate::Micros;
use crate::board::record::MemberHealth;
use crate::sync::Ordering;

/// Why a member is, or was last, in error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cause {
    /// It never was.
    None = 0,
    /// No connection could be made, or its name not be resolved.
    Connect = 1,
    /// It answered with a status of `failonstatus`.
    Status = 2,
    /// It did not answer in time, under `failontimeout`.
    Timeout = 3,
    /// Too many failures (`ejectafter`).
    Ejected = 4,
    /// People or the configuration put it in error (`status=+E`).
    Configured = 5,
}

impl Cause {
    /// Every cause, by its number.
    const ALL: [Self; 6] = [
        Self::None,
        Self::Connect,
        Self::Status,
        Self::Timeout,
        Self::Ejected,
        Self::Configured,
    ];

    /// As it stands on the board.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// As read from the board; an unheard-of number is [`Cause::None`].
    pub fn from_number(number: u32) -> Self {
        Self::ALL
            .into_iter()
            .find(|cause| cause.number() == number)
            .unwrap_or(Self::None)
    }

    /// It was for what the member answered, or for how long it took: it may answer other requests.
    pub fn may_answer(self) -> bool {
        matches!(self, Self::Status | Self::Timeout | Self::Ejected)
    }

    /// The word for logs and pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Connect => "no connection",
            Self::Status => "failonstatus",
            Self::Timeout => "failontimeout",
            Self::Ejected => "ejectafter",
            Self::Configured => "status=+E",
        }
    }
}

/// True for a member that is not in error.
pub fn healthy(health: &MemberHealth) -> bool {
    health.retry_at.load(Ordering::Acquire) == 0
}

/// Why the member is in error; [`Cause::None`] if it is not.
pub fn cause(health: &MemberHealth) -> Cause {
    if healthy(health) {
        Cause::None
    } else {
        Cause::from_number(health.cause.load(Ordering::Relaxed))
    }
}

/// Puts the member in error for `retry`. True when this call took it out, false for all others who
/// find the same failure: they only move the next probe on, as a failed probe does.
///
/// A member that was out for its answers is now out for the new cause: it may not answer at all, and is
/// not one to fall back to.
///
/// A `retry` of 0 means that errors never take the member out: nothing is set.
pub fn fail(health: &MemberHealth, cause: Cause, now: Micros, retry: Micros) -> bool {
    if retry == 0 {
        return false;
    }
    let took_out = take_out(health, cause, now, retry);
    if !took_out && self::cause(health).may_answer() {
        health.cause.store(cause.number(), Ordering::Relaxed);
    }
    took_out
}

/// Gives the probe of a member in error to one caller a `retry` period, over all processes.
pub fn claim_probe(health: &MemberHealth, now: Micros, retry: Micros) -> bool {
    let due = health.retry_at.load(Ordering::Acquire);
    due != 0
        && due <= now
        && health
            .retry_at
            .compare_exchange(due, later(now, retry), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
}

/// Gives the probe to one caller though it is not due: `found` is the `retry_at` that the choice was
/// made by. A member that came back meanwhile stays as it is.
pub fn force_probe(health: &MemberHealth, found: Micros, now: Micros, retry: Micros) {
    if found != 0 {
        let _ = health.retry_at.compare_exchange(
            found,
            later(now, retry),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }
}

/// Gives a probe back that showed nothing: the member is due at once.
pub fn give_probe_back(health: &MemberHealth, now: Micros) {
    let due = |at: Micros| (at > now).then_some(now.max(1));
    let _ = health
        .retry_at
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, due);
}

/// A member that was put in error for longer than the settings allow now is due by them.
pub fn bound(health: &MemberHealth, now: Micros, longest: Micros) {
    let bound = later(now, longest);
    let _ = health
        .retry_at
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |at| {
            (at > bound).then_some(bound)
        });
}

/// Ends the error. True when this call brought the member back.
pub fn recover(health: &MemberHealth, now: Micros) -> bool {
    if healthy(health) {
        return false;
    }
    // First: an attempt from before must not find the member healthy, and take it out for what is over.
    health.recovered_at.store(now, Ordering::Relaxed);
    let was_out = health.retry_at.swap(0, Ordering::AcqRel) != 0;
    if was_out {
        health.streak.store(0, Ordering::Relaxed);
    }
    was_out
}

/// Ends the streak of failures.
pub fn success(health: &MemberHealth) {
    // Read first: the line stays shared among the processes while all is well.
    if health.streak.load(Ordering::Relaxed) != 0 {
        health.streak.store(0, Ordering::Relaxed);
    }
}

/// Counts a failure for `ejectafter`; returns how many there are in a row.
pub fn failure(health: &MemberHealth) -> u32 {
    health
        .streak
        .fetch_add(1, Ordering::Relaxed)
        .saturating_add(1)
}

/// Moves `retry_at` to `period` from now, or leaves it where it is if that is later. True when the
/// member was healthy.
pub(crate) fn take_out(health: &MemberHealth, cause: Cause, now: Micros, period: Micros) -> bool {
    let until = later(now, period);
    let former = health
        .retry_at
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, |at| {
            (at < until).then_some(until)
        });
    let took_out = former == Ok(0);
    if took_out {
        health.cause.store(cause.number(), Ordering::Relaxed);
        health.failed_at.store(now, Ordering::Relaxed);
    }
    took_out
}

/// A time that is not 0, which would mean healthy.
fn later(now: Micros, period: Micros) -> Micros {
    now.saturating_add(period).max(1)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::ejection::eject;
    use std::sync::atomic::AtomicU32;

    const SECOND: Micros = 1_000_000;
    const RETRY: Micros = 60 * SECOND;
    const NOW: Micros = 5_000 * SECOND;

    #[test]
    fn numbers_and_words_are_distinct_and_come_back() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_number(cause.number()), cause);
            assert_eq!(
                Cause::ALL
                    .iter()
                    .filter(|other| other.word() == cause.word())
                    .count(),
                1
            );
        }
        assert_eq!(Cause::from_number(77), Cause::None);
    }

    #[test]
    fn one_failure_takes_out_the_others_only_delay_the_probe() {
        let health = MemberHealth::default();
        assert!(fail(&health, Cause::Connect, NOW, RETRY));
        assert!(!fail(&health, Cause::Timeout, NOW + SECOND, RETRY));
        assert_eq!(cause(&health), Cause::Connect);
        assert_eq!(health.failed_at.load(Ordering::Relaxed), NOW);
        assert!(!claim_probe(&health, NOW + RETRY, RETRY));
        assert!(claim_probe(&health, NOW + SECOND + RETRY, RETRY));
    }

    #[test]
    fn a_failure_does_not_shorten_an_ejection() {
        let health = MemberHealth::default();
        assert!(eject(&health, NOW, 30 * SECOND));
        assert!(!fail(&health, Cause::Connect, NOW + SECOND, 5 * SECOND));
        assert!(!claim_probe(&health, NOW + 29 * SECOND, RETRY));
        assert!(claim_probe(&health, NOW + 30 * SECOND, RETRY));
        assert_eq!(cause(&health), Cause::Connect);
    }

    #[test]
    fn a_member_that_is_out_for_its_answers_and_fails_otherwise_is_out_for_that() {
        let health = MemberHealth::default();
        assert!(eject(&health, NOW, 30 * SECOND));
        for (later, found) in [
            (Cause::Ejected, Cause::Ejected),
            (Cause::Status, Cause::Status),
            (Cause::Connect, Cause::Connect),
            (Cause::Status, Cause::Connect),
        ] {
            fail(&health, later, NOW + SECOND, RETRY);
            assert_eq!(cause(&health), found);
        }
        recover(&health, NOW + RETRY);
        fail(&health, Cause::Timeout, NOW + RETRY, RETRY);
        assert_eq!(cause(&health), Cause::Timeout);
    }

    #[test]
    fn retry_0_is_never_out() {
        let health = MemberHealth::default();
        assert!(!fail(&health, Cause::Connect, NOW, 0));
        assert!(healthy(&health));
        assert_eq!(health.cause.load(Ordering::Relaxed), 0);
        assert!(!eject(&health, NOW, 0));
        assert!(healthy(&health));
    }

    #[test]
    fn one_prober_a_period_and_the_next_one_if_it_dies() {
        let health = MemberHealth::default();
        assert!(
            !claim_probe(&health, NOW, RETRY),
            "a healthy member needs no probe"
        );
        fail(&health, Cause::Connect, NOW, RETRY);
        assert!(!claim_probe(&health, NOW + RETRY - 1, RETRY));
        assert!(claim_probe(&health, NOW + RETRY, RETRY));
        assert!(!claim_probe(&health, NOW + RETRY, RETRY));
        assert!(!claim_probe(&health, NOW + 2 * RETRY - 1, RETRY));
        assert!(claim_probe(&health, NOW + 2 * RETRY, RETRY));
    }

    #[test]
    fn a_probe_that_showed_nothing_is_the_next_ones() {
        let health = MemberHealth::default();
        give_probe_back(&health, NOW);
        assert!(healthy(&health));
        fail(&health, Cause::Connect, NOW, RETRY);
        assert!(claim_probe(&health, NOW + RETRY, RETRY));
        assert!(!claim_probe(&health, NOW + RETRY, RETRY));
        give_probe_back(&health, NOW + RETRY);
        assert!(claim_probe(&health, NOW + RETRY, RETRY));
    }

    #[test]
    fn a_shorter_time_holds_for_who_is_out_and_a_longer_one_for_who_comes() {
        let health = MemberHealth::default();
        bound(&health, NOW, SECOND);
        assert!(healthy(&health));
        fail(&health, Cause::Connect, NOW, RETRY);
        bound(&health, NOW, 2 * RETRY);
        assert!(!claim_probe(&health, NOW + RETRY - 1, RETRY));
        bound(&health, NOW, SECOND);
        assert!(!claim_probe(&health, NOW + SECOND - 1, RETRY));
        assert!(claim_probe(&health, NOW + SECOND, RETRY));
        bound(&health, 0, 0);
        assert!(!healthy(&health));
    }

    #[test]
    fn recovery_is_noted_once() {
        let health = MemberHealth::default();
        assert!(!recover(&health, NOW));
        assert_eq!(health.recovered_at.load(Ordering::Relaxed), 0);
        failure(&health);
        fail(&health, Cause::Status, NOW, RETRY);
        assert!(recover(&health, NOW + 7));
        assert!(!recover(&health, NOW + 8));
        assert_eq!(health.recovered_at.load(Ordering::Relaxed), NOW + 7);
        assert_eq!(cause(&health), Cause::None);
        assert_eq!(failure(&health), 1);
    }

    #[test]
    fn streaks_count_in_a_row() {
        let health = MemberHealth::default();
        assert_eq!([failure(&health), failure(&health)], [1, 2]);
        success(&health);
        assert_eq!(failure(&health), 1);
        health.streak.store(u32::MAX, Ordering::Relaxed);
        assert_eq!(failure(&health), u32::MAX);
    }

    /// Many threads meet the same failure, the same due probe and the same recovery.
    #[test]
    fn of_many_discoverers_one_acts() {
        let health = MemberHealth::default();
        for round in 0..200 {
            let now = NOW + round * 10 * RETRY;
            let (failed, probes, recovered) =
                (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
            let step = std::sync::Barrier::new(4);
            let count = |counter: &AtomicU32, happened: bool| {
                counter.fetch_add(u32::from(happened), Ordering::Relaxed);
            };
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        count(&failed, fail(&health, Cause::Connect, now, RETRY));
                        step.wait();
                        count(&probes, claim_probe(&health, now + RETRY, RETRY));
                        step.wait();
                        count(&recovered, recover(&health, now + RETRY + 1));
                    });
                }
            });
            assert_eq!(
                [failed, probes, recovered].map(AtomicU32::into_inner),
                [1, 1, 1]
            );
        }
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use crate::ejection::eject;
    use loom::sync::Arc;
    use loom::thread::spawn;

    const NOW: Micros = 1_000;
    const RETRY: Micros = 60;

    type Act = fn(&MemberHealth) -> bool;

    fn both(health: &Arc<MemberHealth>, one: Act, other: Act) -> [bool; 2] {
        let shared = Arc::clone(health);
        let thread = spawn(move || other(&shared));
        [one(health), thread.join().unwrap()]
    }

    #[test]
    fn one_discoverer_one_prober_one_recoverer() {
        loom::model(|| {
            let health = Arc::new(MemberHealth::default());
            let probes: Act = |health| claim_probe(health, NOW + RETRY, RETRY);
            let recovers: Act = |health| recover(health, NOW + RETRY);
            let discoverers = both(
                &health,
                |health| fail(health, Cause::Connect, NOW, RETRY),
                |health| eject(health, NOW, RETRY),
            );
            for acted in [
                discoverers,
                both(&health, probes, probes),
                both(&health, recovers, recovers),
            ] {
                assert_ne!(acted[0], acted[1]);
            }
        });
    }

    /// Who finds the member back knows since when.
    #[test]
    fn a_recovery_is_dated_before_it_shows() {
        loom::model(|| {
            let health = Arc::new(MemberHealth::default());
            fail(&health, Cause::Connect, NOW, RETRY);
            let [recovered, known] = both(
                &health,
                |health| recover(health, NOW + 1),
                |health| !healthy(health) || health.recovered_at.load(Ordering::Relaxed) == NOW + 1,
            );
            assert!(recovered && known);
        });
    }

    /// Whatever their order: who took the member out was told so, and the state agrees.
    #[test]
    fn a_failure_beside_a_recovery_is_not_lost() {
        loom::model(|| {
            let health = Arc::new(MemberHealth::default());
            fail(&health, Cause::Connect, NOW, RETRY);
            let [failed, recovered] = both(
                &health,
                |health| fail(health, Cause::Timeout, NOW + 1, RETRY),
                |health| recover(health, NOW + 1),
            );
            assert!(recovered);
            assert_eq!(healthy(&health), !failed);
        });
    }
}
