//! A discrete-event simulation of one farm: the real methods, plan and estimator on records of the
//! heap; simulated members, clients and clock. The same seed gives the same run.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "a simulation may panic"
)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use athena_engine::board::record::{FarmRecord, MemberRecord};
use athena_engine::hashkey::hash;
use athena_engine::method::{Affinity, Roster, Sight, by_name};
use athena_engine::plan::{Capacity, Plan, PlanMember, compile, table};
use athena_engine::{MemberId, Micros, ejection, ewma, health, slow_start, waiting};
use std::sync::atomic::{AtomicU32, Ordering};

pub const MILLISECOND: Micros = 1_000;
pub const SECOND: Micros = 1_000_000;
/// Half-life of the estimates in all simulations.
const HALF_LIFE: Micros = 10 * SECOND;
/// The clock at the start: a machine that has been up for a while.
const START: Micros = 1_000 * SECOND;

/// A farm's records and plan, as any number of processes share them.
pub struct Farm {
    record: FarmRecord,
    members: Vec<MemberRecord>,
    in_service: Vec<bool>,
    slow_start: Micros,
    eligible: Vec<AtomicU32>,
    turns: Vec<AtomicU32>,
    table: Vec<AtomicU32>,
    weight: u64,
    base: u64,
}

impl Farm {
    /// A farm of members with these weights, in hundredths.
    pub fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let members: Vec<MemberRecord> = (0..)
            .zip(weights)
            .map(|(position, weight)| {
                let member = MemberRecord::default();
                member.admin.weight.store(weight, Ordering::Relaxed);
                member.admin.position.store(position, Ordering::Relaxed);
                member
            })
            .collect();
        let mut farm = Self {
            record: FarmRecord::default(),
            in_service: vec![true; members.len()],
            slow_start: 0,
            members,
            eligible: Vec::new(),
            turns: Vec::new(),
            table: Vec::new(),
            weight: 0,
            base: 0,
        };
        farm.publish(0);
        farm
    }

    /// Takes a member out of service or puts it back.
    pub fn set_in_service(&mut self, member: usize, in_service: bool, now: Micros) {
        self.in_service[member] = in_service;
        self.publish(now);
    }

    /// One election.
    pub fn pick(&self, method: &str, now: Micros, random: &mut fastrand::Rng) -> Option<usize> {
        self.pick_for(None, method, now, random)
    }

    /// One election for a request with a key.
    pub fn pick_for(
        &self,
        key: Option<u64>,
        method: &str,
        now: Micros,
        random: &mut fastrand::Rng,
    ) -> Option<usize> {
        let sight = Sight {
            farm: &self.record,
            plan: &Plan {
                eligible: &self.eligible,
                turns: &self.turns,
                table: &self.table,
                weight: self.weight,
                base: self.base,
                ..Plan::default()
            },
            process: 0,
            roster: self,
            now,
            half_life: HALF_LIFE,
            affinity: Affinity {
                key,
                balance: Some(125),
            },
            score: None,
        };
        let method = by_name(method).expect("a method of the menu");
        method.pick(&sight, random).map(|id| id.0 as usize)
    }

    fn publish(&mut self, now: Micros) {
        for (member, in_service) in self.members.iter().zip(&self.in_service) {
            slow_start::note(&self.record, member, *in_service, now, self.slow_start);
        }
        self.record.cold.published.store(2, Ordering::Relaxed);
        let listed: Vec<PlanMember> = (0..)
            .zip(self.members.iter().zip(&self.in_service))
            .map(|(id, (member, &healthy))| PlanMember {
                name: hash([format!("member {id}").as_bytes()]),
                ..PlanMember::of(MemberId(id), member, healthy)
            })
            .collect();
        let plan = compile(
            &listed,
            Capacity {
                turns: 10_000,
                table: table::entries(u32::try_from(listed.len()).unwrap_or(0)) as usize,
                ..Capacity::default()
            },
        );
        self.eligible = plan.eligible.into_iter().map(AtomicU32::new).collect();
        self.turns = plan.turns.into_iter().map(AtomicU32::new).collect();
        self.table = plan.table.into_iter().map(AtomicU32::new).collect();
        self.weight = plan.weight;
        self.base = self.record.hot.ticket.load(Ordering::Relaxed);
    }
}

impl Roster for Farm {
    fn member(&self, id: MemberId) -> Option<&MemberRecord> {
        self.members.get(id.0 as usize)
    }

    fn available(&self, id: MemberId) -> Option<&MemberRecord> {
        let in_service = self.in_service.get(id.0 as usize).copied();
        self.member(id).filter(|_| in_service == Some(true))
    }
}

/// What a member makes of a request once it begins to work on it.
#[derive(Clone, Copy)]
pub enum Answer {
    /// A good answer after this time.
    After(Micros),
    /// A failure after this time.
    FailsAfter(Micros),
}

/// How a member answers, by the time since the start of the simulation.
type Behaviour = Box<dyn Fn(Micros, &mut fastrand::Rng) -> Answer>;

struct Server {
    behaviour: Behaviour,
    free_places: usize,
    queue: VecDeque<Request>,
}

/// Who sends requests.
#[derive(Clone, Copy)]
pub enum Clients {
    /// Requests arrive by a Poisson process of this rate, whatever becomes of them.
    Open { per_second: f64 },
    /// Each client sends its next request when it has its answer.
    Closed { clients: usize },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    arrived: Micros,
    member: usize,
    waits: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    End { request: Request, good: bool },
    Service { member: usize, on: bool },
}

/// What became of a request; times are from the start of the simulation.
pub struct Outcome {
    pub arrived: Micros,
    pub member: usize,
    pub took: Micros,
    pub good: bool,
    pub bytes: u64,
}

/// A farm with its members, clients and the future.
pub struct Simulation {
    farm: Farm,
    method: &'static str,
    eject_after: Option<u32>,
    servers: Vec<Server>,
    clients: Clients,
    random: fastrand::Rng,
    /// Draws the sizes of requests, so that they are the same whatever the method does.
    sizes: fastrand::Rng,
    /// Time, a running number that keeps events of one instant in order, and the event.
    future: BinaryHeap<Reverse<(Micros, u64, Event)>>,
    scheduled: u64,
    outcomes: Vec<Outcome>,
}

impl Simulation {
    /// Equally weighted members, each working on up to `places` requests at once.
    pub fn new(method: &'static str, places: usize, members: Vec<Behaviour>, seed: u64) -> Self {
        let server = |behaviour| Server {
            behaviour,
            free_places: places,
            queue: VecDeque::new(),
        };
        Self {
            farm: Farm::new(members.iter().map(|_| 100)),
            method,
            eject_after: None,
            servers: members.into_iter().map(server).collect(),
            clients: Clients::Closed { clients: 0 },
            random: fastrand::Rng::with_seed(seed),
            sizes: fastrand::Rng::with_seed(seed ^ 0xb17e5),
            future: BinaryHeap::new(),
            scheduled: 0,
            outcomes: Vec::new(),
        }
    }

    /// `slowstart` of all members.
    pub fn slow_start(mut self, time: Micros) -> Self {
        self.farm.slow_start = time;
        self
    }

    /// `ejectafter`, with an `ejecttime` that is longer than the run.
    pub fn eject_after(mut self, failures: u32) -> Self {
        self.eject_after = Some(failures);
        self
    }

    /// Takes a member out of service for a time.
    pub fn outage(mut self, member: usize, from: Micros, to: Micros) -> Self {
        self.schedule(from, Event::Service { member, on: false });
        self.schedule(to, Event::Service { member, on: true });
        self
    }

    /// Lets the clients send requests until then, and waits for the last answer.
    pub fn run(mut self, clients: Clients, until: Micros) -> Report {
        self.clients = clients;
        let first = match clients {
            Clients::Open { .. } => 1,
            Clients::Closed { clients } => clients,
        };
        (0..first).for_each(|_| self.schedule(0, Event::Arrival));
        while let Some(Reverse((now, _, event))) = self.future.pop() {
            match event {
                Event::Arrival if now < until => self.arrive(now),
                Event::Arrival => {}
                Event::End { request, good } => self.end(now, request, good),
                Event::Service { member, on } => {
                    self.farm.set_in_service(member, on, START + now);
                }
            }
        }
        let in_flight = |member: &MemberRecord| member.hot.inflight.count();
        assert!(
            self.farm
                .members
                .iter()
                .map(in_flight)
                .all(|count| count == 0)
        );
        Report(self.outcomes)
    }

    fn schedule(&mut self, at: Micros, event: Event) {
        self.scheduled += 1;
        self.future.push(Reverse((at, self.scheduled, event)));
    }

    fn arrive(&mut self, now: Micros) {
        if let Clients::Open { per_second } = self.clients {
            let pause = exponential(SECOND as f64 / per_second, &mut self.random);
            self.schedule(now + pause, Event::Arrival);
        }
        let picked = self.farm.pick(self.method, START + now, &mut self.random);
        let member = picked.expect("some member is in service");
        self.farm.members[member].hot.inflight.take(None);
        let waits = waiting::begin(&self.farm.members[member].hot.waiting, START + now);
        self.servers[member].queue.push_back(Request {
            arrived: now,
            member,
            waits,
        });
        self.work(now, member);
    }

    /// Begins what the member has places for.
    fn work(&mut self, now: Micros, member: usize) {
        let server = &mut self.servers[member];
        if server.free_places == 0 {
            return;
        }
        if let Some(request) = server.queue.pop_front() {
            server.free_places -= 1;
            let (takes, good) = match (server.behaviour)(now, &mut self.random) {
                Answer::After(time) => (time, true),
                Answer::FailsAfter(time) => (time, false),
            };
            self.schedule(now + takes, Event::End { request, good });
        }
    }

    fn judge(&mut self, now: Micros, member: usize, good: bool) {
        let record = &self.farm.members[member];
        if good {
            health::success(&record.health);
            return;
        }
        let streak = health::failure(&record.health);
        let too_many = |after| ejection::fails(record, streak, after, START + now);
        if self.eject_after.is_some_and(too_many) {
            self.farm.set_in_service(member, false, START + now);
        }
    }

    fn end(&mut self, now: Micros, request: Request, good: bool) {
        let Request {
            arrived,
            member,
            waits,
        } = request;
        let hot = &self.farm.members[member].hot;
        waiting::end(&hot.waiting, waits);
        hot.inflight.give_back(1);
        let took = now - arrived;
        let account = if good { ewma::observe } else { ewma::penalise };
        account(hot, took as f64, START + now, HALF_LIFE);
        let bytes = heavy_tailed(&mut self.sizes);
        hot.served.fetch_add(1, Ordering::Relaxed);
        hot.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        let method = by_name(self.method).expect("a method of the menu");
        method.learn(hot, bytes, START + now, HALF_LIFE);
        self.outcomes.push(Outcome {
            arrived,
            member,
            took,
            good,
            bytes,
        });
        self.judge(now, member, good);
        self.servers[member].free_places += 1;
        self.work(now, member);
        if let Clients::Closed { .. } = self.clients {
            self.schedule(now, Event::Arrival);
        }
    }
}

/// What became of all requests.
pub struct Report(pub Vec<Outcome>);

impl Report {
    /// The part of the requests that `what` holds for.
    pub fn share(&self, what: impl Fn(&Outcome) -> bool) -> f64 {
        self.0.iter().filter(|outcome| what(outcome)).count() as f64 / self.0.len() as f64
    }

    /// The part that a member got of the requests of a time.
    pub fn share_of(&self, member: usize, from: Micros, to: Micros) -> f64 {
        let during = |outcome: &Outcome| (from..to).contains(&outcome.arrived);
        self.share(|outcome| during(outcome) && outcome.member == member) / self.share(during)
    }

    /// The longest time between two requests of a member.
    pub fn longest_pause(&self, member: usize) -> Micros {
        let its = self.0.iter().filter(|outcome| outcome.member == member);
        let mut arrived: Vec<Micros> = its.map(|outcome| outcome.arrived).collect();
        arrived.sort_unstable();
        let pauses = arrived.windows(2).map(|pair| pair[1] - pair[0]);
        pauses.max().unwrap_or(Micros::MAX)
    }

    /// Bytes that each of so many members carried in a time.
    pub fn bytes(&self, members: usize, from: Micros, to: Micros) -> Vec<u64> {
        let mut bytes = vec![0; members];
        let during = |outcome: &&Outcome| (from..to).contains(&outcome.arrived);
        for outcome in self.0.iter().filter(during) {
            bytes[outcome.member] += outcome.bytes;
        }
        bytes
    }

    /// The time within which this part of the requests was over.
    pub fn percentile(&self, part: f64) -> Micros {
        let mut times: Vec<Micros> = self.0.iter().map(|outcome| outcome.took).collect();
        times.sort_unstable();
        times[((times.len() - 1) as f64 * part).round() as usize]
    }
}

/// Answers after an exponentially distributed time.
pub fn exponential_member(mean: Micros) -> Behaviour {
    Box::new(move |_, random| Answer::After(exponential(mean as f64, random)))
}

/// Answers within `spread` of a time, each equally likely.
pub fn steady_member(time: Micros, spread: Micros) -> Behaviour {
    Box::new(move |_, random| Answer::After(random.u64(time - spread..=time + spread)))
}

/// Answers within a tenth of a time, but one answer in 200 takes 3 to 10 times as long.
pub fn noisy_member(time: Micros) -> Behaviour {
    let usual = steady_member(time, time / 10);
    Box::new(move |now, random| match random.u32(..200) {
        0 => Answer::After(random.u64(3 * time..=10 * time)),
        _ => usual(now, random),
    })
}

/// Behaves like `usual`, but takes this long for what begins between two times.
pub fn stuck_member(usual: Behaviour, takes: Micros, from: Micros, to: Micros) -> Behaviour {
    Box::new(move |now, random| {
        let stuck = (from..to).contains(&now);
        if stuck {
            Answer::After(takes)
        } else {
            usual(now, random)
        }
    })
}

/// Fails after this time.
pub fn failing_member(time: Micros) -> Behaviour {
    Box::new(move |_, _| Answer::FailsAfter(time))
}

/// Sizes as of files: most are small, and a few make up the half of all bytes (Pareto with the
/// exponent 1.2, at most 100 MB).
fn heavy_tailed(random: &mut fastrand::Rng) -> u64 {
    (2_000.0 / (1.0 - random.f64()).powf(1.0 / 1.2)).min(1e8) as u64
}

fn exponential(mean: f64, random: &mut fastrand::Rng) -> Micros {
    (-mean * (1.0 - random.f64()).ln()).round() as Micros
}
