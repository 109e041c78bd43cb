//! What servers, farms and members are called.

use std::collections::{HashMap, HashSet};
use std::ffi::{CStr, c_char};

use athena_engine::config::param::MemberParams;

use crate::farm::Farm;
use crate::{conf, ffi};

/// What the main server is called, and no virtual host.
pub const MAIN: &str = "main";

/// Writes a text into one of mod_proxy's arrays, cut off before a NUL in its last place.
pub fn write(field: &mut [c_char], text: &str) {
    let Some((last, room)) = field.split_last_mut() else {
        return;
    };
    let bytes = text.bytes().map(u8::cast_signed);
    for (place, byte) in room.iter_mut().zip(bytes.chain(std::iter::repeat(0))) {
        *place = byte;
    }
    *last = 0;
}

/// What one of mod_proxy's arrays says: up to its first NUL, nothing without one. Any child may write
/// every byte of what is shared, at any time, and the parent reads it.
pub fn read(field: &[c_char]) -> &CStr {
    // SAFETY: looks at the array's own places only.
    let length = unsafe { libc::strnlen(field.as_ptr(), field.len()) };
    let Some(text) = field.get(..=length) else {
        return c"";
    };
    // SAFETY: the same places as bytes, the last of which was NUL when it was looked at. Should a child
    // write over it meanwhile, who goes by the length, as the parent does, still reads the array only.
    unsafe {
        let bytes = std::slice::from_raw_parts(text.as_ptr().cast(), text.len());
        CStr::from_bytes_with_nul_unchecked(bytes)
    }
}

/// The same as a text of one's own, copied before it is judged.
pub fn read_text(field: &[c_char]) -> String {
    String::from_utf8(read(field).to_bytes().to_vec())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// All servers as httpd lists them, with their names: `main` for the first, or the virtual host's name, in
/// lower case, and port, numbered where that is not unique.
///
/// # Safety
/// `main` is the first of httpd's list.
pub unsafe fn servers(main: *mut ffi::server_rec) -> Vec<(*mut ffi::server_rec, String)> {
    // SAFETY: the caller's promise.
    let mut servers: Vec<_> = unsafe { conf::servers(main) }
        // SAFETY: as above.
        .map(|s| (s, unsafe { server_name(s, main) }))
        .collect();
    let mut taken = HashMap::from([(MAIN.to_owned(), 1)]);
    // The main server comes first, and the last virtual host behind it. Numbered from the first, none is
    // called otherwise when another comes behind it.
    for (_, name) in servers.iter_mut().skip(1).rev() {
        let count = taken.entry(name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            *name = format!("{name}#{count}");
        }
    }
    servers
}

unsafe fn server_name(s: *mut ffi::server_rec, main: *mut ffi::server_rec) -> String {
    if s == main {
        return MAIN.to_owned();
    }
    // SAFETY: a live server; its name is NULL or NUL-terminated.
    let (host, port) = unsafe {
        let port = (*s)
            .addrs
            .as_ref()
            .map_or((*s).port, |address| address.host_port);
        (text((*s).server_hostname).to_ascii_lowercase(), port)
    };
    let mut name = if port == 0 {
        host
    } else {
        format!("{host}:{port}")
    };
    name.truncate(name.floor_char_boundary(80));
    name
}

/// The name behind `balancer://`.
///
/// # Safety
/// `balancer` is live.
pub unsafe fn farm_name(balancer: *mut ffi::proxy_balancer) -> String {
    // SAFETY: the caller's promise: a live balancer.
    let name = read_text(unsafe { &(*(*balancer).s).name });
    let name = name.strip_prefix("balancer://").unwrap_or(&name);
    name.trim_end_matches('/').to_ascii_lowercase()
}

/// Members' names: `name=`, or `host:port`, with the path where two share it, or the whole URL.
///
/// # Safety
/// The workers are live, and no other thread writes their names.
pub unsafe fn name_members<'a>(
    workers: &[*mut ffi::proxy_worker],
    own: impl Fn(*mut ffi::proxy_worker) -> Option<&'a MemberParams>,
) -> Vec<String> {
    // SAFETY: workers of a configuration that has been read.
    let read = |worker: &*mut ffi::proxy_worker, part: Part| unsafe { part(*worker) };
    let addresses: Vec<String> = workers.iter().map(|worker| read(worker, address)).collect();
    let with_paths: Vec<String> = workers
        .iter()
        .map(|worker| read(worker, address) + &read(worker, base_path))
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
                    read(worker, url)
                }
            })
        })
        .collect()
}

/// Refuses a `name=` that another member of a farm has, too.
///
/// # Safety
/// As [`name_members`].
pub unsafe fn check_names(
    farm: &str,
    names: &[String],
    workers: &[*mut ffi::proxy_worker],
    is_given: impl Fn(*mut ffi::proxy_worker) -> bool,
) -> Result<(), String> {
    let mut known = HashMap::new();
    for (name, worker) in names.iter().zip(workers) {
        let Some(other) = known.insert(name, *worker) else {
            continue;
        };
        if is_given(*worker) || is_given(other) {
            // SAFETY: workers of a configuration that has been read.
            let (one, two) = unsafe { (url(other), url(*worker)) };
            return Err(format!(
                "farm {farm}: name={name}: must be one member's alone: {one} and {two} have it"
            ));
        }
    }
    Ok(())
}

/// The name of a member that joins a farm, other than those of the members it has.
pub fn newcomers_name(worker: *mut ffi::proxy_worker, farm: &Farm) -> String {
    let taken = |name: &String| farm.members.iter().any(|member| member.name == *name);
    // SAFETY: a worker of the running configuration.
    let names = unsafe { [address(worker), address(worker) + &base_path(worker)] };
    let mut free = names.into_iter().filter(|name| !taken(name));
    // SAFETY: as above.
    free.next().unwrap_or_else(|| unsafe { url(worker) })
}

/// A part of a worker's name.
type Part = unsafe fn(*mut ffi::proxy_worker) -> String;

/// `host:port`, an IPv6 address in brackets, or the socket.
unsafe fn address(worker: *mut ffi::proxy_worker) -> String {
    // SAFETY: the caller's promise: a live worker.
    let shared = unsafe { &*(*worker).s };
    let socket = read_text(&shared.uds_path);
    if !socket.is_empty() {
        return format!("unix:{socket}");
    }
    let (host, port) = (read_text(&shared.hostname_ex), shared.port);
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// `host`, with the port where it is not the scheme's own; or the socket.
///
/// # Safety
/// `worker` is live.
pub unsafe fn shortest_address(worker: *mut ffi::proxy_worker) -> String {
    // SAFETY: the caller's promise.
    let (long, url) = unsafe { (address(worker), url(worker)) };
    if long.starts_with("unix:") {
        return long;
    }
    // mod_proxy leaves a default port out of the URL.
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

/// The path in the URL, without a slash at its end.
unsafe fn base_path(worker: *mut ffi::proxy_worker) -> String {
    // SAFETY: the caller's promise: a live worker.
    let url = unsafe { url(worker) };
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.find('/').and_then(|at| rest.get(at..));
    path.unwrap_or("").trim_end_matches('/').to_owned()
}

unsafe fn url(worker: *mut ffi::proxy_worker) -> String {
    // SAFETY: the caller's promise: a live worker.
    read_text(unsafe { &(*(*worker).s).name_ex })
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
