//! From a configuration that is read to farms that can be served: seats on the board, members,
//! tables of names.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use athena_engine::board::{Board, BoardError, FarmSeat, FarmSpec, MemberSpec, Storage};
use athena_engine::config::param::{FarmParams, MemberParams};
use athena_engine::method::{self, Method};

use crate::conf::{self, BoardFile, ServerConf};
use crate::farm::{Farm, Member, Roll};
use crate::ffi::{self, OK};
use crate::generation::Generation;
use crate::guard::guard;
use crate::log::{self, Level};
use crate::proxy::{self, Proxy};
use crate::runtime::{self, FarmRef, FarmTable, Rules, Runtime};
use crate::tree::Findings;
use crate::{account, clock, provider, refresh, retained, watch};

/// Children of this and of older generations that may live at a time, as a multiple of those httpd
/// may start: during a graceful restart old ones finish while new ones serve.
const SLOTS_PER_CHILD: u32 = 3;

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
    members: Vec<MemberDraft>,
    params: FarmParams,
    provider: (*const ffi::proxy_balancer_method, &'static dyn Method),
}

struct MemberDraft {
    worker: *mut ffi::proxy_worker,
    name: String,
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
            for farm in &findings.empty {
                let text = format!("ATH0020: farm {farm} has no members: requests to it get 503");
                log::server(Level::Warning, main, &text);
            }
            for stranger in &findings.strangers {
                log::server(Level::Warning, main, &format!("ATH0021: {stranger}"));
            }
        }
        let specs: Vec<FarmSpec> = drafts.iter().map(Draft::spec).collect();
        let (board, seats) = open_board(pool, main, &specs)?;
        let generation = share_workers(&drafts);
        let mut farms = Vec::with_capacity(drafts.len());
        for (draft, seat) in drafts.into_iter().zip(seats) {
            farms.push(draft.finish(pool, seat, !engine));
        }
        for farm in &farms {
            for member in &farm.members {
                member.push();
                account::begin_in_error(farm, member);
            }
            refresh::publish(farm);
            // A child of the generation before may have been publishing its own at this moment.
            farm.seat.record.cold.stale.store(1, Ordering::SeqCst);
        }
        let farms = Runtime {
            board,
            farms,
            _generation: generation,
        };
        runtime::install(pool, farms);
        if engine {
            fill_tables(pool, tables, &findings, proxy);
        }
        watch::register(pool, main);
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
                    Some(index) => *index,
                    None => {
                        let Some(method) = chosen_method(balancer, &name, engine)? else {
                            continue;
                        };
                        by_members.insert(workers, drafts.len());
                        drafts.push(Draft::of(balancer, s, &server_name, name.clone(), method)?);
                        drafts.len() - 1
                    }
                };
                names.push((name, index, balancer));
            }
            tables.push((s, names));
            s = (*s).next;
        }
    }
    Ok((drafts, tables))
}

/// `main`, or the virtual host's name and port; numbered where that is not unique.
unsafe fn server_name(
    s: *mut ffi::server_rec,
    main: *mut ffi::server_rec,
    taken: &mut HashMap<String, u32>,
) -> String {
    if s == main {
        return "main".to_owned();
    }
    // SAFETY: a live server; its name is NULL or NUL-terminated.
    let (host, port) = unsafe {
        let port = (*s)
            .addrs
            .as_ref()
            .map_or((*s).port, |address| address.host_port);
        (text((*s).server_hostname), port)
    };
    let mut name = if port == 0 {
        host
    } else {
        format!("{host}:{port}")
    };
    name.truncate(name.floor_char_boundary(80));
    let count = taken.entry(name.clone()).or_insert(0);
    *count += 1;
    if *count > 1 {
        format!("{name}#{count}")
    } else {
        name
    }
}

/// The name behind `balancer://`.
unsafe fn farm_name(balancer: *mut ffi::proxy_balancer) -> String {
    // SAFETY: a live balancer's name is NUL-terminated.
    let name = unsafe { text((*(*balancer).s).name.as_ptr()) };
    let name = name.strip_prefix("balancer://").unwrap_or(&name);
    name.trim_end_matches('/').to_ascii_lowercase()
}

type Provider = (*const ffi::proxy_balancer_method, &'static dyn Method);

/// The method of a balancer: what `lbmethod=` names, or httpd's default. With the engine off, only
/// farms that name a method of ours are looked at.
unsafe fn chosen_method(
    balancer: *mut ffi::proxy_balancer,
    farm: &str,
    engine: bool,
) -> Result<Option<Provider>, String> {
    // SAFETY: a live balancer; providers live as long as the configuration.
    let (provider, name) = unsafe {
        let provider = (*balancer).lbmethod.cast_const();
        let name = provider
            .as_ref()
            .map_or_else(|| "byrequests".to_owned(), |p| text(p.name));
        (provider, name)
    };
    let found = method::by_name(&name);
    if !engine {
        return Ok(found
            .filter(|_| provider::is_ours(provider))
            .map(|method| (provider, method)));
    }
    match found {
        Some(method) => Ok(Some((provider, method))),
        None => {
            let names: Vec<_> = method::names().collect();
            Err(format!(
                "farm {farm}: lbmethod={name}: AthEngine On knows {}",
                names.join(", ")
            ))
        }
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
        };
        if let Some(time) = params.try_timeout {
            for member in &members {
                // SAFETY: as above.
                unsafe { limit(member.worker, time) };
            }
        }
        let server = server.to_owned();
        Ok(Self {
            name,
            server,
            server_rec: s,
            balancer,
            members,
            params,
            provider,
        })
    }

    fn spec(&self) -> FarmSpec {
        let members = self.members.iter().map(MemberDraft::spec).collect();
        FarmSpec {
            server: self.server.clone(),
            name: self.name.clone(),
            members,
        }
    }

    unsafe fn finish(self, pool: *mut ffi::apr_pool_t, seat: FarmSeat, observed: bool) -> Farm {
        let members: Vec<Member> = self
            .members
            .into_iter()
            .zip(&seat.members)
            .map(|(draft, seat)| Member::new(draft.worker, *seat, draft.name))
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
            seat,
            roll: Roll::of(&members),
            members,
            params: self.params,
            fail_on_status,
            fail_on_timeout,
            balancer: self.balancer,
            provider: self.provider,
            front,
        }
    }
}

impl MemberDraft {
    fn spec(&self) -> MemberSpec {
        // SAFETY: a worker of a configuration that has been read.
        unsafe {
            let shared = &*(*self.worker).s;
            MemberSpec {
                url: text(shared.name_ex.as_ptr()),
                name: self.name.clone(),
                route: text(shared.route.as_ptr()),
                weight: shared.lbfactor.unsigned_abs(),
                flags: Member::flags_of(shared.status),
                lbset: shared.lbset.unsigned_abs(),
            }
        }
    }
}

/// Members' names: `name=`, or `host:port`, with the path where two share it, or the whole URL.
unsafe fn name_members<'a>(
    workers: &[*mut ffi::proxy_worker],
    own: impl Fn(*mut ffi::proxy_worker) -> Option<&'a MemberParams>,
) -> Vec<MemberDraft> {
    // SAFETY: workers of a configuration that has been read.
    let shared = |worker: *mut ffi::proxy_worker| unsafe { &*(*worker).s };
    let address = |worker| {
        let shared = shared(worker);
        let socket = text(shared.uds_path.as_ptr());
        if socket.is_empty() {
            format!("{}:{}", text(shared.hostname_ex.as_ptr()), shared.port)
        } else {
            format!("unix:{socket}")
        }
    };
    let path = |worker| {
        let url = text(shared(worker).name_ex.as_ptr());
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/')
            .and_then(|at| rest.get(at..))
            .unwrap_or("")
            .trim_end_matches('/')
            .to_owned()
    };
    let count = |list: &[String], name: &String| list.iter().filter(|other| *other == name).count();
    let addresses: Vec<String> = workers.iter().map(|worker| address(*worker)).collect();
    let with_paths: Vec<String> = workers
        .iter()
        .map(|worker| address(*worker) + &path(*worker))
        .collect();
    workers
        .iter()
        .zip(addresses.iter().zip(&with_paths))
        .map(|(worker, (address, with_path))| {
            let given = own(*worker).and_then(|params| params.name.clone());
            let name = given.unwrap_or_else(|| {
                if count(&addresses, address) == 1 {
                    address.clone()
                } else if count(&with_paths, with_path) == 1 {
                    with_path.clone()
                } else {
                    text(shared(*worker).name_ex.as_ptr())
                }
            });
            MemberDraft {
                worker: *worker,
                name,
            }
        })
        .collect()
}

/// `trytimeout`: mod_proxy's own timeout of the member, which bounds the wait for a first byte (and
/// each later silence).
unsafe fn limit(worker: *mut ffi::proxy_worker, time: std::time::Duration) {
    // SAFETY: the caller's promise.
    unsafe {
        let shared = (*worker).s;
        (*shared).timeout = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        (*shared).set_timeout_set(1);
    }
}

/// The worker that mod_proxy is handed for requests to a farm. Never used for a connection.
unsafe fn front(pool: *mut ffi::apr_pool_t, name: &str) -> *mut ffi::proxy_worker {
    /// Room for what a later 2.4 may append to its structures.
    const SLACK: usize = 512;
    unsafe fn zeroed<T>(pool: *mut ffi::apr_pool_t) -> *mut T {
        // SAFETY: apr_palloc gives that many bytes or aborts; all-zero is valid for these C
        // structures.
        unsafe {
            let place: *mut u8 = ffi::apr_palloc(pool, size_of::<T>() + SLACK).cast();
            place.write_bytes(0, size_of::<T>() + SLACK);
            place.cast()
        }
    }
    // SAFETY: the caller's promise; freshly made structures.
    unsafe {
        let worker: *mut ffi::proxy_worker = zeroed(pool);
        let shared: *mut ffi::proxy_worker_shared = zeroed(pool);
        let url = format!("balancer://{name}");
        for (place, byte) in (*shared).name.iter_mut().zip(url.bytes().take(90)) {
            *place = byte.cast_signed();
        }
        for (place, byte) in (*shared).name_ex.iter_mut().zip(url.bytes().take(90)) {
            *place = byte.cast_signed();
        }
        let ready = ffi::PROXY_WORKER_INITIALIZED.unsigned_abs();
        // Errors on the way to a member are dealt with here: mod_proxy never marks the front.
        (*shared).status = ready | ffi::PROXY_WORKER_IGNORE_ERRORS.unsigned_abs();
        (*worker).local_status = ready;
        (*worker).s = shared;
        worker
    }
}

/// Without mod_proxy_balancer, the workers' shared parts are private to each child until they are
/// moved into shared memory.
unsafe fn share_workers(drafts: &[Draft]) -> Option<Generation> {
    // SAFETY: the caller's promise.
    unsafe {
        let private: Vec<_> = drafts
            .iter()
            .filter(|draft| (*draft.balancer).wslot.is_null())
            .flat_map(|draft| draft.members.iter().map(|member| member.worker))
            .collect();
        Generation::share(&private)
    }
}

unsafe fn open_board(
    pool: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
    specs: &[FarmSpec],
) -> Result<(Board, Vec<FarmSeat>), String> {
    // SAFETY: the caller's promise.
    let storage = unsafe { storage(pool)? };
    let mut children = 0;
    // SAFETY: a query into an integer.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_HARD_LIMIT_DAEMONS, &raw mut children) };
    let slots = children
        .unsigned_abs()
        .clamp(1, 20_000)
        .saturating_mul(SLOTS_PER_CHILD);
    let failed = |error: BoardError| {
        format!(
            "AthSHMFile: {error}; name a file in a directory that httpd can write when it starts, \
             or none"
        )
    };
    let (board, attached) = match resume(main) {
        Some(mut board) => {
            let attached = board.attach(specs).map_err(failed)?;
            (board, attached)
        }
        None => Board::open(storage, slots, specs, clock::now()).map_err(failed)?,
    };
    for notice in &attached.notices {
        log::server(Level::Warning, main, &format!("ATH0011: {notice}"));
    }
    retained::keep(&board.retain());
    Ok((board, attached.farms))
}

/// The board of the configuration pass before, at a graceful restart. A board that this version of
/// the module cannot go on with (it was replaced in between) is left, and its file read anew.
fn resume(main: *mut ffi::server_rec) -> Option<Board> {
    let board = match Board::resume(&retained::take()?) {
        Ok(board) => board,
        Err(error) => {
            log::server(Level::Warning, main, &format!("ATH0012: {error}"));
            return None;
        }
    };
    // Children that ended between two configuration passes, and owners that never were.
    let repaired = board.sweep(|pid| {
        libc::pid_t::try_from(pid).is_ok_and(|pid| {
            // SAFETY: signal 0 only asks whether the process is there.
            let there = unsafe { libc::kill(pid, 0) } == 0;
            there || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
        })
    });
    if repaired.requests > 0 {
        let text = format!(
            "ATH0013: {} requests of children that are gone",
            repaired.requests
        );
        log::server(Level::Notice, main, &text);
    }
    Some(board)
}

/// `AthSHMFile`, resolved.
unsafe fn storage(pool: *mut ffi::apr_pool_t) -> Result<Storage, String> {
    let file = ServerConf::main().and_then(|conf| conf.board_file.as_ref());
    let name = match file {
        Some(BoardFile::None) => return Ok(Storage::Memory),
        Some(BoardFile::Path(path)) => path,
        None => "athena.board",
    };
    // SAFETY: the caller's promise; httpd reads the name and gives a path in the pool, or NULL.
    unsafe {
        let name_c = crate::pool::text(pool, name);
        let path = ffi::ap_runtime_dir_relative(pool, name_c);
        if path.is_null() {
            return Err(format!("AthSHMFile {name}: not a valid path"));
        }
        Ok(Storage::File(PathBuf::from(text(path))))
    }
}

unsafe fn fill_tables(
    pool: *mut ffi::apr_pool_t,
    tables: Tables,
    findings: &Findings,
    proxy: &Proxy,
) {
    let Some(runtime) = runtime::get() else {
        return;
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
    }
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

fn text(c: *const c_char) -> String {
    if c.is_null() {
        return String::new();
    }
    // SAFETY: NUL-terminated strings of httpd's and mod_proxy's structures.
    unsafe { CStr::from_ptr(c) }.to_string_lossy().into_owned()
}
