//! The one way in: every function that httpd calls runs its body through [`guard!`], which stops a
//! panic at the border and gives the caller what its phase can bear. A panic that crosses
//! `extern "C"` would abort the child and every request in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; after a panic, logs ATH0001 with the phase's name and gives `fallback`.
macro_rules! guard {
    ($phase:literal, $fallback:expr, $body:block) => {
        $crate::guard::run($phase, || $fallback, || $body)
    };
}
pub(crate) use guard;

/// See [`guard!`].
pub fn run<T>(phase: &str, fallback: impl FnOnce() -> T, body: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            // Dropping the payload could panic again.
            std::mem::forget(payload);
            tell(phase);
            fallback()
        }
    }
}

// Kept out of every hook.
#[cold]
fn tell(phase: &str) {
    crate::log::error(&format!(
        "ATH0001: internal error while in {phase}; the request or step it happened in was given up. \
         Please report this line with the one before it"
    ));
}
