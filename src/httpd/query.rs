//! `Require django-query NAME words…`: what no rule foresees, by a query of the administrator's own.

use super::authz_provider::{DEFECT, Provider, register_as, status, user};
use super::pool::Pool;
use super::request::Request;
use super::require_line::{Command, Line};
use super::{child, ffi, guard};
use crate::authz::{self, QUERY};
use crate::error::Error;
use crate::query::check_name;
use crate::user::Wants;
use std::borrow::Cow;
use std::ffi::{CStr, c_char, c_void};

static PROVIDER: Provider = Provider(ffi::authz_provider {
    check_authorization: Some(check_authorization),
    parse_require_line: Some(parse_require_line),
});

/// Registers the rule.
pub(super) fn register(pool: Pool<'_>) {
    register_as(pool, QUERY, &PROVIDER.0);
}

/// A line: the name of the query, and the words behind it.
struct Asked {
    name: String,
    words: Line,
}

impl Asked {
    fn parse(command: &Command<'_>, line: &CStr) -> Result<Self, String> {
        let mut words = Line::read(command, line)?;
        let name = words
            .take_literal()
            .ok_or("needs the name of an AuthDjangoQuery, which is no expression")?;
        check_name(&name)?;
        // A query of a section around this one is not known yet, and judged by the request.
        if let Some(query) = command.config().and_then(|config| config.queries.get(&name)) {
            authz::enough_words(query, words.len())
                .map_err(|reason| format!("{name}: {reason}"))?;
        }
        Ok(Self { name, words })
    }
}

extern "C" fn parse_require_line(
    cmd: *mut ffi::cmd_parms,
    line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    // SAFETY: httpd passes its own command and the text of the line.
    let (command, line) = unsafe { (Command::new(cmd), CStr::from_ptr(line)) };
    guard(DEFECT.as_ptr(), || match Asked::parse(&command, line) {
        // SAFETY: httpd passes the place for the result.
        Ok(asked) => unsafe { command.accept(asked, parsed) },
        Err(reason) => command.refuse(QUERY, &reason),
    })
}

extern "C" fn check_authorization(
    raw: *mut ffi::request_rec,
    _line: *const c_char,
    parsed: *const c_void,
) -> ffi::authz_status {
    // SAFETY: httpd hands us the request for this callback, and what `parse_require_line` left.
    let (request, asked) = unsafe { (Request::new(raw), parsed.cast::<Asked>().as_ref()) };
    guard::guard_request(&request, ffi::authz_status_AUTHZ_GENERAL_ERROR, || {
        let (Some(name), Some(asked)) = (request.user(), asked) else {
            return ffi::authz_status_AUTHZ_DENIED_NO_USER;
        };
        status(judge(&request, name, asked), &request, name, QUERY)
    })
}

/// Whether the query of this place has a row for the user, in the user's own site.
fn judge(request: &Request<'_>, name: &[u8], asked: &Asked) -> Result<bool, Error> {
    let config = request.config().ok_or(Error::NoDatabase)?;
    let query = child::query(config, &asked.name)?;
    let words: Vec<_> = asked.words.values(request)?.into_iter().map(Cow::into_owned).collect();
    let Some((site, user)) = user(request, name, &Wants::NOTHING)? else { return Ok(false) };
    let mut values = vec![user.id.clone(), user.username.clone()];
    values.extend(words.iter().cloned());
    let memo = request.top().memo();
    memo.rows.get(&site, query, values, || {
        authz::has_row(&*site.site.store, &asked.name, query, &user, &words, &memo.patience)
    })
}
