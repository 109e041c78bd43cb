//! `athctl mirror`: what people set, the members they added, and what members pushed on one engine, on
//! another as well.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use athena_engine::query::quoted;
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
    /// How many updates with statistics it has sent.
    pushes: u64,
    /// What it was added with at run time; `None`: it is configured.
    parameters: Option<BTreeMap<String, String>>,
}

impl Farm {
    fn added(&self) -> impl Iterator<Item = &Member> {
        let members = self.members.iter();
        members.filter(|member| member.parameters.is_some())
    }

    /// The member that one of the other side is: by its name; or by its URL if nobody named it, since
    /// the usual name has a path only where another member needs that.
    fn counterpart(&self, other: &Member) -> Option<&Member> {
        let find = |is: &dyn Fn(&&Member) -> bool| self.members.iter().find(is);
        find(&|member| member.name == other.name).or_else(|| {
            find(&|member| member.url == other.url && !member.is_named() && !other.is_named())
        })
    }
}

impl Member {
    /// Whether it was added under a name of people's.
    fn is_named(&self) -> bool {
        let mut parameters = self.parameters.iter();
        parameters.any(|parameters| parameters.contains_key("name"))
    }

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
    let mut pushed = Pushes::new();
    if !options.watch {
        let done = step(&from, &to, &mut pushed)?;
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
        let wait = match step(&from, &to, &mut pushed) {
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

/// How often each member has pushed, by the name that its line has.
type Pushes = BTreeMap<String, u64>;

impl Farms {
    fn pushes(&self) -> Pushes {
        let members = self.farms.iter().flat_map(|farm| {
            let named = |member: &Member| format!("{}@{}/{}", farm.name, farm.server, member.name);
            let members = farm.members.iter();
            members.map(move |member| (named(member), member.pushes))
        });
        let lines = members.map(|(whose, pushes)| (format!("h={}", quoted(&whose)), pushes));
        lines
            .map(|(line, pushes)| (name(&line).to_owned(), pushes))
            .collect()
    }
}

/// Adds and removes the members that differ, and sends the lines. `pushed` is what the last step saw.
fn step(from: &Api, to: &Api, pushed: &mut Pushes) -> Result<Done, Error> {
    // Before the lines are: what comes in between is in them, and sent once more by the next step.
    let [source, target]: [Farms; 2] = [from.get(FARMS)?.document()?, to.get(FARMS)?.document()?];
    let pushes = source.pushes();
    // A restart of the one begins again at 0.
    let has_pushed = |name: &str| {
        let counts = pushes.get(name).zip(pushed.get(name));
        counts.is_some_and(|(now, before)| now > before)
    };
    let (mut sent, mut left) = (members(to, &source, &target)?, Vec::new());
    for path in PATHS {
        let (source, target) = (from.get(path)?.text, to.get(path)?.text);
        let Lines {
            differ,
            again,
            unknown,
        } = Lines::of(&source, &target, has_pushed);
        for name in unknown {
            let is_its = |farm: &String| {
                name.strip_prefix(farm)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            if !left.iter().any(is_its) {
                left.push(name.to_owned());
            }
        }
        sent += differ.len();
        let lines: Vec<_> = differ.iter().map(String::as_str).chain(again).collect();
        if !lines.is_empty() {
            let version = source.lines().next().unwrap_or_default();
            to.post_lines(path, &format!("{version}\n{}\n", lines.join("\n")))?;
        }
    }
    *pushed = pushes;
    Ok(Done { sent, left })
}

/// Members that people added on the one are added on the other, and what else it was given goes.
fn members(to: &Api, source: &Farms, target: &Farms) -> Result<usize, Error> {
    let mut moved = 0;
    for farm in &source.farms {
        let same = |other: &&Farm| (&other.name, &other.server) == (&farm.name, &farm.server);
        let Some(other) = target.farms.iter().find(same) else {
            continue;
        };
        let name = format!("{}@{}", farm.name, farm.server);
        for member in other.added() {
            let path = member_path(&name, &member.name);
            match farm.counterpart(member) {
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
            let old = other.counterpart(member);
            if old.is_some_and(|old| !member.replaces(old)) {
                continue;
            }
            let told = member.parameters.iter().flatten();
            let mut fields: Map<_, _> = told
                .map(|(key, value)| (key.clone(), value.as_str().into()))
                .collect();
            fields.insert("url".to_owned(), member.url.as_str().into());
            // One with a path, or an IPv6 address in brackets, is made of the URL.
            if !member.name.contains(['/', '[']) {
                fields.insert("name".to_owned(), member.name.as_str().into());
            }
            let body = Value::Object(fields).to_string();
            to.send("POST", &members_path(&name), None, &body)?;
            moved += 1;
        }
    }
    Ok(moved)
}

/// What the other side has to be told.
#[derive(Debug, Default, PartialEq)]
struct Lines<'a> {
    /// What it says otherwise, and of whom.
    differ: Vec<String>,
    /// What it says as well, of members that have pushed since: each time counts as a report.
    again: Vec<&'a str>,
    /// Whom it does not have.
    unknown: Vec<&'a str>,
}

impl<'a> Lines<'a> {
    fn of(source: &'a str, target: &str, has_pushed: impl Fn(&str) -> bool) -> Self {
        let there: BTreeMap<&str, Vec<&str>> = target
            .lines()
            .map(|line| (name(line), items(line).collect()))
            .collect();
        let mut lines = Self::default();
        for line in source.lines().skip(1) {
            let whose = name(line);
            let Some(there) = there.get(whose) else {
                lines.unknown.push(whose);
                continue;
            };
            // The other may have statistics that the one lacks: a name never goes.
            let other: Vec<_> = items(line).filter(|item| !there.contains(item)).collect();
            match (other.is_empty(), has_pushed(whose)) {
                (true, false) => {}
                (true, true) => lines.again.push(line),
                (false, true) => lines.differ.push(line.to_owned()),
                // Its statistics were no report if they came along.
                (false, false) => {
                    let whom = items(line).next().unwrap_or_default();
                    lines.differ.push(format!("{whom},{}", other.join(",")));
                }
            }
        }
        lines
    }
}

/// What a line holds: first whom it is about, quoted where it has a comma, then what is said.
fn items(line: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    line.split(move |c| {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        c == ',' && !quoted
    })
}

/// The farm or member that a line is about, as it stands there, without quotes.
fn name(line: &str) -> &str {
    let whom = items(line).next().unwrap_or_default();
    let name = whom.split_once('=').map_or(whom, |(_, name)| name);
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
            pushes: 0,
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

    /// What is told otherwise, told again, and told of nobody, where `b` has pushed.
    fn told_of(source: &str, target: &str) -> [String; 3] {
        let lines = Lines::of(source, target, |name| name == "b");
        [
            lines.differ.join(" "),
            lines.again.join(" "),
            lines.unknown.join(" "),
        ]
    }

    #[test]
    fn only_what_differs_is_sent() {
        for (source, target, told) in [
            (
                "n=a,s=on\nn=c,s=off",
                "n=c,s=on\nn=a,s=on",
                ["n=c,s=off", "", ""],
            ),
            ("n=c,s=on", "n=c,s=on", ["", "", ""]),
            ("", "n=c,s=on", ["", "", ""]),
            ("h=m,w=2\nh=n,w=2,l=0", "h=n,w=1,l=0", ["h=n,w=2", "", "m"]),
            // What the other has besides, and in which order, is no difference.
            ("h=m,a1=1", "h=m,a1=1,b1=2", ["", "", ""]),
            ("h=m,a1=1,b1=2", "h=m,b1=2,a1=1", ["", "", ""]),
            (
                r#"h="m,x",W="f,a1=1",a1=2"#,
                r#"h="m,x",W="f,a1=2",a1=2"#,
                [r#"h="m,x",W="f,a1=1""#, "", ""],
            ),
        ] {
            let [source, target] = [source, target].map(|lines| format!("v=1\n{lines}\n"));
            assert_eq!(told_of(&source, &target), told, "{source}{target}");
        }
    }

    #[test]
    fn what_was_pushed_again_is_sent_again() {
        let one = "v=1\nh=a,w=1,a1=1\nh=b,w=1,a1=1\n";
        assert_eq!(told_of(one, one), ["", "h=b,w=1,a1=1", ""]);
        let two = "v=1\nh=b,w=2,a1=1\n";
        assert_eq!(told_of(one, two), ["h=b,w=1,a1=1", "", "a"]);
        assert_eq!(told_of(one, "v=1\n"), ["", "", "a b"]);
    }

    #[test]
    fn a_push_is_known_by_the_name_of_the_line() {
        let document = r#"{"farms": [{"name": "f", "server": "main", "members": [
            {"name": "m", "url": "http://m", "drain": false, "pushes": 2, "parameters": null},
            {"name": "h:1/,\\", "url": "http://h:1/", "drain": false, "pushes": 3, "parameters": null}]}]}"#;
        let farms: Farms = serde_json::from_str(document).unwrap();
        let pushes: Vec<_> = farms.pushes().into_iter().collect();
        let expected = [(r"f@main/h:1/,\\", 3), ("f@main/m", 2)];
        assert_eq!(
            pushes,
            expected.map(|(name, count)| (name.to_owned(), count))
        );
        assert_eq!(name(r#"h="f@main/h:1/,\\",g=-"#), r"f@main/h:1/,\\");
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
