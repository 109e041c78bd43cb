//! Who gets what: two choices with a busy member, and consistent hashing when a member goes and when
//! keys are of very different weight. Prints one JSON object.

use std::collections::HashMap;
use std::hash::Hash;

use athena_engine::{MemberId, hashkey};
use athena_pick::ours::Farm;
use athena_pick::peers;
use pingora_load_balancing::LoadBalancer;
use pingora_load_balancing::selection::Consistent;
use serde_json::json;

const DRAWS: usize = 100_000;
const MEMBERS: usize = 500;
/// Of Zipf's law.
const EXPONENT: f64 = 1.1;
const KEYS: u32 = 10_000;
/// Requests that are under way at a time.
const UNDER_WAY: usize = 2_000;
/// `hashbalance`, in hundredths.
const BALANCE: u32 = 125;

fn main() {
    let balancer = peers::pingora::<Consistent>(MEMBERS);
    let less = peers::pingora::<Consistent>(MEMBERS - 1);
    let farm = Farm::of(MEMBERS);
    let smaller = Farm::with_the_first(MEMBERS - 1, MEMBERS);
    let ours = |farm: &Farm| owners(|key| farm.picker("hash").elect(Some(hash(key))));
    let pingora = |balancer: &LoadBalancer<Consistent>| {
        owners(|key| peers::select(balancer, &key.to_le_bytes()))
    };
    let report = json!({
        "two_choices": two_choices(),
        "spread": { "ours": spread(&ours(&farm)), "pingora Consistent": spread(&pingora(&balancer)) },
        "table": spread(&farm.table()),
        "moved": {
            "ours": moved(&ours(&farm), &ours(&smaller)),
            "pingora Consistent": moved(&pingora(&balancer), &pingora(&less)),
        },
        "zipf": {
            "ours hashbalance=1.25": zipf(Some(BALANCE)),
            "ours hashbalance=off": zipf(None),
        },
    });
    println!("{report}");
}

fn hash(key: u32) -> u64 {
    hashkey::hash([key.to_le_bytes().as_slice()])
}

/// The shares of three members, the last of which is busy, in percent.
fn two_choices() -> Vec<f64> {
    let farm = Farm::of(3);
    farm.begin(MemberId(2));
    let mut picker = farm.picker("random");
    let mut shares = [0_u32; 3];
    for _ in 0..DRAWS {
        shares[picker.elect(None).0 as usize] += 1;
    }
    shares
        .map(|share| percent(f64::from(share), DRAWS))
        .to_vec()
}

/// Whom each key belongs to.
fn owners<T>(pick: impl FnMut(u32) -> T) -> Vec<T> {
    (0..1_000_000).map(pick).collect()
}

/// The fewest and the most keys of a member, of the mean.
fn spread<T: Eq + Hash>(owners: &[T]) -> [f64; 2] {
    let mut counts = HashMap::new();
    for owner in owners {
        *counts.entry(owner).or_insert(0_u32) += 1;
    }
    let of_mean = |count: Option<&u32>| {
        f64::from(*count.expect("an owner")) * MEMBERS as f64 / owners.len() as f64
    };
    [
        of_mean(counts.values().min()),
        of_mean(counts.values().max()),
    ]
}

/// The keys whose member is another once the last member has gone, in percent.
fn moved<T: PartialEq>(before: &[T], after: &[T]) -> f64 {
    let moved = before
        .iter()
        .zip(after)
        .filter(|(before, after)| before != after);
    percent(moved.count() as f64, before.len())
}

fn percent(part: f64, of: usize) -> f64 {
    100.0 * part / of as f64
}

/// With Zipf's keys: the most loaded member at any time, of the mean, and the requests that went to
/// another member than their key's, in percent.
fn zipf(balance: Option<u32>) -> [f64; 2] {
    const FARM: usize = 20;
    let farm = Farm::of(FARM);
    let mut random = fastrand::Rng::with_seed(5);
    let distribution: Vec<f64> = (1..=KEYS)
        .scan(0.0, |sum, rank| {
            *sum += f64::from(rank).powf(-EXPONENT);
            Some(*sum)
        })
        .collect();
    let total = distribution[distribution.len() - 1];
    let (mut own, mut bound) = (farm.picker("hash"), farm.picker("hash").bounded(balance));
    let (mut under_way, mut loads) = (Vec::new(), [0_u32; FARM]);
    let (mut most, mut elsewhere) = (0.0_f64, 0);
    for _ in 0..DRAWS {
        if under_way.len() == UNDER_WAY {
            let ended: MemberId = under_way.swap_remove(random.usize(..UNDER_WAY));
            farm.end(ended);
            loads[ended.0 as usize] -= 1;
        }
        let drawn = random.f64() * total;
        let key = distribution.partition_point(|&sum| sum < drawn) as u32;
        let member = bound.elect(Some(hash(key)));
        elsewhere += u32::from(own.elect(Some(hash(key))) != member);
        farm.begin(member);
        loads[member.0 as usize] += 1;
        under_way.push(member);
        if under_way.len() == UNDER_WAY {
            let load = f64::from(loads[member.0 as usize]);
            most = most.max(load * FARM as f64 / UNDER_WAY as f64);
        }
    }
    [most, percent(f64::from(elsewhere), DRAWS)]
}
