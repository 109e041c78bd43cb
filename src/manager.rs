//! The manager's page, where an administrator wrote `SetHandler balancer-manager` and
//! mod_proxy_balancer is not there to answer: a table for each farm of the server, and a form for
//! each member. As there, `Require` says who may see it; a change needs a POST from the page itself,
//! with the farm's nonce.

mod page;

use std::ffi::{CStr, c_char, c_int};

use athena_engine::manager::Form;
use subtle::ConstantTimeEq;

use crate::change::{self, Author, Change, Refusal, Wish};
use crate::conf::ServerConf;
use crate::farm::Farm;
use crate::ffi::{self, DECLINED, OK};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::naming::text;
use crate::runtime::{self, FarmRef};
use crate::{body, paths, proxy};

const HANDLER: &CStr = c"balancer-manager";
/// A member's form has a few hundred bytes.
const FORM_MAX: usize = 8192;

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
            let farms = farms_of(r);
            match (*r).method_number {
                ffi::M_GET => {
                    let status = ffi::ap_discard_request_body(r);
                    if status != OK {
                        return status;
                    }
                    page::send(r, &farms, None)
                }
                ffi::M_POST => match submit(r, &farms) {
                    Ok(said) => page::send(r, &farms, Some(&said)),
                    Err(refusal) => {
                        let text = format!("ATH0222: refused: {}", refusal.reason);
                        log::request(Level::Warning, r, &text);
                        page::refuse(r, refusal.status, &refusal.reason)
                    }
                },
                _ => {
                    let allowed = c"GET, HEAD, POST".as_ptr();
                    ffi::apr_table_setn((*r).err_headers_out, c"Allow".as_ptr(), allowed);
                    ffi::HTTP_METHOD_NOT_ALLOWED
                }
            }
        }
    })
}

/// The farms the request's server can reach, by name.
unsafe fn farms_of(r: *mut ffi::request_rec) -> Vec<(&'static str, FarmRef)> {
    // SAFETY: the caller's promise.
    let table = runtime::farms_of(unsafe { (*r).server });
    let mut farms: Vec<_> = table
        .into_iter()
        .flat_map(|table| &table.by_name)
        .map(|(name, farm)| (name.as_str(), *farm))
        .collect();
    farms.sort_by_key(|(name, _)| *name);
    farms
}

/// Does what a form asks for, all of it or nothing; what to say about it.
unsafe fn submit(
    r: *mut ffi::request_rec,
    farms: &[(&'static str, FarmRef)],
) -> Result<String, Refusal> {
    // SAFETY: the caller's promise; farms live as long as the configuration.
    unsafe {
        from_own_page(r)?;
        let body = form(r)?;
        let bad = |error: &dyn ToString| Refusal::new(ffi::HTTP_BAD_REQUEST, error.to_string());
        let form = Form::of(form_urlencoded::parse(&body)).map_err(|error| bad(&error))?;
        let named = farms
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&form.farm));
        let Some((farm, balancer)) =
            named.and_then(|(_, found)| Some((found.farm.as_ref()?, found.balancer)))
        else {
            let reason = format!("b={}: no farm of this server", form.farm);
            return Err(Refusal::new(ffi::HTTP_NOT_FOUND, reason));
        };
        let expected = nonce(balancer);
        // `nonce=None` switches the check off.
        if !expected.is_empty() && !bool::from(expected.as_bytes().ct_eq(form.nonce.as_bytes())) {
            let reason = "the nonce is not the page's: load the page again";
            return Err(Refusal::new(ffi::HTTP_FORBIDDEN, reason));
        }
        apply(r, farm, &form)
    }
}

/// Puts the form's values in force.
unsafe fn apply(r: *mut ffi::request_rec, farm: &Farm, form: &Form) -> Result<String, Refusal> {
    let url = form.member.as_bytes();
    let Some(member) = farm
        .members
        .iter()
        .find(|member| member.url().to_bytes() == url)
    else {
        let reason = format!("w={}: no member of farm {}", form.member, farm.name);
        return Err(Refusal::new(ffi::HTTP_NOT_FOUND, reason));
    };
    let wish = Wish {
        farm,
        change: Change::Member(member, &form.change),
    };
    // SAFETY: the caller's promise.
    let author = unsafe { Author::of(r, "balancer-manager") };
    let said = change::apply(&[wish], &author)?;
    Ok(match said.into_iter().flatten().next() {
        None => format!("{} is as it was.", member.name),
        Some(said) => format!("farm {}: member {}: {said}", farm.name, member.name),
    })
}

/// The body of a form.
unsafe fn form(r: *mut ffi::request_rec) -> Result<Vec<u8>, Refusal> {
    const FORM: &str = "application/x-www-form-urlencoded";
    // SAFETY: the caller's promise.
    unsafe {
        let kind = ffi::apr_table_get((*r).headers_in, c"Content-Type".as_ptr());
        let kind = text(kind);
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case(FORM) {
            let reason = format!("Content-Type must be {FORM}");
            return Err(Refusal::new(ffi::HTTP_UNSUPPORTED_MEDIA_TYPE, reason));
        }
        body::read(r, FORM_MAX)
    }
}

/// The page's own form, sent by a browser that shows it: what any other site could have made the
/// browser send is refused.
unsafe fn from_own_page(r: *mut ffi::request_rec) -> Result<(), Refusal> {
    // SAFETY: the caller's promise.
    let named = unsafe { paths::own_origin(r) };
    let named = named.map_err(|reason| Refusal::new(ffi::HTTP_FORBIDDEN, reason))?;
    if named {
        return Ok(());
    }
    let reason = "neither Origin nor Referer says that this page sent it";
    Err(Refusal::new(ffi::HTTP_FORBIDDEN, reason))
}

/// The nonce of a farm's forms; empty for `nonce=None`.
fn nonce(balancer: *mut ffi::proxy_balancer) -> String {
    // SAFETY: balancers and their shared parts live as long as the configuration; the nonce ends
    // with a NUL within its array.
    let nonce = unsafe { (*(*balancer).s).nonce.as_ptr() };
    text(nonce)
}

/// Gives a balancer without `nonce=` one of its own. Elsewhere mod_proxy_balancer does.
///
/// # Safety
/// Called in post_config, before any child exists.
pub unsafe fn make_nonce(balancer: *mut ffi::proxy_balancer) -> Result<(), String> {
    // SAFETY: the caller's promise.
    let place = unsafe { &mut (*(*balancer).s).nonce };
    if place.first().map(|byte| byte.cast_unsigned()) != Some(UNSET) {
        return Ok(());
    }
    let mut random = [0_u8; 16];
    // SAFETY: fills as many bytes as there are.
    let made = unsafe { ffi::apr_generate_random_bytes(random.as_mut_ptr(), random.len()) };
    if made != ffi::APR_SUCCESS {
        return Err("no random bytes for the manager's nonce".to_owned());
    }
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = text.bytes().map(u8::cast_signed);
    let zeros = std::iter::repeat(0 as c_char);
    for (place, byte) in place.iter_mut().zip(bytes.chain(zeros)) {
        *place = byte;
    }
    Ok(())
}

/// mod_proxy's PROXY_UNSET_NONCE.
const UNSET: u8 = b'\n';
