//! The clock of every decision: `CLOCK_MONOTONIC`, shared by all processes of the machine; and the
//! wall clock, for what is kept.

use athena_engine::Micros;

/// Microseconds now; never 0.
pub fn now() -> Micros {
    read(libc::CLOCK_MONOTONIC)
}

/// Microseconds since 1970, for what has to hold over a reboot.
pub fn wall() -> u64 {
    read(libc::CLOCK_REALTIME)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for writing; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = time.tv_sec.cast_unsigned();
    let micros = time.tv_nsec.cast_unsigned() / 1000;
    (seconds * 1_000_000 + micros).max(1)
}
