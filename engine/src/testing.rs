//! What the engine's unit tests share.

use proptest::test_runner::{Config, RngSeed};

/// Properties are tried on the same cases each time.
pub fn seeded() -> Config {
    Config {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..Config::default()
    }
}
