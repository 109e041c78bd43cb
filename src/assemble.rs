//! From a configuration that is read to farms that can be served: seats on the board, members,
//! tables of names. Once as a rehearsal, when a wrong one does no harm yet.

mod draft;

use std::ffi::c_int;
use std::sync::Mutex;

use athena_engine::board::{Board, FarmSpec, Storage};
use athena_engine::config::farms::Farms;
use athena_engine::method;
use athena_engine::plan::stale;

use crate::conf::{self, ServerConf};
use crate::farm::Farm;
use crate::ffi::{self, OK};
use crate::generation::Generation;
use crate::growth::Slot;
use crate::guard::guard;
use crate::log::{self, Level};
use crate::proxy::{self, Proxy};
use crate::runtime::{self, FarmRef, FarmTable, Rules, Runtime};
use crate::seating::open_board;
use crate::tree::Findings;
use crate::{
    account, added, agent, clock, environment, forward, manager, refresh, stats, sticky, watch,
    worker,
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
            told(s, rehearse(pool, s, proxy))
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
            told(s, assemble(pool, s, proxy))
        }
    })
}

/// The first of the two passes at a start only checks the configuration; `-t` and `-k` make no other.
fn is_first_pass() -> bool {
    // SAFETY: a query.
    unsafe { ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE) == ffi::AP_SQ_MS_CREATE_PRE_CONFIG }
}

fn told(main: *mut ffi::server_rec, result: Result<(), String>) -> c_int {
    match result {
        Ok(()) => OK,
        Err(error) => {
            log::server(Level::Error, main, &format!("ATH0010: {error}"));
            ffi::HTTP_INTERNAL_SERVER_ERROR
        }
    }
}

/// Makes the farms on a board that nobody sees.
unsafe fn rehearse(
    pool: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
    proxy: &Proxy,
) -> Result<(), String> {
    let findings = FINDINGS.lock().ok().and_then(|mut place| place.take());
    // SAFETY: the caller's promise, here and below.
    unsafe {
        let engine = engine_is_on(main);
        let (drafts, tables) = drafts(main, proxy, engine)?;
        let specs: Vec<FarmSpec> = drafts.iter().map(|draft| draft.spec(engine, 0)).collect();
        let (_board, attached) = Board::open(Storage::Memory, 1, &specs, clock::now())
            .map_err(|error| format!("the farms do not fit on a board: {error}"))?;
        let finish = |(draft, seat): (Draft, _)| draft.finish(pool, seat, Vec::new(), !engine);
        let farms: Vec<Farm> = drafts.into_iter().zip(attached.farms).map(finish).collect();
        farms.iter().try_for_each(|farm| check(farm, engine))?;
        let tables = farm_tables(tables, &farms, &findings.unwrap_or_default(), proxy);
        (tables.iter().filter(|_| engine)).try_for_each(|(_, table)| forward::begin(table))
    }
}

fn engine_is_on(main: *mut ffi::server_rec) -> bool {
    ServerConf::of(main).is_some_and(|conf| conf.engine)
}

unsafe fn drafts(
    main: *mut ffi::server_rec,
    proxy: &Proxy,
    engine: bool,
) -> Result<(Vec<Draft>, Tables), String> {
    // SAFETY: the caller's promise.
    let (drafts, tables) = unsafe { draft::all(main, proxy, engine)? };
    if engine {
        check_classes(&drafts, &tables)?;
    }
    Ok((drafts, tables))
}

/// Refuses what can never work, and warns of what is probably a mistake.
fn check(farm: &Farm, engine: bool) -> Result<(), String> {
    if engine {
        sticky::check(farm)?;
        stats::check(farm)?;
    }
    Ok(())
}

unsafe fn assemble(
    pool: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
    proxy: &Proxy,
) -> Result<(), String> {
    let engine = engine_is_on(main);
    let findings = FINDINGS.lock().ok().and_then(|mut place| place.take());
    let findings = findings.unwrap_or_default();
    // SAFETY: the caller's promise, here and below.
    unsafe {
        let (drafts, tables) = drafts(main, proxy, engine)?;
        if drafts.is_empty() && !engine {
            return Ok(());
        }
        if engine {
            for (_, _, balancer) in tables.iter().flat_map(|(_, names)| names) {
                manager::nonce::make(*balancer)?;
            }
            for farm in &findings.empty {
                let text = format!("ATH0020: farm {farm} has no members: requests to it get 503");
                log::server(Level::Warning, main, &text);
            }
            for stranger in &findings.strangers {
                log::server(Level::Warning, main, &format!("ATH0021: {stranger}"));
            }
        }
        let may_wait = half_of_workers();
        let specs = drafts.iter().map(|draft| draft.spec(engine, may_wait));
        let specs: Vec<FarmSpec> = specs.collect();
        let (board, seats) = open_board(pool, main, &specs)?;
        let spares = seats.iter().map(|seat| seat.seats.len()).sum();
        let generation = share_workers(&drafts, spares)?;
        let slots: Vec<Slot> = generation.iter().flat_map(Generation::spares).collect();
        let mut slots = slots.into_iter();
        worker::ready(pool);
        environment::ready(pool);
        let mut farms = Vec::with_capacity(drafts.len());
        for (draft, seat) in drafts.into_iter().zip(seats) {
            let slots = slots.by_ref().take(seat.seats.len()).collect();
            farms.push(draft.finish(pool, seat, slots, !engine));
        }
        for farm in &farms {
            check(farm, engine)?;
            stats::begin(farm);
            crate::method::begin(farm);
            added::make_all(farm);
            for member in &farm.members {
                agent::begin(farm, member);
                member.push();
                account::begin_in_error(farm, member);
                method::start_anew(member.record());
            }
            refresh::publish(farm);
            // A child of the generation before may have been publishing its own at this moment.
            stale::mark(&farm.seat.record.cold);
        }
        let tables = farm_tables(tables, &farms, &findings, proxy);
        let farms = Runtime {
            board,
            farms,
            parent: std::process::id(),
            may_wait,
            slot: std::sync::OnceLock::new(),
            _generation: generation,
        };
        runtime::install(pool, farms);
        for (s, table) in tables.into_iter().filter(|_| engine) {
            if let Some(conf) = ServerConf::own(pool, s) {
                conf.table = table;
                forward::begin(&conf.table)?;
            }
        }
        if watch::is_needed() {
            watch::register(pool, main);
        }
    }
    Ok(())
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

/// Refuses an `AthQos` line for a farm that does not exist.
fn check_classes(drafts: &[Draft], tables: &Tables) -> Result<(), String> {
    let confs = tables.iter().filter_map(|(s, _)| ServerConf::of(*s));
    for line in confs.flat_map(|conf| &conf.qos) {
        let exists = |name: &String| drafts.iter().any(|draft| draft.name == *name);
        if let Some(farm) = line.farm.as_ref().filter(|farm| !exists(farm)) {
            return Err(format!(
                "AthQos {} farm={farm}: must be the name of a farm",
                line.class
            ));
        }
    }
    Ok(())
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

/// The farms that each server reaches, which stay where they are.
unsafe fn farm_tables(
    tables: Tables,
    farms: &[Farm],
    findings: &Findings,
    proxy: &Proxy,
) -> Vec<(*mut ffi::server_rec, FarmTable)> {
    let of_server = |(s, names): (*mut ffi::server_rec, Vec<_>)| {
        let named = names.into_iter().filter_map(|(name, index, balancer)| {
            let farm: &Farm = farms.get(index)?;
            let declared = findings.declared.contains(&name);
            Some((name, declared, FarmRef { farm, balancer }))
        });
        let table = FarmTable {
            by_name: Farms::new(named),
            // SAFETY: the caller's promise.
            rules: unsafe { rules_of(s, proxy) },
            marked: findings.marked,
        };
        (s, table)
    };
    tables.into_iter().map(of_server).collect()
}

/// What a server's sections hold for requests.
unsafe fn rules_of(s: *mut ffi::server_rec, proxy: &Proxy) -> Rules {
    // SAFETY: a live server's configuration; sections live as long as it does.
    unsafe {
        let sections = || proxy::elements::<*mut ffi::ap_conf_vector_t>((*proxy.conf(s)).sec_proxy);
        let has_groups = |section: *mut ffi::ap_conf_vector_t| {
            ffi::ath_shim_get_config(section, proxy.module)
                .cast::<ffi::proxy_dir_conf>()
                .as_ref()
                .and_then(|section| section.refs.as_ref())
                .is_some_and(|groups| groups.nelts > 0)
        };
        if sections().any(|section| has_groups(*section)) {
            Rules::WithGroups
        } else if sections().any(|section| conf::has_rules(*section)) {
            Rules::Plain
        } else {
            Rules::None
        }
    }
}
