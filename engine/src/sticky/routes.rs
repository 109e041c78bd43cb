//! From a route to its member, in the order of `find_route_worker` (httpd 2.4,
//! `modules/proxy/mod_proxy_balancer.c`).

use std::collections::BTreeMap;

/// Routes followed through `redirect=` before a session is given up.
const REDIRECTS_MAX: usize = 32;

/// The routes of a farm's members, by their positions in the configuration.
pub trait Routes {
    /// The members with the route, usable or not, in the configuration's order.
    fn with_route(&self, route: &[u8]) -> impl Iterator<Item = usize>;
    /// Whose sessions they become when the member cannot be used; empty for nobody's.
    fn redirect(&self, position: usize) -> &[u8];
    /// The member is a hot standby.
    fn standby(&self, position: usize) -> bool;
}

/// Whether any member, usable or not, has the route.
pub fn has_route(routes: &impl Routes, route: &[u8]) -> bool {
    !route.is_empty() && routes.with_route(route).next().is_some()
}

/// The first member with the route that is usable, hot standbys behind the others; where a member
/// is not, the one with the route of its `redirect`. `usable` is asked in that order, until it
/// gives something.
pub fn member_of<T>(
    routes: &impl Routes,
    route: &[u8],
    mut usable: impl FnMut(usize) -> Option<T>,
) -> Option<(usize, T)> {
    search(routes, route, &mut usable, &mut Vec::new())
}

/// Each route is looked for once, which ends cycles of redirections.
fn search<'a, T>(
    routes: &'a impl Routes,
    route: &'a [u8],
    usable: &mut impl FnMut(usize) -> Option<T>,
    seen: &mut Vec<&'a [u8]>,
) -> Option<(usize, T)> {
    if route.is_empty() || seen.contains(&route) || seen.len() == REDIRECTS_MAX {
        return None;
    }
    seen.push(route);
    for standby in [false, true] {
        for at in routes
            .with_route(route)
            .filter(|at| routes.standby(*at) == standby)
        {
            if let Some(how) = usable(at) {
                return Some((at, how));
            }
            let redirected = search(routes, routes.redirect(at), usable, seen);
            if redirected.is_some() {
                return redirected;
            }
        }
    }
    None
}

/// The routes that several members have, with these members.
pub fn shared_routes<'a, M>(
    members: impl Iterator<Item = (&'a [u8], M)>,
) -> Vec<(&'a [u8], Vec<M>)> {
    let mut by_route: BTreeMap<&[u8], Vec<M>> = BTreeMap::new();
    for (route, member) in members.filter(|(route, _)| !route.is_empty()) {
        by_route.entry(route).or_default().push(member);
    }
    by_route.retain(|_, members| members.len() > 1);
    by_route.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Route, redirect, standby, usable.
    type Row = (&'static str, &'static str, bool, bool);
    struct Table<'a>(&'a [Row]);

    impl Routes for Table<'_> {
        fn with_route(&self, route: &[u8]) -> impl Iterator<Item = usize> {
            let rows = self.0.iter().enumerate();
            rows.filter(move |(_, row)| row.0.as_bytes() == route)
                .map(|(at, _)| at)
        }
        fn redirect(&self, at: usize) -> &[u8] {
            self.0[at].1.as_bytes()
        }
        fn standby(&self, at: usize) -> bool {
            self.0[at].2
        }
    }

    fn member(rows: &[Row], route: &str) -> Option<usize> {
        let found = member_of(&Table(rows), route.as_bytes(), |at| {
            rows[at].3.then_some(())
        });
        found.map(|(at, ())| at)
    }

    #[test]
    fn the_member_with_the_route() {
        let rows = [
            ("a", "", false, true),
            ("b", "", false, true),
            ("", "", false, true),
        ];
        assert_eq!(member(&rows, "b"), Some(1));
        for unknown in ["c", "", "B", "ab", "b\0"] {
            assert_eq!(member(&rows, unknown), None, "{unknown:?}");
            assert!(!has_route(&Table(&rows), unknown.as_bytes()));
        }
        assert!(has_route(&Table(&rows), b"a"));
    }

    #[test]
    fn standbys_behind_the_others() {
        let rows = [("a", "", true, true), ("a", "", false, true)];
        assert_eq!(member(&rows, "a"), Some(1));
        let rows = [("a", "", true, true), ("a", "", false, false)];
        assert_eq!(member(&rows, "a"), Some(0));
    }

    #[test]
    fn redirections() {
        let down = false;
        let rows = [
            ("a", "b", false, down),
            ("b", "c", false, down),
            ("c", "", false, true),
        ];
        assert_eq!(member(&rows, "a"), Some(2));
        // A usable member needs none; one that leads nowhere is none.
        assert_eq!(
            member(&[("a", "b", false, true), ("b", "", false, true)], "a"),
            Some(0)
        );
        assert_eq!(
            member(&[("a", "x", false, down), ("b", "", false, true)], "a"),
            None
        );
        // Cycles end.
        assert_eq!(
            member(&[("a", "b", false, down), ("b", "a", false, down)], "a"),
            None
        );
        assert_eq!(member(&[("a", "a", false, down)], "a"), None);
        // As in stock: a redirection comes before another member of the route.
        let rows = [
            ("a", "b", false, down),
            ("a", "", false, true),
            ("b", "", false, true),
        ];
        assert_eq!(member(&rows, "a"), Some(2));
    }

    #[test]
    fn routes_of_several() {
        let members = [(&b"a"[..], 0), (b"", 1), (b"b", 2), (b"a", 3), (b"", 4)];
        assert_eq!(
            shared_routes(members.into_iter()),
            [(&b"a"[..], vec![0, 3])]
        );
    }

    proptest! {
        /// Whatever the redirections: it ends, each member is asked once, and who is found is usable.
        #[test]
        fn any_farm(rows in prop::collection::vec(
            (prop::sample::select(vec!["", "a", "b", "c", "d"]),
             prop::sample::select(vec!["", "a", "b", "c", "d"]), any::<bool>(), any::<bool>()), 0..12))
        {
            let mut asked = Vec::new();
            let found = member_of(&Table(&rows), b"a", |at| {
                asked.push(at);
                rows[at].3.then_some(())
            });
            let times = asked.len();
            asked.sort_unstable();
            asked.dedup();
            prop_assert_eq!(asked.len(), times);
            if let Some((at, ())) = found {
                prop_assert!(rows[at].3);
            }
            if rows.iter().any(|row| row.0 == "a" && row.3) {
                prop_assert!(found.is_some());
            }
        }
    }
}
