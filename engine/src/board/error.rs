//! What can keep the board from being opened or grown, and what an administrator should know of.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::values;

/// Why there is no board, worded for the error log.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The file system or the kernel refused.
    #[error("board {path:?}: cannot {action}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is locked by a running server.
    #[error("board {0:?} is in use by another httpd")]
    InUse(PathBuf),
    /// A symbolic link, directory, device or FIFO.
    #[error("board {0:?} is not a regular file")]
    NotRegular(PathBuf),
    /// Somebody else's file.
    #[error("board {0:?} is a file of something else")]
    Foreign(PathBuf),
    /// A name that has no room in a record, is empty or contains NUL.
    #[error("{what} {value:?} does not fit the board: 1 to {max} bytes, none of them NUL")]
    Name {
        /// Which name.
        what: &'static str,
        /// The name.
        value: String,
        /// Bytes there are.
        max: usize,
    },
    /// One key, two records.
    #[error("{what} {value:?} is configured twice")]
    Twice {
        /// Farm or member.
        what: &'static str,
        /// Its key.
        value: String,
    },
    /// More than the layout allows.
    #[error("{count} {what} are configured, the board holds 1 to {max}")]
    TooMany {
        /// Farms, members or child slots.
        what: &'static str,
        /// How many were asked for.
        count: usize,
        /// How many are possible.
        max: u32,
    },
    /// The retained directory was written by another version of this module.
    #[error("the board retained by version {0} of its directory cannot be resumed by this module")]
    OtherRetained(u32),
    /// The retained directory contradicts itself or this process.
    #[error("the retained board cannot be resumed: {0}")]
    Retained(String),
    /// A range of the private directory lies outside what is mapped: a defect of this module.
    #[error("the board's directory and its mapping differ")]
    Layout,
}

impl BoardError {
    /// What can be done about it, behind its text; nothing where that is for the text to say.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::InUse(_) => "; stop that one, or name another file, or none",
            Self::Foreign(_) => "; name one that is not there yet, or none",
            Self::File { source, .. } if is_full(source) => {
                "; make room there (a start needs room for two boards), or name a file elsewhere, or none"
            }
            Self::File { .. } | Self::NotRegular(_) => {
                "; name a file in a directory that httpd can write when it starts, or none"
            }
            _ => "",
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), QuotaExceeded | StorageFull)
}

/// Something that went on well but belongs in the error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A board file was not trusted and renamed.
    SetAside {
        /// Where it lies now.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A run-time change was replaced, because its configured value has changed.
    ConfigurationWins {
        /// The farm's name.
        farm: String,
        /// The member's name; `None` for a parameter of the farm.
        member: Option<String>,
        /// What people had set at run time, as the configuration would write it.
        admin: String,
        /// What the configuration says, and is now in force.
        configured: String,
    },
    /// A farm that people had changed is not configured any more.
    LeftBehind {
        /// The farm's name.
        farm: String,
        /// Its server's.
        server: String,
        /// The farm and members of its that people had set something of.
        changed: usize,
        /// Members that people had added.
        added: usize,
    },
}

/// A member's value that both the configuration and people set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Hundredths.
    Weight,
    /// A set of [`flags`](super::record::flags).
    Flags,
    /// 0 to 99.
    Lbset,
    /// 0: none.
    MaxConn,
}

impl Setting {
    pub(super) fn show(self, value: u32) -> String {
        match self {
            Self::Weight => format!("loadfactor={}.{:02}", value / 100, value % 100),
            Self::Flags => format!("status={}", letters(value)),
            Self::Lbset => format!("lbset={value}"),
            Self::MaxConn if value == 0 => "maxconn=off".to_owned(),
            Self::MaxConn => format!("maxconn={value}"),
        }
    }
}

fn letters(value: u32) -> String {
    let set: String = values::letters(value).collect();
    if set.is_empty() { "none".into() } else { set }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAside { path, reason } => {
                write!(
                    f,
                    "the board file was not usable ({reason}) and is kept as {}",
                    path.display(),
                )
            }
            Self::ConfigurationWins {
                farm,
                member,
                admin,
                configured,
            } => {
                write!(f, "farm {farm}")?;
                if let Some(member) = member {
                    write!(f, ", member {member}")?;
                }
                write!(
                    f,
                    ": {admin} set at run time gives way to the configuration's {configured}, which \
                     has changed"
                )
            }
            Self::LeftBehind {
                farm,
                server,
                changed,
                added,
            } => {
                write!(
                    f,
                    "farm {farm}@{server} is not configured any more. Left behind: what people set of \
                     the farm and its members ({changed}), members they added ({added}). The name of \
                     its server is part of a farm's identity"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::flags;
    use super::*;

    #[test]
    fn advice_fits_what_went_wrong() {
        let file = |errno: nix::errno::Errno| BoardError::File {
            action: "make room in it",
            path: "/x".into(),
            source: errno.into(),
        };
        assert!(
            file(nix::errno::Errno::ENOSPC)
                .advice()
                .contains("make room")
        );
        assert!(
            file(nix::errno::Errno::EDQUOT)
                .advice()
                .contains("make room")
        );
        assert!(
            file(nix::errno::Errno::EACCES)
                .advice()
                .contains("can write")
        );
        assert!(
            BoardError::InUse("/x".into())
                .advice()
                .contains("stop that one")
        );
        assert_eq!(BoardError::Layout.advice(), "");
    }

    #[test]
    fn a_notice_reads_as_the_configuration_is_written() {
        let notice = |setting: Setting, admin, configured| {
            Notice::ConfigurationWins {
                farm: "f".into(),
                member: Some("m".into()),
                admin: setting.show(admin),
                configured: setting.show(configured),
            }
            .to_string()
        };
        assert!(notice(Setting::Weight, 205, 1000).contains("loadfactor=2.05 set at run time"));
        assert!(notice(Setting::Flags, flags::DISABLED | flags::DRAIN, 0).contains("status=DN"));
        assert!(notice(Setting::Flags, flags::DISABLED, 0).contains("status=none"));
        assert!(notice(Setting::Lbset, 3, 4).contains("lbset=4"));
        assert!(notice(Setting::MaxConn, 0, 5).contains("maxconn=off set at run time"));
    }
}
