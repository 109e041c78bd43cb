//! A farm as the engine sees it when it elects: its members by position and by place on the board.

use std::sync::atomic::Ordering;

use athena_engine::board::record::MemberRecord;
use athena_engine::board::{Board, FarmSeat};
use athena_engine::dispatch::{Known, Lineup};
use athena_engine::health::{self, Cause};
use athena_engine::{MemberId, Micros, ejection};

use super::{Farm, Member};
use crate::{drain, runtime};

/// Members by board index, from the lowest index of the farm on: their positions and records, `None`
/// where a record is another farm's. It lies together: of a thousand members, each choice touches
/// others, and what lies apart comes from memory.
pub struct Roll {
    first: u32,
    places: Vec<Option<(u32, &'static MemberRecord)>>,
}

impl Roll {
    /// The roll of a farm's members, and of seats for more.
    pub fn of(seat: &FarmSeat) -> Self {
        let seats = || seat.members.iter().chain(&seat.spares).chain(&seat.seats);
        let ids = || seats().map(|seat| seat.id.0);
        let first = ids().min().unwrap_or(0);
        let span = ids().max().map_or(0, |last| (last - first) as usize + 1);
        let mut places = vec![None; span];
        for (position, seat) in (0u32..).zip(seats()) {
            if let Some(place) = places.get_mut((seat.id.0 - first) as usize) {
                *place = Some((position, seat.record));
            }
        }
        Self { first, places }
    }

    pub(super) fn position(&self, id: MemberId) -> Option<usize> {
        let (position, _) = self.place(id)?;
        Some(position as usize)
    }

    fn place(&self, id: MemberId) -> Option<(u32, &'static MemberRecord)> {
        let offset = id.0.checked_sub(self.first)?;
        *self.places.get(offset as usize)?
    }
}

fn known(farm: &Farm, member: &Member) -> Known<'static> {
    Known {
        id: member.seat.id,
        record: member.record(),
        serves: member.serves(farm.observed),
    }
}

impl Lineup for Farm {
    fn len(&self) -> usize {
        self.members.places()
    }

    fn at(&self, position: usize) -> Option<Known<'_>> {
        let member = self.members.get(position)?;
        Some(known(self, member))
    }

    fn member(&self, id: MemberId) -> Option<Known<'_>> {
        let member = self.member_by_id(id)?;
        Some(known(self, member))
    }

    fn record(&self, id: MemberId) -> Option<&MemberRecord> {
        let (_, record) = self.roll.place(id)?;
        Some(record)
    }

    fn is_whole(&self) -> bool {
        runtime::board().is_some_and(Board::is_current)
    }

    fn drained(&self, id: MemberId) -> bool {
        self.member_by_id(id)
            .is_some_and(|member| drain::is_over(self, member))
    }

    fn retry(&self, id: MemberId) -> Micros {
        let Some(member) = self.member_by_id(id) else {
            return 0;
        };
        let health = &member.record().health;
        if health::cause(health) == Cause::Ejected {
            let ejections = health.ejections.load(Ordering::Relaxed);
            return ejection::ejection_time(self.eject_base(), ejections.saturating_sub(1));
        }
        member.retry()
    }
}
