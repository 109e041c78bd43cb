use super::*;

fn farm(key: &str, value: &str) -> Result<FarmParams, String> {
    let mut params = FarmParams::default();
    params.set(key, value).map_err(|e| e.to_string())?;
    Ok(params)
}

#[test]
fn each_parameter_fills_its_field() {
    let with = |set: fn(&mut FarmParams)| {
        let mut params = FarmParams::default();
        set(&mut params);
        assert_ne!(params, FarmParams::default());
        Ok(params)
    };
    let outage = "http://www.example.com/outage/";
    let redirect = format!("redirect:{outage}");
    assert_eq!(farm("ejectafter", "5"), with(|p| p.eject_after = Some(5)));
    assert_eq!(
        farm("EjectTime", "60"),
        with(|p| p.eject_time = Duration::from_mins(1))
    );
    assert_eq!(farm("maxeject", "100"), with(|p| p.max_eject = 100));
    assert_eq!(farm("retrybudget", "0"), with(|p| p.retry_budget = 0));
    assert_eq!(
        farm("retryon", "502,504"),
        with(|p| p.retry_on = vec![502, 504])
    );
    assert_eq!(
        farm("trytimeout", "250"),
        with(|p| p.try_timeout = Some(Duration::from_millis(250)))
    );
    assert_eq!(
        farm("halflife", "3"),
        with(|p| p.half_life = Duration::from_secs(3))
    );
    assert_eq!(
        farm("hashkey", "query:user"),
        with(|p| p.hash_key = HashKey::Query("user".into()))
    );
    assert_eq!(
        farm("hashbalance", "1.5"),
        with(|p| p.hash_balance = Some(150))
    );
    assert_eq!(farm("hashbalance", "off"), with(|p| p.hash_balance = None));
    assert_eq!(farm("stickyissue", "on"), with(|p| p.sticky_issue = true));
    let secure = Attributes::read("Secure").expect("an attribute");
    assert_eq!(
        farm("stickyattrs", "secure").map(|p| p.sticky_attrs),
        Ok(Some(secure))
    );
    let regex = RouteRegex::read("!(.*)$").expect("compiles");
    assert_eq!(
        farm("RouteRegex", "!(.*)$").map(|p| p.route_regex),
        Ok(Some(regex))
    );
    let score = Score::read("0.7*load + queue/100").expect("a formula");
    assert_eq!(
        farm("score", "0.7*load + queue/100").map(|p| p.score),
        Ok(Some(score))
    );
    let fallback = |text| farm("fallback", text).map(|p| p.fallback);
    assert_eq!(fallback(outage), Ok(Some(Fallback::Proxy(outage.into()))));
    assert_eq!(
        fallback(&redirect),
        Ok(Some(Fallback::Redirect(outage.into())))
    );

    let mut member = MemberParams::default();
    assert_eq!(member.set("Name", "app01"), Ok(()));
    assert_eq!(member.name.as_deref(), Some("app01"));
    assert_eq!(member.set("maxconn", "100"), Ok(()));
    assert_eq!(member.max_conn, Some(100));
    assert_eq!(member.set("slowstart", "30"), Ok(()));
    assert_eq!(member.slow_start, Some(Duration::from_secs(30)));
    assert_eq!(member.set("expectupdate", "5"), Ok(()));
    assert_eq!(member.expect_update, Some(Duration::from_secs(5)));
    assert_eq!(member.set("agent", ":9000"), Ok(()));
    assert_eq!(member.agent, Some(Address::read(":9000").expect("a port")));
}

#[test]
fn a_farms_line_gives_the_default_of_its_members() {
    let mut farm = FarmParams::default();
    assert_eq!(farm.set("maxconn", "100"), Ok(()));
    assert_eq!(farm.set("slowstart", "30"), Ok(()));
    let mut own = MemberParams::default();
    assert_eq!(own.set("maxconn", "5"), Ok(()));
    assert_eq!(own.set("ExpectUpdate", "Off"), Ok(()));
    assert_eq!(farm.set("expectupdate", "5"), Ok(()));
    let holds = own.or(&farm.members);
    assert_eq!(holds.expect_update, None);
    assert_eq!(holds.max_conn, Some(5));
    assert_eq!(holds.slow_start, Some(Duration::from_secs(30)));
}

#[test]
fn a_refusal_names_key_value_and_what_is_allowed() {
    let table = [
        (
            "ejectafter",
            "abc",
            "ejectafter=abc: must be a whole number from 1 to 1000, or off",
        ),
        (
            "ejectafter",
            "0",
            "ejectafter=0: must be a whole number from 1 to 1000, or off",
        ),
        (
            "ejecttime",
            "1.5",
            "ejecttime=1.5: must be a whole number of seconds from 1 to 86400",
        ),
        (
            "maxeject",
            "101",
            "maxeject=101: must be a whole percentage from 1 to 100",
        ),
        (
            "retrybudget",
            "-1",
            "retrybudget=-1: must be a whole percentage from 0 to 100",
        ),
        (
            "retryon",
            "404",
            "retryon=404: must be one or more of 500, 502, 503, 504, separated by commas, or none",
        ),
        (
            "trytimeout",
            "0",
            "trytimeout=0: must be a whole number of milliseconds from 1 to 3600000, or off",
        ),
        (
            "halflife",
            "",
            "halflife=: must be a whole number of seconds from 1 to 3600",
        ),
        (
            "fallback",
            "http://a?b",
            "fallback=http://a?b: must be an absolute http:// or https:// URL without blanks, user and \
             #, with a / before any ?, or none",
        ),
        (
            "fallback",
            "redirect:",
            "fallback=redirect:: must be an absolute http:// or https:// URL without blanks and user, \
             with a / before any ? or #, or none",
        ),
        ("stickyissue", "yes", "stickyissue=yes: must be On or Off"),
        (
            "routeregex",
            "!(.*$",
            "routeregex=!(.*$: must be a regular expression whose first group ( ) is the route: \
             unclosed group",
        ),
        (
            "QueueTimeout",
            "uri",
            "QueueTimeout=uri: must be a whole number of milliseconds from 1 to 3600000",
        ),
        ("name", "a", "name: belongs to a member, not to the farm"),
        ("bogus", "1", "bogus: unknown parameter"),
        ("", "", ": unknown parameter"),
    ];
    for (key, value, error) in table {
        assert_eq!(farm(key, value), Err(error.to_owned()));
    }
    let mut member = MemberParams::default();
    let table = [
        (
            "name",
            "a b",
            "name=a b: must be 1 to 64 letters, digits, '.', '_', '-' or ':'",
        ),
        (
            "agent",
            "30",
            "agent=30: must be HOST:PORT, or :PORT for the member's own host, or off",
        ),
        (
            "fallback",
            "http://a/",
            "fallback: belongs to the farm, not to a member",
        ),
    ];
    for (key, value, error) in table {
        assert_eq!(
            member.set(key, value).map_err(|e| e.to_string()),
            Err(error.to_owned())
        );
    }
    assert_eq!(member, MemberParams::default());
}

#[test]
fn a_formula_is_refused_with_its_place() {
    let error = "score=load + : must be a formula of names, numbers, + - * / and parentheses; at \
                 position 8 a name, a number or '(' must stand";
    assert_eq!(farm("score", "load + "), Err(error.to_owned()));
    let reserved = farm("score", "load + Unset").expect_err("no statistic");
    assert!(
        reserved.ends_with("at position 8 unset must stand alone, for no formula"),
        "{reserved}"
    );
}

#[test]
fn a_refused_value_leaves_the_last_good_one() {
    let mut params = FarmParams::default();
    assert_eq!(params.set("maxeject", "10"), Ok(()));
    assert!(params.set("maxeject", "x").is_err());
    assert_eq!(params.max_eject, 10);
    assert_eq!(params.set("maxeject", "20"), Ok(()));
    assert_eq!(params.max_eject, 20);
}

/// A number stated as default, written by a user, changes nothing; another one does.
#[test]
fn stated_defaults_are_the_real_ones() {
    let numbers = PARAMS
        .iter()
        .filter(|param| param.default.parse::<u64>().is_ok());
    assert_eq!(numbers.clone().count(), 5);
    for param in numbers {
        assert_eq!(
            farm(param.key, param.default),
            Ok(FarmParams::default()),
            "{}",
            param.key
        );
        assert_ne!(
            farm(param.key, "7"),
            Ok(FarmParams::default()),
            "{}",
            param.key
        );
    }
}

/// Values other than the default, of each parameter whose default is a word.
const OTHERS: [(&str, &str); 14] = [
    ("ejectafter", "5"),
    ("retryon", "503"),
    ("trytimeout", "250"),
    ("fallback", "http://a/"),
    ("forward", "farm_two"),
    ("queue", "9"),
    ("stickyissue", "On"),
    ("routeregex", "!(.*)$"),
    ("score", "load"),
    ("maxconn", "5"),
    ("slowstart", "30"),
    ("draintimeout", "60"),
    ("expectupdate", "5"),
    ("agent", ":9000"),
];

/// A word stated as default can be written, in any case, and is the same as nothing; on a member's
/// line it takes back what the farm's says.
#[test]
fn stated_words_are_the_defaults() {
    let words = ["off", "none", "unset"];
    let is_word = |param: &&Param| words.contains(&param.default.to_ascii_lowercase().as_str());
    let keys = PARAMS.iter().filter(is_word).map(|param| param.key);
    assert!(keys.eq(OTHERS.map(|(key, _)| key)));
    for (key, other) in OTHERS {
        let param = find(key).expect("a parameter");
        assert!(
            param.syntax.ends_with(&format!("|{}", param.default)),
            "{key}"
        );
        for word in [param.default.to_owned(), param.default.to_ascii_uppercase()] {
            if param.whose() != Whose::Member {
                let mut params = FarmParams::default();
                assert_eq!(params.set(key, other), Ok(()), "{key}");
                assert_ne!(params, FarmParams::default(), "{key}");
                assert_eq!(params.set(key, &word), Ok(()), "{key}");
                assert_eq!(params, FarmParams::default(), "{key}");
            }
            if param.whose() != Whose::Farm {
                let farms = farm(key, other).expect("a farm's, too").members;
                let mut own = MemberParams::default();
                assert_eq!(own.set(key, &word), Ok(()), "{key}");
                assert_eq!(own.or(&farms), MemberParams::default(), "{key}");
            }
        }
    }
    assert_eq!(farm("hashbalance", "Off").map(|p| p.hash_balance), Ok(None));
}

#[test]
fn each_key_stands_once_in_the_list() {
    let mut keys: Vec<_> = PARAMS.iter().map(|p| p.key).collect();
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
    for key in keys {
        assert!(key.bytes().all(|b| b.is_ascii_lowercase()), "{key}");
        assert!(whose(&key.to_ascii_uppercase()).is_some(), "{key}");
    }
    for param in PARAMS {
        assert!(param.syntax.starts_with(&format!("{}=", param.key)));
        assert!(!param.about.is_empty() && !param.default.is_empty());
    }
}
