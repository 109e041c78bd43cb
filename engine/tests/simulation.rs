//! The methods at work: what shares members get and how long requests take, in simulated time.
//!
//! The scenarios are those by which peers are measured (Linkerd's "Beyond Round Robin", Envoy's
//! scheduler tests, the fast-failing sinkhole). Everything is seeded; `--nocapture` shows the figures.

#![cfg(not(loom))]
#![allow(clippy::expect_used, reason = "a simulation may panic")]

mod sim;

use athena_engine::Micros;
use sim::{
    Clients, Farm, MILLISECOND, SECOND, Simulation, exponential_member, failing_member,
    noisy_member, steady_member, stuck_member,
};

/// What so many processes pick with `roundrobin`, each so often.
fn picks_of(farm: &Farm, processes: u64, picks: usize) -> Vec<usize> {
    std::thread::scope(|scope| {
        let process = |seed| {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                let picks = (0..picks).map(|_| farm.pick("roundrobin", SECOND, &mut random));
                picks
                    .map(|pick| pick.expect("a member"))
                    .collect::<Vec<_>>()
            })
        };
        let processes: Vec<_> = (0..processes).map(process).collect();
        processes
            .into_iter()
            .flat_map(|process| process.join().expect("no panic"))
            .collect()
    })
}

/// Processes share nothing but the records; here they are threads, so that their elections really
/// interleave.
#[test]
fn weighted_rotation_is_exact_over_concurrent_processes() {
    let weights = [100, 100, 250, 700];
    let cycle = 2 + 2 + 5 + 14;
    let farm = Farm::new(weights);
    let picks = picks_of(&farm, 4, cycle * 500);
    let shares = (0..4).map(|member| picks.iter().filter(|&&pick| pick == member).count());
    assert_eq!(
        shares.collect::<Vec<_>>(),
        [2, 2, 5, 14].map(|weight| weight * 500 * 4)
    );
}

/// Four members that answer in 5 ms and one that takes 50 ms, each working on 8 requests at once.
#[test]
fn leasttime_keeps_off_a_slow_member() {
    let p99 = |method| {
        let members = [5, 5, 5, 5, 50]
            .map(|time| exponential_member(time * MILLISECOND))
            .into();
        let report = Simulation::new(method, 8, members, 1)
            .run(Clients::Open { per_second: 800.0 }, 60 * SECOND);
        let slow = report.share_of(4, 0, 60 * SECOND);
        println!(
            "{method}: p99 {} us, {slow:.4} to the slow one",
            report.percentile(0.99)
        );
        report.percentile(0.99)
    };
    let (leasttime, leastconn, roundrobin) =
        (p99("leasttime"), p99("leastconn"), p99("roundrobin"));
    assert!(leasttime <= 32 * MILLISECOND);
    assert!(leasttime < leastconn && leasttime < roundrobin);
}

/// Equally fast members get equal shares of any time in which each has some 50 requests, whatever the load
/// and however many they are; a slow answer now and then does not keep one without requests.
#[test]
fn leasttime_is_fair_among_equals() {
    for (members, per_second, time) in [
        (3, 200.0, SECOND),
        (4, 20.0, 10 * SECOND),
        (4, 200.0, SECOND),
        (4, 2_000.0, SECOND),
        (60, 200.0, 15 * SECOND),
        (60, 3_000.0, SECOND),
        (100, 5_000.0, SECOND),
    ] {
        let noisy = (0..members).map(|_| noisy_member(5 * MILLISECOND));
        let report = Simulation::new("leasttime", 1_000, noisy.collect(), 8)
            .run(Clients::Open { per_second }, 12 * time);
        let of_fair = |member, nth| {
            let from = nth * time;
            report.share_of(member, from, from + time) * members as f64
        };
        let most = (0..members)
            .flat_map(|member| (1..12).map(move |nth| of_fair(member, nth)))
            .fold(0.0, f64::max);
        let pause = (0..members).map(|member| report.longest_pause(member));
        let pause = pause.max().expect("members");
        println!(
            "{members} members, {per_second}/s: up to {most:.2} of the share, {pause} us without"
        );
        assert!(most <= 1.5 && pause <= 2 * SECOND);
    }
}

/// Linkerd's: 11 members of 167 ms, one of which takes 2 s for 30 s; a client waits 1 s.
#[test]
fn leasttime_gives_a_stuck_member_up() {
    let within_a_second = |method| {
        let usual = || steady_member(167 * MILLISECOND, 5 * MILLISECOND);
        let mut members: Vec<_> = (0..10).map(|_| usual()).collect();
        members.push(stuck_member(usual(), 2 * SECOND, 15 * SECOND, 45 * SECOND));
        let report = Simulation::new(method, 1_000, members, 2)
            .run(Clients::Open { per_second: 250.0 }, 60 * SECOND);
        let share = report.share(|outcome| outcome.took <= SECOND);
        println!("{method}: {share:.5} within 1 s");
        share
    };
    let (leasttime, leastconn) = (within_a_second("leasttime"), within_a_second("leastconn"));
    assert!(leasttime >= 0.9993 && leasttime > leastconn);
    assert!(within_a_second("roundrobin") < 0.96);
}

/// One of four members stops answering, while others have room for all.
#[test]
fn leasttime_sees_a_hung_member_before_it_answers() {
    let usual = || steady_member(20 * MILLISECOND, 5 * MILLISECOND);
    let (from, to) = (10 * SECOND, 40 * SECOND);
    let mut members: Vec<_> = (0..3).map(|_| usual()).collect();
    members.push(stuck_member(usual(), 60 * SECOND, from, to));
    let report = Simulation::new("leasttime", 1_000, members, 7).run(
        Clients::Open {
            per_second: 2_000.0,
        },
        to,
    );
    let hung = report
        .0
        .iter()
        .filter(|outcome| outcome.took > SECOND)
        .count();
    println!("{hung} requests to a member that hangs for 30 s");
    // Ten of them were under way.
    assert!(hung <= 18);
}

fn sinkhole(method: &'static str, clients: usize) -> f64 {
    failed(method, clients, None)
}

fn failed(method: &'static str, clients: usize, eject_after: Option<u32>) -> f64 {
    let mut members: Vec<_> = (0..3)
        .map(|_| steady_member(20 * MILLISECOND, 2 * MILLISECOND))
        .collect();
    members.push(failing_member(MILLISECOND / 5));
    let mut simulation = Simulation::new(method, 1_000, members, 3);
    if let Some(failures) = eject_after {
        simulation = simulation.eject_after(failures);
    }
    let report = simulation.run(Clients::Closed { clients }, 10 * SECOND);
    let failed = report.share(|outcome| !outcome.good);
    println!("{method}, {clients} clients: {failed:.5} failed");
    failed
}

/// Three members that answer in 20 ms and one that fails at once.
#[test]
fn a_fast_failing_member_is_no_sinkhole() {
    assert!(sinkhole("leasttime", 32) <= 0.10);
    assert!(sinkhole("leastconn", 32) > 0.5, "what penalties are for");
}

/// Whatever the method: the member is out before it has done harm.
#[test]
fn ejectafter_ends_it_for_every_method() {
    for method in athena_engine::method::names() {
        assert!(failed(method, 32, Some(5)) <= 0.02);
    }
}

/// With enough requests in flight at the others, a single penalty is cheap; it has to grow.
#[test]
fn a_fast_failing_member_is_no_sinkhole_under_pressure() {
    assert!(sinkhole("leasttime", 600) <= 0.10);
}

/// The part of the requests that the first of four equal members gets in the second after it came
/// back; its first answers may take longer then.
fn share_after_recovery(first_answers: Option<Micros>, seed: u64) -> f64 {
    let usual = || steady_member(20 * MILLISECOND, MILLISECOND);
    let back = 105 * SECOND;
    let returning = match first_answers {
        Some(time) => stuck_member(usual(), time, back, back + 2 * SECOND),
        None => usual(),
    };
    let members = vec![returning, usual(), usual(), usual()];
    let share = Simulation::new("leasttime", 1_000, members, seed)
        .outage(0, 5 * SECOND, back)
        .run(Clients::Open { per_second: 400.0 }, back + 5 * SECOND)
        .share_of(0, back, back + SECOND);
    println!("{share:.4} in the first second, first answers after {first_answers:?}");
    share
}

/// Its estimate has faded to nothing meanwhile; that must not make it the fastest of all, least of
/// all while it has not answered yet.
#[test]
fn a_recovered_member_gets_no_more_than_its_share() {
    for seed in 0..2 {
        assert!((0.24..=0.26).contains(&share_after_recovery(None, seed)));
        assert!((0.00..=0.05).contains(&share_after_recovery(Some(2 * SECOND), seed)));
    }
}

/// What runs of several seeds come to on average, figure by figure.
fn mean(seeds: u32, run: impl Fn(u64) -> Vec<f64>) -> Vec<f64> {
    let added = |sum: Vec<f64>, run: Vec<f64>| sum.iter().zip(run).map(|(a, b)| a + b).collect();
    let sum = (0..seeds.into()).map(run).reduce(added);
    let sum = sum.unwrap_or_default().into_iter();
    sum.map(|sum| sum / f64::from(seeds)).collect()
}

/// The parts of the requests that the first of so many equal members gets in the seconds after it
/// came back, when its slow start takes 10 s.
fn shares_in_slow_start(
    method: &'static str,
    members: usize,
    per_second: f64,
    seed: u64,
) -> Vec<f64> {
    let usual = || steady_member(20 * MILLISECOND, MILLISECOND);
    let back = 25 * SECOND;
    let report = Simulation::new(method, 1_000, (0..members).map(|_| usual()).collect(), seed)
        .slow_start(10 * SECOND)
        .outage(0, 5 * SECOND, back)
        .run(Clients::Open { per_second }, back + 20 * SECOND);
    [(0, 1), (2, 4), (4, 6), (8, 10), (12, 20)]
        .into_iter()
        .map(|(from, to)| report.share_of(0, back + from * SECOND, back + to * SECOND))
        .collect()
}

/// Whatever the method and the load: it begins with a small part of its share and ends with the whole.
/// `traffic` goes by sizes, a few of which are huge: its requests are few or many by chance.
#[test]
fn a_member_that_comes_back_takes_its_share_slowly() {
    for method in [
        "roundrobin",
        "byrequests",
        "leastconn",
        "leasttime",
        "random",
        "traffic",
    ] {
        for (members, per_second) in [(4, 40.0), (4, 400.0), (20, 800.0)] {
            let shares = mean(8, |seed| {
                shares_in_slow_start(method, members, per_second, seed)
            });
            let of_fair: Vec<f64> = shares.iter().map(|share| share * members as f64).collect();
            println!("{method}, {members} members, {per_second}/s: {of_fair:.2?} of its share");
            let [first, second, last] = match method {
                "traffic" => [1.0, 1.3, 0.6],
                _ => [0.35, 0.7, 0.9],
            };
            assert!(of_fair[0] <= first && of_fair[1] <= second && of_fair[4] >= last);
        }
    }
}

/// As the bench has it: about one request is under way, so that response times alone decide.
#[test]
fn leasttime_leads_a_member_back_to_its_share() {
    let shares = mean(10, |seed| {
        let back = 12 * SECOND;
        let noisy = (0..4).map(|_| noisy_member(5 * MILLISECOND)).collect();
        let report = Simulation::new("leasttime", 1_000, noisy, seed)
            .slow_start(10 * SECOND)
            .outage(0, 10 * SECOND, back)
            .run(Clients::Open { per_second: 200.0 }, back + 20 * SECOND);
        let share = |second| {
            let from = back + second * SECOND;
            report.share_of(0, from, from + SECOND)
        };
        (0..20).map(share).collect()
    });
    println!("{shares:.3?} in the seconds after coming back");
    let (ramp, whole) = shares.split_at(10);
    assert!(ramp[0] <= 0.04 && ramp.iter().all(|share| *share <= 0.27));
    assert!(whole.iter().all(|share| (0.22..=0.28).contains(share)));
}

/// How far the member with most bytes is above the mean, over a minute of requests of very different
/// sizes.
fn excess_bytes(method: &'static str) -> f64 {
    let members = (0..4)
        .map(|_| steady_member(20 * MILLISECOND, MILLISECOND))
        .collect();
    let bytes = Simulation::new(method, 1_000, members, 4)
        .run(Clients::Open { per_second: 400.0 }, 60 * SECOND)
        .bytes(4, 0, 60 * SECOND);
    let mean = bytes.iter().sum::<u64>() as f64 / 4.0;
    let excess = bytes.iter().copied().max().unwrap_or(0) as f64 / mean - 1.0;
    println!("{method}: {bytes:?}, {excess:.3} above the mean");
    excess
}

#[test]
fn traffic_evens_out_bytes() {
    let traffic = excess_bytes("traffic");
    assert!(traffic < 0.05);
    assert!(traffic < excess_bytes("roundrobin") / 2.0);
}

/// A member that was away for many half-lives has no recent traffic: it gets its share when it comes
/// back, not the whole load.
#[test]
fn traffic_does_not_flood_a_member_that_comes_back() {
    let members = (0..4)
        .map(|_| steady_member(20 * MILLISECOND, MILLISECOND))
        .collect();
    let back = 105 * SECOND;
    let share = Simulation::new("traffic", 1_000, members, 5)
        .outage(0, 5 * SECOND, back)
        .run(Clients::Open { per_second: 400.0 }, back + 5 * SECOND)
        .share_of(0, back, back + 5 * SECOND);
    println!("{share:.4} after coming back");
    assert!((0.15..=0.40).contains(&share));
}
