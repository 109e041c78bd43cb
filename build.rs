//! Binds the httpd that is installed: `apxs` says where its headers are, bindgen reads them, cc
//! compiles the shim against them.

use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// What the edge names of httpd, APR and mod_proxy. Anything else stays out of the bindings.
const FUNCTIONS: &[&str] = &[
    "ap_hook_(monitor|pre_config|check_config|post_config|child_init|child_status)",
    "ap_hook_(pre_translate_name|translate_name|map_to_storage|handler|pre_connection)",
    "ap_run_(access_checker|access_checker_ex|check_user_id|auth_checker|force_authn|header_parser|handler)",
    "ap_(add_output_filter_handle|remove_output_filter|register_output_filter|pass_brigade)",
    "ap_(add_input_filter_handle|remove_input_filter|register_input_filter|get_brigade)",
    "ap_(state_query|mpm_query|check_cmd_context|merge_per_dir_configs|if_walk|satisfies)",
    "ap_(sub_req_method_uri|destroy_sub_req|regexec|pregcomp|construct_url|timeout_parameter_parse)",
    "ap_(register_provider|lookup_provider|list_provider_names|find_linked_module|retained_data_(create|get))",
    "ap_(rwrite|rflush|set_content_type|discard_request_body|get_status_line)",
    "ap_(setup|should|get)_client_block|ap_map_http_request_error|ap_(server_root|runtime_dir)_relative",
    "ap_(get_conn_socket|get_core_module_config|unescape_url_keep2f|escape_path_segment)",
    "apr_(palloc|pstrdup|pool_cleanup_(register|null)|pool_userdata_get)",
    "apr_pool_(parent_get|create_ex|destroy|pre_cleanup_register)",
    "apr_allocator_(create|destroy|mutex_set|max_free_set|owner_set)",
    "apr_table_(get|setn|addn|mergen|unset|copy|overlap|make|elts)",
    "apr_optional_hook_add|apr_dynamic_fn_retrieve|apr_fnmatch",
    "apr_brigade_(cleanup|partition|split_ex)",
    "apr_thread_mutex_(create|lock|unlock)|apr_reslist_(acquire|release|invalidate|acquired_count)",
    "apr_time_(now|exp_gmt)|apr_generate_random_bytes|apr_os_sock_get",
    "ath_shim_.*",
];
const TYPES: &[&str] = &[
    "module(_struct)?",
    "command_rec|core_dir_config",
    "cmd_parms.*",
    "request_rec|server_rec|conn_rec|process_rec|server_addr_rec",
    "ap_directive_t",
    "ap_filter_t|ap_filter_rec_t",
    "proxy_.*|dirconn_entry|apr_OFN_ap_watchdog_.*|ap_watchdog_t",
    "ap_regmatch_t|apr_(table|array)_.*|apr_bucket.*|apr_pool_t|apr_status_t|apr_port_t",
    "ap_mpm_.*",
    "apr_OFN_(.*retry_worker|set_worker_hc_param).*",
    "ap_list_provider_names_t|apr_time_exp_t",
    "ap_slotmem_.*|hm_slot_server_t",
    "athena_.*",
];
const CONSTANTS: &[&str] = &[
    "OK|DECLINED|DONE|SUSPENDED",
    "HTTP_.*",
    "APLOG_.*",
    "APR_HOOK_.*|APR_SUCCESS|APR_INCOMPLETE|APR_E.*",
    "AP_(SQ|MPMQ|FTYPE|AUTH)_.*|AP_SQ.*|AP_FTYPE.*|ap_filter_type.*|AP_MODE_.*",
    "(RSRC|ACCESS|EXEC|GLOBAL|NOT_IN)_.*|GLOBAL_ONLY|OR_.*",
    "MODULE_MAGIC_.*",
    "PROXY.*",
    "MPM_CHILD_.*",
    "M_(GET|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|PROPFIND)",
    "SATISFY_.*|REQUEST_CHUNKED_.*",
    "AP_WATCHDOG_.*",
    "ap_conftree|ap_max_mem_free|ap_server_conf|apr_hook_debug_current|ap_server_root",
    "AP_STATUS_.*|AP_SLOTMEM_PROVIDER_.*",
    "DEFAULT_(REL_RUNTIMEDIR|HEARTBEAT_STORAGE)",
    "ATHENA_.*",
    "APR_THREAD_MUTEX_DEFAULT|APR_OVERLAP_TABLES_ADD",
];

fn main() {
    println!("cargo:rerun-if-changed=include/wrapper.h");
    println!("cargo:rerun-if-changed=include/mod_athena.h");
    println!("cargo:rerun-if-changed=include/shim.c");
    println!("cargo:rerun-if-changed=include/shim.h");
    println!("cargo:rerun-if-env-changed=APXS");
    let flags = httpd_flags();
    bind(&flags);
    let mut shim = cc::Build::new();
    shim.file("include/shim.c")
        .warnings(true)
        .extra_warnings(true);
    shim.flag_if_supported("-Wno-unused-parameter");
    for flag in &flags {
        shim.flag(flag);
    }
    shim.compile("athena_shim");
}

/// Compiler flags that find httpd's, APR's and APR-util's headers.
fn httpd_flags() -> Vec<String> {
    let apxs = std::env::var("APXS").unwrap_or_else(|_| "apxs".into());
    let include = ask(&apxs, &["-q", "INCLUDEDIR"]);
    if !Path::new(include.trim()).join("mod_proxy.h").exists() {
        stop(&format!(
            "{} holds no mod_proxy.h: is apache2-dev complete?",
            include.trim()
        ));
    }
    let apr = ask(&apxs, &["-q", "APR_CONFIG"]);
    let apu = ask(&apxs, &["-q", "APU_CONFIG"]);
    let mut flags = vec![format!("-I{}", include.trim()), "-Iinclude".into()];
    for (config, arguments) in [
        (apr.trim(), &["--cppflags", "--includes"][..]),
        (apu.trim(), &["--includes"][..]),
    ] {
        flags.extend(ask(config, arguments).split_whitespace().map(str::to_owned));
    }
    flags
}

fn bind(flags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("include/wrapper.h")
        .clang_args(flags)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .layout_tests(true)
        .generate_comments(false)
        .derive_default(false)
        .generate_cstr(true)
        .prepend_enum_name(false);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    let bindings = builder.generate().unwrap_or_else(|error| {
        stop(&format!(
            "bindgen could not read httpd's headers ({error}): is libclang-dev installed?"
        ))
    });
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("httpd.rs");
    if let Err(error) = bindings.write_to_file(&out) {
        stop(&format!("{}: {error}", out.display()));
    }
}

/// Runs a query command and gives its output.
fn ask(command: &str, arguments: &[&str]) -> String {
    match Command::new(command).args(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => stop(&format!(
            "{command} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => stop(&format!(
            "{command}: {error}. Install httpd's development files (Debian: apt-get install \
             apache2-dev libclang-dev), or name apxs in the environment variable APXS"
        )),
    }
}

fn stop(message: &str) -> ! {
    eprintln!("mod_athena: {message}");
    println!("cargo:warning={message}");
    exit(1)
}
