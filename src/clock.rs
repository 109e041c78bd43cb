//! The clock of every decision: `CLOCK_MONOTONIC`, shared by all processes of the machine.

use athena_engine::Micros;

/// Microseconds now; never 0.
pub fn now() -> Micros {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing; CLOCK_MONOTONIC exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_nsec / 1000).unwrap_or(0);
    (seconds * 1_000_000 + micros).max(1)
}
