use super::*;
use crate::config::target::Target;
use crate::config::words::split;
use proptest::prelude::*;

/// The server's farms: `farm`, and `shop.example` as declared.
fn farm_of(url: &str) -> Option<String> {
    let target = Target::parse(url.as_bytes())?;
    let name = target::farm_name(&target, |name| name == "shop.example")?;
    ["farm", "shop.example"]
        .contains(&name.as_ref())
        .then(|| name.into_owned())
}

fn shown(line: Line, args: &str, section: Option<&str>) -> Result<String, String> {
    let pairs = |list: &[(String, String)]| {
        list.iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    take(line, args, section, farm_of)
        .map_err(|e| e.to_string())
        .map(|t| {
            let (farm, member) = (t.farm.as_deref(), t.member.as_deref());
            [
                &t.kept,
                farm.unwrap_or("-"),
                member.unwrap_or("-"),
                &pairs(&t.params),
                &pairs(&t.for_farm),
            ]
            .join(" ; ")
        })
}

use Line::{BalancerMember, Proxy, ProxyPass, ProxyPassMatch, ProxySet};

/// Line, arguments, enclosing section; then what [`shown`] makes of it.
type Row = (Line, &'static str, Option<&'static str>, &'static str);

fn check(table: &[Row]) {
    for (line, args, section, expected) in table {
        let shown = shown(*line, args, *section).unwrap_or_else(|error| error);
        assert_eq!(shown, *expected, "{line:?} {args}");
    }
}

const FARM: Option<&str> = Some("balancer://Farm");
const X: Option<&str> = Some("/x");

#[test]
fn a_members_parameters_are_taken() {
    let pass_on = "unix:/run/a.sock|http://a/ 'name=x' status=+H";
    check(&[
        (
            BalancerMember,
            "\"http://a:80\"  route=a   name=x loadfactor=2",
            FARM,
            "\"http://a:80\"  route=a   loadfactor=2 ; farm ; http://a:80 ; name=x ; ",
        ),
        (
            BalancerMember,
            "NAME=x http://a",
            FARM,
            "http://a ; farm ; http://a ; NAME=x ; ",
        ),
        (
            BalancerMember,
            "balancer://Farm/ http://a name=x",
            None,
            "balancer://Farm/ http://a ; farm ; http://a ; name=x ; ",
        ),
        (
            BalancerMember,
            "name=x balancer://farm http://a",
            None,
            "balancer://farm http://a ; farm ; http://a ; name=x ; ",
        ),
        (
            BalancerMember,
            pass_on,
            FARM,
            "unix:/run/a.sock|http://a/ status=+H ; farm ; unix:/run/a.sock|http://a/ ; name=x ; ",
        ),
        // Taken, whatever this version makes of it.
        (
            BalancerMember,
            "http://a slowstart=9",
            FARM,
            "http://a ; farm ; http://a ; slowstart=9 ; ",
        ),
    ]);
}

#[test]
fn a_farms_parameters_are_taken() {
    check(&[
        (
            ProxySet,
            "lbmethod=leasttime EjectAfter=3 timeout=5",
            FARM,
            "lbmethod=leasttime timeout=5 ; farm ; - ; EjectAfter=3 ; ",
        ),
        (
            ProxySet,
            "ejectafter=3",
            FARM,
            " ; farm ; - ; ejectafter=3 ; ",
        ),
        (
            ProxySet,
            "maxconn=9 forward=b",
            FARM,
            " ; farm ; - ; maxconn=9,forward=b ; ",
        ),
        (
            ProxySet,
            "\"balancer://farm/\" retryon=\"502, 503\" nofailover=On",
            None,
            "\"balancer://farm/\" nofailover=On ; farm ; - ; retryon=502, 503 ; ",
        ),
        (
            ProxySet,
            "balancer://farm ejectafter=1 ejectafter=2",
            None,
            "balancer://farm ; farm ; - ; ejectafter=1,ejectafter=2 ; ",
        ),
        (
            Proxy,
            "\"balancer://farm\" lbmethod=leasttime ejectafter=3>",
            None,
            "\"balancer://farm\" lbmethod=leasttime> ; farm ; - ; ejectafter=3 ; ",
        ),
        (
            Proxy,
            "balancer://farm ejectafter=3 >",
            None,
            "balancer://farm> ; farm ; - ; ejectafter=3 ; ",
        ),
        (
            Proxy,
            "balancer://farm ejectafter=3 \"lbmethod=a >",
            None,
            "balancer://farm \"lbmethod=a > ; farm ; - ; ejectafter=3 ; ",
        ),
    ]);
}

#[test]
fn proxy_pass_gives_up_our_parameters() {
    check(&[
        (
            ProxyPass,
            "/x balancer://farm/x nocanon fallback=http://b/?c=d stickysession=S",
            None,
            "/x balancer://farm/x nocanon stickysession=S ; farm ; - ; fallback=http://b/?c=d ; ",
        ),
        (
            ProxyPass,
            "balancer://farm/x halflife=3",
            X,
            "balancer://farm/x ; farm ; - ; halflife=3 ; ",
        ),
        (
            ProxyPass,
            "~ ^/x balancer://farm halflife=3",
            None,
            "~ ^/x balancer://farm ; farm ; - ; halflife=3 ; ",
        ),
        (
            ProxyPassMatch,
            "^/(.*)$ balancer://farm/$1 halflife=3",
            None,
            "^/(.*)$ balancer://farm/$1 ; farm ; - ; halflife=3 ; ",
        ),
    ]);
}

#[test]
fn a_farm_spelt_as_a_host_gets_the_balancers_parameters() {
    check(&[
        (
            ProxyPass,
            "/x http://farm/x nocanon lbmethod=leasttime timeout=5 mapping=encoded halflife=3",
            None,
            "/x http://farm/x nocanon mapping=encoded ; farm ; - ; halflife=3 ; lbmethod=leasttime,timeout=5",
        ),
        (
            ProxyPass,
            "http://FARM:80 MaxAttempts=2",
            X,
            "http://FARM:80 ; farm ; - ;  ; MaxAttempts=2",
        ),
        (
            ProxyPassMatch,
            "^/(.*) ws://shop.example/$1 stickysession=S|s",
            None,
            "^/(.*) ws://shop.example/$1 ; shop.example ; - ;  ; stickysession=S|s",
        ),
        (
            Proxy,
            "\"http://farm/\" lbmethod=leasttime>",
            None,
            "\"http://farm/\"> ; farm ; - ;  ; lbmethod=leasttime",
        ),
        (
            ProxySet,
            "lbmethod=leasttime halflife=3",
            Some("http://farm"),
            " ; farm ; - ; halflife=3 ; lbmethod=leasttime",
        ),
        (
            ProxySet,
            "http://farm lbmethod=leasttime",
            None,
            "\"balancer://farm\" ; farm ; - ;  ; lbmethod=leasttime",
        ),
        (
            ProxySet,
            "'http://farm' lbmethod=a bogus=1",
            None,
            "ProxySet: bogus is no parameter of farms",
        ),
        // Not a farm, or nobody's key: mod_proxy's to read.
        (
            ProxyPass,
            "/x http://farm:81/ timeout=5 retry=3",
            None,
            "/x http://farm:81/ timeout=5 retry=3 ; - ; - ;  ; ",
        ),
        (
            ProxyPass,
            "/x http://www.example.com/ timeout=5",
            None,
            "/x http://www.example.com/ timeout=5 ; - ; - ;  ; ",
        ),
        (
            ProxyPass,
            "/x http://farm/ bogus=5",
            None,
            "ProxyPass: bogus is no parameter of farms",
        ),
    ]);
}

#[test]
fn what_is_positional_is_no_parameter() {
    let table: &[(Line, &str, Option<&str>)] = &[
        (
            ProxyPass,
            "/x  balancer://farm/?ejectafter=3\tnocanon",
            None,
        ),
        (ProxyPass, "halflife=3 http://a/", None),
        (ProxyPass, "halflife=\"3 http://a/ retry=0", None),
        (ProxyPass, "/x !", None),
        (ProxyPass, "", None),
        (ProxyPassMatch, "name=(.*) http://a/$1 retry=0", None),
        (ProxyPass, "halflife=3", X),
        (ProxySet, "halflife=3 lbmethod=leasttime", None),
        (ProxySet, " http://a/ keepalive=On ", None),
        (BalancerMember, "http://a  loadfactor=2", FARM),
        (BalancerMember, "loadfactor=2", FARM),
        (BalancerMember, "balancer://farm", None),
        (BalancerMember, "name=x", None),
        (Proxy, "*>", None),
        (Proxy, "\"http://www.example.com/\"  keepalive=On >", None),
        (Proxy, "halflife=3>", None),
        (Proxy, "balancer://farm> halflife=3", None),
    ];
    for (line, args, section) in table {
        let taken = take(*line, args, *section, farm_of).unwrap();
        assert_eq!(
            (taken.kept.as_str(), taken.params),
            (*args, vec![]),
            "{line:?} {args}"
        );
    }
}

#[test]
fn what_stands_on_the_wrong_line_is_refused_by_name() {
    check(&[
        (
            BalancerMember,
            "http://a Fallback=http://b/",
            FARM,
            "BalancerMember: Fallback belongs to the farm: write it on ProxySet",
        ),
        (
            BalancerMember,
            "http://a queue=9",
            FARM,
            "BalancerMember: queue belongs to the farm: write it on ProxySet",
        ),
        (
            ProxySet,
            "name=x",
            FARM,
            "ProxySet: name belongs to the member: write it on BalancerMember",
        ),
        (
            Proxy,
            "balancer://farm name=x>",
            None,
            "<Proxy>: name belongs to the member: write it on BalancerMember",
        ),
        (
            ProxyPass,
            "/x http://farm/x retry=0",
            None,
            "ProxyPass: retry belongs to the member: write it on BalancerMember",
        ),
        (
            ProxyPassMatch,
            "^/x http://farm/x Max=3",
            None,
            "ProxyPassMatch: Max belongs to the member: write it on BalancerMember",
        ),
        (
            ProxyPass,
            "/x http://a.b/ fallback=http://c/",
            None,
            "ProxyPass: fallback is for farms and their members, and http://a.b/ is none",
        ),
        (
            ProxySet,
            "ejectafter=3",
            Some("http://a.b/"),
            "ProxySet: ejectafter is for farms and their members, and http://a.b/ is none",
        ),
        (
            Proxy,
            "http://a.b/ ejectafter=3>",
            None,
            "<Proxy>: ejectafter is for farms and their members, and http://a.b/ is none",
        ),
    ]);
}

#[test]
fn a_member_without_scheme_is_refused() {
    let table = [
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("app01", "http://app01"),
        ("app01:8080/base", "http://app01:8080/base"),
        ("//app01", "http://127.0.0.1:80"),
        ("://app01", "http://127.0.0.1:80"),
        ("http:/app01", "http://127.0.0.1:80"),
    ];
    for (url, example) in table {
        let error = format!("BalancerMember {url}: a member is a URL, for example {example}");
        let outside = format!("balancer://farm {url} route=a");
        assert_eq!(shown(BalancerMember, url, FARM), Err(error.clone()));
        assert_eq!(shown(BalancerMember, &outside, None), Err(error));
    }
}

#[test]
fn directives_have_names() {
    let table = [
        ("balancermember", Some(BalancerMember)),
        ("<PROXY", Some(Proxy)),
        ("ProxyPassMatch", Some(ProxyPassMatch)),
        ("Proxy", None),
        ("<ProxyMatch", None),
        ("ProxyPassReverse", None),
    ];
    for (name, line) in table {
        assert_eq!(Line::from_directive(name), line, "{name}");
    }
}

fn any_line() -> impl Strategy<Value = Line> {
    prop::sample::select(vec![
        BalancerMember,
        ProxySet,
        ProxyPass,
        ProxyPassMatch,
        Proxy,
    ])
}

/// Words as users write them, ours and theirs.
fn any_word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "http://a",
        "balancer://farm",
        "http://farm/x",
        "/x",
        "~",
        "!",
        "nocanon",
        "route=a",
        "lbmethod=x",
        "timeout=5",
        "ejectafter=3",
        "name=n",
        "halflife=\"3\"",
        "'ejecttime=9'",
        "\"retryon=502 503\"",
        "\"a\\\"b\"",
        "k=\"v",
        "maxconn=9",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn any_text_is_safe(line in any_line(), args in any::<String>(), section in any::<Option<String>>()) {
        let _ = take(line, &args, section.as_deref(), farm_of);
    }

    #[test]
    fn nothing_is_lost_and_nothing_reordered(
        line in any_line(),
        words in prop::collection::vec(any_word(), 0..7),
        blank in "[ \t]{1,3}",
    ) {
        let args = words.join(&blank) + if line == Proxy { ">" } else { "" };
        if let Ok(taken) = take(line, &args, Some("balancer://farm"), farm_of) {
            let all = taken.params.len() + taken.for_farm.len();
            if all == 0 {
                prop_assert_eq!(&taken.kept, &args);
            }
            prop_assert_eq!(taken.kept.ends_with('>'), args.ends_with('>'));
            let cut = |text: &str| text.trim_end_matches('>').to_owned();
            let (kept, args) = (cut(&taken.kept), cut(&args));
            let mut kept = split(&kept).peekable();
            // What stands first on these lines is positional, however it looks.
            let positional = matches!(line, ProxyPass | ProxyPassMatch | Proxy);
            let first = word(&args, 0).filter(|_| positional);
            let rest = arguments(&args, first.as_ref().map_or(0, |first| first.next));
            let arguments: Vec<_> = first.into_iter().chain(rest).map(|w| w.text).collect();
            let lost: Vec<_> = arguments.iter().filter(|a| kept.next_if(|k| k == *a).is_none()).collect();
            prop_assert_eq!(kept.next(), None);
            prop_assert_eq!(lost.len(), all);
            for argument in lost {
                let pair = argument.split_once('=').unwrap();
                let is = |(k, v): &(String, String)| (k.as_str(), v.as_str()) == pair;
                prop_assert!(taken.params.iter().chain(&taken.for_farm).any(is));
            }
        }
    }
}

#[test]
fn values_of_a_farms_key() {
    let farm_of = |url: &str| url.contains("farm").then(|| "farm".to_owned());
    for (line, args, section, values) in [
        (
            ProxySet,
            "lbmethod=a timeout=5",
            Some("balancer://farm"),
            &["a"][..],
        ),
        (
            ProxySet,
            "\"LBMethod=a\" lbmethod=b",
            Some("balancer://farm"),
            &["a", "b"],
        ),
        (Proxy, "\"balancer://farm\" lbmethod=a>", None, &["a"]),
        (Proxy, "\"http://farm\" lbmethod=a>", None, &["a"]),
        (ProxyPass, "/x http://farm/x lbmethod=a", None, &["a"]),
        (ProxyPass, "/lbmethod=q balancer://farm/x", None, &[]),
        (ProxyPass, "/x http://host.example/x lbmethod=a", None, &[]),
    ] {
        let taken = take(line, args, section, farm_of).unwrap();
        let native = taken.native(line).into_iter();
        let methods = native.filter(|(key, _)| key.eq_ignore_ascii_case("lbmethod"));
        assert_eq!(
            methods.map(|(_, value)| value).collect::<Vec<_>>(),
            values,
            "{args}"
        );
    }
}

/// What `mod_proxy` knows on any line that speaks of a farm, in any spelling, applies or is refused by
/// name; nothing is set on a worker that no request uses.
#[test]
fn every_key_of_stock_applies_or_is_refused_by_name() {
    let lines = [
        (ProxyPass, "/x http://farm/x ", None, "ProxyPass"),
        (ProxyPass, "/x balancer://farm/x ", None, "ProxyPass"),
        (ProxyPass, "HTTP://Farm:80/x ", X, "ProxyPass"),
        (ProxyPassMatch, "^/x http://farm/x ", None, "ProxyPassMatch"),
        (ProxySet, "http://farm ", None, "ProxySet"),
        (ProxySet, "", FARM, "ProxySet"),
        (Proxy, "http://farm ", None, "<Proxy>"),
        (Proxy, "balancer://farm ", None, "<Proxy>"),
        (BalancerMember, "http://a ", FARM, "BalancerMember"),
    ];
    for key in native::names() {
        for (line, args, section, shown) in lines {
            let members_line = line == BalancerMember;
            let tail = if line == Proxy { ">" } else { "" };
            let taken = take(line, &format!("{args}{key}=1{tail}"), section, farm_of);
            let refused = match (native::whose(key), members_line) {
                (Some(Whose::Farm), true) => Some("belongs to the farm: write it on ProxySet"),
                (Some(Whose::Member), false) => {
                    Some("belongs to the member: write it on BalancerMember")
                }
                _ => None,
            };
            match (taken, refused) {
                (Err(error), Some(why)) => {
                    assert_eq!(error.to_string(), format!("{shown}: {key} {why}"));
                }
                (Ok(taken), None) => {
                    let pair = (key.to_owned(), "1".to_owned());
                    assert_eq!(taken.native(line), [pair], "{line:?} {args} {key}");
                    let as_worker = args.to_ascii_lowercase().starts_with("http") && !members_line
                        || args.contains(" http");
                    assert_eq!(taken.for_farm.len(), usize::from(as_worker), "{args} {key}");
                }
                (taken, _) => panic!("{line:?} {args} {key}: {taken:?}"),
            }
        }
    }
}

#[test]
fn what_nobody_knows_is_not_set_on_a_worker_that_is_not_used() {
    check(&[
        (
            ProxyPass,
            "/x http://farm/x foo=1",
            None,
            "ProxyPass: foo is no parameter of farms",
        ),
        // mod_proxy's own words for it.
        (
            ProxyPass,
            "/x balancer://farm/x foo=1",
            None,
            "/x balancer://farm/x foo=1 ; farm ; - ;  ; ",
        ),
        (
            ProxyPass,
            "/x http://farm/x mapping=encoded nocanon",
            None,
            "/x http://farm/x mapping=encoded nocanon ; farm ; - ;  ; ",
        ),
    ]);
}

#[test]
fn values_are_looked_at_on_lines_of_farms() {
    for (line, args, section, said) in [
        (
            BalancerMember,
            "http://a lbset=100",
            FARM,
            Some("BalancerMember lbset=100: must be a whole number from 0 to 99"),
        ),
        (
            ProxyPass,
            "/x http://farm/x NoFailover=yes",
            None,
            Some("ProxyPass NoFailover=yes: must be On or Off"),
        ),
        (
            Proxy,
            "balancer://farm growth=0>",
            None,
            Some("<Proxy> growth=0: must be a whole number from 1 to 100"),
        ),
        (ProxyPass, "/x http://a.b/ retry=soon", None, None),
        (
            BalancerMember,
            "http://a lbset=99 retry=0 status=+H",
            FARM,
            None,
        ),
    ] {
        let taken = take(line, args, section, farm_of).unwrap();
        let checked = super::check(line, &taken).map_err(|error| error.to_string());
        assert_eq!(checked.err().as_deref(), said, "{args}");
    }
}

#[test]
fn a_parameter_is_lifted_for_the_farm() {
    for (line, args, section, kept) in [
        (
            Line::ProxyPass,
            "/ balancer://farm/ lbmethod=hash timeout=3",
            None,
            "/ balancer://farm/ timeout=3",
        ),
        (
            Line::Proxy,
            "balancer://farm LBMethod=hash>",
            None,
            "balancer://farm>",
        ),
        (Line::ProxySet, "lbmethod=hash", Some("balancer://farm"), ""),
    ] {
        let mut taken = take(line, args, section, farm_of).unwrap();
        taken.lift(line, section, "lbmethod");
        assert_eq!(taken.kept, kept, "{args}");
        let [(key, value)] = taken.for_farm.as_slice() else {
            panic!("{args}: {:?}", taken.for_farm);
        };
        assert!(key.eq_ignore_ascii_case("lbmethod") && value == "hash");
        let before = taken.clone();
        taken.lift(line, section, "lbmethod");
        assert_eq!(taken, before);
    }
}

#[test]
fn a_name_that_a_request_fills_in_is_no_farm() {
    for target in ["balancer://farm$1", "balancer://${farm}/"] {
        let pass = |params: &str| {
            let args = format!("^(/.*)$ {target}{params}");
            take(Line::ProxyPassMatch, &args, None, farm_of)
        };
        assert_eq!(pass(" stickysession=sid").unwrap().farm, None, "{target}");
        let refused = pass(" hashkey=uri").unwrap_err();
        assert!(matches!(refused, LineError::NoFarm { .. }), "{target}");
    }
}
