//! Which of a farm's members `mod_proxy` takes a URL for (httpd, `modules/proxy/proxy_util.c`:
//! `ap_proxy_define_worker`, `ap_proxy_get_worker`): it looks one up by the longest name that the URL begins
//! with, and makes no member of a line whose URL it finds.

use super::target::Target;

/// A member's URL without the socket in front of it: `mod_proxy` looks workers up without.
pub fn behind_socket(member: &str) -> &str {
    let socket = member.starts_with("unix:");
    let behind = member.rsplit_once('|').filter(|_| socket);
    behind.map_or(member, |(_, url)| url)
}

/// A member's name as a worker: its URL with scheme and host in lower case, without the scheme's own port.
pub fn name(member: &str) -> String {
    let (host, rest) = split(behind_socket(member));
    host + rest
}

/// The name, among those of the members before it, that a member's URL is taken for. (With its scheme's own
/// port a URL finds none, and a second worker of that name is made: that is no member, either.)
pub fn taken_for<'a>(member: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (host, rest) = split(behind_socket(member));
    let (least, url) = (host.len(), host + rest);
    names
        .filter(|name| name.len() >= least && url.starts_with(name))
        .max_by_key(|name| name.len())
}

/// `scheme://host[:port]` in lower case, without the scheme's own port, and the rest.
fn split(url: &str) -> (String, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(start..).and_then(|behind| behind.find('/'));
    let end = path.map_or(url.len(), |at| start + at);
    let (host, rest) = url.split_at_checked(end).unwrap_or((url, ""));
    let own = Target::parse(host.as_bytes())
        .is_some_and(|target| target.port.is_some() && target.has_standard_port());
    let bare = host.rsplit_once(':').filter(|_| own);
    let host = bare.map_or(host, |(host, _)| host);
    (host.to_ascii_lowercase(), rest)
}

#[cfg(test)]
mod tests {
    use super::{name, taken_for};

    #[test]
    fn a_member_that_mod_proxy_has() {
        for (member, before, found) in [
            ("http://a:1", "http://a:1", Some("http://a:1")),
            ("HTTP://A:1/b", "http://a:1", Some("http://a:1")),
            ("http://a:1/", "http://a:1", Some("http://a:1")),
            ("http://a:1/ab", "http://a:1/a", Some("http://a:1/a")),
            ("http://a/b", "http://A:80", Some("http://a")),
            ("http://a:80/b", "http://a", Some("http://a")),
            ("http://a:80", "http://a:80", Some("http://a")),
            ("unix:/y|fcgi://h", "unix:/x|fcgi://h", Some("fcgi://h")),
            ("http://a:12", "http://a:1", None),
            ("http://a:1", "http://a", None),
            ("http://a.b", "http://a", None),
            ("http://a:1", "http://a:1/a", None),
            ("http://a:1/A", "http://a:1/a", None),
            ("http://a:1", "http://a:1/", None),
            ("https://a", "http://a", None),
            ("https://[::1]:443/", "https://[::1]", Some("https://[::1]")),
        ] {
            let names = [name(before)];
            let names = names.iter().map(String::as_str);
            assert_eq!(taken_for(member, names), found, "{member} {before}");
        }
        let names = ["http://a", "http://a/b/c", "http://a/b"];
        let found = taken_for("http://a/b/cd", names.into_iter());
        assert_eq!(found, Some("http://a/b/c"));
    }
}
