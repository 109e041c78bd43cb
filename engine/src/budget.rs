//! The retry budget: replays of broken attempts may not become a second load on members that are
//! in trouble already (Finagle's `RetryBudget`, Envoy's `retry_budget`).
//!
//! A replay costs `100 / percent` of the farm's requests. The requests themselves are the clock: the
//! farm's `elected` counter runs anyway, so a request that needs no replay pays nothing for the
//! budget. `budget_spent` runs after it; a replay moves it on by its cost, by compare-and-swap, and
//! may not pass it. However many processes ask at once, replays of the long run are never more than
//! `percent` of the requests.
//!
//! What a quiet time has saved up is bounded: once in [`WINDOW`] at most, `budget_spent` is brought
//! up to as many requests behind `elected` as the farm had in a window of that time's average. So a
//! member that dies with requests in flight, after an hour without any failure, finds a budget.
//!
//! [`RESERVE`] replays in each second are always allowed, so that a farm with little traffic can
//! replay too. They are charged as well, if need be on credit, up to [`RESERVE`] replays: in each second it is
//! the larger of the two, not the sum.

use crate::Micros;
use crate::board::record::FarmRecord;
use crate::sync::Ordering;

/// Over how long requests are counted: 10 s, as Finagle's `ttl`.
pub const WINDOW: Micros = 10_000_000;
/// Replays a second that need no requests.
pub const RESERVE: u64 = 3;

/// `budget_spent` counts hundredths of a request, so that any whole percentage has a whole cost.
const REQUEST: u64 = 100;
const SECOND: Micros = 1_000_000;

/// Asks for one replay, with a budget of `percent` of the farm's requests, and takes it if granted.
pub fn allow(farm: &FarmRecord, percent: u32, now: Micros) -> bool {
    let elected = farm.hot.elected.load(Ordering::Relaxed);
    forget_savings(farm, elected, now);
    let reserved = take_reserve(farm, now);
    let paid = farm
        .cold
        .budget_spent
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
            if reserved {
                with_one_reserved(spent, percent, elected)
            } else {
                with_one_paid(spent, percent, elected)
            }
        });
    reserved || paid.is_ok()
}

/// Whether [`allow`] would, as far as this process knows now. For who has to find out first whether a
/// replay is of use.
pub fn is_left(farm: &FarmRecord, percent: u32, now: Micros) -> bool {
    let (reserve, spent) = (&farm.cold.budget_reserve, &farm.cold.budget_spent);
    let elected = farm.hot.elected.load(Ordering::Relaxed);
    with_one_taken(reserve.load(Ordering::Relaxed), now).is_some()
        || with_one_paid(spent.load(Ordering::Relaxed), percent, elected).is_some()
}

/// Takes one of this second's [`RESERVE`].
fn take_reserve(farm: &FarmRecord, now: Micros) -> bool {
    farm.cold
        .budget_reserve
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            with_one_taken(word, now)
        })
        .is_ok()
}

/// The second and the count share a word.
fn with_one_taken(word: u64, now: Micros) -> Option<u64> {
    let second = now / SECOND;
    let (of, taken) = (word >> 8, word & 0xff);
    // Another process may be in the next second already; then its count holds.
    if of == second || of == second + 1 {
        (taken < RESERVE).then_some(of << 8 | (taken + 1))
    } else {
        Some(second << 8 | 1)
    }
}

fn with_one_paid(spent: u64, percent: u32, elected: u64) -> Option<u64> {
    let spent = spent.checked_add(cost(percent)?)?;
    (spent <= earned(elected)).then_some(spent)
}

/// The debt is bounded: replays that the reserve has given in a quiet time are forgiven.
fn with_one_reserved(spent: u64, percent: u32, elected: u64) -> Option<u64> {
    let cost = cost(percent)?;
    let most = earned(elected).saturating_add(RESERVE * cost);
    (spent < most).then(|| most.min(spent.saturating_add(cost)))
}

/// `None`: requests earn no replays.
fn cost(percent: u32) -> Option<u64> {
    (percent > 0).then(|| (REQUEST * 100).div_ceil(percent.into()))
}

fn earned(elected: u64) -> u64 {
    elected.saturating_mul(REQUEST)
}

/// Begins a new window if the present one is over.
fn forget_savings(farm: &FarmRecord, elected: u64, now: Micros) {
    let cold = &farm.cold;
    let since = cold.budget_since.load(Ordering::Acquire);
    let age = now.saturating_sub(since);
    if age < WINDOW {
        return;
    }
    let requests = elected.saturating_sub(cold.budget_elected.load(Ordering::Acquire));
    let of_a_window = u128::from(requests) * u128::from(WINDOW) / u128::from(age);
    let saved = u64::try_from(of_a_window).unwrap_or(requests).min(requests);
    let floor = elected.saturating_sub(saved).saturating_mul(REQUEST);
    // Before the window: whoever finds it new finds the savings bounded. Several may be here at
    // once; their floors are the same but for the requests that came in between.
    cold.budget_spent.fetch_max(floor, Ordering::AcqRel);
    let mine = cold
        .budget_since
        .compare_exchange(since, now, Ordering::AcqRel, Ordering::Relaxed);
    if mine.is_ok() {
        cold.budget_elected.store(elected, Ordering::Release);
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Micros = 9_000 * SECOND;

    fn farm() -> FarmRecord {
        let farm = FarmRecord::default();
        farm.cold.budget_since.store(NOW, Ordering::Relaxed);
        farm
    }

    fn serve(farm: &FarmRecord, requests: u64) {
        farm.hot.elected.fetch_add(requests, Ordering::Relaxed);
    }

    fn allowed(farm: &FarmRecord, percent: u32, now: Micros, asked: usize) -> u64 {
        (0..asked)
            .map(|_| u64::from(allow(farm, percent, now)))
            .sum()
    }

    #[test]
    fn a_quiet_farm_has_three_a_second() {
        let farm = farm();
        serve(&farm, 1);
        for second in 0..5 {
            assert_eq!(allowed(&farm, 20, NOW + second * SECOND, 50), RESERVE);
            assert_eq!(
                allowed(&farm, 20, NOW + second * SECOND + SECOND - 1, 50),
                0
            );
        }
    }

    #[test]
    fn asking_takes_nothing() {
        for percent in [0, 20, 100] {
            let farm = farm();
            serve(&farm, 100);
            assert!(
                (0..1_000).all(|_| is_left(&farm, percent, NOW)),
                "{percent} %"
            );
            let granted = allowed(&farm, percent, NOW, 1_000);
            assert_eq!(granted, u64::from(percent).max(RESERVE));
            assert!(!is_left(&farm, percent, NOW), "{percent} %");
        }
    }

    #[test]
    fn percent_0_leaves_the_reserve() {
        let farm = farm();
        serve(&farm, 1_000);
        assert_eq!(allowed(&farm, 0, NOW, 50), RESERVE);
    }

    #[test]
    fn a_busy_farm_has_its_percentage_and_not_the_reserve_on_top() {
        for (percent, expected) in [(20, 200), (30, 299), (100, 1_000), (1, 10)] {
            let farm = farm();
            serve(&farm, 1_000);
            assert_eq!(
                allowed(&farm, percent, NOW + 1, 5_000),
                expected,
                "{percent} %"
            );
        }
    }

    #[test]
    fn in_the_long_run_no_more_than_the_percentage() {
        let farm = farm();
        let mut replays = 0;
        for tenth in 0..2_000 {
            serve(&farm, 100);
            replays += allowed(&farm, 20, NOW + tenth * SECOND / 10, 80);
        }
        assert_eq!(replays, 2_000 * 100 / 5);
    }

    #[test]
    fn a_quiet_hour_saves_up_ten_seconds() {
        let farm = farm();
        serve(&farm, 3_600 * 50);
        let replays = allowed(&farm, 20, NOW + 3_600 * SECOND, 10_000);
        assert_eq!(replays, 10 * 50 / 5);
    }

    /// A quiet farm may replay 3 requests of each second, not those and its percentage.
    #[test]
    fn the_percentage_does_not_come_on_top_of_the_reserve() {
        for (a_second, replays) in [(5, 3 * 8), (15, 3 * 8), (25, 5 * 8), (50, 10 * 8)] {
            let farm = farm();
            let mut granted = 0;
            for request in 0..8 * a_second {
                serve(&farm, 1);
                granted += allowed(&farm, 20, NOW + request * SECOND / a_second, 1);
            }
            // What the last second's reserve was given on credit is not earned yet.
            let most = replays + RESERVE;
            assert!(
                (replays - RESERVE..=most).contains(&granted),
                "{a_second}/s: {granted}"
            );
        }
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        /// Seconds of steps, each of so many requests and then so many replays asked for.
        #[test]
        fn of_each_second_the_larger_of_the_two(
            seconds in prop::collection::vec(prop::collection::vec((0_u64..40, 0_usize..12), 1..6), 1..20),
            percent in 1_u32..=100,
        ) {
            let farm = farm();
            let (mut granted, mut most) = (0, 0);
            for (second, steps) in (0..).zip(&seconds) {
                let mut requests = 0;
                for (served, asked) in steps {
                    serve(&farm, *served);
                    requests += served;
                    granted += allowed(&farm, percent, NOW + second * SECOND, *asked);
                }
                most += (RESERVE * 100).max(requests * u64::from(percent));
                prop_assert!(granted * 100 <= most, "{granted} in second {second}");
            }
        }
    }

    /// A clock that another process has read a little earlier is no second window.
    #[test]
    fn a_reading_from_before_the_second_takes_from_the_same_reserve() {
        let farm = farm();
        assert_eq!(allowed(&farm, 20, NOW, 2), 2);
        assert_eq!(allowed(&farm, 20, NOW - 1, 2), 1);
    }

    #[test]
    fn any_bits_are_survived() {
        for bits in [0, 1, u64::MAX, u64::MAX >> 8, 1 << 63] {
            let farm = farm();
            farm.cold.budget_since.store(bits, Ordering::Relaxed);
            farm.cold.budget_elected.store(bits, Ordering::Relaxed);
            farm.cold.budget_spent.store(bits, Ordering::Relaxed);
            farm.cold.budget_reserve.store(bits, Ordering::Relaxed);
            farm.hot.elected.store(u64::MAX - bits, Ordering::Relaxed);
            for now in [1, NOW, Micros::MAX] {
                allow(&farm, 20, now);
                allow(&farm, u32::MAX, now);
            }
            assert_eq!(allowed(&farm, 0, NOW + SECOND, 10), RESERVE);
        }
    }

    #[test]
    fn concurrent_callers_do_not_exceed_it() {
        let farm = farm();
        serve(&farm, 3_600 * 50);
        let granted: u64 = std::thread::scope(|scope| {
            let ask = || allowed(&farm, 20, NOW + 3_600 * SECOND, 1_000);
            let callers: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .sum()
        });
        assert_eq!(granted, 10 * 50 / 5);
    }
}
