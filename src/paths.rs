//! The engine's own paths (`AthPath`): found before any mapping can take them, guarded, answered.

use std::ffi::{CStr, c_int};
use std::net::IpAddr;
use std::ptr;

use athena_engine::config::host;
use athena_engine::config::trust::Trust;
use athena_engine::query;

use crate::change::Refusal;
use crate::conf::{EnginePath, ServerConf};
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::naming::text;
use crate::record::{Kind, Record};
use crate::{api, manager, pool};

const DEFAULT_PATH: &str = "/athena";

/// The `pre_translate_name` hook: keeps `ProxyPass … mapping=encoded` from taking the path, and
/// decodes it, `%2F` too, which httpd would refuse: clients write the slashes in a member's name so.
pub unsafe extern "C" fn pre_translate_name(r: *mut ffi::request_rec) -> c_int {
    guard!("pre_translate_name", DECLINED, {
        // SAFETY: httpd calls with a live request, whose URI is its own.
        unsafe {
            if !is_ours(r) {
                return DECLINED;
            }
            match ffi::ap_unescape_url_keep2f((*r).uri, 1) {
                OK => ffi::DONE,
                status => status,
            }
        }
    })
}

/// The `translate_name` hook: claims the path before ProxyPass, Alias and RewriteRule.
pub unsafe extern "C" fn translate_name(r: *mut ffi::request_rec) -> c_int {
    guard!("translate_name", DECLINED, {
        // SAFETY: httpd calls with a live request.
        unsafe {
            if !is_ours(r) {
                return DECLINED;
            }
            Record::for_engine(r);
            (*r).filename =
                pool::concat_bytes(r, &[b"athena:", CStr::from_ptr((*r).uri).to_bytes()]);
            OK
        }
    })
}

/// The `map_to_storage` hook: there is nothing of the path on disk.
pub unsafe extern "C" fn map_to_storage(r: *mut ffi::request_rec) -> c_int {
    guard!("map_to_storage", DECLINED, {
        // SAFETY: httpd calls with a live request.
        if unsafe { is_claimed(r) } {
            OK
        } else {
            DECLINED
        }
    })
}

/// The `handler` hook.
pub unsafe extern "C" fn handler(r: *mut ffi::request_rec) -> c_int {
    guard!("handler", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        // SAFETY: httpd calls with a live request.
        unsafe {
            if !is_claimed(r) {
                return DECLINED;
            }
            answer(r)
        }
    })
}

// Apart from the hook, which every request runs through.
#[inline(never)]
unsafe fn answer(r: *mut ffi::request_rec) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let path = below(r);
        let asked = String::from_utf8_lossy(path);
        let lines = query::Kind::begins(&asked);
        if let Err(reason) = may(r) {
            log::request(Level::Warning, r, &format!("ATH0130: refused: {reason}"));
            let refusal = Refusal::forbidden("this client may not ask");
            return if lines {
                crate::query::refused(r, &refusal)
            } else {
                api::forbidden(r, path, &refusal)
            };
        }
        if let Some(kind) = query::Kind::of_path(&asked) {
            return crate::query::answer(r, kind);
        }
        if lines {
            let reason = format!("there is nothing at {asked:?}");
            return crate::query::refused(r, &Refusal::missing(reason));
        }
        if matches!(path, b"" | b"/") {
            return manager::answer(r);
        }
        api::answer(r, path)
    }
}

unsafe fn is_claimed(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise.
    unsafe { Record::of(r) }.is_some_and(|record| record.kind == Kind::Engine)
}

/// The path the engine answers at in a server; `None` when it answers nowhere.
fn path_of(s: *const ffi::server_rec) -> Option<&'static str> {
    let conf = ServerConf::of(s)?;
    if !conf.engine {
        return None;
    }
    match conf.path.as_ref() {
        None => Some(DEFAULT_PATH),
        Some(EnginePath::At(path)) => Some(path),
        Some(EnginePath::Off) => None,
    }
}

unsafe fn is_ours(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*r).uri.is_null() || (*r).proxyreq != ffi::PROXYREQ_NONE {
            return false;
        }
        let Some(path) = path_of((*r).server) else {
            return false;
        };
        pool::behind((*r).uri, path.as_bytes())
            .is_some_and(|rest| matches!((*rest).cast_unsigned(), 0 | b'/'))
    }
}

/// The request's path below the engine's own.
unsafe fn below<'a>(r: *mut ffi::request_rec) -> &'a [u8] {
    // SAFETY: the caller's promise; the URI lives as long as the request.
    unsafe {
        let uri = CStr::from_ptr((*r).uri).to_bytes();
        let skip = path_of((*r).server).map_or(0, str::len);
        uri.get(skip..).unwrap_or_default()
    }
}

/// The whole path of one below the engine's own.
///
/// # Safety
/// `r` is live.
pub unsafe fn full(r: *mut ffi::request_rec, below: &str) -> String {
    // SAFETY: the caller's promise.
    let path = path_of(unsafe { (*r).server }).unwrap_or(DEFAULT_PATH);
    format!("{path}/{below}/")
}

/// Who may: both the connection's and the effective client address are trusted, a forwarded
/// request is not loopback's, and the Host is one that a browser cannot have been lured to.
unsafe fn may(r: *mut ffi::request_rec) -> Result<(), String> {
    // SAFETY: the caller's promise.
    unsafe {
        let default = Trust::default();
        let trust = ServerConf::of((*r).server).and_then(|conf| conf.trust.as_ref());
        let trust = trust.unwrap_or(&default);
        let connection = &*(*r).connection;
        // mod_remoteip takes away the header that it goes by.
        let told = !ptr::eq((*r).useragent_addr, connection.client_addr);
        for (ip, told) in [((*r).useragent_ip, told), (connection.client_ip, false)] {
            let text = if ip.is_null() {
                ""
            } else {
                CStr::from_ptr(ip).to_str().unwrap_or("")
            };
            let address: IpAddr = text
                .parse()
                .map_err(|_| format!("the client address {text:?} is none"))?;
            if !trust.trusts(address) {
                return Err(format!("{address} is not among the networks of AthTrust"));
            }
            if address.to_canonical().is_loopback() && !trust.is_all() {
                if told {
                    return Err(format!(
                        "{address} is what a proxy says, and the request is not loopback's"
                    ));
                }
                for header in [c"Forwarded", c"X-Forwarded-For", c"Via"] {
                    if !ffi::apr_table_get((*r).headers_in, header.as_ptr()).is_null() {
                        return Err(format!(
                            "a request from {address} with {} was forwarded, and is not loopback's",
                            header.to_string_lossy()
                        ));
                    }
                }
            }
        }
        acceptable_host(r)
    }
}

/// Whether the Host is a name of the request's server, or an address.
///
/// # Safety
/// `r` is live.
pub unsafe fn acceptable_host(r: *mut ffi::request_rec) -> Result<(), String> {
    // SAFETY: the caller's promise; names of servers live as long as the configuration.
    unsafe {
        let given = ffi::apr_table_get((*r).headers_in, c"Host".as_ptr());
        if given.is_null() {
            return Ok(());
        }
        let given = CStr::from_ptr(given).to_string_lossy();
        let server = &*(*r).server;
        let aliases = [server.names, server.wild_names].into_iter();
        let aliases = aliases
            .flat_map(|list| crate::proxy::elements::<*const std::ffi::c_char>(list))
            .map(|name| *name);
        let names = std::iter::once(server.server_hostname.cast_const())
            .chain(aliases)
            .filter(|name| !name.is_null())
            .map(|name| CStr::from_ptr(name).to_string_lossy());
        if host::accepts(&given, names) {
            Ok(())
        } else {
            Err(format!(
                "Host {given:?} is neither a name of this server nor an address (a ServerAlias with * or ? \
                 counts before a domain alone, as *.example.com)"
            ))
        }
    }
}

/// Refuses what a page elsewhere made a browser send. True when `Origin` or `Referer` says that a
/// page of this server did.
///
/// # Safety
/// `r` is live.
pub unsafe fn own_origin(r: *mut ffi::request_rec) -> Result<bool, Refusal> {
    // SAFETY: the caller's promise; header values live as long as the request.
    unsafe {
        acceptable_host(r).map_err(Refusal::forbidden)?;
        let header = |name: &CStr| text(ffi::apr_table_get((*r).headers_in, name.as_ptr()));
        let site = header(c"Sec-Fetch-Site");
        if !["", "same-origin", "none"].contains(&site.as_str()) {
            return Err(Refusal::forbidden(format!("Sec-Fetch-Site: {site}")));
        }
        let mut named = false;
        for name in [c"Origin", c"Referer"] {
            let value = header(name);
            if value.is_empty() {
                continue;
            }
            if !host::is_of(&value, &header(c"Host")) {
                let reason = format!("{}: {value}", name.to_string_lossy());
                return Err(Refusal::forbidden(reason));
            }
            named = true;
        }
        Ok(named)
    }
}
