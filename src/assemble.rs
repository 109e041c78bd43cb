//! From a configuration that is read to farms that can be served: seats on the board, members,
//! tables of names.

mod check;
mod draft;

use std::ffi::c_int;
use std::sync::Mutex;

use athena_engine::board::FarmSpec;
use athena_engine::config::farms::Farms;
use athena_engine::method::{self, Anew};
use athena_engine::plan::stale;

use crate::conf::ServerConf;
use crate::farm::Farm;
use crate::ffi::{self, OK};
use crate::generation::Generation;
use crate::growth::Slot;
use crate::guard::guard;
use crate::log::{self, Level};
use crate::proxy::{self, Proxy};
use crate::runtime::{self, FarmRef, FarmTable, Runtime};
use crate::seating::{check_board, open_board};
use crate::tree::Findings;
use crate::{
    added, agent, environment, forward, judge, manager, naming, refresh, review, section, stats,
    watch, worker,
};
use draft::{Draft, Tables};

/// What pre_config found in this configuration pass.
static FINDINGS: Mutex<Option<Findings>> = Mutex::new(None);

/// Keeps what the rewriting of the tree found until post_config.
pub fn keep(findings: Findings) {
    if let Ok(mut place) = FINDINGS.lock() {
        *place = Some(findings);
    }
}

/// The `check_config` hook. Before a start, under `-t`, and before a signal is sent to a running httpd: what
/// post_config would refuse is refused here, and said where people see it.
pub unsafe extern "C" fn check_config(
    pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temp: *mut ffi::apr_pool_t,
    s: *mut ffi::server_rec,
) -> c_int {
    guard!("check_config", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: as in post_config.
        unsafe {
            if !is_first_pass() {
                return OK;
            }
            let Some(proxy) = proxy::get() else { return OK };
            let engine = engine_is_on(s);
            let read = read(s, proxy, engine);
            let checked = read.and_then(|(drafts, _)| {
                if engine || !drafts.is_empty() {
                    check_board(pool)?;
                }
                Ok(())
            });
            status_of(s, checked)
        }
    })
}

/// The `post_config` hook.
pub unsafe extern "C" fn post_config(
    pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temp: *mut ffi::apr_pool_t,
    s: *mut ffi::server_rec,
) -> c_int {
    guard!("post_config", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: httpd calls with the configuration's pool and the list of servers.
        unsafe {
            if is_first_pass() {
                return OK;
            }
            let Some(proxy) = proxy::get() else { return OK };
            status_of(s, assemble(pool, s, proxy))
        }
    })
}

/// The first of the two passes at a start only checks the configuration; `-t` and `-k` make no other.
fn is_first_pass() -> bool {
    // SAFETY: a query.
    unsafe { ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE) == ffi::AP_SQ_MS_CREATE_PRE_CONFIG }
}

/// What a hook answers; an error is said.
fn status_of(main: *mut ffi::server_rec, result: Result<(), String>) -> c_int {
    match result {
        Ok(()) => OK,
        Err(error) => {
            log::server(Level::Error, main, &format!("ATH0010: {error}"));
            ffi::HTTP_INTERNAL_SERVER_ERROR
        }
    }
}

/// Reads the farms of the configuration, as they can be served.
unsafe fn read(
    main: *mut ffi::server_rec,
    proxy: &Proxy,
    engine: bool,
) -> Result<(Vec<Draft>, Tables), String> {
    // SAFETY: the caller's promise.
    let (drafts, tables) = unsafe { draft::all(main, proxy, engine)? };
    if engine {
        check::all(&drafts, &tables)?;
    }
    Ok((drafts, tables))
}

fn findings() -> Findings {
    let found = FINDINGS.lock().ok().and_then(|mut place| place.take());
    found.unwrap_or_default()
}

fn engine_is_on(main: *mut ffi::server_rec) -> bool {
    ServerConf::of(main).is_some_and(|conf| conf.engine)
}

/// # Safety
/// Called in post_config with the configuration's pool and the main server: in the parent, in its one
/// thread, before any child of this configuration exists.
unsafe fn assemble(
    pool: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
    proxy: &Proxy,
) -> Result<(), String> {
    let engine = engine_is_on(main);
    let findings = findings();
    // SAFETY: the caller's promise.
    let (drafts, tables) = unsafe { read(main, proxy, engine)? };
    if drafts.is_empty() && !engine {
        return Ok(());
    }
    if engine {
        for named in tables.iter().flat_map(|(_, names)| names) {
            // SAFETY: a balancer of the configuration, and the caller's promise.
            unsafe { manager::nonce::make(named.balancer)? };
        }
        tell(main, &findings, &drafts);
    }
    let may_wait = half_of_workers();
    let specs = drafts.iter().map(|draft| draft.spec(engine, may_wait));
    let specs: Vec<FarmSpec> = specs.collect();
    // SAFETY: the caller's promise.
    let (board, mut seats) = unsafe { open_board(pool, main, &specs)? };
    if !engine {
        // Who was added keeps its seat on the board, and serves when the engine is on again.
        seats.iter_mut().for_each(|seat| seat.seats.clear());
    }
    let spares = seats.iter().map(|seat| seat.seats.len()).sum();
    // SAFETY: the caller's promise.
    let generation = unsafe { share_workers(&drafts, spares)? };
    let slots: Vec<Slot> = generation.iter().flat_map(Generation::spares).collect();
    let mut slots = slots.into_iter();
    // SAFETY: the caller's promise.
    unsafe {
        worker::ready(pool);
        environment::ready(pool);
    }
    let mut farms = Vec::with_capacity(drafts.len());
    for (draft, seat) in drafts.into_iter().zip(seats) {
        let slots = slots.by_ref().take(seat.seats.len()).collect();
        // SAFETY: the caller's promise; the workers were shared above.
        farms.push(unsafe { draft.finish(pool, seat, slots, !engine) });
    }
    farms.iter().for_each(begin);
    let runtime = Runtime {
        board,
        farms,
        parent: std::process::id(),
        may_wait,
        slot: std::sync::OnceLock::new(),
        _generation: generation,
    };
    // SAFETY: the caller's promise.
    unsafe { runtime::install(pool, runtime) };
    if engine {
        // SAFETY: as above.
        unsafe { fill_tables(pool, tables, &findings, proxy)? };
    }
    if watch::is_needed() {
        // SAFETY: as above.
        unsafe { watch::register(pool, main) };
    }
    Ok(())
}

/// Says what is odd, and no reason not to start.
fn tell(main: *mut ffi::server_rec, findings: &Findings, drafts: &[Draft]) {
    for empty in &findings.empty {
        log::server(Level::Warning, main, &format!("ATH0020: {empty}"));
    }
    for draft in drafts {
        let conf = ServerConf::of(draft.server_rec);
        let lines = conf.and_then(|conf| conf.passed_over.get(&draft.name));
        for line in lines.into_iter().flatten() {
            log::server(Level::Warning, main, &format!("ATH0430: {line}"));
        }
    }
    for stranger in &findings.strangers {
        log::server(Level::Warning, main, &format!("ATH0021: {stranger}"));
    }
    for open_ended in &findings.open_ended {
        log::server(Level::Warning, main, &format!("ATH0441: {open_ended}"));
    }
}

/// Before there are children: the board says what a farm's members begin with, mod_proxy what the board
/// says, and the first plan is made.
fn begin(farm: &Farm) {
    stats::begin(farm);
    crate::method::begin(farm);
    added::make_all(farm);
    for member in &farm.members {
        agent::begin(farm, member);
        member.push();
        judge::begin_in_error(farm, member);
        method::start_anew(member.record(), Anew::Method);
    }
    refresh::publish(farm);
    // A child of the generation before may have been publishing its own at this moment.
    stale::mark(&farm.seat.record.cold);
}

/// Half of `MaxRequestWorkers`: a request that waits keeps a worker, and others must go on.
fn half_of_workers() -> usize {
    let query = |code| {
        let mut value = 0;
        // SAFETY: a query into an integer.
        unsafe { ffi::ap_mpm_query(code, &raw mut value) };
        usize::try_from(value).unwrap_or(0).max(1)
    };
    query(ffi::AP_MPMQ_MAX_DAEMONS).saturating_mul(query(ffi::AP_MPMQ_MAX_THREADS)) / 2
}

/// Without mod_proxy_balancer, the workers' shared parts are private to each child until they are
/// moved into shared memory.
unsafe fn share_workers(drafts: &[Draft], spares: usize) -> Result<Option<Generation>, String> {
    // SAFETY: the caller's promise.
    unsafe {
        let private: Vec<_> = drafts
            .iter()
            .filter(|draft| (*draft.balancer).wslot.is_null())
            .flat_map(|draft| draft.members.iter().map(|member| member.worker))
            .collect();
        Generation::share(&private, spares)
    }
}

unsafe fn fill_tables(
    pool: *mut ffi::apr_pool_t,
    tables: Tables,
    findings: &Findings,
    proxy: &Proxy,
) -> Result<(), String> {
    let Some(runtime) = runtime::get() else {
        return Ok(());
    };
    runtime.farms.iter().for_each(review::begin);
    for (s, names) in tables {
        // SAFETY: the caller's promise.
        let Some(conf) = (unsafe { ServerConf::own(pool, s) }) else {
            continue;
        };
        let farms = names.into_iter().filter_map(|named| {
            let farm = runtime.farms.get(named.draft)?;
            let balancer = named.balancer;
            Some((named.name, named.declared, FarmRef { farm, balancer }))
        });
        // SAFETY: as above.
        let sections = unsafe { section::of(s, proxy) };
        let mut by_name = Farms::new(farms);
        // SAFETY: as above.
        let socket_hosts = unsafe { socket_hosts(s, proxy) };
        for host in &socket_hosts {
            by_name.leave_to_others(host);
        }
        conf.table = FarmTable {
            by_name,
            some_sockets_match: socket_hosts.iter().any(|host| host.contains('$')),
            sections,
            marked: findings.marked,
        };
        forward::begin(&conf.table)?;
    }
    Ok(())
}

/// The hosts of the unix sockets that a server's own lines name, in lower case. mod_proxy takes the socket off such a
/// target: requests ask for `http://HOST/`, and it finds the socket by that.
unsafe fn socket_hosts(s: *mut ffi::server_rec, proxy: &Proxy) -> Vec<String> {
    // SAFETY: the caller's promise; mod_proxy's own array of workers with their shared parts.
    unsafe {
        proxy::elements::<ffi::proxy_worker>((*proxy.conf(s)).workers)
            .filter_map(|worker| (*worker).s.as_ref())
            .filter(|shared| !naming::read(&shared.uds_path).is_empty())
            .map(|shared| naming::read_text(&shared.hostname_ex).to_ascii_lowercase())
            .collect()
    }
}
