//! What shows only when all lines are read: farms that refer to each other, members that share a name,
//! parameters that need another. The module finds the same before httpd starts.

use std::collections::BTreeSet;

use athena_engine::config::farms::Farms;
use athena_engine::config::forward::{self, Forward};

use super::farms::{Farm, Findings, find};
use super::lines::Place;

/// Adds to the findings what is refused.
pub fn check(findings: &mut Findings) {
    let farms = &findings.farms;
    let servers: BTreeSet<&str> = farms.iter().map(|farm| farm.server.as_str()).collect();
    let forwards = servers
        .into_iter()
        .filter_map(|server| forwards(farms, server));
    let refused: Vec<_> = farms.iter().flat_map(of_farm).chain(forwards).collect();
    findings.refused.extend(refused);
}

/// What is wrong with where the farms that a server reaches forward to, if the first one is its own.
fn forwards(farms: &[Farm], server: &str) -> Option<(Place, String)> {
    let own = |farm: &&Farm| farm.server == server;
    let inherited = |farm: &&Farm| {
        let named = |other: &Farm| other.server == server && other.name == farm.name;
        farm.server == "main" && !farms.iter().any(named)
    };
    let reached = || farms.iter().filter(|farm| own(farm) || inherited(farm));
    let named = reached().map(|farm| (farm.name.clone(), farm.declared, farm));
    let wrong = forward::check(&Farms::new(named), |farm| said(farm)).err()?;
    let says_it = |farm: &&Farm| own(farm) && wrong.farms.contains(&farm.name);
    Some((reached().find(says_it)?.place.clone(), wrong.reason))
}

/// What a farm and its members say.
fn said(farm: &Farm) -> Vec<Forward> {
    let members = farm.members.iter();
    let values = members.filter_map(|member| find(&member.params, "forward"));
    let values = values.chain(farm.param("forward"));
    values
        .filter_map(|value| Forward::read(value).ok())
        .collect()
}

fn of_farm(farm: &Farm) -> Vec<(Place, String)> {
    let has = |key| farm.param(key).is_some();
    let issues = farm.says("stickyissue", "on");
    let reads = has("routeregex") && !farm.says("routeregex", "none");
    let needs = [
        (
            farm.param("lbmethod") == Some("stats") && !has("score"),
            "lbmethod=stats needs score=FORMULA",
        ),
        (
            has("stickyattrs") && !issues,
            "stickyattrs needs stickyissue=On",
        ),
        (
            issues && !has("stickysession"),
            "stickyissue=On needs stickysession=NAME",
        ),
        (
            reads && !has("stickysession"),
            "routeregex needs stickysession=NAME",
        ),
    ];
    let missing = needs.iter().filter(|(is_missing, _)| *is_missing);
    let mut refused: Vec<_> = missing.map(|(_, why)| (*why).to_owned()).collect();
    let mut names = BTreeSet::new();
    for member in &farm.members {
        if let Some(name) = find(&member.params, "name")
            && !names.insert(name)
        {
            refused.push(format!("name={name}: must be one member's alone"));
        }
        refused.extend(split_route(
            farm,
            find(&member.params, "route").unwrap_or_default(),
        ));
    }
    let farm_said = |why| (farm.place.clone(), format!("farm {}: {why}", farm.name));
    refused.into_iter().map(farm_said).collect()
}

/// A route that holds what separates it from the session's id.
fn split_route(farm: &Farm, route: &str) -> Option<String> {
    let reads_all = farm.param("stickysession").is_none() || farm.param("routeregex").is_some();
    let separator = farm.param("stickysessionsep").unwrap_or(".");
    let off = separator.eq_ignore_ascii_case("off");
    let separator = separator.chars().next().filter(|_| !off && !reads_all)?;
    route.contains(separator).then(|| {
        format!("route={route} holds '{separator}', which separates it from the session's id")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::farms::read;
    use super::super::lines::{Kind, parse};

    fn refused(farm: &str, more: &str) -> Vec<String> {
        let text = format!("<Proxy balancer://a>\n{farm}\n</Proxy>\n{more}");
        let found = read(parse(&text, Path::new("f"), Kind::File));
        found.refused.into_iter().map(|(_, why)| why).collect()
    }

    #[test]
    fn what_only_shows_in_the_whole() {
        let b = "<Proxy balancer://b>\nBalancerMember http://n forward=a\n</Proxy>";
        for (farm, more, why) in [
            (
                "ProxySet forward=c",
                "",
                "farm a: forward=c: there is no farm",
            ),
            ("ProxySet forward=b", b, "in a circle: a to b to a"),
            (
                "ProxySet forward=http://b.c/",
                "AthFarm b.c http://n",
                "forward=http://b.c/: this is a farm",
            ),
            (
                "ProxySet lbmethod=stats",
                "",
                "farm a: lbmethod=stats needs score",
            ),
            (
                "ProxySet stickysession=s stickyattrs=Path=/",
                "",
                "farm a: stickyattrs needs stickyissue=On",
            ),
            (
                "ProxySet stickyissue=On stickyattrs=Path=/",
                "",
                "farm a: stickyissue=On needs stickysession=NAME",
            ),
            (
                "ProxySet routeregex=(.)",
                "",
                "farm a: routeregex needs stickysession=NAME",
            ),
            (
                "BalancerMember http://m:1 name=x\nBalancerMember http://m:2 name=x",
                "",
                "farm a: name=x: must be one member's",
            ),
            (
                "BalancerMember http://m route=a.b\nProxySet stickysession=s",
                "",
                "farm a: route=a.b holds '.'",
            ),
        ] {
            let said = refused(farm, more);
            assert!(said.len() == 1 && said[0].contains(why), "{farm}: {said:?}");
        }
    }

    #[test]
    fn what_is_right() {
        let b = "<Proxy balancer://b>\nBalancerMember http://n name=x\n</Proxy>";
        for (farm, more) in [
            ("ProxySet forward=b", b),
            ("ProxySet forward=https://elsewhere/", ""),
            // A farm as balancer:// only, and a host of the same name.
            (
                "ProxySet forward=http://b.c/",
                "<Proxy balancer://b.c>\nBalancerMember http://n\n</Proxy>",
            ),
            ("BalancerMember http://m name=x", b),
            ("ProxySet stickyissue=Off routeregex=None", ""),
            (
                "ProxySet stickysession=s stickyissue=on stickyattrs=Path=/",
                "",
            ),
            ("BalancerMember http://m route=a.b", ""),
            (
                "BalancerMember http://m route=a.b\nProxySet stickysession=s stickysessionsep=-",
                "",
            ),
            (
                "BalancerMember http://m route=a.b\nProxySet stickysession=s stickysessionsep=Off",
                "",
            ),
        ] {
            assert_eq!(refused(farm, more), [] as [String; 0], "{farm}");
        }
    }
}
