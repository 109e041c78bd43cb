//! Entity tags: a hash of what can be changed. What moves by itself, counters and health, is left
//! out, so that the tag says whether anybody has changed anything.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::farm::{Farm, Member};

/// The tag of a farm with its members, or of one member.
pub fn of(farm: &Farm, member: Option<&Member>) -> String {
    let mut hasher = DefaultHasher::new();
    let mut one = |member: &Member| {
        member.name.hash(&mut hasher);
        member.state().words().hash(&mut hasher);
    };
    match member {
        Some(member) => one(member),
        None => {
            farm.members.iter().for_each(&mut one);
            farm.state().words().hash(&mut hasher);
        }
    }
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether `If-Match` has the tag.
pub fn matches(expected: &str, tag: &str) -> bool {
    expected
        .split(',')
        .map(str::trim)
        .any(|one| one == "*" || one == tag)
}
