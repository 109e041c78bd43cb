//! `queue=`: each member that could serve a request is full, and the request waits for a place
//! ([`athena_engine::board::queue`]). It sleeps until it is called, by somebody who gives a place back,
//! or for a place that those before it could not use. It looks up a few times a second: for its client,
//! which may have gone, and, first in line, for a place that nobody gave back.

use std::sync::atomic::{AtomicU32, Ordering, fence};

use athena_engine::board::queue::{Gate, InLine, Queue, Reach, Wish};
use athena_engine::board::record::flags;
use athena_engine::{Micros, room};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::record::Record;
use crate::{client, clock, cookie, drain, ffi, futex, runtime, sticky};

/// How long a waiting request sleeps at most.
const TICK: Micros = 200_000;

/// A farm's line, as one request meets it.
pub struct Line<'a> {
    farm: &'a Farm,
    record: &'a Record,
    most: u32,
    in_line: Option<InLine<'static>>,
    began: Micros,
}

impl<'a> Line<'a> {
    /// `None`: nobody waits for the farm.
    pub fn of(record: &'a Record, farm: &'a Farm) -> Option<Self> {
        Some(Self {
            farm,
            record,
            most: farm.params.queue?,
            in_line: None,
            began: 0,
        })
    }

    /// The request is served before it has lined up: nobody waits, or none of those before it can use
    /// what it can.
    pub fn is_its_turn(&self) -> bool {
        !Queue::has_line(gate(self.farm)) || self.may_pass()
    }

    #[cold]
    fn may_pass(&self) -> bool {
        let Some(runtime) = runtime::get() else {
            return false;
        };
        let (farm, places) = (self.farm.seat.id, Places::left(self.farm));
        places.has_one_for(self.reach())
            && !runtime
                .queue()
                .precedes(farm, self.priority(), |reach| places.has_one_for(reach))
    }

    /// Waits for a place. True: it may elect again, now. False: the line is full, the time over, or
    /// the client gone.
    ///
    /// # Safety
    /// `r` is live, and the record's.
    pub unsafe fn wait(&mut self, r: *mut ffi::request_rec) -> bool {
        let (in_line, behind) = match &self.in_line {
            // Called, or first, it has found nothing for itself.
            Some(in_line) => (in_line, in_line.rank()),
            None => {
                let Some(in_line) = self.enter() else {
                    self.explain(r, "the line is full");
                    return false;
                };
                self.began = clock::now();
                let in_line = self.in_line.insert(in_line);
                // After the entry shows: whoever gives a place back from here on sees it.
                fence(Ordering::SeqCst);
                if in_line.is_first() {
                    return true;
                }
                (&*in_line, 0)
            }
        };
        pass(self.farm, behind);
        let until = self.began.saturating_add(self.farm.queue_timeout());
        loop {
            let left = until.saturating_sub(clock::now());
            if left == 0 {
                self.explain(r, "the time is over");
                return false;
            }
            let (word, waiting) = in_line.word();
            futex::wait(word, waiting, left.min(TICK));
            // SAFETY: the caller's promise.
            if unsafe { client::is_gone(r) } {
                self.explain(r, "the client has gone");
                return false;
            }
            if in_line.answer() || in_line.is_first() {
                return true;
            }
        }
    }

    fn enter(&self) -> Option<InLine<'static>> {
        let runtime = runtime::get()?;
        let wish = Wish {
            slot: *runtime.slot.get()?,
            farm: self.farm.seat.id,
            priority: self.priority(),
            reach: self.reach(),
        };
        runtime.queue().enter(wish, gate(self.farm), self.most)
    }

    fn priority(&self) -> u16 {
        let class = self.farm.classes.get(self.record.class.get());
        class.map_or(u16::MAX, |class| class.priority)
    }

    /// The places that the request can use: who keeps its session serves it though it is draining.
    fn reach(&self) -> Reach {
        let (record, farm) = (self.record, self.farm);
        let bit = |member: &Member| Reach::bit(member.seat.id);
        let mut homes = cookie::named(record, farm).map_or(0, bit);
        let session = record.session.get();
        let bound = session.is_some_and(|session| {
            sticky::homes(&session, record, farm, |member| homes |= bit(member))
        });
        Reach {
            leaves: farm.leaves(record.class.get()).unwrap_or(0),
            homes,
            bound,
        }
    }

    fn explain(&self, r: *mut ffi::request_rec, end: &str) {
        if log::debug_wanted(r) {
            let class = self.farm.classes.get(self.record.class.get());
            let text = format!(
                "ATH0341: farm {}: a request of class {} waited {} ms for a place: {end}",
                self.farm.name,
                class.map_or("", |class| &class.name),
                self.waited() / 1000,
            );
            log::request(Level::Debug, r, &text);
        }
    }

    fn waited(&self) -> Micros {
        match self.began {
            0 => 0,
            began => clock::now().saturating_sub(began),
        }
    }
}

/// Whatever became of the request, it leaves the line; a call that it has not used, and places that it
/// left, are the next one's.
impl Drop for Line<'_> {
    fn drop(&mut self) {
        let waited = self.waited();
        if self.began != 0 {
            self.farm.seat.record.queue_wait.observe(waited);
        }
        let queued = self.record.queued.get().saturating_add(waited);
        self.record.queued.set(queued);
        let in_line = self.in_line.take();
        if in_line.is_some() {
            drop(in_line);
            // After it has left: whoever has called it in vain gave his place back before.
            fence(Ordering::SeqCst);
            pass(self.farm, 0);
        }
    }
}

/// How many requests wait for a place of the farm now.
pub fn length(farm: &Farm) -> usize {
    if farm.params.queue.is_none() {
        return 0;
    }
    runtime::get().map_or(0, |runtime| runtime.queue().len(farm.seat.id))
}

/// A member of the farm may have room for one of those that wait.
pub fn given_back(farm: &Farm, member: &Member) {
    if farm.params.queue.is_none() {
        return;
    }
    // After the place was given back: whoever has found the member full shows in the line.
    fence(Ordering::SeqCst);
    if Queue::has_line(gate(farm)) {
        let may = |reach| has_place(member, reach, clock::now());
        let queue = runtime::get().map(runtime::Runtime::queue);
        wake(queue.and_then(|queue| queue.call(farm.seat.id, gate(farm), may)));
    }
}

/// Whatever places are left may be for those behind this rank.
fn pass(farm: &Farm, behind: u64) {
    let places = Places::left(farm);
    let may = |reach| places.has_one_for(reach);
    let queue = runtime::get().map(runtime::Runtime::queue);
    wake(queue.and_then(|queue| queue.pass(farm.seat.id, gate(farm), behind, may)));
}

fn wake(called: Option<&AtomicU32>) {
    if let Some(word) = called {
        futex::wake(word);
    }
}

/// The members of a farm that have a place left and can be given requests.
struct Places<'a> {
    members: Vec<&'a Member>,
    now: Micros,
}

impl<'a> Places<'a> {
    fn left(farm: &'a Farm) -> Self {
        let now = clock::now();
        let serves = |member: &&Member| {
            let record = member.record();
            // In error, but due: there may be a probe for the request.
            let works = record.health.retry_at.load(Ordering::Relaxed) <= now
                || record.admin.flags.load(Ordering::Relaxed) & flags::IGNORE_ERRORS != 0;
            let state = record.admin.state();
            works
                && state & flags::NOT_FOR_SESSIONS == 0
                && !(state & flags::DRAIN != 0 && drain::is_over(farm, member))
                && member.serves(farm.observed)
                && room::is_left(Some(0), record, now)
        };
        Self {
            members: farm.members.iter().filter(serves).collect(),
            now,
        }
    }

    fn has_one_for(&self, reach: Reach) -> bool {
        let mut members = self.members.iter();
        members.any(|member| has_place(member, reach, self.now))
    }
}

fn has_place(member: &Member, reach: Reach, now: Micros) -> bool {
    let drains = member.record().admin.state() & flags::DRAIN != 0;
    reach.has(member.seat.id, drains) && room::is_left(Some(reach.leaves), member.record(), now)
}

fn gate(farm: &Farm) -> Gate<'static> {
    let hot = &farm.seat.record.hot;
    Gate {
        waiting: &hot.gate,
        arrivals: &hot.arrivals,
    }
}
