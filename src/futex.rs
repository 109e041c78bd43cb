//! Sleeping on a word of the board until another process wakes it (futex(2), on shared memory).

use std::ptr;
use std::sync::atomic::AtomicU32;

use athena_engine::Micros;

/// Sleeps while the word is `expected`, until somebody wakes it or the time is over. It may return
/// early.
pub fn wait(word: &AtomicU32, expected: u32, time: Micros) {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(time / 1_000_000).unwrap_or(libc::time_t::MAX),
        // Below a thousand million.
        tv_nsec: (time % 1_000_000 * 1000) as libc::c_long,
    };
    // SAFETY: the word is mapped for the life of the process; the kernel only compares it and reads
    // the time.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            &raw const timeout,
        );
    }
}

/// Wakes one that sleeps on the word.
pub fn wake(word: &AtomicU32) {
    // SAFETY: as above.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            1,
            ptr::null::<libc::timespec>(),
        );
    }
}
