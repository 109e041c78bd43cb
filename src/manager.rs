//! The manager's page: the farms with their members, live where a script may run, and forms that change
//! them. It stands at the engine's own path ([`answer`]), for whoever may use the API, with all farms; and where an
//! administrator wrote `SetHandler balancer-manager` and mod_proxy_balancer is not there to answer
//! ([`handler`]), for whom `Require` lets in, with the farms of that server. A change needs a POST
//! from the page itself ([`submit`]), with the farm's nonce.

pub mod nonce;
mod page;
mod submit;
mod table;

use std::ffi::{CStr, c_int};

use athena_engine::config::named;

use crate::change::{Author, Refusal};
use crate::conf::ServerConf;
use crate::farm::Farm;
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::naming::text;
use crate::{paths, proxy, runtime};

use page::Page;

pub const HANDLER: &CStr = c"balancer-manager";

/// A farm on the page.
pub struct Shown {
    /// What its forms call it.
    name: String,
    farm: &'static Farm,
    /// The balancer whose nonce its forms carry.
    balancer: *mut ffi::proxy_balancer,
}

/// The `handler` hook, behind mod_proxy_balancer's.
pub unsafe extern "C" fn handler(r: *mut ffi::request_rec) -> c_int {
    guard!("balancer-manager", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: httpd calls with a live request.
        unsafe {
            if (*r).handler.is_null() || CStr::from_ptr((*r).handler) != HANDLER {
                return DECLINED;
            }
            let engine = ServerConf::main().is_some_and(|conf| conf.engine);
            if !engine || proxy::is_loaded(c"proxy_balancer_module") {
                return DECLINED;
            }
            serve(r, farms_of(r), None, &Author::of(r, "balancer-manager"))
        }
    })
}

/// Answers at the engine's own path.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn answer(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let api = paths::full(r, "api/v1/farms");
        serve(r, all_farms(), Some(api), &Author::of(r, "manager"))
    }
}

/// Shows farms, and changes them; `api` is where a script may ask for news.
unsafe fn serve(
    r: *mut ffi::request_rec,
    mut shown: Vec<Shown>,
    api: Option<String>,
    author: &Author,
) -> c_int {
    // SAFETY: the caller's promise; URI and query live as long as the request.
    unsafe {
        let (uri, query) = (text((*r).uri), text((*r).args));
        let one = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "farm");
        let mut page = Page {
            uri,
            api,
            one: None,
        };
        if let Some((_, name)) = one {
            shown = named::farms(shown.into_iter(), &name, |shown| {
                (&shown.farm.name, &shown.farm.server)
            });
            match shown.as_slice() {
                [one] => page.one = Some(one.name.clone()),
                [] => {
                    let reason = format!("There is no farm {name}");
                    return page.refuse(r, ffi::HTTP_NOT_FOUND, &reason);
                }
                several => {
                    let names: Vec<_> = several.iter().map(|one| one.name.as_str()).collect();
                    let reason = format!("Several farms have this name: {}", names.join(" "));
                    return page.refuse(r, ffi::HTTP_CONFLICT, &reason);
                }
            }
        }
        match (*r).method_number {
            ffi::M_GET => {
                let status = ffi::ap_discard_request_body(r);
                if status != OK {
                    return status;
                }
                page.send(r, &shown, None)
            }
            ffi::M_POST => match submit::submit(r, &shown, author) {
                Ok(said) => page.send(r, &shown, Some(&said)),
                Err(Refusal { status, reason }) => {
                    let text = format!("ATH0222: refused: {reason}");
                    log::request(Level::Warning, r, &text);
                    page.refuse(r, status, &format!("Nothing was changed: {reason}"))
                }
            },
            _ => {
                let allowed = c"GET, HEAD, POST".as_ptr();
                ffi::apr_table_setn((*r).err_headers_out, c"Allow".as_ptr(), allowed);
                // Returned, the status would have httpd write its own Allow.
                let reason = "the method must be GET, HEAD or POST";
                page.refuse(r, ffi::HTTP_METHOD_NOT_ALLOWED, reason)
            }
        }
    }
}

/// The farms the request's server can reach, by name.
unsafe fn farms_of(r: *mut ffi::request_rec) -> Vec<Shown> {
    // SAFETY: the caller's promise.
    let table = runtime::farms_of(unsafe { (*r).server });
    let found = table.into_iter().flat_map(|table| table.by_name.iter());
    found
        .filter_map(|(name, found)| {
            Some(Shown {
                name: name.to_owned(),
                // SAFETY: farms live as long as the configuration.
                farm: unsafe { found.farm.as_ref() }?,
                balancer: found.balancer,
            })
        })
        .collect()
}

/// Every farm, in the API's order and by the name that is unmistakable there.
fn all_farms() -> Vec<Shown> {
    let farms = runtime::farms();
    let shared = |farm: &Farm| farms.iter().filter(|other| other.name == farm.name).count() > 1;
    farms
        .iter()
        .map(|farm| Shown {
            name: if shared(farm) {
                format!("{}@{}", farm.name, farm.server)
            } else {
                farm.name.clone()
            },
            farm,
            balancer: farm.balancer,
        })
        .collect()
}
