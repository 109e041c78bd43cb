//! Why a command did not do what it was asked for: always told in one line.

use std::path::PathBuf;

use athena_engine::board::Refusal;
use athena_engine::cookie::KeyError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer, or not one of HTTP.
    #[error("{url}: {error}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        error: ureq::Error,
    },
    /// An answer that says no.
    #[error("{url}: {status}{}{said}", if .said.is_empty() { "" } else { ": " })]
    Refused {
        /// What was asked.
        url: String,
        /// The status code.
        status: u16,
        /// What the engine said, in one line.
        said: String,
    },
    /// An answer that is not the engine's.
    #[error("{url}: the answer is not the engine's: {error}. Is --url the server and its AthPath?")]
    Strange {
        /// What was asked.
        url: String,
        /// What does not fit.
        error: serde_json::Error,
    },
    /// A file or directory.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// A board's file.
    #[error("{path}: {error}", path = .path.display())]
    Board {
        /// Which one.
        path: PathBuf,
        /// Why nothing is read from it.
        error: Refusal,
    },
    /// The standard output.
    #[error("the output: {0}")]
    Output(std::io::Error),
    /// The screen of `top`.
    #[error("the terminal: {0}")]
    Terminal(std::io::Error),
    /// A secret key of cookies.
    #[error("{path}: {error}", path = .path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// What was asked for cannot be, or has not come to be.
    #[error("{0}")]
    Wrong(String),
}
