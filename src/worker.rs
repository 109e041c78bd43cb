//! A worker of mod_proxy's for a member that is added at run time. It stands in none of mod_proxy's
//! own lists, which must not grow while others read them; its parameters are set as mod_proxy itself
//! sets them (httpd, `modules/proxy/mod_proxy.c`: `set_worker_param`), from values that were checked.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use athena_engine::config::param;

use crate::farm::Farm;
use crate::memory::Locked;
use crate::naming::{self, text};
use crate::times::Times;
use crate::{ffi, memory, proxy};

const SECOND: i64 = 1_000_000;
const YEAR: i64 = 31_536_000 * SECOND;
/// httpd's `AP_IOBUFSIZE`: buffers have no less.
const IO_BUFFER_MIN: usize = 8192;
/// httpd's `HUGE_STRING_LEN`: what mod_proxy gives the lines of answers' headers.
const RESPONSE_FIELD: usize = 8192;

/// Memory for workers, this process's own: the configuration's pool is not for threads.
static POOL: Mutex<Option<Locked>> = Mutex::new(None);

/// The pool, for this thread alone. Whoever had it and panicked has left it whole.
fn locked() -> MutexGuard<'static, Option<Locked>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the pool, as a part of another.
///
/// # Safety
/// `parent` outlives every worker of this process; called while one thread runs.
pub unsafe fn ready(parent: *mut ffi::apr_pool_t) {
    // SAFETY: the caller's promise.
    let pool = unsafe { memory::sub_pool(parent) };
    *locked() = (!pool.is_null()).then_some(Locked(pool));
}

/// A worker that nobody else knows yet. Dropped, it is gone with all of its memory.
pub struct Draft {
    pub worker: *mut ffi::proxy_worker,
    /// Memory of its own.
    pub pool: *mut ffi::apr_pool_t,
}

impl Draft {
    /// A worker for a URL, as a member of the farm.
    pub fn new(farm: &Farm, url: &str, native: &[(String, String)]) -> Result<Self, String> {
        let proxy = proxy::get().ok_or("mod_proxy is not loaded")?;
        let url = CString::new(url).map_err(|_| "the URL has a NUL")?;
        let locked = locked();
        let Some(Locked(parent)) = *locked else {
            return Err("this process has no memory for it".to_owned());
        };
        // SAFETY: made by `ready`; the lock is held, so that nobody else uses the pool.
        let pool = unsafe { memory::sub_pool(parent) };
        if pool.is_null() {
            return Err("there is no memory for it".to_owned());
        }
        let mut draft = Self {
            worker: ptr::null_mut(),
            pool,
        };
        // SAFETY: a pool of its own; without balancer and configuration, the worker is put in no list.
        let refused = unsafe {
            (proxy.define_worker)(
                pool,
                &raw mut draft.worker,
                ptr::null_mut(),
                ptr::null_mut(),
                url.as_ptr(),
                0,
            )
        };
        drop(locked);
        if !refused.is_null() || draft.worker.is_null() {
            return Err(text(refused));
        }
        // SAFETY: a worker that nobody else knows, and the balancer of a live farm.
        unsafe {
            let balancer = &*farm.balancer;
            let conf = &*proxy.conf(farm.server_rec);
            (*draft.worker).balancer = farm.balancer;
            (*draft.worker).section_config = balancer.section_config;
            let shared = &mut *(*draft.worker).s;
            // What mod_proxy gives a worker outside of balancers, and a member must not have.
            shared.status &= !ffi::PROXY_WORKER_IGNORE_ERRORS.unsigned_abs();
            shared.timeout = conf.timeout;
            shared.set_timeout_set(conf.timeout_set());
            shared.recv_buffer_size = conf.recv_buffer_size;
            shared.set_recv_buffer_size_set(conf.recv_buffer_size_set());
            shared.io_buffer_size = conf.io_buffer_size;
            shared.set_io_buffer_size_set(conf.io_buffer_size_set());
            // mod_proxy's default of a member.
            shared.lbfactor = 100;
            // What is 0 here counts as never made.
            shared.updated = ffi::apr_time_now();
            for (key, value) in native {
                let shown = param::shown(key, value);
                set(shared, key, value).ok_or_else(|| format!("{key}={shown}: not allowed"))?;
            }
            Times::of(shared)
                .within(farm.params.try_timeout)
                .give(shared);
        }
        Ok(draft)
    }

    /// Shares it with the other processes, through a slot that is zeroed or says the same worker, and
    /// keeps it for good.
    ///
    /// # Safety
    /// `slot` is one of this generation's, for this worker alone.
    pub unsafe fn share(
        mut self,
        slot: *mut ffi::proxy_worker_shared,
        index: i32,
    ) -> Option<*mut ffi::proxy_worker> {
        let proxy = proxy::get()?;
        // SAFETY: the caller's promise.
        let shared = unsafe { (proxy.share_worker)(self.worker, slot, index) };
        if shared != ffi::APR_SUCCESS {
            return None;
        }
        self.pool = ptr::null_mut();
        Some(self.worker)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _locked = locked();
        if !self.pool.is_null() {
            // SAFETY: nobody knows the worker; the lock is held, as the parent pool wants.
            unsafe { ffi::apr_pool_destroy(self.pool) };
        }
    }
}

/// Makes a worker ready for requests, as mod_proxy does with the first one.
///
/// # Safety
/// `worker` was shared by [`Draft::share`] in this process.
pub unsafe fn initialise(worker: *mut ffi::proxy_worker, s: *mut ffi::server_rec) {
    let Some(proxy) = proxy::get() else { return };
    let locked = locked();
    let Some(Locked(pool)) = *locked else { return };
    // SAFETY: the caller's promise; the lock is held, so that nobody else uses the pool.
    unsafe { memory::initialise(proxy, worker, s, pool) };
}

/// Sets one parameter. `None`: its value is none.
fn set(shared: &mut ffi::proxy_worker_shared, key: &str, value: &str) -> Option<()> {
    match key {
        "loadfactor" => shared.lbfactor = hundredths(value)?,
        "retry" => {
            shared.retry = seconds(value)?;
            shared.set_retry_set(1);
        }
        "ttl" => shared.ttl = seconds(value)?,
        "min" => shared.min = value.parse().ok()?,
        "max" => shared.hmax = value.parse().ok()?,
        "smax" => shared.smax = value.parse().ok()?,
        "acquire" => {
            shared.acquire = time(value, c"ms").filter(is_wait)?;
            shared.set_acquire_set(1);
        }
        "timeout" => {
            shared.timeout = seconds(value)?;
            shared.set_timeout_set(1);
        }
        "iobuffersize" => {
            shared.io_buffer_size = value
                .parse()
                .ok()
                .map(|size: usize| size.max(IO_BUFFER_MIN))?;
            shared.set_io_buffer_size_set(1);
        }
        "receivebuffersize" => {
            shared.recv_buffer_size = value.parse().ok()?;
            shared.set_recv_buffer_size_set(1);
        }
        "keepalive" => {
            shared.set_keepalive(on(value)?.into());
            shared.set_keepalive_set(1);
        }
        "disablereuse" => reuse(shared, !on(value)?),
        "enablereuse" => reuse(shared, on(value)?),
        "route" => naming::write(&mut shared.route, value),
        "redirect" => naming::write(&mut shared.redirect, value),
        "status" => shared.status = status(shared.status, value)?,
        "flushpackets" => {
            shared.flush_packets = match value.to_ascii_lowercase().as_str() {
                "on" => ffi::flush_on,
                "off" => ffi::flush_off,
                "auto" => ffi::flush_auto,
                _ => return None,
            }
        }
        "flushwait" => {
            let millis: i32 = value.parse().ok()?;
            let millis = if millis == 0 {
                ffi::PROXY_FLUSH_WAIT
            } else {
                millis * 1000
            };
            shared.flush_wait = millis;
        }
        "ping" => {
            shared.ping_timeout = time(value, c"s").filter(is_wait)?;
            shared.set_ping_timeout_set(1);
        }
        "lbset" => shared.lbset = value.parse().ok()?,
        "connectiontimeout" => {
            shared.conn_timeout = time(value, c"s").filter(is_wait)?;
            shared.set_conn_timeout_set(1);
        }
        "flusher" => fill(&mut shared.flusher, value)?,
        "upgrade" => fill(&mut shared.upgrade, value)?,
        "secret" => fill(&mut shared.secret, value)?,
        "responsefieldsize" => {
            let size = value.parse().ok()?;
            shared.response_field_size = if size == 0 { RESPONSE_FIELD } else { size };
            shared.set_response_field_size_set(1);
        }
        "addressttl" => {
            shared.address_ttl = match value {
                "-1" => -1,
                _ => time(value, c"s")
                    .filter(|time| time % SECOND == 0 && *time <= YEAR)
                    .and_then(|time| i32::try_from(time / SECOND).ok())?,
            };
            shared.set_address_ttl_set(1);
        }
        _ => return None,
    }
    Some(())
}

fn reuse(shared: &mut ffi::proxy_worker_shared, on: bool) {
    shared.set_disablereuse((!on).into());
    shared.set_disablereuse_set(1);
}

fn on(value: &str) -> Option<bool> {
    athena_engine::config::value::on_off(value).ok()
}

fn seconds(value: &str) -> Option<i64> {
    Some(value.parse::<u32>().ok().map(i64::from)? * SECOND)
}

/// How long one can wait, in microseconds.
fn is_wait(time: &i64) -> bool {
    (1000..=YEAR).contains(time)
}

/// As httpd reads times, in microseconds; it takes a text without digits for 0.
fn time(value: &str, unit: &CStr) -> Option<i64> {
    if !value.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let value = CString::new(value).ok()?;
    let mut time = 0;
    // SAFETY: httpd reads a NUL-terminated text into an integer.
    let read =
        unsafe { ffi::ap_timeout_parameter_parse(value.as_ptr(), &raw mut time, unit.as_ptr()) };
    (read == ffi::APR_SUCCESS && time >= 0).then_some(time)
}

/// A factor, of which mod_proxy keeps hundredths: the nearest, as for people's changes.
fn hundredths(value: &str) -> Option<i32> {
    let factor: f64 = value.parse().ok()?;
    (1.0..=100.0)
        .contains(&factor)
        .then_some((factor * 100.0).round() as i32)
}

fn fill<const N: usize>(field: &mut [std::ffi::c_char; N], value: &str) -> Option<()> {
    (value.len() < N).then(|| naming::write(field, value))
}

/// The letters of `status=`, each with the sign before it.
fn status(mut status: u32, letters: &str) -> Option<u32> {
    let mut on = true;
    for letter in letters.chars() {
        let bit = match letter.to_ascii_uppercase() {
            '+' | '-' => {
                on = letter == '+';
                continue;
            }
            'D' => ffi::PROXY_WORKER_DISABLED,
            'S' => ffi::PROXY_WORKER_STOPPED,
            'I' => ffi::PROXY_WORKER_IGNORE_ERRORS,
            'H' => ffi::PROXY_WORKER_HOT_STANDBY,
            'E' => ffi::PROXY_WORKER_IN_ERROR,
            'N' => ffi::PROXY_WORKER_DRAIN,
            'R' => ffi::PROXY_WORKER_HOT_SPARE,
            'C' => ffi::PROXY_WORKER_HC_FAIL,
            _ => return None,
        };
        if on {
            status |= bit.unsigned_abs();
        } else {
            status &= !bit.unsigned_abs();
        }
    }
    Some(status)
}
