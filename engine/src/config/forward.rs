//! `forward=`: where the requests of a farm or a member go that cannot serve them, and the circles
//! that farms may forward in.

use super::farms::Farms;
use super::param::Fallback;
use super::target::is_farm_name;
use super::value::{self, Must};
use std::fmt;

/// Where requests go instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Forward {
    /// To another farm of the server, by its name in lower case.
    Farm(String),
    /// To this URL, which the request's path and query follow.
    Url(String),
}

impl Forward {
    /// Reads a value of `forward=`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, Must> {
        let read = if text.contains("://") {
            value::proxied_url(text).ok().map(Self::Url)
        } else {
            // `none` is how people end it at run time.
            (is_farm_name(text) && !text.eq_ignore_ascii_case("none"))
                .then(|| Self::Farm(text.to_ascii_lowercase()))
        };
        read.ok_or_else(|| {
            "must be a farm's name, or an absolute http:// or https:// URL without blanks, user and \
             #, with a / before any ?"
                .to_owned()
        })
    }
}

/// As it is written.
impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Farm(text) | Self::Url(text)) = self;
        f.write_str(text)
    }
}

/// What is wrong with where farms forward to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The names of the farms that say it.
    pub farms: Vec<String>,
    /// For the administrator.
    pub reason: String,
}

/// Whether each `forward` of a server's farms leads to one of them or to a URL, and none of them in a
/// circle. `of` gives what a farm and its members say.
///
/// # Errors
/// The first that is wrong.
pub fn check<T>(farms: &Farms<T>, of: impl Fn(&T) -> Vec<Forward>) -> Result<(), Wrong> {
    let names: Vec<&str> = farms.iter().map(|(name, _)| name).collect();
    let mut edges = Vec::with_capacity(names.len());
    for (name, farm) in farms.iter() {
        let leads_to = |forward: Forward| {
            let said = |what: &str| Wrong {
                farms: vec![name.to_owned()],
                reason: format!("farm {name}: forward={forward}: {what}"),
            };
            match &forward {
                Forward::Farm(to) => match names.binary_search(&to.as_str()) {
                    Ok(place) => Ok(Some(place)),
                    Err(_) => Err(said("there is no farm of this name")),
                },
                Forward::Url(url) if farms.find(url.as_bytes()).is_some() => {
                    Err(said("this is a farm: write its name alone"))
                }
                Forward::Url(_) => Ok(None),
            }
        };
        let to: Result<Vec<_>, _> = of(farm).into_iter().map(leads_to).collect();
        edges.push(to?.into_iter().flatten().collect());
    }
    let Some(way) = circle(&edges) else {
        return Ok(());
    };
    let way: Vec<&str> = way
        .iter()
        .filter_map(|at| names.get(*at).copied())
        .collect();
    Err(Wrong {
        farms: way.iter().map(|name| (*name).to_owned()).collect(),
        reason: format!("farms forward in a circle: {}", way.join(" to ")),
    })
}

/// Whether a farm's `fallback` leads to no farm of a server: it would be looked up as a host.
///
/// # Errors
/// The farm's `forward` is what leads there.
pub fn check_fallback<T>(farms: &Farms<T>, farm: &str, fallback: &Fallback) -> Result<(), String> {
    match fallback {
        Fallback::Proxy(url) if farms.find(url.as_bytes()).is_some() => Err(format!(
            "farm {farm}: fallback={url}: this is a farm: write forward= with its name alone"
        )),
        _ => Ok(()),
    }
}

/// The first circle among farms that forward to each other, each by its index: the farms on the way,
/// beginning and ending with the same one. What points beyond the list is passed over.
fn circle(forwards: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut done = vec![false; forwards.len()];
    for start in 0..forwards.len() {
        // The way from `start`, with the next branch to try at each farm of it.
        let mut way = vec![(start, 0)];
        while let Some((at, branch)) = way.last_mut() {
            let at = *at;
            let next = forwards.get(at).and_then(|to| to.get(*branch)).copied();
            *branch += 1;
            let Some(next) = next else {
                if let Some(done) = done.get_mut(at) {
                    *done = true;
                }
                way.pop();
                continue;
            };
            if let Some(first) = way.iter().position(|(farm, _)| *farm == next) {
                let farms = way.iter().skip(first).map(|(farm, _)| *farm);
                return Some(farms.chain([next]).collect());
            }
            if done.get(next) == Some(&false) {
                way.push((next, 0));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_farm_or_a_url() {
        let read = |text| Forward::read(text).ok();
        assert_eq!(read("Farm_Two"), Some(Forward::Farm("farm_two".into())));
        let url = "https://www.example.com/x";
        assert_eq!(read(url), Some(Forward::Url(url.into())));
        for text in [
            "",
            "/path",
            "a b",
            "ftp://host/",
            "http://",
            "http://u@h/",
            "http://h?x",
            "http://h?@evil/",
            "http://h/x#y",
            "farm:80",
            "None",
        ] {
            let must = Forward::read(text).unwrap_err();
            assert!(
                must.starts_with("must be a farm's name, or an absolute"),
                "{text}"
            );
        }
    }

    #[test]
    fn circles_name_the_farms_on_the_way() {
        let to = |list: &[&[usize]]| circle(&list.iter().map(|to| to.to_vec()).collect::<Vec<_>>());
        assert_eq!(to(&[&[1], &[2], &[]]), None);
        assert_eq!(to(&[&[1, 2], &[3], &[3], &[]]), None);
        assert_eq!(to(&[&[0]]), Some(vec![0, 0]));
        assert_eq!(to(&[&[1], &[0]]), Some(vec![0, 1, 0]));
        assert_eq!(to(&[&[1], &[9, 2], &[3], &[1]]), Some(vec![1, 2, 3, 1]));
    }

    #[test]
    fn a_forward_leads_to_a_farm_or_to_a_url_of_none() {
        let wrong = |forwards: &[(&str, &str)]| {
            let farms = forwards
                .iter()
                .map(|(name, to)| ((*name).to_owned(), false, *to));
            let of = |to: &&str| Forward::read(to).into_iter().collect();
            check(&Farms::new(farms), of).map_err(|wrong| (wrong.farms, wrong.reason))
        };
        assert_eq!(
            wrong(&[("b", "a"), ("a", "http://c.d/"), ("c", "")]),
            Ok(())
        );
        for (forwards, farms, reason) in [
            (
                [("b", "c"), ("a", "b")],
                &["b"][..],
                "farm b: forward=c: there is no farm of this name",
            ),
            (
                [("b", "http://A/x"), ("a", "b")],
                &["b"],
                "farm b: forward=http://A/x: this is a farm: write its name alone",
            ),
            (
                [("b", "a"), ("a", "b")],
                &["a", "b", "a"],
                "farms forward in a circle: a to b to a",
            ),
        ] {
            let farms = farms.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(wrong(&forwards), Err((farms, reason.to_owned())));
        }
    }

    #[test]
    fn a_fallback_that_is_fetched_is_no_farm() {
        let farms = Farms::new([("a".to_owned(), false, ()), ("b.c".to_owned(), false, ())]);
        let said = |url: &str| check_fallback(&farms, "a", &Fallback::read(url).unwrap());
        for url in ["http://a:81/", "http://b.c/", "redirect:http://a/"] {
            assert_eq!(said(url), Ok(()));
        }
        assert_eq!(
            said("https://A/x").unwrap_err(),
            "farm a: fallback=https://A/x: this is a farm: write forward= with its name alone"
        );
    }

    proptest! {
        #![proptest_config(crate::testing::seeded())]

        /// Against the definition: a farm is in a circle when a walk from it comes back.
        #[test]
        fn every_circle_is_found_and_no_other(
            forwards in prop::collection::vec(prop::collection::vec(0_usize..7, 0..3), 0..7),
        ) {
            let reaches = |start: usize| {
                let mut seen = [false; 7];
                let mut todo = forwards[start].clone();
                while let Some(at) = todo.pop() {
                    if !std::mem::replace(&mut seen[at], true) {
                        todo.extend(forwards.get(at).into_iter().flatten());
                    }
                }
                seen[start]
            };
            let found = circle(&forwards);
            prop_assert_eq!(found.is_some(), (0..forwards.len()).any(reaches));
            if let Some(way) = found {
                prop_assert!(way.len() > 1 && way.first() == way.last());
                prop_assert!(way.windows(2).all(|step| forwards[step[0]].contains(&step[1])));
            }
        }
    }
}
