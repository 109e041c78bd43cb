//! `athctl drain`: a member gets no new clients; with `--wait` until it is empty.

use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};

use crate::api::Api;
use crate::cli::{Drain, Target};
use crate::documents::Member;
use crate::error::Error;
use crate::output;
use crate::set;

/// From one look to the next.
const LOOK: Duration = Duration::from_millis(500);

/// Drains the member, and waits if asked to.
pub fn run(api: &Api, options: &Drain) -> Result<(), Error> {
    let fields = Map::from_iter([("drain".to_owned(), Value::Bool(true))]);
    set::patch(api, &options.target, &fields)?;
    if !options.wait {
        return output::line(format_args!("{} drains", options.target));
    }
    let mut quiet = Quiet::default();
    let begin = Instant::now();
    wait(&options.target, options.most, || {
        let member: Member = api.get(&options.target.path())?.document()?;
        let now = begin.elapsed();
        let since = quiet.since(&member, now);
        let done =
            member.inflight == 0 && (!member.on || now.saturating_sub(since) >= options.quiet);
        let requests = quiet.requests;
        let told = format!(
            "{} in flight, {requests} requests of sessions",
            member.inflight
        );
        Ok(if done { Look::Done } else { Look::Wait(told) })
    })?;
    output::line(format_args!("{} is empty", options.target))
}

/// What a look has shown, with what there is to say.
pub enum Look {
    Wait(String),
    Done,
}

/// Looks until it is done, and shows on a terminal what there is to say.
///
/// # Errors
/// A look failed, or it is not done after `most`.
pub fn wait(
    target: &Target,
    most: Option<Duration>,
    mut look: impl FnMut() -> Result<Look, Error>,
) -> Result<(), Error> {
    let begin = Instant::now();
    let progress = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})") {
        progress.set_style(style);
    }
    progress.set_prefix(target.to_string());
    loop {
        match look()? {
            Look::Done => break,
            Look::Wait(told) if most.is_some_and(|most| begin.elapsed() >= most) => {
                progress.finish_and_clear();
                return Err(Error::Wrong(format!("{target} is not done: {told}")));
            }
            Look::Wait(told) => progress.set_message(told),
        }
        progress.tick();
        thread::sleep(LOOK);
    }
    progress.finish_and_clear();
    Ok(())
}

/// Requests that a member still gets, which are those of its sessions.
#[derive(Default)]
struct Quiet {
    elected: Option<u64>,
    requests: u64,
    since: Duration,
}

impl Quiet {
    /// When the last one came, as far as it has been seen.
    fn since(&mut self, member: &Member, now: Duration) -> Duration {
        let more = self
            .elected
            .map_or(0, |elected| member.elected.saturating_sub(elected));
        if more > 0 || self.elected.is_none() {
            self.since = now;
        }
        self.requests += more;
        self.elected = Some(member.elected);
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_what_still_comes() {
        let member = |elected: u64| -> Member {
            serde_json::from_value(serde_json::json!({
                "name": "m", "route": "r", "weight": 1.0, "lbset": 0, "on": true, "up": true,
                "in": true, "drain": true, "standby": false, "usable": false, "inflight": 0,
                "elected": elected, "served": 0, "failed": 0, "ttfb_ewma_ms": null,
            }))
            .unwrap()
        };
        let mut quiet = Quiet::default();
        let looks = [
            (10, 1, 1, 0),
            (10, 2, 1, 0),
            (13, 3, 3, 3),
            (13, 9, 3, 3),
            (2, 10, 3, 3),
        ];
        for (elected, now, since, requests) in looks {
            let seen = quiet.since(&member(elected), Duration::from_secs(now));
            assert_eq!((seen.as_secs(), quiet.requests), (since, requests), "{now}");
        }
    }

    #[test]
    fn a_wait_ends() {
        let target: Target = "f/m".parse().unwrap();
        let mut looks = 0;
        let counted = wait(&target, None, || {
            looks += 1;
            Ok(if looks < 2 {
                Look::Wait(String::new())
            } else {
                Look::Done
            })
        });
        assert!(counted.is_ok() && looks == 2);
        let late = wait(&target, Some(Duration::ZERO), || {
            Ok(Look::Wait("1 in flight".to_owned()))
        });
        assert_eq!(
            late.unwrap_err().to_string(),
            "f/m is not done: 1 in flight"
        );
    }
}
