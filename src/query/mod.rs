//! The text requests below the engine's path: `balance` ([`mod@balance`]), `status` ([`mod@status`]),
//! `update` ([`mod@update`]), `mirror` ([`mod@mirror`]).
//! The engine reads them ([`athena_engine::query`]); here they meet farms and members ([`find`]).
//!
//! All or nothing: everything is read and found before anything is done; [`update::all`] says what others can
//! come in between with.

mod balance;
mod find;
mod mirror;
mod status;
mod subject;
mod update;

use std::ffi::c_int;

use athena_engine::query::{
    self, BODY_MAX, BODY_REQUESTS_MAX, Kind, Limits, QUERY_MAX, QueryError, Request, Text,
};

use crate::change::Refusal;
use crate::conf::ServerConf;
use crate::ffi::{self, OK};
use crate::log::{self, Level};
use crate::{api, body, pool};

/// `AthMaxEmbed` without a word of the administrator's.
const MAX_EMBED: usize = 16;

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self::new(ffi::HTTP_BAD_REQUEST, error.to_string())
    }
}

/// Most farms and members that all requests together may be about, each as often as it is named: five
/// for each line that a body has room for.
const SUBJECTS_MAX: usize = 5 * BODY_REQUESTS_MAX;
/// Longest answer, in bytes. An answer stands in the child's memory as a whole; this is room for the
/// default line of each of [`SUBJECTS_MAX`].
const ANSWER_MAX: usize = 16 << 20;

/// One answer, line by line.
struct Answer {
    status: c_int,
    text: String,
}

impl Answer {
    /// Whether what was written so far may be sent.
    fn fits(&self) -> Result<(), Refusal> {
        if self.text.len() <= ANSWER_MAX {
            return Ok(());
        }
        let reason = format!("an answer has at most {ANSWER_MAX} bytes: ask for less at once");
        Err(Refusal::new(ffi::HTTP_REQUEST_ENTITY_TOO_LARGE, reason))
    }
}

/// A request whose farms and members are found.
enum Ready<'q> {
    Balance(balance::Ready<'q>),
    Status(status::Ready),
    Update(Box<update::Ready<'q>>),
    Mirror(mirror::Ready<'q>),
}

impl Ready<'_> {
    /// How many farms and members it is about.
    fn subjects(&self) -> usize {
        match self {
            Self::Balance(_) => 1,
            Self::Status(status) => status.subjects(),
            Self::Update(update) => update.subjects(),
            Self::Mirror(mirror) => mirror.subjects(),
        }
    }
}

/// Answers a query: of a GET's URL, or of a POST's body.
///
/// # Safety
/// `r` is live, and its body unread.
pub unsafe fn answer(r: *mut ffi::request_rec, kind: Kind) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        let answer = match (*r).method_number {
            ffi::M_GET => ask(r, kind),
            ffi::M_POST => post(r, kind),
            _ => {
                let allowed = c"GET, HEAD, POST".as_ptr();
                ffi::apr_table_setn((*r).err_headers_out, c"Allow".as_ptr(), allowed);
                let reason = "the method must be GET, HEAD or POST";
                Err(Refusal::new(ffi::HTTP_METHOD_NOT_ALLOWED, reason))
            }
        };
        match answer {
            Ok(answer) => {
                (*r).status = answer.status;
                api::send(r, c"text/plain", answer.text.as_bytes())
            }
            Err(refusal) => refuse(r, &refusal),
        }
    }
}

unsafe fn ask(r: *mut ffi::request_rec, kind: Kind) -> Result<Answer, Refusal> {
    // SAFETY: the caller's promise; the query lives as long as the request.
    unsafe {
        let status = ffi::ap_discard_request_body(r);
        if status != OK {
            return Err(Refusal::new(status, "the body cannot be read"));
        }
        let query = pool::bytes((*r).args);
        if query.len() > QUERY_MAX {
            let reason = format!("a query has at most {QUERY_MAX} bytes");
            return Err(Refusal::new(ffi::HTTP_REQUEST_URI_TOO_LARGE, reason));
        }
        lines(r, kind, &Text::of_query(query)?, limits(r))
    }
}

/// A body takes the place of the query; without one, the query counts. Long bodies are for those who
/// send the state of a whole engine.
unsafe fn post(r: *mut ffi::request_rec, kind: Kind) -> Result<Answer, Refusal> {
    // SAFETY: the caller's promise.
    unsafe {
        crate::paths::own_origin(r)?;
        let mut limits = limits(r);
        let mut most = QUERY_MAX;
        if let Kind::Update(_) | Kind::Mirror(_) = kind {
            limits.requests = BODY_REQUESTS_MAX;
            most = BODY_MAX;
        }
        let body = body::read(r, most)?;
        if body.is_empty() {
            return ask(r, kind);
        }
        lines(r, kind, &Text::of_body(&body)?, limits)
    }
}

/// Finds everything first, then puts changes in force, then writes the lines.
unsafe fn lines(
    r: *mut ffi::request_rec,
    kind: Kind,
    text: &Text<'_>,
    limits: Limits,
) -> Result<Answer, Refusal> {
    let requests = query::parse(kind, text, limits)?;
    let mut ready = Vec::with_capacity(requests.len());
    let mut subjects = 0;
    for request in requests {
        if request.kind() != kind {
            // SAFETY: the caller's promise.
            unsafe { may(r, request.kind())? };
        }
        let found = match request {
            Request::Balance(balance) => Ready::Balance(balance::Ready::of(balance)?),
            Request::Status(status) => Ready::Status(status::Ready::of(&status)?),
            Request::Update(update) => Ready::Update(Box::new(update::Ready::of(*update)?)),
            Request::Mirror(mirror) => Ready::Mirror(mirror::Ready::of(mirror)?),
        };
        subjects += found.subjects();
        if subjects > SUBJECTS_MAX {
            let reason = format!("a query is about at most {SUBJECTS_MAX} farms and members");
            return Err(Refusal::new(ffi::HTTP_REQUEST_ENTITY_TOO_LARGE, reason));
        }
        ready.push(found);
    }
    let updates = ready.iter().filter_map(|ready| match ready {
        Ready::Update(update) | Ready::Mirror(mirror::Ready::Line(update)) => Some(update.as_ref()),
        _ => None,
    });
    // SAFETY: the caller's promise.
    let mut updated = unsafe { update::all(r, updates)? }.into_iter();
    let mut answer = Answer {
        status: ffi::HTTP_OK,
        text: String::new(),
    };
    for request in &ready {
        match request {
            // SAFETY: the caller's promise.
            Ready::Balance(balance) => unsafe { balance.run(r, &mut answer) },
            Ready::Status(status) => status.write(&mut answer)?,
            Ready::Update(update) | Ready::Mirror(mirror::Ready::Line(update)) => {
                update.write(&mut updated, &mut answer.text);
            }
            Ready::Mirror(mirror) => mirror.write(&mut answer.text),
        }
        answer.fits()?;
    }
    Ok(answer)
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
    Err(Refusal::forbidden(reason))
}

/// Logs the refusal, and answers with it.
unsafe fn refuse(r: *mut ffi::request_rec, refusal: &Refusal) -> c_int {
    log::request(
        Level::Info,
        r,
        &format!("ATH0280: refused: {}", refusal.reason),
    );
    // SAFETY: the caller's promise.
    unsafe { refused(r, refusal) }
}

/// Answers with the reason as the only line.
///
/// # Safety
/// `r` is live.
pub unsafe fn refused(r: *mut ffi::request_rec, refusal: &Refusal) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        (*r).status = refusal.status;
        api::send(r, c"text/plain", format!("{}\n", refusal.reason).as_bytes())
    }
}
