//! Randomness for choices: a generator of its own for each. Not for secrets.

use std::sync::atomic::{AtomicU64, Ordering};

use athena_engine::Micros;

use crate::{clock, ffi};

/// What children differ in.
static SEED: AtomicU64 = AtomicU64::new(0);

/// A forked child must not draw what its parent, or another child, does.
pub fn renew() {
    let process = u64::from(std::process::id());
    SEED.store(clock::now() ^ process.rotate_left(44), Ordering::Relaxed);
}

/// For a choice that is made now for a request: of a child's, no two are for one request at one time.
pub fn of(r: *const ffi::request_rec, now: Micros) -> fastrand::Rng {
    let request = (r as u64).rotate_left(20);
    // Seeds that are nearly the same give first draws that are alike, and so these seed another.
    fastrand::Rng::with_seed(SEED.load(Ordering::Relaxed) ^ request ^ now).fork()
}
