//! The farms that a server can reach, found by the names in proxy URLs at the same cost among one and a
//! thousand. Every proxied request asks, and most of them go to no farm: that costs them a look at the
//! host's first byte.

use rustc_hash::FxHashMap;

use super::target::{self, Target, is_scheme};

/// Something for each farm, by the farm's name.
#[derive(Debug)]
pub struct Farms<T> {
    /// In the order of their names.
    all: Vec<Known<T>>,
    /// Their places there, by name.
    places: FxHashMap<Box<[u8]>, usize>,
    /// What the names begin with ([`initial`]).
    initials: u32,
}

#[derive(Debug)]
struct Known<T> {
    name: String,
    /// Or else as `balancer://` alone.
    under_any_scheme: bool,
    farm: T,
}

impl<T> Farms<T> {
    /// From lower-case names, each with whether `AthFarm` or `LBServerCluster` declared it.
    pub fn new(farms: impl IntoIterator<Item = (String, bool, T)>) -> Self {
        let mut all: Vec<Known<T>> = farms
            .into_iter()
            .map(|(name, declared, farm)| Known {
                under_any_scheme: declared || !name.contains('.'),
                name,
                farm,
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        let places = all
            .iter()
            .enumerate()
            .map(|(place, known)| (known.name.as_bytes().into(), place))
            .collect();
        let initials = all
            .iter()
            .filter_map(|known| known.name.bytes().next())
            .fold(0, |initials, first| initials | initial(first));
        Self {
            all,
            places,
            initials,
        }
    }

    /// Under another scheme than `balancer` that name is another host's.
    pub fn leave_to_others(&mut self, name: &str) {
        let place = self.places.get(name.as_bytes());
        if let Some(known) = place.and_then(|place| self.all.get_mut(*place)) {
            known.under_any_scheme = false;
        }
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Each with its name, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.all
            .iter()
            .map(|known| (known.name.as_str(), &known.farm))
    }

    /// The farm of that name.
    pub fn named(&self, name: &str) -> Option<&T> {
        self.known(name.as_bytes()).map(|known| &known.farm)
    }

    /// Whether that name is a farm's under any scheme, even with a dot in it.
    pub fn is_declared(&self, name: &str) -> bool {
        self.known(name.as_bytes())
            .is_some_and(|known| known.under_any_scheme)
    }

    /// The farm that a proxy URL names ([`super::target::farm_name`]), and the URL behind name and port.
    pub fn find<'u>(&self, url: &'u [u8]) -> Option<(&T, &'u [u8])> {
        if let Some(host) = url.strip_prefix(b"http://") {
            return self.find_host(host);
        }
        let colon = url.iter().position(|&b| b == b':')?;
        let (scheme, rest) = url.split_at_checked(colon)?;
        let rest = rest.strip_prefix(b"://")?;
        let found = self.behind(scheme, rest, || Target::parse(url))?;
        is_scheme(scheme).then_some(found)
    }

    /// The same of an `http` URL without `http://`.
    pub fn find_host<'u>(&self, host: &'u [u8]) -> Option<(&T, &'u [u8])> {
        self.behind(b"http", host, || Target::behind_slashes("http", host))
    }

    /// Whether `mod_proxy_balancer` would take a proxy URL for one of these.
    pub fn stock_finds(&self, url: &[u8]) -> bool {
        target::looked_up_by_stock(url).is_some_and(|name| self.known(name).is_some())
    }

    /// Whether what a proxy URL has for its user begins with one of these: a target without a slash at its end
    /// (`http://NAME`), and behind it a client's `@HOST/`, perhaps with more before it.
    pub fn are_left_by(&self, url: &[u8]) -> bool {
        target::user(url).is_some_and(|user| {
            self.all.iter().any(|known| {
                let start = user.get(..known.name.len());
                known.under_any_scheme
                    && start.is_some_and(|start| start.eq_ignore_ascii_case(known.name.as_bytes()))
            })
        })
    }

    /// Finds it by what stands behind `scheme://`; `read` reads the whole URL, which is needed only where
    /// a port is written.
    fn behind<'u>(
        &self,
        scheme: &[u8],
        authority: &'u [u8],
        read: impl FnOnce() -> Option<Target<'u>>,
    ) -> Option<(&T, &'u [u8])> {
        if self.initials & initial(*authority.first()?) == 0 {
            return None;
        }
        let end = authority
            .iter()
            .position(|b| matches!(b, b'/' | b'?' | b'#' | b':' | b'@' | b'['))
            .unwrap_or(authority.len());
        let (name, rest) = authority.split_at_checked(end)?;
        let known = self.known(name)?;
        if !known.under_any_scheme && !scheme.eq_ignore_ascii_case(b"balancer") {
            return None;
        }
        match rest.first() {
            Some(b'@' | b'[') => None,
            Some(b':') => {
                let target = read().filter(Target::has_no_more_than_a_host)?;
                Some((&known.farm, target.rest))
            }
            _ => Some((&known.farm, rest)),
        }
    }

    /// In whatever case the name is written.
    fn known(&self, name: &[u8]) -> Option<&Known<T>> {
        self.spelt(name).or_else(|| {
            let upper = name.iter().any(u8::is_ascii_uppercase);
            upper
                .then(|| name.to_ascii_lowercase())
                .and_then(|lower| self.spelt(&lower))
        })
    }

    fn spelt(&self, name: &[u8]) -> Option<&Known<T>> {
        self.all.get(*self.places.get(name)?)
    }
}

impl<T> Default for Farms<T> {
    fn default() -> Self {
        Self::new([])
    }
}

/// A bit for what a name begins with, the same for upper and lower case; some share theirs.
fn initial(first: u8) -> u32 {
    1 << (first % 32)
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::target::farm_name;
    use proptest::prelude::*;

    const NAMES: [(&str, bool); 5] = [
        ("farm", false),
        ("farm2", false),
        ("9-b", false),
        ("farm.v2", false),
        ("shop.example", true),
    ];

    fn farms() -> Farms<usize> {
        Farms::new(
            (0..)
                .zip(NAMES)
                .map(|(at, (name, declared))| (name.to_owned(), declared, at)),
        )
    }

    /// Reads all of the URL.
    fn found_by_reading(target: Option<Target<'_>>) -> Option<(usize, &[u8])> {
        let target = target?;
        let name = farm_name(&target, |name| NAMES.contains(&(name, true)))?;
        let at = NAMES.iter().position(|(known, _)| *known == name)?;
        Some((at, target.rest))
    }

    #[test]
    fn farms_are_found_in_urls() {
        let farms = farms();
        // URL, farm, what is behind its name.
        let found = [
            ("http://farm/a?b", "farm", "/a?b"),
            ("HTTP://FARM2", "farm2", ""),
            ("https://farm:443?x", "farm", "?x"),
            ("http://farm:/x", "farm", "/x"),
            ("http://9-b#f", "9-b", "#f"),
            ("balancer://Farm.v2/", "farm.v2", "/"),
            ("ajp://Shop.Example/é", "shop.example", "/é"),
        ];
        for (url, name, rest) in found {
            let expected = farms.named(name).map(|farm| (farm, rest.as_bytes()));
            assert_eq!(farms.find(url.as_bytes()), expected, "{url}");
        }
        let others = [
            "http://farm.v2/",
            "http://farm:81/",
            "http://farm:p@10.0.0.1/",
            "http://farm@10.0.0.1/",
            "http://farm3/",
            "http://far/",
            "unix:/socket|http://farm/",
            "1http://farm/",
            "farm",
            "http://",
        ];
        for url in others {
            assert_eq!(farms.find(url.as_bytes()), None, "{url}");
        }
        assert_eq!(farms.find_host(b"FARM"), Some((&0, &b""[..])));
        assert!(farms.stock_finds(b"balancer://u@FARM:8080/"));
        assert!(!farms.stock_finds(b"balancer://farm3/") && !farms.stock_finds(b"http://farm/"));
        for (url, left) in [
            ("http://FARM@10.0.0.1/", true),
            ("http://farm:80@10.0.0.1", true),
            ("http://farm3@10.0.0.1/", true),
            ("http://Shop.Example\\x@10.0.0.1/", true),
            ("http://far@10.0.0.1/", false),
            ("http://shop@10.0.0.1/", false),
            ("http://10.0.0.1/farm@x", false),
            ("http://farm.invalid/", false),
        ] {
            assert_eq!(farms.are_left_by(url.as_bytes()), left, "{url}");
        }
        assert!(farms.is_declared("shop.example") && !farms.is_declared("farm.v2"));
        assert_eq!(farms.iter().map(|(name, _)| name).next(), Some("9-b"));
    }

    #[test]
    fn a_name_is_left_to_others() {
        let mut farms = farms();
        farms.leave_to_others("farm");
        farms.leave_to_others("unknown");
        assert_eq!(farms.find(b"http://farm/"), None);
        assert_eq!(farms.find(b"balancer://farm/"), Some((&0, &b"/"[..])));
        assert!(farms.find(b"http://farm2/").is_some());
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        #[test]
        fn the_same_are_found_by_reading_all_of_the_url(
            scheme in "(http|HTTPS|balancer|1x|h tp|)",
            name in "(farm|FARM2|9-b|farm.v2|Shop.example|x|)",
            more in "[:@\\[\\]/?#a-z0-9]{0,4}|:80|:443/é",
            tail in prop::collection::vec(any::<u8>(), 0..4),
        ) {
            let host = [name.as_bytes(), more.as_bytes(), &tail].concat();
            let url = [scheme.as_bytes(), b"://", &host].concat();
            let farms = farms();
            let found = farms.find(&url).map(|(at, rest)| (*at, rest));
            prop_assert_eq!(found, found_by_reading(Target::parse(&url)));
            let found = farms.find_host(&host).map(|(at, rest)| (*at, rest));
            prop_assert_eq!(found, found_by_reading(Target::behind_slashes("http", &host)));
        }
    }
}
