//! `athctl mirror`: what people set, the members they added, and what members pushed on one engine, on
//! another as well.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::{Api, FARMS, member_path, members_path};
use crate::cli::{Mirror, Server};
use crate::error::Error;
use crate::output;

/// What is mirrored as lines: farms first, since a member may be turned off with its farm.
const PATHS: [&str; 2] = ["/mirror/farm/", "/mirror/phys/"];
/// Waits after a failure: doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is looked at of the farms' document.
#[derive(Deserialize)]
struct Farms {
    farms: Vec<Farm>,
}

#[derive(Deserialize)]
struct Farm {
    name: String,
    server: String,
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    url: String,
    drain: bool,
    /// What it was added with at run time; `None`: it is configured.
    parameters: Option<BTreeMap<String, String>>,
}

impl Farm {
    fn added(&self) -> impl Iterator<Item = &Member> {
        let members = self.members.iter();
        members.filter(|member| member.parameters.is_some())
    }

    fn named(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Member {
    /// Whether both were added, the other one with another URL or other parameters.
    fn replaces(&self, other: &Self) -> bool {
        let given = |member: &Self| {
            let mut parameters = member.parameters.clone()?;
            // The names are the same, whether they were given or made of the URL.
            parameters.remove("name");
            Some((member.url.clone(), parameters))
        };
        let both = given(self).zip(given(other));
        both.is_some_and(|(one, other)| one != other)
    }
}

/// Mirrors once, or for ever.
pub fn run(server: &Server, options: &Mirror) -> Result<(), Error> {
    let [from, to] = [&options.from, &options.to].map(|url| {
        Api::new(&Server {
            url: url.clone(),
            ..server.clone()
        })
    });
    if !options.watch {
        let done = step(&from, &to)?;
        if done.sent > 0 || done.left.is_empty() {
            output::line(told(done.sent))?;
        }
        return match done.left.as_slice() {
            [] => Ok(()),
            left => Err(Error::Wrong(unknown(left))),
        };
    }
    let mut failures = 0;
    let mut left = Vec::new();
    loop {
        let wait = match step(&from, &to) {
            Ok(done) => {
                if done.sent > 0 {
                    output::line(told(done.sent))?;
                } else if failures > 0 {
                    output::line("both sides answer again")?;
                }
                if done.left != left && !done.left.is_empty() {
                    output::complain(unknown(&done.left));
                }
                left = done.left;
                failures = 0;
                options.interval
            }
            Err(error) => {
                let wait = backoff(failures);
                failures += 1;
                output::complain(format_args!("{error}; again in {} s", wait.as_secs()));
                wait
            }
        };
        thread::sleep(wait);
    }
}

/// What a step did.
struct Done {
    /// Differences that were sent.
    sent: usize,
    /// Farms and members that the other side does not have.
    left: Vec<String>,
}

/// Adds and removes the members that differ, and sends the lines.
fn step(from: &Api, to: &Api) -> Result<Done, Error> {
    let (mut sent, mut left) = (members(from, to)?, Vec::new());
    for path in PATHS {
        let (source, target) = (from.get(path)?.text, to.get(path)?.text);
        let (lines, unknown) = missing(&source, &target);
        for name in unknown.into_iter().map(name) {
            let is_its = |farm: &String| {
                name.strip_prefix(farm)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if !left.iter().any(is_its) {
                left.push(name.to_owned());
            }
        }
        if !lines.is_empty() {
            sent += lines.len();
            let version = source.lines().next().unwrap_or_default();
            to.post_lines(path, &format!("{version}\n{}\n", lines.join("\n")))?;
        }
    }
    Ok(Done { sent, left })
}

/// Members that people added on the one are added on the other, and what else it was given goes.
fn members(from: &Api, to: &Api) -> Result<usize, Error> {
    let [source, target]: [Farms; 2] = [from.get(FARMS)?.document()?, to.get(FARMS)?.document()?];
    let mut moved = 0;
    for farm in &source.farms {
        let same = |other: &&Farm| (&other.name, &other.server) == (&farm.name, &farm.server);
        let Some(other) = target.farms.iter().find(same) else {
            continue;
        };
        let name = format!("{}@{}", farm.name, farm.server);
        for member in other.added() {
            let path = member_path(&name, &member.name);
            match farm.named(&member.name) {
                None => {
                    to.send("DELETE", &path, None, "")?;
                    // Until it is gone, it drains.
                    moved += usize::from(!member.drain);
                }
                // Its name is needed at once.
                Some(new) if new.replaces(member) => {
                    to.send("DELETE", &format!("{path}?force=1"), None, "")?;
                }
                Some(_) => {}
            }
        }
        for member in farm.added() {
            let old = other.named(&member.name);
            if old.is_some_and(|old| !member.replaces(old)) {
                continue;
            }
            let told = member.parameters.iter().flatten();
            let mut fields: Map<_, _> = told
                .map(|(key, value)| (key.clone(), value.as_str().into()))
                .collect();
            fields.insert("url".to_owned(), member.url.as_str().into());
            // One with a path is made of the URL.
            if !member.name.contains('/') {
                fields.insert("name".to_owned(), member.name.as_str().into());
            }
            let body = Value::Object(fields).to_string();
            to.send("POST", &members_path(&name), None, &body)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// Lines of the one that the other does not have; first those about what it has, then the rest.
fn missing<'a>(source: &'a str, target: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let has: BTreeSet<&str> = target.lines().collect();
    let knows: BTreeSet<&str> = target.lines().map(name).collect();
    let lines = source.lines().skip(1).filter(|line| !has.contains(line));
    lines.partition(|line| knows.contains(name(line)))
}

/// The farm or member that a line is about, as it stands there: quoted where it has a comma.
fn name(line: &str) -> &str {
    let value = line.split_once('=').map_or(line, |(_, value)| value);
    let (mut quoted, mut escaped) = (false, false);
    let end = value.find(|c| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        c == ',' && !quoted
    });
    let name = end.and_then(|end| value.get(..end)).unwrap_or(value);
    let inner = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'));
    inner.unwrap_or(name)
}

fn backoff(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

fn told(sent: usize) -> String {
    match sent {
        0 => "both say the same".to_owned(),
        1 => "1 difference sent".to_owned(),
        more => format!("{more} differences sent"),
    }
}

fn unknown(left: &[String]) -> String {
    format!(
        "not mirrored, since the other side does not have them: {}",
        left.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_anew_replaces_what_was() {
        let member = |url: &str, parameters: Option<&[(&str, &str)]>| Member {
            name: "m".to_owned(),
            url: url.to_owned(),
            drain: false,
            parameters: parameters.map(|list| {
                let texts = list
                    .iter()
                    .map(|(key, value)| (key.to_string(), value.to_string()));
                texts.collect()
            }),
        };
        let old = member("http://a", Some(&[("name", "m"), ("retry", "3")]));
        for (url, parameters, replaces) in [
            ("http://a", Some(&[("retry", "3")][..]), false),
            ("http://a", Some(&[("retry", "4")]), true),
            ("http://a", Some(&[]), true),
            ("http://b", Some(&[("retry", "3")]), true),
            ("http://b", None, false),
        ] {
            let new = member(url, parameters);
            assert_eq!(new.replaces(&old), replaces, "{url} {parameters:?}");
            assert_eq!(old.replaces(&new), replaces, "{url} {parameters:?}");
        }
    }

    #[test]
    fn only_what_differs_is_sent() {
        let (one, two) = ("v=1\nn=a,s=on\nn=b,s=off\n", "v=1\nn=b,s=on\nn=a,s=on\n");
        assert_eq!(missing(one, two), (vec!["n=b,s=off"], vec![]));
        assert_eq!(missing(one, one), (vec![], vec![]));
        assert_eq!(missing("", two), (vec![], vec![]));
        let (one, two) = ("v=1\nh=f/m,w=2\nh=f/n,w=2\n", "v=1\nh=f/n,w=1\n");
        assert_eq!(missing(one, two), (vec!["h=f/n,w=2"], vec!["h=f/m,w=2"]));
    }

    #[test]
    fn whom_a_line_is_about() {
        for (line, about) in [
            ("n=f@main,s=on,m=byrequests", "f@main"),
            ("h=f@main/m?a=b,g=-", "f@main/m?a=b"),
            (r#"h="f@main/,&\\",g="#, r"f@main/,&\\"),
            (r#"h="f@main/\",x",g=-"#, r#"f@main/\",x"#),
            ("n=f", "f"),
            ("", ""),
        ] {
            assert_eq!(name(line), about, "{line}");
        }
    }

    #[test]
    fn waits_grow() {
        let seconds = [0, 1, 2, 5, 6, 31, 32, 1000].map(|failures| backoff(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60, 60]);
    }
}
