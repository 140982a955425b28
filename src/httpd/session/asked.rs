//! A request to a place that takes sessions: whose it is, and what the answer is for them and for
//! nobody.

use super::{DECLINED, DJANGO, browser, login};
use crate::authn::{self, Reason, Sessions};
use crate::config::{Config, SessionSettings};
use crate::error::Error;
use crate::httpd::child::{self, KnownSite};
use crate::httpd::log::{self, Level};
use crate::httpd::request::Request;
use crate::httpd::{environment, ffi};
use crate::user::User;
use std::ffi::c_int;
use std::iter;
use std::sync::Arc;
use std::time::SystemTime;

/// What a client is told of an outage: when to come again (seconds).
const RETRY_AFTER: &str = "10";

/// Methods that change nothing (RFC 9110, 4918, 3253). TRACE, which does not either, repeats the
/// cookie.
const SAFE: [&[u8]; 5] = [b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"REPORT"];

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
pub(super) struct Asked<'a> {
    request: Request<'a>,
    config: &'a Config,
    pub(super) sessions: &'a SessionSettings,
    way: Way,
}

/// A socket has no end, and goes both ways: a GET that opens one is not only looked at.
fn opens_a_socket(request: &Request<'_>) -> bool {
    let upgrade = request.header(c"Upgrade").unwrap_or_default();
    upgrade.windows(9).any(|part| part.eq_ignore_ascii_case(b"websocket"))
}

impl<'a> Asked<'a> {
    /// None where sessions have no say: another `AuthType`, a password that was sent along, or a
    /// forward proxy, whose cookies are for other servers.
    pub(super) fn new(request: Request<'a>) -> Option<Self> {
        let config = request.config()?;
        let sessions = config.sessions()?;
        let way = match request.auth_type() {
            Some(kind) if kind.eq_ignore_ascii_case(b"Basic") => Way::Basic,
            Some(kind) if kind.eq_ignore_ascii_case(DJANGO.to_bytes()) => Way::Django,
            None if sessions.optional => Way::Open,
            _ => return None,
        };
        let has_password = way == Way::Basic && request.header(c"Authorization").is_some();
        if request.is_forward_proxy() {
            return None;
        }
        if has_password {
            if sessions.optional {
                // Who sends none may get another answer here, by a session.
                request.top().memo().mark_session();
            }
            return None;
        }
        Some(Self { request, config, sessions, way })
    }

    /// The user of the session; the client's request is asked first, whose sub-request this may be.
    pub(super) fn look(&self) -> Result<(Arc<KnownSite>, authn::Session), Error> {
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

    /// Whether a cookie alone may do this: a page on any other site could have sent it.
    pub(super) fn is_allowed(&self) -> bool {
        self.sessions.unsafe_methods
            || iter::successors(Some(self.request), Request::main)
                .all(|request| SAFE.contains(&request.method()) && !opens_a_socket(&request))
    }

    /// Whether no browser asks, but a program that can be asked for its password.
    pub(super) fn is_for_a_program(&self) -> bool {
        let from_a_page = self.request.header(c"Origin").is_some()
            || browser::Headers::of(&self.request).are_a_browsers();
        self.way == Way::Basic && !self.sessions.optional && !from_a_page
    }

    /// For who is logged in.
    pub(super) fn admit(&self, site: &Arc<KnownSite>, user: &Arc<User>) -> c_int {
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

    /// For nobody, and why.
    pub(super) fn turn_away(&self, reason: Option<&Reason>) -> c_int {
        let (request, unauthorized) = (&self.request, ffi::HTTP_UNAUTHORIZED as c_int);
        let browser = browser::Headers::of(request);
        // A listing shows what would be sent elsewhere, and hides what is refused.
        let is_part = iter::successors(request.main(), Request::main)
            .any(|request| request.memo().has_begun());
        if !self.sessions.optional
            && !is_part
            && browser.navigates(request)
            && let Some(login_url) = self.config.login_url.get()
        {
            if let Some(reason) = reason.filter(|reason| reason.is_of_another_back_end()) {
                // Django knows this user: a login page may send him straight back, without end.
                log::request_limited(request, Level::Warning, "back end", || {
                    format!(
                        "session of \"{}\": {reason}: name it in backends= of AuthDjangoSession, if \
                         it may let users in here",
                        request.uri()
                    )
                });
                return ffi::HTTP_FORBIDDEN as c_int;
            }
            if login::redirect(request, login_url) {
                return ffi::HTTP_MOVED_TEMPORARILY as c_int;
            }
        }
        match self.way {
            // A browser would ask for a password wherever a script or a picture meets a challenge.
            Way::Basic if browser.is_part_of_a_page() && !self.sessions.optional => unauthorized,
            Way::Django => unauthorized,
            Way::Basic => DECLINED,
            Way::Open => {
                log::request_limited(request, Level::Error, "no AuthType", || {
                    format!(
                        "a Require line of \"{}\" wants a user, and no AuthType says how to ask for \
                         one: set AuthType Django or Basic there",
                        request.uri()
                    )
                });
                unauthorized
            }
        }
    }

    /// The one line of an error.
    pub(super) fn tell_error(&self, error: &Error) {
        let request = &self.request;
        log::request_limited(request, Level::Error, &error.kind(), || {
            format!("session: authentication error for \"{}\": {error}", request.uri())
        });
    }

    /// It, and what the client is told.
    pub(super) fn failed(&self, error: &Error) -> c_int {
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
