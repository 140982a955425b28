//! The edge: the module record, and the hooks by which httpd comes in. Every function that httpd
//! calls goes through [`guard`] and hands plain values to the core.
//!
//! The order of a start (httpd 2.4, `server/main.c`): all modules are loaded, `pre_config`, the
//! directives, `check_config`; `post_config`; then everything once more. A restart does the second
//! half again. The object stays mapped (`-z nodelete`), so statics outlive all of it: each is
//! emptied in `pre_config` or made in `child_init`.

mod authn_provider;
mod authz_provider;
mod cache_control;
mod child;
mod directive;
mod environment;
mod ffi;
mod group;
mod guard;
mod hashing;
mod log;
mod memo;
mod pool;
mod query;
mod registry;
mod request;
mod require_line;
mod selfcheck;
mod session;
mod shared_memory;
mod socache;
mod tree;
mod valid_user;

use crate::config::Config;
use crate::error::Error;
use guard::guard;
use log::Server;
use pool::Pool;
use registry::Round;
use std::ffi::{c_char, c_int, c_ulong};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The record that LoadModule looks for. httpd writes its index, handle and links into it, before
/// any callback and while there is one thread.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
static mut authnz_django_module: ffi::module = ffi::module {
    version: ffi::MODULE_MAGIC_NUMBER_MAJOR as c_int,
    minor_version: ffi::MODULE_MAGIC_NUMBER_MINOR as c_int,
    module_index: -1,
    name: c"mod_authnz_django.c".as_ptr(),
    dynamic_load_handle: ptr::null_mut(),
    next: ptr::null_mut(),
    magic: ffi::MODULE_MAGIC_COOKIE as c_ulong,
    rewrite_args: None,
    create_dir_config: Some(directive::create_dir_config),
    merge_dir_config: Some(directive::merge_dir_config),
    create_server_config: None,
    merge_server_config: None,
    cmds: directive::COMMANDS.0.as_ptr(),
    register_hooks: Some(register_hooks),
    flags: 0,
};

/// The record, as httpd's functions ask for it.
fn module() -> *const ffi::module {
    ptr::addr_of!(authnz_django_module)
}

extern "C" fn register_hooks(pool: *mut ffi::apr_pool_t) {
    guard::install_hook();
    // SAFETY: httpd passes the pool of the configuration.
    let pool = unsafe { Pool::new(pool) };
    guard((), || {
        // SAFETY: the functions are of the hooks' types and, with `-z nodelete`, stay where they
        // are.
        unsafe {
            ffi::ap_hook_pre_config(
                Some(pre_config),
                ptr::null(),
                ptr::null(),
                ffi::APR_HOOK_MIDDLE as c_int,
            );
            ffi::ap_hook_post_config(
                Some(post_config),
                ptr::null(),
                ptr::null(),
                ffi::APR_HOOK_MIDDLE as c_int,
            );
            ffi::ap_hook_child_init(
                Some(child_init),
                ptr::null(),
                ptr::null(),
                ffi::APR_HOOK_MIDDLE as c_int,
            );
            // After those of other modules, because it may end the process.
            ffi::ap_hook_test_config(
                Some(selfcheck::test_config),
                ptr::null(),
                ptr::null(),
                ffi::APR_HOOK_REALLY_LAST as c_int,
            );
        }
        valid_user::clear();
        authn_provider::register(pool);
        authz_provider::register(pool);
        query::register(pool);
        session::register();
        cache_control::register();
    });
}

/// All modules are loaded and no directive was read: the moment to wrap `Require group` and
/// `Require valid-user`.
extern "C" fn pre_config(
    pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temporary: *mut ffi::apr_pool_t,
) -> c_int {
    // SAFETY: httpd passes the pool of the configuration.
    let pool = unsafe { Pool::new(pool) };
    guard(ffi::HTTP_INTERNAL_SERVER_ERROR as c_int, || {
        registry::clear();
        selfcheck::clear();
        group::wrap(pool);
        socache::register(pool);
        valid_user::wrap(pool);
        ffi::OK as c_int
    })
}

/// The last moment as the user who starts the server: secrets are read, for the children to inherit.
extern "C" fn post_config(
    pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temporary: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> c_int {
    let main = server;
    // SAFETY: httpd passes the pool of the configuration and the main server, which lives as long.
    let (pool, server) = unsafe { (Pool::new(pool), Server::new(server)) };
    guard(ffi::HTTP_INTERNAL_SERVER_ERROR as c_int, || {
        let round = round();
        cache_control::begin(registry::takes_sessions());
        let loaded = registry::load(round).and_then(|mut told| {
            told.extend(start_shared(pool, main, round)?);
            Ok(told)
        });
        match loaded {
            Ok(told) => {
                for (level, text) in told {
                    log::server(Some(server), level, &text);
                }
                STARTED.store(round != Round::Trial, Ordering::Relaxed);
                ffi::OK as c_int
            }
            Err(error) => {
                log::server(Some(server), log::Level::Critical, &format!("cannot start: {error}"));
                ffi::HTTP_INTERNAL_SERVER_ERROR as c_int
            }
        }
    })
}

/// What the children share to verify passwords, where there is a database to verify them by. The
/// answer is what to tell of it.
fn start_shared(
    pool: Pool<'_>,
    main: *mut ffi::server_rec,
    round: Round,
) -> Result<Option<(log::Level, String)>, Error> {
    if round == Round::Trial || registry::databases().is_empty() {
        return Ok(None);
    }
    // SAFETY: httpd passed the main server; our value in its defaults is NULL or what
    // `create_dir_config` made.
    let config = unsafe {
        ffi::ap_get_module_config((*main).lookup_defaults, module()).cast::<Config>().as_ref()
    };
    let settings = config.and_then(|config| config.hashing.get());
    shared_memory::make().map_err(Error::Start)?;
    hashing::start(settings.map(|settings| &**settings));
    let settings = config.and_then(|config| config.cache.get());
    match (socache::start(pool, main, settings.map(|settings| &**settings)), round) {
        (Ok(told), _) => Ok(Some((log::Level::Notice, told))),
        // httpd would end.
        (Err(reason), Round::Restart) => Ok(Some((
            log::Level::Critical,
            format!("{reason}; this restart goes on, and every password is hashed"),
        ))),
        (Err(reason), _) => Err(Error::Start(reason)),
    }
}

/// Whether `post_config` has come through both rounds of the start.
static STARTED: AtomicBool = AtomicBool::new(false);

fn round() -> Round {
    // SAFETY: a query without arguments of ours.
    let state = unsafe { ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE as c_int) };
    if state == ffi::AP_SQ_MS_CREATE_PRE_CONFIG as c_int {
        Round::Trial
    } else if STARTED.load(Ordering::Relaxed) {
        Round::Restart
    } else {
        Round::Start
    }
}

extern "C" fn child_init(pool: *mut ffi::apr_pool_t, server: *mut ffi::server_rec) {
    // SAFETY: httpd passes the child's pool and the main server, which live as long as the child.
    let (pool, server) = unsafe { (Pool::new(pool), Server::new(server)) };
    guard((), || child::init(pool, server));
}

/// Cuts a text at its first NUL for a function of httpd's that takes a C string.
fn c_string(text: &str) -> std::ffi::CString {
    let text = text.split('\0').next().unwrap_or_default();
    std::ffi::CString::new(text).unwrap_or_default()
}

/// The bytes of a C string, none for NULL.
///
/// # Safety
/// `text` is NULL or a string of httpd's that lives as long as `'a`.
unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise; httpd's strings end with NUL.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes()
}
