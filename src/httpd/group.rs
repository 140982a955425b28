//! `Require group`, for Django's groups and AuthGroupFile's: wraps the provider that
//! mod_authz_groupfile registered, whatever the order of LoadModule, or stands alone.
//!
//! Users whom we let in may have the group from Django or from the file; those of another module
//! from the file alone, where there is one: a server-wide AuthDjangoDatabase must not widen a
//! section that was there before. Where no file is set, it is not asked.

use super::authz_provider::{DEFECT, Provider, judge, register_as, status};
use super::guard::{self, guard};
use super::pool::Pool;
use super::request::Request;
use super::require_line::{Command, Line};
use super::{ffi, valid_user};
use crate::authz::Group;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

const NAME: &CStr = c"group";

static PROVIDER: Provider = Provider(ffi::authz_provider {
    check_authorization: Some(check_authorization),
    parse_require_line: Some(parse_require_line),
});

/// mod_authz_groupfile's provider; NULL where that module is not loaded. Set anew in every
/// `pre_config`, since providers do not outlive a configuration.
static GROUP_FILE: AtomicPtr<ffi::authz_provider> = AtomicPtr::new(ptr::null_mut());

/// Takes the name `group`; called when all modules are loaded and no Require line was read.
pub(super) fn wrap(pool: Pool<'_>) {
    // SAFETY: a query with static names.
    let found: *const ffi::authz_provider = unsafe {
        ffi::ap_lookup_provider(
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            NAME.as_ptr(),
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
        )
        .cast()
    };
    if ptr::eq(found, &PROVIDER.0) {
        return;
    }
    GROUP_FILE.store(found.cast_mut(), Ordering::Relaxed);
    if found.is_null() {
        register_as(pool, NAME, &PROVIDER.0);
        return;
    }
    valid_user::know(NAME);
    // The owner of the name counted it. Counting it again would hide from httpd that some other
    // provider must be asked for sub-requests (httpd 2.4, ap_setup_auth_internal).
    // SAFETY: the pool is that of the configuration; all else is static.
    unsafe {
        ffi::ap_register_provider(
            pool.raw(),
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            NAME.as_ptr(),
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
            (&raw const PROVIDER.0).cast(),
        );
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
    // SAFETY: httpd passes its own command and the text of the line.
    let (command, text) = unsafe { (Command::new(cmd), CStr::from_ptr(line)) };
    guard(DEFECT.as_ptr(), || {
        let mut theirs = ptr::null();
        if let Some(parse) = group_file().and_then(|provider| provider.parse_require_line) {
            // SAFETY: what httpd passed to us, and a place for their result.
            let error = unsafe { parse(cmd, line, &mut theirs) };
            if !error.is_null() {
                return error;
            }
        }
        match Line::parse::<Group>(&command, text) {
            // SAFETY: httpd passes the place for the result.
            Ok(ours) => unsafe { command.accept(Both { ours, theirs }, parsed) },
            Err(reason) => command.refuse(NAME, &reason),
        }
    })
}

extern "C" fn check_authorization(
    raw: *mut ffi::request_rec,
    line: *const c_char,
    parsed: *const c_void,
) -> ffi::authz_status {
    // SAFETY: httpd hands us the request for this callback, and what `parse_require_line` left.
    let (request, both) = unsafe { (Request::new(raw), parsed.cast::<Both>().as_ref()) };
    guard::guard_request(&request, ffi::authz_status_AUTHZ_GENERAL_ERROR, || {
        let (Some(name), Some(both)) = (request.user(), both) else {
            return ffi::authz_status_AUTHZ_DENIED_NO_USER;
        };
        let has_file = request.config().is_some_and(|config| config.group_file);
        let file = group_file().and_then(|provider| provider.check_authorization);
        let ask_file = |ask: unsafe extern "C" fn(_, _, _) -> _| {
            // SAFETY: what httpd passed to us, and what their own parse left.
            unsafe { ask(raw, line, both.theirs) }
        };
        match file.filter(|_| has_file) {
            None => status(judge::<Group>(&request, name, &both.ours), &request, name, NAME),
            Some(file) if request.memo().granted(name).is_none() => ask_file(file),
            Some(file) => match judge::<Group>(&request, name, &both.ours) {
                Ok(false) => ask_file(file),
                answer => status(answer, &request, name, NAME),
            },
        }
    })
}
