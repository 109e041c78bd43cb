//! The rounds: in the child that has the watch, with each of its ticks, members' agents are asked
//! ([`crate::agent`]) and members checked ([`crate::check`]). Nothing here waits for one of them:
//! connections are opened, looked at and given up side by side, without blocking.

mod call;
mod names;

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, Once};
use std::time::Duration;

use athena_engine::Micros;
use mio::{Events, Poll, Token};

use crate::{agent, check, clock, log, runtime};
use call::Call;
use names::{Found, Names};

/// A tick looks at open connections for so long: most are answered within it.
const LOOK: Micros = 100_000;
/// Most connections at a time; what else is due waits for the next tick.
const OPEN_MAX: usize = 256;
/// As long as there are so many, no checks begin: members may take long, and agents have to be heard.
const CHECKS_MAX: usize = OPEN_MAX / 2;

/// Something that is asked at one place.
pub trait Errand: Send {
    /// Where: a name or an address, and a port.
    fn place(&self) -> (&str, u16);
    /// What is said first.
    fn says(&self) -> &[u8];
    /// How long it may take, all in all.
    fn patience(&self) -> Micros;
    /// With each tick: whether its answer is still wanted.
    fn goes_on(&mut self, now: Micros) -> bool;
    /// Whether what was heard is enough. Must become true at some length: nothing else bounds what is
    /// read.
    fn is_enough(&self, heard: &[u8]) -> bool;
    /// What was heard, and how it ended.
    fn end(self: Box<Self>, heard: &[u8], end: End);
}

/// How an errand ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With enough of an answer.
    Answered,
    /// The connection was closed before it.
    Closed,
    /// There was no time left.
    Late,
    /// There was no connection.
    Refused,
    /// Its name has no address.
    Unknown,
}

/// What is under way, in this child.
static ROUNDS: Mutex<Option<Rounds>> = Mutex::new(None);

struct Rounds {
    poll: Poll,
    events: Events,
    names: Names,
    /// Those whose addresses are being looked up.
    waiting: Vec<Call>,
    open: HashMap<Token, Call>,
    tokens: usize,
}

/// One tick's share: begins what is due, and hears what has come.
pub fn tick() {
    let Some(runtime) = runtime::get() else {
        return;
    };
    let mut place = ROUNDS.lock().unwrap_or_else(|poisoned| {
        ROUNDS.clear_poison();
        // A panic left them in the middle of something: they begin anew.
        let mut place = poisoned.into_inner();
        *place = None;
        place
    });
    if !runtime.board.is_current() {
        // The generation that is has its own.
        *place = None;
        return;
    }
    let farms = || runtime.farms.iter().filter(|farm| !farm.observed);
    let mut members = farms().flat_map(|farm| &farm.members);
    if place.is_none() && members.any(|member| member.agent.is_some() || member.check.is_some()) {
        *place = Rounds::new().inspect_err(tell).ok();
    }
    let Some(rounds) = place.as_mut() else {
        return;
    };
    // First what has come: nobody is late because this process was.
    rounds.hear(0);
    let now = clock::now();
    rounds.give_up(now);
    for farm in farms() {
        for member in &farm.members {
            if rounds.count() < OPEN_MAX {
                rounds.begin(agent::due(farm, member, now), now);
            }
            if rounds.count() < CHECKS_MAX {
                rounds.begin(check::due(farm, member, now), now);
            }
        }
    }
    rounds.connect();
    rounds.hear(LOOK);
}

/// Once: with each tick it is tried again.
fn tell(error: &io::Error) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        log::error(&format!(
            "ATH0391: agents are not asked, and added members not checked: {error}"
        ));
    });
}

impl Rounds {
    fn new() -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(OPEN_MAX),
            names: Names::default(),
            waiting: Vec::new(),
            open: HashMap::new(),
            tokens: 0,
        })
    }

    fn count(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    fn begin(&mut self, errand: Option<Box<dyn Errand>>, now: Micros) {
        self.waiting
            .extend(errand.map(|errand| Call::new(errand, now)));
    }

    /// Ends what is late, and drops what nobody wants to know any more.
    fn give_up(&mut self, now: Micros) {
        let names = &mut self.names;
        let mut goes_on = |call: &mut Call| {
            if call.is_late(now) {
                names.forget(call.host());
                call.end(End::Late);
                return false;
            }
            call.goes_on(now)
        };
        self.waiting.retain_mut(&mut goes_on);
        self.open.retain(|_, call| goes_on(call));
    }

    /// Connects those whose addresses are known.
    fn connect(&mut self) {
        for mut call in std::mem::take(&mut self.waiting) {
            match self.names.find(call.host()) {
                Found::Later => self.waiting.push(call),
                Found::Nothing => call.end(End::Unknown),
                Found::Addresses(addresses) => {
                    call.addresses = addresses;
                    self.open(call);
                }
            }
        }
    }

    /// Tries the addresses that are left, the first of them first.
    fn open(&mut self, mut call: Call) {
        let token = Token(self.tokens);
        self.tokens = self.tokens.wrapping_add(1);
        if call.connect(self.poll.registry(), token) {
            self.open.insert(token, call);
        } else {
            self.names.forget(call.host());
            call.end(End::Refused);
        }
    }

    /// Goes on wherever something has happened, or does within that time.
    fn hear(&mut self, time: Micros) {
        let end = clock::now().saturating_add(time);
        loop {
            let left = Duration::from_micros(end.saturating_sub(clock::now()));
            if self.open.is_empty() || self.poll.poll(&mut self.events, Some(left)).is_err() {
                return;
            }
            let ready: Vec<Token> = self.events.iter().map(|event| event.token()).collect();
            for token in ready {
                let Some(end) = self.open.get_mut(&token).and_then(Call::step) else {
                    continue;
                };
                match (self.open.remove(&token), end) {
                    (Some(call), End::Refused) => self.open(call),
                    (Some(mut call), end) => call.end(end),
                    (None, _) => {}
                }
            }
            if left.is_zero() {
                return;
            }
        }
    }
}
