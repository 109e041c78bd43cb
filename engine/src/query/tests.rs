use super::*;
use crate::agent::Words;
use crate::board::record::{MemberStats, flags};
use crate::board::values::FLAGS_ALL;
use crate::board::{MemberExtras, Settings};
use crate::change::MemberState;
use crate::stats::{Name, Statistic};
use proptest::prelude::*;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

const LIMITS: Limits = Limits {
    requests: 16,
    diverse: false,
};
const PHYS: Kind = Kind::Status(Of::Phys);
const UPDATE: Kind = Kind::Update(Of::Phys);
const MIRROR: Kind = Kind::Mirror(Of::Phys);

/// Says its letters, and one statistic.
struct Sample;

impl Subject for Sample {
    fn field(&self, field: Field, to: &mut String) {
        if field != Field::Route {
            let _ = write!(to, "<{field:?}>");
        }
    }

    fn statistic(&self, name: &str) -> Option<f64> {
        (name == "load").then_some(0.75)
    }
}

fn refused(kind: Kind, query: &str) -> String {
    let text = match Text::of_query(query.as_bytes()) {
        Ok(text) => text,
        Err(error) => return error.to_string(),
    };
    parse(kind, &text, LIMITS).unwrap_err().to_string()
}

/// The lines that status requests of a query make.
fn lines(query: &str) -> Vec<String> {
    let text = Text::of_query(query.as_bytes()).unwrap();
    let requests = parse(PHYS, &text, LIMITS).unwrap();
    let line = |request: &Request| {
        let Request::Status(Status { of, format, .. }) = request else {
            return "no status".to_owned();
        };
        let mut line = String::new();
        let format = format.clone().unwrap_or_else(|| Format::default_of(*of));
        format.write(&Sample, &mut line);
        line
    };
    requests.iter().map(line).collect()
}

#[test]
fn the_two_requests_of_the_original() {
    let text = Text::of_query(b"farm_one").unwrap();
    let requests = parse(Kind::Balance, &text, LIMITS).unwrap();
    let expected = Request::Balance(Balance {
        farm: Cow::Borrowed("farm_one"),
        key: None,
        format: None,
    });
    assert_eq!(requests, [expected]);

    let text = Text::of_query(br#"Eh=app01,f="%h,%c""#).unwrap();
    let requests = parse(PHYS, &text, LIMITS).unwrap();
    let [Request::Status(status)] = requests.as_slice() else {
        panic!("{requests:?}");
    };
    assert_eq!(status.select.member.as_deref(), Some("app01"));
    assert_eq!(lines(r#"Eh=app01,f="%h,%c""#), ["<Name>,<InFlight>"]);
}

#[test]
fn formats() {
    for (format, line) in [
        (
            r#"f="%h %{load}s %{none}s 100%% %r""#,
            "<Name> 0.75 - 100% -",
        ),
        (r#"f="a\"b\\c\td&e,f=g?""#, "a\"b\\c\td&e,f=g?"),
        ("f=%h:%c", "<Name>:<InFlight>"),
        ("f=", ""),
        (r#"f="""#, ""),
        ("Ef=%22%25c%20%25%25%22", "<InFlight> %"),
    ] {
        assert_eq!(lines(format), [line], "{format}");
    }
    // `%z` stays after E, and is then no letter.
    assert!(refused(PHYS, "Ef=%25h%zz").contains("%z is not there"));
    let default = "<FullName> <State> <Health> <Reporting> <Weight> <InFlight> <Elected>";
    assert_eq!(lines("h=a&h=b"), [default, default]);
    assert_eq!(lines(""), [default]);
}

#[test]
fn after_e_only_valid_escapes_are_decoded() {
    for (query, member) in [
        ("Eh=%41%4", "A%4"),
        ("Eh=%%41", "%A"),
        ("Eh=100%", "100%"),
        ("h=%41", "%41"),
        ("Eh=caf%C3%A9", "café"),
        ("Eh=a+b", "a+b"),
        ("Eh=%22a%2Cb%22", "a,b"),
    ] {
        let text = Text::of_query(query.as_bytes()).unwrap();
        let parsed = parse(PHYS, &text, LIMITS).unwrap();
        let [Request::Status(status)] = parsed.as_slice() else {
            panic!("{query}");
        };
        assert_eq!(status.select.member.as_deref(), Some(member), "{query}");
    }
    // A decoded comma separates, as a plain one does.
    assert_eq!(refused(PHYS, "Eh=a%2Cb"), "position 8: \"b\" has no value");
}

#[rustfmt::skip]
const ERRORS: &[(Kind, &str, &str)] = &[
    (PHYS, "h=a&&h=b", "position 5: nothing between two separators"),
    (PHYS, "h=a&", "position 5: nothing between two separators"),
    (PHYS, "h=a,,f=b", "position 5: nothing between two separators"),
    (PHYS, "h=", "position 1: \"h\" has no value"),
    (PHYS, "h=a,h=b", "position 5: h= stands twice in one request"),
    (UPDATE, "h=a,s=off,g=N", "position 11: s= and g= say the same thing: one of them, not both, in one request"),
    (UPDATE, "h=a,g=-,s=on", "position 9: s= and g= say the same thing: one of them, not both, in one request"),
    (PHYS, "h=a,zz=b", "position 5: \"zz\" is no key of this request"),
    (PHYS, "h=a\"b", "position 4: '\"' is not allowed here: a value with it stands in quotes"),
    (PHYS, "f=\"a\"b", "position 6: 'b' is not allowed here: a value with it stands in quotes"),
    (PHYS, "f=\"%h", "position 3: the quoted value that begins here does not end"),
    (PHYS, r#"f="a\x""#, r#"position 5: \x is no escape: there are \" \\ \n \r \t"#),
    (PHYS, "f=ab%", "position 5: % needs a letter behind it; a percent sign itself is %%"),
    (PHYS, "f=%{load}x", "position 3: % needs a letter behind it; a percent sign itself is %%"),
    (PHYS, "f=%{1l}s", "position 3: \"1l\": a statistic's name has 2 to 32 letters, digits and '_', does not begin with a digit, and is not agent"),
    (PHYS, "h=\u{1}", "position 3: a control character"),
    (PHYS, "Eh=%0a", "position 4: a control character"),
    (PHYS, "Eh=%41%41,%ff", "position 11: not UTF-8"),
    (PHYS, "Eh=%41%41,%41=1", "position 11: \"A\" is no key of this request"),
    (Kind::Balance, "", "position 1: the farm's name is missing"),
    (Kind::Balance, "key=7", "position 1: the farm's name is missing"),
    (Kind::Balance, "a,b", "position 3: \"b\" has no value"),
    (PHYS, "h=a&balance/?f", "position 5: a request of another kind needs AthAllowDiverseMulti On"),
    (PHYS, "h=a&nosuch?f", "position 5: \"nosuch\" is not balance/, status/engine/, nor status/, update/ or mirror/ with farm/ or phys/"),
    (Kind::Status(Of::Farm), "h=a", "position 1: \"h\" is no key of this request"),
    (Kind::Status(Of::Engine), "n=a", "position 1: \"n\" is no key of this request"),
    (Kind::Status(Of::Engine), "f=%h", "position 3: %h is not there: letters are UMNceoxIOV"),
    (UPDATE, "load=1", "position 1: h=, the member, is missing"),
    (UPDATE, "h=a", "position 1: nothing to update is named"),
    (UPDATE, "h=a,k=x", "position 1: nothing to update is named"),
    (UPDATE, "h=a,load=nan", "position 5: load=nan: must be a finite number"),
    (UPDATE, "h=a,load=1e999", "position 5: load=1e999: must be a finite number"),
    (UPDATE, "h=a,load=", "position 5: \"load\" has no value"),
    (UPDATE, "h=a,x=1", "position 5: \"x\" is no key of this request"),
    (UPDATE, "h=a,s=up", "position 5: s=up: must be on, drain or off"),
    (UPDATE, "h=a,g=E", "position 5: g=E: must be letters among DSIHRN, or -"),
    (UPDATE, "h=a,w=\"\\n\"", "position 5: w=\\n: must be a number from 0.01 to 100, with at most two decimals"),
    (Kind::Update(Of::Farm), "n=a,s=drain", "position 5: s=drain: must be On or Off"),
    (Kind::Update(Of::Farm), "n=a,load=1", "position 5: \"load\" is no key of this request"),
    (Kind::Update(Of::Farm), "s=off", "position 1: n=, the farm, is missing"),
    (MIRROR, "h=a,w=1", "position 1: a line of a state: the first line must be v=1"),
    (MIRROR, "h=a&v=1&h=a,w=1", "position 9: a line of a state: the first line must be v=1"),
    (MIRROR, "v=2&h=a,w=1", "position 1: v= must be 1"),
    (UPDATE, "h=a,agent=\"up 1x%\"", "position 5: agent=up 1x%: must be words among up, down, ready, drain, maint, 75% and maxconn:30"),
    (UPDATE, "h=a,agent=\"# why\"", "position 5: agent=# why: must be words among up, down, ready, drain, maint, 75% and maxconn:30"),
    (MIRROR, "v=1,h=a", "position 1: \"v\" is no key of this request"),
];

#[test]
fn updates() {
    let read = |query: &str| {
        let text = Text::of_body(query.as_bytes()).unwrap();
        match parse(UPDATE, &text, LIMITS).unwrap().pop() {
            Some(Request::Update(update)) => update.what,
            other => panic!("{other:?}"),
        }
    };
    let change = |query: &str| match read(query) {
        What::Member { change, .. } => change,
        What::Farm(_) => panic!("{query}"),
    };
    assert!(!read("h=a,load=0.7,queue=12").is_change());
    assert!(read("h=a,load=0.7,s=on").is_change());
    let said = read("h=a,agent=\"75%,down # the disk\"");
    assert!(said.is_change());
    match said {
        What::Member { agent, .. } => assert_eq!(agent, Some(Words::read(b"75% down#the disk"))),
        What::Farm(_) => panic!("{said:?}"),
    }
    let off = flags::DISABLED | flags::STOPPED;
    for (query, set, clear) in [
        ("h=a,s=on", 0, off | flags::DRAIN),
        ("h=a,s=drain", flags::DRAIN, off),
        ("h=a,s=off", flags::DISABLED, 0),
        ("h=a,u=down", flags::DOWN, 0),
        ("h=a,u=up", 0, flags::DOWN),
        (
            "h=a,g=H",
            flags::STANDBY,
            FLAGS_ALL & !(flags::STANDBY | flags::CHECK_FAILED | flags::DOWN),
        ),
    ] {
        assert_eq!(
            (change(query).set, change(query).clear),
            (set, clear),
            "{query}"
        );
    }
    let both = change("h=a,w=2.5,l=7,C=30");
    assert_eq!(
        (both.weight, both.lbset, both.max_conn),
        (Some(250), Some(7), Some(30))
    );
}

#[test]
fn an_error_names_position_and_reason() {
    for (kind, query, error) in ERRORS {
        assert_eq!(refused(*kind, query), *error, "{query}");
    }
}

#[test]
fn as_many_requests_as_allowed() {
    let query = |n: usize| vec!["h=a"; n].join("&");
    let sixteen = query(16);
    let text = Text::of_query(sixteen.as_bytes()).unwrap();
    assert_eq!(parse(PHYS, &text, LIMITS).unwrap().len(), 16);
    assert_eq!(
        refused(PHYS, &query(17)),
        "position 65: more than 16 requests (AthMaxEmbed)"
    );
    let body = query(17).replace('&', "\n");
    let text = Text::of_body(body.as_bytes()).unwrap();
    assert_eq!(
        parse(PHYS, &text, LIMITS).unwrap_err().to_string(),
        "position 65: more than 16 requests in one body"
    );
    let items: Vec<_> = (0..65).map(|n| format!("k{n}=1")).collect();
    assert!(refused(PHYS, &items.join(",")).contains("more than 64 items in one request"));
}

#[test]
fn a_farm_may_be_called_as_a_key_is() {
    for (query, farm, key) in [
        ("f,key=1,f=%h", "f", Some("1")),
        ("key,f=%h,key=1", "key", Some("1")),
        ("f,f=%h", "f", None),
    ] {
        let text = Text::of_query(query.as_bytes()).unwrap();
        let requests = parse(Kind::Balance, &text, LIMITS).unwrap();
        let [Request::Balance(balance)] = requests.as_slice() else {
            panic!("{query}");
        };
        assert_eq!((&*balance.farm, balance.key.as_deref()), (farm, key));
        assert!(balance.format.is_some(), "{query}");
    }
    for (query, error) in [
        ("f,f=%h,f=%h", "position 8: f= stands twice in one request"),
        ("key,f", "position 5: \"f\" has no value"),
        ("f=%h,f=%h", "position 6: f= stands twice in one request"),
    ] {
        assert_eq!(refused(Kind::Balance, query), error);
    }
}

#[test]
fn requests_of_different_kinds() {
    let limits = Limits {
        diverse: true,
        ..LIMITS
    };
    let query = "h=a&/balance/?farm_one,key=x&status/engine?&status/farm/?n=b@main";
    let text = Text::of_query(query.as_bytes()).unwrap();
    let parsed = parse(PHYS, &text, limits).unwrap();
    let kinds: Vec<_> = parsed.iter().map(Request::kind).collect();
    let status = Kind::Status;
    assert_eq!(
        kinds,
        [PHYS, Kind::Balance, status(Of::Engine), status(Of::Farm)]
    );
}

#[test]
fn lines_of_a_body() {
    let body = b"h=a\r\nh=b&h=c\n\n";
    let text = Text::of_body(body).unwrap();
    assert_eq!(parse(PHYS, &text, LIMITS).unwrap().len(), 3);
    let text = Text::of_body(b"f=\"a\nb\"").unwrap();
    assert_eq!(
        parse(PHYS, &text, LIMITS).unwrap_err().to_string(),
        "position 3: the quoted value that begins here does not end"
    );
}

#[test]
fn paths() {
    for (path, kind) in [
        ("/balance/", Some(Kind::Balance)),
        ("/balance", Some(Kind::Balance)),
        ("/status/phys/", Some(PHYS)),
        ("/status/", None),
        ("/balance/x", None),
        ("//balance", None),
        ("/Balance/", None),
        ("", None),
    ] {
        assert_eq!(Kind::of_path(path), kind, "{path}");
        assert!(kind.is_none() || Kind::begins(path), "{path}");
    }
    for (path, begins) in [
        ("/status", true),
        ("/mirror/x", true),
        ("/", false),
        ("", false),
        ("/statuses", false),
        ("/api/status", false),
    ] {
        assert_eq!(Kind::begins(path), begins, "{path}");
    }
}

#[test]
fn the_table_names_each_letter_once() {
    let mut seen = BTreeMap::new();
    for letter in LETTERS {
        assert!(letter.letter.is_ascii_alphabetic());
        assert!(!"fkv".contains(letter.letter), "a key's");
        assert!(seen.insert(letter.letter, letter.field).is_none());
    }
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "h=",
        "n=",
        "f=",
        "\"",
        "\\",
        "%",
        "%h",
        "%{",
        "}s",
        "&",
        ",",
        "=",
        "?",
        "E",
        "balance/",
        "status/phys/",
        "%41",
        "%22",
        "é",
        "\n",
        "app01",
        "load",
        "\0",
    ]);
    let bytes = prop::collection::vec(any::<u8>(), 0..8);
    let piece = prop_oneof![
        4 => token.prop_map(|token| token.as_bytes().to_vec()),
        1 => bytes,
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn hostile_bytes_are_survived(bytes in hostile(), path in 0..8_usize, diverse: bool) {
        let kinds = [Kind::Balance, PHYS, Kind::Status(Of::Farm), Kind::Status(Of::Engine), UPDATE, Kind::Update(Of::Farm), MIRROR, Kind::Mirror(Of::Farm)];
        let limits = Limits { requests: 4, diverse };
        for (text, longest) in [(Text::of_query(&bytes), 4), (Text::of_body(&bytes), 4)] {
            match text.and_then(|text| {
                parse(kinds[path], &text, limits).map(|requests| requests.len())
            }) {
                Ok(requests) => prop_assert!(requests <= longest),
                Err(error) => {
                    prop_assert!((1..=bytes.len() + 1).contains(&error.at), "{error}");
                    prop_assert!(!error.to_string().contains(['\n', '\0']), "{error}");
                }
            }
        }
    }

    /// What is quoted comes back, whatever it is.
    #[test]
    fn a_quoted_value_is_what_was_meant(value in "[^\\p{Cc}]{1,40}") {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let query = format!("h=\"{escaped}\"");
        prop_assume!(!query.starts_with('E'));
        let text = Text::of_query(query.as_bytes()).unwrap();
        let requests = parse(PHYS, &text, LIMITS).unwrap();
        let expected = Request::Status(Status {
            of: Of::Phys,
            select: Selection { farm: None, member: Some(Cow::Borrowed(&value)) },
            format: None,
        });
        prop_assert_eq!(requests, vec![expected]);
    }

    #[test]
    fn what_is_escaped_after_e_comes_back(value in "[ -~]{0,40}") {
        let mut query = "E".to_owned();
        for byte in value.bytes() {
            let _ = write!(query, "%{byte:02X}");
        }
        let text = Text::of_query(query.as_bytes()).unwrap();
        prop_assert_eq!(text.as_str(), value);
    }

    /// A member's line makes any other member the same, and says so.
    #[test]
    fn a_line_of_a_state_is_that_state(
        name in "[!-~]{1,30}",
        (weight, lbset, max_conn, flags) in (1..=10_000_u32, 0..=99_u32, 0..=1_000_000_u32, any::<u32>()),
        (other_weight, other_flags) in (1..=10_000_u32, any::<u32>()),
        values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 0..4),
    ) {
        let state = |weight, lbset, max_conn, flags: u32| MemberState {
            extras: MemberExtras {
                route: if lbset % 2 == 0 { String::new() } else { format!("r{lbset}") },
                slow_start: (lbset > 50).then_some(lbset),
                forward: if weight % 2 == 0 { String::new() } else { "http://h.example/?a&b".to_owned() },
                redirect: if weight % 3 == 0 { String::new() } else { format!("r{weight}") },
                drain_timeout: (weight > 50).then_some(weight),
            },
            settings: Settings { weight, lbset, max_conn, flags: flags & FLAGS_ALL & !flags::CHECK_FAILED },
        };
        let from = state(weight, lbset, max_conn, flags);
        let stats: Vec<_> = values.iter().enumerate().map(|(n, value)| Statistic {
            name: Name::new(&format!("value_{n}")).unwrap(),
            value: *value,
            pushed_at: 1,
        }).collect();
        let mut lines = String::new();
        mirror::write_version(&mut lines);
        // They came in another order than that of their names.
        mirror::write_member(&mut lines, &name, &from, stats.iter().rev().copied());
        let text = Text::of_body(lines.as_bytes()).unwrap();
        let mut requests = parse(MIRROR, &text, LIMITS).unwrap();
        let Some(Request::Mirror(Mirror::Line(line))) = requests.pop() else {
            panic!("{lines}");
        };
        prop_assert_eq!(line.select.member.as_deref(), Some(&*name));
        let What::Member { report, change, .. } = line.what else {
            panic!("{lines}");
        };
        prop_assert_eq!(change.after(&state(other_weight, 7, 3, other_flags)), from);
        let pushed = MemberStats::default();
        report.push(&pushed, 1, || Some(())).unwrap();
        prop_assert_eq!(crate::stats::read(&pushed).collect::<Vec<_>>(), stats);
    }
}

/// An answer is one line, whatever stands in the query.
#[test]
fn what_is_wrong_is_told_in_one_line() {
    let limits = Limits {
        requests: 16,
        diverse: false,
    };
    let (status, update) = (Kind::Status(Of::Phys), Kind::Update(Of::Phys));
    let bodies = [
        (status, "f=\"\\\n\""),
        (status, "f=\"%\n\""),
        (status, "h=\"a\n\""),
        (status, "\"\n\"=1"),
        (update, r#"h=a,load="\n""#),
        (update, r#"h=a,s="\n""#),
    ];
    for (kind, body) in bodies {
        let text = Text::of_body(body.as_bytes());
        let error = text.and_then(|text| parse(kind, &text, limits).map(drop));
        let told = error.expect_err(body).to_string();
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
}
