//! What agents say of their members, in the words of `HAProxy`'s agent checks (`agent-check` in its
//! configuration manual; `src/server.c`, `src/check.c`): `75% up`, `drain`, `down#disk full`.
//!
//! What an agent says is kept on the board apart from what people set, and only the agent takes it back:
//! `up` ends `down`, `ready` ends `drain` and `maint`, `100%` gives the whole weight. What it does not
//! speak of stays as it was. When the member's line no longer names an agent, what it said is forgotten.

use core::fmt;
use core::net::Ipv6Addr;

use crate::board::record::{MemberAdmin, flags};
use crate::config::value::{self, Must};
use crate::sync::Ordering;

/// Longest answer of an agent that is read, in bytes.
pub const ANSWER_MAX: usize = 512;
/// Most characters of a reason that are kept.
const REASON_MAX: usize = 100;

/// What stands on the board: how much of the weight is lacking in the low byte, and these.
const DOWN: u32 = 1 << 8;
const DRAIN: u32 = 1 << 9;
const MAINT: u32 = 1 << 10;
const PERCENT: u32 = 0xff;

/// Where an agent is: a host or, without one, the member's own; and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: Option<String>,
    port: u16,
}

impl Address {
    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `:PORT`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, Must> {
        let must = || "must be HOST:PORT, or :PORT for the member's own host".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(must)?;
        let plain = |host: &str| {
            host.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let valid = match bare {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => plain(host),
        };
        let port = value::number(port, 1..=u16::MAX).map_err(|_| must())?;
        let host = Some(bare.unwrap_or(host)).filter(|host| !host.is_empty());
        valid
            .then_some(Self {
                host: host.map(str::to_owned),
                port,
            })
            .ok_or_else(must)
    }

    /// The host, of a member that has this one, and the port.
    pub fn of<'a>(&'a self, member: &'a str) -> (&'a str, u16) {
        (self.host.as_deref().unwrap_or(member), self.port)
    }
}

/// One answer of an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// `up`; or `down`, `fail`, `failed`, `stopped`.
    up: Option<bool>,
    /// `ready`, `drain`, `maint`.
    service: Option<Service>,
    /// `75%`: of the weight that people set, which is the most there is.
    percent: Option<u32>,
    /// `maxconn:30`.
    max_conn: Option<u32>,
    /// What follows a `#`.
    reason: String,
    /// The first word that is none of these.
    unknown: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Ready,
    Drain,
    Maint,
}

impl Words {
    /// Reads an answer: up to the end of its line, words separated by blanks and commas.
    pub fn read(answer: &[u8]) -> Self {
        let answer = answer.get(..ANSWER_MAX).unwrap_or(answer);
        let text = String::from_utf8_lossy(answer);
        let line = text.split(['\r', '\n', '\0']).next().unwrap_or_default();
        let (line, reason) = line.split_once('#').unwrap_or((line, ""));
        let shown = reason.trim().chars().filter(|c| !c.is_control());
        let mut words = Self {
            reason: shown.take(REASON_MAX).collect(),
            ..Self::default()
        };
        let separated = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        for word in separated {
            if !words.take(word) && words.unknown.is_none() {
                words.unknown = Some(word.chars().filter(|c| !c.is_control()).collect());
            }
        }
        words
    }

    fn take(&mut self, word: &str) -> bool {
        match word.to_ascii_lowercase().as_str() {
            "up" => self.up = Some(true),
            "down" | "fail" | "failed" | "stopped" => self.up = Some(false),
            "ready" => self.service = Some(Service::Ready),
            "drain" => self.service = Some(Service::Drain),
            "maint" => self.service = Some(Service::Maint),
            word => return self.take_number(word),
        }
        true
    }

    fn take_number(&mut self, word: &str) -> bool {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits)
        };
        if let Some(percent) = word.strip_suffix('%').and_then(number) {
            self.percent = Some(percent.min(100));
        } else if let Some(most) = word.strip_prefix("maxconn:").and_then(number) {
            self.max_conn = Some(most);
        } else {
            return false;
        }
        true
    }

    /// The first word that no agent says. An answer is taken without it, as in `HAProxy`; whoever
    /// pushes is told.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        self.up.is_none()
            && self.service.is_none()
            && self.percent.is_none()
            && self.max_conn.is_none()
    }

    /// What follows a `#`, without control characters.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Puts it in force. What holds now, if that is something else than before.
    pub fn apply(&self, admin: &MemberAdmin) -> Option<Said> {
        let mut changed = false;
        if let Some(most) = self.max_conn {
            changed |= admin.agent_max_conn.swap(most, Ordering::Relaxed) != most;
        }
        let word = |word| Some(self.after(word)).filter(|after| *after != word);
        changed |= admin
            .agent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, word)
            .is_ok();
        changed.then(|| Said::of(admin))
    }

    fn after(&self, word: u32) -> u32 {
        let mut after = word & (PERCENT | DOWN | DRAIN | MAINT);
        if let Some(up) = self.up {
            after = after & !DOWN | if up { 0 } else { DOWN };
        }
        if let Some(service) = self.service {
            after = after & !(DRAIN | MAINT)
                | match service {
                    Service::Ready => 0,
                    Service::Drain => DRAIN,
                    Service::Maint => MAINT,
                };
        }
        if let Some(percent) = self.percent {
            after = after & !PERCENT | (100 - percent);
        }
        after
    }
}

/// From now on a member's agent is `asked`, or not. What one said that was asked until now is forgotten,
/// and returned; what was pushed where none was asked stays.
pub fn begin(admin: &MemberAdmin, asked: bool) -> Option<Said> {
    let was_asked = admin.agent_asked.swap(asked.into(), Ordering::Relaxed) != 0;
    if asked || !was_asked {
        return None;
    }
    let said = Said::any(admin);
    admin.agent.store(0, Ordering::Relaxed);
    admin.agent_max_conn.store(0, Ordering::Relaxed);
    said
}

/// Whether the member's agent is asked, in the generation that is.
pub fn is_asked(admin: &MemberAdmin) -> bool {
    admin.agent_asked.load(Ordering::Relaxed) != 0
}

/// What holds by an agent's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Percent of the weight that people set.
    pub percent: u32,
    /// Most requests under way; 0: it does not say.
    pub max_conn: u32,
    word: u32,
}

impl Said {
    /// As it stands on the board, whatever has been written there.
    pub fn of(admin: &MemberAdmin) -> Self {
        let word = admin.agent.load(Ordering::Relaxed);
        Self {
            percent: 100 - (word & PERCENT).min(100),
            max_conn: admin.agent_max_conn.load(Ordering::Relaxed),
            word,
        }
    }

    /// As [`Self::of`]; `None`: nothing that differs from a member without an agent.
    pub fn any(admin: &MemberAdmin) -> Option<Self> {
        let said = Self::of(admin);
        (said.word != 0 || said.max_conn != 0).then_some(said)
    }

    /// What it makes of a member's state: `down` is a check that failed, `drain` and `0%` leave it its
    /// sessions, `maint` not even these.
    pub fn flags(self) -> u32 {
        let flag = |holds, flag| if holds { flag } else { 0 };
        flag(self.word & DOWN != 0, flags::CHECK_FAILED)
            | flag(self.word & DRAIN != 0 || self.percent == 0, flags::DRAIN)
            | flag(self.word & MAINT != 0, flags::STOPPED)
    }
}

/// As an agent would say it: `up ready 75% maxconn:30`.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = if self.word & DOWN == 0 { "up" } else { "down" };
        let service = match (self.word & MAINT, self.word & DRAIN) {
            (0, 0) => "ready",
            (0, _) => "drain",
            _ => "maint",
        };
        write!(f, "{health} {service} {}%", self.percent)?;
        match self.max_conn {
            0 => Ok(()),
            most => write!(f, " maxconn:{most}"),
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
