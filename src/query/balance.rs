//! Query mode: the farm's own method, over the same board as the requests that are proxied. An
//! answer counts as an election; what becomes of it nobody learns, so it is never in flight, and
//! never the probe of a member in error.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use athena_engine::config::forward::Forward;
use athena_engine::config::param::Fallback;
use athena_engine::dispatch::{Election, Reason};
use athena_engine::hashkey;
use athena_engine::method::Affinity;
use athena_engine::query::{Balance, Format};

use super::subject::OfMember;
use super::{Answer, find};
use crate::change::Refusal;
use crate::farm::{Farm, Member};
use crate::ffi;
use crate::log::{self, Level};
use crate::record::HANDOVERS_MAX;
use crate::rule::Asked;
use crate::{elect, forward, random, sticky, unusable};

/// A request whose farm is found.
pub struct Ready<'q> {
    farm: &'static Farm,
    key: Option<Cow<'q, str>>,
    format: Option<Format>,
}

/// What a request is told.
enum Told {
    Member(&'static Farm, &'static Member),
    /// What answers in place of a member.
    Url(String),
    Nothing,
}

impl<'q> Ready<'q> {
    /// Finds the farm.
    pub fn of(request: Balance<'q>) -> Result<Self, Refusal> {
        Ok(Self {
            farm: find::farm(&request.farm)?,
            key: request.key,
            format: request.format,
        })
    }

    /// Writes the line: a member, or what stands in for it, or `-` with 503.
    ///
    /// # Safety
    /// `r` is live.
    pub unsafe fn run(&self, r: *mut ffi::request_rec, answer: &mut Answer) {
        // SAFETY: the caller's promise.
        match unsafe { self.told(r) } {
            Told::Member(farm, member) => match &self.format {
                None => answer.text.push_str(&member.address),
                Some(format) => format.write(&OfMember::new(farm, member), &mut answer.text),
            },
            Told::Url(url) => answer.text.push_str(&url),
            Told::Nothing => {
                answer.status = ffi::HTTP_SERVICE_UNAVAILABLE;
                answer.text.push('-');
                // SAFETY: the caller's promise.
                unsafe {
                    let farm = self.farm;
                    let at_once = elect::is_anybody_usable(r, farm.balancer, farm);
                    unusable::come_again(r, farm, at_once);
                }
            }
        }
        answer.text.push('\n');
    }

    /// The farm's member, or one of a farm that it forwards to; else a URL.
    unsafe fn told(&self, r: *mut ffi::request_rec) -> Told {
        let mut farm = self.farm;
        let mut fallback = None;
        for _ in 0..=HANDOVERS_MAX {
            // SAFETY: the caller's promise.
            if let Some(member) = unsafe { self.elect(r, farm) } {
                member.record().hot.elected.fetch_add(1, Ordering::Relaxed);
                farm.seat.record.hot.elected.fetch_add(1, Ordering::Relaxed);
                return Told::Member(farm, member);
            }
            farm.seat.record.hot.refused.fetch_add(1, Ordering::Relaxed);
            fallback = farm.fallback().or(fallback);
            let next = match forward::of(farm) {
                Some(Forward::Url(url)) => return Told::Url(url),
                // SAFETY: as above.
                Some(Forward::Farm(name)) => unsafe { forward::reachable(r, &name) },
                None => None,
            };
            // SAFETY: farms live as long as the configuration.
            match next.and_then(|next| unsafe { next.farm.as_ref() }) {
                Some(next) => farm = next,
                None => break,
            }
        }
        let told = match fallback {
            Some(Fallback::Proxy(url) | Fallback::Redirect(url)) => Told::Url(url),
            None => Told::Nothing,
        };
        let instead = match &told {
            Told::Url(url) => url,
            _ => "503",
        };
        let text = format!(
            "ATH0281: farm {}: no member is usable; who asked for one is told {instead}",
            self.farm.name
        );
        log::request(Level::Error, r, &text);
        told
    }

    /// Elects the session's member, or the method's.
    unsafe fn elect(
        &self,
        r: *mut ffi::request_rec,
        farm: &'static Farm,
    ) -> Option<&'static Member> {
        // SAFETY: the caller's promise; the balancer is the farm's own.
        let asked = unsafe {
            elect::catch_up(r, farm.balancer, farm);
            Asked::by(r, farm, farm.balancer)
        };
        if farm.seat.record.cold.off.load(Ordering::Relaxed) != 0 {
            return None;
        }
        let mut election = Election {
            probes: false,
            ..elect::election(farm, &asked, &[], &|| false)
        };
        let Some(key) = self.key.as_ref().map(|key| key.as_bytes()) else {
            let elected = election.run(&mut random::of(r, election.now)).ok()?;
            return farm.member_by_id(elected.id);
        };
        election.affinity = Affinity {
            key: Some(hashkey::hash([key])),
            ..election.affinity
        };
        let by_method = || election.run(&mut random::of(r, election.now)).ok();
        let elected = sticky::elect(key, farm, &election, by_method)?;
        let member = farm.member_by_id(elected.id)?;
        if elected.reason == Reason::Sticky {
            asked.passed_over(member);
        }
        Some(member)
    }
}
