//! One pick among 3, 1,000 and 10,000 members: ours beside those of pingora-load-balancing and tower.
//!
//! Ours are whole elections, with probes due, states, failures and limits looked at. Where a peer
//! counts requests in flight and learns from answers, ours does as well.

use std::hint::black_box;
use std::time::Duration;

use athena_engine::hashkey;
use athena_pick::{ours, peers};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use pingora_load_balancing::selection::{Consistent, Random, RoundRobin};
use tower::load::{CompleteOnResponse, PeakEwmaDiscover, PendingRequestsDiscover};

const SIZES: [usize; 3] = [3, 1_000, 10_000];

/// Picks among so many members.
struct Picks<'a> {
    group: BenchmarkGroup<'a, WallTime>,
    size: usize,
}

impl Picks<'_> {
    fn measure<T>(&mut self, name: &str, mut pick: impl FnMut(u64) -> T) {
        let mut request = 0;
        self.group
            .bench_function(BenchmarkId::new(name, self.size), |b| {
                b.iter(|| {
                    request += 1;
                    black_box(pick(request))
                });
            });
    }
}

fn picks(c: &mut Criterion) {
    for size in SIZES {
        let mut group = c.benchmark_group("pick");
        group
            .warm_up_time(Duration::from_secs(1))
            .measurement_time(Duration::from_secs(2));
        let mut picks = Picks { group, size };
        ours(&mut picks);
        pingora(&mut picks);
        tower(&mut picks);
    }
}

fn ours(picks: &mut Picks) {
    let farm = ours::Farm::of(picks.size);
    for method in ["roundrobin", "random"] {
        let mut picker = farm.picker(method);
        picks.measure(&format!("ours {method}"), |_| picker.elect(None));
    }
    let mut picker = farm.picker("hash");
    picks.measure("ours hash", |request| {
        picker.elect(Some(hashkey::hash([request.to_le_bytes().as_slice()])))
    });
    for method in ["random", "leastconn"] {
        let mut picker = farm.picker(method);
        picks.measure(&format!("ours {method}, counted"), |_| picker.count());
    }
    let mut picker = farm.picker("leasttime");
    picks.measure("ours leasttime, counted and timed", |_| picker.time());
}

fn pingora(picks: &mut Picks) {
    let balancer = peers::pingora::<RoundRobin>(picks.size);
    picks.measure("pingora RoundRobin", |_| peers::select(&balancer, b""));
    let balancer = peers::pingora::<Random>(picks.size);
    picks.measure("pingora Random", |_| peers::select(&balancer, b""));
    let balancer = peers::pingora::<Consistent>(picks.size);
    picks.measure("pingora Consistent", |request| {
        peers::select(&balancer, &request.to_le_bytes())
    });
}

fn tower(picks: &mut Picks) {
    let members =
        PendingRequestsDiscover::new(peers::services(picks.size), CompleteOnResponse::default());
    let mut balancer = peers::P2c::new(members);
    picks.measure("tower p2c PendingRequests", |_| balancer.serve());
    let members = PeakEwmaDiscover::new(
        peers::services(picks.size),
        peers::FIRST,
        peers::DECAY,
        CompleteOnResponse::default(),
    );
    let mut balancer = peers::P2c::new(members);
    picks.measure("tower p2c PeakEwma", |_| balancer.serve());
}

criterion_group!(benches, picks);
criterion_main!(benches);
