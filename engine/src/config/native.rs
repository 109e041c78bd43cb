//! The parameters of `mod_proxy` itself (httpd, `modules/proxy/mod_proxy.c`: `set_worker_param`,
//! `set_balancer_param`, and `mod_proxy_hcheck.c`: `set_worker_hc_param`): whose they are, needed
//! where a farm is written `http://NAME` and `mod_proxy` sees a worker; and what is allowed, where
//! `mod_proxy` takes `lbset=abc` for 0, cuts what is too long, or refuses without naming the key.

use super::param::Whose;
use super::value::{self, Must};
use crate::board::values::{LBSET_MAX, ROUTE_MAX};

/// One parameter.
struct Key {
    name: &'static str,
    whose: Whose,
    check: fn(&str) -> Result<(), Must>,
}

/// Every parameter. [`any`] where `mod_proxy`'s own reading leaves nothing to say.
#[rustfmt::skip]
const KEYS: &[Key] = &[
    farms("stickysession", |text| value::bytes(text, NAME_MAX)),
    farms("stickysessionsep", any),
    farms("nofailover", on_off),
    farms("maxattempts", |text| number(text, 0, 1000)),
    farms("lbmethod", any),
    farms("scolonpathdelim", on_off),
    farms("failonstatus", value::statuses),
    farms("failontimeout", on_off),
    farms("nonce", |text| value::bytes(text, NONCE_MAX)),
    farms("growth", |text| number(text, 1, 100)),
    farms("forcerecovery", on_off),
    both("timeout", |text| seconds(text, 1)),
    members("loadfactor", |text| value::decimal(text, 1, 100)),
    members("retry", |text| seconds(text, 0)),
    members("ttl", |text| seconds(text, 1)),
    members("min", connections),
    members("max", connections),
    members("smax", connections),
    members("acquire", any),
    members("iobuffersize", bytes),
    members("receivebuffersize", receive_buffer),
    members("keepalive", on_off),
    members("disablereuse", on_off),
    members("enablereuse", on_off),
    members("addressttl", any),
    members("route", |text| value::bytes(text, ROUTE_MAX)),
    members("redirect", |text| value::bytes(text, ROUTE_MAX)),
    members("status", status),
    members("flushpackets", any),
    members("flushwait", |text| number(text, 0, 1000)),
    members("ping", any),
    members("lbset", |text| number(text, 0, LBSET_MAX)),
    members("connectiontimeout", any),
    members("flusher", any),
    members("upgrade", any),
    members("responsefieldsize", bytes),
    members("secret", any),
    members("hctemplate", any),
    members("hcmethod", any),
    members("hcinterval", any),
    members("hcpasses", |text| number(text, 0, 1000)),
    members("hcfails", |text| number(text, 0, 1000)),
    members("hcuri", any),
    members("hcexpr", any),
];

/// Longest name of a session (httpd: `PROXY_BALANCER_MAX_STICKY_SIZE` and its NUL).
const NAME_MAX: usize = 63;
/// A UUID's length (`APR_UUID_FORMATTED_LENGTH`).
const NONCE_MAX: usize = 36;
/// A year, in seconds: nobody waits longer on purpose.
const YEAR: u32 = 31_536_000;

const fn farms(name: &'static str, check: fn(&str) -> Result<(), Must>) -> Key {
    let whose = Whose::Farm;
    Key { name, whose, check }
}

const fn members(name: &'static str, check: fn(&str) -> Result<(), Must>) -> Key {
    let whose = Whose::Member;
    Key { name, whose, check }
}

const fn both(name: &'static str, check: fn(&str) -> Result<(), Must>) -> Key {
    let whose = Whose::Both;
    Key { name, whose, check }
}

/// Whose key of `mod_proxy` this is, compared without case; `None`: `mod_proxy` has no such key.
pub fn whose(key: &str) -> Option<Whose> {
    find(key).map(|key| key.whose)
}

/// Whether a value is one that its key can have; keys that `mod_proxy` does not have are left to it.
///
/// # Errors
/// What is allowed.
pub fn check(key: &str, text: &str) -> Result<(), Must> {
    find(key).map_or(Ok(()), |key| (key.check)(text))
}

/// Every key.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name)
}

fn find(key: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|known| known.name.eq_ignore_ascii_case(key))
}

#[expect(clippy::unnecessary_wraps, reason = "one check among others")]
fn any(_: &str) -> Result<(), Must> {
    Ok(())
}

fn on_off(text: &str) -> Result<(), Must> {
    value::on_off(text).map(drop)
}

fn number(text: &str, least: u32, most: u32) -> Result<(), Must> {
    value::number(text, least..=most).map(drop)
}

fn seconds(text: &str, least: u32) -> Result<(), Must> {
    value::seconds(text, least.into()..=YEAR.into()).map(drop)
}

fn connections(text: &str) -> Result<(), Must> {
    number(text, 0, 1_000_000)
}

fn bytes(text: &str) -> Result<(), Must> {
    number(text, 0, 1 << 30)
}

fn receive_buffer(text: &str) -> Result<(), Must> {
    let least = || number(text, 512, 1 << 30).map_err(|must| format!("{must}, or 0"));
    number(text, 0, 0).or_else(|_| least())
}

/// State letters, each with a sign of its own or that of the one before.
fn status(text: &str) -> Result<(), Must> {
    const LETTERS: &str = "DSIHENRC";
    let letters = text.split(['+', '-']).enumerate().all(|(at, letters)| {
        // A sign before the first letter, none without a letter behind it.
        (at == 0 || !letters.is_empty())
            && letters
                .chars()
                .all(|letter| LETTERS.contains(letter.to_ascii_uppercase()))
    });
    if letters && !text.is_empty() {
        return Ok(());
    }
    Err(
        "must be letters of D (disabled), S (stopped), I (ignore errors), H (hot standby), \
         E (in error), N (draining), R (hot spare) and C (health check failed), with + or - before \
         them"
            .to_owned(),
    )
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
        for key in KEYS {
            assert_eq!(param::whose(key.name), None, "{}", key.name);
        }
    }
    #[test]
    fn what_stock_takes_in_earnest_is_allowed() {
        for (key, values) in [
            ("loadfactor", &["1", "1.5", "100", "100.00", "01", "2."][..]),
            ("retry", &["0", "60"]),
            ("timeout", &["1", "31536000"]),
            ("lbset", &["0", "99"]),
            ("max", &["0", "200"]),
            ("status", &["D", "+D", "-E", "+D-I", "+hi", "HR", "+N+r"]),
            ("failonstatus", &["500", "500,503", "500, 503", "599"]),
            ("stickysession", &["", "JSESSIONID|jsessionid"]),
            ("NoFailover", &["on", "Off"]),
            ("acquire", &["500ms", "whatever"]),
            ("multipathtcp", &["On", "whatever"]),
        ] {
            for value in values {
                assert_eq!(check(key, value), Ok(()), "{key}={value}");
            }
        }
    }

    #[test]
    fn what_stock_takes_for_something_else_is_not() {
        let long = "x".repeat(64);
        for (key, values) in [
            (
                "loadfactor",
                &["0", "0.99", "100.1", "1e1", "2x", "x", "", "-1", ".", "nan"][..],
            ),
            (
                "retry",
                &["-1", "500ms", "abc", "", "31536001", "99999999999"],
            ),
            ("timeout", &["0", "1s", "99999999999"]),
            ("lbset", &["-1", "100", "abc", "1.5", ""]),
            ("max", &["10k", "-1", "1000001"]),
            ("status", &["", "+", "+X", "D+", "+-D", "D,S", "+O"]),
            (
                "failonstatus",
                &["", "abc", "99", "600", "500x", "5xx", ","],
            ),
            ("stickysession", &[long.as_str()]),
            ("route", &[long.as_str()]),
            ("nofailover", &["yes", ""]),
        ] {
            for value in values {
                assert!(check(key, value).is_err(), "{key}={value}");
            }
        }
        assert_eq!(
            check("lbset", "100").unwrap_err(),
            "must be a whole number from 0 to 99"
        );
    }
}
