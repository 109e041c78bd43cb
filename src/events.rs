//! What happened to farms and members, noted on the board for whoever asks later.

use athena_engine::board::Event;

use crate::farm::{Farm, Member};
use crate::{ffi, runtime};

/// Notes what became different of a farm or a member, who made it so or why, and what it came
/// through: `health`, `statistics`, `agent`, `mod_proxy`, or the way of a change.
pub fn note(farm: &Farm, member: Option<&Member>, what: &str, who: &str, through: &str) {
    let Some(board) = runtime::board() else {
        return;
    };
    // SAFETY: reads the clock.
    let now = unsafe { ffi::apr_time_now() };
    board.note(&Event {
        number: 0,
        at: u64::try_from(now).unwrap_or(0),
        farm: farm.label(),
        member: member.map(|member| member.name.clone()).unwrap_or_default(),
        what: what.to_owned(),
        who: who.to_owned(),
        through: through.to_owned(),
    });
}
