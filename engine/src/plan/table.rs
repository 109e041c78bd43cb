//! The table of `lbmethod=hash`: to each entry a member, by Maglev's algorithm (Eisenbud et al.,
//! "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, §3.4).
//!
//! Every member has a permutation of the entries, from its name alone. Members take turns, each by
//! its weight, and take the first entry of their permutation that is still free. So all balancers
//! that know the same names and weights make the same table, in whatever order they list them; each
//! member has its share of the entries to within one; and when a member goes, few entries but its
//! own change hands.

use super::PlanMember;
use crate::hashkey::hash;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Entries for so many members: a prime, so that every step visits all of them. With 100 times as
/// many as members their shares differ by a percent; twice that keeps more entries in place when a
/// member goes.
pub fn entries(members: u32) -> u32 {
    let wanted = members.saturating_mul(200).clamp(MIN, MAX);
    (wanted..=MAX).find(|n| is_prime(*n)).unwrap_or(MAX)
}

/// A small farm's weights of 1 to 100 still show to within some percent.
const MIN: u32 = 16_381;
/// 16 MiB a table: with more than 20,000 members shares become less even.
pub const MAX: u32 = 4_194_301;

fn is_prime(n: u32) -> bool {
    (2..=n.isqrt()).all(|d| !n.is_multiple_of(d))
}

/// Fills a table of `entries` (a prime) with the ids of `members`; empty without members.
pub fn fill(members: &[&PlanMember], entries: usize) -> Vec<u32> {
    if entries == 0 {
        return Vec::new();
    }
    let mut members = members.to_vec();
    members.sort_by_key(|member| (member.name, member.id));
    let mut permutations: Vec<Permutation> = members
        .iter()
        .map(|member| Permutation::of(member.name, entries))
        .collect();
    // When each has its next turn, in the middle of an interval of 1 / weight; of equals, by name.
    let mut due: BinaryHeap<Reverse<(u64, usize)>> = members
        .iter()
        .enumerate()
        .map(|(at, member)| Reverse((interval(member) / 2, at)))
        .collect();
    let mut table = vec![None; entries];
    for _ in 0..entries {
        let Some(Reverse((time, at))) = due.pop() else {
            return Vec::new();
        };
        let (Some(member), Some(permutation)) = (members.get(at), permutations.get_mut(at)) else {
            return Vec::new();
        };
        // One entry is still free, and the permutation comes to each.
        let free = permutation.find(|entry| table.get(*entry).is_some_and(Option::is_none));
        if let Some(entry) = free.and_then(|entry| table.get_mut(entry)) {
            *entry = Some(member.id.0);
        }
        due.push(Reverse((time + interval(member), at)));
    }
    table.into_iter().flatten().collect()
}

/// A weight of 10,000 has a turn every 2^20 units; as many turns as there may be entries, of the
/// lightest member, are far below 2^64.
fn interval(member: &PlanMember) -> u64 {
    (10_000 << 20) / u64::from(member.weight.clamp(1, 10_000))
}

/// Entries in a member's own order, again and again.
struct Permutation {
    next: usize,
    step: usize,
    entries: usize,
}

impl Permutation {
    fn of(name: u64, entries: usize) -> Self {
        let number = |salt: &[u8]| {
            let drawn = hash([&name.to_le_bytes()[..], salt]);
            usize::try_from(drawn >> 1).unwrap_or(usize::MAX)
        };
        Self {
            next: number(b"offset").checked_rem(entries).unwrap_or(0),
            step: 1 + number(b"skip").checked_rem(entries - 1).unwrap_or(0),
            entries,
        }
    }
}

impl Iterator for Permutation {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let entry = self.next;
        self.next += self.step;
        if self.next >= self.entries {
            self.next -= self.entries;
        }
        Some(entry)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::member;

    /// Members named by their numbers, all of one weight.
    fn members(numbers: impl IntoIterator<Item = u32>) -> Vec<PlanMember> {
        weighted(numbers.into_iter().map(|number| (number, 100)))
    }

    fn weighted(members: impl IntoIterator<Item = (u32, u32)>) -> Vec<PlanMember> {
        let member = |(number, weight): (u32, u32)| PlanMember {
            name: hash([format!("10.0.{}.{}:8080", number / 256, number % 256).as_bytes()]),
            ..member(number, weight, number)
        };
        members.into_iter().map(member).collect()
    }

    fn table(members: &[PlanMember]) -> Vec<u32> {
        let entries = entries(u32::try_from(members.len()).unwrap());
        fill(&members.iter().collect::<Vec<_>>(), entries as usize)
    }

    fn shares(table: &[u32], members: usize) -> Vec<usize> {
        let mut shares = vec![0; members];
        for &id in table {
            shares[id as usize] += 1;
        }
        shares
    }

    #[test]
    fn sizes_are_primes_in_proportion() {
        for (members, size) in [(1, 16_381), (500, 100_003), (10_000, 2_000_003)] {
            assert_eq!(entries(members), size);
        }
        assert!(is_prime(entries(u32::MAX)) && !is_prime(16_383));
    }

    /// Maglev with 65,537 entries moves 1.1 %; 0.2 % cannot be avoided.
    #[test]
    fn of_500_members_one_goes() {
        let all = table(&members(0..500));
        let shares = shares(&all, 500);
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        let size = all.len();
        let left = members((0..500).filter(|&number| number != 123));
        let after = fill(&left.iter().collect::<Vec<_>>(), size);
        let moved = all.iter().zip(&after).filter(|(a, b)| a != b).count();
        println!("{least} to {most} entries each; {moved} of {size} moved");
        assert!((most - least) * 100 <= size / 500);
        assert!(moved * 1_000 <= size * 12);
        assert!(!after.contains(&123));
    }

    #[test]
    fn weights_are_shares() {
        let table = table(&weighted([(0, 100), (1, 200), (2, 700)]));
        let shares = shares(&table, 3);
        let tenth = table.len() / 10;
        for (share, tenths) in shares.into_iter().zip([1, 2, 7]) {
            assert!(
                share.abs_diff(tenths * tenth) <= 8,
                "{share} for {tenths} tenths"
            );
        }
    }

    #[test]
    fn the_order_of_the_members_does_not_matter() {
        let (mut one, mut other) = (members(0..20), members(0..20));
        one.reverse();
        other.swap(3, 11);
        assert_eq!(table(&one), table(&other));
    }

    #[test]
    fn few_or_none_are_no_trouble() {
        assert!(fill(&[], 16_381).is_empty());
        assert!(table(&members([7])).iter().all(|&id| id == 7));
        assert_eq!(fill(&members([7]).iter().collect::<Vec<_>>(), 1), [7]);
        assert!(fill(&members([7]).iter().collect::<Vec<_>>(), 0).is_empty());
        let twins = vec![
            members([1])[0],
            PlanMember {
                id: crate::MemberId(2),
                ..members([1])[0]
            },
        ];
        let shares = shares(&table(&twins), 3);
        assert!(shares[1].abs_diff(shares[2]) <= 1);
    }
}
