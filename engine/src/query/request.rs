//! What each kind of request may hold.

use super::error::{QueryError, Reason};
use super::format::Format;
use super::kind::{Kind, Of};
use super::mirror::Mirror;
use super::split::{Item, Raw, Value};
use super::update::Update;
use std::borrow::Cow;

/// One request.
#[derive(Debug, PartialEq)]
pub enum Request<'t> {
    /// Which member of the farm?
    Balance(Balance<'t>),
    /// How are they?
    Status(Status<'t>),
    /// Something becomes different.
    Update(Box<Update<'t>>),
    /// The state.
    Mirror(Mirror<'t>),
}

/// `farm_one,key=VALUE,f="%a"`.
#[derive(Debug, PartialEq, Eq)]
pub struct Balance<'t> {
    /// The farm's name, `NAME` or `NAME@SERVER`.
    pub farm: Cow<'t, str>,
    /// What a farm that goes by sessions or by a hash goes by.
    pub key: Option<Cow<'t, str>>,
    /// Its answer's format; `None`: the address.
    pub format: Option<Format>,
}

/// Which lines, and what they say.
#[derive(Debug, PartialEq, Eq)]
pub struct Status<'t> {
    /// What the lines are about.
    pub of: Of,
    /// Which.
    pub select: Selection<'t>,
    /// What they say; `None`: [`Format::default_of`].
    pub format: Option<Format>,
}

/// Which members or farms.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection<'t> {
    /// `n=`: the farm.
    pub farm: Option<Cow<'t, str>>,
    /// `h=`: the member.
    pub member: Option<Cow<'t, str>>,
}

impl<'t> Request<'t> {
    /// Reads a request; `kind` is the kind of one without a path of its own.
    pub(super) fn of(kind: Kind, raw: &Raw<'t>, diverse: bool) -> Result<Self, QueryError> {
        let wrong = |reason| QueryError::new(raw.at, reason);
        let own = raw
            .path
            .map(|path| Kind::of_path(path).ok_or_else(|| wrong(Reason::Path(path.to_owned()))));
        let own = own.transpose()?.unwrap_or(kind);
        if own != kind && !diverse {
            return Err(wrong(Reason::Diverse));
        }
        let keys = match raw.items.as_slice() {
            // A farm may be called as a key is.
            [Item { value: None, .. }, keys @ ..] if own == Kind::Balance => keys,
            keys => keys,
        };
        no_repeats(keys)?;
        match own {
            Kind::Balance => Balance::of(raw).map(Self::Balance),
            Kind::Status(of) => Status::of(of, raw).map(Self::Status),
            Kind::Update(of) => Update::of(of, raw).map(|update| Self::Update(Box::new(update))),
            Kind::Mirror(of) => Mirror::of(of, raw).map(Self::Mirror),
        }
    }
}

impl Request<'_> {
    /// What it asks for.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Balance(_) => Kind::Balance,
            Self::Status(status) => Kind::Status(status.of),
            Self::Update(update) => Kind::Update(update.what.of()),
            Self::Mirror(mirror) => Kind::Mirror(mirror.subject()),
        }
    }
}

impl<'t> Balance<'t> {
    fn of(raw: &Raw<'t>) -> Result<Self, QueryError> {
        let (mut farm, mut key, mut format) = (None, None, None);
        for (index, item) in raw.items.iter().enumerate() {
            match (item.word, item.value) {
                (name, None) if index == 0 => farm = Some(Cow::Borrowed(name)),
                ("key", Some(value)) => key = Some(value.text()),
                ("f", Some(value)) => format = Some(Format::read(value, Of::Phys)?),
                _ => return Err(unknown(item)),
            }
        }
        let farm =
            farm.ok_or_else(|| QueryError::new(raw.at, Reason::Missing("the farm's name")))?;
        Ok(Self { farm, key, format })
    }
}

impl<'t> Status<'t> {
    fn of(of: Of, raw: &Raw<'t>) -> Result<Self, QueryError> {
        let mut select = Selection::default();
        let mut format = None;
        for item in &raw.items {
            if select.take(of, item)? {
                continue;
            }
            match (item.word, item.value) {
                ("f", Some(value)) => format = Some(Format::read(value, of)?),
                _ => return Err(unknown(item)),
            }
        }
        Ok(Self { of, select, format })
    }
}

impl<'t> Selection<'t> {
    /// Takes an item that says which; false for any other.
    pub(super) fn take(&mut self, of: Of, item: &Item<'t>) -> Result<bool, QueryError> {
        let place = match (item.word, of) {
            ("n", Of::Phys | Of::Farm) => &mut self.farm,
            ("h", Of::Phys) => &mut self.member,
            _ => return Ok(false),
        };
        *place = Some(given(item)?.text());
        Ok(true)
    }
}

/// The value, which must be there and not be empty.
pub(super) fn given<'t>(item: &Item<'t>) -> Result<Value<'t>, QueryError> {
    let value = item.value.filter(|value| value.chars().next().is_some());
    value.ok_or_else(|| QueryError::new(item.at, Reason::NoValue(item.word.to_owned())))
}

fn no_repeats(items: &[Item<'_>]) -> Result<(), QueryError> {
    for (index, item) in items.iter().enumerate() {
        let mut earlier = items.iter().take(index);
        if earlier.any(|earlier| earlier.word == item.word) {
            return Err(QueryError::new(
                item.at,
                Reason::Twice(item.word.to_owned()),
            ));
        }
    }
    Ok(())
}

pub(super) fn unknown(item: &Item<'_>) -> QueryError {
    let word = item.word.to_owned();
    let reason = match item.value {
        None => Reason::NoValue(word),
        Some(_) => Reason::Key(word),
    };
    QueryError::new(item.at, reason)
}
