//! A server's `<Proxy>` and `<ProxyMatch>` sections, made ready to be asked whether they hold for a farm.

use std::ffi::{CStr, c_char};

use athena_engine::config::farms::Farms;
use athena_engine::config::section;
use athena_engine::config::target::{Target, default_port};

use crate::proxy::{self, Proxy};
use crate::runtime::FarmRef;
use crate::{conf, ffi, pool};

/// One that holds rules for requests. Lives as long as the configuration.
pub struct Section {
    /// What it says.
    pub vector: *mut ffi::ap_conf_vector_t,
    /// It has an `<If>`.
    pub conditional: bool,
    stock: &'static ffi::proxy_dir_conf,
    /// What its pattern says of names ([`section::names_in`]).
    names: Vec<u8>,
}

/// A request to a farm.
pub struct Asked<'a> {
    pub r: *mut ffi::request_rec,
    /// The target as it came, and the same in its parts.
    pub url: &'a CStr,
    pub target: Target<'a>,
    /// The farm's name, in lower case.
    pub farm: &'a str,
}

/// The sections of a server that hold rules, or variables for named groups, in the order in which they are
/// merged.
///
/// # Safety
/// `s` is a server of the configuration.
pub unsafe fn of(s: *mut ffi::server_rec, proxy: &Proxy) -> Vec<Section> {
    // SAFETY: mod_proxy's own sections, which live as long as the configuration.
    unsafe {
        proxy::elements::<*mut ffi::ap_conf_vector_t>((*proxy.conf(s)).sec_proxy)
            .filter_map(|vector| {
                let vector = *vector;
                let stock = ffi::ath_shim_get_config(vector, proxy.module)
                    .cast::<ffi::proxy_dir_conf>()
                    .as_ref()?;
                (conf::has_rules(vector) || groups(stock).next().is_some()).then(|| Section {
                    vector,
                    conditional: has_conditions(vector),
                    stock,
                    names: section::names_in(pool::bytes(stock.p)),
                })
            })
            .collect()
    }
}

/// Whether a section has an `<If>`, which httpd's core keeps.
unsafe fn has_conditions(vector: *const ffi::ap_conf_vector_t) -> bool {
    // SAFETY: a live section; NULL where it holds nothing of the core's.
    unsafe {
        ffi::ap_get_core_module_config(vector)
            .cast::<ffi::core_dir_config>()
            .as_ref()
            .is_some_and(|core| !core.sec_if.is_null())
    }
}

/// The variables that the groups of a section's expression set, by number; null for none.
unsafe fn groups(stock: &ffi::proxy_dir_conf) -> impl Iterator<Item = *const c_char> {
    // SAFETY: mod_proxy's own array of names.
    unsafe { proxy::elements::<*const c_char>(stock.refs).map(|name| *name) }
}

impl Section {
    /// Whether it holds for a request, in any spelling of its farm. Sets the variables of named groups, as
    /// mod_proxy does (proxy_walk in mod_proxy.c). `farms` are those of the request's server.
    ///
    /// # Safety
    /// The request is live.
    pub unsafe fn holds(&self, asked: &Asked<'_>, farms: &Farms<FarmRef>) -> bool {
        let target = &asked.target;
        // SAFETY: the caller's promise; patterns live as long as the configuration.
        unsafe {
            let stock = self.stock;
            if stock.r.is_null() && stock.p_is_fnmatch == 0 {
                return section::section_holds(
                    pool::bytes(stock.p),
                    asked.farm,
                    target.scheme,
                    target.rest,
                    |name| farms.is_declared(name),
                    |name| has_members(farms, name),
                );
            }
            std::iter::once(asked.url.as_ptr())
                .chain(asked.spellings(&self.names))
                .any(|url| {
                    if stock.r.is_null() {
                        ffi::apr_fnmatch(stock.p, url, 0) == 0
                    } else {
                        self.matches(asked.r, url)
                    }
                })
        }
    }

    unsafe fn matches(&self, r: *mut ffi::request_rec, url: *const c_char) -> bool {
        // SAFETY: the caller's promise; groups that matched lie within the URL.
        unsafe {
            let mut found: Vec<ffi::ap_regmatch_t> = groups(self.stock)
                .map(|_| ffi::ap_regmatch_t {
                    rm_so: -1,
                    rm_eo: -1,
                })
                .collect();
            if ffi::ap_regexec(self.stock.r, url, found.len(), found.as_mut_ptr(), 0) != 0 {
                return false;
            }
            let url = CStr::from_ptr(url).to_bytes();
            for (name, place) in groups(self.stock).zip(&found) {
                let ends = (usize::try_from(place.rm_so), usize::try_from(place.rm_eo));
                let (Ok(start), Ok(end)) = ends else { continue };
                if let Some(value) = url.get(start..end).filter(|_| !name.is_null()) {
                    let value = pool::concat_bytes(r, &[value]);
                    ffi::apr_table_setn((*r).subprocess_env, name, value);
                }
            }
            true
        }
    }
}

fn has_members(farms: &Farms<FarmRef>, name: &str) -> bool {
    let found = farms.named(name);
    // SAFETY: farms live as long as the configuration.
    let farm = found.and_then(|found| unsafe { found.farm.as_ref() });
    farm.is_some_and(|farm| farm.members.len() > 0)
}

impl Asked<'_> {
    /// The target with the farm's name as a pattern writes it: as it came, and under the schemes that a section is
    /// likely to name; with the scheme's port, too, where the pattern may speak of one; and in lower case, if the
    /// pattern does not write all of the name.
    unsafe fn spellings(&self, names: &[u8]) -> impl Iterator<Item = *const c_char> {
        let common = ["balancer", "http", "https"];
        let own = Some(self.target.scheme).filter(|own| !common.contains(own));
        let ported = names.contains(&b':');
        let lower =
            (!section::is_written_in(names, self.farm)).then(|| self.farm.as_bytes().to_vec());
        let names: Vec<Vec<u8>> = lower
            .into_iter()
            .chain([section::spelt_as_in(names, self.farm)])
            .collect();
        own.into_iter().chain(common).flat_map(move |scheme| {
            let port = default_port(scheme).filter(|_| ported);
            let ports = [Some(String::new()), port.map(|port| format!(":{port}"))];
            let mut spelt = Vec::new();
            for port in ports.into_iter().flatten() {
                for name in &names {
                    let pieces = [
                        scheme.as_bytes(),
                        b"://",
                        name,
                        port.as_bytes(),
                        self.target.rest,
                    ];
                    // SAFETY: the request is live.
                    spelt.push(unsafe { pool::concat_bytes(self.r, &pieces) }.cast_const());
                }
            }
            spelt
        })
    }
}
