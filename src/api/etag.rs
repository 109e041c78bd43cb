//! Entity tags. That of a farm or a member is a hash of what can be changed ([`of`]): what moves by
//! itself, counters and health, is left out, so that the tag says whether anybody has changed
//! anything. That of a list is one of all that it says ([`of_text`]).

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

/// The tag of a list, which is written anew for each client.
pub fn of_text(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("W/\"{:016x}\"", hasher.finish())
}
