//! `athctl mirror`: what people set and members pushed on one engine, on another as well.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use crate::api::Api;
use crate::cli::{Mirror, Server};
use crate::error::Error;

/// What is mirrored: farms first, since a member may be turned off with its farm.
const PATHS: [&str; 2] = ["/mirror/farm/", "/mirror/phys/"];
/// Waits after a failure: doubled each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Mirrors once, or for ever.
pub fn run(server: &Server, options: &Mirror) -> Result<(), Error> {
    let [from, to] = [&options.from, &options.to].map(|url| {
        Api::new(&Server {
            url: url.clone(),
            ..server.clone()
        })
    });
    if !options.watch {
        let sent = step(&from, &to)?;
        println!("{}", told(sent));
        return Ok(());
    }
    let mut failures = 0;
    loop {
        let wait = match step(&from, &to) {
            Ok(sent) => {
                if sent > 0 {
                    println!("{}", told(sent));
                } else if failures > 0 {
                    println!("both sides answer again");
                }
                failures = 0;
                options.interval
            }
            Err(error) => {
                let wait = backoff(failures);
                failures += 1;
                eprintln!("athctl: {error}; again in {} s", wait.as_secs());
                wait
            }
        };
        thread::sleep(wait);
    }
}

/// Sends the lines that differ; how many these were.
fn step(from: &Api, to: &Api) -> Result<usize, Error> {
    let mut sent = 0;
    for path in PATHS {
        let (source, target) = (from.get(path)?.text, to.get(path)?.text);
        let lines = missing(&source, &target);
        if !lines.is_empty() {
            sent += lines.len();
            let version = source.lines().next().unwrap_or_default();
            to.post_lines(path, &format!("{version}\n{}\n", lines.join("\n")))?;
        }
    }
    Ok(sent)
}

/// Lines of the one that the other does not have.
fn missing<'a>(source: &'a str, target: &str) -> Vec<&'a str> {
    let has: BTreeSet<&str> = target.lines().collect();
    let lines = source.lines().skip(1);
    lines.filter(|line| !has.contains(line)).collect()
}

fn backoff(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

fn told(sent: usize) -> String {
    match sent {
        0 => "both say the same".to_owned(),
        1 => "1 line sent".to_owned(),
        more => format!("{more} lines sent"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_sent() {
        let (one, two) = ("v=1\nn=a,s=on\nn=b,s=off\n", "v=1\nn=b,s=on\nn=a,s=on\n");
        assert_eq!(missing(one, two), ["n=b,s=off"]);
        assert!(missing(one, one).is_empty());
        assert!(missing("", two).is_empty());
    }

    #[test]
    fn waits_grow() {
        let seconds = [0, 1, 2, 5, 6, 31, 32, 1000].map(|failures| backoff(failures).as_secs());
        assert_eq!(seconds, [1, 2, 4, 32, 60, 60, 60, 60]);
    }
}
