//! Memory asked for ahead of its use.
//!
//! Among many members, what belongs to one has left the processor's caches since its last request. A request
//! goes through some 60 lines of it, and would wait for one after the other. They are asked for together,
//! and come while the request is prepared, as soon as it is known whose they are: the figures that an
//! election reads when the farm is known, those of the member whose turn is next ([`election`]); the
//! connection when the member is chosen ([`Places::fetch`]), its buckets when the attempt begins
//! ([`during`]).
//!
//! Addresses of connections are noted when these are made, and never followed: once one has gone, the
//! processor fetches what nobody needs.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use athena_engine::board::record::MemberRecord;
use athena_engine::dispatch::Lineup;
use athena_engine::method::look;
use athena_engine::plan::Plan;

use crate::farm::{Farm, Member};
use crate::{ffi, runtime};

/// So few members stay in the caches by themselves.
const FEW: usize = 32;
/// Bytes of a line.
const LINE: usize = 64;

/// Of a member's latest connection in this child: mod_proxy's pool of connections; the memory pool with
/// the address that it resolved; that of mod_proxy's part of it; that of httpd's, with its socket and
/// filters; the bucket allocator, with the first buckets. 0: it has had none.
#[derive(Default)]
pub struct Places([AtomicUsize; LINES.len()]);

/// How many lines a request goes through behind each of them.
const LINES: [usize; 5] = [8, 7, 5, 35, 15];
/// The last of them is needed last.
const BUCKETS: usize = LINES.len() - 1;

impl Places {
    /// Asks for the connection.
    #[inline]
    pub fn fetch(&self) {
        (0..BUCKETS).for_each(|place| self.fetch_one(place));
    }

    #[inline]
    fn fetch_one(&self, place: usize) {
        let (Some(address), Some(lines)) = (self.0.get(place), LINES.get(place)) else {
            return;
        };
        let address = address.load(Ordering::Relaxed);
        if address != 0 {
            prefetch(address, *lines);
        }
    }
}

/// The plan of a farm that has many to choose from.
fn of_many(farm: &Farm) -> Option<Plan<'_>> {
    let plan = farm.seat.plan.read(farm.seat.record)?;
    (plan.eligible.len() > FEW).then_some(plan)
}

/// The farm of a request is known: asks for what its election is going to read, and for the member that
/// the election after it begins with. `compares` tells whether its method does ([`athena_engine::method::Method::compares`]).
#[inline]
pub fn election(farm: &Farm, compares: impl FnOnce() -> bool) {
    let Some(plan) = of_many(farm) else {
        return;
    };
    // The thread's own word, which is as cold where threads take turns.
    MEMBER.with(prefetch_one);
    let ticket = plan.next_ticket(farm.seat.record, runtime::process());
    let turn = plan.turn(ticket);
    if let Some(record) = turn.and_then(|id| farm.record(id)) {
        figures(record);
        prefetch_one(&record.health);
        prefetch_one(&record.answers);
        prefetch_one(&record.answers.first_byte);
    }
    if compares() {
        let drawn = look::drawn(&plan, ticket).filter_map(|id| farm.record(id));
        drawn.for_each(figures);
    }
    if let Some(member) = turn.and_then(|id| farm.elected(id)) {
        worker(member);
    }
    let next = plan.turn(ticket.wrapping_add(1));
    if let Some(member) = next.and_then(|id| farm.elected(id)) {
        prefetch(ptr::from_ref(member).addr(), 2);
    }
}

/// What members are compared by.
#[inline]
fn figures(record: &MemberRecord) {
    prefetch_one(&record.hot);
    prefetch(ptr::from_ref(&record.admin).addr(), 2);
}

/// What mod_proxy goes by.
#[inline]
fn worker(member: &Member) {
    prefetch(member.worker.addr(), 2);
    let shared = member.shared();
    // SAFETY: addresses within the shared part, which lives as long as the configuration.
    let fields = unsafe {
        [
            (&raw const (*shared).status).addr(),
            (&raw const (*shared).transferred).addr(),
            (&raw const (*shared).context).addr(),
            (&raw const (*shared).name_ex).addr(),
            (&raw const (*shared).route).addr(),
            (&raw const (*shared).uds_path).addr(),
            (&raw const (*shared).upgrade).addr(),
            (&raw const (*shared).response_field_size).addr(),
            // The address and its age.
            shared.add(1).addr() - size_of::<u64>(),
        ]
    };
    for field in fields {
        prefetch(field, 1);
    }
}

thread_local! {
    /// The member that this thread makes an attempt at.
    static MEMBER: Cell<*const Member> = const { Cell::new(ptr::null()) };
}

/// Makes an attempt at a member; a connection that is made for it is noted where a farm has many.
pub fn during<T>(farm: Option<&Farm>, member: &Member, attempt: impl FnOnce() -> T) -> T {
    if farm.and_then(of_many).is_none() {
        return attempt();
    }
    member.warm.fetch_one(BUCKETS);
    MEMBER.set(ptr::from_ref(member));
    let result = attempt();
    MEMBER.set(ptr::null());
    result
}

/// Notes a connection that this thread makes for an attempt; others are passed over.
///
/// # Safety
/// `connection` is live.
pub unsafe fn note(connection: *mut ffi::conn_rec) {
    // SAFETY: members outlive attempts at them.
    let Some(member) = (unsafe { MEMBER.get().as_ref() }) else {
        return;
    };
    // SAFETY: the caller's promise; the worker has been initialised for the attempt.
    let addresses = unsafe {
        let pool = (*connection).pool;
        [
            (*member.worker).cp.addr(),
            (*(*member.worker).cp).dns_pool.addr(),
            ffi::apr_pool_parent_get(pool).addr(),
            pool.addr(),
            (*connection).bucket_alloc.addr(),
        ]
    };
    for (place, address) in member.warm.0.iter().zip(addresses) {
        place.store(address, Ordering::Relaxed);
    }
}

/// Asks for the line that something begins on.
#[inline]
fn prefetch_one<T>(of: &T) {
    prefetch(ptr::from_ref(of).addr(), 1);
}

/// Asks for so many lines. A hint: no access, at whatever address.
#[inline]
fn prefetch(address: usize, lines: usize) {
    for line in 0..lines {
        let address = address.wrapping_add(line * LINE);
        #[cfg(target_arch = "x86_64")]
        // SAFETY: never faults; each x86-64 has the instruction.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(ptr::without_provenance(address));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}
