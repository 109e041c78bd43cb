//! How farms and members are, one line each.

use athena_engine::query::{Format, Of, Status};

use super::find;
use super::subject::{OfEngine, OfFarm, OfMember};
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

    /// Writes the lines.
    pub fn write(&self, to: &mut String) {
        match &self.lines {
            Lines::Members(members) => {
                for (farm, member) in members {
                    self.format.write(&OfMember::new(farm, member), to);
                    to.push('\n');
                }
            }
            Lines::Farms(farms) => {
                for farm in farms {
                    self.format.write(&OfFarm::new(farm), to);
                    to.push('\n');
                }
            }
            Lines::Engine => {
                self.format.write(&OfEngine::new(), to);
                to.push('\n');
            }
        }
    }
}
