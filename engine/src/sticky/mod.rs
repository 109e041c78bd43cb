//! Sessions that stay with a member.
//!
//! * [`find`] looks for the session's value in a request's URL and cookies;
//! * [`Reading`] says which part of that value is the route;
//! * [`member_of`] finds the member with that route;
//! * [`issue`] makes the cookie that sends a client back to its member.
//!
//! All of them take bytes as clients send them: whatever is not understood is no session.

mod attributes;
pub mod issue;
mod reading;
mod routes;
mod value;

pub use attributes::Attributes;
pub use reading::{Reading, RouteRegex};
pub use routes::{Routes, has_route, member_of, shared_routes};
pub use value::{Found, Names, Request, Source, find, query_parameter};
