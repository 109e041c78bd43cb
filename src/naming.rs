//! What servers, farms and members are called.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, c_char};

use athena_engine::config::param::MemberParams;

use crate::ffi;

/// `main`, or the virtual host's name and port; numbered where that is not unique.
pub unsafe fn server_name(
    s: *mut ffi::server_rec,
    main: *mut ffi::server_rec,
    taken: &mut HashMap<String, u32>,
) -> String {
    if s == main {
        return "main".to_owned();
    }
    // SAFETY: a live server; its name is NULL or NUL-terminated.
    let (host, port) = unsafe {
        let port = (*s)
            .addrs
            .as_ref()
            .map_or((*s).port, |address| address.host_port);
        (text((*s).server_hostname), port)
    };
    let mut name = if port == 0 {
        host
    } else {
        format!("{host}:{port}")
    };
    name.truncate(name.floor_char_boundary(80));
    let count = taken.entry(name.clone()).or_insert(0);
    *count += 1;
    if *count > 1 {
        format!("{name}#{count}")
    } else {
        name
    }
}

/// The name behind `balancer://`.
pub unsafe fn farm_name(balancer: *mut ffi::proxy_balancer) -> String {
    // SAFETY: a live balancer's name is NUL-terminated.
    let name = unsafe { text((*(*balancer).s).name.as_ptr()) };
    let name = name.strip_prefix("balancer://").unwrap_or(&name);
    name.trim_end_matches('/').to_ascii_lowercase()
}

/// Members' names: `name=`, or `host:port`, with the path where two share it, or the whole URL.
pub unsafe fn name_members<'a>(
    workers: &[*mut ffi::proxy_worker],
    own: impl Fn(*mut ffi::proxy_worker) -> Option<&'a MemberParams>,
) -> Vec<String> {
    // SAFETY: workers of a configuration that has been read.
    let shared = |worker: *mut ffi::proxy_worker| unsafe { &*(*worker).s };
    let address = |worker| {
        let shared = shared(worker);
        let socket = text(shared.uds_path.as_ptr());
        if socket.is_empty() {
            format!("{}:{}", text(shared.hostname_ex.as_ptr()), shared.port)
        } else {
            format!("unix:{socket}")
        }
    };
    let path = |worker| {
        let url = text(shared(worker).name_ex.as_ptr());
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/')
            .and_then(|at| rest.get(at..))
            .unwrap_or("")
            .trim_end_matches('/')
            .to_owned()
    };
    let addresses: Vec<String> = workers.iter().map(|worker| address(*worker)).collect();
    let with_paths: Vec<String> = workers
        .iter()
        .map(|worker| address(*worker) + &path(*worker))
        .collect();
    let (shared_addresses, shared_paths) = (repeated(&addresses), repeated(&with_paths));
    workers
        .iter()
        .zip(addresses.iter().zip(&with_paths))
        .map(|(worker, (address, with_path))| {
            let given = own(*worker).and_then(|params| params.name.clone());
            given.unwrap_or_else(|| {
                if !shared_addresses.contains(address) {
                    address.clone()
                } else if !shared_paths.contains(with_path) {
                    with_path.clone()
                } else {
                    text(shared(*worker).name_ex.as_ptr())
                }
            })
        })
        .collect()
}

/// The names that stand more than once in a list.
fn repeated(names: &[String]) -> HashSet<&String> {
    let mut seen = HashSet::new();
    names.iter().filter(|name| !seen.insert(*name)).collect()
}

/// A C string of httpd's or mod_proxy's structures; empty for NULL.
pub fn text(c: *const c_char) -> String {
    if c.is_null() {
        return String::new();
    }
    // SAFETY: NUL-terminated strings of httpd's and mod_proxy's structures.
    unsafe { CStr::from_ptr(c) }.to_string_lossy().into_owned()
}
