//! What people had set and added in farms that a configuration pass leaves out.

use std::collections::BTreeMap;

use super::Board;
use super::directory::{Directory, Life};
use super::error::Notice;
use super::load::{Loaded, LoadedFarm, LoadedMember};
use super::record::{FarmRecord, MemberRecord, flags};
use super::settings::Settings;
use crate::sync::Ordering;

/// Of one farm.
#[derive(Default)]
struct Left {
    /// The farm and members of its that people had set something of.
    changed: usize,
    /// Members that people had added.
    added: usize,
}

impl Left {
    fn notice(self, server: &str, farm: &str) -> Option<Notice> {
        let Self { changed, added } = self;
        (changed + added > 0).then(|| Notice::LeftBehind {
            farm: farm.to_owned(),
            server: server.to_owned(),
            changed,
            added,
        })
    }
}

/// In the farms that a graceful restart's pass to `next` retires.
pub(super) fn behind(board: &Board, next: &Directory) -> Vec<Notice> {
    let gone = Life::Retired(board.directory.generation);
    let farms = (0..).zip(next.farms.iter().zip(&board.view.farms));
    farms
        .filter(|(_, (farm, _))| farm.life == gone)
        .filter_map(|(id, (farm, record))| {
            let mut left = Left {
                changed: usize::from(is_farm_changed(record)),
                added: 0,
            };
            let members = board.directory.members.iter().zip(&board.view.members);
            for (entry, record) in members {
                if entry.life != Life::Used || entry.farm != id {
                    continue;
                }
                if record.added().is_some() {
                    left.added += 1;
                } else if entry.is_configured() && is_changed(record, entry.configured) {
                    left.changed += 1;
                }
            }
            left.notice(&farm.server, &farm.name)
        })
        .collect()
}

/// In the farms of the last run that a full start has not taken over.
pub(super) fn over(loaded: &Loaded) -> Vec<Notice> {
    let farms = loaded.farms.iter().filter(|(_, farm)| farm.used);
    let mut left: BTreeMap<(&str, &str), Left> = farms
        .map(|((server, name), farm)| {
            let changed = usize::from(was_farm_changed(farm));
            ((&server[..], &name[..]), Left { changed, added: 0 })
        })
        .collect();
    for ((server, farm, _), member) in &loaded.members {
        let Some(left) = left.get_mut(&(&server[..], &farm[..])) else {
            continue;
        };
        if member.added.is_some() {
            left.added += 1;
        } else if was_changed(member) {
            left.changed += 1;
        }
    }
    left.into_iter()
        .filter_map(|((server, farm), left)| left.notice(server, farm))
        .collect()
}

fn is_farm_changed(record: &FarmRecord) -> bool {
    let changed = &record.changed;
    record.cold.off.load(Ordering::Relaxed) != 0
        || changed.method.get().is_some()
        || changed.forward.get().is_some()
        || changed.fallback.get().is_some()
}

fn was_farm_changed(farm: &LoadedFarm) -> bool {
    let texts = [&farm.method, &farm.forward, &farm.fallback];
    farm.off != 0 || texts.iter().any(|text| text.value.is_some())
}

fn is_changed(record: &MemberRecord, configured: Settings) -> bool {
    let changed = &record.changed;
    by_people(Settings::in_force(&record.admin)) != by_people(configured)
        || changed.slow_start.get().is_some()
        || changed.route.get().is_some()
        || changed.forward.get().is_some()
        || changed.redirect.get().is_some()
        || changed.drain_timeout.get().is_some()
}

fn was_changed(member: &LoadedMember) -> bool {
    let texts = [&member.route, &member.forward, &member.redirect];
    by_people(member.in_force) != by_people(member.configured)
        || texts.iter().any(|text| text.value.is_some())
        || member.slow_start.value != 0
        || member.drain_timeout.value != 0
}

/// Without what health checks found.
fn by_people(settings: Settings) -> Settings {
    Settings {
        flags: settings.flags & !flags::CHECK_FAILED,
        ..settings
    }
}
