//! A farm's members: those of the configuration, then those that join at run time ([`crate::growth`]),
//! in places that were made for them. None of them ever moves: requests hold pointers to them.

use std::iter::{Chain, FilterMap};
use std::slice;
use std::sync::OnceLock;

use crate::farm::Member;

/// See the module's documentation.
pub struct Members {
    configured: Vec<Member>,
    joined: Vec<OnceLock<Member>>,
}

type Joined<'a> =
    FilterMap<slice::Iter<'a, OnceLock<Member>>, fn(&'a OnceLock<Member>) -> Option<&'a Member>>;

impl Members {
    /// The configured ones, and so many places for others.
    pub fn new(configured: Vec<Member>, spares: usize) -> Self {
        Self {
            configured,
            joined: std::iter::repeat_with(OnceLock::new).take(spares).collect(),
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

    /// The member at a place; `None` while it is empty.
    pub fn get(&self, place: usize) -> Option<&Member> {
        self.configured
            .get(place)
            .or_else(|| self.spare(place)?.get())
    }

    /// Takes an empty place. True for the one that did.
    pub fn join(&self, place: usize, member: Member) -> bool {
        self.spare(place)
            .is_some_and(|spare| spare.set(member).is_ok())
    }

    /// The members there are now.
    pub fn iter(&self) -> Chain<slice::Iter<'_, Member>, Joined<'_>> {
        let joined: Joined<'_> = self.joined.iter().filter_map(OnceLock::get);
        self.configured.iter().chain(joined)
    }

    fn spare(&self, place: usize) -> Option<&OnceLock<Member>> {
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
