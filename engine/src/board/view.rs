//! The board's records as references, found once a generation from the private directory.

use super::directory::Directory;
use super::error::BoardError;
use super::layout::{Extent, Header, Kind, SLOT_TABLE};
use super::map::{Plain, Segment};
use super::plan_area::{PlanArea, PlanBuffer};
use super::record::{FarmRecord, MemberRecord};
use super::slots::{Matrix, SlotTable};
use crate::sync::{AtomicU32, AtomicU64};

/// Everything on the board, by index.
#[derive(Debug)]
pub struct View {
    /// The file's own description.
    pub header: &'static Header,
    /// All farm records.
    pub farms: Vec<&'static FarmRecord>,
    /// Each farm's plan area, if it ever had one.
    pub plans: Vec<Option<PlanArea<'static>>>,
    /// All member records.
    pub members: Vec<&'static MemberRecord>,
    /// Child slots and in-flight cells.
    pub slots: SlotTable<'static>,
}

impl View {
    /// Finds everything where the directory says it is.
    ///
    /// # Errors
    ///
    /// [`BoardError::Layout`] if that is not mapped.
    pub fn of(segments: &[Segment], directory: &Directory) -> Result<Self, BoardError> {
        let mut farms = Vec::with_capacity(directory.farms.len());
        let mut members = Vec::with_capacity(directory.members.len());
        let mut matrices = Vec::new();
        for extent in &directory.extents {
            let count = extent.count as usize;
            match extent.kind {
                Kind::Farms => farms.extend(view::<FarmRecord>(segments, extent.records(), count)?),
                Kind::Members => {
                    let records = view::<MemberRecord>(segments, extent.records(), count)?;
                    members.extend(records);
                    matrices.push(matrix(segments, extent, directory.slots, records)?);
                }
                Kind::Plan => {}
            }
        }
        let plan = |index: Option<usize>| {
            let extent = index.and_then(|index| directory.extents.get(index));
            extent.map(|extent| plan_area(segments, extent)).transpose()
        };
        let plans = directory
            .farms
            .iter()
            .map(|farm| plan(farm.plan))
            .collect::<Result<_, _>>()?;
        let header = view::<Header>(segments, 0, 1)?
            .first()
            .ok_or(BoardError::Layout)?;
        let owners = view::<AtomicU64>(segments, SLOT_TABLE, directory.slots as usize)?;
        Ok(Self {
            header,
            farms,
            plans,
            members,
            slots: SlotTable::new(owners, matrices),
        })
    }
}

/// `count` records at `offset` of the file, wherever that part is mapped.
pub fn view<T: Plain>(
    segments: &[Segment],
    offset: u64,
    count: usize,
) -> Result<&'static [T], BoardError> {
    segments
        .iter()
        .find_map(|segment| segment.view(offset, count))
        .ok_or(BoardError::Layout)
}

fn matrix(
    segments: &[Segment],
    extent: &Extent,
    slots: u32,
    records: &'static [MemberRecord],
) -> Result<Matrix<'static>, BoardError> {
    let stride = usize::try_from(extent.stride()).map_err(|_| BoardError::Layout)?;
    let length = stride
        .checked_mul(slots as usize)
        .ok_or(BoardError::Layout)?;
    let cells = view::<AtomicU32>(segments, extent.matrix(), length)?;
    let hot = records.iter().map(|record| &record.hot).collect();
    Ok(Matrix::new(extent.first, stride, cells, hot))
}

fn plan_area(segments: &[Segment], extent: &Extent) -> Result<PlanArea<'static>, BoardError> {
    let buffer = |number| -> Result<_, BoardError> {
        let place = extent.plan(number);
        Ok(PlanBuffer {
            head: view(segments, place.head, 1)?
                .first()
                .ok_or(BoardError::Layout)?,
            eligible: view(segments, place.eligible, extent.count as usize)?,
            turns: view(segments, place.turns, extent.plan_turns() as usize)?,
        })
    };
    Ok(PlanArea::new(buffer(0)?, buffer(1)?))
}
