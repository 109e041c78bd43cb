//! `ProxyPassReverse`, `-CookieDomain` and `-CookiePath` of farms, at the first byte of an answer:
//! after mod_proxy's own mapping, which knows single hosts, and with the member that answered.

use std::ffi::{CStr, c_char};

use athena_engine::config::mark;
use athena_engine::reverse::header::{self, Scope};
use athena_engine::reverse::{self, Mount, Origin};

use crate::farm::{Farm, Member};
use crate::filter::Filter;
use crate::guard::guard;
use crate::log::{self, Level};
use crate::record::Record;
use crate::runtime::{self, FarmTable};
use crate::{ffi, pool, proxy};

static FILTER: Filter = Filter::new();

/// What a header's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    Url,
    Refresh,
    Link,
    Cookie,
}

const HEADERS: [(&str, Value); 7] = [
    ("Location", Value::Url),
    ("Content-Location", Value::Url),
    ("URI", Value::Url),
    ("Destination", Value::Url),
    ("Refresh", Value::Refresh),
    ("Link", Value::Link),
    ("Set-Cookie", Value::Cookie),
];

/// The lines that hold for a request: arrays of mod_proxy's `proxy_alias`.
#[derive(Clone, Copy)]
struct Lines {
    urls: *const ffi::apr_array_header_t,
    domains: *const ffi::apr_array_header_t,
    paths: *const ffi::apr_array_header_t,
}

/// An answer under way, and who gave it.
struct Mapping {
    r: *mut ffi::request_rec,
    farms: &'static FarmTable,
    lines: Lines,
    /// The farm that the request named, and the one that served it.
    own: [Option<&'static Farm>; 2],
    member: Option<&'static Member>,
}

/// Registers the filter of requests to no farm.
///
/// # Safety
/// Called from register_hooks.
pub unsafe fn register() {
    // SAFETY: the caller's promise.
    unsafe { FILTER.register(c"ATHENA_REVERSE", output) }
}

/// Maps the headers of a farm's answer.
///
/// # Safety
/// `r` is live and its answer has begun; `record` is its own.
pub unsafe fn answered(r: *mut ffi::request_rec, record: &Record) {
    // SAFETY: the caller's promise.
    unsafe { map(r, [record.named(), record.farm()], record.member()) }
}

/// Readies a request that goes to no farm, whose lines may still name one as `balancer://`: stock
/// mod_proxy would map with those.
///
/// # Safety
/// `r` is live.
pub unsafe fn watch(r: *mut ffi::request_rec) {
    // SAFETY: the caller's promise; lines live at least as long as the request.
    unsafe {
        if (*r).proxyreq != ffi::PROXYREQ_REVERSE
            || !runtime::farms_of((*r).server).is_some_and(|farms| farms.marked)
        {
            return;
        }
        let marked = Lines::of(r).is_some_and(|lines| {
            aliases(lines.urls).any(|line| mark::is_on(CStr::from_ptr(line.real).to_bytes()))
        });
        if marked {
            FILTER.add(r, std::ptr::null_mut());
        }
    }
}

/// The output filter of requests that [`watch`] readied.
unsafe extern "C" fn output(
    filter: *mut ffi::ap_filter_t,
    brigade: *mut ffi::apr_bucket_brigade,
) -> ffi::apr_status_t {
    guard!("reverse filter", ffi::APR_EGENERAL, {
        // SAFETY: httpd calls with a live filter and brigade.
        unsafe {
            let next = (*filter).next;
            map((*filter).r, [None; 2], None);
            ffi::ap_remove_output_filter(filter);
            ffi::ap_pass_brigade(next, brigade)
        }
    })
}

unsafe fn map(
    r: *mut ffi::request_rec,
    own: [Option<&'static Farm>; 2],
    member: Option<&'static Member>,
) {
    // SAFETY: the caller's promise; the entries of a live table, written in place: names, order
    // and number stay.
    unsafe {
        let Some(lines) = Lines::of(r) else { return };
        let headers = ffi::apr_table_elts((*r).headers_out);
        let mut mapping = None;
        for entry in proxy::elements::<ffi::apr_table_entry_t>(headers) {
            let Some(kind) = kind_of(CStr::from_ptr((*entry).key)) else {
                continue;
            };
            let Some(farms) = runtime::farms_of((*r).server) else {
                return;
            };
            let mapping = mapping.get_or_insert(Mapping {
                r,
                farms,
                lines,
                own,
                member,
            });
            let value = CStr::from_ptr((*entry).val).to_bytes();
            if let Some(new) = mapping.value(kind, value) {
                let new = pool::concat_bytes(r, &[&new]);
                explain(r, (*entry).key, (*entry).val, new);
                (*entry).val = new;
            }
        }
    }
}

fn kind_of(name: &CStr) -> Option<Value> {
    let name = name.to_bytes();
    HEADERS
        .iter()
        .find(|(header, _)| name.eq_ignore_ascii_case(header.as_bytes()))
        .map(|(_, value)| *value)
}

impl Lines {
    /// The lines in force for a request; `None` without any.
    unsafe fn of(r: *mut ffi::request_rec) -> Option<Self> {
        let proxy = proxy::get()?;
        // SAFETY: the caller's promise; mod_proxy's own structures, as in its
        // ap_proxy_location_reverse_map.
        unsafe {
            let conf = ffi::ath_shim_get_config((*r).per_dir_config, proxy.module)
                .cast::<ffi::proxy_dir_conf>()
                .as_ref()?;
            let own = ffi::ath_shim_get_config((*r).request_config, proxy.module)
                .cast::<ffi::proxy_req_conf>()
                .as_ref()
                .filter(|_| conf.interpolate_env == 1);
            let lines = match own {
                Some(own) => Self {
                    urls: own.raliases,
                    domains: own.cookie_domains,
                    paths: own.cookie_paths,
                },
                None => Self {
                    urls: conf.raliases,
                    domains: conf.cookie_domains,
                    paths: conf.cookie_paths,
                },
            };
            let any = [lines.urls, lines.domains, lines.paths]
                .into_iter()
                .any(|array| array.as_ref().is_some_and(|array| array.nelts > 0));
            any.then_some(lines)
        }
    }
}

impl Mapping {
    fn value(&self, kind: Value, value: &[u8]) -> Option<Vec<u8>> {
        match kind {
            Value::Url => header::url(value, |url| self.url(url)),
            Value::Refresh => header::refresh(value, |url| self.url(url)),
            Value::Link => header::link(value, |url| self.url(url)),
            Value::Cookie => header::cookie(value, |scope, text| match scope {
                Scope::Domain => self.domain(text),
                Scope::Path => self.path(text),
            }),
        }
    }

    /// `ProxyPassReverse`: the URL as the client reaches it, absolute.
    fn url(&self, url: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: the request is live while its answer is mapped; its lines outlive it.
        unsafe {
            let request = CStr::from_ptr((*self.r).uri).to_bytes();
            let root = self.absolute(b"/");
            let mounts = aliases(self.lines.urls).filter_map(|line| {
                let (farm, path) = self.farm(CStr::from_ptr(line.real))?;
                Some(Mount {
                    public: CStr::from_ptr(line.fake).to_bytes(),
                    path,
                    own: self.is_own(farm),
                    members: self.origins(farm),
                })
            });
            let mapped = reverse::map(url, request, root.to_bytes(), mounts)?;
            if mapped.starts_with(b"/") {
                return Some(self.absolute(&mapped).to_bytes().to_vec());
            }
            Some(mapped)
        }
    }

    /// `ProxyPassReverseCookieDomain`, with a farm in place of a domain.
    fn domain(&self, domain: &[u8]) -> Option<Vec<u8>> {
        self.scope(self.lines.domains, |origin, _| origin.is_domain(domain))
    }

    /// `ProxyPassReverseCookiePath`, with a farm's URL in place of a path.
    fn path(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.scope(self.lines.paths, |origin, prefix| {
            origin.behind(path, prefix).is_some()
        })
    }

    /// What the first line says that names a farm with a member that `fits`.
    fn scope(
        &self,
        lines: *const ffi::apr_array_header_t,
        fits: impl Fn(&Origin, &[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        // SAFETY: as `url`. Here `fake` is what members say.
        unsafe {
            aliases(lines).find_map(|line| {
                let (farm, path) = self.farm(CStr::from_ptr(line.fake))?;
                self.origins(farm)
                    .any(|origin| fits(origin, path))
                    .then(|| CStr::from_ptr(line.real).to_bytes().to_vec())
            })
        }
    }

    /// The farm that a line names, by a URL in any spelling or (for cookies' domains) by its name
    /// alone; and the path behind the name.
    fn farm<'l>(&self, line: &'l CStr) -> Option<(&'static Farm, &'l [u8])> {
        let name = mark::off(line.to_bytes());
        let farms = &self.farms.by_name;
        let (found, rest) = farms.find(name).or_else(|| farms.find_host(name))?;
        // SAFETY: farms live as long as the configuration.
        let farm = unsafe { found.farm.as_ref() }?;
        Some((farm, rest))
    }

    /// The farm that the request named, or the one that served it.
    fn is_own(&self, farm: &Farm) -> bool {
        let own = self.own.iter().flatten();
        own.into_iter().any(|own| std::ptr::eq(*own, farm))
    }

    /// The origins of a farm's members, beginning with the member that answered.
    fn origins(&self, farm: &'static Farm) -> impl Iterator<Item = &'static Origin> {
        self.member
            .filter(|_| self.is_own(farm))
            .into_iter()
            .chain(&farm.members)
            .filter_map(|member| member.origin.as_ref())
    }

    /// A URL of this server, as the client would write it.
    unsafe fn absolute(&self, path: &[u8]) -> &CStr {
        // SAFETY: the request is live; the result is in its pool.
        unsafe {
            let path = pool::concat_bytes(self.r, &[path]);
            CStr::from_ptr(ffi::ap_construct_url((*self.r).pool, path, self.r))
        }
    }
}

/// The lines of an array.
///
/// # Safety
/// `array` is NULL or one of mod_proxy's arrays of `proxy_alias`.
unsafe fn aliases<'a>(
    array: *const ffi::apr_array_header_t,
) -> impl Iterator<Item = &'a ffi::proxy_alias> {
    // SAFETY: the caller's promise.
    unsafe { proxy::elements::<ffi::proxy_alias>(array).filter_map(|line| line.as_ref()) }
        .filter(|line| !line.real.is_null() && !line.fake.is_null())
}

/// `LogLevel athena:debug`: one line for each value that was mapped.
unsafe fn explain(
    r: *mut ffi::request_rec,
    name: *const c_char,
    before: *const c_char,
    after: *const c_char,
) {
    if log::debug_wanted(r) {
        // SAFETY: entries of a live table.
        let [name, before, after] =
            [name, before, after].map(|text| unsafe { CStr::from_ptr(text) }.to_string_lossy());
        log::request(
            Level::Debug,
            r,
            &format!("ATH0160: {name}: {before} becomes {after}"),
        );
    }
}
