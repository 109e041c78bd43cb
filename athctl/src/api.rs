//! The engine's API, over HTTP.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::Request;
use ureq::http::request::Builder;
use ureq::tls::{RootCerts, TlsConfig};

use crate::cli::Server;
use crate::documents::{Farm, Farms};
use crate::error::Error;

/// Where all farms are.
pub const FARMS: &str = "/api/v1/farms";
/// What is escaped in a name that is a segment of a path: slashes, too.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@');
/// Largest answer that is read, in bytes.
const ANSWER_MAX: u64 = 256 * 1024 * 1024;

/// One engine.
#[derive(Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    /// The same as it is told: without user and password.
    told: String,
}

impl Api {
    /// The engine that the options name.
    pub fn new(server: &Server) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(server.timeout))
            .http_status_as_error(false)
            // A change that is redirected would be made a read, and look done.
            .max_redirects(0)
            .user_agent(concat!("athctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .into();
        let base = server.url.trim_end_matches('/').to_owned();
        let told = without_user(&base);
        Self { agent, base, told }
    }

    /// All farms, or the one of that name.
    pub fn farms(&self, name: Option<&str>) -> Result<Vec<Farm>, Error> {
        match name {
            None => Ok(self.get(FARMS)?.document::<Farms>()?.farms),
            Some(name) => Ok(vec![self.get(&farm_path(name))?.document()?]),
        }
    }

    /// What stands at a path.
    pub fn get(&self, path: &str) -> Result<Answer, Error> {
        self.ask(path, Request::get(self.url(path)), String::new())
    }

    /// A document sent to a path, which must be as it was under that tag.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        tag: Option<&str>,
        document: &str,
    ) -> Result<Answer, Error> {
        let mut request = Request::builder().method(method).uri(self.url(path));
        if let Some(tag) = tag {
            request = request.header("If-Match", tag);
        }
        if !document.is_empty() {
            request = request.header("Content-Type", "application/json");
        }
        self.ask(path, request, document.to_owned())
    }

    /// Lines of queries sent to a path.
    pub fn post_lines(&self, path: &str, lines: &str) -> Result<(), Error> {
        let request = Request::post(self.url(path)).header("Content-Type", "text/plain");
        self.ask(path, request, lines.to_owned()).map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn ask(&self, path: &str, request: Builder, body: String) -> Result<Answer, Error> {
        let url = format!("{}{path}", self.told);
        let unreachable = |error| Error::Unreachable {
            url: url.clone(),
            error,
        };
        let request = request
            .body(body)
            .map_err(|error| unreachable(error.into()))?;
        let mut answer = self.agent.run(request).map_err(unreachable)?;
        let status = answer.status().as_u16();
        let header = |name| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let (tag, location) = (header("ETag"), header("Location"));
        let body = answer.body_mut().with_config().limit(ANSWER_MAX);
        let text = body.read_to_string().map_err(unreachable)?;
        if (200..300).contains(&status) {
            Ok(Answer {
                url,
                status,
                tag,
                text,
            })
        } else {
            let said = location.map_or_else(
                || one_line(&text),
                |location| format!("it is at {}", without_user(&location)),
            );
            Err(Error::Refused { url, status, said })
        }
    }
}

/// An answer that says yes.
pub struct Answer {
    url: String,
    /// The status code.
    pub status: u16,
    /// Its `ETag`.
    pub tag: Option<String>,
    /// Its body.
    pub text: String,
}

impl Answer {
    /// The document in it.
    pub fn document<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.text).map_err(|error| Error::Strange {
            url: self.url.clone(),
            error,
        })
    }
}

/// Where a farm's document is.
pub fn farm_path(farm: &str) -> String {
    format!("{FARMS}/{}", segment(farm))
}

/// Where a farm's members are.
pub fn members_path(farm: &str) -> String {
    format!("{}/members", farm_path(farm))
}

/// Where a member's document is.
pub fn member_path(farm: &str, member: &str) -> String {
    format!("{}/{}", members_path(farm), segment(member))
}

fn segment(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, ESCAPED)
}

/// A URL without what stands before its host.
fn without_user(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else {
        return url.to_owned();
    };
    let scheme = before.split_once("://").map(|(scheme, _)| scheme);
    scheme.map_or_else(|| host.to_owned(), |scheme| format!("{scheme}://{host}"))
}

/// The detail of a problem document (RFC 9457), or the text of a plain answer. Pages for browsers
/// are left out: the status says it.
fn one_line(text: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let detail = problem
        .as_ref()
        .and_then(|problem| problem.get("detail")?.as_str());
    let plain = Some(text).filter(|text| !text.trim_start().starts_with(['<', '{']));
    let line = detail.or(plain).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_fits_a_line() {
        let problem = r#"{"title": "No", "detail": "weight: must be\nfrom 0.01 to 100"}"#;
        assert_eq!(one_line(problem), "weight: must be from 0.01 to 100");
        assert_eq!(
            one_line("several farms have this name\n"),
            "several farms have this name"
        );
        assert_eq!(one_line("<!DOCTYPE html><p>Forbidden"), "");
        assert_eq!(one_line(""), "");
    }

    #[test]
    fn no_password_is_told() {
        for (url, told) in [
            ("https://h:1/athena", "https://h:1/athena"),
            ("https://u:p@h:1/athena", "https://h:1/athena"),
            // No URLs, but secrets all the same.
            ("http://u:p/q@r@h/athena", "http://h/athena"),
            ("u:p@h/athena", "h/athena"),
        ] {
            assert_eq!(without_user(url), told);
        }
    }
}
