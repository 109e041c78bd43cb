//! Members that are added in balancer-manager (`growth=`), while requests run.
//!
//! mod_proxy_balancer keeps a slot of shared memory for each: whoever adds one fills it, and the
//! children find it there. Each free slot has a seat on the board from the start, known to all
//! children by the slot's address; the first child that sees a member in it writes its name there.
//! A request that finds mod_proxy's list changed seats the newcomers before it chooses.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::time::Duration;

use athena_engine::board::{FarmLock, FarmSeat, LockError, MemberSeat, Settings};
use athena_engine::stats::expect;

use crate::farm::{Farm, Member, member};
use crate::foreign::ThreadLock;
use crate::log::{self, Level};
use crate::naming;
use crate::times::Times;
use crate::{added, agent, change, clock, ffi, proxy, refresh, runtime};

/// A member that is not ready yet, or whose farm another child has locked, is looked for again after this, in microseconds.
const AGAIN_US: u64 = 50_000;

/// A balancer as one server has it: virtual hosts' copies share the list of workers, but each has
/// slots of its own for those that are added.
#[derive(Clone, Copy)]
pub struct Copied {
    pub server: *mut ffi::server_rec,
    pub balancer: *mut ffi::proxy_balancer,
}

/// A free slot of mod_proxy_balancer's.
pub type Slot = *mut ffi::proxy_worker_shared;

/// What a farm needs to grow. Without `growth=`, nothing.
pub struct Growth {
    copies: Vec<Copied>,
    spares: Vec<(Slot, MemberSeat)>,
    /// Length of mod_proxy's list when all of it was seated.
    seated: AtomicI32,
    /// When to look again for a member that was not ready.
    due: AtomicU64,
}

/// The free slots behind some copies of a balancer.
///
/// # Safety
/// Called in post_config, after mod_proxy_balancer's.
pub unsafe fn free_slots(copies: &[Copied]) -> Vec<Slot> {
    let mut free = Vec::new();
    for copy in copies {
        // SAFETY: the caller's promise; slots lie in shared memory of this generation.
        unsafe {
            let balancer = &*copy.balancer;
            let Some(dptr) = balancer.storage.as_ref().and_then(|storage| storage.dptr) else {
                continue;
            };
            for index in 0..balancer.max_workers.max(0).unsigned_abs() {
                let mut slot: *mut c_void = std::ptr::null_mut();
                if dptr(balancer.wslot, index, &raw mut slot) != ffi::APR_SUCCESS {
                    break;
                }
                let slot: Slot = slot.cast();
                if (*slot).hash.def == 0 || (*slot).hash.fnv == 0 {
                    free.push(slot);
                }
            }
        }
    }
    free
}

impl Growth {
    /// A seat for each slot.
    pub fn new(copies: Vec<Copied>, slots: Vec<Slot>, seat: &FarmSeat) -> Self {
        Self {
            copies,
            spares: slots.into_iter().zip(seat.spares.iter().copied()).collect(),
            seated: AtomicI32::new(i32::try_from(seat.members.len()).unwrap_or(i32::MAX)),
            due: AtomicU64::new(0),
        }
    }

    /// The balancer as each server has it.
    pub fn copies(&self) -> &[Copied] {
        &self.copies
    }

    /// Somebody changed one of the balancers, here or in another child.
    fn has_news(&self) -> bool {
        self.copies.iter().any(|copy| {
            // SAFETY: balancers and their shared parts live as long as the configuration.
            unsafe {
                copy.balancer.as_ref().is_some_and(|balancer| {
                    balancer
                        .s
                        .as_ref()
                        .is_some_and(|shared| shared.wupdated > balancer.wupdated)
                })
            }
        })
    }

    /// The list has members that were not seated, and it is time to look.
    fn has_newcomers(&self, farm: &Farm) -> bool {
        length(farm) != self.seated.load(Ordering::Relaxed)
            && clock::now() >= self.due.load(Ordering::Relaxed)
    }
}

/// Seats what was added since the last look, by whichever child. Costs two loads and
/// branches where no member can be added, a few with `growth=`.
pub fn follow(farm: &Farm) {
    added::follow(farm, Duration::ZERO);
    follow_mod_proxy(farm);
}

/// As [`follow`], for people, who can wait for what others are at.
pub fn look(farm: &Farm) {
    added::follow(farm, change::PATIENCE);
    follow_mod_proxy(farm);
}

fn follow_mod_proxy(farm: &Farm) {
    let growth = &farm.growth;
    if growth.spares.is_empty() {
        return;
    }
    if growth.has_news()
        && let Some(proxy) = proxy::get()
    {
        for copy in &growth.copies {
            let lock = ThreadLock::of(copy.balancer, farm);
            if lock.is_some() {
                // SAFETY: live structures, under the balancer's thread lock.
                unsafe {
                    (proxy.sync_balancer)(copy.balancer, copy.server, proxy.conf(copy.server));
                }
            }
        }
    }
    seat_newcomers(farm);
}

/// Whether another process seated somebody whom this one does not know yet.
pub fn lacks_any(farm: &Farm) -> bool {
    let is_taken = |seat: &MemberSeat| seat.record.admin.lifecycle.load(Ordering::Acquire) == 1;
    let mut spares = farm.seat.spares.iter().zip(farm.seat.members.len()..);
    spares.any(|(seat, place)| is_taken(seat) && farm.members.get(place).is_none())
}

/// As [`follow`], where mod_proxy_balancer has brought its list up to date itself.
pub fn seat_newcomers(farm: &Farm) {
    if farm.growth.spares.is_empty() || !farm.growth.has_newcomers(farm) {
        return;
    }
    // Should one of them have to wait.
    let again = clock::now() + AGAIN_US;
    let seated = match seat_all(farm) {
        Ok(seated) => seated,
        Err(reason) => {
            let text = format!(
                "ATH0221: farm {}: a member that was added has no seat yet: {reason}",
                farm.name
            );
            log::server(Level::Warning, farm.server_rec, &text);
            0
        }
    };
    if seated > 0 {
        refresh::request(farm);
    } else {
        farm.growth.due.store(again, Ordering::Relaxed);
    }
}

/// Gives every newcomer its seat; how many there were.
#[cold]
fn seat_all(farm: &Farm) -> Result<usize, String> {
    let growth = &farm.growth;
    // Before the list is read: what comes to it meanwhile is found the next time.
    let listed = length(farm);
    let Some(board) = runtime::board() else {
        return Ok(0);
    };
    // No request waits for it: this one is served by the members there are. Children of an older
    // generation end soon, and the seats may be others' by then.
    let held = match board.lock_to_change(farm.seat.id, Duration::ZERO) {
        Ok(held) => held,
        Err(LockError::Busy | LockError::Over) => return Ok(0),
        Err(error) => return Err(error.to_string()),
    };
    let mut seated = 0;
    for worker in listed_workers(farm) {
        // SAFETY: workers of the list are mod_proxy's and never freed. The pointer to the shared
        // part may not be set yet: it is only compared until it is known.
        let slot = unsafe { (*worker).s };
        let mut spares = growth.spares.iter().zip(farm.seat.members.len()..);
        let Some(((_, seat), place)) = spares.find(|((spare, _), _)| *spare == slot) else {
            continue;
        };
        // SAFETY: a slot of this generation; `updated` is what balancer-manager sets last but one.
        let ready = unsafe { (*slot).updated } != 0;
        if ready && farm.members.get(place).is_none() {
            seated += usize::from(take(farm, &held, worker, *seat, place)?);
        }
    }
    if i32::try_from(farm.members.listed()).is_ok_and(|members| members == listed) {
        growth.seated.store(listed, Ordering::Relaxed);
    }
    Ok(seated)
}

/// Seats one member, on the board if no other child has, and in this process.
fn take(
    farm: &Farm,
    held: &FarmLock<'_>,
    worker: *mut ffi::proxy_worker,
    seat: MemberSeat,
    place: usize,
) -> Result<bool, String> {
    let Some(runtime) = runtime::get() else {
        return Ok(false);
    };
    let name = naming::newcomers_name(worker, farm);
    let params = &farm.params.members;
    // SAFETY: the worker's shared part is a slot of this generation.
    let spec = unsafe {
        let extras = member::extras(worker, params);
        let (usual, set) = (Settings::default(), Member::settings_of((*worker).s));
        member::spec(worker, name.clone(), extras, params, usual, Some(set))
    };
    let position = u32::try_from(place).unwrap_or(u32::MAX);
    let first = runtime
        .board
        .occupy(held, &farm.key(), seat, position, &spec)
        .map_err(|error| error.to_string())?;
    if first {
        // SAFETY: as above; the farm's lock keeps others from doing the same.
        unsafe {
            let shared = (*worker).s;
            Times::of(shared)
                .within(farm.params.try_timeout)
                .give(shared);
        }
        log::server(
            Level::Notice,
            farm.server_rec,
            &format!("ATH0220: farm {}: member {name} was added", farm.name),
        );
    }
    let member = Member::new(worker, seat, name, params.clone(), spec.extras);
    if first {
        expect::begin(member.record(), farm.expected(&member), clock::now());
        agent::begin(farm, &member);
    }
    runtime.give_cell(&member);
    Ok(farm.members.join(place, member))
}

/// How many workers mod_proxy's list has.
fn length(farm: &Farm) -> i32 {
    // SAFETY: the list lives as long as the configuration; other threads may append to it.
    unsafe {
        let list = (*farm.balancer).workers;
        AtomicI32::from_ptr(&raw mut (*list).nelts).load(Ordering::Acquire)
    }
}

/// mod_proxy's list while others may append to it: the length first, so that the elements, which
/// move when the list grows, are at least as many.
fn listed_workers(farm: &Farm) -> impl Iterator<Item = *mut ffi::proxy_worker> {
    let listed = length(farm);
    // SAFETY: as `length`; what the list had for its elements before stays in its pool.
    let first = unsafe {
        let list = (*farm.balancer).workers;
        AtomicPtr::from_ptr(&raw mut (*list).elts).load(Ordering::Acquire)
    };
    let first: *mut *mut ffi::proxy_worker = first.cast();
    (0..listed.max(0).unsigned_abs() as usize)
        // SAFETY: within the list; an element that is being appended is NULL.
        .map(move |index| unsafe { *first.add(index) })
        .filter(|worker| !worker.is_null())
}
