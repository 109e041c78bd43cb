//! What is printed. All of it goes through here: a write may fail.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use crate::error::Error;

/// What a shell tells of a program that SIGPIPE has ended.
const SIGPIPE: u8 = 128 + 13;

/// Prints a text as it is.
///
/// # Errors
/// It cannot be written.
pub fn text(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(Error::Output)
}

/// Prints a line.
///
/// # Errors
/// It cannot be written.
pub fn line(line: impl Display) -> Result<(), Error> {
    text(&format!("{line}\n"))
}

/// Tells what is wrong.
pub fn complain(what: impl Display) {
    // Where this fails, nobody is left to be told.
    let _ = writeln!(io::stderr(), "athctl: {what}");
}

/// Tells why a command failed; the exit code. Whoever has closed the output has seen enough.
pub fn failed(error: &Error) -> ExitCode {
    match error {
        Error::Output(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(SIGPIPE),
        error => {
            complain(error);
            ExitCode::FAILURE
        }
    }
}
