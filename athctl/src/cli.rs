//! Commands and options, and what is made from them: completions and manual pages.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::error::Error;
use crate::monitor::Threshold;

/// Look at, change and watch the farms of an httpd with mod_athena.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  athctl status                              all farms and members, as a table
  athctl status farm_one --json              one farm, as the engine tells it
  athctl monitor --warning 1 --critical 50%  for Nagios and its kin
  athctl top                                 live, full screen
  athctl check /etc/apache2/apache2.conf     what a configuration means here
  athctl --url https://www.example.com/athena status

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
    #[arg(long, global = true, env = "ATHENA_URL", value_hint = ValueHint::Url,
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
    /// What a configuration of httpd means with mod_athena; fails if something would be refused
    #[command(after_help = "\
For each farm: its members and parameters, the lines that lead to it, what changes and what is
ignored. Nothing is loaded or changed.

Examples:
  athctl check /etc/apache2/apache2.conf     all of it, where httpd has mod_info
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
  athctl top farm_one --interval 5")]
    Top(Top),
    /// Makes and verifies the cookies that back ends sign, and their keys
    #[command(subcommand)]
    Cookie(Cookie),
    /// Completions for a shell, to be sourced: athctl completions bash
    Completions { shell: Shell },
    /// Writes the manual pages into a directory
    Manual {
        #[arg(value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct Status {
    /// Only this farm: NAME, or NAME@SERVER
    pub farm: Option<String>,
    /// The engine's own document
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Top {
    /// Only this farm: NAME, or NAME@SERVER
    pub farm: Option<String>,
    /// Seconds from one look to the next
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub interval: Duration,
}

#[derive(Debug, Args)]
pub struct Monitor {
    /// Only this farm: NAME, or NAME@SERVER
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

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn expiry(text: &str) -> Result<u64, String> {
    let (start, digits) = text
        .strip_prefix('+')
        .map_or((0, text), |digits| (now(), digits));
    let seconds = digits.parse::<u64>().ok();
    seconds
        .filter(|_| !digits.starts_with('+'))
        .and_then(|seconds| start.checked_add(seconds))
        .ok_or_else(|| "must be seconds since 1970, or +SECONDS from now".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (1..=3600).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a whole number of seconds from 1 to 3600".to_owned())
}

/// Prints a shell's completions.
pub fn completions(shell: Shell) -> Result<(), Error> {
    clap_complete::generate(shell, &mut Cli::command(), "athctl", &mut io::stdout());
    Ok(())
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

    #[test]
    fn the_table_is_consistent() {
        Cli::command().debug_assert();
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

    #[test]
    fn an_expiry_is_a_time_or_a_span() {
        assert_eq!(expiry("1900000000"), Ok(1_900_000_000));
        assert!(expiry("+60").unwrap() >= now() + 59);
        for text in ["", "+", "++1", "-1", "x", "1h", "+18446744073709551615"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_timeout_is_a_number_of_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        for text in ["0", "3601", "-1", "1.5", "x", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
