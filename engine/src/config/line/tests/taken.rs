//! What is taken off a line, and what is left of it.

use super::*;

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
        (
            ProxyPass,
            "/x http://farm/x nocanon Queue = 3",
            None,
            "ProxyPass: Queue: needs a value, without blanks around the sign: queue=N|off",
        ),
        (
            ProxyPass,
            "/x http://farm/x = 3",
            None,
            "/x http://farm/x = 3 ; farm ; - ;  ; ",
        ),
        (
            BalancerMember,
            "balancer://farm http://a maxconn",
            None,
            "BalancerMember: maxconn: needs a value, without blanks around the sign: maxconn=N|off",
        ),
        (
            ProxySet,
            "queue",
            FARM,
            "ProxySet: queue: needs a value, without blanks around the sign: queue=N|off",
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
