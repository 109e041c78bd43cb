//! Commands and options, and what is made from them: completions and manual pages.

mod url;
mod values;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::error::Error;
use crate::monitor::{Severity, Threshold};
use crate::output;
use url::EngineUrl;
use values::{expiry, member, pair, seconds, word};

pub use values::{Target, Word, now};

/// Look at, change and watch the farms of an httpd with mod_athena.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  athctl status                              all farms and members, as a table
  athctl status farm_one --json              one farm, as the engine tells it
  athctl set farm_one/10.0.0.1:8080 weight=2 a change, in all children at once
  athctl monitor --warning 1 --critical 50%  for Nagios and its kin
  athctl top                                 live, full screen
  athctl check /etc/apache2/apache2.conf     what a configuration means here
  athctl --url https://www.example.com/athena status

Where several servers have a farm of one name, FARM is NAME@SERVER: SERVER is main, or a virtual host's
name, with its port where several servers of that name have such a farm.

The engine answers loopback only, unless AthTrust names other networks."
)]
pub struct Cli {
    #[command(flatten)]
    pub server: Server,
    #[command(subcommand)]
    pub command: Command,
}

/// Which engine.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Where the engine answers: the server and its AthPath
    #[arg(long, global = true, env = "ATHENA_URL", hide_env_values = true,
          value_hint = ValueHint::Url, value_parser = EngineUrl,
          default_value = "http://localhost/athena")]
    pub url: String,
    /// Longest wait for an answer, in seconds
    #[arg(long, global = true, default_value = "10", value_parser = seconds)]
    pub timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Farms and members with their states and counts
    Status(Status),
    /// One line and an exit code for a monitoring system
    #[command(after_help = "\
Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

A threshold is a number of members, or a percentage of the farm's members, that cannot be chosen: it
is reached when so many or more cannot. A farm that is off or without a usable member is CRITICAL.

Examples:
  athctl monitor                             any member out: WARNING, none left: CRITICAL
  athctl monitor farm_one -w 2 -c 50%")]
    Monitor(Monitor),
    /// Changes a farm or a member
    #[command(after_help = "\
Keys of a farm:
  on=on|off
  method=LBMETHOD
  forward=FARM|URL|none
  fallback=[redirect:]URL|none

Keys of a member:
  on, drain, standby, spare, stopped, ignore_errors=on|off
  up=on|off                     off: down until people say otherwise; on ends an error, too
  weight=N                      0.01 to 100
  lbset=N                       0 to 99
  route, redirect=ROUTE|none
  maxconn=N|none
  slowstart, draintimeout=SECONDS|none
  forward=FARM|URL|none

The change is refused when somebody else has changed the same between its reading and its writing.

Examples:
  athctl set farm_one/10.0.0.1:8080 weight=2.5 lbset=1
  athctl set farm_one/10.0.0.1:8080 on=off
  athctl set farm_one/10.0.0.1:8080 farm_one/10.0.0.2:8080 lbset=1     both or neither
  athctl set farm_one method=leasttime")]
    Set(Set),
    /// Gives a member no new clients
    #[command(after_help = "\
Examples:
  athctl drain farm_one/10.0.0.1:8080 --wait --most 600 && reboot-it
  athctl set farm_one/10.0.0.1:8080 drain=off      takes it back")]
    Drain(Drain),
    /// Adds a member to a farm, in all children and over restarts
    #[command(after_help = "\
AthMemberAllow must name its host. Keys are those of a BalancerMember line.

Example:
  athctl add farm_one http://10.0.0.9:8080 route=c loadfactor=2 slowstart=30")]
    Add(Add),
    /// Removes a member that was added; it drains first
    #[command(after_help = "\
Examples:
  athctl remove farm_one/10.0.0.9:8080 --wait
  athctl remove farm_one/10.0.0.9:8080 --force     at once; what is under way still ends")]
    Remove(Remove),
    /// Makes what people set and members pushed on one engine hold on another as well
    #[command(after_help = "\
Example:
  athctl mirror --from http://one/athena --to http://two/athena --watch")]
    Mirror(Mirror),
    /// What a configuration of httpd means with mod_athena; fails if something would be refused
    #[command(after_help = "\
For each farm: its members and parameters, the lines that lead to it, what changes and what is
ignored. Nothing is loaded or changed.

Examples:
  athctl check /etc/apache2/apache2.conf     all of it, as httpd reads it
  athctl check sites-available/shop.conf     one file by itself")]
    Check {
        /// Where the configuration begins
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Farms and members live, full screen
    #[command(after_help = "\
Keys: q quit, left and right choose the column to sort by, r reverses, / filters by farm, member or
state, arrows and page keys move, Space pauses.

Examples:
  athctl top
  athctl top farm_one --interval 5
  athctl top --board /var/run/apache2/athena.board")]
    Top(Top),
    /// Makes and verifies the cookies that back ends sign, and their keys
    #[command(subcommand)]
    Cookie(Cookie),
    /// Completions for a shell, to be sourced: athctl completions bash
    Completions {
        /// Whose
        shell: Shell,
    },
    /// Writes the manual pages into a directory
    #[command(after_help = "\
Example:
  athctl manual /usr/local/share/man/man1")]
    Manual {
        /// Where they go, one for each command; it must be there
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Status {
    /// Only this farm: NAME, or NAME@SERVER; SERVER is main, or a virtual host's HOST or HOST:PORT
    pub farm: Option<String>,
    /// The engine's own document
    #[arg(long)]
    pub json: bool,
    /// A line for each member: %h its name, %s what is set, %c in flight; the manual has all letters
    #[arg(long, conflicts_with = "json")]
    pub format: Option<String>,
    /// What the lines of --format are about
    #[arg(long, requires = "format", default_value = "members")]
    pub of: Of,
    /// Reads the board's file and asks nobody: while httpd hangs, or is stopped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath,
          conflicts_with_all = ["json", "format"])]
    pub board: Option<PathBuf>,
}

/// What a line of `status --format` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    Members,
    Farms,
    Engine,
}

impl Cli {
    /// Reads the command line. Of a key that stands twice it is not known which value is meant.
    pub fn read() -> Result<Self, clap::Error> {
        let cli = Self::try_parse()?;
        let keys: Vec<&str> = match &cli.command {
            Command::Set(set) => set.words.iter().filter_map(Word::key).collect(),
            Command::Add(add) => add.values.iter().map(|(key, _)| key.as_str()).collect(),
            _ => return Ok(cli),
        };
        let twice = keys.iter().enumerate().find(|(index, key)| {
            let mut earlier = keys.iter().take(*index);
            earlier.any(|earlier| earlier.eq_ignore_ascii_case(key))
        });
        match twice {
            None => Ok(cli),
            Some((_, key)) => {
                let text = format!("{key}= stands twice");
                Err(Self::command().error(ErrorKind::ArgumentConflict, text))
            }
        }
    }
}

impl Of {
    /// Its name below `/status/`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Members => "phys",
            Self::Farms => "farm",
            Self::Engine => "engine",
        }
    }
}

#[derive(Debug, Args)]
pub struct Set {
    /// FARM, or FARM/MEMBER
    pub target: Target,
    /// More members of the farm that are changed together with the first one; and what becomes
    /// different, by the keys below
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = word)]
    pub words: Vec<Word>,
}

#[derive(Debug, Args)]
pub struct Drain {
    /// FARM/MEMBER
    #[arg(value_parser = member)]
    pub target: Target,
    /// Until it is empty: nothing under way, and no request of its sessions for a while
    #[arg(long)]
    pub wait: bool,
    /// That while, in seconds
    #[arg(long, requires = "wait", default_value = "5", value_parser = seconds)]
    pub quiet: Duration,
    /// Fails if it is not empty after so many seconds
    #[arg(long, requires = "wait", value_name = "SECONDS", value_parser = seconds)]
    pub most: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct Add {
    /// The farm: NAME, or NAME@SERVER; SERVER is main, or a virtual host's HOST or HOST:PORT
    pub farm: String,
    /// The member's URL
    #[arg(value_name = "URL", value_hint = ValueHint::Url)]
    pub member: String,
    /// Its parameters
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    pub values: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub struct Remove {
    /// FARM/MEMBER
    #[arg(value_parser = member)]
    pub target: Target,
    /// Does not drain it
    #[arg(long)]
    pub force: bool,
    /// Until it is gone
    #[arg(long)]
    pub wait: bool,
    /// Fails if it is not gone after so many seconds
    #[arg(long, requires = "wait", value_name = "SECONDS", value_parser = seconds)]
    pub most: Option<Duration>,
}

#[derive(Debug, Args)]
pub struct Mirror {
    /// The engine that is read: its server and AthPath
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = EngineUrl)]
    pub from: String,
    /// The engine that is made equal
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, value_parser = EngineUrl)]
    pub to: String,
    /// Goes on for ever, also while one of them does not answer
    #[arg(long)]
    pub watch: bool,
    /// Seconds from one look to the next
    #[arg(long, requires = "watch", default_value = "1", value_parser = seconds)]
    pub interval: Duration,
}

#[derive(Debug, Args)]
pub struct Top {
    /// Only this farm: NAME, or NAME@SERVER; SERVER is main, or a virtual host's HOST or HOST:PORT
    pub farm: Option<String>,
    /// Seconds from one look to the next
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub interval: Duration,
    /// Reads the board's file and asks nobody: while httpd hangs, or is stopped
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub board: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Monitor {
    /// Only this farm: NAME, or NAME@SERVER; SERVER is main, or a virtual host's HOST or HOST:PORT
    pub farm: Option<String>,
    /// WARNING when so many members cannot be chosen
    #[arg(short, long, default_value = "1", value_name = "N|N%")]
    pub warning: Threshold,
    /// CRITICAL when so many members cannot be chosen
    #[arg(short, long, default_value = "100%", value_name = "N|N%")]
    pub critical: Threshold,
}

#[derive(Debug, Subcommand)]
pub enum Cookie {
    /// Prints a cookie
    #[command(after_help = "\
Examples:
  athctl cookie sign athena.key 2026a +3600 shop
  athctl cookie sign athena.key 2026a 1900000000 shop,shop-old 10.0.0.1:8080 gold")]
    Sign {
        #[command(flatten)]
        key: CookieKey,
        /// When it expires: seconds since 1970, or +SECONDS from now
        #[arg(value_parser = expiry)]
        expires: u64,
        /// The farms it is for, separated by commas, the preferred one first
        farms: String,
        /// The member to stick to; "" is none
        member: Option<String>,
        /// The class of the client; "" is none
        class: Option<String>,
    },
    /// Prints what a cookie says, or fails with the word under which it is counted
    #[command(after_help = "\
A handle, which clients carry with AthCookieMode wrap, is opened first.

Example:
  athctl cookie verify athena.key 2026a shop v1.2026a.ZXhwaX...")]
    Verify {
        #[command(flatten)]
        key: CookieKey,
        /// The farm of the request that it comes with
        farm: String,
        /// The cookie's value, or a handle
        cookie: String,
        /// The time to verify it at, in seconds since 1970 [default: now]
        #[arg(long, value_name = "SECONDS")]
        at: Option<u64>,
    },
    /// Writes a new secret, which must not exist yet, and prints the line that names it
    #[command(after_help = "\
Example:
  athctl cookie keygen /etc/apache2/athena-2026a.key 2026a")]
    Keygen {
        #[command(flatten)]
        key: CookieKey,
    },
}

/// A key as the `AthCookieKey` line has it.
#[derive(Debug, Args)]
pub struct CookieKey {
    /// The file with the secret
    #[arg(value_name = "KEYFILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The key's name, as on the AthCookieKey line
    pub id: String,
}

/// Says what is wrong with the command line, or the help that it asks for. A monitoring system would
/// take the customary 2 for CRITICAL.
pub fn refused(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    let monitor = env::args_os().any(|argument| argument == "monitor");
    match error.use_stderr() {
        false => printed.map_or_else(
            |error| output::failed(&Error::Output(error)),
            |()| ExitCode::SUCCESS,
        ),
        true if monitor => ExitCode::from(Severity::Unknown as u8),
        true => ExitCode::from(2),
    }
}

/// Prints a shell's completions.
pub fn completions(shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "athctl", &mut script);
    output::text(&String::from_utf8_lossy(&script))
}

/// Writes a manual page for athctl and one for each command.
pub fn manual(directory: &Path) -> Result<(), Error> {
    clap_mangen::generate_to(Cli::command(), directory).map_err(|error| Error::File {
        path: directory.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use athena_engine::change::{FarmChange, MemberChange};

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
    }

    fn commands(of: &clap::Command) -> Vec<&clap::Command> {
        let under = of.get_subcommands().flat_map(commands);
        std::iter::once(of).chain(under).collect()
    }

    #[test]
    fn each_command_and_argument_says_what_it_is() {
        for command in commands(&Cli::command()) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{name} {}",
                    argument.get_id()
                );
            }
        }
    }

    #[test]
    fn the_help_of_set_has_each_key() {
        let cli = Cli::command();
        let set = cli.find_subcommand("set").unwrap();
        let help = set.get_after_help().unwrap().to_string();
        let (_, keys) = help.split_once("Keys of a farm:").unwrap();
        let (farm, member) = keys.split_once("Keys of a member:").unwrap();
        let (member, _) = member.split_once("The change").unwrap();
        let has = |text: &str, name: &str, clears: bool| {
            let mut lines = text.lines().map(str::trim);
            lines.any(|line| {
                let (names, values) = line.split_once('=').unwrap_or_default();
                names.split(", ").any(|known| known == name)
                    && values.split('|').any(|value| value == "none") == clears
            })
        };
        for key in FarmChange::KEYS {
            assert!(has(farm, key.name, key.clears), "{}", key.name);
        }
        for key in MemberChange::KEYS {
            assert!(has(member, key.name, key.clears), "{}", key.name);
        }
    }

    #[test]
    fn each_command_stands_in_the_document_with_an_example() {
        let document = include_str!("../../docs/athctl.md");
        let mut commands = Vec::new();
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            let under = command.get_subcommands();
            let before = commands.len();
            commands.extend(under.map(|under| format!("{name} {}", under.get_name())));
            if commands.len() == before {
                commands.push(name.to_owned());
            }
        }
        for command in commands {
            let example = format!("    athctl {command} ");
            assert!(
                document.contains(&example),
                "docs/athctl.md: no {example:?}"
            );
        }
    }
}
