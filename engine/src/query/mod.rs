//! The text requests below the engine's path: `balance/?farm_one`, `status/phys/?h=app01,f="%h,%c"`.
//!
//! ```ebnf
//! query   = [ "E" ], requests ;                     (* after E: valid %XX are decoded *)
//! body    = requests ;                              (* of a POST; a new line separates too *)
//! requests = request, { "&", request } ;
//! request = [ path, "?" ], [ item, { ",", item } ] ; (* path: AthAllowDiverseMulti *)
//! item    = word | word, "=", value ;
//! value   = { plain } | '"', { quoted }, '"' ;
//! word    = plain, { plain } ;                      (* without "=" and "?" *)
//! plain   = any character but , & " \ and controls ;
//! quoted  = any character but " \ and controls | "\", ( '"' | "\" | "n" | "r" | "t" ) ;
//! ```
//!
//! [`text`] reads characters, [`split`] finds requests and items in them, [`request`] says what
//! each kind of request may hold, [`update`] what one may change, [`mirror`] how a
//! state is written. [`letters`] is the table that formats ([`mod@format`]) and updates
//! share. An error names the position and the reason; then nothing of the query is done.

mod error;
pub mod format;
pub mod kind;
pub mod letters;
pub mod mirror;
pub mod request;
mod split;
mod text;
pub mod update;

pub use error::{QueryError, Reason};
pub use format::{Format, Subject};
pub use kind::{Kind, Of};
pub use letters::{Field, LETTERS, Letter};
pub use mirror::Mirror;
pub use request::{Balance, Request, Selection, Status};
pub use split::quoted;
pub use text::Text;
pub use update::{Update, What};

/// Longest query string, in bytes.
pub const QUERY_MAX: usize = 8192;
/// Longest body of updates or of a mirror's lines, in bytes.
pub const BODY_MAX: usize = 4 << 20;
/// Most requests in such a body.
pub const BODY_REQUESTS_MAX: usize = 20_000;

/// What one query may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most requests: `AthMaxEmbed`, or [`BODY_REQUESTS_MAX`].
    pub requests: usize,
    /// `AthAllowDiverseMulti`: requests of different kinds.
    pub diverse: bool,
}

/// Reads all requests of a query; `kind` is what its path asks for.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse<'t>(
    kind: Kind,
    text: &'t Text<'_>,
    limits: Limits,
) -> Result<Vec<Request<'t>>, QueryError> {
    let read = || {
        let raw = split::requests(text, limits.requests)?;
        let read = raw.iter().map(|raw| Request::of(kind, raw, limits.diverse));
        let requests: Vec<_> = read.collect::<Result<_, _>>()?;
        let is_line = |request: &Request| matches!(request, Request::Mirror(Mirror::Line(_)));
        let line = raw
            .iter()
            .zip(&requests)
            .find(|(_, request)| is_line(request));
        match (line, requests.first()) {
            (None, _) | (_, Some(Request::Mirror(Mirror::Version(_)))) => Ok(requests),
            (Some((raw, _)), _) => Err(QueryError::new(raw.at, Reason::NoVersion)),
        }
    };
    read().map_err(|error| text.located(error))
}

#[cfg(test)]
mod tests;
