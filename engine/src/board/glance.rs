//! The board as somebody outside httpd sees it, by its file alone: while httpd serves, when it
//! hangs, and after it has stopped.
//!
//! Nothing is locked or changed, and nothing is trusted: what processes write meanwhile may be half
//! there, and garbage makes figures wrong and nothing else. A farm's configured method is not on the
//! board, nor what `mod_proxy_balancer` keeps of a member.

use std::io::{Read, Seek};
use std::mem::offset_of;

use super::changed::ChangedText;
use super::inflight::InFlight;
use super::layout::Kind;
use super::reading::{Bytes, Refusal, extents};
use super::record::{
    FarmRecord, METHOD_SET_MAX, MemberAdmin, MemberHealth, MemberHot, MemberRecord, NAME_MAX,
    ROUTE_SET_MAX, flags,
};
use crate::agent::Said;
use crate::ewma;
use crate::health::{self, Cause};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A farm.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenFarm {
    /// The server that owns it.
    pub server: String,
    /// Its name.
    pub name: String,
    /// Its method, if people set it.
    pub method: Option<String>,
    /// People have not taken it from service.
    pub on: bool,
    /// Requests given a member.
    pub elected: u64,
    /// Requests given none.
    pub refused: u64,
    /// In configuration order.
    pub members: Vec<SeenMember>,
}

/// A member.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenMember {
    /// Its name.
    pub name: String,
    /// Its session route.
    pub route: String,
    /// In hundredths.
    pub weight: u32,
    /// The set it belongs to.
    pub lbset: u32,
    /// What decides whether it can be chosen ([`super::record::flags`]).
    pub state: u32,
    /// Why it is in error.
    pub cause: Option<Cause>,
    /// Its health check failed.
    pub check_failed: bool,
    /// What its agent says.
    pub agent: Option<String>,
    /// Requests under way.
    pub inflight: u64,
    /// Times chosen.
    pub elected: u64,
    /// Attempts answered.
    pub served: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// The time to first byte as last estimated, in microseconds.
    pub first_byte: Option<f64>,
    farm: u32,
    position: u32,
}

/// All farms with a name, in the board's order.
///
/// # Errors
///
/// Not a board, not of this version, or another process is just making it longer.
pub fn farms(mut file: impl Read + Seek) -> Result<Vec<SeenFarm>, Refusal> {
    let (mut farms, mut members) = (Vec::new(), Vec::new());
    for extent in extents(&mut file)? {
        let size = match extent.kind {
            Kind::Farms => size_of::<FarmRecord>(),
            Kind::Members => size_of::<MemberRecord>(),
            _ => continue,
        };
        for index in 0..u64::from(extent.count) {
            let bytes = Bytes::read(&mut file, extent.records() + index * size as u64, size)?;
            if extent.kind == Kind::Farms {
                farms.push(farm(&bytes));
            } else {
                members.extend(member(&bytes));
            }
        }
    }
    members.sort_by_key(|member: &SeenMember| member.position);
    for member in members {
        // Its farm may have come since.
        if let Some(Some(farm)) = farms.get_mut(member.farm as usize) {
            farm.members.push(member);
        }
    }
    Ok(farms.into_iter().flatten().collect())
}

/// `None` where none is, or only one that older children still know.
fn farm(bytes: &Bytes) -> Option<SeenFarm> {
    let used = bytes.u32(offset_of!(FarmRecord, cold.lifecycle)) == 1;
    used.then(|| SeenFarm {
        server: bytes.shown(offset_of!(FarmRecord, identity.server), NAME_MAX),
        name: bytes.shown(offset_of!(FarmRecord, identity.name), NAME_MAX),
        method: changed::<METHOD_SET_MAX>(bytes, offset_of!(FarmRecord, changed.method)),
        on: bytes.u32(offset_of!(FarmRecord, cold.off)) == 0,
        elected: bytes.u64(offset_of!(FarmRecord, hot.elected)),
        refused: bytes.u64(offset_of!(FarmRecord, hot.refused)),
        members: Vec::new(),
    })
}

/// `None` where none is, or only one that older children still know.
fn member(bytes: &Bytes) -> Option<SeenMember> {
    if bytes.u32(offset_of!(MemberRecord, admin.lifecycle)) != 1 {
        return None;
    }
    let word = |offset| AtomicU32::new(bytes.u32(offset));
    let long = |offset| AtomicU64::new(bytes.u64(offset));
    // Parts of the record, so that the rules that bring garbage into range are the same.
    let hot = MemberHot {
        inflight: InFlight(long(offset_of!(MemberRecord, hot.inflight))),
        served: long(offset_of!(MemberRecord, hot.served)),
        ewma: long(offset_of!(MemberRecord, hot.ewma)),
        ..MemberHot::default()
    };
    let health = MemberHealth {
        retry_at: long(offset_of!(MemberRecord, health.retry_at)),
        cause: word(offset_of!(MemberRecord, health.cause)),
        ..MemberHealth::default()
    };
    let admin = MemberAdmin {
        weight: word(offset_of!(MemberRecord, admin.weight)),
        flags: word(offset_of!(MemberRecord, admin.flags)),
        lbset: word(offset_of!(MemberRecord, admin.lbset)),
        out: word(offset_of!(MemberRecord, admin.out)),
        agent: word(offset_of!(MemberRecord, admin.agent)),
        ..MemberAdmin::default()
    };
    let route = changed::<ROUTE_SET_MAX>(bytes, offset_of!(MemberRecord, changed.route));
    Some(SeenMember {
        name: bytes.shown(offset_of!(MemberRecord, identity.name), NAME_MAX),
        route: route
            .unwrap_or_else(|| bytes.shown(offset_of!(MemberRecord, identity.route), NAME_MAX)),
        weight: admin.weight(),
        lbset: admin.lbset(),
        state: admin.state(),
        cause: (!health::healthy(&health)).then(|| health::cause(&health)),
        check_failed: admin.flags() & flags::CHECK_FAILED != 0,
        agent: Said::any(&admin).map(|said| said.to_string()),
        inflight: hot.inflight.count(),
        elected: bytes.u64(offset_of!(MemberRecord, hot.elected)),
        served: hot.served.load(Ordering::Relaxed),
        failed: bytes.u64(offset_of!(MemberRecord, hot.failed)),
        first_byte: ewma::told(&hot, ewma::measured(&hot)),
        farm: bytes.u32(offset_of!(MemberRecord, admin.farm)),
        position: bytes.u32(offset_of!(MemberRecord, admin.position)),
    })
}

/// What people set in place of the configured text.
fn changed<const N: usize>(bytes: &Bytes, offset: usize) -> Option<String> {
    let set = bytes.u32(offset + offset_of!(ChangedText<N>, length)) != 0;
    set.then(|| bytes.shown(offset + offset_of!(ChangedText<N>, bytes), N))
}
