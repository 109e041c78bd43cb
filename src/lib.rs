//! mod_athena: the httpd edge. This file is the table of contents: the module record, then which
//! hook goes where and why in that order.
//!
//! * the configuration: [`tree`] → [`directives`] → [`conf`] → [`assemble`] ([`naming`],
//!   [`front`], [`seating`]) → [`runtime`]
//! * a request to a farm: [`access`] (by each [`section`]) → [`canon`] → [`serve`] → [`connection`] → [`outcome`] →
//!   [`account`] and [`judge`]; through a [`remote`], with what was [`prefetched`]; [`sticky`] keeps sessions, [`cookie`] is signed by back ends, [`filter`] sees the
//!   first byte and takes back a [`head`], [`reverse`] maps URLs and cookies back; [`forward`] and
//!   [`handover`] lead to other farms, [`patience`] and [`unusable`] are for when nothing is left,
//!   [`client`] may have gone by then
//! * what is shared: [`farm`] and [`record`] (the request's), [`generation`] (mod_proxy's part),
//!   the board (engine), [`memory`] (a child's members) and [`warm`]; [`refresh`] publishes plans, [`growth`] looks for
//!   members that are added, [`stored`] for what mod_proxy_balancer remembers; the [`watch`] takes over what
//!   others edited, and on its [`rounds`] it asks each [`agent`] and makes each [`check`]
//! * how a member is chosen: [`elect`], by the request's [`class`] and [`affinity`], and the farm's [`rule`],
//!   ours or other modules' ([`extension`], [`foreign`])
//! * what people change at run time: [`change`], [`mod@method`], and what happened: [`events`]
//! * who else asks: [`paths`] and [`api`], [`metrics`], [`status_page`], [`manager`], [`stock_pages`];
//!   mod_proxy_balancer through [`provider`] (and [`unlisted`])

mod access;
mod account;
mod added;
mod affinity;
mod agent;
mod api;
mod assemble;
mod body;
mod canon;
mod change;
mod check;
mod class;
mod client;
mod clock;
mod conf;
mod connection;
mod cookie;
mod directives;
mod drain;
mod edits;
mod elect;
mod environment;
mod events;
mod extension;
mod farm;
mod ffi;
mod filter;
mod foreign;
mod forward;
mod front;
mod futex;
mod generation;
mod growth;
mod guard;
mod handover;
mod head;
mod heartbeat;
mod judge;
mod log;
mod manager;
mod memory;
mod method;
mod metrics;
mod naming;
mod outcome;
mod paths;
mod patience;
mod pool;
mod prefetched;
mod provider;
mod proxy;
mod query;
mod queue;
mod random;
mod record;
mod refresh;
mod remote;
mod retained;
mod reverse;
mod review;
mod rounds;
mod rule;
mod runtime;
mod seating;
mod section;
mod serve;
mod stats;
mod status_page;
mod sticky;
mod stock_pages;
mod stored;
mod times;
mod tree;
mod unfit;
mod unlisted;
mod unusable;
mod warm;
mod watch;
mod worker;

use std::ffi::{CStr, c_char, c_int};
use std::ptr::{null, null_mut};

use ffi::OK;
use guard::guard;

/// The module record that `LoadModule athena_module` looks for.
#[unsafe(no_mangle)]
pub static mut athena_module: ffi::module = ffi::module_struct {
    version: ffi::MODULE_MAGIC_NUMBER_MAJOR,
    minor_version: ffi::MODULE_MAGIC_NUMBER_MINOR,
    module_index: -1,
    name: NAME.as_ptr(),
    dynamic_load_handle: null_mut(),
    next: null_mut(),
    // The cookie is a bit pattern, "AP24".
    magic: ffi::MODULE_MAGIC_COOKIE as _,
    rewrite_args: None,
    create_dir_config: Some(conf::create_section),
    merge_dir_config: None,
    create_server_config: Some(conf::create_server),
    merge_server_config: Some(conf::merge_server),
    cmds: directives::TABLE.as_ptr(),
    register_hooks: Some(register_hooks),
    flags: 0,
};

/// The name for `<IfModule mod_athena.c>` and for other modules' ordering lists.
const NAME: &CStr = c"mod_athena.c";

/// The module record, as httpd's configuration functions want it.
fn athena_module_ptr() -> *mut ffi::module {
    &raw mut athena_module
}

/// Names of modules for hook ordering, NULL-terminated.
struct Names<const N: usize>([*const c_char; N]);

// SAFETY: pointers to static strings, never written.
unsafe impl<const N: usize> Sync for Names<N> {}

static BALANCER: Names<2> = Names([c"mod_proxy_balancer.c".as_ptr(), null()]);
static AFTER_SHARED: Names<3> = Names([
    c"mod_proxy_balancer.c".as_ptr(),
    c"mod_proxy.c".as_ptr(),
    null(),
]);
static WATCHDOG: Names<2> = Names([c"mod_watchdog.c".as_ptr(), null()]);

/// Hooks of httpd itself. mod_proxy's own hooks need its addresses, see [`pre_config`].
unsafe extern "C" fn register_hooks(_pool: *mut ffi::apr_pool_t) {
    guard!("register_hooks", (), {
        let none = null();
        let first = ffi::APR_HOOK_REALLY_FIRST;
        // SAFETY: httpd calls while modules register; functions and names are static.
        unsafe {
            // Before any module sees a line of the configuration.
            ffi::ap_hook_pre_config(Some(pre_config), none, none, first);
            ffi::ap_hook_check_config(Some(assemble::check_config), none, none, ffi::APR_HOOK_LAST);
            // Before mod_proxy_balancer restores what its manager set.
            ffi::ap_hook_post_config(Some(stored::post_config), none, BALANCER.0.as_ptr(), first);
            // After mod_proxy_balancer has shared its workers, before the watchdog starts.
            ffi::ap_hook_post_config(
                Some(assemble::post_config),
                AFTER_SHARED.0.as_ptr(),
                WATCHDOG.0.as_ptr(),
                ffi::APR_HOOK_LAST,
            );
            ffi::ap_hook_child_init(Some(memory::child_init), none, none, first);
            ffi::ap_hook_child_init(Some(runtime::child_init), none, none, ffi::APR_HOOK_MIDDLE);
            ffi::ap_hook_child_status(Some(runtime::child_status), none, none, first);
            ffi::ap_hook_monitor(Some(watch::monitor), none, none, ffi::APR_HOOK_MIDDLE);
            // The engine's paths come before every mapping.
            ffi::ap_hook_pre_translate_name(Some(paths::pre_translate_name), none, none, first);
            ffi::ap_hook_translate_name(Some(paths::translate_name), none, none, first);
            ffi::ap_hook_map_to_storage(Some(paths::map_to_storage), none, none, first);
            ffi::ap_hook_handler(Some(paths::handler), none, none, first);
            ffi::ap_hook_handler(Some(stock_pages::handler), none, none, first);
            // mod_proxy_balancer's page comes first where it is loaded.
            ffi::ap_hook_handler(Some(manager::handler), none, none, ffi::APR_HOOK_LAST);
            // Before mod_proxy's own walk of the <Proxy> sections.
            ffi::ap_hook_map_to_storage(Some(access::map_to_storage), none, none, first);
            // Sees the connections that mod_proxy makes to members.
            ffi::ap_hook_pre_connection(Some(connection::pre_connection), none, none, first);
            ffi::apr_optional_hook_add(
                c"status_hook".as_ptr(),
                Some(std::mem::transmute::<StatusHook, unsafe extern "C" fn()>(
                    status_page::status,
                )),
                none,
                none,
                ffi::APR_HOOK_MIDDLE,
            );
            filter::register();
            prefetched::register();
            reverse::register();
        }
    });
}

type StatusHook = unsafe extern "C" fn(*mut ffi::request_rec, c_int) -> c_int;

/// All modules are loaded, no line is read yet: finds mod_proxy, hooks into it, and rewrites the
/// parsed configuration.
unsafe extern "C" fn pre_config(
    pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temp: *mut ffi::apr_pool_t,
) -> c_int {
    guard!("pre_config", ffi::HTTP_INTERNAL_SERVER_ERROR, {
        runtime::forget();
        // SAFETY: httpd calls with the configuration's pool and its own parsed tree.
        unsafe {
            if let Some(proxy) = proxy::find() {
                hook_into(proxy);
                provider::register(pool);
            }
            let findings = tree::rewrite(pool, &raw mut ffi::ap_conftree);
            assemble::keep(findings);
        }
        OK
    })
}

/// mod_proxy's hooks run until one does not decline: ours come first, mod_proxy_balancer's after.
unsafe fn hook_into(proxy: &proxy::Proxy) {
    let first = ffi::APR_HOOK_REALLY_FIRST;
    // SAFETY: the hook functions were looked up in the mod_proxy that is loaded; the hook sorter
    // wants the name of the module that is registering.
    unsafe {
        let registering = ffi::apr_hook_debug_current;
        ffi::apr_hook_debug_current = NAME.as_ptr();
        let before = BALANCER.0.as_ptr();
        (proxy.hook_canon_handler)(canon::canon_handler, null(), before, first);
        (proxy.hook_pre_request)(serve::pre_request, null(), before, first);
        (proxy.hook_scheme_handler)(serve::scheme_handler, null(), before, first);
        (proxy.hook_post_request)(serve::post_request, null(), before, first);
        ffi::apr_hook_debug_current = registering;
    }
}
