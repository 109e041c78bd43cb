//! `score=`: a formula over the statistics that members push, the lower the better.
//!
//! ```text
//! formula = product { ("+" | "-") product }
//! product = factor { ("*" | "/") factor }
//! factor  = "-" factor | "(" formula ")" | name | number
//! ```
//!
//! It is compiled at the start, into the order of a stack, and evaluated without allocating: over
//! pushed statistics alone once with each update, and kept on the board; over what changes with every
//! request ([`Input`]) when a member is chosen.
//!
//! There is no library in it because of those there are one is wrong (`exmex` 0.21: `-(a+0+0)` is 1 for
//! a = 1), one writes behind a shared reference (`fasteval`), and one has no fitting licence (`evalexpr`).

use super::{Name, find, value};
use crate::Micros;
use crate::board::record::{MemberRecord, MemberStats};
use crate::config::value::Must;
use crate::ewma;
use crate::sync::Ordering;

/// Most names and numbers in a formula, and so the deepest stack.
const OPERANDS_MAX: usize = 32;
/// Deepest nesting of parentheses and signs.
const DEPTH_MAX: usize = 32;

/// A compiled formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Score(Vec<Step>);

/// One step of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Pushes a number.
    Number(f64),
    /// Pushes what a name stands for.
    Input(Input),
    /// Negates the top.
    Negate,
    /// Takes two off and pushes what the operator makes of them.
    Pair(u8),
}

/// What a name stands for. The first four are the farm's own measurements, and come before a
/// statistic of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// `inflight`: requests under way.
    InFlight,
    /// `ewma_ms`: the response time estimate; 0 while it is unknown.
    Ewma,
    /// `weight`: as `loadfactor` spells it.
    Weight,
    /// `errors`: failures in a row.
    Errors,
    /// A statistic.
    Pushed(Name),
}

/// A number in a formula is never NaN.
impl Eq for Score {}

impl Score {
    /// Reads and compiles a formula.
    ///
    /// # Errors
    /// Where it goes wrong, and what is allowed there.
    pub fn read(text: &str) -> Result<Self, Must> {
        let mut reader = Reader {
            text,
            at: 0,
            depth: 0,
            steps: Vec::new(),
        };
        match reader.formula().and_then(|()| reader.end()) {
            Ok(()) => Ok(Self(reader.steps)),
            Err(wrong) => Err(format!(
                "must be a formula of names, numbers, + - * / and parentheses; at position {} \
                 {wrong}",
                reader.at + 1
            )),
        }
    }

    /// The member's score; `None` while a statistic that it needs was never pushed, and where the
    /// formula has no finite result.
    pub fn of(&self, member: &MemberRecord, now: Micros, half_life: Micros) -> Option<f64> {
        if self.is_kept() {
            return kept(&member.stats);
        }
        self.evaluate(|input| match input {
            Input::Pushed(name) => find(&member.stats, name).and_then(value),
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            Input::InFlight => Some(member.hot.inflight.count() as f64),
            Input::Ewma => {
                let estimate = ewma::estimate(&member.hot, now, half_life);
                Some(estimate.map_or(0.0, |micros| micros / 1000.0))
            }
            Input::Weight => Some(f64::from(member.admin.weight()) / 100.0),
            Input::Errors => Some(f64::from(member.health.streak.load(Ordering::Relaxed))),
        })
    }

    /// Evaluates the formula for a member and keeps the result on its board, where statistics alone
    /// decide it. To be called after each push, and at a start.
    pub fn keep(&self, stats: &MemberStats) {
        if !self.is_kept() {
            return;
        }
        loop {
            let pushes = stats.pushes.load(Ordering::SeqCst);
            let score = self.evaluate(|input| match input {
                Input::Pushed(name) => find(stats, name).and_then(value),
                _ => None,
            });
            stats.score.store(bits(score), Ordering::SeqCst);
            // Whoever pushed meanwhile may have stored his result before this older one.
            if stats.pushes.load(Ordering::SeqCst) == pushes {
                return;
            }
        }
    }

    /// Statistics alone decide it.
    fn is_kept(&self) -> bool {
        self.0.iter().all(|step| match step {
            Step::Input(input) => matches!(input, Input::Pushed(_)),
            _ => true,
        })
    }

    fn evaluate(&self, input: impl Fn(Input) -> Option<f64>) -> Option<f64> {
        let mut stack = [0.0; OPERANDS_MAX];
        let mut height = 0_usize;
        for step in &self.0 {
            let operand = match step {
                Step::Number(number) => *number,
                Step::Input(name) => input(*name)?,
                Step::Negate => {
                    height = height.checked_sub(1)?;
                    -stack.get(height)?
                }
                Step::Pair(operator) => {
                    height = height.checked_sub(2)?;
                    let (left, right) = (*stack.get(height)?, *stack.get(height + 1)?);
                    match operator {
                        b'+' => left + right,
                        b'-' => left - right,
                        b'*' => left * right,
                        _ => left / right,
                    }
                }
            };
            *stack.get_mut(height)? = operand;
            height += 1;
        }
        let [score, ..] = stack;
        score.is_finite().then_some(score)
    }
}

/// A score as it is kept on the board: 0, which a new record holds, is none.
fn bits(score: Option<f64>) -> u64 {
    score.map_or(0, |score| match score.to_bits() {
        0 => (-0.0_f64).to_bits(),
        bits => bits,
    })
}

fn kept(stats: &MemberStats) -> Option<f64> {
    let bits = stats.score.load(Ordering::Relaxed);
    Some(f64::from_bits(bits)).filter(|score| bits != 0 && score.is_finite())
}

/// Reads a formula from left to right; on an error, `at` is where it is.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    steps: Vec<Step>,
}

type Wrong = String;

impl<'a> Reader<'a> {
    fn formula(&mut self) -> Result<(), Wrong> {
        self.product()?;
        while let Some(operator) = self.operator(b"+-") {
            self.product()?;
            self.steps.push(operator);
        }
        Ok(())
    }

    fn product(&mut self) -> Result<(), Wrong> {
        self.factor()?;
        while let Some(operator) = self.operator(b"*/") {
            self.factor()?;
            self.steps.push(operator);
        }
        Ok(())
    }

    fn factor(&mut self) -> Result<(), Wrong> {
        let next = self.peek();
        if self.depth == DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        self.depth += 1;
        match next {
            Some(b'-') => {
                self.at += 1;
                self.factor()?;
                self.steps.push(Step::Negate);
            }
            Some(b'(') => {
                self.at += 1;
                self.formula()?;
                if self.peek() != Some(b')') {
                    return Err("an operator or ')' must stand".to_owned());
                }
                self.at += 1;
            }
            _ => self.operand()?,
        }
        self.depth -= 1;
        Ok(())
    }

    fn operand(&mut self) -> Result<(), Wrong> {
        let (word, step) = match self.peek() {
            Some(b'0'..=b'9' | b'.') => {
                let word = self.word(|b| b.is_ascii_digit() || b == b'.');
                let number = word.parse().ok().filter(|number: &f64| number.is_finite());
                let number = number.ok_or_else(|| format!("{word} is no number"))?;
                (word, Step::Number(number))
            }
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => {
                let word = self.word(|b| b.is_ascii_alphanumeric() || b == b'_');
                (word, Step::Input(Input::of(word)?))
            }
            _ => return Err("a name, a number or '(' must stand".to_owned()),
        };
        let operands = |step: &&Step| matches!(step, Step::Number(_) | Step::Input(_));
        if self.steps.iter().filter(operands).count() == OPERANDS_MAX {
            return Err(format!("it has more than {OPERANDS_MAX} names and numbers"));
        }
        self.steps.push(step);
        self.at += word.len();
        Ok(())
    }

    fn end(&mut self) -> Result<(), Wrong> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err("an operator must stand: + - * /".to_owned()),
        }
    }

    /// Takes one of these operators, if it comes next.
    fn operator(&mut self, among: &[u8]) -> Option<Step> {
        let next = self.peek().filter(|next| among.contains(next))?;
        self.at += 1;
        Some(Step::Pair(next))
    }

    /// The next byte that is not a blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| **byte == b' ').count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// The run of such bytes that comes next; does not take it.
    fn word(&self, part: fn(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.bytes().position(|byte| !part(byte));
        rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
    }
}

impl Input {
    fn of(name: &str) -> Result<Self, Wrong> {
        Ok(match name {
            "inflight" => Self::InFlight,
            "ewma_ms" => Self::Ewma,
            "weight" => Self::Weight,
            "errors" => Self::Errors,
            _ if name.eq_ignore_ascii_case("unset") => {
                return Err("unset must stand alone, for no formula".to_owned());
            }
            _ => Self::Pushed(Name::new(name).map_err(|refused| refused.to_string())?),
        })
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
