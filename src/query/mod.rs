//! The text requests below the engine's path: `balance` ([`mod@balance`]), `status` ([`mod@status`]).
//! The engine reads them ([`athena_engine::query`]); here they meet farms and members ([`find`]).
//!
//! All or nothing: everything is read and found before anything is done.

mod balance;
mod find;
mod status;
mod subject;

use std::ffi::{CStr, c_int};

use athena_engine::query::{self, Kind, Limits, QUERY_MAX, QueryError, Request, Text};

use crate::conf::ServerConf;
use crate::ffi;
use crate::log::{self, Level};
use crate::{api, pool};

/// `AthMaxEmbed` without a word of the administrator's.
const MAX_EMBED: usize = 16;

/// Why a query gets no answer of the kind it asked for.
pub struct Refusal {
    status: c_int,
    reason: String,
}

impl Refusal {
    fn new(status: c_int, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status, reason }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self::new(ffi::HTTP_BAD_REQUEST, error.to_string())
    }
}

/// One answer, line by line.
struct Answer {
    status: c_int,
    text: String,
}

/// A request whose farms and members are found.
enum Ready<'q> {
    Balance(balance::Ready<'q>),
    Status(status::Ready),
}

/// Answers a query.
///
/// # Safety
/// `r` is live.
pub unsafe fn answer(r: *mut ffi::request_rec, kind: Kind) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if (*r).method_number != ffi::M_GET as c_int {
            let allowed = c"GET, HEAD".as_ptr();
            ffi::apr_table_setn((*r).err_headers_out, c"Allow".as_ptr(), allowed);
            let reason = "the method must be GET or HEAD";
            return refuse(r, &Refusal::new(ffi::HTTP_METHOD_NOT_ALLOWED, reason));
        }
        match lines(r, kind) {
            Ok(answer) => {
                (*r).status = answer.status;
                api::send(r, c"text/plain", answer.text.as_bytes())
            }
            Err(refusal) => refuse(r, &refusal),
        }
    }
}

unsafe fn lines(r: *mut ffi::request_rec, kind: Kind) -> Result<Answer, Refusal> {
    // SAFETY: the caller's promise; the query lives as long as the request.
    unsafe {
        let query = match (*r).args.is_null() {
            true => b"",
            false => CStr::from_ptr((*r).args).to_bytes(),
        };
        if query.len() > QUERY_MAX {
            let reason = format!("a query has at most {QUERY_MAX} bytes");
            return Err(Refusal::new(ffi::HTTP_REQUEST_URI_TOO_LARGE, reason));
        }
        let text = Text::of_query(query)?;
        let requests = query::parse(kind, &text, limits(r))?;
        let mut ready = Vec::with_capacity(requests.len());
        for request in requests {
            if request.kind() != kind {
                may(r, request.kind())?;
            }
            ready.push(match request {
                Request::Balance(balance) => Ready::Balance(balance::Ready::of(balance)?),
                Request::Status(status) => Ready::Status(status::Ready::of(&status)?),
            });
        }
        let mut answer = Answer {
            status: ffi::HTTP_OK,
            text: String::new(),
        };
        for request in &ready {
            match request {
                Ready::Balance(balance) => balance.run(r, &mut answer),
                Ready::Status(status) => status.write(&mut answer.text),
            }
        }
        Ok(answer)
    }
}

fn limits(r: *mut ffi::request_rec) -> Limits {
    // SAFETY: a live request has a server.
    let conf = ServerConf::of(unsafe { (*r).server });
    Limits {
        requests: conf
            .as_ref()
            .and_then(|conf| conf.max_embed)
            .unwrap_or(MAX_EMBED),
        diverse: conf.and_then(|conf| conf.diverse).unwrap_or(false),
    }
}

/// Whether who may send this request may ask for another kind, too: the rules of its path are asked
/// as if it had come there.
unsafe fn may(r: *mut ffi::request_rec, kind: Kind) -> Result<(), Refusal> {
    // SAFETY: the caller's promise; the path lives as long as the request.
    let status = unsafe {
        let path = crate::paths::full(r, kind.path());
        let asked = ffi::ap_sub_req_method_uri(
            (*r).method,
            pool::text((*r).pool, &path),
            r,
            std::ptr::null_mut(),
        );
        let status = (*asked).status;
        ffi::ap_destroy_sub_req(asked);
        status
    };
    if status == ffi::HTTP_OK {
        return Ok(());
    }
    let reason = format!("{}/ is not for you", kind.path());
    Err(Refusal::new(ffi::HTTP_FORBIDDEN, reason))
}

/// Answers with the reason as the only line.
unsafe fn refuse(r: *mut ffi::request_rec, refusal: &Refusal) -> c_int {
    log::request(
        Level::Info,
        r,
        &format!("ATH0280: refused: {}", refusal.reason),
    );
    // SAFETY: the caller's promise.
    unsafe {
        (*r).status = refusal.status;
        api::send(r, c"text/plain", format!("{}\n", refusal.reason).as_bytes())
    }
}
