//! What the configuration said, for each server and section.

use std::collections::{HashMap, HashSet};
use std::ffi::{c_char, c_void};

use athena_engine::config::allow::Allowed;
use athena_engine::config::param::{FarmParams, MemberParams};
use athena_engine::config::qos::Qos;
use athena_engine::config::trust::Trust;
use athena_engine::cookie;

use crate::guard::guard;
use crate::runtime::FarmTable;
use crate::{athena_module_ptr, ffi};

/// `AthPath`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnginePath {
    /// The engine answers below this path, kept without a trailing slash.
    At(String),
    /// `none`: the path belongs to the application.
    Off,
}

/// `AthSHMFile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardFile {
    Path(String),
    None,
}

/// `AthUpdateKey`.
#[derive(Clone)]
pub enum UpdateKey {
    Key(String),
    /// The main server's is not this one's either.
    None,
}

/// One server's configuration.
#[derive(Default)]
pub struct ServerConf {
    /// `AthEngine`; the main server's holds for all.
    pub engine: bool,
    /// `AthSHMFile`; likewise.
    pub board_file: Option<BoardFile>,
    pub path: Option<EnginePath>,
    pub trust: Option<Trust>,
    pub update_key: Option<UpdateKey>,
    /// `AthMemberAllow`.
    pub allowed: Option<Allowed>,
    /// `AthQos` lines; a virtual host's come behind the main server's.
    pub qos: Vec<Qos>,
    /// `AthCookieName`, `AthCookieKey`, `AthCookieMode`.
    pub cookie: cookie::Settings,
    /// `AthMaxEmbed`.
    pub max_embed: Option<usize>,
    /// `AthAllowDiverseMulti`.
    pub diverse: Option<bool>,
    /// Farms that `AthFarm` or `LBServerCluster` declared in this server: these may have a dot in their name.
    pub declared: HashSet<String>,
    /// What was taken off mod_proxy's lines for farms of this server, by farm name.
    pub farms: HashMap<String, FarmParams>,
    /// Likewise for members, by worker.
    pub members: HashMap<*mut ffi::proxy_worker, MemberParams>,
    /// Lines that mod_proxy makes no member of, by farm name, as texts for the log.
    pub passed_over: HashMap<String, Vec<String>>,
    /// Farms this server can reach, filled in when all is read.
    pub table: FarmTable,
}

impl ServerConf {
    /// The configuration of a server.
    pub fn of<'a>(s: *const ffi::server_rec) -> Option<&'a ServerConf> {
        // SAFETY: httpd made it through `create_server` for every server; whoever changes it promises that
        // nobody else has it.
        unsafe {
            ffi::ath_shim_get_config((*s).module_config, athena_module_ptr())
                .cast::<ServerConf>()
                .as_ref()
        }
    }

    /// What stands in a server itself: httpd gives a virtual host without a directive of ours the main
    /// server's very structure.
    pub fn written_in<'a>(s: *const ffi::server_rec) -> Option<&'a ServerConf> {
        let conf = Self::of(s)?;
        // SAFETY: httpd sets `ap_server_conf` before the hooks that ask run.
        let is_main = std::ptr::eq(s, unsafe { ffi::ap_server_conf });
        (is_main || !std::ptr::eq(conf, Self::main()?)).then_some(conf)
    }

    /// The same, to be changed.
    ///
    /// # Safety
    /// Called in the parent, in its one thread, while the configuration is read or put together; `s` is one
    /// of its servers, and no other reference to its configuration is in use.
    pub unsafe fn of_mut<'a>(s: *const ffi::server_rec) -> Option<&'a mut ServerConf> {
        // SAFETY: as `of`, and the caller's promise.
        unsafe {
            ffi::ath_shim_get_config((*s).module_config, athena_module_ptr())
                .cast::<ServerConf>()
                .as_mut()
        }
    }

    /// The main server's configuration.
    pub fn main<'a>() -> Option<&'a ServerConf> {
        // SAFETY: httpd sets `ap_server_conf` before the hooks that ask run.
        let main = unsafe { ffi::ap_server_conf };
        if main.is_null() { None } else { Self::of(main) }
    }

    /// The configuration of a server of its own: httpd gives a virtual host without a directive of
    /// ours the main server's very structure.
    ///
    /// # Safety
    /// As [`Self::of_mut`]; `pool` is the configuration's.
    pub unsafe fn own<'a>(
        pool: *mut ffi::apr_pool_t,
        s: *mut ffi::server_rec,
    ) -> Option<&'a mut ServerConf> {
        let main = Self::main()?;
        let is_mains = std::ptr::eq(Self::of(s)?, main);
        // SAFETY: the caller's promise.
        unsafe {
            if s == ffi::ap_server_conf || !is_mains {
                return Self::of_mut(s);
            }
            let own = in_pool(pool, main.inherited_by(Self::default()));
            ffi::ath_shim_set_config((*s).module_config, athena_module_ptr(), own);
            own.cast::<ServerConf>().as_mut()
        }
    }

    /// A virtual host without a word of its own has the main server's.
    fn inherited_by(&self, own: Self) -> Self {
        Self {
            engine: self.engine,
            board_file: self.board_file.clone(),
            path: own.path.or_else(|| self.path.clone()),
            trust: own.trust.or_else(|| self.trust.clone()),
            update_key: own.update_key.or_else(|| self.update_key.clone()),
            allowed: own.allowed.or_else(|| self.allowed.clone()),
            qos: self.qos.iter().cloned().chain(own.qos).collect(),
            cookie: own.cookie.or(&self.cookie),
            max_embed: own.max_embed.or(self.max_embed),
            diverse: own.diverse.or(self.diverse),
            declared: own.declared,
            farms: own.farms,
            members: own.members,
            passed_over: own.passed_over,
            table: FarmTable::default(),
        }
    }

    /// The parameters of a farm, made when it has none yet.
    pub fn farm_params(&mut self, name: &str) -> &mut FarmParams {
        self.farms.entry(name.to_owned()).or_default()
    }
}

/// httpd's list of servers, from one of them on.
///
/// # Safety
/// `first` is NULL or one of them; they live as long as the configuration.
pub unsafe fn servers(first: *mut ffi::server_rec) -> impl Iterator<Item = *mut ffi::server_rec> {
    let some = |s: *mut ffi::server_rec| (!s.is_null()).then_some(s);
    // SAFETY: the caller's promise.
    std::iter::successors(some(first), move |s| some(unsafe { (**s).next }))
}

/// `create_server_config`.
pub unsafe extern "C" fn create_server(
    pool: *mut ffi::apr_pool_t,
    _s: *mut ffi::server_rec,
) -> *mut c_void {
    guard!("create_server_config", std::ptr::null_mut(), {
        // SAFETY: httpd calls with the configuration's pool.
        unsafe { in_pool(pool, ServerConf::default()) }
    })
}

/// `merge_server_config`: a virtual host without a word of its own has the main server's.
pub unsafe extern "C" fn merge_server(
    pool: *mut ffi::apr_pool_t,
    base: *mut c_void,
    own: *mut c_void,
) -> *mut c_void {
    guard!("merge_server_config", base, {
        // SAFETY: both were made by `create_server`; merging happens in one thread.
        let (Some(base), Some(own)) = (unsafe {
            (
                base.cast::<ServerConf>().as_ref(),
                own.cast::<ServerConf>().as_mut(),
            )
        }) else {
            return base;
        };
        let merged = base.inherited_by(std::mem::take(own));
        // SAFETY: as above.
        unsafe { in_pool(pool, merged) }
    })
}

/// Our part of a section's configuration.
#[derive(Default)]
pub struct SectionConf {
    /// A `<Proxy>` section that holds more than members and parameters: its rules must be merged
    /// into requests.
    rules: bool,
}

/// `create_dir_config`.
pub unsafe extern "C" fn create_section(
    pool: *mut ffi::apr_pool_t,
    _path: *mut c_char,
) -> *mut c_void {
    guard!("create_dir_config", std::ptr::null_mut(), {
        // SAFETY: httpd calls with a live pool.
        unsafe { in_pool(pool, SectionConf::default()) }
    })
}

/// Marks the section being read; see [`has_rules`].
pub fn mark_rules(section: *mut c_void) {
    // SAFETY: httpd hands a directive what `create_section` made for its section.
    if let Some(section) = unsafe { section.cast::<SectionConf>().as_mut() } {
        section.rules = true;
    }
}

/// Whether a `<Proxy>` section holds rules for requests.
pub fn has_rules(section: *const ffi::ap_conf_vector_t) -> bool {
    // SAFETY: a live section's vector; our part of it was made by `create_section`.
    unsafe {
        ffi::ath_shim_get_config(section, athena_module_ptr())
            .cast::<SectionConf>()
            .as_ref()
            .is_some_and(|section| section.rules)
    }
}

/// A Rust value that lives and is dropped with a pool.
///
/// # Safety
/// `pool` is live.
pub unsafe fn in_pool<T>(pool: *mut ffi::apr_pool_t, value: T) -> *mut c_void {
    unsafe extern "C" fn drop_value<T>(data: *mut c_void) -> ffi::apr_status_t {
        guard!("configuration cleanup", ffi::APR_SUCCESS, {
            // SAFETY: registered once with the pointer that `Box::into_raw` gave.
            drop(unsafe { Box::from_raw(data.cast::<T>()) });
            ffi::APR_SUCCESS
        })
    }
    let data: *mut c_void = Box::into_raw(Box::new(value)).cast();
    // SAFETY: the caller's promise; the cleanup frees what is registered with it.
    unsafe {
        ffi::apr_pool_cleanup_register(
            pool,
            data,
            Some(drop_value::<T>),
            Some(ffi::apr_pool_cleanup_null),
        );
    }
    data
}
