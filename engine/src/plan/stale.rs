//! The mark of a farm whose plan is out of date.
//!
//! It stays until the new plan is published: meanwhile requests look beyond the plan there is, and
//! another process takes over from one that was killed while it compiled.

use crate::board::record::FarmCold;
use crate::sync::Ordering;

const MARKED: u32 = 1;
/// Whatever changes from here on is marked again.
const COMPILING: u32 = 2;

/// Something that the plan is made of has changed. Called after that.
pub fn mark(farm: &FarmCold) {
    // Not a store: in one order with `begin` and `end`, each of which sees the one before.
    farm.stale.swap(MARKED, Ordering::SeqCst);
}

/// Whether the plan in force may be out of date.
pub fn is_marked(farm: &FarmCold) -> bool {
    farm.stale.load(Ordering::SeqCst) != 0
}

/// Before the members are looked at for a new plan, under the farm's lock. False: none is needed.
pub fn begin(farm: &FarmCold) -> bool {
    is_marked(farm) && {
        farm.stale.swap(COMPILING, Ordering::SeqCst);
        true
    }
}

/// The plan is published: the mark goes, unless there is a new one.
pub fn end(farm: &FarmCold) {
    let _ = farm
        .stale
        .compare_exchange(COMPILING, 0, Ordering::SeqCst, Ordering::SeqCst);
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_stays_until_the_plan_is_published() {
        let farm = FarmCold::default();
        assert!(!is_marked(&farm) && !begin(&farm));
        mark(&farm);
        assert!(begin(&farm) && is_marked(&farm));
        // Killed here: the next one begins again.
        assert!(begin(&farm));
        end(&farm);
        assert!(!is_marked(&farm) && !begin(&farm));
    }

    #[test]
    fn what_changes_meanwhile_is_not_lost() {
        let farm = FarmCold::default();
        mark(&farm);
        assert!(begin(&farm));
        mark(&farm);
        end(&farm);
        assert!(begin(&farm));
    }
}

#[cfg(all(test, loom))]
mod interleavings {
    use super::*;
    use crate::sync::AtomicU32;
    use loom::sync::Arc;
    use loom::thread::spawn;

    /// A change beside a compilation: the published plan has it, or the mark stands.
    #[test]
    fn a_change_is_in_the_plan_or_marked() {
        loom::model(|| {
            let shared = Arc::new((FarmCold::default(), AtomicU32::new(0)));
            mark(&shared.0);
            let theirs = Arc::clone(&shared);
            let changing = spawn(move || {
                theirs.1.store(1, Ordering::SeqCst);
                mark(&theirs.0);
            });
            let (farm, member) = &*shared;
            assert!(begin(farm));
            let planned = member.load(Ordering::SeqCst);
            end(farm);
            changing.join().unwrap();
            assert!(planned == 1 || is_marked(farm));
        });
    }
}
