//! `Require django-…`: one callback for all rules, so that none can forget what all owe: no user is
//! `AUTHZ_DENIED_NO_USER` before anything else, and an error is never «no».

use super::authn_provider::fail;
use super::child::KnownSite;
use super::pool::Pool;
use super::request::Request;
use super::require_line::{Command, Line};
use super::{child, ffi, guard, log, valid_user};
use crate::authz::{self, Group, Permission, Rule, Staff, Superuser};
use crate::error::Error;
use crate::user::{User, Wants};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

/// A user, and the site that knows him.
pub(super) type KnownUser = (Arc<KnownSite>, Arc<User>);

/// A table that httpd only reads.
pub(super) struct Provider(pub(super) ffi::authz_provider);

// SAFETY: functions, and nobody writes over them.
unsafe impl Sync for Provider {}

/// What stops httpd from starting after a panic.
pub(super) const DEFECT: &CStr = c"a defect of this module stopped the Require line";

/// The provider of a rule.
struct Of<R>(R);

impl<R: Rule> Of<R> {
    const PROVIDER: &Provider = &Provider(ffi::authz_provider {
        check_authorization: Some(check_authorization::<R>),
        parse_require_line: Some(parse_require_line::<R>),
    });
}

/// Registers every rule.
pub(super) fn register(pool: Pool<'_>) {
    register_as(pool, Group::NAME, &Of::<Group>::PROVIDER.0);
    register_as(pool, Staff::NAME, &Of::<Staff>::PROVIDER.0);
    register_as(pool, Superuser::NAME, &Of::<Superuser>::PROVIDER.0);
    register_as(pool, Permission::NAME, &Of::<Permission>::PROVIDER.0);
}

/// Registers a provider under a name that nobody has: counted, so that httpd need not ask again for
/// a sub-request in the same section.
pub(super) fn register_as(
    pool: Pool<'_>,
    name: &'static CStr,
    provider: &'static ffi::authz_provider,
) {
    valid_user::know(name);
    // SAFETY: called while the configuration is set up, with its pool; name and table are static.
    unsafe {
        ffi::ap_register_auth_provider(
            pool.raw(),
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            name.as_ptr(),
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
            ptr::from_ref(provider).cast(),
            ffi::AP_AUTH_INTERNAL_PER_CONF as c_int,
        );
    }
}

/// `mod_auth.h`, `parse_require_line`: NULL, or why the line is wrong.
extern "C" fn parse_require_line<R: Rule>(
    cmd: *mut ffi::cmd_parms,
    line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    // SAFETY: httpd passes its own command and the text of the line.
    let (command, line) = unsafe { (Command::new(cmd), CStr::from_ptr(line)) };
    guard(DEFECT.as_ptr(), || match Line::parse::<R>(&command, line) {
        // SAFETY: httpd passes the place for the result.
        Ok(line) => unsafe { command.accept(line, parsed) },
        Err(reason) => command.refuse(R::NAME, &reason),
    })
}

/// `mod_auth.h`, `check_authorization`.
extern "C" fn check_authorization<R: Rule>(
    raw: *mut ffi::request_rec,
    _line: *const c_char,
    parsed: *const c_void,
) -> ffi::authz_status {
    // SAFETY: httpd hands us the request for this callback, and what `parse_require_line` left.
    let (request, line) = unsafe { (Request::new(raw), parsed.cast::<Line>().as_ref()) };
    guard::guard_request(&request, ffi::authz_status_AUTHZ_GENERAL_ERROR, || {
        let (Some(name), Some(line)) = (request.user(), line) else {
            return ffi::authz_status_AUTHZ_DENIED_NO_USER;
        };
        status(judge::<R>(&request, name, line), &request, name, R::NAME)
    })
}

/// The answer as httpd has it; an error is told and fails closed.
pub(super) fn status(
    answer: Result<bool, Error>,
    request: &Request<'_>,
    name: &[u8],
    rule: &CStr,
) -> ffi::authz_status {
    match answer {
        Ok(true) => ffi::authz_status_AUTHZ_GRANTED,
        Ok(false) => {
            if log::wants(request, log::Level::Debug) {
                let (name, uri) = (String::from_utf8_lossy(name), request.uri());
                let rule = rule.to_string_lossy();
                let text = format!("user {name}: Require {rule} is not met for \"{uri}\"");
                log::request(request, log::Level::Debug, &text);
            }
            ffi::authz_status_AUTHZ_DENIED
        }
        Err(error) => {
            fail(request, name, "authorization", &error);
            ffi::authz_status_AUTHZ_GENERAL_ERROR
        }
    }
}

/// Whether the user of this request meets the line.
pub(super) fn judge<R: Rule>(
    request: &Request<'_>,
    name: &[u8],
    line: &Line,
) -> Result<bool, Error> {
    let words = line.words(request)?;
    Ok(user(request, name, &R::WANTS)?.is_some_and(|(_, user)| R::met(&user, &words)))
}

/// The user whom we let in, as his own site knew him; else, where another module vouches for the
/// name, the active user of that name in the section's own site. What `wants` asks for and did not
/// come with the row, as where an alias asks, is looked up.
pub(super) fn user(
    request: &Request<'_>,
    name: &[u8],
    wants: &Wants,
) -> Result<Option<KnownUser>, Error> {
    let (site, known) = match request.memo().granted(name) {
        Some((site, user)) if user.known.cover(wants) => return Ok(Some((site, user))),
        Some((site, user)) => (site, Some(user)),
        None => (child::site(request.config())?, None),
    };
    let memo = request.top().memo();
    let found = match memo.looked_up(&site, name, wants) {
        Some(found) => found,
        None => {
            let config = request.config();
            let wants = config.map_or_else(|| wants.clone(), |config| config.wants.or(wants));
            let (username, _) = crate::authn::decode(name, b"");
            let found = site.site.get_by_natural_key(&wants, &username, &memo.patience)?;
            let found = authz::groups_for_user(found);
            memo.look_up(&site, name, &wants, &found);
            found
        }
    };
    // By a query of the administrator's, another's row may answer to the name of this one.
    let same = |found: &Arc<User>| known.is_none_or(|known| known.id == found.id);
    Ok(found.filter(same).map(|user| (site, user)))
}
