//! `<Proxy>` sections hold for farms under both spellings and from every road into them.
//!
//! Stock httpd compares a section's name with the target as it is spelt, in map_to_storage, and so
//! lets through `http://NAME/` where `balancer://NAME` was closed, any other case of the name, and
//! the roads whose target is known only later (`SetHandler`, per-directory `[P]`).

use std::ffi::{CStr, c_int};

use athena_engine::config::section;
use athena_engine::config::target::Target;

use crate::conf;
use crate::farm::Farm;
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::record::Record;
use crate::runtime::Rules;
use crate::{canon, pool, proxy, runtime};

/// The `map_to_storage` hook: walks the sections in mod_proxy's place, for requests to farms.
pub unsafe extern "C" fn map_to_storage(r: *mut ffi::request_rec) -> c_int {
    guard!("map_to_storage", ffi::HTTP_FORBIDDEN, {
        // SAFETY: httpd calls with a live request.
        unsafe {
            if (*r).proxyreq != ffi::PROXYREQ_REVERSE {
                return DECLINED;
            }
            let Some(farms) = runtime::farms_of((*r).server) else {
                return DECLINED;
            };
            if farms.rules == Rules::None {
                return DECLINED;
            }
            let Some(url) = (*r).filename_url() else {
                return DECLINED;
            };
            let Some((found, rest)) = canon::find_farm(r, url) else {
                return DECLINED;
            };
            let record = Record::for_farm(r, found, rest);
            record.walked.set((*r).filename);
            let Some(farm) = found.farm.as_ref() else {
                return DECLINED;
            };
            match farms.rules {
                Rules::None | Rules::Plain => {
                    merge(r, farm, url, Walk::Alone);
                    OK
                }
                Rules::WithGroups => {
                    merge(r, farm, url, Walk::BeforeStock);
                    DECLINED
                }
            }
        }
    })
}

/// Who walks the sections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// We do.
    Alone,
    /// mod_proxy's own walk comes after us: it sets the variables of named groups in `<ProxyMatch>`.
    BeforeStock,
}

/// For requests whose target was not known in map_to_storage: merges the sections and asks httpd's
/// access and authentication hooks again under them.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn late(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let none = runtime::farms_of((*r).server).is_none_or(|farms| farms.rules == Rules::None);
        if none || !record.walked.get().is_null() {
            return OK;
        }
        record.walked.set((*r).filename);
        let rest = CStr::from_ptr(record.raw_path).to_bytes();
        let url = pool::concat_bytes(r, &[b"balancer://", farm.name.as_bytes(), rest]);
        if merge(r, farm, CStr::from_ptr(url), Walk::Alone) {
            authorise(r)
        } else {
            OK
        }
    }
}

/// Merges the sections that hold for the farm into the request's configuration. True when any did.
unsafe fn merge(r: *mut ffi::request_rec, farm: &Farm, url: &CStr, walk: Walk) -> bool {
    let Some(proxy) = proxy::get() else {
        return false;
    };
    let Some(target) = Target::parse(url.to_bytes()) else {
        return false;
    };
    let mut merged = false;
    // SAFETY: the caller's promise; sections live as long as the configuration.
    unsafe {
        let Some(farms) = runtime::farms_of((*r).server) else {
            return false;
        };
        let server = proxy.conf((*r).server);
        for entry in proxy::elements::<*mut ffi::ap_conf_vector_t>((*server).sec_proxy) {
            let vector = *entry;
            if !conf::has_rules(vector) {
                continue;
            }
            let Some(section) = ffi::ath_shim_get_config(vector, proxy.module)
                .cast::<ffi::proxy_dir_conf>()
                .as_ref()
            else {
                continue;
            };
            let stock = walk == Walk::BeforeStock && stock_holds(section, url);
            if !stock
                && holds(r, section, farm, &target, |name| {
                    farms.by_name.is_declared(name)
                })
            {
                (*r).per_dir_config =
                    ffi::ap_merge_per_dir_configs((*r).pool, (*r).per_dir_config, vector);
                merged = true;
            }
        }
    }
    merged
}

/// mod_proxy's own test (proxy_walk in mod_proxy.c): what it finds it merges itself.
unsafe fn stock_holds(section: &ffi::proxy_dir_conf, url: &CStr) -> bool {
    // SAFETY: the section's pattern or name was set when it was read.
    unsafe {
        if !section.r.is_null() {
            return ffi::ap_regexec(section.r, url.as_ptr(), 0, std::ptr::null_mut(), 0) == 0;
        }
        if section.p_is_fnmatch != 0 {
            return ffi::apr_fnmatch(section.p, url.as_ptr(), 0) == 0;
        }
        !section.p.is_null()
            && url
                .to_bytes()
                .starts_with(CStr::from_ptr(section.p).to_bytes())
    }
}

/// Whether a section holds for a farm's path in any of its spellings.
unsafe fn holds(
    r: *mut ffi::request_rec,
    section: &ffi::proxy_dir_conf,
    farm: &Farm,
    target: &Target<'_>,
    is_declared: impl Fn(&str) -> bool,
) -> bool {
    // SAFETY: as `stock_holds`.
    unsafe {
        let pattern = !section.r.is_null() || section.p_is_fnmatch != 0;
        if !pattern {
            if section.p.is_null() {
                return false;
            }
            let name = CStr::from_ptr(section.p).to_bytes();
            return section::section_holds(
                name,
                &farm.name,
                target.scheme,
                target.rest,
                is_declared,
            );
        }
        // A pattern is asked about every spelling a request can have.
        let schemes = [target.scheme.as_bytes(), b"balancer", b"http", b"https"];
        schemes.iter().any(|scheme| {
            let url = pool::concat_bytes(r, &[scheme, b"://", farm.name.as_bytes(), target.rest]);
            stock_holds(section, CStr::from_ptr(url))
        })
    }
}

/// Runs httpd's access control for the request as it is configured now
/// (ap_process_request_internal in server/request.c).
unsafe fn authorise(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let any = ffi::ap_satisfies(r) == ffi::SATISFY_ANY;
        let open = ffi::ap_run_access_checker(r);
        if any && open == OK {
            return OK;
        }
        if !any && open != OK {
            return refusal(open);
        }
        match ffi::ap_run_access_checker_ex(r) {
            OK if ffi::ap_run_force_authn(r) != OK => OK,
            OK | DECLINED => authenticate(r),
            refused => refusal(refused),
        }
    }
}

unsafe fn authenticate(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let known = ffi::ap_run_check_user_id(r);
        if known != OK {
            return refusal(known);
        }
        if (*r).user.is_null() {
            return ffi::HTTP_INTERNAL_SERVER_ERROR;
        }
        match ffi::ap_run_auth_checker(r) {
            OK => OK,
            refused => refusal(refused),
        }
    }
}

/// Nobody felt responsible: closed.
fn refusal(status: c_int) -> c_int {
    if status == DECLINED {
        ffi::HTTP_FORBIDDEN
    } else {
        status
    }
}

impl ffi::request_rec {
    /// The proxy URL behind `proxy:` in the file name.
    pub fn filename_url(&self) -> Option<&CStr> {
        if self.filename.is_null() {
            return None;
        }
        // SAFETY: file names are NUL-terminated.
        unsafe { pool::behind(self.filename, b"proxy:").map(|url| CStr::from_ptr(url)) }
    }
}
