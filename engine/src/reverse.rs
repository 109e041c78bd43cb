//! The way back: what a member's answer says of the member, as its client has to see it.
//!
//! A member speaks of itself by its own host and base path. A `ProxyPassReverse` line of its farm
//! says below which public path that is found: a [`Mount`]. [`map`] finds the one that fits.
//! [`header`] finds the URLs, and a cookie's domain and path, in the values of headers.

pub mod header;

use crate::config::target::Target;

/// Where a member's URLs begin: the host, port and base path of its own URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    host: Box<str>,
    port: Option<u16>,
    standard: bool,
    base: Box<[u8]>,
}

impl Origin {
    /// The origin of a member's URL.
    pub fn of(url: &[u8]) -> Option<Self> {
        let target = Target::parse(url)?;
        Some(Self {
            host: target.host.into(),
            port: target.effective_port(),
            standard: target.has_standard_port(),
            base: without_slash(path(target.rest)).into(),
        })
    }

    /// Whether a cookie's domain names this host; a leading dot means nothing (RFC 6265 §5.2.3).
    pub fn is_domain(&self, domain: &[u8]) -> bool {
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        self.host.as_bytes().eq_ignore_ascii_case(domain)
    }

    /// What a path of this member's has behind the base path and `prefix`.
    pub fn behind<'u>(&self, path: &'u [u8], prefix: &[u8]) -> Option<&'u [u8]> {
        strip(strip(path, &self.base)?, prefix)
    }

    /// Host and port are the same. The schemes may differ, since a member may not know how it is
    /// reached: then the ports are the same, or both the default ones of their schemes.
    fn is_at(&self, target: &Target<'_>) -> bool {
        let port = target.effective_port();
        let same_port = port.is_some() && port == self.port;
        (same_port || (self.standard && target.has_standard_port()))
            && !target.userinfo
            && self.host.eq_ignore_ascii_case(target.host)
    }
}

/// A public place below which a farm's targets are found: a `ProxyPassReverse` line.
pub struct Mount<'a, O> {
    /// What the client sees: a path or a URL.
    pub public: &'a [u8],
    /// What members are asked for: the path behind the farm's name.
    pub path: &'a [u8],
    /// The request was served by this farm.
    pub own: bool,
    /// The farm's members, the one that answered first.
    pub members: O,
}

/// The URL under the mount that the request came by (`request` is its path), or else under the
/// first one that fits. `None`: it names no member, or `front`, the server that the client asked.
pub fn map<'a, O>(
    url: &[u8],
    request: &[u8],
    front: &[u8],
    mounts: impl Iterator<Item = Mount<'a, O>>,
) -> Option<Vec<u8>>
where
    O: Iterator<Item = &'a Origin>,
{
    let target = read(url)?;
    if Target::parse(front).is_some_and(|front| is_same_server(&front, &target)) {
        return None;
    }
    mounts
        .filter_map(|mount| {
            let rest = mount
                .members
                .filter(|origin| origin.is_at(&target))
                .find_map(|origin| origin.behind(target.rest, mount.path))?;
            let fit = (closeness(mount.public, request), mount.own);
            Some((fit, join(mount.public, mount.path, rest)))
        })
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, mapped)| mapped)
}

/// An absolute URL, or one that leaves its scheme out.
fn read(url: &[u8]) -> Option<Target<'_>> {
    match url.strip_prefix(b"//") {
        Some(rest) => Target::behind_slashes("http", rest),
        None => Target::parse(url),
    }
}

fn is_same_server(front: &Target<'_>, target: &Target<'_>) -> bool {
    front.effective_port() == target.effective_port()
        && front.host.eq_ignore_ascii_case(target.host)
}

/// How much of the request's path the mount accounts for; 0: it lies elsewhere.
fn closeness(public: &[u8], request: &[u8]) -> usize {
    let place = Target::parse(public).map_or(public, |url| url.rest);
    let place = without_slash(place);
    strip(request, place).map_or(0, |_| place.len() + 1)
}

/// Puts the rest of a path behind its new beginning, with one slash between them wherever a slash
/// was dropped on one side only.
fn join(public: &[u8], path: &[u8], rest: &[u8]) -> Vec<u8> {
    let starts = rest.first() == Some(&b'/');
    let (rest, slash): (_, &[u8]) = match (public.ends_with(b"/"), path.ends_with(b"/")) {
        (true, false) => (rest.strip_prefix(b"/").unwrap_or(rest), b""),
        (false, true) if !starts && !path_is_over(rest) => (rest, b"/"),
        _ => (rest, b""),
    };
    [public, slash, rest].concat()
}

/// What `path` has behind `prefix`, which ends where a segment of the path does.
fn strip<'u>(path: &'u [u8], prefix: &[u8]) -> Option<&'u [u8]> {
    if prefix == b"/" && path_is_over(path) {
        // http://host is http://host/.
        return Some(path);
    }
    let rest = path.strip_prefix(prefix)?;
    let ends = prefix.ends_with(b"/") || rest.starts_with(b"/") || path_is_over(rest);
    ends.then_some(rest)
}

fn path_is_over(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'?' | b'#'))
}

/// A URL's path, without query and fragment.
fn path(rest: &[u8]) -> &[u8] {
    rest.split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default()
}

fn without_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
}

#[cfg(test)]
mod tests;
