//! What cookies came to, told to the log: at level debug alone, since whoever sends them could
//! flood any other.

use athena_engine::cookie::{Claims, Refusal};

use crate::farm::Farm;
use crate::ffi;
use crate::log::{self, Level};
use crate::record::Record;
use crate::runtime::FarmRef;

/// A request brought a cookie.
pub fn verified(
    r: *const ffi::request_rec,
    name: &str,
    farm: &Farm,
    verified: &Result<Claims, Refusal>,
) {
    if !log::debug_wanted(r) {
        return;
    }
    let what = match verified {
        Ok(claims) => format!("accepted: {}", claims.to_string().replace('\n', " ")),
        Err(refusal) => format!("{}, the request goes on without it", refusal.word()),
    };
    log::request(
        Level::Debug,
        r,
        &format!("ATH0320: farm {}: cookie {name}: {what}", farm.name),
    );
}

/// The request goes to a farm that its cookie prefers.
pub fn preferred(r: *const ffi::request_rec, record: &Record, target: FarmRef) {
    if !log::debug_wanted(r) {
        return;
    }
    // SAFETY: farms live as long as the configuration.
    if let (Some(farm), Some(target)) = (record.farm(), unsafe { target.farm.as_ref() }) {
        let text = format!(
            "ATH0322: farm {}: the request goes on at farm {}, which its cookie names next",
            farm.name, target.name
        );
        log::request(Level::Debug, r, &text);
    }
}

/// An answer sets a cookie that no request could bring back.
pub fn not_wrapped(r: *const ffi::request_rec, name: &str) {
    if log::debug_wanted(r) {
        log::request(
            Level::Debug,
            r,
            &format!(
                "ATH0321: the back end sets the cookie {name} to what is too long or not allowed \
                 in a cookie; the client gets it empty"
            ),
        );
    }
}
