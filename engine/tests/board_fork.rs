//! Real processes: children that are killed, that write garbage, that die with a lock; that share
//! by `hash`.
//!
//! Without the test harness, because only a process with a single thread can fork and go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[cfg(not(loom))]
mod board_support;

#[cfg(not(loom))]
fn main() {
    tests::weights_1_to_128_are_exact_over_eight_processes();
    tests::killed_children_leave_nothing();
    tests::garbage_makes_numbers_wrong_and_nothing_else();
    tests::a_dead_writer_holds_no_lock();
    tests::no_member_has_more_than_its_share();
}

#[cfg(loom)]
fn main() {}

#[cfg(not(loom))]
mod tests {
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read, Write};
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use athena_engine::board::limit::{Limit, Share};
    use athena_engine::board::{
        Attached, Board, FarmSeat, FarmSpec, LockError, MemberRecord, MemberSeat, Notice, Repaired,
        Storage, inflight, slots,
    };
    use athena_engine::hashkey::hash;
    use athena_engine::method::{Affinity, Roster, Sight, by_name};
    use athena_engine::plan::{PlanMember, compile};
    use athena_engine::{FarmId, MemberId};
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, Pid, fork, pipe};

    use super::board_support::{Random, directory, farm, plan, restarted, storage};

    const MEMBERS: [&str; 5] = ["http://a", "http://b", "http://c", "http://d", "http://e"];

    /// Few enough that children are refused now and then.
    const LIMIT: Limit = Limit {
        most: Some(3),
        share: None,
    };

    fn totals(record: &MemberRecord) -> inflight::Totals<'_> {
        inflight::Totals {
            member: &record.hot.inflight,
            farm: None,
        }
    }

    /// Runs `child` in a new process.
    fn child(child: impl FnOnce()) -> Pid {
        // SAFETY: this process has a single thread, so the child may do whatever the parent might.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
                std::process::exit(i32::from(ended.is_err()));
            }
        }
    }

    fn number(pid: Pid) -> u32 {
        pid.as_raw().unsigned_abs()
    }

    fn members(attached: &Attached) -> Vec<MemberSeat> {
        attached
            .farms
            .iter()
            .flat_map(|farm| farm.members.clone())
            .collect()
    }

    /// A child's life: up to three requests open at a time, for ever.
    fn serve(board: &Board, members: &[MemberSeat], seed: u64) {
        let slot = board.claim(std::process::id());
        let slot = slot.unwrap();
        let mut random = Random(seed);
        let mut held = [None; 3];
        loop {
            let place = usize::try_from(random.below(3)).unwrap();
            match held[place].take() {
                Some(MemberSeat { id, record }) => {
                    inflight::close(board.cell(slot, id).unwrap(), totals(record));
                }
                None => {
                    let seat = members[usize::try_from(random.below(5)).unwrap()];
                    seat.record.hot.elected.fetch_add(1, Relaxed);
                    let cell = board.cell(slot, seat.id).unwrap();
                    if inflight::open(cell, totals(seat.record), LIMIT) {
                        held[place] = Some(seat);
                    }
                }
            }
        }
    }

    /// A plan in which every member is usable.
    fn publish(farm: &FarmSeat) {
        let listed = |seat: &MemberSeat| PlanMember::of(seat.id, seat.record, true);
        let listed: Vec<PlanMember> = farm.members.iter().map(listed).collect();
        let plan = compile(&listed, farm.plan.capacity());
        farm.plan.publish(farm.record, &plan);
    }

    /// Every member of the board is usable.
    struct Usable<'a>(&'a Board);

    impl Roster for Usable<'_> {
        fn member(&self, id: MemberId) -> Option<&MemberRecord> {
            self.0.member(id)
        }

        fn available(&self, id: MemberId) -> Option<&MemberRecord> {
            self.member(id)
        }
    }

    /// Envoy's `edf_scheduler_test`, over eight processes that elect at the same time.
    pub fn weights_1_to_128_are_exact_over_eight_processes() {
        const PROCESSES: u32 = 8;
        let weights = 1..=128_u32;
        let mut spec = farm("f", &["http://a"; 128]);
        for (member, weight) in spec.members.iter_mut().zip(weights.clone()) {
            member.url = format!("http://m{weight}");
            member.settings.weight = weight * 10;
        }
        let (board, attached) = Board::open(Storage::Memory, PROCESSES, &[spec], 1).unwrap();
        let farm = &attached.farms[0];
        publish(farm);
        let picks = weights.clone().sum::<u32>() / PROCESSES;
        let elect = || {
            board.claim(std::process::id()).unwrap();
            while board.live_slots().len() < PROCESSES as usize {
                std::thread::yield_now();
            }
            let sight = Sight {
                farm: farm.record,
                plan: &farm.plan.read(farm.record).unwrap(),
                process: 0,
                roster: &Usable(&board),
                now: 1,
                half_life: 1,
                affinity: Affinity::default(),
                score: None,
            };
            let method = by_name("roundrobin").unwrap();
            for _ in 0..picks {
                let picked = method.pick(&sight, &mut fastrand::Rng::with_seed(1));
                let record = board.member(picked.unwrap()).unwrap();
                record.hot.elected.fetch_add(1, Relaxed);
            }
        };
        let children: Vec<Pid> = (0..PROCESSES).map(|_| child(elect)).collect();
        for pid in children {
            waitpid(pid, None).unwrap();
        }
        let counted = farm.members.iter().map(|seat| elections(&[*seat]));
        assert!(counted.eq(weights.map(u64::from)));
    }

    fn elections(members: &[MemberSeat]) -> u64 {
        members
            .iter()
            .map(|seat| seat.record.hot.elected.load(Relaxed))
            .sum()
    }

    /// Eight children at a time, each killed after a random number of further elections; between
    /// rounds the parent restarts gracefully with members more, while children live.
    pub fn killed_children_leave_nothing() {
        let mut random = Random(20);
        let specs = [farm("f", &MEMBERS)];
        let (mut board, attached) = Board::open(Storage::Memory, 8, &specs, 1).unwrap();
        let mut seats = members(&attached);
        let mut repaired = 0;
        let mut drifted = 0;
        for round in 0..25 {
            let seeds: Vec<u64> = (0..8).map(|_| random.next()).collect();
            let children: Vec<Pid> = seeds
                .iter()
                .map(|seed| child(|| serve(&board, &seats, *seed)))
                .collect();
            while board.live_slots().len() < 8 {
                std::thread::yield_now();
            }
            if round % 5 == 4 {
                let more: Vec<String> = (0..=round * 4).map(|n| format!("http://m{n}")).collect();
                let more = farm("more", &more.iter().map(String::as_str).collect::<Vec<_>>());
                board = restarted(board);
                let both = [farm("f", &MEMBERS), more];
                seats = members(&board.attach(&both, 1).unwrap());
            }
            for pid in children {
                let until = elections(&seats[..5]) + random.below(20_000);
                while elections(&seats[..5]) < until {
                    std::thread::yield_now();
                }
                kill(pid, Signal::SIGKILL).unwrap();
                waitpid(pid, None).unwrap();
                repaired += board.release(number(pid)).requests;
            }
            assert_eq!(board.live_slots(), []);
            for seat in &seats {
                assert_eq!(board.inflight(seat.id), 0);
            }
            drifted += board.reconcile().requests;
            assert_eq!(board.reconcile(), Repaired::default());
            for seat in &seats {
                assert_eq!(seat.record.hot.inflight.count(), 0);
                for slot in 0..8 {
                    let cell = board.cell(slots::SlotId(slot), seat.id).unwrap();
                    assert_eq!(cell.load(Relaxed), 0);
                }
            }
        }
        println!("killed in flight: {repaired} requests repaired, {drifted} more later");
        assert!(
            repaired > 0,
            "200 children were killed, none with a request under way"
        );
    }

    /// Overwrites a part of the board behind everybody's back: pages of a shared mapping are those
    /// of the file.
    fn scribble(path: &Path, random: &mut Random, from: u64, bytes: usize) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let noise: Vec<u8> = (0..bytes).map(|_| random.next().to_le_bytes()[0]).collect();
        file.write_all_at(&noise, from).unwrap();
    }

    fn look_at_everything(board: &Board, attached: &Attached) {
        for farm in &attached.farms {
            if let Some(plan) = farm.plan.read(farm.record) {
                let room = farm.plan.capacity();
                assert!(plan.eligible.len() <= room.eligible && plan.turns.len() <= room.turns);
                assert!(plan.table.len() <= room.table);
                let indices = plan.eligible.iter().chain(plan.turns).chain(plan.table);
                for index in indices {
                    // Whatever it is: a record within the mapping, or none.
                    let known = board.member(MemberId(index.load(Relaxed)));
                    known.map(|record| record.hot.elected.load(Relaxed));
                }
            }
            for seat in &farm.members {
                let admin = &seat.record.admin;
                assert!((1..=10_000).contains(&admin.weight()));
                assert!(admin.lbset() <= 99 && admin.flags() <= 0xff);
                assert!(i32::try_from(seat.record.hot.inflight.count()).is_ok());
                board.inflight(seat.id);
            }
        }
        for live in board.live_slots() {
            assert!(board.cell(live.slot, MemberId(0)).is_some());
        }
    }

    pub fn garbage_makes_numbers_wrong_and_nothing_else() {
        let mut random = Random(21);
        let storage = storage(&directory("garbage"));
        let path = storage.path();
        let more: Vec<String> = (0..70).map(|n| format!("http://m{n}")).collect();
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let mut taken_over = 0;
        for round in 0..60 {
            let specs = [farm("f", &MEMBERS), farm("gone", &["http://a"])];
            let (board, attached) = Board::open(storage.clone(), 8, &specs, 1).unwrap();
            let trusted = round > 0 && attached.notices.is_empty();
            taken_over += i32::from(trusted);
            attached.farms[0]
                .plan
                .publish(attached.farms[0].record, &plan(&[0, 1, 2], &[0, 1, 2]));
            let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();

            let seed = random.next();
            let hostile = child(|| {
                board.claim(std::process::id()).unwrap();
                let mut random = Random(seed);
                // Everything; or all but the description; or a little.
                match round % 3 {
                    0 => scribble(path, &mut random, 0, length),
                    1 => scribble(path, &mut random, 8192 + 128, length / 4),
                    _ => {
                        let from = random.below(length as u64 / 2);
                        scribble(path, &mut random, from, 64);
                    }
                }
            });
            let status = waitpid(hostile, None).unwrap();
            assert!(
                matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)),
                "{status:?}"
            );

            look_at_everything(&board, &attached);
            board.release(number(hostile));
            board.release(u32::try_from(random.below(1 << 32)).unwrap());
            let mut board = restarted(board);
            let urls = &more[..usize::try_from(random.below(70)).unwrap()];
            let attached = board
                .attach(&[farm("f", &MEMBERS), farm("new", urls)], 1)
                .unwrap();
            look_at_everything(&board, &attached);
            for _ in 0..3 {
                board.reconcile();
            }
            board.sweep(|_| false);
            assert_eq!(board.live_slots(), []);

            // The board is usable again: exact counts, and plans that are read as published.
            let seats = members(&attached);
            let next = child(|| {
                let slot = board.claim(std::process::id()).unwrap();
                for seat in &seats {
                    let cell = board.cell(slot, seat.id).unwrap();
                    inflight::open(cell, totals(seat.record), Limit::default());
                }
            });
            waitpid(next, None).unwrap();
            board.reconcile();
            for seat in &seats {
                assert_eq!(seat.record.hot.inflight.count(), 1, "{:?}", seat.id);
            }
            assert_eq!(board.release(number(next)).requests, seats.len() as u64);
            let farm = &attached.farms[0];
            farm.plan.publish(farm.record, &plan(&[4, 2], &[4, 2, 4]));
            let plan = farm.plan.read(farm.record).unwrap();
            let turns: Vec<u32> = plan.turns.iter().map(|turn| turn.load(Relaxed)).collect();
            assert_eq!((plan.eligible.len(), turns), (2, vec![4, 2, 4]));

            // A full start takes the file over or sets it aside, whatever is in it.
            let from = random.below(length as u64 - 8);
            scribble(path, &mut random, from, 8);
            board.close();
        }
        let (_, attached) = Board::open(storage.clone(), 8, &[], 1).unwrap();
        assert!(matches!(
            attached.notices.as_slice(),
            [] | [Notice::SetAside { .. }]
        ));
        println!("garbage: {taken_over} of 59 scribbled files were still taken over");
        assert!((1..59).contains(&taken_over), "both ways are to be gone");
    }

    pub fn a_dead_writer_holds_no_lock() {
        let spec = [farm("f", &MEMBERS), farm("g", &[])];
        let (board, _) = Board::open(Storage::Memory, 8, &spec, 1).unwrap();
        let (ready, tell) = pipe().unwrap();
        let (mut ready, mut tell) = (File::from(ready), File::from(tell));
        let writer = child(|| {
            let _held = board.lock(FarmId(0), Duration::from_secs(1)).unwrap();
            tell.write_all(b"!").unwrap();
            loop {
                std::thread::park();
            }
        });
        ready.read_exact(&mut [0]).unwrap();
        let patience = Duration::from_millis(3);
        assert!(matches!(
            board.lock(FarmId(0), patience),
            Err(LockError::Busy)
        ));
        assert!(
            board.lock(FarmId(1), patience).is_ok(),
            "another farm's lock is free"
        );
        kill(writer, Signal::SIGKILL).unwrap();
        waitpid(writer, None).unwrap();
        assert!(board.lock(FarmId(0), Duration::ZERO).is_ok());

        // A child does not inherit a lock, and its end does not take its parent's away.
        let _held = board.lock(FarmId(0), Duration::ZERO).unwrap();
        let idle = child(|| {
            assert!(board.lock(FarmId(1), patience).is_ok());
        });
        waitpid(idle, None).unwrap();
        let other = child(|| assert!(board.lock(FarmId(0), patience).is_err()));
        let status = waitpid(other, None).unwrap();
        assert!(
            matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)),
            "{status:?}"
        );
    }

    /// Eight children with 20 requests each, of keys that follow Zipf's law with the exponent 1.1 (a
    /// tenth of them has one key): whenever one looks, no member has more than 1.25 times the mean.
    pub fn no_member_has_more_than_its_share() {
        const ALL: u64 = 160;
        let urls: Vec<String> = (0..20).map(|member| format!("http://m{member}")).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let hashed = FarmSpec {
            hashed: true,
            ..farm("f", &urls)
        };
        let (board, attached) = Board::open(Storage::Memory, 8, &[hashed], 1).unwrap();
        let farm = &attached.farms[0];
        publish(farm);
        let most = u64::from(Share::new(125, 100, 2_000).of(ALL));
        let children: Vec<Pid> = (0..8)
            .map(|seed| {
                child(|| {
                    let (fullest, turned) = share(&board, farm, seed, (ALL, most));
                    assert_eq!(fullest, most, "{turned}");
                })
            })
            .collect();
        for pid in children {
            assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Exited(pid, 0));
        }
        assert_eq!(farm.record.hot.inflight.count(), ALL);
    }

    /// One child's part of it: the most it has seen at a member, and how often it had to elect again.
    fn share(board: &Board, farm: &FarmSeat, seed: u64, (all, most): (u64, u64)) -> (u64, u64) {
        let slot = board.claim(std::process::id()).unwrap();
        let mut random = fastrand::Rng::with_seed(seed);
        let hash_method = by_name("hash").unwrap();
        let mut held: Vec<MemberSeat> = Vec::new();
        let (mut fullest, mut again, mut together) = (0, 0, false);
        let totals = |seat: &MemberSeat| inflight::Totals {
            member: &seat.record.hot.inflight,
            farm: Some(&farm.record.hot.inflight),
        };
        let cell = |seat: &MemberSeat| board.cell(slot, seat.id).unwrap();
        for _ in 0..20_000 {
            if held.len() == 20 {
                if !together {
                    // All children have theirs; each of them may be exchanging one.
                    let others = || farm.record.hot.inflight.count() >= all - 8;
                    assert!((0..10_000).any(|_| others() || {
                        std::thread::sleep(Duration::from_millis(1));
                        false
                    }));
                    together = true;
                }
                let ended = held.swap_remove(random.usize(..20));
                inflight::close(cell(&ended), totals(&ended));
            }
            // Pareto's law, of which Zipf's is the whole numbers.
            let key = (1.0 - random.f64() * (1.0 - 10_000_f64.powf(-0.1))).powf(-10.0);
            let key = hash([key.floor().to_string().as_bytes()]);
            loop {
                let sight = Sight {
                    farm: farm.record,
                    plan: &farm.plan.read(farm.record).unwrap(),
                    process: 0,
                    roster: &Usable(board),
                    now: 1,
                    half_life: 1,
                    affinity: Affinity {
                        key: Some(key),
                        balance: Some(125),
                    },
                    score: None,
                };
                let (id, limit) = hash_method.pick_within(&sight, &mut random).unwrap();
                let seat = farm.members.iter().find(|seat| seat.id == id).unwrap();
                if inflight::open(cell(seat), totals(seat), limit) {
                    held.push(*seat);
                    fullest = fullest.max(seat.record.hot.inflight.count());
                    assert!(fullest <= most, "{fullest} at one member");
                    break;
                }
                again += 1;
            }
        }
        (fullest, again)
    }
}
