//! One cycle of a weighted rotation.
//!
//! **The rule** is that of stock httpd's `byrequests` and of nginx: every member has a balance,
//! which starts at 0; each turn adds its weight to it; the first member with the largest balance
//! takes the turn and pays the sum of all weights. After as many turns as that sum every balance is
//! 0 again, so the cycle, once written down, *is* the rule, request by request. In that cycle a
//! member has exactly its weight in turns; and since who pays has a balance above 0, no member is
//! ever a whole turn ahead of its exact share.
//!
//! **Weights** are divided by their greatest common divisor first. A cycle that would not fit is
//! scaled down by largest remainder: every member keeps at least one turn, those left over share
//! the rest in proportion, each within one turn of its exact quota.
//!
//! **Cost.** Equal weights are the list itself. The rule costs members × turns, which is kept
//! below [`EXACT_STEPS`]; beyond, `interleave` gives the same counts per cycle, evenly spread, by
//! one sort.
//!
//! **Where a rotation goes on**, balances begin with what members are owed ([`super::carry`]), and a
//! member that has had its weight in turns gets none before the next cycle: so the cycle repeats.

use std::cmp::Reverse;

use super::carry::TURN;

/// Steps (members × turns) that a compilation may take with the rule itself: some milliseconds.
pub const EXACT_STEPS: usize = 4_000_000;

/// The turns of one cycle, as indices into `weights` (hundredths, clamped to 1..=10,000), for members
/// that are `owed` so much.
///
/// `capacity` is the longest cycle allowed. Empty if that is less than one turn for each.
pub fn cycle(weights: &[u32], owed: &[i64], capacity: usize) -> Vec<usize> {
    if weights.len() > capacity {
        return Vec::new();
    }
    let weights = fit(&reduce(weights), capacity);
    let length = weights.iter().sum::<usize>();
    if length == weights.len() {
        in_order(owed)
    } else if length.saturating_mul(weights.len()) <= EXACT_STEPS {
        smooth(&weights, owed)
    } else {
        interleave(&weights, owed)
    }
}

/// The weights divided by their greatest common divisor.
fn reduce(weights: &[u32]) -> Vec<usize> {
    let weights = || {
        weights
            .iter()
            .map(|&weight| weight.clamp(1, 10_000) as usize)
    };
    let divisor = weights().fold(0, greatest_common_divisor).max(1);
    weights().map(|weight| weight / divisor).collect()
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

/// Scales weights down until their sum is `capacity`, if it is more. There must be room for one
/// turn each.
fn fit(weights: &[usize], capacity: usize) -> Vec<usize> {
    let mut sum: usize = weights.iter().sum();
    if sum <= capacity {
        return weights.to_vec();
    }
    let mut by_weight: Vec<(usize, usize)> = weights.iter().copied().enumerate().collect();
    by_weight.sort_by_key(|&(_, weight)| weight);

    // Those whose quota is below one turn get one; that leaves less for the others, so the lightest
    // are asked first, each with what is left then.
    let (mut room, mut raised) = (capacity, 0);
    for &(_, weight) in &by_weight {
        if weight * room >= sum {
            break;
        }
        sum -= weight;
        room -= 1;
        raised += 1;
    }
    let (light, heavy) = by_weight.split_at(raised);

    let mut scaled: Vec<(usize, usize)> = light.iter().map(|&(index, _)| (index, 1)).collect();
    let given: usize = heavy.iter().map(|&(_, weight)| weight * room / sum).sum();
    let mut by_remainder = heavy.to_vec();
    by_remainder.sort_by_key(|&(index, weight)| (Reverse(weight * room % sum), index));
    let left_over = room - given;
    scaled.extend(
        by_remainder
            .iter()
            .enumerate()
            .map(|(rank, &(index, weight))| {
                (index, weight * room / sum + usize::from(rank < left_over))
            }),
    );
    scaled.sort_unstable();
    scaled.into_iter().map(|(_, weight)| weight).collect()
}

/// The rule for equal weights: who is owed most comes first.
fn in_order(owed: &[i64]) -> Vec<usize> {
    let mut order: Vec<(i64, usize)> = (0..)
        .zip(owed)
        .map(|(index, owed)| (owed.saturating_neg(), index))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, index)| index).collect()
}

/// A member in [`smooth`].
struct Running {
    weight: i64,
    balance: i64,
    /// Turns of this cycle.
    left: usize,
}

/// The rule itself: members × turns steps.
fn smooth(weights: &[usize], owed: &[i64]) -> Vec<usize> {
    let length: usize = weights.iter().sum();
    let sum = signed(length);
    let mut members: Vec<Running> = weights
        .iter()
        .zip(owed)
        .map(|(&left, owed)| Running {
            weight: signed(left).saturating_mul(TURN),
            balance: owed.saturating_mul(sum),
            left,
        })
        .collect();
    (0..length)
        .filter_map(|_| {
            let mut best: Option<(usize, &mut Running)> = None;
            for (index, member) in members.iter_mut().enumerate() {
                member.balance = member.balance.saturating_add(member.weight);
                let beats = |best: &Running| member.balance > best.balance;
                if member.left > 0 && best.as_ref().is_none_or(|(_, best)| beats(best)) {
                    best = Some((index, member));
                }
            }
            best.map(|(index, member)| {
                member.balance = member.balance.saturating_sub(sum.saturating_mul(TURN));
                member.left -= 1;
                index
            })
        })
        .collect()
}

/// Members of equal weight form one stream of evenly spaced turns, taken round robin; the streams
/// are merged by due time. Turn `k` of the member at `rank` among `m` members of weight `w` is due
/// at `(k + (rank + 1/2) / m) / w` of the cycle, and earlier by `owed / w`.
fn interleave(weights: &[usize], owed: &[i64]) -> Vec<usize> {
    let mut by_weight: Vec<(usize, usize)> = weights.iter().copied().enumerate().collect();
    by_weight.sort_by_key(|&(index, weight)| (weight, index));
    let mut due: Vec<(i64, usize)> = Vec::with_capacity(weights.iter().sum());
    for class in by_weight.chunk_by(|a, b| a.1 == b.1) {
        for (rank, &(index, weight)) in class.iter().enumerate() {
            let spacing = 2 * class.len() * weight;
            let owed = owed.get(index).copied().unwrap_or_default();
            let sooner = owed.saturating_mul(WHOLE / TURN) / signed(weight);
            due.extend((0..weight).map(|turn| {
                let step = 2 * (turn * class.len() + rank) + 1;
                (fraction(step, spacing).saturating_sub(sooner), index)
            }));
        }
    }
    due.sort_unstable();
    due.into_iter().map(|(_, index)| index).collect()
}

/// The whole of a cycle in [`interleave`], where times are fractions of it.
const WHOLE: i64 = 1 << 32;

/// `part / whole`, for a part below the whole, which is far below [`WHOLE`].
fn fraction(part: usize, whole: usize) -> i64 {
    signed(part) * WHOLE / signed(whole)
}

fn signed(weight: usize) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rotations that begin.
    fn cycle(weights: &[u32], capacity: usize) -> Vec<usize> {
        super::cycle(weights, &vec![0; weights.len()], capacity)
    }

    fn smooth(weights: &[usize]) -> Vec<usize> {
        super::smooth(weights, &vec![0; weights.len()])
    }

    fn interleave(weights: &[usize]) -> Vec<usize> {
        super::interleave(weights, &vec![0; weights.len()])
    }

    fn counts(turns: &[usize], members: usize) -> Vec<usize> {
        let mut counts = vec![0; members];
        for &index in turns {
            counts[index] += 1;
        }
        counts
    }

    /// How far members stray ahead of and behind their exact shares in any prefix of the cycle, in
    /// turns times the cycle's length.
    fn worst_lag(turns: &[usize], weights: &[usize]) -> (i64, i64) {
        let sum = signed(turns.len());
        let mut taken = vec![0_i64; weights.len()];
        let (mut ahead, mut behind) = (0, 0);
        for (done, &index) in (1..).zip(turns) {
            taken[index] += 1;
            for (taken, &weight) in taken.iter().zip(weights) {
                let lead = taken * sum - done * signed(weight);
                ahead = ahead.max(lead);
                behind = behind.max(-lead);
            }
        }
        (ahead, behind)
    }

    fn letters(weights: &[u32], requests: usize) -> String {
        let turns = cycle(weights, 10_000);
        turns
            .iter()
            .cycle()
            .take(requests)
            .map(|&index| char::from(b"abcdefgh"[index]))
            .collect()
    }

    /// Recorded from Apache httpd 2.4.71, one process, `lbmethod=byrequests`, members a, b, c, d
    /// with these `loadfactor`s, the first 30 requests after the start.
    #[test]
    fn the_sequence_is_stock_httpds() {
        for (weights, recorded) in [
            (&[500, 100, 100][..], "aabacaaaabacaaaabacaaaabacaaaa"),
            (&[100, 100, 100, 200], "dabcddabcddabcddabcddabcddabcd"),
            (&[300, 150, 200, 700], "dadcdbdadcdadbdadcdadbdcdaddad"),
        ] {
            assert_eq!(letters(weights, recorded.len()), recorded);
        }
    }

    #[test]
    fn equal_weights_are_the_list_itself() {
        assert_eq!(cycle(&[250; 4], 4), [0, 1, 2, 3]);
        assert_eq!(
            cycle(&vec![250; 10_000], 10_000),
            (0..10_000).collect::<Vec<_>>()
        );
        assert_eq!(smooth(&[1; 5]), [0, 1, 2, 3, 4]);
        assert_eq!(cycle(&[], 10), [] as [usize; 0]);
    }

    /// Envoy's `edf_scheduler_test`: weights 1 to 128, 8,256 picks.
    #[test]
    fn weights_1_to_128_in_8256_turns() {
        let weights: Vec<u32> = (1..=128).collect();
        let turns = cycle(&weights, 8_256);
        assert_eq!(turns.len(), 8_256);
        assert_eq!(counts(&turns, 128), (1..=128).collect::<Vec<_>>());
    }

    #[test]
    fn out_of_range_weights_are_clamped() {
        assert_eq!(cycle(&[0, 0], 10), [0, 1]);
        assert_eq!(counts(&cycle(&[u32::MAX, 5_000], 10), 2), [2, 1]);
    }

    #[test]
    fn ten_thousand_different_members_fit() {
        let weights: Vec<u32> = (1..=10_000).collect();
        let turns = cycle(&weights, 65_536);
        let counts = counts(&turns, weights.len());
        assert_eq!(turns.len(), 65_536);
        assert!(counts.iter().all(|&count| count >= 1));
        assert!(counts.is_sorted());
    }

    /// One member with a third of all turns among 1,000 light ones must not wait for all of them.
    #[test]
    fn interleaving_spreads_the_heavy_among_the_light() {
        let mut weights = vec![1; 1_000];
        weights.push(500);
        let turns = interleave(&weights);
        assert_eq!(counts(&turns, 1_001), weights);
        let gap = turns
            .split(|&index| index == 1_000)
            .map(<[usize]>::len)
            .max();
        assert!(
            gap <= Some(4),
            "{gap:?} turns in a row without the heaviest"
        );
    }

    fn weights(most: u32, members: usize) -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(1..=most, 1..=members)
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn each_member_has_exactly_its_reduced_weight(weights in weights(300, 40)) {
            let reduced = reduce(&weights);
            let turns = cycle(&weights, 20_000);
            prop_assert_eq!(counts(&turns, weights.len()), reduced);
        }

        /// No member is ever a turn ahead, nor more than half the members' number behind.
        #[test]
        fn the_rule_is_smooth(weights in weights(60, 12)) {
            let reduced = reduce(&weights);
            let turns = smooth(&reduced);
            let (ahead, behind) = worst_lag(&turns, &reduced);
            let sum = signed(turns.len());
            prop_assert!(ahead < sum);
            prop_assert!(behind * 2 <= sum * signed(reduced.len()).max(2));
        }

        /// With `c` different weights, no member is further than `1 + c / 2` turns off: its own
        /// rounding, and half a turn for each stream that is merged.
        #[test]
        fn interleaving_is_exact_and_smooth(weights in weights(40, 60)) {
            let reduced = reduce(&weights);
            let turns = interleave(&reduced);
            prop_assert_eq!(&counts(&turns, reduced.len()), &reduced);
            let mut classes = reduced.clone();
            classes.sort_unstable();
            classes.dedup();
            let bound = signed(turns.len()) * signed(classes.len() + 2);
            let (ahead, behind) = worst_lag(&turns, &reduced);
            prop_assert!(ahead.max(behind) * 2 <= bound);
        }

        #[test]
        fn a_long_cycle_is_scaled_to_fit(weights in weights(10_000, 50), spare in 0_usize..400) {
            let reduced = reduce(&weights);
            let sum: usize = reduced.iter().sum();
            let capacity = reduced.len() + spare;
            let fitted = fit(&reduced, capacity);
            prop_assert_eq!(fitted.iter().sum::<usize>(), sum.min(capacity));
            prop_assert!(fitted.iter().all(|&weight| weight >= 1));
            for (a, b) in fitted.iter().zip(&reduced) {
                // At most one turn above the exact quota.
                prop_assert!((a - 1) * sum <= b * capacity.min(sum));
            }
        }
    }
}
