//! The table of directives as httpd reads it, and the per-directory configuration that it fills.

use super::pool::Pool;
use super::{bytes, ffi, guard, registry, selfcheck, socache};
use crate::config::{Config, DIRECTIVES, Directive, Level};
use std::ffi::{c_char, c_int, c_void};
use std::ptr;

/// Ours, `AuthGroupFile`, and the end.
const LENGTH: usize = DIRECTIVES.len() + 2;

/// A table that httpd only reads.
pub(super) struct Commands(pub(super) [ffi::command_rec; LENGTH]);

// SAFETY: the pointers lead to statics and functions, and nobody writes through them.
unsafe impl Sync for Commands {}

/// `cmds` of the module record.
pub(super) static COMMANDS: Commands = Commands(commands());

// Evaluated at compile time, where a wrong index is an error.
#[allow(clippy::indexing_slicing)]
const fn commands() -> [ffi::command_rec; LENGTH] {
    const END: ffi::command_rec = ffi::command_rec {
        name: ptr::null(),
        func: ffi::cmd_func { take_argv: None },
        cmd_data: ptr::null_mut(),
        req_override: 0,
        args_how: 0,
        errmsg: ptr::null(),
    };
    let mut commands = [END; LENGTH];
    let mut n = 0;
    while n < DIRECTIVES.len() {
        let row: &'static Directive = &DIRECTIVES[n];
        commands[n] = ffi::command_rec {
            name: row.name.as_ptr(),
            func: ffi::cmd_func { take_argv: Some(set) },
            cmd_data: ptr::from_ref(row).cast_mut().cast(),
            // Server, virtual host and section. `set` refuses .htaccess, with the reason, which
            // httpd's own words for a directive that is not for it lack.
            req_override: (ffi::RSRC_CONF | ffi::ACCESS_CONF | ffi::OR_ALL) as c_int,
            args_how: ffi::cmd_how_TAKE_ARGV,
            errmsg: row.help.as_ptr(),
        };
        n += 1;
    }
    commands[n] = ffi::command_rec {
        name: c"AuthGroupFile".as_ptr(),
        func: ffi::cmd_func { take1: Some(note_group_file) },
        cmd_data: ptr::null_mut(),
        req_override: ffi::OR_AUTHCFG as c_int,
        args_how: ffi::cmd_how_TAKE1,
        errmsg: c"mod_authz_groupfile's own; noted here, so that Require group asks the file too"
            .as_ptr(),
    };
    commands
}

/// The one setter: the row says which field the words are for.
extern "C" fn set(
    cmd: *mut ffi::cmd_parms,
    config: *mut c_void,
    argc: c_int,
    argv: *const *mut c_char,
) -> *const c_char {
    guard(c"a defect of this module stopped the directive".as_ptr(), || {
        // SAFETY: httpd passes its own `cmd`; `info` is the row that `commands` put there;
        // `config` is what `create_dir_config` made for this section, and nobody else has it now.
        let (cmd, row, config) = unsafe {
            (&mut *cmd, &*(*cmd).info.cast::<Directive>(), &mut *config.cast::<Config>())
        };
        // SAFETY: as above; the pool is that of the configuration.
        let pool = unsafe { Pool::new(cmd.pool) };
        // SAFETY: httpd's own command, and a constant.
        let misplaced = unsafe { ffi::ap_check_cmd_context(cmd, ffi::NOT_IN_HTACCESS) };
        if !misplaced.is_null() {
            return pool.c_str(&format!(
                "{}: belongs in the server's configuration, never in .htaccess, whose author could \
                 name a database, users and passwords of their own; Require lines may stand here",
                row.name.to_string_lossy()
            ));
        }
        if row.global {
            // SAFETY: as above.
            let misplaced = unsafe { ffi::ap_check_cmd_context(cmd, ffi::GLOBAL_ONLY) };
            if !misplaced.is_null() {
                return misplaced;
            }
        }
        let words: Result<Vec<&str>, _> = (0..usize::try_from(argc).unwrap_or(0))
            // SAFETY: `argv` has `argc` strings, which live as long as the callback.
            .map(|n| str::from_utf8(unsafe { bytes(*argv.add(n)) }))
            .collect();
        let result = match words {
            Ok(words) => {
                row.set(config, &words).and_then(|()| config.check()).and_then(|()| loaded(config))
            }
            Err(_) => Err(format!("{}: the words are not UTF-8", row.name.to_string_lossy())),
        };
        match result {
            Ok(()) => {
                if row.name == c"AuthDjangoDatabase" {
                    hide_password(cmd, pool, config);
                }
                registry::adopt(config);
                selfcheck::note(cmd, config);
                ptr::null()
            }
            Err(reason) => pool.c_str(&reason),
        }
    })
}

/// Whether httpd has the engine that AuthDjangoCache names.
fn loaded(config: &Config) -> Result<(), String> {
    let needed = match config.cache.get().map(|settings| &settings.level) {
        Some(Level::Shmcb(_)) => socache::SHMCB,
        Some(Level::Redis(_)) => socache::REDIS,
        _ => return Ok(()),
    };
    if socache::is_loaded(needed) {
        return Ok(());
    }
    let name = needed.to_string_lossy();
    Err(format!(
        "AuthDjangoCache: mod_socache_{name} is not loaded: a2enmod socache_{name}, or LoadModule"
    ))
}

/// Takes a password out of httpd's copy of the line, which mod_info would show.
fn hide_password(cmd: &ffi::cmd_parms, pool: Pool<'_>, config: &Config) {
    let words = config.database.get().and_then(|database| database.redacted());
    if let Some(words) = words.filter(|_| !cmd.directive.is_null()) {
        // SAFETY: the node belongs to the configuration's tree, which is not const but for the
        // setters; its arguments were read already, and the new ones live as long as the tree.
        unsafe { (*cmd.directive).args = pool.c_str(&words) };
    }
}

extern "C" fn note_group_file(
    cmd: *mut ffi::cmd_parms,
    config: *mut c_void,
    _path: *const c_char,
) -> *const c_char {
    guard(c"a defect of this module stopped AuthGroupFile".as_ptr(), || {
        // SAFETY: a query with a constant name.
        let owner = unsafe { ffi::ap_find_linked_module(c"mod_authz_groupfile.c".as_ptr()) };
        if owner.is_null() {
            // SAFETY: httpd passes its own `cmd`.
            let pool = unsafe { Pool::new((*cmd).pool) };
            return pool.c_str(
                "Invalid command 'AuthGroupFile', perhaps misspelled or defined by a module not \
                 included in the server configuration: it is mod_authz_groupfile's",
            );
        }
        // SAFETY: `config` is what `create_dir_config` made for this section.
        unsafe { (*config.cast::<Config>()).group_file = true };
        ptr::null()
    })
}

pub(super) extern "C" fn create_dir_config(
    pool: *mut ffi::apr_pool_t,
    _directory: *mut c_char,
) -> *mut c_void {
    // SAFETY: httpd passes the pool of the section.
    let pool = unsafe { Pool::new(pool) };
    guard(ptr::null_mut(), || pool.allocate(Config::default()).cast())
}

pub(super) extern "C" fn merge_dir_config(
    pool: *mut ffi::apr_pool_t,
    base: *mut c_void,
    add: *mut c_void,
) -> *mut c_void {
    guard(ptr::null_mut(), || {
        // SAFETY: httpd passes the pool of the result, and merges two values that `create_dir_config` or this function made.
        let (pool, base, add) =
            unsafe { (Pool::new(pool), &*base.cast::<Config>(), &*add.cast::<Config>()) };
        pool.allocate(Config::merge(base, add)).cast()
    })
}
