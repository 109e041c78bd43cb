use super::*;
use crate::sync::fence;
use loom::sync::Arc;
use loom::thread::spawn;

const FARM: FarmId = FarmId(3);

#[derive(Default)]
struct Shared {
    entries: [Waiter; 2],
    waiting: AtomicU32,
    arrivals: AtomicU64,
    /// Places that are left.
    left: AtomicU32,
}

impl Shared {
    fn with<T>(&self, action: impl FnOnce(Queue<'_>, Gate<'_>) -> T) -> T {
        let entries = self.entries.each_ref();
        let gate = Gate {
            waiting: &self.waiting,
            arrivals: &self.arrivals,
        };
        action(Queue::new(&entries), gate)
    }

    /// A place is given back.
    fn give_back(&self) {
        self.left.store(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.with(|queue, gate| {
            if Queue::has_line(gate) {
                queue.call(FARM, gate, |_| true);
            }
        });
    }

    /// Somebody has lined up, or left.
    fn pass(&self) {
        fence(Ordering::SeqCst);
        let left = self.left.load(Ordering::Relaxed) != 0;
        self.with(|queue, gate| queue.pass(FARM, gate, 0, |_| left).is_some());
    }
}

fn wish(priority: u16) -> Wish {
    Wish {
        slot: SlotId(0),
        farm: FARM,
        priority,
        reach: Reach::default(),
    }
}

#[test]
fn a_place_given_back_while_one_lines_up_is_not_lost() {
    loom::model(|| {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let giver = spawn(move || theirs.give_back());
        shared.with(|queue, gate| {
            let waiting = queue.enter(wish(1), gate, 9).unwrap();
            shared.pass();
            giver.join().unwrap();
            assert!(waiting.answer());
        });
    });
}

#[test]
fn a_call_for_one_that_leaves_is_the_next_ones() {
    loom::model(|| {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        shared.with(|queue, gate| {
            let leaver = queue.enter(wish(1), gate, 9).unwrap();
            let stayer = queue.enter(wish(2), gate, 9).unwrap();
            let giver = spawn(move || theirs.give_back());
            drop(leaver);
            shared.pass();
            giver.join().unwrap();
            assert!(stayer.answer());
        });
    });
}
