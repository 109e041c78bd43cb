//! The keys of `mod_proxy` itself (httpd, `modules/proxy/mod_proxy.c`: `set_worker_param`,
//! `set_balancer_param`, and `mod_proxy_hcheck.c`: `set_worker_hc_param`), needed where a farm is
//! written `http://NAME`: there `mod_proxy` sees a worker and would read them as a worker's.

use super::param::Whose;

/// What `ProxySet` takes on a balancer.
const BALANCER: &[&str] = &[
    "stickysession",
    "stickysessionsep",
    "nofailover",
    "timeout",
    "maxattempts",
    "lbmethod",
    "scolonpathdelim",
    "failonstatus",
    "failontimeout",
    "nonce",
    "growth",
    "forcerecovery",
];

/// What `BalancerMember` takes.
const WORKER: &[&str] = &[
    "loadfactor",
    "retry",
    "ttl",
    "min",
    "max",
    "smax",
    "acquire",
    "timeout",
    "iobuffersize",
    "receivebuffersize",
    "keepalive",
    "disablereuse",
    "enablereuse",
    "addressttl",
    "route",
    "redirect",
    "status",
    "flushpackets",
    "flushwait",
    "ping",
    "lbset",
    "connectiontimeout",
    "flusher",
    "upgrade",
    "responsefieldsize",
    "secret",
    "hctemplate",
    "hcmethod",
    "hcinterval",
    "hcpasses",
    "hcfails",
    "hcuri",
    "hcexpr",
];

/// Whose key of `mod_proxy` this is, compared without case; `None`: `mod_proxy` has no such key.
pub fn whose(key: &str) -> Option<Whose> {
    let among = |keys: &[&str]| keys.iter().any(|k| k.eq_ignore_ascii_case(key));
    match (among(BALANCER), among(WORKER)) {
        (true, true) => Some(Whose::Both),
        (true, false) => Some(Whose::Farm),
        (false, true) => Some(Whose::Member),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::param;

    #[test]
    fn keys_have_owners() {
        let table = [
            ("lbmethod", Some(Whose::Farm)),
            ("StickySession", Some(Whose::Farm)),
            ("timeout", Some(Whose::Both)),
            ("RETRY", Some(Whose::Member)),
            ("hcmethod", Some(Whose::Member)),
            ("fallback", None),
            ("", None),
        ];
        for (key, owner) in table {
            assert_eq!(whose(key), owner, "{key}");
        }
    }

    #[test]
    fn no_key_of_ours_is_one_of_theirs() {
        for key in BALANCER.iter().chain(WORKER) {
            assert_eq!(param::whose(key), None, "{key}");
        }
    }
}
