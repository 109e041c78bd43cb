//! Which of mod_proxy's workers a BalancerMember line speaks of.

use std::collections::HashMap;

use athena_engine::config::param::MemberParams;
use athena_engine::config::target;
use athena_engine::config::worker::behind_socket;

use super::Line;
use crate::naming::text;
use crate::{ffi, pool, proxy};

/// The worker that mod_proxy made of the BalancerMember line before this one.
pub fn worker(line: &Line, farm: &str, member: &str) -> Option<*mut ffi::proxy_worker> {
    let proxy = proxy::get()?;
    // SAFETY: httpd reads a line for a live server; mod_proxy's functions only read the strings.
    unsafe {
        let pool = (*line.parms).temp_pool;
        let conf = proxy.conf((*line.parms).server);
        let name = pool::text(pool, &format!("balancer://{farm}"));
        let balancer = (proxy.get_balancer)(pool, conf, name, 0);
        if balancer.is_null() {
            return None;
        }
        let find = |url: &str| {
            let worker = (proxy.get_worker)(pool, balancer, conf, pool::text(pool, url));
            (!worker.is_null()).then_some(worker)
        };
        // It names no worker with its scheme's own port, and looks none up without.
        let url = behind_socket(member);
        find(url).or_else(|| find(&target::without_port(url)?))
    }
}

/// The worker's own URL, if the line before this one has not made it: mod_proxy has one worker for URLs
/// of which one begins with the other, and passes over the parameters of the second line.
pub fn shared_with(
    worker: *mut ffi::proxy_worker,
    member: &str,
    known: &HashMap<*mut ffi::proxy_worker, MemberParams>,
) -> Option<String> {
    // SAFETY: mod_proxy's own worker of the configuration that is being read.
    let name = unsafe { text((*(*worker).s).name_ex.as_ptr()) };
    let path = |url: &str| {
        let behind_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = behind_scheme.split_once('/').map_or("", |(_, path)| path);
        path.trim_end_matches('/').to_owned()
    };
    let other = path(&name) != path(behind_socket(member));
    (other || known.contains_key(&worker)).then_some(name)
}
