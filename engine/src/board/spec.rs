//! What the configuration asks of the board, and the places it is given there.

use super::error::{BoardError, Notice};
use super::extras::{FarmExtras, MemberExtras};
use super::plan_area::PlanArea;
use super::record::{FarmRecord, MemberRecord, NAME_MAX, URL_MAX};
use super::settings::Settings;
use super::text;
use crate::{FarmId, MemberId};

/// A farm as configured. Its key is `(server, name)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FarmSpec {
    /// The server (vhost) that owns it.
    pub server: String,
    /// Its name, lower case.
    pub name: String,
    /// Its members, in configuration order.
    pub members: Vec<MemberSpec>,
    /// Seats kept free for members that join at run time ([`super::Board::occupy`]).
    pub spares: u32,
    /// What people can replace.
    pub extras: FarmExtras,
    /// Seats for members that people add at run time ([`super::Board::admit`]).
    pub seats: u32,
    /// Its method is `hash`: its plans have a table.
    pub hashed: bool,
    /// Most requests that wait at a time, of all farms together.
    pub waiters: u32,
}

/// A member as configured. Its key is its farm's and `url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberSpec {
    /// The URL as `mod_proxy` keeps it.
    pub url: String,
    /// The name users see; what exceeds [`NAME_MAX`] is cut off on the board.
    pub name: String,
    /// What else people can replace.
    pub extras: MemberExtras,
    /// What it says of the rest; brought into range.
    pub settings: Settings,
    /// What people had set weight, flags and set to, as somebody else remembers it: in force if the
    /// board does not know the member itself.
    pub stored: Option<Settings>,
}

/// Where the configuration's farms are, in its own order, and what the log should say.
#[derive(Debug, Default)]
pub struct Attached {
    /// One for each [`FarmSpec`].
    pub farms: Vec<FarmSeat>,
    /// Worth a line each.
    pub notices: Vec<Notice>,
}

/// A farm's place.
#[derive(Clone, Debug)]
pub struct FarmSeat {
    /// Its index.
    pub id: FarmId,
    /// Its record.
    pub record: &'static FarmRecord,
    /// Where its plan is published. Empty for a new farm and for one that has outgrown its former
    /// area: publish before children are forked.
    pub plan: PlanArea<'static>,
    /// One for each [`MemberSpec`].
    pub members: Vec<MemberSeat>,
    /// As many as [`FarmSpec::spares`].
    pub spares: Vec<MemberSeat>,
    /// As many as [`FarmSpec::seats`]; those of members that were added and are still there first.
    pub seats: Vec<MemberSeat>,
}

/// A member's place.
#[derive(Clone, Copy, Debug)]
pub struct MemberSeat {
    /// Its index.
    pub id: MemberId,
    /// Its record.
    pub record: &'static MemberRecord,
}

/// Whether every name has room in its record.
pub(super) fn check(farms: &[FarmSpec]) -> Result<(), BoardError> {
    for farm in farms {
        fits("server", &farm.server, NAME_MAX)?;
        fits("farm", &farm.name, NAME_MAX)?;
        farm.members.iter().try_for_each(check_member)?;
    }
    Ok(())
}

/// Whether a member's names have room in its record.
pub(super) fn check_member(member: &MemberSpec) -> Result<(), BoardError> {
    fits("member URL", &member.url, URL_MAX)?;
    fits(
        "member name",
        text::truncated(&member.name, NAME_MAX),
        NAME_MAX,
    )?;
    if !member.extras.route.is_empty() {
        fits("route", &member.extras.route, NAME_MAX)?;
    }
    Ok(())
}

pub(super) fn fits(what: &'static str, value: &str, max: usize) -> Result<(), BoardError> {
    if (1..=max).contains(&value.len()) && !value.contains('\0') {
        return Ok(());
    }
    Err(BoardError::Name {
        what,
        value: value.to_owned(),
        max,
    })
}

/// A farm with a member for each URL, for the tests of this folder.
#[cfg(test)]
pub(super) fn sample(name: &str, urls: impl IntoIterator<Item: ToString>) -> FarmSpec {
    let member = |url: String| MemberSpec {
        name: url.clone(),
        url,
        extras: MemberExtras::default(),
        settings: Settings::default(),
        stored: None,
    };
    let members = urls
        .into_iter()
        .map(|url| member(url.to_string()))
        .collect();
    FarmSpec {
        server: "main".into(),
        name: name.into(),
        members,
        spares: 0,
        seats: 0,
        extras: FarmExtras::default(),
        hashed: false,
        waiters: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farm(server: &str, url: &str, route: &str) -> FarmSpec {
        let mut farm = FarmSpec {
            server: server.into(),
            ..sample("f", [url])
        };
        farm.members[0].name = "é".repeat(60);
        farm.members[0].extras.route = route.into();
        farm
    }

    #[test]
    fn names_without_room_are_refused_by_kind_and_value() {
        assert!(check(&[farm("main", "http://a", "")]).is_ok());
        assert!(check(&[farm(&"s".repeat(96), &"u".repeat(384), &"r".repeat(96))]).is_ok());
        for (bad, what) in [
            (farm("", "http://a", ""), "server \"\""),
            (farm("main", "a\0b", ""), "member URL \"a\\0b\""),
            (farm("main", &"u".repeat(385), ""), "member URL"),
            (farm("main", "http://a", &"r".repeat(97)), "route"),
        ] {
            let error = check(&[bad]).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
