//! `Require group`, for Django's groups and AuthGroupFile's: wraps the provider that
//! mod_authz_groupfile registered, whatever the order of LoadModule, or stands alone.
//!
//! Users whom we let in may have the group from Django or from the file; those of another module
//! from the file alone, where there is one: a server-wide AuthDjangoDatabase must not widen a
//! section that was there before. Where no file is set, it is not asked.

use super::authz_provider::{Line, Provider, judge, lookup, refuse, register_as, status};
use super::request::Request;
use super::{ffi, guard, pool};
use crate::authz::Group;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

static PROVIDER: Provider = Provider(ffi::authz_provider {
    check_authorization: Some(check_authorization),
    parse_require_line: Some(parse_require_line),
});

/// mod_authz_groupfile's provider; NULL where that module is not loaded. Set anew in every
/// `pre_config`, since providers do not outlive a configuration.
static GROUP_FILE: AtomicPtr<ffi::authz_provider> = AtomicPtr::new(ptr::null_mut());

/// Takes the name `group`; called when all modules are loaded and no Require line was read.
pub(super) fn wrap(pool: *mut ffi::apr_pool_t) {
    let found = lookup("group");
    if ptr::eq(found, &PROVIDER.0) {
        return;
    }
    GROUP_FILE.store(found.cast_mut(), Ordering::Relaxed);
    if found.is_null() {
        register_as(pool, c"group".as_ptr(), &PROVIDER.0);
    } else {
        // The owner of the name counted it. Counting it again would hide from httpd that some
        // other provider must be asked for sub-requests (httpd 2.4, ap_setup_auth_internal).
        // SAFETY: called while the configuration is set up, with its pool; all else is static.
        unsafe {
            ffi::ap_register_provider(
                pool,
                ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
                c"group".as_ptr(),
                ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
                (&raw const PROVIDER.0).cast(),
            );
        }
    }
}

fn group_file() -> Option<&'static ffi::authz_provider> {
    // SAFETY: NULL, or the static table of a module that is loaded as long as this configuration.
    unsafe { GROUP_FILE.load(Ordering::Relaxed).as_ref() }
}

/// A line as both of us read it.
struct Both {
    ours: Line,
    theirs: *const c_void,
}

extern "C" fn parse_require_line(
    cmd: *mut ffi::cmd_parms,
    line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    guard(c"a defect of this module stopped the Require line".as_ptr(), || {
        let mut theirs = ptr::null();
        if let Some(parse) = group_file().and_then(|provider| provider.parse_require_line) {
            // SAFETY: what httpd passed to us, and a place for their result.
            let error = unsafe { parse(cmd, line, &mut theirs) };
            if !error.is_null() {
                return error;
            }
        }
        // SAFETY: httpd passes its own `cmd`.
        let cmd = unsafe { &*cmd };
        match Line::parse::<Group>(cmd, line) {
            Ok(ours) => {
                // SAFETY: httpd passes the place for the result.
                unsafe { *parsed = pool::allocate(cmd.pool, Both { ours, theirs }).cast() };
                ptr::null()
            }
            Err(reason) => refuse(cmd, "group", &reason),
        }
    })
}

extern "C" fn check_authorization(
    raw: *mut ffi::request_rec,
    line: *const c_char,
    parsed: *const c_void,
) -> ffi::authz_status {
    guard::guard_request(raw, ffi::authz_status_AUTHZ_GENERAL_ERROR, || {
        // SAFETY: httpd hands us the request for this callback, and what `parse_require_line` left.
        let (request, both) = unsafe { (Request::new(raw), &*parsed.cast::<Both>()) };
        let Some(name) = request.user() else {
            return ffi::authz_status_AUTHZ_DENIED_NO_USER;
        };
        let has_file = request.config().is_some_and(|config| config.group_file);
        let file = group_file().and_then(|provider| provider.check_authorization);
        let ask_file = |ask: unsafe extern "C" fn(_, _, _) -> _| {
            // SAFETY: what httpd passed to us, and what their own parse left.
            unsafe { ask(raw, line, both.theirs) }
        };
        match file.filter(|_| has_file) {
            None => status(judge::<Group>(&request, name, &both.ours), &request, name, "group"),
            Some(file) if request.memo().granted(name).is_none() => ask_file(file),
            Some(file) => match judge::<Group>(&request, name, &both.ours) {
                Ok(false) => ask_file(file),
                answer => status(answer, &request, name, "group"),
            },
        }
    })
}
