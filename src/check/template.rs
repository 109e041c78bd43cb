//! What a `ProxyHCTemplate` says. mod_proxy_hcheck alone knows: it writes that into a worker, as it does
//! for mod_proxy when the configuration is read.

use std::ffi::CString;
use std::ptr;

use athena_engine::check::CheckParams;

use crate::farm::Farm;
use crate::ffi;
use crate::naming::text;
use crate::worker::Draft;

/// Has it written into the draft's worker, and reads it there.
pub fn read(farm: &Farm, draft: &Draft, name: &str) -> Result<CheckParams, String> {
    let refused = |reason: &str| format!("hctemplate={name}: {reason}");
    let c_name = CString::new(name).map_err(|_| refused("a NUL in it"))?;
    // SAFETY: the optional function has the type that mod_proxy.h declares for its name; the worker is
    // nobody else's, and its shared part holds what mod_proxy_hcheck writes, NUL-terminated.
    let shared = unsafe {
        let set: ffi::apr_OFN_set_worker_hc_param_t = std::mem::transmute(
            ffi::apr_dynamic_fn_retrieve(c"set_worker_hc_param".as_ptr()),
        );
        let set = set.ok_or_else(|| refused("mod_proxy_hcheck is not loaded"))?;
        let (key, none) = (c"hctemplate".as_ptr(), ptr::null_mut());
        let (pool, worker) = (draft.pool, draft.worker);
        let said = set(pool, farm.server_rec, worker, key, c_name.as_ptr(), none);
        if !said.is_null() {
            return Err(refused(&text(said)));
        }
        &*(*worker).s
    };
    if !text(shared.hcexpr.as_ptr()).is_empty() {
        return Err(refused(
            "its hcexpr is not for a member that is added at run time",
        ));
    }
    let mut params = CheckParams::default();
    let uri = text(shared.hcuri.as_ptr());
    for (key, value) in [
        ("hcmethod", method(shared.method)),
        ("hcinterval", &format!("{}ms", shared.interval / 1000)),
        ("hcpasses", &shared.passes.to_string()),
        ("hcfails", &shared.fails.to_string()),
        // There it need not begin with a slash.
        ("hcuri", &format!("/{}", uri.trim_start_matches('/'))),
    ] {
        if let Some(Err(must)) = params.set(key, value) {
            return Err(refused(&format!("{key}={value}: {must}")));
        }
    }
    Ok(params)
}

/// A method by its name.
fn method(number: ffi::hcmethod_t) -> &'static str {
    match number {
        ffi::TCP => "TCP",
        ffi::OPTIONS => "OPTIONS",
        ffi::HEAD => "HEAD",
        ffi::GET => "GET",
        ffi::CPING => "CPING",
        ffi::OPTIONS11 => "OPTIONS11",
        ffi::HEAD11 => "HEAD11",
        ffi::GET11 => "GET11",
        _ => "None",
    }
}
