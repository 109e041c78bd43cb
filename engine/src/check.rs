//! Active health checks of members that are added at run time: `mod_proxy_hcheck` does not see them,
//! but its parameters hold for them, by its rules (httpd, `modules/proxy/mod_proxy_hcheck.c`): any
//! answer from 200 to 399 passes, `hcpasses` and `hcfails` turn the member's state. Here they count
//! checks in a row, as `HAProxy`'s `rise` and `fall` do.
//!
//! What is asked, and what an answer says, is decided here; whose turn it is, on the board ([`Turn`]).

mod turn;

use core::fmt;
use std::time::Duration;

use crate::Micros;
use crate::config::target::Target;
use crate::config::value::{self, Must};
pub use turn::Turn;

/// Longest `hcuri`, in bytes.
const URI_MAX: usize = 255;
/// Most checks in a row, as for `mod_proxy`'s own.
const RUN_MAX: u32 = 1000;
/// `mod_proxy`'s `HCHECK_WATHCHDOG_DEFAULT_INTERVAL`.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long a turn lasts that nobody keeps up ([`Turn`]): many ticks of the watch, and less than it
/// takes until another child has the watch.
const LEASE: Micros = 5_000_000;
/// What a status line begins with: `HTTP/1.1 200` and one byte more.
const STATUS: usize = 13;

/// `ajp_handle_cping_cpong` (httpd, `modules/proxy/ajp_header.c`): a packet to a container of one byte,
/// and what it says to it.
const CPING: &[u8] = &[0x12, 0x34, 0, 1, 10];
const CPONG: &[u8] = &[b'A', b'B', 0, 1, 9];

/// How a member is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    #[default]
    None,
    /// A connection is all it takes.
    Tcp,
    /// A ping of AJP.
    Cping,
    /// A request of HTTP: its method and version.
    Http(&'static str, &'static str),
}

/// The methods as `mod_proxy` names them.
const METHODS: [(&str, Method); 9] = [
    ("None", Method::None),
    ("TCP", Method::Tcp),
    ("OPTIONS", Method::Http("OPTIONS", "1.0")),
    ("HEAD", Method::Http("HEAD", "1.0")),
    ("GET", Method::Http("GET", "1.0")),
    ("OPTIONS11", Method::Http("OPTIONS", "1.1")),
    ("HEAD11", Method::Http("HEAD", "1.1")),
    ("GET11", Method::Http("GET", "1.1")),
    ("CPING", Method::Cping),
];

/// What a line says of a member's checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckParams {
    /// `hcmethod`.
    pub method: Option<Method>,
    /// `hcinterval`.
    pub interval: Option<Duration>,
    /// `hcpasses`.
    pub passes: Option<u32>,
    /// `hcfails`.
    pub fails: Option<u32>,
    /// `hcuri`.
    pub uri: Option<String>,
    /// `hctemplate`: who says the rest.
    pub template: Option<String>,
}

impl CheckParams {
    /// Sets one parameter; of a repeated one the last holds. `None`: there is no such key.
    pub fn set(&mut self, key: &str, text: &str) -> Option<Result<(), Must>> {
        let read = match key.to_ascii_lowercase().as_str() {
            "hcmethod" => Method::read(text).map(|method| self.method = Some(method)),
            "hcinterval" => interval(text).map(|time| self.interval = Some(time)),
            "hcpasses" => run(text).map(|run| self.passes = Some(run)),
            "hcfails" => run(text).map(|run| self.fails = Some(run)),
            "hcuri" => uri(text).map(|uri| self.uri = Some(uri)),
            "hctemplate" => {
                self.template = Some(text.to_owned());
                Ok(())
            }
            _ => return None,
        };
        Some(read)
    }

    /// What holds for a member: its own words, else those of its template.
    #[must_use]
    pub fn or(self, template: Self) -> Self {
        Self {
            method: self.method.or(template.method),
            interval: self.interval.or(template.interval),
            passes: self.passes.or(template.passes),
            fails: self.fails.or(template.fails),
            uri: self.uri.or(template.uri),
            template: self.template,
        }
    }

    /// Whether the line asks for checks, as far as it says so itself.
    pub fn asks(&self) -> bool {
        match self.method {
            None => self.template.is_some(),
            Some(method) => method != Method::None,
        }
    }
}

impl Method {
    /// Reads a name of `mod_proxy`'s.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, Must> {
        let known = METHODS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, method)| *method).ok_or_else(|| {
            let names: Vec<_> = METHODS.iter().map(|(name, _)| *name).collect();
            format!("must be one of {}", names.join(", "))
        })
    }

    fn name(self) -> &'static str {
        METHODS
            .iter()
            .find(|(_, method)| *method == self)
            .map_or("", |(name, _)| name)
    }

    /// Whether this module can speak it to members of a scheme: without TLS, and no HTTP/2.
    fn fits(self, scheme: &str) -> bool {
        let one_of = |schemes: &[&str]| schemes.iter().any(|s| s.eq_ignore_ascii_case(scheme));
        match self {
            Self::None | Self::Tcp => true,
            Self::Cping => one_of(&["ajp"]),
            Self::Http(..) => one_of(&["http", "ws"]),
        }
    }
}

/// As httpd reads times; `mod_proxy_hcheck` wants a tenth of a second at least.
fn interval(text: &str) -> Result<Duration, Must> {
    let must =
        || "must be seconds from 1 to 86400, or 100 to 86400000 with ms behind it".to_owned();
    let time = match text.strip_suffix("ms") {
        Some(text) => value::millis(text, 100..=86_400_000),
        None => value::seconds(text.strip_suffix('s').unwrap_or(text), 1..=86_400),
    };
    time.map_err(|_| must())
}

fn run(text: &str) -> Result<u32, Must> {
    value::number(text, 0..=RUN_MAX)
}

/// A path, with a query perhaps: it goes into a request as it is.
fn uri(text: &str) -> Result<String, Must> {
    let path = text.starts_with('/') && text.len() <= URI_MAX;
    if path
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "must be a path: '/' and up to {URI_MAX} bytes of visible ASCII without '#'"
        ))
    }
}

/// How one member is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    method: Method,
    host: String,
    port: u16,
    request: Vec<u8>,
    interval: Micros,
    passes: u32,
    fails: u32,
}

impl Check {
    /// The check of a member with this URL; `None`: it is not checked.
    ///
    /// # Errors
    /// The method is not one for such a member.
    pub fn new(params: &CheckParams, url: &str) -> Result<Option<Self>, String> {
        let method = params.method.unwrap_or_default();
        if method == Method::None {
            return Ok(None);
        }
        let target = Target::parse(url.as_bytes()).ok_or("its URL has no host to be checked")?;
        let (scheme, name) = (target.scheme, method.name());
        if !method.fits(scheme) {
            return Err(format!(
                "hcmethod={name}: a member by {scheme}:// can be checked with TCP only"
            ));
        }
        let port = target
            .effective_port()
            .ok_or("its URL has no port to be checked")?;
        let request = match method {
            Method::Http(verb, version) => request(verb, version, &target, port, params)?,
            Method::Cping => CPING.to_vec(),
            Method::Tcp | Method::None => Vec::new(),
        };
        let interval = params.interval.unwrap_or(INTERVAL).as_micros();
        Ok(Some(Self {
            method,
            host: target.host.trim_matches(['[', ']']).to_owned(),
            port,
            request,
            interval: Micros::try_from(interval).unwrap_or(Micros::MAX),
            passes: params.passes.unwrap_or(1).max(1),
            fails: params.fails.unwrap_or(1).max(1),
        }))
    }

    /// Where it is made: a name or an address, without brackets, and a port.
    pub fn place(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// What is said to the member.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// A connection is all it takes.
    pub fn connects_only(&self) -> bool {
        self.method == Method::Tcp
    }

    /// From the beginning of one check to that of the next.
    pub fn interval(&self) -> Micros {
        self.interval
    }

    /// Whether so much of an answer decides.
    pub fn is_enough(&self, heard: &[u8]) -> bool {
        match self.method {
            Method::Tcp | Method::None => true,
            Method::Cping => heard.len() >= CPONG.len(),
            Method::Http(..) => heard.len() >= STATUS || heard.contains(&b'\n'),
        }
    }

    /// What the member said.
    ///
    /// # Errors
    /// Why that does not pass.
    pub fn judge(&self, heard: &[u8]) -> Result<(), Fault> {
        let passes = match self.method {
            Method::Tcp | Method::None => true,
            Method::Cping => heard.starts_with(CPONG),
            Method::Http(..) => match status(heard) {
                Some(status @ (..200 | 400..)) => return Err(Fault::Status(status)),
                known => known.is_some(),
            },
        };
        match passes {
            true => Ok(()),
            false if heard.is_empty() => Err(Fault::Silent),
            false => Err(Fault::Garbage),
        }
    }
}

/// Why a check failed although there was a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A status that does not pass.
    Status(u16),
    /// The connection was closed without an answer.
    Silent,
    /// No answer of the protocol.
    Garbage,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Silent => f.write_str("closed without an answer"),
            Self::Garbage => f.write_str("an answer that is none"),
        }
    }
}

/// As `mod_proxy_hcheck` asks: the URI behind the member's own path. `OPTIONS` asks the server itself.
fn request(
    verb: &str,
    version: &str,
    target: &Target<'_>,
    port: u16,
    params: &CheckParams,
) -> Result<Vec<u8>, String> {
    let behind = std::str::from_utf8(target.rest).unwrap_or("\n");
    let base = behind.split(['?', '#']).next().unwrap_or_default();
    if !base.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("hcmethod: the path of its URL cannot stand in a request".to_owned());
    }
    let base = base.trim_end_matches('/');
    let uri = params.uri.as_deref().unwrap_or("/").trim_start_matches('/');
    let path = match verb {
        "OPTIONS" => "*".to_owned(),
        _ => format!("{base}/{uri}"),
    };
    // Nobody asks a second time over this connection.
    let close = if version == "1.0" {
        ""
    } else {
        "Connection: close\r\n"
    };
    let host = target.host;
    Ok(format!("{verb} {path} HTTP/{version}\r\nHost: {host}:{port}\r\n{close}\r\n").into_bytes())
}

/// The code of a status line: `HTTP/1.x`, a blank, three digits and no fourth.
fn status(heard: &[u8]) -> Option<u16> {
    let (version, rest) = heard.strip_prefix(b"HTTP/1.")?.split_first()?;
    let (code, rest) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let ends = rest.first().is_none_or(|byte| b" \r\n".contains(byte));
    let digits = version.is_ascii_digit() && code.iter().all(u8::is_ascii_digit);
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    (ends && digits).then_some(code)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests;
