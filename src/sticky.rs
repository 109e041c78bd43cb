//! Sessions: which member a request's session belongs to, and what its variables say of it.
//! [`cookie`] is what `stickyissue` sets, [`mod@explain`] the log's part, [`mod@check`] the start's.

mod check;
mod cookie;
mod explain;
mod settings;

use std::ffi::{CStr, c_char};

use athena_engine::board::record::flags;
use athena_engine::dispatch::{Elected, Election, Nobody};
use athena_engine::plan::index;
use athena_engine::sticky::{self, Request, Routes, Source, has_route};

use crate::farm::{Farm, Member};
use crate::ffi;
use crate::pool;
use crate::record::Record;

pub use check::{Sessions, check_route};
pub use cookie::set_cookie;
pub use explain::explain;
use settings::Settings;

/// What a request to a farm with `stickysession` says of its session. Plain data in the request's
/// pool.
#[derive(Clone, Copy)]
pub struct Session {
    /// Where its value was found, and the route in it.
    found: Option<(Source, Option<Route>)>,
}

/// A route in the request's pool, NUL-terminated.
#[derive(Clone, Copy)]
struct Route(*const c_char);

impl Route {
    fn bytes(&self) -> &[u8] {
        // SAFETY: made by `read` in the pool of the request whose record holds it.
        unsafe { CStr::from_ptr(self.0) }.to_bytes()
    }
}

impl Session {
    /// The route; `None`: there is no value, or none that a route can be read off.
    fn route(&self) -> Option<&[u8]> {
        let (_, route) = self.found.as_ref()?;
        route.as_ref().map(Route::bytes)
    }

    /// The client has to be told another route than the one it came with.
    fn changed_by(&self, member: &Member) -> bool {
        let route = self.route().unwrap_or_default();
        route.is_empty() || route != member.route().to_bytes()
    }
}

/// Whether requests to the farm may belong to sessions (`stickysession`).
pub fn has_sessions(farm: &Farm) -> bool {
    Settings::of(farm.balancer).is_some()
}

/// Reads the session of a request; `None` where the farm knows no sessions.
///
/// # Safety
/// `r` is live and `record` its own, of a farm.
pub unsafe fn read(r: *mut ffi::request_rec, record: &Record, farm: &Farm) -> Option<Session> {
    let settings = Settings::of(record.balancer())?;
    // SAFETY: the caller's promise; paths, queries and headers are NULL or NUL-terminated.
    let request = unsafe {
        Request {
            path: pool::bytes(record.raw_path),
            query: pool::bytes((*r).args),
            cookies: pool::bytes(ffi::apr_table_get((*r).headers_in, c"Cookie".as_ptr())),
        }
    };
    let found = sticky::find(&settings.names(), &request).map(|found| {
        let route = settings.reading(&farm.params).route(found.value);
        // SAFETY: the caller's promise.
        let kept = route.map(|route| Route(unsafe { pool::concat_bytes(r, &[route]) }));
        (found.source, kept)
    });
    Some(Session { found })
}

/// Who may serve a request, by its session.
pub enum Choice {
    /// The session's member.
    Its(Elected),
    /// Whom the method elects: there is no session, or its member cannot serve it.
    Any,
    /// Nobody: its member cannot serve it, or not now, and `nofailover` keeps it from all others.
    Nobody(Nobody),
}

/// Looks for the member of a request's session.
pub fn choose(session: &Session, record: &Record, farm: &Farm, election: &Election<'_>) -> Choice {
    match session.route() {
        Some(route) => by_route(route, record.balancer(), farm, election),
        None => Choice::Any,
    }
}

/// Elects the member that a session's value belongs to, or whom the method elects. A value that no
/// route can be read off is taken for the route itself.
pub fn elect(
    value: &[u8],
    farm: &Farm,
    election: &Election<'_>,
    by_method: impl FnOnce() -> Option<Elected>,
) -> Option<Elected> {
    let Some(settings) = Settings::of(farm.balancer) else {
        return by_method();
    };
    let route = settings.reading(&farm.params).route(value).unwrap_or(value);
    match by_route(route, farm.balancer, farm, election) {
        Choice::Its(elected) => Some(elected),
        Choice::Any => by_method(),
        Choice::Nobody(_) => None,
    }
}

fn by_route(
    route: &[u8],
    balancer: *mut ffi::proxy_balancer,
    farm: &Farm,
    election: &Election<'_>,
) -> Choice {
    let seat = |at: usize| farm.members.get(at).map(|member| member.seat.id);
    let found = sticky::member_of(farm, route, |at| {
        let id = seat(at)?;
        election.sticky(id).map(|reason| Elected::new(id, reason))
    });
    if let Some((_, elected)) = found {
        return Choice::Its(elected);
    }
    if !is_pinned(route, balancer, farm) {
        return Choice::Any;
    }
    let its: Vec<_> = farm.with_route(route).filter_map(seat).collect();
    election
        .forced_sticky(&its)
        .map_or_else(Choice::Nobody, Choice::Its)
}

/// `nofailover` keeps sessions of the route from all members but their own.
fn is_pinned(route: &[u8], balancer: *mut ffi::proxy_balancer, farm: &Farm) -> bool {
    Settings::of(balancer).is_some_and(Settings::no_failover) && has_route(farm, route)
}

/// The members that a session may be kept by, each told to `home`. True: it may go to no others.
pub fn homes(
    session: &Session,
    record: &Record,
    farm: &Farm,
    mut home: impl FnMut(&Member),
) -> bool {
    let Some(route) = session.route() else {
        return false;
    };
    sticky::member_of(farm, route, |at| {
        farm.members.get(at).map(&mut home);
        None::<()>
    });
    is_pinned(route, record.balancer(), farm)
}

/// The member that a session belongs to, when `forward=` says who serves its sessions instead.
pub fn forwarder<'a>(session: &Session, farm: &'a Farm) -> Option<&'a Member> {
    let route = session.route().filter(|route| !route.is_empty())?;
    farm.with_route(route)
        .filter_map(|at| farm.members.get(at))
        .find(|member| member.forward().is_some())
}

/// A member was elected: the session's variables, and the notes that mod_proxy_balancer sets.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn tell(r: *mut ffi::request_rec, record: &Record, member: &Member) {
    let (Some(session), Some(settings)) = (record.session.get(), Settings::of(record.balancer()))
    else {
        return;
    };
    // SAFETY: the caller's promise; the names live as long as the configuration, the route as long
    // as the request.
    unsafe {
        let env = (*r).subprocess_env;
        if session.changed_by(member) {
            ffi::apr_table_setn(env, ROUTE_CHANGED.as_ptr(), c"1".as_ptr());
        } else {
            ffi::apr_table_unset(env, ROUTE_CHANGED.as_ptr());
        }
        if let Some((source, Some(Route(route)))) = session.found {
            let name = settings.name(source).as_ptr();
            for (table, keys) in [(env, SESSION), ((*r).notes, NOTES)] {
                for (key, value) in keys.into_iter().zip([name, route]) {
                    ffi::apr_table_setn(table, key.as_ptr(), value);
                }
            }
        }
    }
}

/// Another farm serves the request: what [`tell`] said holds no longer.
///
/// # Safety
/// `r` is live.
pub unsafe fn untell(r: *mut ffi::request_rec) {
    // SAFETY: the caller's promise.
    unsafe {
        let env = (*r).subprocess_env;
        ffi::apr_table_unset(env, ROUTE_CHANGED.as_ptr());
        for (table, keys) in [(env, SESSION), ((*r).notes, NOTES)] {
            for key in keys {
                ffi::apr_table_unset(table, key.as_ptr());
            }
        }
    }
}

const ROUTE_CHANGED: &CStr = c"BALANCER_ROUTE_CHANGED";

/// The name of what a session was found by, and its route: variables, and mod_proxy_balancer's notes.
const SESSION: [&CStr; 2] = [c"BALANCER_SESSION_STICKY", c"BALANCER_SESSION_ROUTE"];
const NOTES: [&CStr; 2] = [c"session-sticky", c"session-route"];

impl Routes for Farm {
    fn with_route(&self, route: &[u8]) -> impl Iterator<Item = usize> {
        self.listed_by(index::of_route(route))
            .filter(move |(_, member)| member.route().to_bytes() == route)
            .map(|(at, _)| at)
    }

    fn redirect(&self, position: usize) -> &[u8] {
        let member = self.members.get(position);
        member.map_or(b"", |member| member.redirect().to_bytes())
    }

    fn standby(&self, position: usize) -> bool {
        self.members.get(position).is_some_and(|member| {
            let flags = &member.record().admin.flags;
            flags.load(std::sync::atomic::Ordering::Relaxed) & flags::STANDBY != 0
        })
    }
}
