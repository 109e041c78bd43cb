//! Members that join a farm at run time, when only children are there to see it. The parent keeps
//! seats free for them ([`FarmSpec::spares`]); a child writes into one whose it is. The parent's
//! next configuration pass reads that name to find the record of a member that is configured by
//! then, and for nothing else.

use super::Board;
use super::attach::identify;
use super::error::BoardError;
use super::lock::FarmLock;
use super::map::zero;
use super::pool::Given;
use super::record::MemberRecord;
use super::settings::configure;
use super::spec::{self, FarmSpec, MemberSeat, MemberSpec};
use super::text;
use crate::MemberId;
use crate::sync::Ordering;

impl Board {
    /// An empty record for a member that is not there yet.
    pub(super) fn spare(&self, given: Given) -> Result<MemberSeat, BoardError> {
        let id = MemberId(given.id);
        let record = self.member(id).ok_or(BoardError::Layout)?;
        zero(record);
        self.view.slots.clear(id);
        Ok(MemberSeat { id, record })
    }

    /// Makes a spare seat of the locked farm a member's, unless it is already. Called by each child
    /// that learns of the member; true for the one that came first. What `spec` has `stored` is in
    /// force.
    ///
    /// # Errors
    ///
    /// Names that do not fit.
    pub fn occupy(
        &self,
        held: &FarmLock<'_>,
        farm: &FarmSpec,
        seat: MemberSeat,
        position: u32,
        spec: &MemberSpec,
    ) -> Result<bool, BoardError> {
        spec::check_member(spec)?;
        let record = seat.record;
        if joined_url(record).as_ref() == Some(&spec.url) {
            return Ok(false);
        }
        identify(record, held.farm(), farm, &spec.url);
        configure(record, None, spec);
        record.admin.position.store(position, Ordering::Relaxed);
        record.admin.lifecycle.store(1, Ordering::Release);
        Ok(true)
    }
}

/// The URL of the member that a record in use names; for comparisons only.
pub(super) fn joined_url(record: &MemberRecord) -> Option<String> {
    if record.admin.lifecycle.load(Ordering::Acquire) != 1 {
        return None;
    }
    text::read(&record.identity.url)
}
