//! Picks of ours and of other balancers written in Rust, with nothing around them.

pub mod ours;
pub mod peers;
