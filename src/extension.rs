//! Methods of other modules through `include/mod_athena.h`: a view to choose from, and the result
//! of each attempt.

use std::ffi::c_int;
use std::sync::atomic::Ordering;

use athena_engine::attempt::Outcome;
use athena_engine::method::{STRANGER, Sight};
use athena_engine::{MemberId, Micros, ewma};

use crate::farm::{Farm, Member};
use crate::guard::guard;
use crate::log::{self, Level};
use crate::record::Record;
use crate::rule::Asked;
use crate::{clock, ffi};

/// What a method is handed: the public part first, then what its `member` callback reads.
#[repr(C)]
struct View<'a> {
    public: ffi::athena_view,
    farm: &'a Farm,
    pool: *mut ffi::apr_pool_t,
    ids: Vec<MemberId>,
}

/// Asks the method for a member; `None`: it wants none.
pub fn pick(method: &ffi::athena_method, asked: &Asked<'_>, sight: &Sight<'_>) -> Option<MemberId> {
    let call = method.pick?;
    let listed = sight.plan.eligible.iter();
    let ids: Vec<MemberId> = listed
        .map(|id| MemberId(id.load(Ordering::Relaxed)))
        .filter(|id| sight.roster.available(*id).is_some())
        .collect();
    if ids.is_empty() {
        // Nothing to choose from, which is the plan's affair and not the method's.
        return Some(STRANGER);
    }
    let view = View {
        public: ffi::athena_view {
            farm: asked.farm.c_name.as_ptr(),
            count: c_int::try_from(ids.len()).unwrap_or(c_int::MAX),
            member: Some(member_at),
        },
        farm: asked.farm,
        // SAFETY: the request is live while it is asked for.
        pool: unsafe { (*asked.r).pool },
        ids,
    };
    // SAFETY: the method's module promises that its callback may be called with its own record, a
    // view that is valid until it returns, and a live request.
    let chosen = unsafe { call(method, &raw const view.public, asked.r) };
    if chosen == ffi::ATHENA_NOBODY {
        return None;
    }
    let id = usize::try_from(chosen)
        .ok()
        .and_then(|index| view.ids.get(index));
    if id.is_none() {
        log::request(
            Level::Error,
            asked.r,
            &format!(
                "ATH0151: farm {}: lbmethod={} chose member {chosen} of {}",
                asked.farm.name,
                asked.rule.name(),
                view.ids.len()
            ),
        );
    }
    Some(id.copied().unwrap_or(STRANGER))
}

/// `athena_view.member`.
unsafe extern "C" fn member_at(
    view: *const ffi::athena_view,
    index: c_int,
) -> *const ffi::athena_member {
    guard!("athena_view.member", std::ptr::null(), {
        // SAFETY: methods hand back the view that `pick` gave them, which is the first field of a
        // `View`.
        let Some(view) = (unsafe { view.cast::<View<'_>>().as_ref() }) else {
            return std::ptr::null();
        };
        usize::try_from(index)
            .ok()
            .and_then(|index| view.ids.get(index))
            .and_then(|id| view.farm.member_by_id(*id))
            // SAFETY: the request's pool, while the request is being served.
            .map_or(std::ptr::null(), |member| unsafe {
                in_pool(view.pool, view.farm, member)
            })
    })
}

/// The member as it is now.
unsafe fn in_pool(
    pool: *mut ffi::apr_pool_t,
    farm: &Farm,
    member: &Member,
) -> *const ffi::athena_member {
    let hot = &member.record().hot;
    let admin = &member.record().admin;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let view = ffi::athena_member {
        id: member.seat.id.0,
        name: member.c_name.as_ptr(),
        url: member.url().as_ptr(),
        route: member.route().as_ptr(),
        weight: f64::from(admin.weight()) / 100.0,
        lbset: admin.lbset(),
        inflight: hot.inflight.count(),
        elected: count(&hot.elected),
        served: count(&hot.served),
        failed: count(&hot.failed),
        bytes_in: count(&hot.bytes_in),
        bytes_out: count(&hot.bytes_out),
        ewma_us: ewma::estimate(hot, clock::now(), farm.half_life()).unwrap_or(-1.0),
    };
    // SAFETY: the caller's promise; apr_palloc gives that many aligned bytes or aborts.
    unsafe {
        let place: *mut ffi::athena_member =
            ffi::apr_palloc(pool, size_of::<ffi::athena_member>()).cast();
        place.write(view);
        place
    }
}

/// Tells the method what became of an attempt.
pub fn report(
    method: &ffi::athena_method,
    asked: &Asked<'_>,
    member: &Member,
    record: &Record,
    outcome: Outcome,
    now: Micros,
) {
    let Some(call) = method.report else { return };
    let (outcome, status) = match outcome {
        Outcome::Answered(status) => (ffi::ATHENA_ANSWERED, status),
        Outcome::NotConnected => (ffi::ATHENA_NOT_CONNECTED, 0),
        Outcome::TurnedAway => (ffi::ATHENA_TURNED_AWAY, 0),
        Outcome::Broken { .. } => (ffi::ATHENA_BROKEN, 0),
        Outcome::TimedOut => (ffi::ATHENA_TIMED_OUT, 0),
        Outcome::BrokenInBody(status) => (ffi::ATHENA_BROKEN_IN_BODY, status),
        Outcome::ClientGone => (ffi::ATHENA_CLIENT_GONE, 0),
        Outcome::NotTheMember(_) => (ffi::ATHENA_NOT_THE_MEMBER, 0),
    };
    let since = |from: Micros, to: Micros| i64::try_from(to.saturating_sub(from)).unwrap_or(0);
    // SAFETY: as in `pick`; the report is valid until the callback returns.
    unsafe {
        let report = ffi::athena_report {
            farm: asked.farm.c_name.as_ptr(),
            member: in_pool((*asked.r).pool, asked.farm, member),
            outcome,
            status: c_int::from(status),
            ttfb_us: match record.first_byte.get() {
                0 => -1,
                first_byte => since(record.began.get(), first_byte),
            },
            took_us: since(record.began.get(), now),
        };
        call(method, &raw const report, asked.r);
    }
}
