//! How farms and members are, one line each.

use athena_engine::query::{Format, Of, Status, Subject};

use super::subject::{OfEngine, OfFarm, OfMember};
use super::{Answer, find};
use crate::change::Refusal;
use crate::farm::{Farm, Member};

/// A request whose farms and members are found.
pub struct Ready {
    lines: Lines,
    format: Format,
}

enum Lines {
    Members(Vec<(&'static Farm, &'static Member)>),
    Farms(Vec<&'static Farm>),
    Engine,
}

impl Ready {
    /// Finds what the request is about.
    pub fn of(request: &Status<'_>) -> Result<Self, Refusal> {
        let lines = match request.of {
            Of::Phys => Lines::Members(find::members(&request.select)?),
            Of::Farm => Lines::Farms(find::farms(&request.select)?),
            Of::Engine => Lines::Engine,
        };
        let format = request.format.clone();
        let format = format.unwrap_or_else(|| Format::default_of(request.of));
        Ok(Self { lines, format })
    }

    /// How many lines there will be.
    pub fn subjects(&self) -> usize {
        match &self.lines {
            Lines::Members(members) => members.len(),
            Lines::Farms(farms) => farms.len(),
            Lines::Engine => 1,
        }
    }

    /// Writes the lines, as far as they fit.
    pub fn write(&self, answer: &mut Answer) -> Result<(), Refusal> {
        match &self.lines {
            Lines::Members(members) => members
                .iter()
                .try_for_each(|(farm, member)| self.line(&OfMember::new(farm, member), answer)),
            Lines::Farms(farms) => farms
                .iter()
                .try_for_each(|farm| self.line(&OfFarm::new(farm), answer)),
            Lines::Engine => self.line(&OfEngine::new(), answer),
        }
    }
    fn line(&self, subject: &impl Subject, answer: &mut Answer) -> Result<(), Refusal> {
        self.format.write(subject, &mut answer.text);
        answer.text.push('\n');
        answer.fits()
    }
}
