//! The state as lines for another engine, and lines from one.

use athena_engine::board::record::flags;
use athena_engine::query::{Mirror, Of, mirror};
use athena_engine::stats;

use super::{find, update};
use crate::change::Refusal;
use crate::farm::{Farm, Member};

/// A request whose farms and members are found.
pub enum Ready<'q> {
    Members(Vec<(&'static Farm, &'static Member)>),
    Farms(Vec<&'static Farm>),
    Version,
    Line(Box<update::Ready<'q>>),
}

impl<'q> Ready<'q> {
    /// Finds what the request is about.
    pub fn of(request: Mirror<'q>) -> Result<Self, Refusal> {
        Ok(match request {
            Mirror::Ask(Of::Phys, select) => Self::Members(find::members(&select)?),
            Mirror::Ask(_, select) => Self::Farms(find::farms(&select)?),
            Mirror::Version(_) => Self::Version,
            Mirror::Line(line) => Self::Line(Box::new(update::Ready::of(*line)?.leaving_errors())),
        })
    }

    /// How many farms and members it is about.
    pub fn subjects(&self) -> usize {
        match self {
            Self::Members(members) => members.len(),
            Self::Farms(farms) => farms.len(),
            Self::Version => 0,
            Self::Line(line) => line.subjects(),
        }
    }

    /// Writes the state that was asked for.
    pub fn write(&self, to: &mut String) {
        match self {
            Self::Members(members) => {
                mirror::write_version(to);
                for (farm, member) in members {
                    let name = format!("{}@{}/{}", farm.name, farm.server, member.name);
                    let record = member.record();
                    // Another engine takes what it is sent for a report.
                    let is_out = record.admin.state() & flags::OUT != 0;
                    let pushed = stats::read(&record.stats).filter(|_| !is_out);
                    mirror::write_member(to, &name, &member.state(), pushed);
                }
            }
            Self::Farms(farms) => {
                mirror::write_version(to);
                for farm in farms {
                    let name = format!("{}@{}", farm.name, farm.server);
                    mirror::write_farm(to, &name, &farm.state());
                }
            }
            Self::Version | Self::Line(_) => {}
        }
    }
}
