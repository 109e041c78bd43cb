//! One row a member, and the columns by which rows are sorted.

use std::cmp::Ordering;

use crate::documents::Member;

/// What is shown of a member.
#[derive(Clone, Debug)]
pub struct Row {
    pub farm: String,
    pub member: String,
    pub state: &'static str,
    pub usable: bool,
    pub weight: f64,
    pub inflight: u64,
    /// Failures a second.
    pub failures: f64,
    pub first_byte: Option<f64>,
    /// Requests a second, the newest last.
    pub rates: Vec<f64>,
}

impl Row {
    pub fn of(farm: &str, member: &Member, rates: Vec<f64>, failures: f64) -> Self {
        Self {
            farm: farm.to_owned(),
            member: member.name.clone(),
            state: member.state(),
            usable: member.usable,
            weight: member.weight,
            inflight: member.inflight,
            failures,
            first_byte: member.ttfb_ewma_ms,
            rates,
        }
    }

    /// Requests a second, now.
    pub fn rate(&self) -> f64 {
        self.rates.last().copied().unwrap_or_default()
    }

    /// Whether a text (lower case) stands in its names or its state.
    pub fn holds(&self, text: &str) -> bool {
        [&self.farm, &self.member]
            .iter()
            .any(|name| name.to_lowercase().contains(text))
            || self.state.contains(text)
    }
}

/// The columns, from left to right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Column {
    /// The configuration's order within.
    #[default]
    Farm,
    Member,
    State,
    Weight,
    Rate,
    InFlight,
    Failures,
    FirstByte,
}

impl Column {
    pub const ALL: [Self; 8] = [
        Self::Farm,
        Self::Member,
        Self::State,
        Self::Weight,
        Self::Rate,
        Self::InFlight,
        Self::Failures,
        Self::FirstByte,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Farm => "farm",
            Self::Member => "member",
            Self::State => "state",
            Self::Weight => "weight",
            Self::Rate => "req/s",
            Self::InFlight => "in flight",
            Self::Failures => "fail/s",
            Self::FirstByte => "first byte ms",
        }
    }

    pub fn next(self) -> Self {
        self.turned(1)
    }

    pub fn before(self) -> Self {
        self.turned(Self::ALL.len() - 1)
    }

    fn turned(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self);
        let next = (at.unwrap_or_default() + by) % Self::ALL.len();
        Self::ALL.get(next).copied().unwrap_or_default()
    }

    /// Names from A to Z, figures from the greatest down.
    pub fn compare(self, a: &Row, b: &Row) -> Ordering {
        match self {
            Self::Farm => a.farm.cmp(&b.farm),
            Self::Member => a.member.cmp(&b.member),
            Self::State => a.state.cmp(b.state),
            Self::Weight => b.weight.total_cmp(&a.weight),
            Self::Rate => b.rate().total_cmp(&a.rate()),
            Self::InFlight => b.inflight.cmp(&a.inflight),
            Self::Failures => b.failures.total_cmp(&a.failures),
            Self::FirstByte => {
                let known = |row: &Row| row.first_byte.unwrap_or(-1.0);
                known(b).total_cmp(&known(a))
            }
        }
    }
}
