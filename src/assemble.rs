//! From a configuration that is read to farms that can be served: seats on the board, members,
//! tables of names.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use athena_engine::board::{FarmExtras, FarmSeat, FarmSpec, MemberExtras, MemberSpec};
use athena_engine::config::param::{FarmParams, MemberParams};
use athena_engine::config::qos::Classes;
use athena_engine::method;

use crate::added::{self, Seats};
use crate::conf::{self, ServerConf};
use crate::farm::{Farm, Member, Members, Roll};
use crate::ffi::{self, OK};
use crate::front::front;
use crate::generation::Generation;
use crate::growth::{self, Copied, Growth, Slot};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::naming::{farm_name, name_members, server_name, text};
use crate::proxy::{self, Proxy};
use crate::rule::Rule;
use crate::runtime::{self, FarmRef, FarmTable, Rules, Runtime};
use crate::seating::open_board;
use crate::tree::Findings;
use crate::{
    account, agent, forward, manager, outcome, provider, refresh, stats, sticky, stored, watch,
    worker,
};

/// What pre_config found in this configuration pass.
static FINDINGS: Mutex<Option<Findings>> = Mutex::new(None);

/// Keeps what the rewriting of the tree found until post_config.
pub fn keep(findings: Findings) {
    if let Ok(mut place) = FINDINGS.lock() {
        *place = Some(findings);
    }
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
            // The first of the two passes at a start only checks the configuration.
            if ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE) == ffi::AP_SQ_MS_CREATE_PRE_CONFIG {
                return OK;
            }
            let Some(proxy) = proxy::get() else { return OK };
            match assemble(pool, s, proxy) {
                Ok(()) => OK,
                Err(error) => {
                    log::server(Level::Error, s, &format!("ATH0010: {error}"));
                    ffi::HTTP_INTERNAL_SERVER_ERROR
                }
            }
        }
    })
}

/// A farm on its way: what mod_proxy has of it.
struct Draft {
    name: String,
    server: String,
    server_rec: *mut ffi::server_rec,
    balancer: *mut ffi::proxy_balancer,
    /// That and its copies in other servers.
    copies: Vec<Copied>,
    members: Vec<MemberDraft>,
    /// Free slots for members that are added at run time.
    slots: Vec<Slot>,
    params: FarmParams,
    classes: Classes,
    provider: Provider,
}

struct MemberDraft {
    worker: *mut ffi::proxy_worker,
    name: String,
    params: MemberParams,
    extras: MemberExtras,
}

unsafe fn assemble(
    pool: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
    proxy: &Proxy,
) -> Result<(), String> {
    let engine = ServerConf::of(main).is_some_and(|conf| conf.engine);
    let findings = FINDINGS
        .lock()
        .ok()
        .and_then(|mut place| place.take())
        .unwrap_or_default();
    // SAFETY: the caller's promise, here and below.
    unsafe {
        let (drafts, tables) = draft(main, proxy, engine)?;
        if drafts.is_empty() && !engine {
            return Ok(());
        }
        if engine {
            check_classes(&drafts, &tables)?;
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
        let specs: Vec<FarmSpec> = drafts.iter().map(|draft| draft.spec(engine)).collect();
        let (board, seats) = open_board(pool, main, &specs)?;
        let spares = seats.iter().map(|seat| seat.seats.len()).sum();
        let generation = share_workers(&drafts, spares);
        let slots: Vec<Slot> = generation.iter().flat_map(Generation::spares).collect();
        let mut slots = slots.into_iter();
        worker::ready(pool);
        let mut farms = Vec::with_capacity(drafts.len());
        for (draft, seat) in drafts.into_iter().zip(seats) {
            let slots = slots.by_ref().take(seat.seats.len()).collect();
            farms.push(draft.finish(pool, seat, slots, !engine));
        }
        for farm in &farms {
            if engine {
                sticky::check(farm)?;
            }
            stats::begin(farm)?;
            agent::begin(farm);
            crate::method::begin(farm);
            added::make_all(farm);
            for member in &farm.members {
                member.push();
                account::begin_in_error(farm, member);
                method::start_anew(member.record());
            }
            refresh::publish(farm);
            // A child of the generation before may have been publishing its own at this moment.
            farm.seat.record.cold.stale.store(1, Ordering::SeqCst);
        }
        let farms = Runtime {
            board,
            farms,
            parent: std::process::id(),
            may_wait: half_of_workers(),
            slot: std::sync::OnceLock::new(),
            _generation: generation,
        };
        runtime::install(pool, farms);
        if engine {
            fill_tables(pool, tables, &findings, proxy)?;
        }
        if watch::is_needed() {
            watch::register(pool, main);
        }
    }
    Ok(())
}

/// For each server, the farms its names stand for: indices into the list of drafts.
type Tables = Vec<(
    *mut ffi::server_rec,
    Vec<(String, usize, *mut ffi::proxy_balancer)>,
)>;

/// Finds the farms of all servers; virtual hosts' copies of a balancer are the same farm.
unsafe fn draft(
    main: *mut ffi::server_rec,
    proxy: &Proxy,
    engine: bool,
) -> Result<(Vec<Draft>, Tables), String> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut by_members: HashMap<*mut ffi::apr_array_header_t, usize> = HashMap::new();
    let mut tables: Tables = Vec::new();
    let mut server_names: HashMap<String, u32> = HashMap::new();
    let mut s = main;
    // SAFETY: httpd's list of servers and mod_proxy's list of balancers.
    unsafe {
        while !s.is_null() {
            let server_name = server_name(s, main, &mut server_names);
            let mut names = Vec::new();
            for balancer in proxy::elements::<ffi::proxy_balancer>((*proxy.conf(s)).balancers) {
                let workers = (*balancer).workers;
                let name = farm_name(balancer);
                let index = match by_members.get(&workers) {
                    Some(index) => {
                        if let Some(draft) = drafts.get_mut(*index) {
                            draft.copies.push(Copied {
                                server: s,
                                balancer,
                            });
                        }
                        *index
                    }
                    None => {
                        let Some(rule) = chosen_rule(balancer, &name, engine)? else {
                            continue;
                        };
                        by_members.insert(workers, drafts.len());
                        drafts.push(Draft::of(balancer, s, &server_name, name.clone(), rule)?);
                        drafts.len() - 1
                    }
                };
                names.push((name, index, balancer));
            }
            tables.push((s, names));
            s = (*s).next;
        }
        for draft in &mut drafts {
            draft.slots = growth::free_slots(&draft.copies);
        }
    }
    Ok((drafts, tables))
}

/// Half of `MaxRequestWorkers`: a request that waits for a place keeps a worker, and others must go on.
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

type Provider = (*const ffi::proxy_balancer_method, Rule);

/// The rule of a balancer: what `lbmethod=` names, or httpd's default. With the engine off, only
/// farms that name a method of ours are looked at.
unsafe fn chosen_rule(
    balancer: *mut ffi::proxy_balancer,
    farm: &str,
    engine: bool,
) -> Result<Option<Provider>, String> {
    // SAFETY: a live balancer.
    let provider = unsafe { (*balancer).lbmethod.cast_const() };
    if !engine && !provider::is_ours(provider) {
        return Ok(None);
    }
    match Rule::of(provider) {
        Some(rule) => Ok(Some((provider, rule))),
        None => Err(format!(
            "farm {farm}: lbmethod: the module that provides it has no function that chooses"
        )),
    }
}

impl Draft {
    unsafe fn of(
        balancer: *mut ffi::proxy_balancer,
        s: *mut ffi::server_rec,
        server: &str,
        name: String,
        provider: Provider,
    ) -> Result<Self, String> {
        let conf = ServerConf::of(s);
        let params = conf
            .as_ref()
            .and_then(|conf| conf.farms.get(&name).cloned())
            .unwrap_or_default();
        // SAFETY: mod_proxy's own structures of a configuration that has been read.
        let members = unsafe {
            let workers: Vec<_> = proxy::elements::<*mut ffi::proxy_worker>((*balancer).workers)
                .map(|worker| *worker)
                .collect();
            let own = |worker: *mut ffi::proxy_worker| {
                conf.as_ref().and_then(|conf| conf.members.get(&worker))
            };
            name_members(&workers, own)
                .into_iter()
                .zip(workers)
                .map(|(name, worker)| {
                    let params = own(worker).cloned().unwrap_or_default().or(&params.members);
                    MemberDraft {
                        worker,
                        name,
                        extras: growth::extras(worker, &params),
                        params,
                    }
                })
                .collect::<Vec<_>>()
        };
        if let Some(time) = params.try_timeout {
            for member in &members {
                // SAFETY: as above.
                unsafe { outcome::limit(member.worker, time) };
            }
        }
        let server = server.to_owned();
        let lines = conf.map(|conf| conf.qos.as_slice()).unwrap_or_default();
        let classes = Classes::of(lines, &name).map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            server,
            server_rec: s,
            balancer,
            copies: vec![Copied {
                server: s,
                balancer,
            }],
            members,
            slots: Vec::new(),
            params,
            classes,
            provider,
        })
    }

    fn spec(&self, engine: bool) -> FarmSpec {
        let members = self.members.iter().map(|member| member.spec(engine));
        FarmSpec {
            server: self.server.clone(),
            name: self.name.clone(),
            members: members.collect(),
            spares: u32::try_from(self.slots.len()).unwrap_or(0),
            queue: self.params.queue.filter(|_| engine).unwrap_or(0),
            seats: added::wanted(self.server_rec, engine),
            extras: self.extras(),
            hashed: matches!(self.provider.1, Rule::Menu(method) if method.wants_key()),
        }
    }

    fn extras(&self) -> FarmExtras {
        let (params, text) = (&self.params, |text: Option<String>| {
            text.unwrap_or_default()
        });
        FarmExtras {
            method: self.provider.1.name().into_owned(),
            forward: text(params.forward.as_ref().map(ToString::to_string)),
            fallback: text(params.fallback.as_ref().map(ToString::to_string)),
        }
    }

    unsafe fn finish(
        self,
        pool: *mut ffi::apr_pool_t,
        seat: FarmSeat,
        slots: Vec<Slot>,
        observed: bool,
    ) -> Farm {
        let extras = self.extras();
        let method = seat.record.changed.method.version();
        let members: Vec<Member> = self
            .members
            .into_iter()
            .zip(&seat.members)
            .map(|(draft, seat)| {
                Member::new(draft.worker, *seat, draft.name, draft.params, draft.extras)
            })
            .collect();
        // SAFETY: the caller's promise; `errstatuses` is an array of int.
        let (front, fail_on_status, fail_on_timeout) = unsafe {
            let balancer = &*self.balancer;
            let statuses = proxy::elements::<c_int>(balancer.errstatuses)
                .filter_map(|status| u16::try_from(*status).ok())
                .collect();
            (
                front(pool, &self.name),
                statuses,
                balancer.failontimeout != 0,
            )
        };
        Farm {
            c_name: std::ffi::CString::new(self.name.as_str()).unwrap_or_default(),
            name: self.name,
            server: self.server,
            server_rec: self.server_rec,
            observed,
            roll: Roll::of(&seat),
            members: Members::new(members, seat.spares.len(), seat.seats.len()),
            growth: Growth::new(self.copies, self.slots, &seat),
            added: Seats::new(&seat, slots),
            seat,
            params: self.params,
            classes: self.classes,
            extras,
            method_seen: AtomicU32::new(method),
            fail_on_status,
            fail_on_timeout,
            balancer: self.balancer,
            provider: self.provider,
            front,
        }
    }
}

impl MemberDraft {
    fn spec(&self, engine: bool) -> MemberSpec {
        // With the engine off, places are not ours to give.
        let max_conn = self.params.max_conn.filter(|_| engine);
        // SAFETY: a worker of a configuration that has been read.
        unsafe {
            let (configured, stored) = stored::settings_of(self.worker);
            let shared = &*(*self.worker).s;
            MemberSpec {
                url: text(shared.name_ex.as_ptr()),
                name: self.name.clone(),
                extras: self.extras.clone(),
                weight: configured.weight,
                flags: configured.flags,
                lbset: configured.lbset,
                max_conn: max_conn.unwrap_or(0),
                stored,
            }
        }
    }
}

/// Without mod_proxy_balancer, the workers' shared parts are private to each child until they are
/// moved into shared memory.
unsafe fn share_workers(drafts: &[Draft], spares: usize) -> Option<Generation> {
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
    for (s, names) in tables {
        // SAFETY: the caller's promise.
        let Some(conf) = (unsafe { ServerConf::own(pool, s) }) else {
            continue;
        };
        let by_name = names
            .into_iter()
            .filter_map(|(name, index, balancer)| {
                Some((
                    name,
                    FarmRef {
                        farm: runtime.farms.get(index)?,
                        balancer,
                    },
                ))
            })
            .collect();
        // SAFETY: as above.
        let rules = unsafe { rules_of(s, proxy) };
        conf.table = FarmTable {
            by_name,
            declared: findings.declared.clone(),
            rules,
        };
        forward::begin(&conf.table)?;
    }
    Ok(())
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
