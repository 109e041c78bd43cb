//! A farm and its [members](Member) as this process knows them: mod_proxy's structures on one side,
//! the board's records on the other.

mod lineup;
pub mod member;
mod members;
mod shared;

use std::ffi::CString;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use athena_engine::board::{FarmExtras, FarmSeat, FarmSpec};
use athena_engine::change::FarmState;
use athena_engine::config::forward::Forward;
use athena_engine::config::param::{Fallback, FarmParams};
use athena_engine::config::qos::{ClassId, Classes};
use athena_engine::method::{self, Anew, Method};
use athena_engine::plan::{PlanMember, index};
use athena_engine::{MemberId, Micros};

pub use lineup::Roll;
pub use member::Member;
pub use members::Members;

use crate::added::Seats;
use crate::growth::Growth;
use crate::rule::Rule;
use crate::{ffi, naming};

/// One farm.
pub struct Farm {
    /// Its name, lower case.
    pub name: String,
    pub c_name: CString,
    /// The engine is off: mod_proxy_balancer steers, and asks our method.
    pub observed: bool,
    /// The server that defines it: `main`, or the virtual host's name.
    pub server: String,
    /// That server, for log lines.
    pub server_rec: *mut ffi::server_rec,
    pub seat: FarmSeat,
    pub members: Members,
    pub growth: Growth,
    pub added: Seats,
    pub params: FarmParams,
    /// What the configuration says of it and people can replace.
    pub extras: FarmExtras,
    pub classes: Classes,
    /// `failonstatus` and `failontimeout`, as mod_proxy parsed them.
    pub fail_on_status: Vec<u16>,
    pub fail_on_timeout: bool,
    /// The balancer of the server that defines the farm.
    pub balancer: *mut ffi::proxy_balancer,
    /// The version of the board's method that this process follows ([`crate::method`]).
    pub method_seen: AtomicU32,
    /// The provider the configuration named, and the rule it stands for.
    pub provider: (*const ffi::proxy_balancer_method, Rule),
    /// What mod_proxy is handed as the worker of a request to this farm: never in error, so that
    /// its own retry loop stays out of the way; the attempts go to the members' workers.
    pub front: *mut ffi::proxy_worker,
    /// The members by their places on the board.
    pub roll: Roll,
}

// SAFETY: the raw pointers are mod_proxy's own structures, which httpd's threads share by design;
// everything else is atomic or never written after the start.
unsafe impl Sync for Farm {}
// SAFETY: as above.
unsafe impl Sync for Member {}
// SAFETY: as above; nothing is bound to a thread.
unsafe impl Send for Farm {}

impl Farm {
    /// Starts running figures of stock httpd's rules anew.
    pub fn start_anew(&self, why: Anew) {
        for member in &self.members {
            method::start_anew(member.record(), why);
        }
    }

    /// The member as it is to be listed in a plan.
    pub fn listed(&self, member: &Member) -> PlanMember {
        let healthy = member.record().health.retry_at.load(Ordering::SeqCst) == 0;
        PlanMember::of(
            member.seat.id,
            member.record(),
            healthy && member.serves(self.observed),
        )
    }

    /// The member behind a board index.
    pub fn member_by_id(&self, id: MemberId) -> Option<&Member> {
        self.members.get(self.roll.position(id)?)
    }

    /// The same, also one that was removed after it had been elected.
    pub fn elected(&self, id: MemberId) -> Option<&Member> {
        self.members.last(self.roll.position(id)?)
    }

    /// Members that the plan may list by a key ([`athena_engine::plan::index`]), with their places.
    pub fn listed_by(&self, key: u64) -> impl Iterator<Item = (usize, &Member)> {
        let plan = self.seat.plan.read(self.seat.record).unwrap_or_default();
        index::find(plan.index, key).filter_map(|id| {
            let place = self.roll.position(id)?;
            Some((place, self.members.get(place)?))
        })
    }

    /// Whether the plan lists a member by the route that it has now.
    pub fn lists_route_of(&self, member: &Member) -> bool {
        let key = index::of_route(member.route().to_bytes());
        key == 0
            || self
                .listed_by(key)
                .any(|(_, listed)| ptr::eq(listed, member))
    }

    /// The member behind one of mod_proxy's workers.
    pub fn member_of(&self, worker: *const ffi::proxy_worker) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.worker.cast_const() == worker)
    }

    /// A request went to a member that the farm's method did not choose: of those that mod_proxy would
    /// use now, and that one.
    pub fn passed_over(&self, method: &dyn Method, went_to: &Member) {
        let is_usable = |member: &&Member| member.seat.id == went_to.seat.id || member.serves(true);
        let mut usable = self.members.iter().filter(is_usable).map(Member::record);
        let plan = self.seat.plan.read(self.seat.record);
        let eligible = plan.map_or(0, |plan| plan.eligible.len());
        method.passed_over(&mut usable, eligible, went_to.record());
    }

    /// The farm's rule: what the balancer names now (balancer-manager may change it).
    pub fn rule(&self, balancer: *mut ffi::proxy_balancer) -> Rule {
        // SAFETY: balancers live as long as the configuration; the provider pointer is replaced
        // whole by balancer-manager, and providers are static.
        let provider =
            unsafe { balancer.as_ref() }.map_or(self.provider.0, |b| b.lbmethod.cast_const());
        if provider == self.provider.0 {
            return self.provider.1;
        }
        Rule::of(provider).unwrap_or(self.provider.1)
    }

    /// `lbmethod`, as all children see it.
    pub fn method_name(&self) -> String {
        // SAFETY: balancers and their shared parts live as long as the configuration.
        let shared = unsafe { self.balancer.as_ref().and_then(|one| one.s.as_ref()) };
        shared.map_or_else(
            || self.provider.1.name().into_owned(),
            |shared| naming::read_text(&shared.lbpname),
        )
    }

    /// `fallback` in force.
    pub fn fallback(&self) -> Option<Fallback> {
        match self.seat.record.changed.fallback.get() {
            None => self.params.fallback.clone(),
            Some(text) => Fallback::read(&text).ok(),
        }
    }

    /// `forward` in force.
    pub fn forward(&self) -> Option<Forward> {
        match self.seat.record.changed.forward.get() {
            None => self.params.forward.clone(),
            Some(text) => Forward::read(&text).ok(),
        }
    }

    /// People have set `forward`, of itself or of a member.
    pub fn has_set_forward(&self) -> bool {
        let is_set = |member: &Member| match member.tenure {
            0 => member.record().changed.forward.get().is_some(),
            _ => member.forward().is_some(),
        };
        self.seat.record.changed.forward.get().is_some() || self.members.iter().any(is_set)
    }

    /// Gives up what people set `forward` to.
    pub fn end_forwards(&self) {
        let configured = &self.extras.forward;
        self.seat.record.changed.forward.set(configured, configured);
        for member in &self.members {
            let configured = &member.extras.forward;
            // People said what a member that was added is to say.
            let kept = if member.tenure == 0 { configured } else { "" };
            member.record().changed.forward.set(kept, configured);
        }
    }

    /// Its key on the board.
    pub fn key(&self) -> FarmSpec {
        FarmSpec {
            server: self.server.clone(),
            name: self.name.clone(),
            ..FarmSpec::default()
        }
    }

    /// Its name for people, who may know several of one name: `NAME`, or `NAME@server`.
    pub fn label(&self) -> String {
        match self.server.as_str() {
            naming::MAIN => self.name.clone(),
            server => format!("{}@{server}", self.name),
        }
    }

    /// Whatever is in force of what people can change.
    pub fn state(&self) -> FarmState {
        FarmState::of(self.seat.record, &self.extras)
    }

    /// Somebody answers in its place when nothing is usable: no request has to be sent to a member
    /// that may still be down.
    pub fn has_substitute(&self) -> bool {
        let changed = &self.seat.record.changed;
        changed.fallback.is(self.params.fallback.is_some())
            || changed.forward.is(self.params.forward.is_some())
    }

    /// Whether the total of what its members have under way is counted: its method is `hash`.
    pub fn has_total(&self) -> bool {
        self.seat.plan.capacity().table != 0
    }

    /// `maxconn` holds: with the engine off, places are not ours to give.
    pub fn gives_places(&self) -> bool {
        !self.observed
    }

    /// Share of the members' places that requests of a class leave to others, in percent; `None`
    /// where they need none.
    pub fn leaves(&self, class: ClassId) -> Option<u8> {
        let leaves = self.classes.get(class).map_or(0, |class| class.leaves);
        self.gives_places().then_some(leaves)
    }

    /// `queuetimeout`.
    pub fn queue_timeout(&self) -> Micros {
        micros(self.params.queue_timeout)
    }

    /// `halflife`.
    pub fn half_life(&self) -> Micros {
        micros(self.params.half_life)
    }

    /// `expectupdate` of a member; with the engine off nobody could report.
    pub fn expected(&self, member: &Member) -> Option<Micros> {
        member
            .params
            .expect_update
            .filter(|_| !self.observed)
            .map(micros)
    }

    /// `retrybudget`, in percent.
    pub fn retry_budget(&self) -> u32 {
        self.params.retry_budget
    }

    /// `ejecttime`.
    pub fn eject_base(&self) -> Micros {
        micros(self.params.eject_time)
    }
}

fn micros(time: Duration) -> Micros {
    let micros = time.as_secs().saturating_mul(1_000_000);
    micros.saturating_add(time.subsec_micros().into())
}
