//! Asking agents: in the child that has the watch, with each of its ticks. Nothing here waits for one
//! agent: connections are opened, looked at and given up side by side, without blocking.
//!
//! As `HAProxy` does: connect, read one line or to the end, close. An agent that does not answer
//! changes nothing; that it does not is logged once.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use athena_engine::agent::{ANSWER_MAX, Words};
use athena_engine::{MemberId, Micros};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::farm::{Farm, Member};
use crate::log::{self, Level};
use crate::{clock, runtime};

/// From one question to an agent to the next.
const EVERY: Micros = 2_000_000;
/// An agent that has not answered by then is given up.
const PATIENCE: Micros = 1_500_000;
/// A tick looks at open connections for so long: most agents answer within it.
const LOOK: Micros = 100_000;
/// Most connections at a time; other agents wait for the next tick.
const OPEN_MAX: usize = 256;

/// The agents of all farms, in this child.
static ROUNDS: Mutex<Option<Rounds>> = Mutex::new(None);

struct Rounds {
    poll: Poll,
    events: Events,
    asked: HashMap<MemberId, Asked>,
    open: HashMap<Token, Question>,
    tokens: usize,
}

/// What is remembered of an agent between two questions.
#[derive(Default)]
struct Asked {
    next: Micros,
    waiting: bool,
    /// It did not answer, and the log has been told.
    silent: bool,
}

/// A connection to an agent.
struct Question {
    stream: TcpStream,
    farm: &'static Farm,
    member: MemberId,
    address: SocketAddr,
    answer: Vec<u8>,
    until: Micros,
}

/// One tick's share: asks the agents that are due, and hears those that have answered.
pub fn tick() {
    let (Some(runtime), Ok(mut rounds)) = (runtime::get(), ROUNDS.lock()) else {
        return;
    };
    if !runtime.board.is_current() || !runtime.farms.iter().any(super::any_asked) {
        return;
    }
    if rounds.is_none() {
        *rounds = Rounds::new().ok();
    }
    if let Some(rounds) = rounds.as_mut() {
        for farm in runtime.farms.iter().filter(|farm| !farm.observed) {
            rounds.ask(farm, clock::now());
        }
        rounds.hear();
    }
}

impl Rounds {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(OPEN_MAX),
            asked: HashMap::new(),
            open: HashMap::new(),
            tokens: 0,
        })
    }

    /// Connects to the agents of a farm that are due.
    fn ask(&mut self, farm: &'static Farm, now: Micros) {
        for member in &farm.members {
            let Some(address) = member.agent else {
                continue;
            };
            let asked = self.asked.entry(member.seat.id).or_default();
            if asked.waiting || asked.next > now || self.open.len() == OPEN_MAX {
                continue;
            }
            asked.next = now.saturating_add(EVERY);
            let token = Token(self.tokens);
            self.tokens = self.tokens.wrapping_add(1);
            let registry = self.poll.registry();
            let connected = TcpStream::connect(address).and_then(|mut stream| {
                registry.register(&mut stream, token, Interest::READABLE)?;
                Ok(stream)
            });
            match connected {
                Ok(stream) => {
                    asked.waiting = true;
                    let question = Question {
                        stream,
                        farm,
                        member: member.seat.id,
                        address,
                        answer: Vec::new(),
                        until: now.saturating_add(PATIENCE),
                    };
                    self.open.insert(token, question);
                }
                Err(_) => asked.tell_silence(farm, member, address),
            }
        }
    }

    /// Reads what has come, and gives up what is late.
    fn hear(&mut self) {
        let end = clock::now().saturating_add(LOOK);
        loop {
            let now = clock::now();
            let left = Duration::from_micros(end.saturating_sub(now));
            if self.open.is_empty() || left.is_zero() {
                break;
            }
            if self.poll.poll(&mut self.events, Some(left)).is_err() {
                break;
            }
            for event in &self.events {
                let token = event.token();
                if self.open.get_mut(&token).is_some_and(Question::read)
                    && let Some(question) = self.open.remove(&token)
                {
                    question.close(&mut self.asked);
                }
            }
        }
        let now = clock::now();
        for (_, question) in self.open.extract_if(|_, question| question.until <= now) {
            question.close(&mut self.asked);
        }
    }
}

impl Question {
    /// Reads what is there. True when nothing more will come, or is wanted.
    fn read(&mut self) -> bool {
        let mut part = [0; ANSWER_MAX];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => return true,
                Ok(length) => {
                    let part = part.get(..length).unwrap_or_default();
                    self.answer.extend_from_slice(part);
                    if part.contains(&b'\n') || self.answer.len() >= ANSWER_MAX {
                        return true;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }

    fn close(self, asked: &mut HashMap<MemberId, Asked>) {
        let asked = asked.entry(self.member).or_default();
        asked.waiting = false;
        let Some(member) = self.farm.member_by_id(self.member) else {
            return;
        };
        if self.answer.is_empty() {
            asked.tell_silence(self.farm, member, self.address);
        } else {
            asked.silent = false;
            super::hear(self.farm, member, &Words::read(&self.answer));
        }
    }
}

impl Asked {
    fn tell_silence(&mut self, farm: &Farm, member: &Member, address: SocketAddr) {
        if !std::mem::replace(&mut self.silent, true) {
            let text = format!(
                "ATH0304: farm {}: member {}: its agent at {address} does not answer: what it said \
                 last holds",
                farm.name, member.name
            );
            log::server(Level::Warning, farm.server_rec, &text);
        }
    }
}
