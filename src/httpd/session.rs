//! Sessions: before mod_auth_basic asks for a password, whoever is logged in to Django is known; a
//! browser that comes to look is sent to the login page.

mod asked;
mod browser;
mod login;

use super::guard::{guard, guard_request};
use super::log::{self, Level};
use super::request::Request;
use super::{bytes, ffi, registry};
use crate::authn::Session;
use crate::error::Error;
use asked::Asked;
use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// `AuthType` of a place for sessions alone, and `AUTH_TYPE` of who came by one.
const DJANGO: &CStr = c"Django";

/// Declines, so that the next module is asked.
const DECLINED: c_int = ffi::DECLINED;

/// A list of modules, ended by NULL.
struct Modules([*const c_char; 2]);

// SAFETY: the strings are static, and nobody writes over the list.
unsafe impl Sync for Modules {}

/// Who must not be asked before us.
static BASIC: Modules = Modules([c"mod_auth_basic.c".as_ptr(), ptr::null()]);

/// Registers the hooks.
pub(super) fn register() {
    let middle = ffi::APR_HOOK_MIDDLE as c_int;
    // SAFETY: called while hooks are registered. The functions are of the hooks' types and, with
    // `-z nodelete`, stay where they are; the lists are static, and httpd only reads them.
    unsafe {
        let after = BASIC.0.as_ptr();
        ffi::ap_hook_check_config(Some(check_config), ptr::null(), ptr::null(), middle);
        ffi::ap_hook_check_authn(
            Some(check_authn),
            ptr::null(),
            after,
            middle,
            ffi::AP_AUTH_INTERNAL_PER_CONF as c_int,
        );
        ffi::ap_hook_force_authn(Some(force_authn), ptr::null(), ptr::null(), middle);
        ffi::ap_hook_note_auth_failure(Some(note_auth_failure), ptr::null(), after, middle);
    }
}

/// The whole configuration was read: is there what sessions need?
extern "C" fn check_config(
    _pool: *mut ffi::apr_pool_t,
    _log: *mut ffi::apr_pool_t,
    _temporary: *mut ffi::apr_pool_t,
    server: *mut ffi::server_rec,
) -> c_int {
    // SAFETY: httpd passes the main server, which lives as long as the configuration.
    let server = unsafe { log::Server::new(server) };
    guard(ffi::HTTP_INTERNAL_SERVER_ERROR as c_int, || match registry::check() {
        Ok(()) => ffi::OK as c_int,
        Err(reason) => {
            log::server(Some(server), Level::Critical, reason);
            ffi::HTTP_INTERNAL_SERVER_ERROR as c_int
        }
    })
}

/// `AuthType Django` where no session counts: why.
fn misplaced(request: &Request<'_>) -> Option<Error> {
    if !request.auth_type()?.eq_ignore_ascii_case(DJANGO.to_bytes()) {
        return None;
    }
    if request.config().is_none_or(|config| config.sessions().is_none()) {
        return Some(Error::NoSessions);
    }
    request.is_forward_proxy().then_some(Error::ForwardProxy)
}

/// `http_request.h`, `check_user_id`: who is it?
extern "C" fn check_authn(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd hands us the request for this callback.
    let request = unsafe { Request::new(raw) };
    guard_request(&request, ffi::HTTP_INTERNAL_SERVER_ERROR as c_int, || {
        if let Some(error) = misplaced(&request) {
            log::request_limited(&request, Level::Error, &error.kind(), || error.to_string());
            return ffi::HTTP_INTERNAL_SERVER_ERROR as c_int;
        }
        let Some(asked) = Asked::new(request) else { return DECLINED };
        match asked.look() {
            Ok((site, Session::Of(user))) if asked.is_allowed() => asked.admit(&site, &user),
            // Its password will do, and no form can send one.
            Ok((_, Session::Of(_))) if asked.is_for_a_program() => DECLINED,
            Ok((_, Session::Of(user))) if !asked.sessions.optional => {
                if log::wants(&request, Level::Info) {
                    let method = String::from_utf8_lossy(request.method());
                    let text = format!(
                        "user {}: {method} of \"{}\" is refused to a session's cookie alone, which a \
                         form on another site could have sent (unsafe-methods= of \
                         AuthDjangoSession)",
                        user.username,
                        request.uri()
                    );
                    log::request(&request, Level::Info, &text);
                }
                ffi::HTTP_FORBIDDEN as c_int
            }
            Ok((_, Session::Of(_))) => asked.turn_away(None),
            Ok((_, Session::Nobody(reason))) => asked.turn_away(Some(&reason)),
            Err(error) => asked.failed(&error),
        }
    })
}

/// `http_request.h`, `force_authn`: nobody has to be known here, but who is, shall be.
extern "C" fn force_authn(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd hands us the request for this callback.
    let request = unsafe { Request::new(raw) };
    guard_request(&request, DECLINED, || {
        let Some(asked) = Asked::new(request).filter(|asked| asked.sessions.optional) else {
            return DECLINED;
        };
        match asked.look() {
            Ok((_, Session::Of(_))) if asked.is_allowed() => ffi::OK as c_int,
            Ok(_) => DECLINED,
            Err(error) => {
                asked.tell_error(&error);
                DECLINED
            }
        }
    })
}

/// `http_protocol.h`, `note_auth_failure`: no browser is to ask for a password where one would not
/// help.
extern "C" fn note_auth_failure(raw: *mut ffi::request_rec, kind: *const c_char) -> c_int {
    // SAFETY: httpd hands us the request and the string for this callback.
    let (request, kind) = unsafe { (Request::new(raw), bytes(kind)) };
    guard_request(&request, DECLINED, || {
        if request.memo().is_by_session() {
            static TOLD: AtomicBool = AtomicBool::new(false);
            if !TOLD.swap(true, Ordering::Relaxed) {
                let text = format!(
                    "a user who is logged in and may not see \"{}\" is answered 401 Unauthorized: \
                     AuthzSendForbiddenOnFailure On in its section makes it 403 Forbidden",
                    request.uri()
                );
                log::request(&request, Level::Warning, &text);
            }
            return ffi::OK as c_int;
        }
        if kind.eq_ignore_ascii_case(DJANGO.to_bytes()) { ffi::OK as c_int } else { DECLINED }
    })
}
