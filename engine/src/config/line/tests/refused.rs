//! What is refused, by name.

use super::*;

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
        let checked = super::super::check(line, &taken).map_err(|error| error.to_string());
        assert_eq!(checked.err().as_deref(), said, "{args}");
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
        let refused = pass(" hashkey=uri").unwrap_err().to_string();
        assert!(refused.ends_with(" is none"), "{refused}");
    }
}
