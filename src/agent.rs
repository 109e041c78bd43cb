//! Members' agents: what they say comes in here, pushed or asked for ([`crate::rounds`]).
//!
//! Connect, read one line or to the end, close. An agent that does not answer, or not to the end of its
//! line, changes nothing; that it does not is logged once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use athena_engine::Micros;
use athena_engine::agent::{self, ANSWER_MAX, Words};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::rounds::{End, Errand};
use crate::{clock, events, refresh, stats};

/// From one question to an agent to the next.
const EVERY: Micros = 2_000_000;
/// An agent that has not answered by then is given up.
const PATIENCE: Micros = 1_500_000;

/// What this process remembers of an agent between two questions.
#[derive(Default)]
pub struct Asked {
    next: AtomicU64,
    /// It did not answer, and the log has been told.
    silent: AtomicBool,
}

/// One question.
struct Question {
    farm: &'static Farm,
    member: &'static Member,
    asked: &'static Asked,
}

/// Whether any member of a farm has an agent to be asked, or would have when it joins.
pub fn any_asked(farm: &Farm) -> bool {
    !farm.observed
        && (farm.params.members.agent.is_some()
            || farm.members.iter().any(|member| member.agent.is_some()))
}

/// At a start, or when the member joins: whether its agent is asked. What it said ends with its line.
pub fn begin(farm: &Farm, member: &Member) {
    let asked = member.agent.is_some() && !farm.observed;
    if let Some(said) = agent::begin(&member.record().admin, asked) {
        let text = format!(
            "ATH0390: farm {}: member {} has no agent any more: what it said ({said}) is forgotten",
            farm.name, member.name
        );
        log::server(Level::Notice, farm.server_rec, &text);
    }
}

/// The question to a member's agent, when it is due.
pub fn due(farm: &'static Farm, member: &'static Member, now: Micros) -> Option<Box<dyn Errand>> {
    let asked = member.agent.as_ref()?;
    if asked.next.load(Ordering::Relaxed) > now {
        return None;
    }
    // The one before is over by then.
    asked
        .next
        .store(now.saturating_add(EVERY), Ordering::Relaxed);
    Some(Box::new(Question {
        farm,
        member,
        asked,
    }))
}

impl Errand for Question {
    fn place(&self) -> (&str, u16) {
        let agent = self.member.params.agent.as_ref();
        agent.map_or(("", 0), |agent| agent.of(self.member.host()))
    }

    fn says(&self) -> &[u8] {
        b""
    }

    fn patience(&self) -> Micros {
        PATIENCE
    }

    fn goes_on(&mut self, _now: Micros) -> bool {
        self.member.is_current()
    }

    fn is_enough(&self, heard: &[u8]) -> bool {
        heard.contains(&b'\n') || heard.len() >= ANSWER_MAX
    }

    fn end(self: Box<Self>, heard: &[u8], end: End) {
        // A restart may have taken its line meanwhile: this child is an old one then.
        if !self.member.is_current() || !agent::is_asked(&self.member.record().admin) {
            return;
        }
        // Of a line that is not over, the rest may say otherwise.
        let silent = heard.is_empty() || end == End::Late;
        if !silent {
            hear(self.farm, self.member, &Words::read(heard));
        }
        let told = self.asked.silent.swap(silent, Ordering::Relaxed);
        if silent && !told {
            let (host, port) = self.place();
            let text = format!(
                "ATH0304: farm {}: member {}: its agent at {host}:{port} does not answer: what it said \
                 last holds",
                self.farm.name, self.member.name
            );
            log::server(Level::Warning, self.farm.server_rec, &text);
        }
    }
}

/// Puts what an agent says of its member in force.
pub fn hear(farm: &Farm, member: &Member, words: &Words) {
    if let Some(said) = words.apply(&member.record().admin) {
        let reason = match words.reason() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        let text = format!(
            "ATH0303: farm {}: member {}: its agent says {said}{reason}",
            farm.name, member.name
        );
        log::server(Level::Notice, farm.server_rec, &text);
        events::note(farm, Some(member), &said.to_string(), "its agent", "agent");
        refresh::request(farm);
    }
    if !words.is_empty() {
        stats::heard_from(farm, member, clock::now());
    }
}
