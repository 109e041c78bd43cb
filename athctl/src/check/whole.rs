//! What shows only when all lines are read: farms that refer to each other, members that share a name,
//! parameters that need another. The module finds the same before httpd starts.

use std::collections::BTreeSet;

use athena_engine::config::forward::{Forward, circle};

use super::farms::{Farm, Findings, find};
use super::lines::Place;

/// Adds to the findings what is refused.
pub fn check(findings: &mut Findings) {
    let farms = &findings.farms;
    let mut refused: Vec<_> = farms.iter().flat_map(of_farm).collect();
    let edges: Vec<Vec<usize>> = farms
        .iter()
        .map(|farm| {
            let to = forwards(farm).map(|name| known(farms, farm, &name).ok_or(name));
            to.filter_map(|to| {
                to.map_err(|name| refused.push((farm.place.clone(), nowhere(farm, &name))))
                    .ok()
            })
            .collect()
        })
        .collect();
    if let Some(way) = circle(&edges) {
        let way: Vec<&Farm> = way.iter().filter_map(|at| farms.get(*at)).collect();
        let names: Vec<&str> = way.iter().map(|farm| farm.name.as_str()).collect();
        if let Some(first) = way.first() {
            let why = format!("farms forward in a circle: {}", names.join(" to "));
            refused.push((first.place.clone(), why));
        }
    }
    findings.refused.extend(refused);
}

/// The farms that requests of a farm or its members go on at.
fn forwards(farm: &Farm) -> impl Iterator<Item = String> {
    let members = farm.members.iter().map(|member| &member.params);
    let values = members
        .chain([&farm.params])
        .filter_map(|params| find(params, "forward"));
    values.filter_map(|value| match Forward::read(value) {
        Ok(Forward::Farm(name)) => Some(name),
        _ => None,
    })
}

/// A server's own farm of that name, or else the main server's.
fn known(farms: &[Farm], from: &Farm, name: &str) -> Option<usize> {
    let of = |server: &str| {
        let named = |farm: &Farm| farm.name == name && farm.server == server;
        farms.iter().position(named)
    };
    of(&from.server).or_else(|| of("main"))
}

fn nowhere(farm: &Farm, name: &str) -> String {
    format!(
        "farm {}: forward={name}: there is no farm of this name",
        farm.name
    )
}

fn of_farm(farm: &Farm) -> Vec<(Place, String)> {
    let mut refused = Vec::new();
    if farm.param("lbmethod") == Some("stats") && farm.param("score").is_none() {
        refused.push("lbmethod=stats needs score=FORMULA".to_owned());
    }
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
                "ProxySet lbmethod=stats",
                "",
                "farm a: lbmethod=stats needs score",
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
            ("BalancerMember http://m name=x", b),
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
