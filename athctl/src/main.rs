//! athctl: mod_athena's command line. This file is the table of contents: which command is whose.

#![forbid(unsafe_code)]
// They panic when nobody reads; `output` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod api;
mod check;
mod cli;
mod cookie;
mod documents;
mod drain;
mod error;
mod look;
mod members;
mod mirror;
mod monitor;
mod output;
mod set;
mod status;
mod top;

use std::process::ExitCode;

use api::Api;
use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return cli::refused(&error),
    };
    let api = Api::new(&cli.server);
    let done = match &cli.command {
        Command::Status(options) => status::run(&api, options),
        // Its exit code says more than whether it worked.
        Command::Monitor(options) => return monitor::run(&api, options),
        Command::Set(options) => set::run(&api, options),
        Command::Drain(options) => drain::run(&api, options),
        Command::Add(options) => members::add(&api, options),
        Command::Remove(options) => members::remove(&api, options),
        Command::Mirror(options) => mirror::run(&cli.server, options),
        // Refusals are what was asked for, not an error.
        Command::Check { file } => match check::run(file) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Top(options) => top::run(&api, options),
        Command::Cookie(what) => cookie::run(what),
        Command::Completions { shell } => cli::completions(*shell),
        Command::Manual { directory } => cli::manual(directory),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    }
}
