//! Picks of ours and of other balancers written in Rust, with nothing around them.
//!
//! Ours are whole elections, with probes due, states, failures and limits looked at. Where a peer
//! counts requests in flight and learns from answers, ours does as well.

pub mod ours;
pub mod peers;

use std::hint::black_box;

use athena_engine::hashkey;
use pingora_load_balancing::selection::{
    BackendIter, BackendSelection, Consistent, Random, RoundRobin,
};
use tower::load::{CompleteOnResponse, PeakEwmaDiscover, PendingRequestsDiscover};

/// Who is measured, ours before the peers that do the same.
pub const NAMES: [&str; 11] = [
    "ours roundrobin",
    "pingora RoundRobin",
    "ours random",
    "pingora Random",
    "ours hash",
    "pingora Consistent",
    "ours random, counted",
    "tower p2c PendingRequests",
    "ours leastconn, counted",
    "ours leasttime, counted and timed",
    "tower p2c PeakEwma",
];

/// Picks for the request of a number.
pub type Pick = Box<dyn FnMut(u64)>;

/// The one of this name, over so many members.
pub fn pick(name: &str, size: usize) -> Pick {
    let services = || peers::services(size);
    let complete = CompleteOnResponse::default;
    match name {
        "ours roundrobin" | "ours random" => {
            let mut picker = ours(name, size);
            of(move |_| picker.elect(None))
        }
        "ours hash" => {
            let mut picker = ours(name, size);
            of(move |n| picker.elect(Some(hashkey::hash([n.to_le_bytes().as_slice()]))))
        }
        "ours random, counted" | "ours leastconn, counted" => {
            let mut picker = ours(name, size);
            of(move |_| picker.count())
        }
        "ours leasttime, counted and timed" => {
            let mut picker = ours(name, size);
            of(move |_| picker.time())
        }
        "pingora RoundRobin" => pingora::<RoundRobin>(size),
        "pingora Random" => pingora::<Random>(size),
        "pingora Consistent" => pingora::<Consistent>(size),
        "tower p2c PendingRequests" => {
            let members = PendingRequestsDiscover::new(services(), complete());
            let mut balancer = peers::P2c::new(members);
            of(move |_| balancer.serve())
        }
        "tower p2c PeakEwma" => {
            let (first, decay) = (peers::FIRST, peers::DECAY);
            let members = PeakEwmaDiscover::new(services(), first, decay, complete());
            let mut balancer = peers::P2c::new(members);
            of(move |_| balancer.serve())
        }
        _ => panic!("{name}: not one of {NAMES:?}"),
    }
}

fn of<T>(mut pick: impl FnMut(u64) -> T + 'static) -> Pick {
    Box::new(move |n| {
        black_box(pick(n));
    })
}

/// By the method that a name says; its farm lives as long as the process.
fn ours(name: &str, size: usize) -> ours::Picker<'static> {
    let method = name.trim_start_matches("ours ").split(',').next();
    Box::leak(Box::new(ours::Farm::of(size))).picker(method.expect("a method"))
}

fn pingora<S>(size: usize) -> Pick
where
    S: BackendSelection + Send + Sync + 'static,
    S::Iter: BackendIter,
{
    let balancer = peers::pingora::<S>(size);
    of(move |n| peers::select(&balancer, &n.to_le_bytes()))
}
