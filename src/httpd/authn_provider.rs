//! `AuthBasicProvider django`, `AuthFormProvider django`, which httpd asks in the same way, and
//! `AuthDigestProvider django`.

use super::child::KnownSite;
use super::memo::Memo;
use super::pool::Pool;
use super::request::Request;
use super::{bytes, child, environment, ffi, guard, log};
use crate::authn::{self, Decision, Proof, RealmHash, Reason};
use crate::config::Unavailable;
use crate::error::Error;
use std::ffi::{c_char, c_int};
use std::sync::Arc;

/// A table that httpd only reads.
struct Provider(ffi::authn_provider);

// SAFETY: functions, and nobody writes over them.
unsafe impl Sync for Provider {}

static PROVIDER: Provider = Provider(ffi::authn_provider {
    check_password: Some(check_password),
    get_realm_hash: Some(get_realm_hash),
});

/// Registers the provider, for internal requests too: httpd need not ask again for a sub-request
/// in the same section.
pub(super) fn register(pool: Pool<'_>) {
    // SAFETY: called while hooks are registered, with the pool of the configuration; name and
    // table are static.
    unsafe {
        ffi::ap_register_auth_provider(
            pool.raw(),
            ffi::AUTHN_PROVIDER_GROUP.as_ptr(),
            c"django".as_ptr(),
            ffi::AUTHN_PROVIDER_VERSION.as_ptr(),
            (&raw const PROVIDER.0).cast(),
            ffi::AP_AUTH_INTERNAL_PER_CONF as c_int,
        );
    }
}

/// `mod_auth.h`, `check_password`.
extern "C" fn check_password(
    raw: *mut ffi::request_rec,
    user: *const c_char,
    password: *const c_char,
) -> ffi::authn_status {
    // SAFETY: httpd hands us the request and both strings for this callback.
    let (request, user, password) = unsafe { (Request::new(raw), bytes(user), bytes(password)) };
    guard::guard_request(&request, ffi::authn_status_AUTH_GENERAL_ERROR, || {
        environment::clear(&request);
        match decide(&request, request.top().memo(), user, password) {
            Ok((site, Decision::Granted(found, _))) => {
                request.memo().grant(found.username.as_bytes(), &site, &found);
                // Let in already: an outage in this moment sends nobody to the next provider.
                if let Err(error) = environment::set(&request, &found) {
                    fail(&request, user, "authentication", &error);
                    return ffi::authn_status_AUTH_GENERAL_ERROR;
                }
                request.set_user(&found.username);
                ffi::authn_status_AUTH_GRANTED
            }
            Ok((_, Decision::Denied(reason))) => {
                tell(&request, user, &reason);
                ffi::authn_status_AUTH_DENIED
            }
            Ok((_, Decision::UserNotFound(reason))) => {
                tell(&request, user, &reason);
                ffi::authn_status_AUTH_USER_NOT_FOUND
            }
            Err(error) => failed(&request, user, &error),
        }
    })
}

/// `mod_auth.h`, `get_realm_hash`: for mod_auth_digest, and for mod_auth_basic with
/// `AuthBasicUseDigestAlgorithm MD5`. `r->user` stays what the client sent and has hashed.
extern "C" fn get_realm_hash(
    raw: *mut ffi::request_rec,
    user: *const c_char,
    realm: *const c_char,
    place: *mut *mut c_char,
) -> ffi::authn_status {
    // SAFETY: httpd hands us the request and both strings for this callback.
    let (request, user, realm) = unsafe { (Request::new(raw), bytes(user), bytes(realm)) };
    guard::guard_request(&request, ffi::authn_status_AUTH_GENERAL_ERROR, || {
        match realm_hash(&request, request.top().memo(), user, realm) {
            Ok((site, RealmHash::Found(found, hash))) => {
                // Both callers end the request with 401 unless the client's hash fits this one, so
                // no Require line meets a user who was not verified.
                request.memo().grant(user, &site, &found);
                // SAFETY: httpd asks for the hash there.
                unsafe { *place = request.pool().c_str(&hash) };
                ffi::authn_status_AUTH_USER_FOUND
            }
            Ok((_, RealmHash::Denied(reason))) => {
                tell(&request, user, &reason);
                ffi::authn_status_AUTH_DENIED
            }
            Ok((_, RealmHash::UserNotFound(reason))) => {
                tell(&request, user, &reason);
                ffi::authn_status_AUTH_USER_NOT_FOUND
            }
            Err(error) => failed(&request, user, &error),
        }
    })
}

/// Reads the user as for a password first, and then the hash.
fn realm_hash(
    request: &Request<'_>,
    memo: &Memo,
    user: &[u8],
    realm: &[u8],
) -> Result<(Arc<KnownSite>, RealmHash), Error> {
    let config = request.config().ok_or(Error::NoDatabase)?;
    let site = child::site(Some(config))?;
    let name = &config.realm_hash.get().ok_or(Error::NoRealmHash)?.0;
    let query = child::query(config, name)?;
    if query.words() > 0 {
        let reason = "a query for AuthDjangoRealmHash has no Require line, and no :word1".into();
        return Err(Error::UnfitQuery { name: name.clone(), reason });
    }
    let (username, _) = authn::decode(user, b"");
    let (realm, _) = authn::decode(realm, b"");
    let (known, values) = (&site.site, vec![username.to_string(), realm.to_string()]);
    let found = memo.realm_hashes.get(&site, query, values, || {
        let query = (name.as_str(), &**query);
        authn::realm_hash(known, &config.asks(), query, &username, &realm, &memo.patience)
    })?;
    Ok((site, found))
}

/// The answer to an error.
fn failed(request: &Request<'_>, user: &[u8], error: &Error) -> ffi::authn_status {
    fail(request, user, "authentication", error);
    match (error, outage(request)) {
        (Error::Unavailable { .. }, Unavailable::NotFound) => ffi::authn_status_AUTH_USER_NOT_FOUND,
        _ => ffi::authn_status_AUTH_GENERAL_ERROR,
    }
}

/// What an outage means here.
fn outage(request: &Request<'_>) -> Unavailable {
    let set = request.config().and_then(|config| config.unavailable.get());
    set.map(|set| **set).unwrap_or_default()
}

/// Asks the client's request first, whose sub-request this may be, and then the site.
fn decide(
    request: &Request<'_>,
    memo: &Memo,
    user: &[u8],
    password: &[u8],
) -> Result<(Arc<KnownSite>, Decision), Error> {
    let config = request.config().ok_or(Error::NoDatabase)?;
    let site = child::site(Some(config))?;
    let hashers = child::hashers(config);
    if let Some(decision) = memo.verified(&site, hashers, user, password) {
        return Ok((site, decision));
    }
    let (username, text) = authn::decode(user, password);
    #[cfg(feature = "test-panic")]
    #[allow(clippy::panic)]
    if username == "panic" {
        panic!("the test asked for it");
    }
    let decision = child::verify(config, |verifier| {
        let (site, wants) = (&site.site, &config.asks());
        authn::check_password(site, verifier, wants, &username, &text, &memo.patience)
    })?;
    if let Decision::Granted(_, Proof::Stale(error)) = &decision
        && log::wants(request, log::Level::Warning)
        && child::is_news(&site, error)
    {
        let text = format!(
            "{error}; users who were verified lately are let in as they were last read \
             (AuthDjangoUnavailable stale=)"
        );
        log::request(request, log::Level::Warning, &text);
    }
    if let Decision::Granted(_, proof) = &decision
        && log::wants(request, log::Level::Debug)
    {
        let text = format!("user {username}: {proof} for \"{}\"", request.uri());
        log::request(request, log::Level::Debug, &text);
    }
    memo.verify(&site, hashers, user, password, &decision);
    Ok((site, decision))
}

/// mod_auth_basic logs each refusal itself; ours is the reason, and what the administrator has to
/// mend.
fn tell(request: &Request<'_>, user: &[u8], reason: &Reason) {
    let text = || {
        let (user, uri) = (String::from_utf8_lossy(user), request.uri());
        format!("user {user}: authentication failure for \"{uri}\": {reason}")
    };
    match reason {
        Reason::Refused(_) | Reason::Ambiguous | Reason::MalformedRealmHash => {
            let key = format!("{}: {reason}", String::from_utf8_lossy(user));
            log::request_limited(request, log::Level::Warning, &key, text);
        }
        _ if log::wants(request, log::Level::Debug) => {
            log::request(request, log::Level::Debug, &text());
        }
        _ => {}
    }
}

/// The one line of an error, which httpd answers with 500.
pub(super) fn fail(request: &Request<'_>, user: &[u8], what: &str, error: &Error) {
    log::request_limited(request, log::Level::Error, &error.kind(), || {
        let (user, uri) = (String::from_utf8_lossy(user), request.uri());
        format!("user {user}: {what} error for \"{uri}\": {error}")
    });
}
