//! The letters of formats and updates: one line each.

use super::kind::Of;

/// What a letter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A member's name.
    Name,
    /// `FARM@SERVER/NAME`.
    FullName,
    /// A farm's name.
    Farm,
    /// The server that defines the farm.
    Server,
    /// `host[:port]` of the member's URL.
    Address,
    /// The member's URL.
    Url,
    /// The member's route.
    Route,
    /// The farm's method.
    Method,
    /// What people set: on, drain or off.
    State,
    /// up or down.
    Health,
    /// in or out.
    Reporting,
    /// `mod_proxy`'s letters.
    Flags,
    /// Weight.
    Weight,
    /// Set.
    Lbset,
    /// Most requests in flight.
    MaxConn,
    /// Time to come up to the whole share.
    SlowStart,
    /// Whose sessions take its place.
    Redirect,
    /// `draintimeout`.
    DrainTimeout,
    /// Where requests go that cannot be served here.
    Forward,
    /// What answers when nothing is usable.
    Fallback,
    /// How many members can be chosen now.
    Usable,
    /// How many members there are.
    Members,
    /// How many farms there are.
    Farms,
    /// Requests in flight.
    InFlight,
    /// Times elected.
    Elected,
    /// Attempts answered.
    Served,
    /// Attempts failed.
    Failed,
    /// Bytes of requests.
    BytesIn,
    /// Bytes of answers.
    BytesOut,
    /// Time to first byte, in milliseconds.
    Ewma,
    /// The module's version.
    Version,
}

/// One line of the table.
#[derive(Debug)]
pub struct Letter {
    /// The letter.
    pub letter: char,
    /// What it stands for.
    pub field: Field,
    /// Of what.
    pub of: &'static [Of],
    /// What it stands for, as in the manual.
    pub about: &'static str,
    /// What an update may set it to, as in the manual; empty: nothing.
    pub sets: &'static str,
}

const PHYS: &[Of] = &[Of::Phys];
const FARM: &[Of] = &[Of::Farm];
const ENGINE: &[Of] = &[Of::Engine];
const BOTH: &[Of] = &[Of::Phys, Of::Farm];
const UPWARDS: &[Of] = &[Of::Farm, Of::Engine];
const ALL: &[Of] = &[Of::Phys, Of::Farm, Of::Engine];

/// The table. `f` (format), `k` (key) and `v` (version of a mirror's lines) are keys only.
#[rustfmt::skip]
pub const LETTERS: &[Letter] = &[
    letter('h', Field::Name, PHYS, "the member's name"),
    letter('q', Field::FullName, PHYS, "its full name, `FARM@SERVER/MEMBER`"),
    letter('n', Field::Farm, BOTH, "the farm's name"),
    letter('S', Field::Server, BOTH, "the server that defines the farm: `main`, or a virtual host's `HOST:PORT`"),
    letter('a', Field::Address, PHYS, "`host[:port]` of its URL, or its socket"),
    letter('A', Field::Url, PHYS, "its URL"),
    letter('r', Field::Route, PHYS, "its route")
        .set("1 to 63 characters, or `none`"),
    letter('m', Field::Method, BOTH, "the farm's `lbmethod`")
        .set("of a farm, the name of a method"),
    letter('s', Field::State, BOTH, "what people set: `on`, `drain` or `off`; of a farm `on` or `off`")
        .set("`on`, `drain` or `off`; of a farm `on` or `off`"),
    letter('u', Field::Health, PHYS, "`up` or `down`")
        .set("`up` or `down`"),
    letter('i', Field::Reporting, PHYS, "`in` or `out`"),
    letter('g', Field::Flags, PHYS, "mod_proxy's letters of its `status`, such as `DHN`")
        .set("these of `DSIHRN` and no others, or `-`; not with `s=`"),
    letter('w', Field::Weight, PHYS, "its weight")
        .set("from 0.01 to 100"),
    letter('l', Field::Lbset, PHYS, "its set")
        .set("from 0 to 99"),
    letter('C', Field::MaxConn, PHYS, "its `maxconn`")
        .set("from 1 to 1000000, or `none`"),
    letter('B', Field::SlowStart, PHYS, "its `slowstart`, in seconds")
        .set("from 1 to 3600, or `none`"),
    letter('R', Field::Redirect, PHYS, "its `redirect`")
        .set("1 to 63 characters, or `none`"),
    letter('D', Field::DrainTimeout, PHYS, "its `draintimeout`, in seconds")
        .set("from 1 to 604800, or `none`"),
    letter('W', Field::Forward, BOTH, "its `forward`")
        .set("a farm's name, a URL, or `none`"),
    letter('F', Field::Fallback, FARM, "its `fallback`")
        .set("`[redirect:]URL`, or `none`"),
    letter('U', Field::Usable, ALL, "how many members can be chosen now, also of a farm that is off (`%s`); of a member 1 or 0"),
    letter('M', Field::Members, UPWARDS, "how many members there are"),
    letter('N', Field::Farms, ENGINE, "how many farms there are"),
    letter('c', Field::InFlight, ALL, "requests in flight"),
    letter('e', Field::Elected, ALL, "times a member was elected, by requests and by queries"),
    letter('o', Field::Served, ALL, "attempts that were answered"),
    letter('x', Field::Failed, ALL, "attempts that failed"),
    letter('I', Field::BytesIn, ALL, "bytes of bodies to members"),
    letter('O', Field::BytesOut, ALL, "bytes of bodies from members"),
    letter('t', Field::Ewma, PHYS, "average time to first byte, in milliseconds"),
    letter('V', Field::Version, ENGINE, "the module's version"),
];

const fn letter(letter: char, field: Field, of: &'static [Of], about: &'static str) -> Letter {
    Letter {
        letter,
        field,
        of,
        about,
        sets: "",
    }
}

impl Letter {
    const fn set(self, sets: &'static str) -> Self {
        Self { sets, ..self }
    }
}

/// The field that a letter stands for.
pub fn find(letter: char, of: Of) -> Option<Field> {
    let mut table = LETTERS.iter();
    table
        .find(|line| line.letter == letter && line.of.contains(&of))
        .map(|line| line.field)
}

/// The letters there are, for error messages.
pub fn names(of: Of) -> String {
    let table = LETTERS.iter().filter(|line| line.of.contains(&of));
    table.map(|line| line.letter).collect()
}
