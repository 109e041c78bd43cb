//! Randomness for choices: one small generator a thread. Not for secrets.

use std::cell::Cell;

use crate::clock;

thread_local! {
    /// The generator's state; 0: not seeded yet. Const-initialised and without a destructor, so
    /// that this library can still be unloaded.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Runs `draw` with this thread's generator.
pub fn with<T>(draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
    STATE.with(|state| {
        let seed = match state.get() {
            0 => fresh_seed(state),
            seed => seed,
        };
        let mut random = fastrand::Rng::with_seed(seed);
        let drawn = draw(&mut random);
        state.set(random.get_seed().max(1));
        drawn
    })
}

/// A forked child must not go on with its parent's sequence.
pub fn forget() {
    STATE.with(|state| state.set(0));
}

/// Differs between processes (pid), threads (address) and starts (clock).
fn fresh_seed(state: &Cell<u64>) -> u64 {
    let thread = std::ptr::from_ref(state) as u64;
    let process = u64::from(std::process::id());
    clock::now() ^ thread.rotate_left(20) ^ process.rotate_left(44)
}
