//! What a balancer says about sessions, as mod_proxy keeps it.

use std::ffi::CStr;

use athena_engine::config::param::FarmParams;
use athena_engine::sticky::{Names, Reading, Source};

use crate::{ffi, naming};

/// The balancer parameters about sessions of one server's balancer.
#[derive(Clone, Copy)]
pub struct Settings<'a>(&'a ffi::proxy_balancer_shared);

impl<'a> Settings<'a> {
    /// Those of a balancer with `stickysession`.
    pub fn of(balancer: *mut ffi::proxy_balancer) -> Option<Self> {
        // SAFETY: balancers and their shared parts live as long as the configuration.
        let shared = unsafe { balancer.as_ref()?.s.as_ref()? };
        (shared.sticky[0] != 0 || shared.sticky_path[0] != 0).then_some(Self(shared))
    }

    /// The cookie's name.
    pub fn cookie(self) -> &'a CStr {
        naming::read(&self.0.sticky)
    }

    /// The parameter's name.
    pub fn parameter(self) -> &'a CStr {
        naming::read(&self.0.sticky_path)
    }

    /// Both names, and where a parameter ends.
    pub fn names(self) -> Names<'a> {
        Names {
            cookie: self.cookie().to_bytes(),
            parameter: self.parameter().to_bytes(),
            semicolon_ends: self.0.scolonsep() != 0,
        }
    }

    /// The name under which a value was found.
    pub fn name(self, source: Source) -> &'a CStr {
        match source {
            Source::Parameter => self.parameter(),
            Source::Cookie => self.cookie(),
        }
    }

    /// `stickysessionsep`.
    pub fn separator(self) -> Option<u8> {
        Some(self.0.sticky_separator.cast_unsigned()).filter(|byte| *byte != 0)
    }

    /// How this farm's routes are read off values.
    pub fn reading(self, params: &FarmParams) -> Reading<'_> {
        match (&params.route_regex, self.separator()) {
            (Some(regex), _) => Reading::Regex(regex),
            (None, Some(separator)) => Reading::Separator(separator),
            (None, None) => Reading::Whole,
        }
    }

    /// `nofailover`.
    pub fn no_failover(self) -> bool {
        self.0.sticky_force() != 0
    }
}
