//! The board's records as references, found once a generation from the private directory.

use super::directory::Directory;
use super::error::BoardError;
use super::events::EventRecord;
use super::inflight::Totals;
use super::layout::{Extent, Header, Kind, SLOT_TABLE};
use super::map::{Plain, Segment};
use super::plan_area::{PlanArea, PlanBuffer};
use super::queue::Waiter;
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
    /// Entries of requests that wait.
    pub waiters: Vec<&'static Waiter>,
    /// The last changes.
    pub events: Vec<&'static EventRecord>,
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
        let mut waiters = Vec::new();
        let mut events = Vec::new();
        let mut matrices: Vec<(&Extent, &'static [MemberRecord])> = Vec::new();
        for extent in &directory.extents {
            let count = extent.count as usize;
            match extent.kind {
                Kind::Farms => farms.extend(view::<FarmRecord>(segments, extent.records(), count)?),
                Kind::Members => {
                    let records = view::<MemberRecord>(segments, extent.records(), count)?;
                    members.extend(records);
                    matrices.push((extent, records));
                }
                Kind::Waiters => waiters.extend(view::<Waiter>(segments, extent.records(), count)?),
                Kind::Events => {
                    events.extend(view::<EventRecord>(segments, extent.records(), count)?);
                }
                Kind::Plan | Kind::Table => {}
            }
        }
        let extent = |index: Option<usize>| index.and_then(|index| directory.extents.get(index));
        let plans = directory
            .farms
            .iter()
            .map(|farm| {
                let area = |plan| plan_area(segments, plan, extent(farm.table));
                extent(farm.plan).map(area).transpose()
            })
            .collect::<Result<_, _>>()?;
        let matrices = matrices
            .into_iter()
            .map(|(extent, records)| matrix(segments, directory, extent, records, &farms))
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
            waiters,
            events,
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
    directory: &Directory,
    extent: &Extent,
    records: &'static [MemberRecord],
    farms: &[&'static FarmRecord],
) -> Result<Matrix<'static>, BoardError> {
    let stride = usize::try_from(extent.stride()).map_err(|_| BoardError::Layout)?;
    let length = stride
        .checked_mul(directory.slots as usize)
        .ok_or(BoardError::Layout)?;
    let cells = view::<AtomicU32>(segments, extent.matrix(), length)?;
    let entries = directory.members.get(extent.first as usize..);
    let columns = records
        .iter()
        .zip(entries.unwrap_or_default())
        .map(|(record, entry)| {
            let farm = entry.farm as usize;
            let counted = directory
                .farms
                .get(farm)
                .is_some_and(|farm| farm.table.is_some());
            Totals {
                member: &record.hot.inflight,
                farm: farms
                    .get(farm)
                    .filter(|_| counted)
                    .map(|record| &record.hot.inflight),
            }
        })
        .collect();
    Ok(Matrix::new(extent.first, stride, cells, columns))
}

fn plan_area(
    segments: &[Segment],
    extent: &Extent,
    table: Option<&Extent>,
) -> Result<PlanArea<'static>, BoardError> {
    let buffer = |number| -> Result<_, BoardError> {
        let place = extent.plan(number);
        Ok(PlanBuffer {
            head: view(segments, place.head, 1)?
                .first()
                .ok_or(BoardError::Layout)?,
            eligible: view(segments, place.eligible, extent.count as usize)?,
            turns: view(segments, place.turns, extent.plan_turns() as usize)?,
            index: view(segments, place.index, extent.plan_index() as usize)?,
            table: match table {
                Some(table) => view(segments, table.table(number), table.count as usize)?,
                None => &[],
            },
        })
    };
    Ok(PlanArea::new(buffer(0)?, buffer(1)?))
}
