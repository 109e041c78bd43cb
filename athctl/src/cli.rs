//! Commands and options, and what is made from them: completions and manual pages.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::api::Error;
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
    fn a_timeout_is_a_number_of_seconds() {
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        for text in ["0", "3601", "-1", "1.5", "x", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
