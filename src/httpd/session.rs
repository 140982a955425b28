//! Sessions: before mod_auth_basic asks for a password, whoever is logged in to Django is known; a
//! browser that comes to look is sent to the login page.

mod browser;
mod login;

use super::child::KnownSite;
use super::guard::{guard, guard_request};
use super::log::{self, Level};
use super::request::Request;
use super::{bytes, child, environment, ffi, registry};
use crate::authn::{self, Sessions};
use crate::config::{Config, SessionSettings};
use crate::error::Error;
use crate::user::User;
use std::ffi::{CStr, c_char, c_int};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use std::{iter, ptr};

/// `AuthType` of a place for sessions alone, and `AUTH_TYPE` of who came by one.
const DJANGO: &CStr = c"Django";

/// What a client is told of an outage: when to come again (seconds).
const RETRY_AFTER: &str = "10";

/// Methods that change nothing (RFC 9110, 4918, 3253). TRACE, which does not either, repeats the
/// cookie.
const SAFE: [&[u8]; 5] = [b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"REPORT"];

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

/// What a place has to do with sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `AuthType Basic`: a session or a password.
    Basic,
    /// `AuthType Django`: a session alone.
    Django,
    /// No `AuthType`: a session or nobody (`optional`).
    Open,
}

/// A request to a place that takes sessions.
struct Asked<'a> {
    request: Request<'a>,
    config: &'a Config,
    sessions: &'a SessionSettings,
    way: Way,
}

impl<'a> Asked<'a> {
    /// None where sessions have no say: another `AuthType`, a password that was sent along, or a
    /// forward proxy, whose cookies are for other servers.
    fn new(request: Request<'a>) -> Option<Self> {
        let config = request.config()?;
        let sessions = config.sessions()?;
        let way = match request.auth_type() {
            Some(kind) if kind.eq_ignore_ascii_case(b"Basic") => Way::Basic,
            Some(kind) if kind.eq_ignore_ascii_case(DJANGO.to_bytes()) => Way::Django,
            None if sessions.optional => Way::Open,
            _ => return None,
        };
        let has_password = way == Way::Basic && request.header(c"Authorization").is_some();
        if request.is_forward_proxy() || has_password {
            return None;
        }
        Some(Self { request, config, sessions, way })
    }

    /// The user of the session; the client's request is asked first, whose sub-request this may be.
    fn look(&self) -> Result<(Arc<KnownSite>, authn::Session), Error> {
        let Self { request, config, sessions, .. } = self;
        environment::clear(request);
        let memo = request.top().memo();
        memo.mark_session();
        let site = child::site(Some(config))?;
        let secret_key = config.secret_key.get().ok_or(Error::NoSecretKey)?;
        let set = config.session.get().ok_or(Error::NoSessions)?;
        let header = request.header(c"Cookie").unwrap_or_default();
        if let Some(known) = memo.session(&site, set, secret_key, header) {
            return Ok((site, known));
        }
        let reader = Sessions {
            settings: &sessions.site,
            keys: secret_key.keys()?,
            clock: config.clock(sessions),
        };
        let (wants, now) = (config.asks(), SystemTime::now());
        let answer = authn::session(&site.site, reader, &wants, header, &memo.patience, now)?;
        self.tell(&site, &answer);
        memo.keep_session(&site, set, secret_key, header, &answer);
        Ok((site, answer))
    }

    /// Whether a cookie alone may do this: a form on any other site could have sent it.
    fn is_allowed(&self) -> bool {
        self.sessions.unsafe_methods
            || iter::successors(Some(self.request), Request::main)
                .all(|request| SAFE.contains(&request.method()))
    }

    /// For who is logged in.
    fn admit(&self, site: &Arc<KnownSite>, user: &Arc<User>) -> c_int {
        let request = &self.request;
        request.memo().grant(user.username.as_bytes(), site, user);
        request.memo().came_by_session();
        if let Err(error) = environment::set(request, user) {
            return self.failed(&error);
        }
        request.set_user(&user.username);
        request.set_auth_type(DJANGO);
        ffi::OK as c_int
    }

    /// For nobody.
    fn turn_away(&self) -> c_int {
        let (request, unauthorized) = (&self.request, ffi::HTTP_UNAUTHORIZED as c_int);
        let browser = browser::Headers::of(request);
        if !self.sessions.optional
            && browser.navigates(request)
            && let Some(login_url) = self.config.login_url.get()
            && login::redirect(request, login_url)
        {
            return ffi::HTTP_MOVED_TEMPORARILY as c_int;
        }
        match self.way {
            // A browser would ask for a password wherever a script or a picture meets a challenge.
            Way::Basic if browser.is_part_of_a_page() && !self.sessions.optional => unauthorized,
            Way::Django => unauthorized,
            Way::Basic | Way::Open => DECLINED,
        }
    }

    /// The one line of an error.
    fn tell_error(&self, error: &Error) {
        let request = &self.request;
        log::request_limited(request, Level::Error, &error.kind(), || {
            format!("session: authentication error for \"{}\": {error}", request.uri())
        });
    }

    /// It, and what the client is told.
    fn failed(&self, error: &Error) -> c_int {
        self.tell_error(error);
        match error {
            Error::Unavailable { .. } => {
                self.request.set_error_header(c"Retry-After", RETRY_AFTER);
                ffi::HTTP_SERVICE_UNAVAILABLE as c_int
            }
            _ => ffi::HTTP_INTERNAL_SERVER_ERROR as c_int,
        }
    }

    /// Why not, for who looks for it; and what the administrator has to mend.
    fn tell(&self, site: &KnownSite, answer: &authn::Session) {
        let request = &self.request;
        match answer {
            authn::Session::Nobody(reason)
                if reason.is_foreign_signature()
                    && self.sessions.site.is_kept_by_django()
                    && !site.site.owners.is_proven() =>
            {
                // No client can write what Django keeps.
                log::request_limited(request, Level::Warning, "session", || {
                    format!(
                        "session of \"{}\": {reason}: is AuthDjangoSecretKey the SECRET_KEY of this \
                         site, and salt= its sessions'? (said until a session was valid)",
                        request.uri()
                    )
                });
            }
            _ if !log::wants(request, Level::Debug) => {}
            authn::Session::Of(user) => {
                let (name, uri) = (&user.username, request.uri());
                let text = format!("user {name}: session verified for \"{uri}\"");
                log::request(request, Level::Debug, &text);
            }
            authn::Session::Nobody(reason) => {
                let text = format!("no session for \"{}\": {reason}", request.uri());
                log::request(request, Level::Debug, &text);
            }
        }
    }
}

/// `AuthType Django` where no session counts.
fn is_misplaced(request: &Request<'_>) -> bool {
    request.config().is_none_or(|config| config.sessions().is_none())
        && request.auth_type().is_some_and(|kind| kind.eq_ignore_ascii_case(DJANGO.to_bytes()))
}

/// `http_request.h`, `check_user_id`: who is it?
extern "C" fn check_authn(raw: *mut ffi::request_rec) -> c_int {
    // SAFETY: httpd hands us the request for this callback.
    let request = unsafe { Request::new(raw) };
    guard_request(&request, ffi::HTTP_INTERNAL_SERVER_ERROR as c_int, || {
        if is_misplaced(&request) {
            let error = Error::NoSessions;
            log::request_limited(&request, Level::Error, &error.kind(), || error.to_string());
            return ffi::HTTP_INTERNAL_SERVER_ERROR as c_int;
        }
        let Some(asked) = Asked::new(request) else { return DECLINED };
        match asked.look() {
            Ok((site, authn::Session::Of(user))) if asked.is_allowed() => asked.admit(&site, &user),
            Ok((_, authn::Session::Of(user))) if !asked.sessions.optional => {
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
            Ok(_) => asked.turn_away(),
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
            Ok((_, authn::Session::Of(_))) if asked.is_allowed() => ffi::OK as c_int,
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
