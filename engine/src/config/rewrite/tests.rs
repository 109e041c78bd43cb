use super::*;
use crate::config::line::{Line, take};
use proptest::prelude::*;

/// As a configuration file would have it.
fn text(plain: &[Plain]) -> String {
    let line = |Plain {
                    name,
                    args,
                    children,
                }: &Plain| match name.strip_prefix('<') {
        None => format!("{name} {args}"),
        Some(section) => format!("{name} {args}\n{}</{section}>", text(children)),
    };
    plain.iter().map(|p| line(p) + "\n").collect()
}

type Rewrite = fn(&str) -> Result<Vec<Plain>, RewriteError>;

#[test]
fn lines_become_mod_proxys() {
    let table: &[(Rewrite, &str, &str)] = &[
        (
            ath_farm,
            "Farm_One http://a:8080 'unix:/s|http://b/' lbmethod=leasttime EjectAfter=3",
            "<Proxy \"balancer://farm_one\">\n\
             BalancerMember \"http://a:8080\"\n\
             BalancerMember \"unix:/s|http://b/\"\n\
             ProxySet \"lbmethod=leasttime\" \"EjectAfter=3\"\n\
             </Proxy>\n",
        ),
        (
            ath_farm,
            "shop.example retryon=\"502, 503\" timeout=5 maxconn=9 nonce=\\\"",
            "<Proxy \"balancer://shop.example\">\n\
             ProxySet \"retryon=502, 503\" \"timeout=5\" \"maxconn=9\" \"nonce=\\\\\\\"\"\n\
             </Proxy>\n",
        ),
        (
            lb_server_cluster,
            " cluster1 http://down1:81/ ",
            "<Proxy \"balancer://cluster1\">\nBalancerMember \"http://down1:81/\"\n</Proxy>\n",
        ),
        (
            lb_proxy_pass,
            "/snoop c",
            "ProxyPass \"/snoop\" \"balancer://c/snoop\"\n",
        ),
        (lb_proxy_pass, "/ C", "ProxyPass \"/\" \"balancer://c/\"\n"),
        (
            lb_proxy_pass,
            "\"/a b/\" c",
            "ProxyPass \"/a b/\" \"balancer://c/a b/\"\n",
        ),
    ];
    for (rewrite, args, expected) in table {
        assert_eq!(
            rewrite(args).map(|p| text(&p)).as_deref(),
            Ok(*expected),
            "{args}"
        );
    }
}

/// A rewriting, its arguments, the refusal.
type Row<'a> = (Rewrite, &'a str, &'a str);

fn check(table: &[Row<'_>]) {
    for (rewrite, args, error) in table {
        let refused = rewrite(args).map_err(|e| e.to_string());
        assert_eq!(refused, Err((*error).to_owned()), "{args}");
    }
}

#[test]
fn what_is_missing_or_too_many_is_said() {
    let form = |line: &str| match line {
        "AthFarm" => "AthFarm NAME URL [URL...] [key=value...]",
        "LBServerCluster" => "LBServerCluster NAME URL",
        _ => "LBProxyPass PATH NAME",
    };
    let table: &[(Rewrite, &str, &str, &str)] = &[
        (ath_farm, "", "AthFarm", "the name of the farm is missing"),
        (ath_farm, "f", "AthFarm", "the URL of a member is missing"),
        (
            lb_server_cluster,
            "",
            "LBServerCluster",
            "the name of the farm is missing",
        ),
        (
            lb_server_cluster,
            "c",
            "LBServerCluster",
            "the URL of a member is missing",
        ),
        (
            lb_server_cluster,
            "c http://a x",
            "LBServerCluster",
            "x is one too many",
        ),
        (lb_proxy_pass, " ", "LBProxyPass", "the path is missing"),
        (
            lb_proxy_pass,
            "/x",
            "LBProxyPass",
            "the name of the farm is missing",
        ),
        (
            lb_proxy_pass,
            "/x c retry=0",
            "LBProxyPass",
            "retry=0 is one too many",
        ),
    ];
    for (rewrite, args, line, what) in table {
        check(&[(
            *rewrite,
            args,
            &format!("{line}: {what}: write {}", form(line)),
        )]);
    }
}

#[test]
fn names_that_no_farm_can_have_are_refused() {
    let rule = "a farm's name has 1 to 64 letters, digits, '.', '-' or '_', \
                begins with a letter or digit, and is neither an address nor localhost";
    let long = "n".repeat(65);
    for name in [
        "http://a",
        "a@b",
        &long,
        "10.0.0.1",
        "localhost",
        "lbmethod=x",
        "-a",
        "ä",
    ] {
        check(&[
            (
                ath_farm,
                &format!("{name} http://a"),
                &format!("AthFarm {name}: {rule}"),
            ),
            (
                lb_server_cluster,
                &format!("{name} http://a"),
                &format!("LBServerCluster {name}: {rule}"),
            ),
            (
                lb_proxy_pass,
                &format!("/x {name}"),
                &format!("LBProxyPass {name}: {rule}"),
            ),
        ]);
    }
}

#[test]
fn bad_members_and_misplaced_parameters_are_refused() {
    let members = "belongs to the member: write it on BalancerMember";
    check(&[
        (
            ath_farm,
            "f http://a b:80",
            "AthFarm f: b:80: a member is a URL, for example http://127.0.0.1:80",
        ),
        (
            lb_server_cluster,
            "c b",
            "LBServerCluster c: b: a member is a URL, for example http://127.0.0.1:80",
        ),
        (
            ath_farm,
            "f http://a https:///x",
            "AthFarm f: https:///x: a member is a URL, for example http://127.0.0.1:80",
        ),
        (
            ath_farm,
            "f http://a/?b=c",
            "AthFarm f: http://a/?b=c: a member's URL cannot hold '='",
        ),
        (
            ath_farm,
            "f http://a route=x",
            &format!("AthFarm f: route {members}"),
        ),
        (
            ath_farm,
            "f http://a Name=x",
            &format!("AthFarm f: Name {members}"),
        ),
        (
            ath_farm,
            "f http://a speed=9",
            "AthFarm f: speed is no parameter of farms",
        ),
        (
            ath_farm,
            "f queue=x",
            "AthFarm f: queue=x: must be a whole number from 1 to 60000, or off",
        ),
        (
            ath_farm,
            "f timeout=0",
            "AthFarm f: timeout=0: must be a whole number of seconds from 1 to 31536000",
        ),
        (
            lb_proxy_pass,
            "c /x",
            "LBProxyPass c: the path must begin with /",
        ),
    ]);
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn any_text_is_safe_and_what_comes_out_goes_in(args in "[ -~]{0,40}") {
        for rewrite in [ath_farm as Rewrite, lb_server_cluster, lb_proxy_pass] {
            for plain in rewrite(&args).into_iter().flatten() {
                let Plain { args, children, .. } = plain;
                prop_assert!(take(Line::Proxy, &args, None, |_| None).is_ok());
                for child in children {
                    let Plain { name, args, .. } = child;
                    let line = Line::from_directive(name).unwrap();
                    prop_assert!(take(line, &args, Some("balancer://f"), |_| None).is_ok());
                }
            }
        }
    }
}
