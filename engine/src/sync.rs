//! One switch between the real atomics and loom's, for everything on the board.
//!
//! Rust's integer atomics are valid between processes that map the same memory: they compile to
//! address-free instructions (C++11 \[atomics.lockfree\]); nothing here uses a lock table.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
