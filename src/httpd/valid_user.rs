//! `Require valid-user` beside a line of ours, as Django's documentation prints the two: in httpd 2.4
//! they are alternatives, so that everybody gets in whom the other line was to keep out. That is
//! said at each start, and for each `.htaccess` now and then.
//!
//! mod_authz_user's provider is registered again, its own check with our look at the line: no
//! request comes by here.

use super::authz_provider::DEFECT;
use super::guard::guard;
use super::pool::Pool;
use super::require_line::Command;
use super::tree::Node;
use super::{ffi, log};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, PoisonError};

const NAME: &CStr = c"valid-user";

/// Sections of alternatives.
const ANY: [&str; 1] = ["<RequireAny"];

/// Sections whose lines `Require valid-user` beside them makes pointless: it is enough for their
/// methods too.
const POINTLESS: [&str; 4] = ["<RequireAny", "<RequireAll", "<Limit", "<LimitExcept"];

/// Sections whose lines are no alternatives.
const NO_ALTERNATIVES: [&str; 3] = ["<RequireAll", "<RequireNone", "<RequireNotAll"];

/// The names of our rules, and of their aliases.
static OURS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// mod_authz_user's provider; NULL where that module is not loaded.
static VALID_USER: AtomicPtr<ffi::authz_provider> = AtomicPtr::new(ptr::null_mut());

/// Forgets the names of the configuration before this one.
pub(super) fn clear() {
    OURS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Takes down the name of a rule.
pub(super) fn know(name: &CStr) {
    let name = name.to_string_lossy().into_owned();
    OURS.lock().unwrap_or_else(PoisonError::into_inner).push(name);
}

/// Looks at the lines of mod_authz_user from here on; called when all modules are loaded and no
/// Require line was read.
pub(super) fn wrap(pool: Pool<'_>) {
    // SAFETY: a query with static names; the answer is a table that lives as long as this
    // configuration.
    let found = unsafe {
        let found: *const ffi::authz_provider = ffi::ap_lookup_provider(
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            NAME.as_ptr(),
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
        )
        .cast();
        VALID_USER.store(found.cast_mut(), Ordering::Relaxed);
        found.as_ref()
    };
    let Some(found) = found else { return };
    let provider = pool.allocate(ffi::authz_provider {
        check_authorization: found.check_authorization,
        parse_require_line: Some(parse_require_line),
    });
    // Not counted again, as in `group`.
    // SAFETY: the pool is that of the configuration, and the table lives as long; all else is static.
    unsafe {
        ffi::ap_register_provider(
            pool.raw(),
            ffi::AUTHZ_PROVIDER_GROUP.as_ptr(),
            NAME.as_ptr(),
            ffi::AUTHZ_PROVIDER_VERSION.as_ptr(),
            provider.cast(),
        );
    }
}

extern "C" fn parse_require_line(
    cmd: *mut ffi::cmd_parms,
    line: *const c_char,
    parsed: *mut *const c_void,
) -> *const c_char {
    // SAFETY: httpd passes its own command.
    let command = unsafe { Command::new(cmd) };
    guard(DEFECT.as_ptr(), || {
        look(&command);
        // SAFETY: as in `wrap`.
        let theirs = unsafe { VALID_USER.load(Ordering::Relaxed).as_ref() };
        match theirs.and_then(|provider| provider.parse_require_line) {
            // SAFETY: what httpd passed to us.
            Some(parse) => unsafe { parse(cmd, line, parsed) },
            None => ptr::null(),
        }
    })
}

/// `Require valid-user` is being read: is a line of ours an alternative to it?
fn look(command: &Command<'_>) {
    let Some(line) = command.directive().filter(|_| command.alias().is_none()) else { return };
    let alternative = climb(line, |section| {
        ANY.iter().any(|name| section.is(name)) && !section.parent().is_some_and(no_alternatives)
    });
    let section = alternative.parent();
    if section.is_some_and(no_alternatives) || !is_valid_user(line) {
        return;
    }
    // Nothing leads back from a line at the top of .htaccess: see `seen`.
    let first = section.and_then(|section| section.children().next()).unwrap_or(alternative);
    if let Some(ours) = find(first, &POINTLESS, is_ours) {
        warn(command, line, ours);
    }
}

/// A line of ours was read.
pub(super) fn seen(command: &Command<'_>) {
    if let Some(alias) = command.alias() {
        return OURS.lock().unwrap_or_else(PoisonError::into_inner).push(alias);
    }
    let Some(line) = command.directive() else { return };
    let top = climb(line, |section| POINTLESS.iter().any(|name| section.is(name)));
    if top.parent().is_some() || !is_ours(line) {
        return;
    }
    if let Some(valid_user) = find(top, &ANY, is_valid_user) {
        warn(command, valid_user, line);
    }
}

fn no_alternatives(section: Node<'_>) -> bool {
    NO_ALTERNATIVES.iter().any(|name| section.is(name))
}

/// The outermost of the node and the sections around it that `through` lets us reach.
fn climb<'a>(from: Node<'a>, through: impl Fn(Node<'a>) -> bool) -> Node<'a> {
    let mut node = from;
    while let Some(section) = node.parent().filter(|section| through(*section)) {
        node = section;
    }
    node
}

/// The first of such lines from `first` on, in the sections `through` too.
fn find<'a>(first: Node<'a>, through: &[&str], wanted: fn(Node<'a>) -> bool) -> Option<Node<'a>> {
    first.onwards().find_map(|node| {
        if wanted(node) {
            return Some(node);
        }
        let section = through.iter().any(|name| node.is(name));
        node.children().next().filter(|_| section).and_then(|inner| find(inner, through, wanted))
    })
}

/// NAME in `Require NAME`; `not` in `Require not NAME`.
fn rule(node: Node<'_>) -> Option<&[u8]> {
    node.is("Require").then(|| node.first_word())
}

fn is_valid_user(node: Node<'_>) -> bool {
    rule(node) == Some(NAME.to_bytes())
}

fn is_ours(node: Node<'_>) -> bool {
    let ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    rule(node).is_some_and(|rule| ours.iter().any(|name| name.as_bytes() == rule))
}

fn warn(command: &Command<'_>, valid_user: Node<'_>, ours: Node<'_>) {
    let rule = String::from_utf8_lossy(ours.first_word());
    let text = || {
        format!(
            "{}: Require valid-user lets every user in, whatever Require {rule} ({}) asks for, \
             because one of several Require lines is enough: remove it, or put both into \
             <RequireAll>",
            valid_user.place(),
            ours.place()
        )
    };
    // SAFETY: queries without arguments of ours.
    let (state, mode) = unsafe {
        (
            ffi::ap_state_query(ffi::AP_SQ_MAIN_STATE as c_int),
            ffi::ap_state_query(ffi::AP_SQ_RUN_MODE as c_int),
        )
    };
    let (server, level) = (command.server(), log::Level::Warning);
    if state == ffi::AP_SQ_MS_RUN_MPM as c_int {
        // .htaccess is read for each request.
        log::server_limited(server, level, &format!("valid-user {}", valid_user.file()), text);
    } else if state != ffi::AP_SQ_MS_CREATE_PRE_CONFIG as c_int
        || mode == ffi::AP_SQ_RM_CONFIG_TEST as c_int
    {
        // A start reads everything twice, and a test once.
        log::server(Some(server), level, &text());
    }
}
