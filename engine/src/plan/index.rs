//! Where members are found by what requests call them by, their routes and their names: an
//! open-addressed hash table, at the same cost for 3 members as for 10,000.
//!
//! It holds all members, usable or not: sessions go by their members' states, not by the plan. An entry
//! is a board index. Whether that member bears the name or the route is for the reader to check, who
//! also meets others' entries that lie in the way.

use super::{PlanMember, circle_from};
use crate::MemberId;
use crate::hashkey::hash;
use crate::sync::AtomicU32;

/// An entry that is nobody's.
const NOBODY: u32 = u32::MAX;

/// Entries for so many members: half of them stay free though each member has a name and a route.
pub const fn entries(members: u32) -> u32 {
    members.saturating_mul(4)
}

/// What a member is listed by for its route; 0: it has none.
pub fn of_route(route: &[u8]) -> u64 {
    match route {
        b"" => 0,
        // No name begins like this.
        route => hash([b"\0route ", route]),
    }
}

/// What a member is listed by for its name.
pub fn of_name(name: &[u8]) -> u64 {
    hash([name])
}

/// Lists members in a table of so many entries; those of one route in their order. Empty where it is
/// too small.
pub(super) fn fill(members: &[PlanMember], entries: usize) -> Vec<u32> {
    let mut table = vec![NOBODY; entries];
    for member in members {
        for key in [member.name, member.route]
            .into_iter()
            .filter(|key| *key != 0)
        {
            let (before, after) = table.split_at_mut(place(key, entries));
            let free = after.iter_mut().chain(before).find(|id| **id == NOBODY);
            let Some(free) = free else { return Vec::new() };
            *free = member.id.0;
        }
    }
    table
}

/// Members that may be listed by the key, in their order.
pub fn find(table: &[AtomicU32], key: u64) -> impl Iterator<Item = MemberId> {
    circle_from(table, place(key, table.len())).take_while(|id| id.0 != NOBODY)
}

fn place(key: u64, entries: usize) -> usize {
    let key = usize::try_from(key >> 1).unwrap_or(usize::MAX);
    key.checked_rem(entries).unwrap_or(0)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::member;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn table(members: &[(u64, u64)], entries: usize) -> Vec<AtomicU32> {
        let listed: Vec<PlanMember> = (0..)
            .zip(members)
            .map(|(id, &(name, route))| PlanMember {
                name,
                route,
                ..member(id, 100, id)
            })
            .collect();
        fill(&listed, entries)
            .into_iter()
            .map(AtomicU32::new)
            .collect()
    }

    fn found(table: &[AtomicU32], key: u64) -> Vec<u32> {
        find(table, key).map(|id| id.0).collect()
    }

    #[test]
    fn members_by_route_and_by_name() {
        let (a, b) = (of_route(b"a"), of_route(b"b"));
        let name = of_name(b"a");
        assert_ne!(a, name, "a name is no route");
        let table = table(&[(name, a), (of_name(b"x"), b), (0, a)], 4_099);
        assert_eq!(found(&table, a), [0, 2]);
        assert_eq!(found(&table, b), [1]);
        assert_eq!(found(&table, name), [0]);
        assert_eq!(found(&table, of_route(b"c")), [] as [u32; 0]);
    }

    #[test]
    fn no_room_is_no_table_and_a_full_one_ends() {
        assert_eq!(table(&[(1, 2), (3, 0)], 2).len(), 0);
        assert_eq!(found(&table(&[(1, 2)], 2), 7).len(), 2);
        assert_eq!(found(&[], 7), [] as [u32; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        /// Whatever collides: who is listed by a key is found by it, in order.
        #[test]
        fn all_are_found(keys in prop::collection::vec((1_u64..40, 0_u64..40), 1..20)) {
            let table = table(&keys, entries(20) as usize);
            for key in 1..40 {
                let listed = (0..).zip(&keys).filter(|(_, (name, route))| key == *name || key == *route);
                let listed: Vec<u32> = listed.map(|(id, _)| id).collect();
                let mut found = found(&table, key);
                found.dedup();
                found.retain(|id| listed.contains(id));
                let mut once = found.clone();
                once.sort_unstable();
                once.dedup();
                prop_assert_eq!(&once, &listed);
            }
        }
    }
}
