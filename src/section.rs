//! A server's `<Proxy>` and `<ProxyMatch>` sections, made ready to be asked whether they hold for a farm.

use std::ffi::{CStr, c_char};

use athena_engine::config::section;
use athena_engine::config::target::Target;

use crate::proxy::{self, Proxy};
use crate::{conf, ffi, pool};

/// One that holds rules for requests. Lives as long as the configuration.
pub struct Section {
    /// What it says.
    pub vector: *mut ffi::ap_conf_vector_t,
    /// It has an `<If>`.
    pub conditional: bool,
    stock: &'static ffi::proxy_dir_conf,
    pattern: Pattern,
}

/// What a section is compared by, where a name is the same in any case.
enum Pattern {
    /// Its name, as it stands.
    Name,
    Wildcard(*const c_char),
    Regex(*mut ffi::ap_regex_t),
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
/// `pool` is the configuration's, `s` one of its servers.
pub unsafe fn of(
    pool: *mut ffi::apr_pool_t,
    s: *mut ffi::server_rec,
    proxy: &Proxy,
) -> Vec<Section> {
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
                    pattern: Pattern::of(pool, stock),
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

impl Pattern {
    unsafe fn of(pool: *mut ffi::apr_pool_t, stock: &ffi::proxy_dir_conf) -> Self {
        // SAFETY: the caller's promise; the section's text was set when it was read.
        unsafe {
            let (name, path) = section::split_pattern(pool::bytes(stock.p));
            if !stock.r.is_null() {
                let pattern = pool::joined(pool, &[b"(?i)", name, b"(?-i)", path]);
                let any_case = ffi::ap_pregcomp(pool, pattern, ffi::AP_REG_EXTENDED);
                // One that may not begin so (`(*UTF)`) stays as it is.
                return Self::Regex(if any_case.is_null() {
                    stock.r
                } else {
                    any_case
                });
            }
            if stock.p_is_fnmatch != 0 {
                return Self::Wildcard(pool::joined(pool, &[&name.to_ascii_lowercase(), path]));
            }
            Self::Name
        }
    }
}

impl Section {
    /// Whether it holds for a request, in any spelling of its farm. Sets the variables of named groups, as
    /// mod_proxy does (proxy_walk in mod_proxy.c). `is_declared` as in
    /// [`athena_engine::config::target::farm_name`].
    ///
    /// # Safety
    /// The request is live.
    pub unsafe fn holds(&self, asked: &Asked<'_>, is_declared: impl Fn(&str) -> bool) -> bool {
        let target = &asked.target;
        // SAFETY: the caller's promise; patterns live as long as the configuration.
        unsafe {
            match self.pattern {
                Pattern::Name => section::section_holds(
                    pool::bytes(self.stock.p),
                    asked.farm,
                    target.scheme,
                    target.rest,
                    is_declared,
                ),
                Pattern::Wildcard(lower) => {
                    let matches = |pattern, url| ffi::apr_fnmatch(pattern, url, 0) == 0;
                    matches(self.stock.p, asked.url.as_ptr())
                        || asked.spellings().any(|url| matches(lower, url))
                }
                Pattern::Regex(regex) => std::iter::once(asked.url.as_ptr())
                    .chain(asked.spellings())
                    .any(|url| self.matches(asked.r, regex, url)),
            }
        }
    }

    unsafe fn matches(
        &self,
        r: *mut ffi::request_rec,
        regex: *mut ffi::ap_regex_t,
        url: *const c_char,
    ) -> bool {
        // SAFETY: the caller's promise; groups that matched lie within the URL.
        unsafe {
            let mut found: Vec<ffi::ap_regmatch_t> = groups(self.stock)
                .map(|_| ffi::ap_regmatch_t {
                    rm_so: -1,
                    rm_eo: -1,
                })
                .collect();
            if ffi::ap_regexec(regex, url, found.len(), found.as_mut_ptr(), 0) != 0 {
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

impl Asked<'_> {
    /// The target with the farm's name in lower case: as it came, and under the schemes that a section is likely
    /// to name.
    unsafe fn spellings(&self) -> impl Iterator<Item = *const c_char> {
        let common: [&[u8]; 3] = [b"balancer", b"http", b"https"];
        let own = Some(self.target.scheme.as_bytes());
        own.filter(|own| !common.contains(own))
            .into_iter()
            .chain(common)
            .map(|scheme| {
                let pieces: [&[u8]; 4] = [scheme, b"://", self.farm.as_bytes(), self.target.rest];
                // SAFETY: the request is live.
                unsafe { pool::concat_bytes(self.r, &pieces) }.cast_const()
            })
    }
}
