use super::*;
use proptest::prelude::*;

/// A mount as the tests write it: public place, path, and URLs of members.
type Line<'a> = (&'a str, &'a str, &'a [&'a str]);

fn mapped(url: &str, request: &str, lines: &[Line<'_>]) -> Option<String> {
    let lines: Vec<_> = lines
        .iter()
        .map(|&(public, path, members)| {
            let origins: Vec<_> = members
                .iter()
                .map(|url| Origin::of(url.as_bytes()).unwrap())
                .collect();
            (public, path, origins)
        })
        .collect();
    let mounts = lines.iter().map(|(public, path, origins)| Mount {
        public: public.as_bytes(),
        path: path.as_bytes(),
        own: false,
        members: origins.iter(),
    });
    let front = b"http://front:8000/";
    map(url.as_bytes(), request.as_bytes(), front, mounts)
        .map(|mapped| String::from_utf8(mapped).unwrap())
}

#[test]
fn a_member_is_told_by_host_and_port() {
    let table = [
        ("http://h:1900", "http://h:1900/x", Some("/r/x")),
        ("http://h:1900", "HTTP://H:1900/x", Some("/r/x")),
        ("http://h:1900", "http://h:1900", Some("/r/")),
        ("http://h:1900", "http://h:1900?a", Some("/r/?a")),
        ("http://h:1900", "http://h:1900#a", Some("/r/#a")),
        ("http://h:1900", "//h:1900/x", Some("/r/x")),
        ("http://h:1900", "http://h:19001/x", None),
        ("http://h:1900", "http://h:190/x", None),
        ("http://h:1900", "http://h.example:1900/x", None),
        ("http://h:1900", "http://h/x", None),
        ("http://h:1900", "http://user@h:1900/x", None),
        ("http://h:1900", "http://h:1900@evil/x", None),
        ("http://h:1900", "/x", None),
        ("http://h:1900", "x", None),
        ("http://h:1900", "", None),
        // Default ports, written or not.
        ("http://h", "http://h:80/x", Some("/r/x")),
        ("http://h:80", "http://h/x", Some("/r/x")),
        ("https://h", "https://h:443/x", Some("/r/x")),
        ("https://h:443", "https://h/x", Some("/r/x")),
        ("http://h", "http://h:443/x", None),
        // Another scheme: on the same port, or on the default ports of both.
        ("http://h:1900", "https://h:1900/x", Some("/r/x")),
        ("http://h", "https://h/x", Some("/r/x")),
        ("http://h", "https://h:443/x", Some("/r/x")),
        ("https://h", "http://h/x", Some("/r/x")),
        ("ajp://h:8009", "http://h/x", Some("/r/x")),
        ("ws://h:1900", "http://h:1900/x", Some("/r/x")),
        ("h2c://h", "http://h:80/x", Some("/r/x")),
        ("http://h:1900", "https://h/x", None),
        ("http://h", "https://h:8443/x", None),
        ("http://[::1]:1900", "http://[::1]:1900/x", Some("/r/x")),
        // What the client asked is no member, even on its host.
        ("https://front", "http://front:8000/x", None),
        ("http://front:8000", "http://front:8000/x", None),
        ("http://front:8001", "http://front:8001/x", Some("/r/x")),
    ];
    for (member, url, expected) in table {
        let members = [member];
        let lines = [("/r/", "/", members.as_slice())];
        assert_eq!(
            mapped(url, "/r/", &lines).as_deref(),
            expected,
            "{member} {url}"
        );
    }
}

#[test]
fn paths_lose_the_member_s_and_get_the_public_one() {
    let table = [
        // public, path, member's base, path of the URL, expected
        ("/r/", "/reports/", "", "/reports/a?b", Some("/r/a?b")),
        ("/r/", "/reports/", "", "/reports/", Some("/r/")),
        ("/r/", "/reports/", "", "/reports", None),
        ("/r/", "/reports/", "", "/Reports/a", None),
        ("/r/", "/reports/", "", "/other", None),
        ("/r", "/reports", "", "/reports/a", Some("/r/a")),
        ("/r", "/reports", "", "/reports", Some("/r")),
        ("/r", "/reports", "", "/reports?a", Some("/r?a")),
        ("/r", "/reports", "", "/reports.html", None),
        // A slash on one side only.
        ("/r/", "", "", "/a", Some("/r/a")),
        ("/", "", "", "/a", Some("/a")),
        ("/r", "/", "", "/a", Some("/r/a")),
        ("/r", "/", "", "/?a", Some("/r?a")),
        ("/r", "/", "", "/", Some("/r")),
        ("/r", "", "", "/a", Some("/r/a")),
        ("/r", "", "", "", Some("/r")),
        ("/", "/", "", "//a", Some("//a")),
        // Base paths.
        ("/r/", "/", "/base", "/base/a", Some("/r/a")),
        ("/r/", "/", "/base/", "/base/a", Some("/r/a")),
        ("/r/", "/", "/base", "/base", Some("/r/")),
        ("/r/", "/x/", "/base", "/base/x/a", Some("/r/a")),
        ("/r/", "/x/", "/base", "/x/a", None),
        ("/r/", "/", "/base", "/baseball", None),
        ("/static/", "", "/media/", "/media/a", Some("/static/a")),
        // A public URL.
        ("https://www/r/", "/x/", "", "/x/a", Some("https://www/r/a")),
    ];
    for (public, path, base, url, expected) in table {
        let member = format!("http://h{base}");
        let members = [member.as_str()];
        let lines = [(public, path, members.as_slice())];
        let url = format!("http://h{url}");
        assert_eq!(
            mapped(&url, "/r/", &lines).as_deref(),
            expected,
            "{public} {path} {base} {url}"
        );
    }
}

#[test]
fn the_mount_that_the_request_came_by_wins() {
    let farm: &[&str] = &["http://h:1", "http://h:2/base"];
    let lines: &[Line<'_>] = &[
        ("/a/", "/x/", farm),
        ("/b/", "/x/", farm),
        ("/b/deep/", "/x/", farm),
        ("https://www/c/", "/x/", farm),
        ("/", "/y/", farm),
    ];
    let table = [
        ("/a/1", "/x/2", Some("/a/2")),
        ("/b/1", "/x/2", Some("/b/2")),
        ("/b/deep/1", "/x/2", Some("/b/deep/2")),
        ("/b/deeper", "/x/2", Some("/b/2")),
        ("/c/1", "/x/2", Some("https://www/c/2")),
        // By none of them: the first in the file.
        ("/z/1", "/x/2", Some("/a/2")),
        ("/a/1", "/y/2", Some("/2")),
        ("/a/1", "/z", None),
    ];
    for (request, path, expected) in table {
        for origin in ["http://h:1", "http://h:2/base"] {
            let url = format!("{origin}{path}");
            assert_eq!(
                mapped(&url, request, lines).as_deref(),
                expected,
                "{request} {url}"
            );
        }
    }
}

#[test]
fn the_request_s_own_farm_comes_before_others() {
    let origin = [Origin::of(b"http://h:1").unwrap()];
    let mount = |public, own| Mount {
        public,
        path: b"/".as_slice(),
        own,
        members: origin.iter(),
    };
    let mounts = [mount(b"/a/".as_slice(), false), mount(b"/b/", true)];
    let mapped = map(b"http://h:1/x", b"/z", b"http://front/", mounts.into_iter());
    assert_eq!(mapped.as_deref(), Some(b"/b/x".as_slice()));
}

#[test]
fn cookie_domains() {
    let origin = Origin::of(b"http://App1.site:8080/base").unwrap();
    for domain in ["app1.site", "APP1.SITE", ".app1.site"] {
        assert!(origin.is_domain(domain.as_bytes()), "{domain}");
    }
    for domain in ["site", "xapp1.site", "app1.site.evil", "..app1.site", ""] {
        assert!(!origin.is_domain(domain.as_bytes()), "{domain}");
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn any_bytes_are_safe(
        url in bytes(40), request in bytes(20), front in bytes(20), public in bytes(9),
        path in bytes(9), member in bytes(40),
    ) {
        let origin = Origin::of(&member);
        for url in [url.clone(), [b"http://h".as_slice(), &url].concat()] {
            let members = origin.iter();
            let (public, path) = (public.as_slice(), path.as_slice());
            let mount = Mount { public, path, own: true, members };
            let _ = map(&url, &request, &front, std::iter::once(mount));
        }
    }

    /// Mapping undoes what `ProxyPass` does for a request.
    #[test]
    fn there_and_back(
        mount in "(/[a-c]{1,3}){0,2}/", path in "(/[a-c]{1,3}){0,2}/",
        base in "(/[a-c]{1,3}){0,2}/?", rest in "[a-c/?#.%]{0,6}", port in 1u16..,
    ) {
        prop_assume!(port != 8000);
        let member = format!("http://front:{port}{base}");
        let url = format!("{}{path}{rest}", member.trim_end_matches('/'));
        let back = mapped(&url, &mount, &[(&mount, &path, &[&member])]);
        prop_assert_eq!(back, Some(format!("{mount}{rest}")));
    }
}
