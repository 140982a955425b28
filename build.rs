//! Binds the installed httpd: the flags come from apxs, so that no path of it is written here.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, io};

fn main() -> ExitCode {
    for watched in ["include/bindings.h", "include/shim.h", "apache/shim.c"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    println!("cargo::rerun-if-env-changed=APXS");
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("cargo::error={reason}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let flags = httpd_flags()?;
    bindings(&flags)?;
    shim(&flags);
    // httpd unloads and reloads modules at each restart; Rust's runtime, whose thread-locals have
    // destructors in this object, must stay mapped.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // httpd's functions are found when the module is loaded. A test binary never is, and what
    // it links of the edge it never calls.
    println!("cargo::rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");
    println!("cargo::rustc-link-lib=dylib=sqlite3");
    Ok(())
}

/// The preprocessor flags that a C module of the installed httpd is compiled with.
fn httpd_flags() -> Result<Vec<String>, String> {
    let mut flags = vec!["-Iinclude".to_owned()];
    for directory in ["INCLUDEDIR", "APR_INCLUDEDIR", "APU_INCLUDEDIR"] {
        flags.push(format!("-I{}", apxs(directory)?));
    }
    flags.extend(apxs("EXTRA_CPPFLAGS")?.split_whitespace().map(str::to_owned));
    Ok(flags)
}

fn apxs(variable: &str) -> Result<String, String> {
    let program = env::var("APXS").unwrap_or_else(|_| "apxs".into());
    let output = Command::new(&program).args(["-q", variable]).output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => format!(
            "{program} is not installed: `make build` installs it (Debian: apache2-dev), or set APXS"
        ),
        _ => format!("{program}: {e}"),
    })?;
    String::from_utf8(output.stdout)
        .map(|text| text.trim().to_owned())
        .map_err(|e| format!("{program} -q {variable}: {e}"))
}

fn bindings(flags: &[String]) -> Result<(), String> {
    let functions = [
        "authnz_django_.*",
        "ap_add_output_filter_handle",
        "ap_auth_type",
        "ap_check_cmd_context",
        "ap_exists_config_define",
        "ap_expr_parse_cmd_mi",
        "ap_expr_str_exec",
        "ap_find_linked_module",
        "ap_[gs]et_module_config",
        "ap_getword_conf",
        "ap_global_mutex_create",
        "ap_hook_(check_authn|check_config|child_init|force_authn|note_auth_failure)",
        "ap_hook_(post_config|pre_config|test_config)",
        "ap_hook_insert_(error_)?filter",
        "ap_lookup_provider",
        "ap_mpm_query",
        "ap_mutex_register",
        "ap_pass_brigade",
        "ap_register_(auth_)?provider",
        "ap_register_output_filter",
        "ap_remove_output_filter",
        "ap_run_http_scheme",
        "ap_retained_data_(create|get)",
        "ap_state_query",
        "apr_global_mutex_(child_init|lockfile|trylock|unlock)",
        "apr_palloc",
        "apr_pool_cleanup_null",
        "apr_pool_cleanup_register",
        "apr_pool_(create_ex|destroy)",
        "apr_pstrmemdup",
        "apr_table_(get|getm|mergen|setn|unset)",
    ];
    let types = [
        "ap_socache_hints",
        "ap_socache_provider_t",
        "authn_provider",
        "authn_status",
        "authz_provider",
        "authz_status",
        "ap_filter_type",
        "module",
    ];
    let constants = [
        "ACCESS_CONF",
        "APLOG_(CRIT|DEBUG|ERR|INFO|NOTICE|WARNING)",
        "APR_HOOK_(MIDDLE|REALLY_LAST)",
        "APR_EGENERAL",
        "APR_SUCCESS",
        "AP_AUTH_INTERNAL_PER_CONF",
        "AP_EXPR_FLAG_STRING_RESULT",
        "AP_MPMQ_MAX_(DAEMONS|THREADS)",
        "AP_SOCACHE_FLAG_NOTMPSAFE",
        "AP_SOCACHE_PROVIDER_(GROUP|VERSION)",
        "AP_SQ_(MAIN_STATE|RUN_MODE)",
        "AP_SQ_MS_(CREATE_PRE_CONFIG|RUN_MPM)",
        "AP_SQ_RM_CONFIG_TEST",
        "AUTH[NZ]_PROVIDER_(GROUP|VERSION)",
        "DECLINED",
        "GLOBAL_ONLY",
        "HTTP_(FORBIDDEN|INTERNAL_SERVER_ERROR|MOVED_TEMPORARILY|SERVICE_UNAVAILABLE|UNAUTHORIZED)",
        "MODULE_MAGIC_(COOKIE|NUMBER_MAJOR|NUMBER_MINOR)",
        "NOT_IN_HTACCESS",
        "OK",
        "OR_ALL",
        "OR_AUTHCFG",
        "PROXYREQ_PROXY",
        "RSRC_CONF",
        "ap_unixd_config",
    ];
    let mut builder = bindgen::Builder::default()
        .header("include/bindings.h")
        .clang_args(flags)
        .generate_cstr(true)
        .layout_tests(false)
        .merge_extern_blocks(true)
        .default_enum_style(bindgen::EnumVariation::Consts);
    for name in functions {
        builder = builder.allowlist_function(name);
    }
    for name in types {
        builder = builder.allowlist_type(name);
    }
    for name in constants {
        builder = builder.allowlist_var(name);
    }
    let file = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?).join("httpd.rs");
    builder
        .generate()
        .map_err(|e| format!("bindgen over include/bindings.h: {e}"))?
        .write_to_file(file)
        .map_err(|e| format!("bindings: {e}"))
}

fn shim(flags: &[String]) {
    let mut build = cc::Build::new();
    for flag in flags {
        build.flag(flag);
    }
    build.file("apache/shim.c").warnings(true).warnings_into_errors(true).compile("shim");
}
