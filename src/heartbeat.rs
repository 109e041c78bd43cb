//! `lbmethod=heartbeat` where `mod_heartmonitor` is loaded and `mod_lbmethod_heartbeat` is not: the rule of
//! the latter ([`athena_engine::heartbeat`]) on what the former has heard.

use std::ffi::{CStr, c_void};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, null_mut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use athena_engine::MemberId;
use athena_engine::config::words;
use athena_engine::heartbeat::{Heard, Servers, draw, read};
use athena_engine::method::{STRANGER, Sight};
use athena_engine::plan;

use crate::guard::guard;
use crate::log::{self, Level};
use crate::rule::Asked;
use crate::{ffi, naming, pool, tree};

pub const NAME: &CStr = c"heartbeat";
/// What it cannot do without, within an error message.
pub const NEEDS: &str = " without mod_heartmonitor or mod_lbmethod_heartbeat";

/// `mod_heartmonitor`'s shared memory has this name.
const TABLE: &CStr = c"mod_heartmonitor";
/// What is read of its file: some 10,000 servers.
const FILE_MAX: u64 = 1 << 20;

/// The file of this configuration; `None` where the rule is not ours.
static FILE: Mutex<Option<PathBuf>> = Mutex::new(None);
/// Where this child finds what `mod_heartmonitor` has heard.
static SOURCE: OnceLock<Source> = OnceLock::new();

enum Source {
    /// Unless `HeartbeatMaxServers` is 0.
    Table(Table),
    File(HeardFile),
}

impl Source {
    fn read(&self, r: *mut ffi::request_rec) -> io::Result<Arc<Servers>> {
        match self {
            Self::Table(table) => Ok(Arc::new(table.read(r))),
            Self::File(file) => file.read(),
        }
    }
}

/// Whether `mod_heartmonitor` is loaded, so that there is something to go by.
///
/// # Safety
/// Called while httpd's tree is there, with the configuration's pool.
pub unsafe fn begin(p: *mut ffi::apr_pool_t) -> bool {
    // SAFETY: a look-up by a static name; the caller's promise.
    unsafe {
        let there = !ffi::ap_find_linked_module(c"mod_heartmonitor.c".as_ptr()).is_null();
        let file = there.then(|| storage(p).unwrap_or_default());
        *FILE.lock().unwrap_or_else(PoisonError::into_inner) = file;
        there
    }
}

/// Finds the source for this child.
///
/// # Safety
/// Called from child_init with the child's pool.
pub unsafe fn ready(p: *mut ffi::apr_pool_t) {
    let file = FILE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(path) = file else { return };
    // SAFETY: the caller's promise.
    let table = unsafe { Table::attach(p) };
    let file = || {
        Source::File(HeardFile {
            path,
            last: Mutex::default(),
        })
    };
    // The first and only one of this process.
    let _ = SOURCE.set(table.map_or_else(file, Source::Table));
}

/// Draws a member by its server's open workers; `None`: none has any.
pub fn pick(asked: &Asked<'_>, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
    let listed = sight.plan.eligible.iter().map(plan::member_at);
    let ids: Vec<MemberId> = listed
        .filter(|id| sight.roster.available(*id).is_some())
        .collect();
    if ids.is_empty() {
        // Nothing to choose from, which is the plan's affair.
        return Some(STRANGER);
    }
    let servers = match SOURCE.get()?.read(asked.r) {
        Ok(servers) => servers,
        Err(error) => {
            log::request(
                Level::Error,
                asked.r,
                &format!(
                    "ATH0425: farm {}: lbmethod=heartbeat: HeartbeatStorage cannot be read: {error}",
                    asked.farm.name
                ),
            );
            return None;
        }
    };
    let open = |id: MemberId| {
        let host = asked.farm.member_by_id(id)?.host();
        Some((id, servers.get(host.as_bytes())?.open()))
    };
    let open: Vec<_> = ids.into_iter().filter_map(open).collect();
    draw(&open, random)
}

/// `HeartbeatStorage`, as `mod_heartmonitor` understands it. Its default does not follow `DefaultRuntimeDir`,
/// which is read later.
///
/// # Safety
/// Called while httpd's tree is there, with the configuration's pool.
unsafe fn storage(p: *mut ffi::apr_pool_t) -> Option<PathBuf> {
    // SAFETY: the caller's promise; httpd gives NULL or a text in the pool.
    unsafe {
        let written = tree::last_value(ffi::ap_conftree, "HeartbeatStorage");
        let written = written.and_then(|args| words::split(&args).next().map(String::from));
        let path = match written {
            Some(path) => ffi::ap_runtime_dir_relative(p, pool::text(p, &path)),
            None => {
                let directory =
                    ffi::ap_server_root_relative(p, ffi::DEFAULT_REL_RUNTIMEDIR.as_ptr());
                let directory = (!directory.is_null()).then(|| CStr::from_ptr(directory))?;
                let path = Path::new(directory.to_str().ok()?);
                return Some(path.join(ffi::DEFAULT_HEARTBEAT_STORAGE.to_str().ok()?));
            }
        };
        let path = (!path.is_null()).then(|| CStr::from_ptr(path))?;
        Some(path.to_str().ok()?.into())
    }
}

/// The shared memory, which `mod_heartmonitor` made before this child began.
struct Table {
    provider: &'static ffi::ap_slotmem_provider_t,
    instance: *mut ffi::ap_slotmem_instance_t,
}

// SAFETY: mod_slotmem_shm's functions may be called by any thread; the instance lives as long as the child.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// # Safety
    /// Called from child_init with the child's pool.
    unsafe fn attach(p: *mut ffi::apr_pool_t) -> Option<Self> {
        let (group, version) = (
            ffi::AP_SLOTMEM_PROVIDER_GROUP,
            ffi::AP_SLOTMEM_PROVIDER_VERSION,
        );
        // SAFETY: NUL-terminated names; providers of this group have this type (ap_slotmem.h) and live as
        // long as the configuration.
        unsafe {
            let provider =
                ffi::ap_lookup_provider(group.as_ptr(), c"shm".as_ptr(), version.as_ptr());
            let provider = provider
                .cast::<ffi::ap_slotmem_provider_t>()
                .cast_const()
                .as_ref()?;
            let (mut instance, mut size, mut count) = (null_mut(), 0, 0);
            let attach = provider.attach?;
            let there = attach(
                &raw mut instance,
                TABLE.as_ptr(),
                &raw mut size,
                &raw mut count,
                p,
            ) == ffi::APR_SUCCESS
                && !instance.is_null()
                && size >= size_of::<ffi::hm_slot_server_t>();
            there.then_some(Self { provider, instance })
        }
    }

    fn read(&self, r: *mut ffi::request_rec) -> Servers {
        let mut servers = Servers::new();
        if let Some(each) = self.provider.doall {
            // SAFETY: a live request and instance; `note` is handed the servers back, as long as this call
            // takes.
            unsafe {
                let data = (&raw mut servers).cast::<c_void>();
                each(self.instance, Some(note), data, (*r).pool);
            }
        }
        servers
    }
}

/// Called for each slot in use.
unsafe extern "C" fn note(
    slot: *mut c_void,
    servers: *mut c_void,
    _pool: *mut ffi::apr_pool_t,
) -> ffi::apr_status_t {
    guard!("heartbeat", ffi::APR_SUCCESS, {
        // SAFETY: `Table::read` gave the servers; slots are as large as `attach` said, and are copied before
        // they are looked at, since another process may write them.
        let (slot, servers) = unsafe {
            let slot = ptr::read_unaligned(slot.cast::<ffi::hm_slot_server_t>());
            (slot, &mut *servers.cast::<Servers>())
        };
        // SAFETY: no arguments.
        let now = unsafe { ffi::apr_time_now() };
        let heard = Heard {
            ready: slot.ready,
            busy: slot.busy,
            ago: now.saturating_sub(slot.seen) / 1_000_000,
        };
        servers.insert(naming::read(&slot.ip).to_bytes().to_vec(), heard);
        ffi::APR_SUCCESS
    })
}

/// The file, which is replaced whole every few seconds and read when it is another.
struct HeardFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, Arc<Servers>)>>,
}

/// What tells one version of the file from another: inode, size, time.
type Stamp = (u64, u64, i64, i64);

impl HeardFile {
    fn read(&self) -> io::Result<Arc<Servers>> {
        let found = fs::metadata(&self.path)?;
        if !found.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let stamp = (found.ino(), found.size(), found.mtime(), found.mtime_nsec());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, servers)) = &*last
            && *of == stamp
        {
            return Ok(Arc::clone(servers));
        }
        let mut text = Vec::new();
        File::open(&self.path)?
            .take(FILE_MAX)
            .read_to_end(&mut text)?;
        let servers = Arc::new(read(&text));
        *last = Some((stamp, Arc::clone(&servers)));
        Ok(servers)
    }
}
