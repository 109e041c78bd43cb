//! How a member answers: set through the control port, overridden by a request's own query.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

/// When a member drops the connection instead of answering in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Close {
    /// Before the first byte of the answer.
    Head,
    /// After half of the body.
    Body,
}

/// A member's behaviour; the default answers 200 with one short line at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Wait before the answer, in milliseconds.
    pub delay_ms: f64,
    /// The wait is drawn from an exponential distribution of mean `delay_ms`.
    pub exponential: bool,
    /// The wait strays from `delay_ms` by up to so much, evenly, in milliseconds.
    pub jitter_ms: f64,
    /// Of these distributions.
    pub seed: u64,
    /// No answer before the behaviour is another one.
    pub hold: bool,
    /// Requests answered at a time, the others wait in line; 0 is any number.
    pub places: usize,
    pub status: u16,
    pub close: Option<Close>,
    /// Closes a connection, unannounced, after so many answers; 0 is never.
    pub close_after: u64,
    /// Bytes of the body.
    pub size: Option<usize>,
    /// Wait between the ten pieces of the body, in milliseconds.
    pub slow_ms: u64,
    pub headers: Vec<(String, String)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            delay_ms: 0.0,
            exponential: false,
            jitter_ms: 0.0,
            seed: 0,
            hold: false,
            places: 0,
            status: 200,
            close: None,
            close_after: 0,
            size: None,
            slow_ms: 0,
            headers: Vec::new(),
        }
    }
}

impl Behaviour {
    /// This behaviour with what the target's query asks for: `delay`, `status`, `size`, `slow`,
    /// `close=1` (before the answer) and `close=body`. Anything else in the query is not for us.
    pub fn asked(&self, target: &[u8]) -> Cow<'_, Self> {
        let mut asked = Cow::Borrowed(self);
        let query = target
            .iter()
            .position(|&byte| byte == b'?')
            .and_then(|at| target.get(at + 1..));
        let query = query
            .and_then(|query| std::str::from_utf8(query).ok())
            .unwrap_or_default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "delay" => set(&mut asked, value, |to, value| to.delay_ms = value),
                "status" => set(&mut asked, value, |to, value| to.status = value),
                "size" => set(&mut asked, value, |to, value| to.size = Some(value)),
                "slow" => set(&mut asked, value, |to, value| to.slow_ms = value),
                "close" if value == "body" => asked.to_mut().close = Some(Close::Body),
                "close" => asked.to_mut().close = Some(Close::Head),
                _ => {}
            }
        }
        asked
    }

    /// How long the `n`th request waits.
    pub fn delay(&self, n: u64) -> Duration {
        let drawn = uniform(self.seed, n);
        let millis = if self.exponential {
            -self.delay_ms * drawn.ln()
        } else {
            self.delay_ms + self.jitter_ms * (2.0 * drawn - 1.0)
        };
        Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
    }
}

fn set<T: std::str::FromStr>(
    asked: &mut Cow<'_, Behaviour>,
    value: &str,
    put: impl FnOnce(&mut Behaviour, T),
) {
    if let Ok(value) = value.parse() {
        put(asked.to_mut(), value);
    }
}

/// The `n`th number of a seed's sequence, in (0, 1] (`SplitMix64`).
#[allow(clippy::cast_precision_loss)] // 53 bits are kept
fn uniform(seed: u64, n: u64) -> f64 {
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (((z ^ (z >> 31)) >> 11) + 1) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_what_it_names_and_no_more() {
        let base = Behaviour {
            size: Some(7),
            ..Behaviour::default()
        };
        let asked = base.asked(b"/x?status=503&delay=50&name=close&close=body");
        assert_eq!(
            (asked.status, asked.close, asked.size),
            (503, Some(Close::Body), Some(7))
        );
        assert_eq!(asked.delay(0), Duration::from_millis(50));
        assert!(matches!(base.asked(b"/x?name=value"), Cow::Borrowed(_)));
        assert_eq!(base.asked(b"/x?status=abc").status, 200);
    }

    #[test]
    fn waits_stray_no_further_than_asked_for() {
        let steady = Behaviour {
            delay_ms: 167.0,
            jitter_ms: 5.0,
            ..Behaviour::default()
        };
        let waits: Vec<_> = (0..1000)
            .map(|n| steady.delay(n).as_secs_f64() * 1e3)
            .collect();
        assert!(waits.iter().all(|wait| (162.0..=172.0).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < 163.0) && waits.iter().any(|wait| *wait > 171.0));
    }

    #[test]
    fn exponential_waits_have_the_mean_asked_for() {
        let slow = Behaviour {
            delay_ms: 20.0,
            exponential: true,
            seed: 42,
            ..Behaviour::default()
        };
        let total: Duration = (0..10_000).map(|n| slow.delay(n)).sum();
        let mean = total.as_secs_f64() / 10.0;
        assert!((19.0..21.0).contains(&mean), "mean {mean} ms");
    }
}
