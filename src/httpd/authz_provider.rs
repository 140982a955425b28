//! `Require django-…`: one callback for all rules, so that none can forget what all owe: no user is
//! `AUTHZ_DENIED_NO_USER` before anything else, and an error is never «no».

use super::authn_provider::fail;
use super::request::Request;
use super::{bytes, c_string, child, ffi, guard, log, pool};
use crate::authz::{self, Group, Rule};
use crate::error::Error;
use crate::user::User;
use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;

/// A table that httpd only reads.
pub(super) struct Provider(pub(super) ffi::authz_provider);

// SAFETY: functions, and nobody writes over them.
unsafe impl Sync for Provider {}

/// The provider of a rule.
struct Of<R>(R);

impl<R: Rule> Of<R> {
    const PROVIDER: &Provider = &Provider(ffi::authz_provider {
        check_authorization: Some(check_authorization::<R>),
        parse_require_line: Some(parse_require_line::<R>),
    });
}

/// Registers every rule.
pub(super) fn register(pool: *mut ffi::apr_pool_t) {
    register_as(pool, Group::NAME.as_ptr(), &Of::<Group>::PROVIDER.0);
}

/// Registers a provider under a name that nobody has: counted, so that httpd need not ask again for
/// a sub-request in the same section.
pub(super) fn register_as(
    pool: *mut ffi::apr_pool_t,
    name: *const c_char,
    provider: &'static ffi::authz_provider,
) {
    // SAFETY: called while the configuration is set up, with its pool; name and table are static.
    unsafe {
        ffi::ap_register_auth_provider(
            pool,
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            name,
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
            ptr::from_ref(provider).cast(),
            ffi::AP_AUTH_INTERNAL_PER_CONF as c_int,
        );
    }
}

/// The words of a Require line, read when the line was.
pub(super) struct Line {
    words: Vec<Word>,
}

enum Word {
    Literal(String),
    /// Evaluated for each request. It is one word whatever it becomes: a client's text must not
    /// become several names.
    Expression(*const ffi::ap_expr_info_t),
}

impl Line {
    /// Reads the words behind `Require NAME` and has the rule look at them.
    pub(super) fn parse<R: Rule>(
        cmd: &ffi::cmd_parms,
        line: *const c_char,
    ) -> Result<Self, String> {
        let words =
            pool::words(cmd.pool, line)
                .into_iter()
                .map(|word| {
                    if word.contains("%{") {
                        expression(cmd, &word)
                    } else {
                        Ok(Word::Literal(word))
                    }
                })
                .collect::<Result<Vec<_>, _>>()?;
        let literals: Vec<_> = words
            .iter()
            .map(|word| match word {
                Word::Literal(word) => Some(word.as_str()),
                Word::Expression(_) => None,
            })
            .collect();
        R::check(&literals)?;
        Ok(Self { words })
    }

    /// The words for this request.
    pub(super) fn words(&self, request: &Request<'_>) -> Result<Vec<String>, String> {
        self.words.iter().map(|word| word.evaluate(request)).collect()
    }
}

impl Word {
    fn evaluate(&self, request: &Request<'_>) -> Result<String, String> {
        match self {
            Self::Literal(word) => Ok(word.clone()),
            Self::Expression(expression) => {
                let mut error = ptr::null();
                // SAFETY: the expression was parsed into the pool of the configuration, or of the
                // request where it stands in .htaccess, and `error` is written where it fails.
                let text = unsafe { ffi::ap_expr_str_exec(request.raw(), *expression, &mut error) };
                if !error.is_null() {
                    return Err(String::from_utf8_lossy(bytes(error)).into_owned());
                }
                Ok(String::from_utf8_lossy(bytes(text)).into_owned())
            }
        }
    }
}

fn expression(cmd: &ffi::cmd_parms, word: &str) -> Result<Word, String> {
    let mut error = ptr::null();
    // SAFETY: the text is copied into the pool first, because the parsed form points into it;
    // `error` is written where it fails.
    let parsed = unsafe {
        ffi::ap_expr_parse_cmd_mi(
            cmd,
            pool::c_str(cmd.pool, word),
            ffi::AP_EXPR_FLAG_STRING_RESULT,
            &mut error,
            None,
            (*super::module()).module_index,
        )
    };
    if error.is_null() && !parsed.is_null() {
        Ok(Word::Expression(parsed))
    } else {
        Err(format!("\"{word}\" is not an expression: {}", String::from_utf8_lossy(bytes(error))))
    }
}

/// `mod_auth.h`, `parse_require_line`: NULL, or why the line is wrong.
extern "C" fn parse_require_line<R: Rule>(
    cmd: *mut ffi::cmd_parms,
    line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    guard(c"a defect of this module stopped the Require line".as_ptr(), || {
        // SAFETY: httpd passes its own `cmd`.
        let cmd = unsafe { &*cmd };
        match Line::parse::<R>(cmd, line) {
            Ok(line) => {
                // SAFETY: httpd passes the place for the result.
                unsafe { *parsed = pool::allocate(cmd.pool, line).cast() };
                ptr::null()
            }
            Err(reason) => refuse(cmd, R::NAME.to_string_lossy().as_ref(), &reason),
        }
    })
}

/// The text that stops httpd from starting.
pub(super) fn refuse(cmd: &ffi::cmd_parms, name: &str, reason: &str) -> *const c_char {
    pool::c_str(cmd.pool, &format!("Require {name}: {reason}"))
}

/// `mod_auth.h`, `check_authorization`.
extern "C" fn check_authorization<R: Rule>(
    raw: *mut ffi::request_rec,
    _line: *const c_char,
    parsed: *const c_void,
) -> ffi::authz_status {
    guard::guard_request(raw, ffi::authz_status_AUTHZ_GENERAL_ERROR, || {
        // SAFETY: httpd hands us the request for this callback, and what `parse_require_line` left.
        let (request, line) = unsafe { (Request::new(raw), &*parsed.cast::<Line>()) };
        let Some(name) = request.user() else {
            return ffi::authz_status_AUTHZ_DENIED_NO_USER;
        };
        status(judge::<R>(&request, name, line), &request, name, R::NAME.to_string_lossy().as_ref())
    })
}

/// The answer as httpd has it; an error is told and fails closed.
pub(super) fn status(
    answer: Result<bool, Error>,
    request: &Request<'_>,
    name: &[u8],
    rule: &str,
) -> ffi::authz_status {
    match answer {
        Ok(true) => ffi::authz_status_AUTHZ_GRANTED,
        Ok(false) => {
            if log::wants(request.raw(), log::Level::Debug) {
                let (name, uri) = (String::from_utf8_lossy(name), request.uri());
                let text = format!("user {name}: Require {rule} is not met for \"{uri}\"");
                log::request(request.raw(), log::Level::Debug, &text);
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
    let words = line.words(request).map_err(Error::Expression)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    Ok(user(request, name)?.is_some_and(|user| R::met(&user, &words)))
}

/// The user whom we let in, as his own site knew him; else, where another module vouches for the
/// name, the active user of that name in the section's own site.
fn user(request: &Request<'_>, name: &[u8]) -> Result<Option<Arc<User>>, Error> {
    if let Some(user) = request.memo().granted(name) {
        return Ok(Some(user));
    }
    let site = request.config().and_then(child::site).ok_or(Error::NoDatabase)?;
    let memo = request.top().memo();
    if let Some(user) = memo.looked_up(&site, name) {
        return Ok(user);
    }
    let (username, _) = crate::authn::decode(name, b"");
    let known = &site.site;
    let user = authz::groups_for_user(&*known.store, &known.model, &username, &memo.patience)?;
    memo.look_up(&site, name, &user);
    Ok(user)
}

/// For a name of httpd's that is looked up.
pub(super) fn lookup(name: &str) -> *const ffi::authz_provider {
    let name = c_string(name);
    // SAFETY: a query; the strings are copied or only compared.
    unsafe {
        ffi::ap_lookup_provider(
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            name.as_ptr(),
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
        )
        .cast()
    }
}
