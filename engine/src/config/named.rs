//! Which farms `NAME` or `NAME@SERVER` means.

/// Those that are meant, of farms with their names and servers. A server is `main`, `HOST:PORT`, or
/// `HOST:PORT#2` where that is not unique. A host alone means every server of that host, unless one has
/// exactly this name.
pub fn farms<T>(
    farms: impl Iterator<Item = T>,
    asked: &str,
    of: impl Fn(&T) -> (&str, &str),
) -> Vec<T> {
    let (name, server) = match asked.split_once('@') {
        Some((name, server)) => (name, Some(server)),
        None => (asked, None),
    };
    let mut found: Vec<T> = farms
        .filter(|farm| of(farm).0.eq_ignore_ascii_case(name))
        .collect();
    let Some(server) = server else {
        return found;
    };
    let whole = |farm: &T| of(farm).1.eq_ignore_ascii_case(server);
    if found.iter().any(whole) {
        found.retain(whole);
    } else {
        found.retain(|farm| host(of(farm).1).eq_ignore_ascii_case(server));
    }
    found
}

/// A server's name without number and port.
fn host(server: &str) -> &str {
    ['#', ':'].iter().fold(server, |name, sign| {
        let digits = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit());
        let parts = name.rsplit_once(*sign);
        parts
            .filter(|(_, rest)| digits(rest))
            .map_or(name, |(host, _)| host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FARMS: &[(&str, &str)] = &[
        ("f", "main"),
        ("f", "shop.example:80"),
        ("f", "shop.example:443"),
        ("f", "shop.example:443#2"),
        ("f", "Www.Example:80"),
        ("f", "[::1]:80"),
        ("f", "bare.example"),
        ("g", "shop.example:80"),
    ];

    fn meant(asked: &str) -> Vec<&'static str> {
        let found = farms(FARMS.iter(), asked, |(name, server)| (name, server));
        found.iter().map(|(_, server)| *server).collect()
    }

    #[test]
    fn a_server_is_meant_by_its_whole_name() {
        assert_eq!(meant("f").len(), 7);
        assert_eq!(meant("F@MAIN"), ["main"]);
        assert_eq!(meant("f@shop.example:443"), ["shop.example:443"]);
        assert_eq!(meant("f@shop.example:443#2"), ["shop.example:443#2"]);
        assert_eq!(meant("f@bare.example"), ["bare.example"]);
    }

    #[test]
    fn or_by_its_host_among_those_that_have_such_a_farm() {
        assert_eq!(meant("g@shop.example"), ["shop.example:80"]);
        assert_eq!(meant("f@www.example"), ["Www.Example:80"]);
        assert_eq!(meant("f@[::1]"), ["[::1]:80"]);
        assert_eq!(meant("f@shop.example").len(), 3);
    }

    #[test]
    fn others_mean_nothing() {
        for asked in ["", "f@", "f@shop", "f@shop.example:8", "h", "f@main@main"] {
            assert!(meant(asked).is_empty(), "{asked}");
        }
    }
}
