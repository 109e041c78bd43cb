//! The cookie by which a back end tells the balancer where its client belongs: to which farms and
//! which member, in which class, until when. `docs/cookie.md` is the format, byte for byte.
//!
//! * [`Claims`] is what a cookie says;
//! * [`Keys`] sign cookies, verify them, and keep them from clients in sealed [handles](Keys::seal);
//! * [`Settings`] is what the directives say;
//! * [`header`] finds a cookie's value in the headers of a request and of an answer.
//!
//! All of them take bytes as clients send them. Time is seconds since 1970, as clocks of different
//! machines agree on it.

mod claims;
mod handle;
pub mod header;
mod key;
mod settings;
mod sign;

pub use claims::{Claims, FARMS_MAX};
pub use handle::{NONCE, is_handle};
pub use key::{Key, KeyError, Keys, secret};
pub use settings::{Mode, Settings};
pub use sign::COOKIE_MAX;

use crate::board::record::CookieCounts;
use crate::sync::Ordering;

/// How long after its expiry a cookie is still good, in seconds: the clocks of the back end that
/// made it and of this machine may differ by as much.
pub const SKEW: u64 = 30;

/// Why a cookie is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not of the format.
    Malformed,
    /// Not signed by one of the keys.
    Forged,
    /// Its time is over.
    Expired,
    /// It is for other farms than the one that the request is for.
    Foreign,
}

impl Refusal {
    /// The word under which it is counted.
    pub fn word(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
        }
    }
}

impl CookieCounts {
    /// Counts a cookie by what it came to.
    pub fn count<T>(&self, verified: &Result<T, Refusal>) {
        let place = match verified {
            Ok(_) => &self.accepted,
            Err(Refusal::Malformed) => &self.malformed,
            Err(Refusal::Forged) => &self.forged,
            Err(Refusal::Expired) => &self.expired,
            Err(Refusal::Foreign) => &self.foreign,
        };
        place.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
