use super::*;
use crate::board::record::MemberHealth;
use proptest::prelude::*;

const NOW: Micros = 5_000_000_000;

fn params(words: &[(&str, &str)]) -> CheckParams {
    let mut params = CheckParams::default();
    for (key, value) in words {
        assert_eq!(params.set(key, value), Some(Ok(())), "{key}={value}");
    }
    params
}

fn check(words: &[(&str, &str)], url: &str) -> Check {
    Check::new(&params(words), url)
        .expect("a method for it")
        .expect("a check")
}

fn asked(words: &[(&str, &str)], url: &str) -> String {
    String::from_utf8(check(words, url).request().to_vec()).expect("ASCII")
}

#[test]
fn values_that_are_none() {
    for (key, values) in [
        ("hcmethod", &["", "get12", "PROVIDER", "GET "][..]),
        ("hcinterval", &["0", "99ms", "-1", "1m", "", "ms", "86401"]),
        ("hcpasses", &["-1", "1001", "x"]),
        ("hcfails", &["1.5", ""]),
        (
            "hcuri",
            &[
                "",
                "health",
                "http://a/",
                "/a b",
                "/a\r\nX: y",
                "/\u{e4}",
                "/#a",
                "/\x7f",
            ],
        ),
    ] {
        for value in values {
            let read = CheckParams::default().set(key, value);
            assert!(matches!(read, Some(Err(_))), "{key}={value}");
        }
    }
    assert_eq!(CheckParams::default().set("hcexpr", "ok"), None);
    let long = format!("/{}", "x".repeat(255));
    assert!(matches!(
        CheckParams::default().set("hcuri", &long),
        Some(Err(_))
    ));
}

#[test]
fn a_request_is_mod_proxy_hchecks() {
    let get = ("hcmethod", "get");
    for (words, url, wanted) in [
        (
            &[get][..],
            "http://a",
            "GET / HTTP/1.0\r\nHost: a:80\r\n\r\n",
        ),
        (
            &[get, ("HCURI", "/health?x=1")],
            "http://A:8080/app/",
            "GET /app/health?x=1 HTTP/1.0\r\nHost: A:8080\r\n\r\n",
        ),
        (
            &[("hcmethod", "HEAD11"), ("hcuri", "/h")],
            "ws://[::1]:81",
            "HEAD /h HTTP/1.1\r\nHost: [::1]:81\r\nConnection: close\r\n\r\n",
        ),
        (
            &[("hcmethod", "OPTIONS"), ("hcuri", "/h")],
            "http://a/app",
            "OPTIONS * HTTP/1.0\r\nHost: a:80\r\n\r\n",
        ),
        (&[("hcmethod", "TCP")], "https://a", ""),
    ] {
        assert_eq!(asked(words, url), wanted);
    }
    assert_eq!(check(&[("hcmethod", "CPING")], "ajp://a").request(), CPING);
    assert_eq!(check(&[get], "http://[::1]:81").place(), ("::1", 81));
    assert_eq!(
        check(&[("hcmethod", "TCP")], "https://a").place(),
        ("a", 443)
    );
}

#[test]
fn who_is_not_checked_and_who_cannot_be() {
    for words in [&[][..], &[("hcmethod", "none")], &[("hcuri", "/h")]] {
        assert_eq!(Check::new(&params(words), "http://a"), Ok(None));
        assert!(!params(words).asks());
    }
    assert!(params(&[("hctemplate", "t")]).asks());
    for (method, url) in [
        ("GET", "https://a"),
        ("HEAD", "fcgi://a"),
        ("GET11", "h2c://a"),
        ("CPING", "http://a"),
    ] {
        let refused = Check::new(&params(&[("hcmethod", method)]), url).expect_err("it cannot be");
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let must =
            format!("hcmethod={method}: a member by {scheme}:// can be checked with TCP only");
        assert_eq!(refused, must);
    }
    for url in ["http://a/b c", "http://a/\r\nX: y", "unix:/s|http://a"] {
        assert!(
            Check::new(&params(&[("hcmethod", "GET")]), url).is_err(),
            "{url}"
        );
    }
}

#[test]
fn a_line_is_stronger_than_its_template() {
    let line = params(&[("hctemplate", "t"), ("hcfails", "3"), ("hcuri", "/own")]);
    let template = params(&[
        ("hcmethod", "GET"),
        ("hcuri", "/its"),
        ("hcinterval", "500ms"),
        ("hcpasses", "2"),
        ("hcfails", "9"),
    ]);
    let made = Check::new(&line.or(template), "http://a")
        .expect("fits")
        .expect("a check");
    assert_eq!((made.passes, made.fails, made.interval()), (2, 3, 500_000));
    assert!(made.request().starts_with(b"GET /own "));
    let plain = check(&[("hcmethod", "TCP"), ("hcfails", "0")], "http://a");
    assert_eq!(
        (plain.passes, plain.fails, plain.interval()),
        (1, 1, 30_000_000)
    );
}

#[test]
fn answers_pass_or_say_why_not() {
    let get = check(&[("hcmethod", "GET")], "http://a");
    for (heard, result) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], Ok(())),
        (b"HTTP/1.0 399\r\n", Ok(())),
        (b"HTTP/1.1 204", Ok(())),
        (b"HTTP/1.1 503 Busy", Err(Fault::Status(503))),
        (b"HTTP/1.1 103 Early Hints", Err(Fault::Status(103))),
        (b"HTTP/1.1 400\n", Err(Fault::Status(400))),
        (b"", Err(Fault::Silent)),
        (b"HTTP/2.0 200 OK", Err(Fault::Garbage)),
        (b"HTTP/1.1 2000 OK", Err(Fault::Garbage)),
        (b"HTTP/1.1 20", Err(Fault::Garbage)),
        (b"HTTP/1.1 +20 OK", Err(Fault::Garbage)),
        (b"SSH-2.0-OpenSSH\r\n", Err(Fault::Garbage)),
    ] {
        assert_eq!(get.judge(heard), result, "{}", heard.escape_ascii());
    }
    let tcp = check(&[("hcmethod", "TCP")], "http://a");
    assert!(tcp.is_enough(b"") && tcp.judge(b"") == Ok(()));
    let ajp = check(&[("hcmethod", "CPING")], "ajp://a");
    assert!(!ajp.is_enough(&CPONG[..4]) && ajp.is_enough(CPONG));
    assert_eq!(ajp.judge(CPONG), Ok(()));
    assert_eq!(ajp.judge(b"HTTP/"), Err(Fault::Garbage));
    assert_eq!(ajp.judge(&CPONG[..4]), Err(Fault::Garbage));
}

#[test]
fn a_turn_is_one_processs_until_it_ends_or_nobody_keeps_it() {
    let health = MemberHealth::default();
    let mut turn = Turn::take(&health, NOW).expect("due");
    assert_eq!(Turn::take(&health, NOW), None);
    assert!(turn.keep(&health, NOW + LEASE - 1));
    assert_eq!(Turn::take(&health, NOW + LEASE), None, "kept");
    turn.end(&health, NOW + 3 * LEASE);
    assert_eq!(Turn::take(&health, NOW + 3 * LEASE - 1), None, "not due");

    // Its process was held up, or killed.
    let mut late = Turn::take(&health, NOW + 3 * LEASE).expect("due");
    let mut next = Turn::take(&health, NOW + 4 * LEASE).expect("the lease is over");
    assert!(!late.keep(&health, NOW + 4 * LEASE));
    late.end(&health, 0);
    assert!(next.keep(&health, NOW + 5 * LEASE), "still its own");
}

/// `+` and `-` are checks that pass and fail; a letter behind one says that the member turns by it.
fn run(passes: &str, fails: &str, checks: &str) {
    let words = [
        ("hcmethod", "TCP"),
        ("hcpasses", passes),
        ("hcfails", fails),
    ];
    let check = check(&words, "http://a");
    let health = MemberHealth::default();
    let mut down = false;
    let mut seen = String::new();
    for result in checks.chars().filter(|c| "+-".contains(*c)) {
        seen.push(result);
        if check.turns(&health, result == '+', down) {
            down = !down;
            seen.push(if down { 'D' } else { 'U' });
        }
    }
    assert_eq!(seen, checks);
}

#[test]
fn so_many_in_a_row_turn_the_member() {
    run("1", "1", "++-D--+U+-D+U");
    run("1", "3", "--+--+---D-+U--+");
    run("2", "3", "---D+-+-++U---D");
}

#[test]
fn a_turn_that_could_not_take_effect_comes_again() {
    let check = check(&[("hcmethod", "TCP"), ("hcfails", "3")], "http://a");
    let health = MemberHealth::default();
    let turns: Vec<_> = (0..5).map(|_| check.turns(&health, false, false)).collect();
    assert_eq!(turns, [false, false, true, true, true]);
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn nothing_heard_is_too_much(heard in proptest::collection::vec(any::<u8>(), 0..40)) {
        for (method, url) in [("GET", "http://a"), ("CPING", "ajp://a"), ("TCP", "http://a")] {
            let check = check(&[("hcmethod", method)], url);
            let _ = check.judge(&heard);
            prop_assert!(heard.len() < STATUS || check.is_enough(&heard));
        }
    }
}
