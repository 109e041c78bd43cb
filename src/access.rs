//! `<Proxy>` sections hold for farms under both spellings and from every road into them.
//!
//! Stock httpd compares a section's name with the target as it is spelt, in map_to_storage, and so
//! lets through `http://NAME/` where `balancer://NAME` was closed, any other case of the name, and
//! the roads whose target is known only later (`SetHandler`, per-directory `[P]`).

use std::ffi::{CStr, c_int};

use athena_engine::config::target::Target;

use crate::farm::Farm;
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::record::Record;
use crate::section::Asked;
use crate::{canon, pool, runtime};

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
            if farms.sections.is_empty() {
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
            merge(r, farm, url);
            OK
        }
    })
}

/// For requests whose target was not known in map_to_storage: merges the sections, and has httpd's hooks up to
/// access and authentication run again under them.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn late(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let none = runtime::farms_of((*r).server).is_none_or(|farms| farms.sections.is_empty());
        if none || !record.walked.get().is_null() {
            return OK;
        }
        record.walked.set((*r).filename);
        let rest = CStr::from_ptr(record.raw_path).to_bytes();
        let url = pool::concat_bytes(r, &[b"balancer://", farm.name.as_bytes(), rest]);
        let merged = merge(r, farm, CStr::from_ptr(url));
        if !merged.any {
            return OK;
        }
        if merged.conditional {
            let refused = ffi::ap_if_walk(r);
            if refused != OK {
                return refused;
            }
        }
        if (*r).main.is_null() {
            // `SetEnvIf`, whose variables rules ask for.
            let refused = ffi::ap_run_header_parser(r);
            if refused != OK && refused != DECLINED {
                return refused;
            }
        }
        authorise(r)
    }
}

/// What the sections that hold for a request came to.
#[derive(Default)]
struct Merged {
    any: bool,
    /// Some of them has an `<If>`.
    conditional: bool,
}

/// Merges the sections that hold for the farm into the request's configuration.
unsafe fn merge(r: *mut ffi::request_rec, farm: &Farm, url: &CStr) -> Merged {
    let mut merged = Merged::default();
    let Some(target) = Target::parse(url.to_bytes()) else {
        return merged;
    };
    // SAFETY: the caller's promise; sections live as long as the configuration.
    unsafe {
        let Some(farms) = runtime::farms_of((*r).server) else {
            return merged;
        };
        let asked = Asked {
            r,
            url,
            target,
            farm: &farm.name,
        };
        for section in &farms.sections {
            if section.holds(&asked, &farms.by_name) {
                (*r).per_dir_config =
                    ffi::ap_merge_per_dir_configs((*r).pool, (*r).per_dir_config, section.vector);
                merged.any = true;
                merged.conditional |= section.conditional;
            }
        }
    }
    merged
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
