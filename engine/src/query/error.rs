//! What may be wrong with a query.

use super::letters;
use crate::config::value::Must;
use crate::stats::Refused;
use thiserror::Error;

/// Where a query is wrong, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("position {at}: {reason}")]
pub struct QueryError {
    /// The first byte that is wrong, counted from 1 as the query was sent.
    pub at: usize,
    /// Why.
    pub reason: Reason,
}

impl QueryError {
    /// An error at an offset, counted from 0.
    pub(super) fn new(offset: usize, reason: Reason) -> Self {
        Self {
            at: offset + 1,
            reason,
        }
    }
}

/// Why a query is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// Bytes that are no text.
    #[error("not UTF-8")]
    Encoding,
    /// A control character.
    #[error("a control character")]
    Control,
    /// More requests than a query may have.
    #[error("more than {0} requests (AthMaxEmbed)")]
    TooMany(usize),
    /// More requests than a body may have.
    #[error("more than {0} requests in one body")]
    TooManyInBody(usize),
    /// More items than a request may have.
    #[error("more than {0} items in one request")]
    TooLong(usize),
    /// Nothing stands where a request or an item must.
    #[error("nothing between two separators")]
    Empty,
    /// A quote or backslash outside of a quoted value, or something behind its end.
    #[error("{0:?} is not allowed here: a value with it stands in quotes")]
    Stray(char),
    /// A quoted value without an end.
    #[error("the quoted value that begins here does not end")]
    Unclosed,
    /// An unknown escape.
    #[error("\\{} is no escape: there are \\\" \\\\ \\n \\r \\t", .0.escape_debug())]
    Escape(char),
    /// An embedded path that is none.
    #[error(
        "{0:?} is not balance/, status/engine/, nor status/, update/ or mirror/ with farm/ or phys/"
    )]
    Path(String),
    /// Requests of several kinds.
    #[error("a request of another kind needs AthAllowDiverseMulti On")]
    Diverse,
    /// A key that this kind of request does not have.
    #[error("{0:?} is no key of this request")]
    Key(String),
    /// A key twice in one request.
    #[error("{0}= stands twice in one request")]
    Twice(String),
    /// Two keys of one request about the same.
    #[error("{0}= and {1}= say the same thing: one of them, not both, in one request")]
    Both(&'static str, &'static str),
    /// A key without a value.
    #[error("{0:?} has no value")]
    NoValue(String),
    /// What must be named is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A value that is not allowed.
    #[error("{key}={}: {must}", value.escape_debug())]
    Value {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is allowed.
        must: Must,
    },
    /// A percent sign with no letter behind it.
    #[error("% needs a letter behind it; a percent sign itself is %%")]
    Percent,
    /// A letter that there is not, or not of this.
    #[error("%{} is not there: letters are {}", .0.escape_debug(), letters::names(*.1))]
    Letter(char, super::Of),
    /// A statistic that is none.
    #[error(transparent)]
    Statistic(Refused),
    /// Lines of a version that is not understood.
    #[error("v= must be {version}", version = super::mirror::VERSION)]
    Version,
    /// Lines of no version.
    #[error("a line of a state: the first line must be v={version}", version = super::mirror::VERSION)]
    NoVersion,
    /// Nothing stands behind what it is about.
    #[error("nothing to update is named")]
    Nothing,
}
