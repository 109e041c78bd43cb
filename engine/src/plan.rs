//! The plan: what changes rarely (membership, weights, states) compiled into a schedule that every
//! request reads without a lock.
//!
//! Who is eligible follows `proxy_balancer_get_best_worker` (httpd 2.4,
//! `modules/proxy/proxy_util.c`); in which order they take turns follows `is_best_byrequests`
//! (`modules/proxy/balancers/mod_lbmethod_byrequests.c`). See [`turns`] for the latter.

pub mod carry;
pub mod index;
pub mod parts;
pub mod stale;
pub mod table;
pub mod turns;

use rustc_hash::FxHashMap;

use crate::MemberId;
use crate::board::record::{FarmRecord, MemberRecord, flags};
use crate::health::{self, Cause};
use crate::sync::{AtomicU32, Ordering};
use parts::Parts;

/// A published plan, as read from the board. Entries are board indices of member records; another
/// process may overwrite them at any time, so each is checked before it is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan<'a> {
    /// Members that may be chosen now: the lowest set with a usable member, standbys only when
    /// nothing else is left, in configuration order, spares standing in behind the others.
    pub eligible: &'a [AtomicU32],
    /// One cycle of the weighted rotation over `eligible`.
    pub turns: &'a [AtomicU32],
    /// The [`table`] of `lbmethod=hash` over `eligible`; empty for other methods.
    pub table: &'a [AtomicU32],
    /// The [`index`] of all members.
    pub index: &'a [AtomicU32],
    /// Sum of the weights of `eligible`.
    pub weight: u64,
    /// How many members there are, in which state.
    pub count: Count,
    /// The farm's ticket at publication: the cycle starts there, with whom the plan before owes most ([`carry`]).
    pub base: u64,
    /// The rotation is in [`parts`]; `None`: it is in order.
    pub parts: Option<&'a Parts>,
}

/// A plan's members, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub members: u32,
    /// Those that are usable, of whatever set, standbys and spares included.
    pub usable: u32,
    /// Those that are ejected ([`crate::ejection`]).
    pub ejected: u32,
    /// Those that are out for their answers and may serve where nobody else is left, ejected ones
    /// among them.
    pub answering: u32,
}

/// All of a plan's list, from a place (which wraps around) on.
pub fn circle_from(list: &[AtomicU32], place: usize) -> impl Iterator<Item = MemberId> {
    let (before, after) = list.split_at(place.checked_rem(list.len()).unwrap_or(0));
    after.iter().chain(before).map(member_at)
}

/// The member that an entry of a list names.
pub fn member_at(entry: &AtomicU32) -> MemberId {
    MemberId(entry.load(Ordering::Relaxed))
}

impl Plan<'_> {
    /// The next ticket of a process in the plan's own count, unless another request takes it first.
    pub fn next_ticket(&self, farm: &FarmRecord, process: usize) -> usize {
        let ticket = self.counted(farm.hot.ticket.load(Ordering::Relaxed));
        self.in_parts(ticket, |parts, turns| parts.next(turns, process))
            .unwrap_or(ticket)
    }

    /// Takes it; no other process has the same.
    pub fn take_ticket(&self, farm: &FarmRecord, process: usize) -> usize {
        let in_parts = |ticket| self.in_parts(ticket, |parts, turns| parts.take(turns, process));
        let ticket = &farm.hot.ticket;
        in_parts(self.counted(ticket.load(Ordering::Relaxed))).unwrap_or_else(|| {
            let ticket = self.counted(ticket.fetch_add(1, Ordering::Relaxed));
            in_parts(ticket).unwrap_or(ticket)
        })
    }

    /// The places whose turns are over, but for whole cycles; `None` if the plan has no turns.
    pub fn over(&self, farm: &FarmRecord) -> Option<Vec<usize>> {
        let turns = self.turns.len();
        let ticket = self.counted(farm.hot.ticket.load(Ordering::Relaxed));
        let Some(parts) = self.parts else {
            return Some((0..ticket.checked_rem(turns)?).collect());
        };
        let owed = ticket.min(parts.owed()).min(turns);
        Some(parts.over(turns).chain(0..owed).collect())
    }

    /// A ticket of the farm's in the plan's own count, which begins with its publication.
    fn counted(&self, ticket: u64) -> usize {
        usize::try_from(ticket.wrapping_sub(self.base)).unwrap_or_default()
    }

    /// The ticket of a rotation in parts, behind the turns that are owed.
    fn in_parts(&self, ticket: usize, by: impl FnOnce(&Parts, usize) -> u64) -> Option<usize> {
        let turns = self.turns.len();
        let parts = self.parts.filter(|parts| ticket >= parts.owed())?;
        usize::try_from(by(parts, turns)).ok()?.checked_add(turns)
    }

    /// The member whose turn it is; `None` if the plan has no turns.
    pub fn turn(&self, ticket: usize) -> Option<MemberId> {
        let place = ticket.checked_rem(self.turns.len())?;
        self.turns.get(place).map(member_at)
    }

    /// Whether members are in another state now than when it was compiled, by their number. Where it has
    /// members that the one who counts does not know, nobody can tell: no.
    pub fn misses(&self, now: Count) -> bool {
        self.count.members == now.members && self.count != now
    }

    /// Whether this is what was compiled, from whatever turn on: the rotation need not go on elsewhere.
    pub fn says(&self, compiled: &Compiled) -> bool {
        let equal = |published: &[AtomicU32], wanted: &[u32]| {
            published.len() == wanted.len()
                && published
                    .iter()
                    .zip(wanted)
                    .all(|(entry, id)| entry.load(Ordering::Relaxed) == *id)
        };
        self.weight == compiled.weight
            && self.count == compiled.count
            && equal(self.eligible, &compiled.eligible)
            && same_turns(self.turns, &compiled.turns)
            && equal(self.table, &compiled.table)
            && equal(self.index, &compiled.index)
    }
}

/// Whether each member has as many turns in both lists.
fn same_turns(published: &[AtomicU32], wanted: &[u32]) -> bool {
    let mut counts: FxHashMap<u32, i64> = FxHashMap::default();
    for turn in wanted {
        *counts.entry(*turn).or_default() += 1;
    }
    for turn in published {
        *counts.entry(member_at(turn).0).or_default() -= 1;
    }
    counts.values().all(|count| *count == 0)
}

/// What the compiler needs to know of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanMember {
    /// Its place on the board.
    pub id: MemberId,
    /// Weight in hundredths, 1 to 10,000.
    pub weight: u32,
    /// [`flags`] in force.
    pub flags: u32,
    /// Its set, tried in ascending order.
    pub lbset: u32,
    /// Not in error.
    pub healthy: bool,
    /// Position in the configuration.
    pub position: u32,
    /// Why it is in error.
    pub cause: Cause,
    /// Hash of its name ([`index::of_name`]), by which [`table`] knows it, too; 0 where neither is made.
    pub name: u64,
    /// Hash of its route ([`index::of_route`]); 0 for none.
    pub route: u64,
    /// What the rotation owes it ([`carry`]): when its farm's plan was published, or, settled, now.
    pub owed: i64,
}

impl PlanMember {
    /// A member as its record describes it now.
    pub fn of(id: MemberId, record: &MemberRecord, healthy: bool) -> Self {
        let admin = &record.admin;
        Self {
            id,
            weight: admin.weight_now(),
            flags: admin.state(),
            lbset: admin.lbset(),
            healthy,
            position: admin.position.load(Ordering::Relaxed),
            cause: health::cause(&record.health),
            name: 0,
            route: 0,
            owed: admin.owed.load(Ordering::Relaxed),
        }
    }

    fn has(&self, any_of: u32) -> bool {
        self.flags & any_of != 0
    }

    /// May be chosen, as far as it is up to itself.
    pub fn usable(&self) -> bool {
        !self.has(flags::NOT_ELIGIBLE) && (self.healthy || self.has(flags::IGNORE_ERRORS))
    }
}

/// A plan before it is published. Entries are board indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// See [`Plan::eligible`].
    pub eligible: Vec<u32>,
    /// See [`Plan::turns`]. Empty when fewer turns than eligible members were asked for.
    pub turns: Vec<u32>,
    /// See [`Plan::table`].
    pub table: Vec<u32>,
    /// See [`Plan::index`].
    pub index: Vec<u32>,
    /// See [`Plan::weight`].
    pub weight: u64,
    /// See [`Plan::count`].
    pub count: Count,
    /// Members that are [owed turns first](parts::owed_first).
    pub owed: u32,
}

/// The room there is for a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Most eligible members.
    pub eligible: usize,
    /// Most turns in a cycle; with fewer than eligible members, none are made.
    pub turns: usize,
    /// Entries of the table, a prime; 0: none is made.
    pub table: usize,
    /// Entries of the index; 0: none is made.
    pub index: usize,
}

/// Compiles the plan of one farm, whose members are in the order of the configuration where they share a
/// route.
pub fn compile(members: &[PlanMember], capacity: Capacity) -> Compiled {
    let eligible = eligible(members);
    let weights: Vec<u32> = eligible.iter().map(|member| member.weight).collect();
    let ids: Vec<u32> = eligible.iter().map(|member| member.id.0).collect();
    let owed: Vec<i64> = eligible.iter().map(|member| member.owed).collect();
    let turns = turns::cycle(&weights, &owed, capacity.turns)
        .into_iter()
        .filter_map(|index| ids.get(index).copied())
        .collect();
    Compiled {
        table: table::fill(&eligible, capacity.table),
        index: index::fill(members, capacity.index),
        weight: weights.iter().copied().map(u64::from).sum(),
        count: Count::of(members),
        owed: u32::try_from(parts::owed_first(&owed)).unwrap_or(u32::MAX),
        eligible: ids,
        turns,
    }
}

impl Count {
    /// Counts members.
    pub fn of(members: &[PlanMember]) -> Self {
        let count = |has: fn(&&PlanMember) -> bool| {
            u32::try_from(members.iter().filter(has).count()).unwrap_or(u32::MAX)
        };
        Self {
            members: count(|_| true),
            usable: count(|member| member.usable()),
            ejected: count(|member| member.cause == Cause::Ejected),
            answering: count(|member| member.cause.may_answer()),
        }
    }
}

/// The members that stock httpd would choose among, in the order in which it looks at them.
fn eligible(members: &[PlanMember]) -> Vec<&PlanMember> {
    let mut in_order: Vec<&PlanMember> = members.iter().collect();
    in_order.sort_by_key(|member| (member.lbset, member.position));
    in_order
        .chunk_by(|a, b| a.lbset == b.lbset)
        .map(eligible_of_set)
        .find(|set| !set.is_empty())
        .unwrap_or_default()
}

fn eligible_of_set<'a>(set: &[&'a PlanMember]) -> Vec<&'a PlanMember> {
    let [mut chosen, mut spares, mut standbys]: [Vec<&PlanMember>; 3] = Default::default();
    let mut unusable = 0;
    for &member in set {
        // `R` is asked before `H`, as httpd does: a member with both is a spare.
        if member.has(flags::SPARE) {
            spares.extend(member.usable().then_some(member));
        } else if member.has(flags::STANDBY) {
            standbys.extend(member.usable().then_some(member));
        } else if member.usable() {
            chosen.push(member);
        } else {
            unusable += 1;
        }
    }
    chosen.extend(spares.into_iter().take(unusable));
    if chosen.is_empty() { standbys } else { chosen }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use flags::{CHECK_FAILED, DISABLED, DRAIN, IGNORE_ERRORS, SPARE, STANDBY, STOPPED};

    /// A member that is usable.
    pub fn member(id: u32, weight: u32, position: u32) -> PlanMember {
        PlanMember {
            id: MemberId(id),
            weight,
            flags: 0,
            lbset: 0,
            healthy: true,
            position,
            cause: Cause::None,
            name: 0,
            route: 0,
            owed: 0,
        }
    }

    /// `(flags, lbset, healthy)`; the member's board index is 10 times its position.
    fn eligible_of(table: &[(u32, u32, bool)]) -> Vec<u32> {
        let members: Vec<PlanMember> = (0..)
            .zip(table)
            .map(|(position, &(flags, lbset, healthy))| PlanMember {
                flags,
                lbset,
                healthy,
                ..member(position * 10, 100, position)
            })
            .collect();
        compile(&members, Capacity::default()).eligible
    }

    #[test]
    fn only_usable_members_of_the_lowest_usable_set() {
        assert_eq!(
            eligible_of(&[(0, 1, true), (0, 0, true), (0, 0, true)]),
            [10, 20]
        );
        assert_eq!(
            eligible_of(&[(0, 1, true), (DISABLED, 0, true), (0, 0, false)]),
            [0]
        );
        assert_eq!(eligible_of(&[(0, 7, true), (0, 99, true)]), [0]);
        assert_eq!(
            eligible_of(&[(0, 0, false), (DRAIN, 1, true)]),
            [] as [u32; 0]
        );
        assert_eq!(eligible_of(&[]), [] as [u32; 0]);
    }

    #[test]
    fn each_letter_that_takes_a_member_out() {
        for letter in [DISABLED, STOPPED, DRAIN, CHECK_FAILED] {
            assert_eq!(eligible_of(&[(letter, 0, true), (0, 0, true)]), [10]);
            // `I` is about errors, not about what people or checks say.
            assert_eq!(
                eligible_of(&[(letter | IGNORE_ERRORS, 0, true), (0, 0, true)]),
                [10]
            );
        }
        assert_eq!(eligible_of(&[(0, 0, false), (0, 0, true)]), [10]);
        assert_eq!(
            eligible_of(&[(IGNORE_ERRORS, 0, false), (0, 0, true)]),
            [0, 10]
        );
    }

    #[test]
    fn spares_stand_in_one_for_one_behind_the_others() {
        let spare = (SPARE, 0, true);
        assert_eq!(eligible_of(&[spare, (0, 0, true), (0, 0, true)]), [10, 20]);
        assert_eq!(
            eligible_of(&[spare, spare, (0, 0, false), (0, 0, true)]),
            [30, 0]
        );
        assert_eq!(
            eligible_of(&[spare, spare, (0, 0, false), (DRAIN, 0, true)]),
            [0, 10]
        );
        // An unusable spare stands in for nobody and needs no stand-in.
        assert_eq!(
            eligible_of(&[(SPARE, 0, false), spare, (0, 0, false), (0, 0, true)]),
            [30, 10]
        );
        // Not for another set's members, not for standbys.
        assert_eq!(
            eligible_of(&[(SPARE, 1, true), (0, 0, false), (0, 1, true)]),
            [20]
        );
        assert_eq!(
            eligible_of(&[spare, (STANDBY, 0, false), (0, 0, true)]),
            [20]
        );
    }

    #[test]
    fn standbys_only_when_their_set_has_nothing_else() {
        let standby = (STANDBY, 0, true);
        assert_eq!(eligible_of(&[standby, (0, 0, true)]), [10]);
        assert_eq!(eligible_of(&[standby, standby, (0, 0, false)]), [0, 10]);
        assert_eq!(
            eligible_of(&[standby, (SPARE, 0, true), (0, 0, false)]),
            [10]
        );
        // httpd collects standbys anew for each set: those of set 0 come before set 1.
        assert_eq!(eligible_of(&[standby, (0, 0, false), (0, 1, true)]), [0]);
        assert_eq!(
            eligible_of(&[(STANDBY, 1, true), (0, 0, false), (0, 1, true)]),
            [20]
        );
        assert_eq!(eligible_of(&[(STANDBY | SPARE, 0, true), standby]), [10]);
        // Spares without anybody to stand in for are not used, nor do they keep standbys out.
        assert_eq!(eligible_of(&[(SPARE, 0, true), standby]), [10]);
    }

    #[test]
    fn a_plan_misses_what_its_counts_do_not_say() {
        let count = |members, usable, ejected| Count {
            members,
            usable,
            ejected,
            answering: ejected,
        };
        let plan = Plan {
            count: count(3, 2, 1),
            ..Plan::default()
        };
        for (now, misses) in [
            (count(3, 2, 1), false),
            (count(3, 3, 0), true),
            (count(3, 2, 0), true),
            (count(2, 2, 0), false),
            (count(4, 4, 0), false),
        ] {
            assert_eq!(plan.misses(now), misses, "{now:?}");
        }
    }

    #[test]
    fn turns_name_board_indices_and_capacity_may_be_nothing() {
        // Given out of order: the configuration's order decides.
        let members = [member(5, 100, 1), member(9, 200, 0)];
        let turns = |turns| Capacity {
            turns,
            ..Capacity::default()
        };
        let plan = compile(&members, turns(64));
        assert_eq!(plan.eligible, [9, 5]);
        assert_eq!(plan.turns, [9, 5, 9]);
        assert_eq!(
            compile(&members, turns(0)),
            Compiled {
                eligible: vec![9, 5],
                weight: 300,
                count: Count {
                    members: 2,
                    usable: 2,
                    ..Count::default()
                },
                ..Compiled::default()
            }
        );
    }
}
