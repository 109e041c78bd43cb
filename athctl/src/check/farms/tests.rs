use std::path::Path;

use super::super::lines::{Kind, parse};
use super::*;

fn findings(text: &str) -> Findings {
    read(parse(text, Path::new("f"), Kind::File))
}

#[test]
fn farms_members_and_the_roads_to_them() {
    let found = findings(
        "AthEngine On\n<Proxy balancer://A>\nBalancerMember http://m:1 route=a slowstart=3\n\
         ProxySet lbmethod=leasttime ejectafter=3\n</Proxy>\nAthFarm b.c http://n:1\n\
         <VirtualHost *>\nServerName v\nProxyPass /a http://a/ nofailover=On\n\
         RewriteRule ^ http://b.c/ [P]\nRewriteRule ^ http://a/\n</VirtualHost>\n",
    );
    assert!(found.engine && found.refused.is_empty() && found.ignored.is_empty());
    let [a, b] = found.farms.as_slice() else {
        panic!("{:?}", found.farms)
    };
    assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b.c"));
    assert_eq!(find(&a.members[0].params, "slowstart"), Some("3"));
    assert_eq!(a.param("ejectafter"), Some("3"));
    assert_eq!(a.param("nofailover"), Some("On"));
    assert_eq!((a.roads.len(), b.roads.len()), (1, 1));
    assert_eq!(a.roads[0].place.line, 9);
}

#[test]
fn what_is_refused() {
    let table = [
        ("AthTrust 10.0.0.0/8 nets", 1, "AthTrust"),
        ("AthQos gold", 1, "AthQos gold"),
        ("AthEngine Maybe", 1, "AthEngine Maybe: must be On or Off"),
        ("AthAllowDiverseMulti 1", 1, "must be On or Off"),
        ("AthCookieMode seal", 1, "must be pass or wrap"),
        ("AthCookieKey k", 1, "takes two arguments"),
        ("AthMaxEmbed 0", 1, "from 1 to 1000"),
        ("AthPath x", 1, "must be none, or a path"),
        (
            "<VirtualHost *>\nAthEngine On\n</VirtualHost>",
            2,
            "cannot occur within <VirtualHost>",
        ),
        (
            "<Location /a>\nAthTrust all\n</Location>",
            2,
            "AthTrust not allowed here",
        ),
        (
            "<If \"1\">\nAthFarm a http://m\n</If>",
            2,
            "AthFarm not allowed here",
        ),
        (
            "<Proxy balancer://a\n</Proxy>",
            1,
            "<Proxy> directive missing closing '>'",
        ),
        ("AthMemberAllow what/", 1, "AthMemberAllow"),
        (
            "<Proxy balancer://a>\nBalancerMember http://m\n</Proxy>\nProxyPass / Balancer://A:8080/",
            4,
            "a farm takes no port, and each request would be refused (403): write balancer://a/",
        ),
        (
            "<Proxy balancer://a>\nBalancerMember http://m\n</Proxy>\nRewriteRule ^ balancer://u@a/ [P]",
            4,
            "a farm takes no user",
        ),
        (
            "<Proxy balancer://a>\nBalancerMember http://m:1\nBalancerMember http://m:1/b maxconn=1\n</Proxy>",
            3,
            "http://m:1/b: mod_proxy takes it for http://m:1,",
        ),
        (
            "<Proxy balancer://a>\nBalancerMember m:1\n</Proxy>",
            2,
            "a member is a URL",
        ),
        (
            "<Proxy balancer://a>\nBalancerMember http://m lbset=abc\n</Proxy>",
            2,
            "lbset=abc",
        ),
        (
            "<Proxy balancer://a>\nBalancerMember http://m fallback=x\n</Proxy>",
            2,
            "ProxySet",
        ),
        (
            "<Proxy balancer://a>\nProxySet ejectafter=0\n</Proxy>",
            2,
            "ejectafter=0",
        ),
        (
            "<Proxy balancer://a>\nProxySet maxconn=x\n</Proxy>",
            2,
            "maxconn=x",
        ),
        ("ProxyPass /x http://h/ ejectafter=2", 1, "h/ is none"),
        ("AthFarm 10.0.0.1 http://m", 1, "a farm's name"),
        (
            "<Proxy balancer://a>\nBalancerMember http://m\n</Proxy>\n<VirtualHost *>\n\
             <Proxy balancer://a>\nBalancerMember http://n\n</Proxy>\n</VirtualHost>",
            5,
            "is inherited",
        ),
    ];
    for (text, line, word) in table {
        let found = findings(text);
        let [(place, why)] = found.refused.as_slice() else {
            panic!("{text}: {:?}", found.refused)
        };
        assert_eq!(place.line, line, "{text}");
        assert!(why.contains(word), "{why}");
    }
}

#[test]
fn what_leads_nowhere() {
    let found = findings(
        "<Proxy balancer://a>\nBalancerMember http://m\n</Proxy>\nProxyPass /a http://a:8080/\n\
         ProxyPass /b http://bb/\nProxyPass /c http://www.example.com/\n",
    );
    let places: Vec<_> = found.ignored.iter().map(|(place, _)| place.line).collect();
    assert_eq!(places, [4, 5]);
}

#[test]
fn a_member_that_mod_proxy_passes_over_is_none() {
    let found = findings(
        "<Proxy balancer://a>\nBalancerMember http://m:1\nBalancerMember http://m:1/b route=b\n\
         AthParams BalancerMember a http://m:1/b\nBalancerMember http://m:12\n</Proxy>\n",
    );
    let [farm] = found.farms.as_slice() else {
        panic!("{:?}", found.farms)
    };
    let urls: Vec<_> = farm
        .members
        .iter()
        .map(|member| member.url.as_str())
        .collect();
    assert_eq!(urls, ["http://m:1", "http://m:12"]);
    let [(place, why)] = found.ignored.as_slice() else {
        panic!("{:?}", found.ignored)
    };
    assert_eq!(place.line, 3);
    assert!(
        why.contains("takes it for http://m:1, which stands before it"),
        "{why}"
    );
    assert!(found.refused.is_empty() && farm.param("route").is_none());
}

#[test]
fn a_macro_stands_where_it_is_used() {
    let found = findings("<Macro m>\nAthMaxEmbed 9\n</Macro>\n");
    assert!(found.refused.is_empty(), "{:?}", found.refused);
}

#[test]
fn virtual_hosts_of_one_name_are_two() {
    let host =
        "<VirtualHost *:80>\nServerName v\nBalancerMember balancer://a http://m\n</VirtualHost>\n";
    let found = findings(&host.repeat(2));
    let titles: Vec<_> = found.farms.iter().map(Farm::title).collect();
    assert_eq!(titles, ["a@v:80", "a@v:80#2"]);
    assert!(found.farms.iter().all(|farm| farm.members.len() == 1));
}

#[test]
fn what_a_loaded_module_has_taken_is_there() {
    let found = findings(
        "<Proxy balancer://a>\nBalancerMember http://m\nAthParams BalancerMember a http://m \
         \"slowstart=3\"\nAthParams Proxy a \"\" \"ejectafter=2\"\n</Proxy>",
    );
    assert_eq!(
        find(&found.farms[0].members[0].params, "slowstart"),
        Some("3")
    );
    assert_eq!(found.farms[0].param("ejectafter"), Some("2"));
}
