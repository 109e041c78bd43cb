//! What is in force in this process: the board, the farms of the running configuration, and this
//! child's slot.

use std::ffi::c_int;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use athena_engine::board::queue::{Queue, Stay};
use athena_engine::board::{Board, Deadline, SlotId};
use athena_engine::config::farms::Farms;

use crate::conf::{self, ServerConf};
use crate::farm::{Farm, Member};
use crate::generation::Generation;
use crate::guard::guard;
use crate::log::{self, Level};
use crate::section::Section;
use crate::{added, change, edits, ffi, foreign, heartbeat, random};

/// Everything of one configuration pass. Dropped with the configuration, in the parent.
pub struct Runtime {
    pub board: Board,
    /// Never moved or changed once built: requests hold pointers into it.
    pub farms: Vec<Farm>,
    /// The process that assembled this.
    pub parent: u32,
    /// Most requests that may wait at a time, of all children and farms.
    pub may_wait: usize,
    /// This child's slot on the board, if it got one.
    pub slot: OnceLock<SlotId>,
    /// Keeps mod_proxy's shared parts mapped.
    pub _generation: Option<Generation>,
}

impl Runtime {
    /// Requests that wait: for a place, or for a member at all.
    pub fn queue(&self) -> Queue<'_> {
        self.board.queue(self.may_wait)
    }

    /// Room for one that waits for a member. `None`: as many as may wait already, or this child has
    /// no slot.
    pub fn stay(&self) -> Option<Stay<'_>> {
        self.queue().stay(*self.slot.get()?)
    }

    /// Gives a member its in-flight cell of this child.
    pub fn give_cell(&self, member: &Member) {
        let cell = self
            .slot
            .get()
            .and_then(|slot| self.board.cell(*slot, member.seat.id));
        if let Some(cell) = cell {
            member
                .cell
                .store(ptr::from_ref(cell).cast_mut(), Ordering::Release);
        }
    }
}

/// A farm as one server reaches it.
#[derive(Clone, Copy)]
pub struct FarmRef {
    pub farm: *const Farm,
    /// That server's copy of the balancer.
    pub balancer: *mut ffi::proxy_balancer,
}

/// The farms a server can reach.
#[derive(Default)]
pub struct FarmTable {
    pub by_name: Farms<FarmRef>,
    /// The host of some unix socket is filled in by requests: it may be any farm's name.
    pub some_sockets_match: bool,
    /// Its `<Proxy>` and `<ProxyMatch>` sections that hold anything for requests.
    pub sections: Vec<Section>,
    /// Some `ProxyPassReverse` line names one as `balancer://`, in whatever server.
    pub marked: bool,
}

static CURRENT: AtomicPtr<Runtime> = AtomicPtr::new(ptr::null_mut());

/// What is in force; `None` while the configuration is read, or without farms of ours.
pub fn get() -> Option<&'static Runtime> {
    // SAFETY: null, or what `install` was given; it is dropped only after `forget`, when no
    // request of this process is left.
    unsafe { CURRENT.load(Ordering::Acquire).as_ref() }
}

/// The farms in force.
pub fn farms() -> &'static [Farm] {
    get().map_or(&[], |runtime| &runtime.farms)
}

/// The board in force.
pub fn board() -> Option<&'static Board> {
    get().map(|runtime| &runtime.board)
}

/// Which of the children this is, by its slot; one without is as the first.
pub fn process() -> usize {
    let slot = get().and_then(|runtime| runtime.slot.get());
    slot.map_or(0, |slot| slot.0 as usize)
}

/// Puts a configuration's runtime in force, and drops it with the configuration's pool.
///
/// # Safety
/// `pool` is the configuration's; called in the parent.
pub unsafe fn install(pool: *mut ffi::apr_pool_t, runtime: Runtime) {
    // SAFETY: the caller's promise. Nobody finds the runtime after it began to go: this runs before
    // the pool's cleanups, and before mod_proxy's shared memory goes with its subpools.
    unsafe {
        let runtime = conf::in_pool(pool, runtime);
        CURRENT.store(runtime.cast(), Ordering::Release);
        ffi::apr_pool_pre_cleanup_register(pool, ptr::null(), Some(leave));
    }
}

unsafe extern "C" fn leave(_data: *mut std::ffi::c_void) -> ffi::apr_status_t {
    guard!("configuration cleanup", ffi::APR_SUCCESS, {
        if let Some(runtime) = get()
            && runtime.parent == std::process::id()
        {
            // What others changed since the last look. Children go on changing farms.
            let end = Deadline::after(change::PATIENCE);
            for farm in &runtime.farms {
                edits::pull(farm, end.left());
            }
        }
        forget();
        ffi::APR_SUCCESS
    })
}

/// Nothing is in force: a new configuration pass begins, perhaps with this library still loaded.
pub fn forget() {
    CURRENT.store(ptr::null_mut(), Ordering::Release);
}

/// The farms of a server while the engine is on.
pub fn farms_of(s: *const ffi::server_rec) -> Option<&'static FarmTable> {
    get()?;
    let table = &ServerConf::of(s)?.table;
    (!table.by_name.is_empty()).then_some(table)
}

/// The tables of all servers.
pub fn tables() -> impl Iterator<Item = &'static FarmTable> {
    // SAFETY: the first of httpd's list, NULL before there is one.
    unsafe { conf::servers(ffi::ap_server_conf) }.filter_map(|server| farms_of(server))
}

/// The farm over a balancer, for providers: vhosts' copies share the members' array.
pub fn farm_of_balancer(balancer: *mut ffi::proxy_balancer) -> Option<&'static Farm> {
    // SAFETY: mod_proxy_balancer calls with a live balancer.
    let workers = unsafe { balancer.as_ref()? }.workers;
    get()?.farms.iter().find(|farm| {
        // SAFETY: balancers live as long as the configuration.
        unsafe { farm.balancer.as_ref() }.is_some_and(|own| own.workers == workers)
    })
}

/// Engine off: the farm and member behind a worker that mod_proxy_balancer chose by our method.
pub fn observed(worker: *mut ffi::proxy_worker) -> Option<(&'static Farm, &'static Member)> {
    let farms = &get()?.farms;
    // `AthEngine` is one for all of them.
    if !farms.first()?.observed {
        return None;
    }
    farms
        .iter()
        .find_map(|farm| Some((farm, farm.member_of(worker)?)))
}

/// The `child_init` hook: claims a slot on the board.
pub unsafe extern "C" fn child_init(pool: *mut ffi::apr_pool_t, s: *mut ffi::server_rec) {
    guard!("child_init", (), {
        random::renew();
        let Some(runtime) = get() else { return };
        // SAFETY: httpd calls with the child's pool, before it serves requests.
        unsafe {
            foreign::ready(pool, &runtime.farms);
            heartbeat::ready(pool);
        }
        runtime.farms.iter().for_each(added::ready);
        let Some(slot) = runtime.board.claim(std::process::id()) else {
            log::server(
                Level::Warning,
                s,
                "ATH0121: all child slots of the board are taken: requests of this child count \
                 towards no limit",
            );
            return;
        };
        // The first and only one of this process.
        let _ = runtime.slot.set(slot);
        for member in runtime.farms.iter().flat_map(|farm| &farm.members) {
            runtime.give_cell(member);
        }
    });
}

/// The `child_status` hook, in the parent: what a dead child had under way is over.
pub unsafe extern "C" fn child_status(
    s: *mut ffi::server_rec,
    pid: libc::pid_t,
    _generation: ffi::ap_generation_t,
    _slot: c_int,
    state: ffi::mpm_child_status,
) {
    guard!("child_status", (), {
        // One that has lost its slot of the scoreboard to a new child serves its last requests still:
        // the end of it is told, too.
        if state != ffi::MPM_CHILD_EXITED {
            return;
        }
        let (Some(runtime), Ok(pid)) = (get(), u32::try_from(pid)) else {
            return;
        };
        let repaired = runtime.board.release(pid);
        if repaired.requests > 0 {
            log::server(
                Level::Notice,
                s,
                &format!(
                    "ATH0122: child {pid} ended with {} requests to members under way; they are \
                     no longer counted",
                    repaired.requests
                ),
            );
        }
    });
}
