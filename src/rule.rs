//! What stands behind a farm's `lbmethod=`: a method of ours, one that another module registered
//! through `mod_athena.h` ([`crate::extension`]), or a provider of mod_proxy's own kind
//! ([`crate::foreign`]).

use std::borrow::Cow;
use std::ffi::{CStr, c_char};

use athena_engine::attempt::Outcome;
use athena_engine::method::{self, Method, Sight};
use athena_engine::{MemberId, Micros};

use crate::farm::{Farm, Member};
use crate::ffi;
use crate::record::Record;
use crate::{extension, foreign, heartbeat, provider};

/// See the module. Providers live as long as the configuration that names them.
#[derive(Clone, Copy)]
pub enum Rule {
    /// One of our own menu.
    Menu(&'static (dyn Method + Sync)),
    /// One of another module's, through our C API.
    Extension(&'static ffi::athena_method),
    /// Stock httpd's `heartbeat`, where nobody else provides it ([`crate::heartbeat`]).
    Heartbeat,
    /// A provider that mod_proxy_balancer could use as well.
    Foreign(&'static ffi::proxy_balancer_method),
}

impl Rule {
    /// What a registered `proxylbmethod` provider stands for; `None` for one that cannot choose.
    pub fn of(registered: *const ffi::proxy_balancer_method) -> Option<Self> {
        // SAFETY: null, or a provider that its module registered for the life of the configuration.
        let registered: &'static ffi::proxy_balancer_method = unsafe { registered.as_ref()? };
        if let Some(extension) = provider::extension_of(registered) {
            return Some(Self::Extension(extension));
        }
        if provider::is_ours(registered) && text(registered.name) == text(heartbeat::NAME.as_ptr())
        {
            return Some(Self::Heartbeat);
        }
        // Stock names are stock rules, on the board's counters, whoever registered them.
        if let Some(method) = method::by_name(&text(registered.name)) {
            return Some(Self::Menu(method));
        }
        registered.finder.map(|_| Self::Foreign(registered))
    }

    /// As `lbmethod=` spells it.
    pub fn name(self) -> Cow<'static, str> {
        match self {
            Self::Menu(method) => Cow::Borrowed(method.name()),
            Self::Extension(method) => text(method.name),
            Self::Heartbeat => text(heartbeat::NAME.as_ptr()),
            Self::Foreign(provider) => text(provider.name),
        }
    }
}

fn text(c: *const c_char) -> Cow<'static, str> {
    if c.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: names of providers are NUL-terminated and live as long as the configuration.
    unsafe { CStr::from_ptr(c) }.to_string_lossy()
}

/// A farm's rule, asked on behalf of one request.
pub struct Asked<'a> {
    pub rule: Rule,
    pub farm: &'a Farm,
    /// The balancer of the request's own server.
    pub balancer: *mut ffi::proxy_balancer,
    /// Live while this is.
    pub r: *mut ffi::request_rec,
}

impl<'a> Asked<'a> {
    /// The rule that holds for a request now.
    ///
    /// # Safety
    /// `r` is live as long as the result; `balancer` is null or one of the farm's.
    pub unsafe fn by(
        r: *mut ffi::request_rec,
        farm: &'a Farm,
        balancer: *mut ffi::proxy_balancer,
    ) -> Self {
        let balancer = if balancer.is_null() {
            farm.balancer
        } else {
            balancer
        };
        Self {
            rule: farm.rule(balancer),
            farm,
            balancer,
            r,
        }
    }

    /// What elects by it: a method of ours itself, which others are made to look like.
    pub fn method(&self) -> &dyn Method {
        match self.rule {
            Rule::Menu(method) => method,
            Rule::Extension(_) | Rule::Heartbeat | Rule::Foreign(_) => self,
        }
    }

    /// The request went to a member that the rule did not choose.
    pub fn passed_over(&self, went_to: &Member) {
        match self.rule {
            Rule::Menu(method) => self.farm.passed_over(method, went_to),
            Rule::Extension(_) | Rule::Heartbeat => {}
            Rule::Foreign(provider) => foreign::passed_over(provider, self, went_to),
        }
    }

    /// What became of an attempt.
    pub fn settled(
        &self,
        member: &Member,
        record: &Record,
        outcome: Outcome,
        bytes: u64,
        now: Micros,
    ) {
        match self.rule {
            Rule::Menu(method) => {
                method.learn(&member.record().hot, bytes, now, self.farm.half_life());
            }
            Rule::Extension(method) => {
                extension::report(method, self, member, record, outcome, now);
            }
            Rule::Heartbeat | Rule::Foreign(_) => {}
        }
    }
}

/// Only what [`Asked::method`] gives for other modules' rules.
impl Method for Asked<'_> {
    fn name(&self) -> &'static str {
        "foreign"
    }

    fn pick(&self, sight: &Sight<'_>, random: &mut fastrand::Rng) -> Option<MemberId> {
        match self.rule {
            Rule::Menu(_) => None,
            Rule::Extension(method) => extension::pick(method, self, sight),
            Rule::Heartbeat => heartbeat::pick(self, sight, random),
            Rule::Foreign(provider) => foreign::pick(provider, self),
        }
    }

    fn is_foreign(&self) -> bool {
        true
    }
}
