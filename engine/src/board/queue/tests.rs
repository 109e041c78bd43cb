use super::*;

const FARM: FarmId = FarmId(3);

struct List {
    entries: Vec<Waiter>,
    waiting: AtomicU32,
    arrivals: AtomicU64,
}

impl List {
    fn new(entries: usize) -> Self {
        Self {
            entries: (0..entries).map(|_| Waiter::default()).collect(),
            waiting: AtomicU32::new(0),
            arrivals: AtomicU64::new(0),
        }
    }

    fn gate(&self) -> Gate<'_> {
        Gate {
            waiting: &self.waiting,
            arrivals: &self.arrivals,
        }
    }

    fn with<T>(&self, action: impl FnOnce(Queue<'_>) -> T) -> T {
        let entries: Vec<&Waiter> = self.entries.iter().collect();
        action(Queue::new(&entries))
    }
}

fn wish(priority: u16, leaves: u8) -> Wish {
    Wish {
        slot: SlotId(u32::from(priority)),
        farm: FARM,
        priority,
        reach: Reach {
            leaves,
            ..Reach::default()
        },
    }
}

#[test]
fn class_before_class_and_then_by_arrival() {
    let list = List::new(8);
    list.with(|queue| {
        let gate = list.gate();
        let enter = |priority| queue.enter(wish(priority, 0), gate, 8).unwrap();
        let mut line = [9, 9, 1, u16::MAX, 1].map(|priority| Some(enter(priority)));
        let first = |at: usize| line[at].as_ref().unwrap().is_first();
        assert!(Queue::has_line(gate) && first(2) && !first(0));
        for next in [2, 4, 0, 1, 3] {
            assert!(queue.call(FARM, gate, |_| true).is_some());
            let called = |one: &Option<InLine<'_>>| one.as_ref().is_some_and(InLine::answer);
            let called: Vec<bool> = line.iter().map(called).collect();
            let expected: Vec<bool> = (0..5).map(|at| at == next).collect();
            assert_eq!(called, expected);
            // It has its place, and is gone.
            line[next] = None;
        }
        assert!(queue.call(FARM, gate, |_| true).is_none());
        assert!(queue.call(FarmId(4), gate, |_| true).is_none());
    });
}

#[test]
fn one_that_may_not_have_the_place_is_passed_over() {
    let list = List::new(8);
    list.with(|queue| {
        let gate = list.gate();
        let first = queue.enter(wish(1, 30), gate, 8).unwrap();
        let second = queue.enter(wish(2, 0), gate, 8).unwrap();
        assert!(queue.call(FARM, gate, |reach| reach.leaves < 30).is_some());
        assert!(!first.answer() && second.answer());
    });
}

#[test]
fn a_call_is_passed_on_to_the_end_of_the_line_and_not_back() {
    let list = List::new(8);
    list.with(|queue| {
        let gate = list.gate();
        let line = [1, 2, 9].map(|priority| queue.enter(wish(priority, 0), gate, 8).unwrap());
        let pass = |behind| queue.pass(FARM, gate, behind, |_| true).is_some();
        let called = || line.each_ref().map(InLine::answer);
        assert!(queue.call(FARM, gate, |_| true).is_some());
        for next in 1..3 {
            assert!(pass(line[next - 1].rank()));
            let expected: [bool; 3] = std::array::from_fn(|at| at == next || at == 0 && next == 1);
            assert_eq!(called(), expected);
        }
        assert!(!pass(line[2].rank()));
        assert_eq!(called(), [false; 3]);
        assert!(pass(0));
        assert_eq!(
            called(),
            [true, false, false],
            "who leaves passes it on to the first"
        );
    });
}

#[test]
fn a_call_that_is_passed_on_overtakes_nobody() {
    let list = List::new(8);
    list.with(|queue| {
        let gate = list.gate();
        let enter = |leaves| queue.enter(wish(1, leaves), gate, 8).unwrap();
        let line = [enter(0), enter(50), enter(0)];
        let called = || line.each_ref().map(InLine::answer);
        // The second is called, and asks for what the others do not: it is in nobody's way.
        assert!(queue.call(FARM, gate, |reach| reach.leaves == 50).is_some());
        assert!(
            queue
                .pass(FARM, gate, line[0].rank(), |reach| reach.leaves == 0)
                .is_some()
        );
        assert_eq!(called(), [false, true, true]);
        // Called for a place, it is before the third also for what the first could not use.
        assert!(queue.call(FARM, gate, |reach| reach.leaves == 50).is_some());
        assert!(queue.pass(FARM, gate, line[0].rank(), |_| true).is_none());
        assert_eq!(called(), [false, true, false]);
    });
}

#[test]
fn a_newcomer_waits_for_those_before_it_that_can_use_a_place() {
    let list = List::new(8);
    list.with(|queue| {
        let gate = list.gate();
        let _line = [(1, 50), (9, 0)].map(|(p, leaves)| queue.enter(wish(p, leaves), gate, 8));
        let precedes =
            |priority, leaves| queue.precedes(FARM, priority, |reach| reach.leaves == leaves);
        assert!(precedes(1, 50) && precedes(9, 50) && precedes(9, 0));
        assert!(!precedes(0, 50), "a better class");
        assert!(
            !precedes(8, 0),
            "a better class than that of the one who could"
        );
        assert!(!precedes(u16::MAX, 7), "nobody could");
    });
}

#[test]
fn a_request_reaches_its_own_members_and_unless_bound_all_that_do_not_drain() {
    let (its, other) = (MemberId(70), MemberId(7));
    let homes = Reach::bit(its);
    for (bound, homes, expected) in [
        (false, 0, [true, false, true, false]),
        (false, homes, [true, true, true, false]),
        (true, homes, [true, true, false, false]),
    ] {
        let reach = Reach {
            leaves: 99,
            homes,
            bound,
        };
        let has = [(its, false), (its, true), (other, false), (other, true)]
            .map(|(member, drains)| reach.has(member, drains));
        assert_eq!(has, expected);
        let list = List::new(1);
        list.with(|queue| {
            let wish = Wish {
                reach,
                ..wish(1, 0)
            };
            let _first = queue.enter(wish, list.gate(), 1).unwrap();
            assert!(queue.precedes(FARM, 1, |listed| listed == reach));
        });
    }
}

#[test]
fn the_list_and_the_line_have_an_end() {
    let list = List::new(3);
    list.with(|queue| {
        let gate = list.gate();
        let enter = |most| queue.enter(wish(1, 0), gate, most);
        let one = enter(2).unwrap();
        let two = enter(2).unwrap();
        assert!(enter(2).is_none() && queue.len(FARM) == 2);
        let three = enter(9).unwrap();
        assert!(enter(9).is_none(), "no entry is left");
        drop((one, two, three));
        assert_eq!(queue.len(FARM), 0);
        assert!(Queue::has_line(gate), "nobody has looked yet");
        assert!(queue.call(FARM, gate, |_| true).is_none());
        assert!(!Queue::has_line(gate));
        assert!(enter(2).is_some());
    });
}

#[test]
fn who_waits_in_no_line_has_an_entry_and_nothing_else() {
    let list = List::new(3);
    list.with(|queue| {
        let gate = list.gate();
        let stays = [1, 2].map(|slot| queue.stay(SlotId(slot)).unwrap());
        assert_eq!((queue.len(FARM), Queue::has_line(gate)), (0, false));
        let first = queue.enter(wish(1, 0), gate, 9).unwrap();
        assert!(first.is_first());
        assert!(queue.enter(wish(1, 0), gate, 9).is_none());
        assert!(queue.stay(SlotId(3)).is_none());
        drop(stays);
        assert!(queue.enter(wish(1, 0), gate, 9).is_some());
        std::mem::forget(queue.stay(SlotId(3)));
        queue.abandon(SlotId(3));
        let stays = [1, 2].map(|slot| queue.stay(SlotId(slot)));
        assert!(stays.iter().all(Option::is_some));
    });
}

#[test]
fn a_dead_childs_entries_are_free() {
    let list = List::new(3);
    list.with(|queue| {
        let gate = list.gate();
        for priority in [1, 1, 2] {
            std::mem::forget(queue.enter(wish(priority, 0), gate, 9));
        }
        queue.abandon(SlotId(1));
        assert_eq!(queue.len(FARM), 1);
        queue.abandon_unless(|slot| slot != SlotId(2));
        assert_eq!(queue.len(FARM), 0);
        assert!(queue.enter(wish(5, 0), gate, 9).is_some());
    });
}
