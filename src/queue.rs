//! `queue=`: each member that could serve a request is full, and the request waits for a place
//! ([`athena_engine::board::queue`]). It sleeps until somebody who gives a place back calls it, and
//! looks up a few times a second: for its client, which may have gone, and, first in line, for a
//! place that nobody gave back.

use std::sync::atomic::{Ordering, fence};

use athena_engine::board::queue::{Gate, Place, Queue, Wish};
use athena_engine::{Micros, room};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::record::Record;
use crate::{client, clock, ffi, futex, runtime};

/// How long a waiting request sleeps at most.
const TICK: Micros = 200_000;

/// A farm's line, as one request meets it.
pub struct Line<'a> {
    farm: &'a Farm,
    record: &'a Record,
    most: u32,
    place: Option<Place<'static>>,
    began: Micros,
}

impl<'a> Line<'a> {
    /// `None`: nobody waits for the farm.
    pub fn of(record: &'a Record, farm: &'a Farm) -> Option<Self> {
        Some(Self {
            farm,
            record,
            most: farm.params.queue?,
            place: None,
            began: 0,
        })
    }

    /// Others are in line already: the request is not served before them.
    pub fn has_others(&self) -> bool {
        Queue::has_line(gate(self.farm))
    }

    /// Waits for a place. True: it may elect again, now. False: the line is full, the time over, or
    /// the client gone.
    ///
    /// # Safety
    /// `r` is live, and the record's.
    pub unsafe fn wait(&mut self, r: *mut ffi::request_rec) -> bool {
        let until = |began: Micros| began.saturating_add(self.farm.queue_timeout());
        let (place, until) = match &self.place {
            Some(place) => (place, until(self.began)),
            None => {
                let Some(place) = self.enter() else {
                    self.explain(r, "the line is full");
                    return false;
                };
                self.began = clock::now();
                let place = self.place.insert(place);
                // After the entry shows: whoever gives a place back from here on sees it.
                fence(Ordering::SeqCst);
                if place.is_first() {
                    return true;
                }
                (
                    &*place,
                    self.began.saturating_add(self.farm.queue_timeout()),
                )
            }
        };
        loop {
            let left = until.saturating_sub(clock::now());
            if left == 0 {
                self.explain(r, "the time is over");
                return false;
            }
            let (word, waiting) = place.word();
            futex::wait(word, waiting, left.min(TICK));
            // SAFETY: the caller's promise.
            if unsafe { client::is_gone(r) } {
                self.explain(r, "the client has gone");
                return false;
            }
            if place.answer() || place.is_first() {
                return true;
            }
        }
    }

    fn enter(&self) -> Option<Place<'static>> {
        let runtime = runtime::get()?;
        let class = self.farm.classes.get(self.record.class.get());
        let wish = Wish {
            slot: *runtime.slot.get()?,
            farm: self.farm.seat.id,
            priority: class.map_or(u16::MAX, |class| class.priority),
            leaves: class.map_or(0, |class| class.leaves),
        };
        runtime.queue().enter(wish, gate(self.farm), self.most)
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

/// Whatever became of the request, it leaves the line; a call that it has not used, and room that it
/// left, are the next one's.
impl Drop for Line<'_> {
    fn drop(&mut self) {
        let waited = self.waited();
        if self.began != 0 {
            self.farm.seat.record.queue_wait.observe(waited);
        }
        let queued = self.record.queued.get().saturating_add(waited);
        self.record.queued.set(queued);
        let Some(place) = self.place.take() else {
            return;
        };
        let called = place.answer();
        drop(place);
        let members = &self.farm.members;
        if called {
            // For whichever member had room: the request may have gone to another.
            call(self.farm, |leaves| {
                members.iter().any(|member| has_room(member, leaves))
            });
        } else if let Some(member) = self.record.member() {
            given_back(self.farm, member);
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
        call(farm, |leaves| has_room(member, leaves));
    }
}

fn call(farm: &Farm, may: impl Fn(u8) -> bool) {
    let queue = runtime::get().map(runtime::Runtime::queue);
    if let Some(word) = queue.and_then(|queue| queue.call(farm.seat.id, gate(farm), may)) {
        futex::wake(word);
    }
}

fn has_room(member: &Member, leaves: u8) -> bool {
    room::is_left(Some(leaves), member.record(), clock::now())
}

fn gate(farm: &Farm) -> Gate<'static> {
    let hot = &farm.seat.record.hot;
    Gate {
        waiting: &hot.gate,
        arrivals: &hot.arrivals,
    }
}
