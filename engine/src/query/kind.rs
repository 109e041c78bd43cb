//! What the paths ask for.

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Members, the historic "physicals".
    Phys,
    /// Farms.
    Farm,
    /// All of it.
    Engine,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A member of a farm.
    Balance,
    /// How things are.
    Status(Of),
    /// Something becomes different.
    Update(Of),
    /// The state, for another engine or from one.
    Mirror(Of),
}

const PATHS: &[(&str, Kind)] = &[
    ("balance", Kind::Balance),
    ("status/phys", Kind::Status(Of::Phys)),
    ("status/farm", Kind::Status(Of::Farm)),
    ("status/engine", Kind::Status(Of::Engine)),
    ("update/phys", Kind::Update(Of::Phys)),
    ("update/farm", Kind::Update(Of::Farm)),
    ("mirror/phys", Kind::Mirror(Of::Phys)),
    ("mirror/farm", Kind::Mirror(Of::Farm)),
];

impl Kind {
    /// The kind behind a path below the engine's own; slashes around it do not count.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut paths = PATHS.iter();
        paths.find(|(name, _)| *name == path).map(|(_, kind)| *kind)
    }

    /// Whether a path begins as one of them does: who asks for it reads lines, whatever is there.
    pub fn begins(path: &str) -> bool {
        let first = |path: &'static str| path.split('/').next();
        let begins = path.trim_start_matches('/').split('/').next();
        PATHS.iter().any(|(name, _)| first(name) == begins)
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        let mut paths = PATHS.iter();
        paths
            .find(|(_, kind)| *kind == self)
            .map_or("", |(path, _)| path)
    }

    /// What its lines are about.
    pub const fn of(self) -> Of {
        match self {
            Self::Balance => Of::Phys,
            Self::Status(of) | Self::Update(of) | Self::Mirror(of) => of,
        }
    }
}
