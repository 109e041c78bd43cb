//! Checks of members that were added at run time, which mod_proxy_hcheck does not see. One at a time of
//! each member, over all children; what they come to turns the member's state as mod_proxy_hcheck would.

mod template;

use std::time::Duration;

use athena_engine::Micros;
use athena_engine::board::record::flags;
use athena_engine::check::{Check, CheckParams, Turn};
use athena_engine::method::Anew;

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::naming::text;
use crate::rounds::{End, Errand};
use crate::worker::Draft;
use crate::{clock, events, judge, outcome, refresh, runtime};

/// The farm's lock is held for moments; should it be held for longer, the next check tries again.
const PATIENCE: Duration = Duration::from_millis(50);

/// One check of a member.
struct Visit {
    farm: &'static Farm,
    member: &'static Member,
    check: &'static Check,
    began: Micros,
    /// Until it has ended.
    turn: Option<Turn>,
}

/// How a member that has no seat yet is to be checked, by its line.
pub fn plan(farm: &Farm, draft: &Draft, line: CheckParams) -> Result<Option<Check>, String> {
    let template = match &line.template {
        Some(name) => template::read(farm, draft, name)?,
        None => CheckParams::default(),
    };
    // SAFETY: the draft's worker is nobody else's yet, and its name NUL-terminated.
    let url = unsafe { text((*(*draft.worker).s).name_ex.as_ptr()) };
    Check::new(&line.or(template), &url)
}

/// The check of a member, when it is due.
pub fn due(farm: &'static Farm, member: &'static Member, now: Micros) -> Option<Box<dyn Errand>> {
    let check = member.check.as_ref()?;
    let record = member.record();
    // As mod_proxy_hcheck.
    if record.admin.state() & flags::STOPPED != 0 {
        return None;
    }
    Some(Box::new(Visit {
        farm,
        member,
        check,
        began: now,
        turn: Some(Turn::take(&record.health, now)?),
    }))
}

impl Errand for Visit {
    fn place(&self) -> (&str, u16) {
        self.check.place()
    }

    fn says(&self) -> &[u8] {
        self.check.request()
    }

    /// As long as mod_proxy would wait for the member.
    fn patience(&self) -> Micros {
        // SAFETY: farms' servers and shared parts live as long as the configuration.
        let time = unsafe {
            let shared = &*self.member.shared();
            if self.check.connects_only() && shared.conn_timeout_set() != 0 {
                shared.conn_timeout
            } else {
                outcome::patience(self.member, self.farm.server_rec)
            }
        };
        Micros::try_from(time).unwrap_or(0)
    }

    fn goes_on(&mut self, now: Micros) -> bool {
        let health = &self.member.record().health;
        self.member.is_current()
            && self
                .turn
                .as_mut()
                .is_some_and(|turn| turn.keep(health, now))
    }

    fn is_enough(&self, heard: &[u8]) -> bool {
        self.check.is_enough(heard)
    }

    fn end(mut self: Box<Self>, heard: &[u8], end: End) {
        let now = clock::now();
        // One that was removed, or whose check is another's by now.
        if !self.goes_on(now) {
            return;
        }
        let (farm, member) = (self.farm, self.member);
        let result = match end {
            End::Answered | End::Closed => {
                self.check.judge(heard).map_err(|fault| fault.to_string())
            }
            End::Late => Err("no answer in time".to_owned()),
            End::Refused => Err("no connection".to_owned()),
            End::Unknown => Err("its name has no address".to_owned()),
        };
        let said = result.as_ref().map_or_else(String::as_str, |()| "passed");
        let line = format!(
            "ATH0372: farm {}: member {}: check: {said}",
            farm.name, member.name
        );
        log::server(Level::Debug, farm.server_rec, &line);
        let health = &member.record().health;
        let down = member.record().admin.flags() & flags::CHECK_FAILED != 0;
        if self.check.turns(health, result.is_ok(), down) {
            turn(farm, member, result.err().as_deref());
        }
        if let Some(turn) = self.turn.take() {
            let next = self.began.saturating_add(self.check.interval());
            turn.end(health, next.max(now));
        }
    }
}

/// A check dropped before its end (the process ends, or the member was removed) is due again at once.
impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.end(&self.member.record().health, self.began);
        }
    }
}

/// The member is down from now on, and why; or up.
fn turn(farm: &Farm, member: &Member, fault: Option<&str>) {
    let held = runtime::board().map(|board| board.lock_to_change(farm.seat.id, PATIENCE));
    let Some(Ok(held)) = held else { return };
    if !member.is_current() {
        return;
    }
    let mut state = member.state();
    match fault {
        Some(_) => state.settings.flags |= flags::CHECK_FAILED,
        None => state.settings.flags &= !flags::CHECK_FAILED,
    }
    member.put(&state);
    drop(held);
    let (Farm { name: of, .. }, Member { name, .. }) = (farm, member);
    let (level, text, what) = match fault {
        Some(fault) => (
            Level::Warning,
            format!("ATH0370: farm {of}: member {name} is down: its check failed: {fault}"),
            "up=off (was on)",
        ),
        None => {
            // Whatever it was in error for: it has just answered.
            judge::end_error(member);
            (
                Level::Notice,
                format!("ATH0371: farm {of}: member {name} is up again: its check passed"),
                "up=on (was off)",
            )
        }
    };
    log::server(level, farm.server_rec, &text);
    events::note(farm, Some(member), what, "check", "health");
    refresh::request(farm);
    if fault.is_none() {
        farm.start_anew(Anew::Return);
    }
}
