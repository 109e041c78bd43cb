//! A farm's members: those of the configuration, then those that join at run time, in places that were
//! made for them: of mod_proxy_balancer's ([`crate::growth`]), and of people's ([`crate::added`]). None of
//! them ever moves: requests hold pointers to them.

use std::iter::{Chain, FilterMap};
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::Member;

/// See the module's documentation.
pub struct Members {
    configured: Vec<Member>,
    joined: Vec<Place>,
    /// How many of the places are mod_proxy_balancer's.
    spares: usize,
}

/// A place for a member that joins: nobody's, or somebody's who may have left.
#[derive(Default)]
pub struct Place(AtomicPtr<Member>);

type Joined<'a> = FilterMap<slice::Iter<'a, Place>, fn(&'a Place) -> Option<&'a Member>>;

impl Members {
    /// The configured ones, and so many places for others.
    pub fn new(configured: Vec<Member>, spares: usize, seats: usize) -> Self {
        Self {
            configured,
            joined: std::iter::repeat_with(Place::default)
                .take(spares + seats)
                .collect(),
            spares,
        }
    }

    /// How many places there are, taken or not.
    pub fn places(&self) -> usize {
        self.configured.len() + self.joined.len()
    }

    /// How many members there are now.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// How many of them mod_proxy knows.
    pub fn listed(&self) -> usize {
        self.len() - self.added().count()
    }

    /// The first place for members that people add.
    pub fn before_seats(&self) -> usize {
        self.configured.len() + self.spares
    }

    /// Those that people added.
    pub fn added(&self) -> impl Iterator<Item = &Member> {
        self.joined.iter().skip(self.spares).filter_map(Place::get)
    }

    /// The member at a place; `None` while it is empty.
    pub fn get(&self, place: usize) -> Option<&Member> {
        self.configured
            .get(place)
            .or_else(|| self.place(place)?.get())
    }

    /// Who has a place, or had it a moment ago.
    pub fn last(&self, place: usize) -> Option<&Member> {
        self.configured
            .get(place)
            .or_else(|| self.place(place)?.last())
    }

    /// Takes an empty place. True for the one that did.
    pub fn join(&self, place: usize, member: Member) -> bool {
        self.place(place).is_some_and(|place| place.take(member))
    }

    /// The members there are now.
    pub fn iter(&self) -> Chain<slice::Iter<'_, Member>, Joined<'_>> {
        let joined: Joined<'_> = self.joined.iter().filter_map(Place::get);
        self.configured.iter().chain(joined)
    }

    fn place(&self, place: usize) -> Option<&Place> {
        self.joined.get(place.checked_sub(self.configured.len())?)
    }
}

impl<'a> IntoIterator for &'a Members {
    type Item = &'a Member;
    type IntoIter = Chain<slice::Iter<'a, Member>, Joined<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Place {
    /// Who has it now.
    fn get(&self) -> Option<&Member> {
        self.last().filter(|member| member.is_current())
    }

    /// Who took it last.
    fn last(&self) -> Option<&Member> {
        // SAFETY: null, or a member that `take` gave up for good.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// Takes it, unless somebody has it. Who had it before stays in memory as long as the process:
    /// requests may hold pointers to it.
    fn take(&self, member: Member) -> bool {
        let before = self.0.load(Ordering::Acquire);
        if self.get().is_some() {
            return false;
        }
        let member = Box::into_raw(Box::new(member));
        let taken = self
            .0
            .compare_exchange(before, member, Ordering::AcqRel, Ordering::Acquire);
        if taken.is_err() {
            // SAFETY: made above, and nobody else's.
            drop(unsafe { Box::from_raw(member) });
        }
        taken.is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let member = self.0.swap(ptr::null_mut(), Ordering::AcqRel);
        if !member.is_null() {
            // SAFETY: made by `take`; the configuration goes, and no request is left.
            drop(unsafe { Box::from_raw(member) });
        }
    }
}
