//! What people set `forward` and `fallback` to, looked at again at each start: `AthMemberAllow` may name
//! other hosts than before, and the board may be one of a version that took other URLs.

use athena_engine::board::changed::ChangedText;
use athena_engine::config::forward::Forward;
use athena_engine::config::param::Fallback;
use athena_engine::config::value::Must;

use crate::change;
use crate::farm::Farm;
use crate::log::{self, Level};

/// Gives up what people may not set any more. The caller is the parent, before there are children.
pub fn begin(farm: &Farm) {
    let changed = &farm.seat.record.changed;
    let (forward, fallback) = (&farm.extras.forward, &farm.extras.fallback);
    one(
        farm,
        "",
        ("forward", &changed.forward, forward),
        forward_url,
    );
    one(
        farm,
        "",
        ("fallback", &changed.fallback, fallback),
        fallback_url,
    );
    for member in &farm.members {
        let named = format!(" member {}:", member.name);
        let changed = &member.record().changed.forward;
        one(
            farm,
            &named,
            ("forward", changed, &member.extras.forward),
            forward_url,
        );
    }
}

/// One setting: its key, what it was set to, and what the configuration says.
fn one<const N: usize>(
    farm: &Farm,
    named: &str,
    (key, changed, configured): (&str, &ChangedText<N>, &str),
    url_of: fn(&str) -> Result<Option<String>, Must>,
) {
    let Some(set) = changed.get().filter(|text| !text.is_empty()) else {
        return;
    };
    let reason = match url_of(&set) {
        Ok(None) => return,
        Ok(Some(url)) => match change::allowed(farm, &url) {
            Ok(()) => return,
            Err(refusal) => refusal.reason,
        },
        Err(must) => must,
    };
    let text = format!(
        "ATH0431: farm {}:{named} what {key} was set to at run time is given up: {key}={}: {reason}",
        farm.name,
        set.escape_default()
    );
    log::server(Level::Warning, farm.server_rec, &text);
    changed.set(configured, configured);
}

fn forward_url(text: &str) -> Result<Option<String>, Must> {
    Forward::read(text).map(|forward| match forward {
        Forward::Farm(_) => None,
        Forward::Url(url) => Some(url),
    })
}

fn fallback_url(text: &str) -> Result<Option<String>, Must> {
    Fallback::read(text).map(|fallback| match fallback {
        Fallback::Proxy(url) | Fallback::Redirect(url) => Some(url),
    })
}
