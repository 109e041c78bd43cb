mod hostile;
mod refused;
mod taken;

use super::*;
use crate::config::target::Target;

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
