//! Where an engine answers, as the command line says it.

use std::ffi::OsStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use ureq::http::Uri;

const MUST: &str =
    "must be http[s]://[NAME:PASSWORD@]HOST[:PORT][/PATH], PORT from 1 to 65535, without ? and #";

/// Reads a URL. A refusal does not repeat it: there may be a password in it.
#[derive(Clone, Copy)]
pub struct EngineUrl;

impl TypedValueParser for EngineUrl {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        let url = value.to_str().filter(|text| is_engine(text));
        url.map(str::to_owned).ok_or_else(|| {
            let argument = argument.map(ToString::to_string).unwrap_or_default();
            let variable = if argument.starts_with("--url") {
                " or ATHENA_URL"
            } else {
                ""
            };
            let text = format!("{argument}{variable}: {MUST}\n");
            Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

fn is_engine(text: &str) -> bool {
    // Of a fragment the parsed URL would know nothing.
    let is_whole = !text.contains(['?', '#']);
    let uri = text.parse::<Uri>().ok().filter(|_| is_whole);
    uri.is_some_and(|uri| {
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        is_http
            && uri
                .authority()
                .is_some_and(|authority| is_server(authority.as_str(), authority.host()))
    })
}

/// Whether there is a host, and what stands behind it a port or nothing: the HTTP library would ask at
/// the scheme's own in place of one that is none.
fn is_server(authority: &str, host: &str) -> bool {
    let behind_user = authority.rsplit('@').next();
    let behind = behind_user.and_then(|text| text.strip_prefix(host));
    let is_port = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse::<u16>().is_ok_and(|port| port > 0)
    };
    !host.is_empty()
        && behind.is_some_and(|behind| {
            behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_engine_may_be() {
        for text in [
            "http://localhost/athena",
            "https://h",
            "HTTPS://h:65535/",
            "http://[::1]:1/athena/",
            "http://name:p%40ss@h:8080/athena",
            "http://name:123@h/athena",
        ] {
            assert!(is_engine(text), "{text}");
        }
        for text in [
            "",
            "localhost",
            "/athena",
            "127.0.0.1:20435/athena",
            "ftp://h/athena",
            "http://",
            "http:///athena",
            "http://:80/athena",
            "http://h:/athena",
            "http://h:0/athena",
            "http://h:+80/athena",
            "http://h:99999/athena",
            "http://[::1]:65536/",
            "http://name:99999@h:99999/",
            "http://name:p@h:x/",
            "http://h/athena?x=1",
            "http://h/athena#x",
            "http://h h/athena",
        ] {
            assert!(!is_engine(text), "{text}");
        }
    }
}
