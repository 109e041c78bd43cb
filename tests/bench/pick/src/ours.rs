//! A farm on the heap, as one of the processes that share it sees it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use athena_engine::board::inflight::{self, Totals};
use athena_engine::board::limit::Limit;
use athena_engine::board::record::{FarmRecord, MemberRecord};
use athena_engine::dispatch::{Election, Known, Lineup};
use athena_engine::method::{Affinity, Method, by_name};
use athena_engine::plan::parts::Parts;
use athena_engine::plan::{Capacity, Plan, PlanMember, compile, table};
use athena_engine::{MemberId, Micros, ewma, hashkey};

/// The clock at the start: a machine that has been up for a while.
const START: Micros = 1_000_000_000;

const HALF_LIFE: Micros = 10_000_000;

/// Members of one weight.
pub struct Farm {
    record: FarmRecord,
    members: Vec<MemberRecord>,
    /// The process's own counts of requests in flight.
    cells: Vec<AtomicU32>,
    eligible: Vec<AtomicU32>,
    turns: Vec<AtomicU32>,
    table: Vec<AtomicU32>,
    parts: Parts,
    weight: u64,
}

impl Farm {
    /// All in service.
    pub fn of(size: usize) -> Self {
        Self::with_the_first(size, size)
    }

    /// So many of its members in service.
    pub fn with_the_first(in_service: usize, size: usize) -> Self {
        let mut members = Vec::new();
        members.resize_with(size, MemberRecord::default);
        let listed: Vec<PlanMember> = (0..)
            .zip(&members)
            .map(|(id, member)| {
                member.admin.weight.store(100, Ordering::Relaxed);
                PlanMember {
                    name: hashkey::hash([format!("http://member-{id}").as_bytes()]),
                    ..PlanMember::of(MemberId(id), member, (id as usize) < in_service)
                }
            })
            .collect();
        let entries = table::entries(u32::try_from(size).expect("a board's size"));
        let capacity = Capacity {
            turns: size,
            table: entries as usize,
            ..Capacity::default()
        };
        let plan = compile(&listed, capacity);
        let shared = |list: Vec<u32>| list.into_iter().map(AtomicU32::new).collect();
        let record = FarmRecord::default();
        record
            .hot
            .next_probe_at
            .store(Micros::MAX, Ordering::Relaxed);
        Self {
            record,
            members,
            cells: shared(vec![0; size]),
            eligible: shared(plan.eligible),
            turns: shared(plan.turns),
            table: shared(plan.table),
            parts: Parts::default(),
            weight: plan.weight,
        }
    }

    /// Whom each entry of the hash table belongs to.
    pub fn table(&self) -> Vec<u32> {
        let entries = self.table.iter();
        entries.map(|id| id.load(Ordering::Relaxed)).collect()
    }

    pub fn picker(&self, method: &str) -> Picker<'_> {
        Picker {
            farm: self,
            method: by_name(method).expect("on the menu"),
            random: fastrand::Rng::with_seed(7),
            began: Instant::now(),
            balance: None,
        }
    }

    /// A request at a member begins.
    pub fn begin(&self, id: MemberId) {
        inflight::open(
            &self.cells[id.0 as usize],
            self.totals(id),
            Limit::default(),
        );
    }

    /// One has ended.
    pub fn end(&self, id: MemberId) {
        inflight::close(&self.cells[id.0 as usize], self.totals(id));
    }

    fn totals(&self, id: MemberId) -> Totals<'_> {
        Totals {
            member: &self.members[id.0 as usize].hot.inflight,
            farm: Some(&self.record.hot.inflight),
        }
    }
}

impl Lineup for Farm {
    fn len(&self) -> usize {
        self.members.len()
    }

    fn at(&self, position: usize) -> Option<Known<'_>> {
        self.member(MemberId(u32::try_from(position).ok()?))
    }

    fn member(&self, id: MemberId) -> Option<Known<'_>> {
        let record = self.members.get(id.0 as usize)?;
        Some(Known {
            id,
            record,
            serves: true,
        })
    }

    fn retry(&self, _: MemberId) -> Micros {
        60_000_000
    }
}

/// Picks by one method.
pub struct Picker<'a> {
    farm: &'a Farm,
    method: &'static dyn Method,
    random: fastrand::Rng,
    began: Instant,
    /// `hashbalance`, in hundredths.
    balance: Option<u32>,
}

impl Picker<'_> {
    /// With `hashbalance`.
    pub fn bounded(mut self, balance: Option<u32>) -> Self {
        self.balance = balance;
        self
    }

    /// An election, for a request with this key.
    pub fn elect(&mut self, key: Option<u64>) -> MemberId {
        self.elect_at(START, key)
    }

    /// An election and its request, which is in flight for a moment.
    pub fn count(&mut self) -> MemberId {
        let id = self.elect(None);
        self.farm.begin(id);
        self.farm.end(id);
        id
    }

    /// The same, its time taken and learnt.
    pub fn time(&mut self) -> MemberId {
        let began = self.now();
        let id = self.elect_at(began, None);
        self.farm.begin(id);
        let ended = self.now();
        let hot = &self.farm.members[id.0 as usize].hot;
        ewma::observe(hot, (ended - began) as f64, ended, HALF_LIFE);
        self.farm.end(id);
        id
    }

    fn now(&self) -> Micros {
        START + Micros::try_from(self.began.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    fn elect_at(&mut self, now: Micros, key: Option<u64>) -> MemberId {
        let farm = self.farm;
        let election = Election {
            farm: &farm.record,
            plan: Some(Plan {
                eligible: &farm.eligible,
                turns: &farm.turns,
                table: &farm.table,
                parts: Parts::suit(farm.eligible.len(), farm.turns.len()).then_some(&farm.parts),
                weight: farm.weight,
                base: 0,
                ..Plan::default()
            }),
            process: 0,
            lineup: farm,
            method: self.method,
            tried: &[],
            probes: true,
            leaves: Some(0),
            force: &|| false,
            half_life: HALF_LIFE,
            affinity: Affinity {
                key,
                balance: self.balance,
            },
            score: None,
            now,
        };
        election.run(&mut self.random).expect("a member").id
    }
}
