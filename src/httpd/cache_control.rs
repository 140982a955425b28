//! Keeps what a session cookie decided to the client for whom it was decided. Two output filters look
//! when an answer begins: the first of all keeps mod_cache from storing it, whatever its settings; the
//! last before httpd's own speaks to all other caches.
//!
//! The last comes after those of mod_cache, mod_headers and mod_expires, so that it sees every
//! lifetime that they give, and what mod_cache has from elsewhere.

use super::guard::guard_request;
use super::request::Request;
use super::{bytes, ffi};
use std::ffi::{CStr, c_int};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

const VARY: &CStr = c"Vary";
const CACHE_CONTROL: &CStr = c"Cache-Control";
const EXPIRES: &CStr = c"Expires";

/// Kept and asked for again by the browser, by nobody else: it is gone after the logout.
const PRIVATE: &CStr = c"private, no-cache";

/// What mod_cache takes for a word of the administrator's not to store the answer, before
/// CacheStorePrivate and CacheStoreNoStore.
const NO_CACHE: &CStr = c"no-cache";

/// The filters, as httpd knows them; registered anew for every configuration.
static FIRST: AtomicPtr<ffi::ap_filter_rec_t> = AtomicPtr::new(ptr::null_mut());
static LAST: AtomicPtr<ffi::ap_filter_rec_t> = AtomicPtr::new(ptr::null_mut());

/// Whether a section takes sessions: else no answer needs to be looked at.
static NEEDED: AtomicBool = AtomicBool::new(false);

/// The configuration was read.
pub(super) fn begin(sessions: bool) {
    NEEDED.store(sessions, Ordering::Relaxed);
}

/// Registers hooks and filters.
pub(super) fn register() {
    // SAFETY: static names, and functions of the hooks' and filters' types, which with `-z nodelete`
    // stay where they are.
    unsafe {
        let first = ffi::ap_register_output_filter(
            c"AUTHNZ_DJANGO_FIRST".as_ptr(),
            Some(first),
            None,
            ffi::ap_filter_type_AP_FTYPE_RESOURCE - 1,
        );
        FIRST.store(first, Ordering::Relaxed);
        let last = ffi::ap_register_output_filter(
            c"AUTHNZ_DJANGO_LAST".as_ptr(),
            Some(last),
            None,
            ffi::ap_filter_type_AP_FTYPE_PROTOCOL - 1,
        );
        LAST.store(last, Ordering::Relaxed);
        let middle = ffi::APR_HOOK_MIDDLE as c_int;
        ffi::ap_hook_insert_filter(Some(insert), ptr::null(), ptr::null(), middle);
        // Errors, and the 304 of a conditional request, have lost the filters of the request.
        ffi::ap_hook_insert_error_filter(Some(insert), ptr::null(), ptr::null(), middle);
    }
}

extern "C" fn insert(raw: *mut ffi::request_rec) {
    if !NEEDED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: httpd hands us the request for this callback.
    let request = unsafe { Request::new(raw) };
    guard_request(&request, (), || request.memo().begin());
    for filter in [&FIRST, &LAST] {
        let filter = filter.load(Ordering::Relaxed);
        // SAFETY: httpd hands us the request, whose connection outlives it; the filter is registered
        // as long as this configuration.
        unsafe {
            ffi::ap_add_output_filter_handle(filter, ptr::null_mut(), raw, (*raw).connection);
        }
    }
}

extern "C" fn first(
    filter: *mut ffi::ap_filter_t,
    brigade: *mut ffi::apr_bucket_brigade,
) -> ffi::apr_status_t {
    // SAFETY: what httpd passed to us.
    unsafe { pass(filter, brigade, keep_from_mod_cache) }
}

extern "C" fn last(
    filter: *mut ffi::ap_filter_t,
    brigade: *mut ffi::apr_bucket_brigade,
) -> ffi::apr_status_t {
    // SAFETY: what httpd passed to us.
    unsafe { pass(filter, brigade, tell_caches) }
}

/// Does `work` for an answer that a session decided, leaves the chain, and passes the answer on.
///
/// # Safety
/// `filter` and `brigade` are what httpd called an output filter of a request with.
unsafe fn pass(
    filter: *mut ffi::ap_filter_t,
    brigade: *mut ffi::apr_bucket_brigade,
    work: fn(&Request<'_>),
) -> ffi::apr_status_t {
    // SAFETY: the caller's promise; filters of these types have a request, for this callback.
    let request = unsafe { Request::new((*filter).r) };
    let done = guard_request(&request, false, || {
        if request.top().known_memo().is_some_and(|memo| memo.session_decided()) {
            work(&request);
        }
        true
    });
    if !done {
        return ffi::APR_EGENERAL as ffi::apr_status_t;
    }
    // SAFETY: the caller's promise; what was removed from the chain still leads to the next.
    unsafe {
        ffi::ap_remove_output_filter(filter);
        ffi::ap_pass_brigade((*filter).next, brigade)
    }
}

/// The variable, for the request and those whose answers it is a part of.
fn keep_from_mod_cache(request: &Request<'_>) {
    let mut raw = request.raw();
    while !raw.is_null() {
        // SAFETY: `Request::new`; the requests that this one is a part of outlive it, and each has
        // its own table. The strings are static.
        unsafe {
            ffi::apr_table_setn((*raw).subprocess_env, NO_CACHE.as_ptr(), c"1".as_ptr());
            raw = (*raw).main;
        }
    }
}

/// The headers; of a sub-request none are sent.
fn tell_caches(request: &Request<'_>) {
    let raw = request.raw();
    // SAFETY: `Request::new`; the tables are the request's own. All that is written is static.
    unsafe {
        if !(*raw).main.is_null() {
            return;
        }
        // httpd sends both, these last.
        let tables = [(*raw).err_headers_out, (*raw).headers_out];
        let values = |name: &CStr| tables.map(|table| values(request, table, name));
        if !values(VARY).iter().any(|vary| varies(vary)) {
            ffi::apr_table_mergen((*raw).headers_out, VARY.as_ptr(), c"Cookie".as_ptr());
        }
        if !values(CACHE_CONTROL).iter().any(|control| is_private(control)) {
            for table in tables {
                ffi::apr_table_unset(table, CACHE_CONTROL.as_ptr());
                // The lifetime that went with it.
                ffi::apr_table_unset(table, EXPIRES.as_ptr());
            }
            ffi::apr_table_setn((*raw).headers_out, CACHE_CONTROL.as_ptr(), PRIVATE.as_ptr());
        }
    }
}

/// All values of a header, with commas between; none where there is no such header.
///
/// # Safety
/// `table` is one of the request's.
unsafe fn values<'a>(
    request: &Request<'a>,
    table: *const ffi::apr_table_t,
    name: &CStr,
) -> &'a [u8] {
    // SAFETY: the caller's promise; the answer is NULL, or lives as long as the request.
    unsafe { bytes(ffi::apr_table_getm(request.pool().raw(), table, name.as_ptr())) }
}

/// Whether a Vary names cookies, or everything.
fn varies(vary: &[u8]) -> bool {
    elements(vary).any(|element| element == b"*" || element.eq_ignore_ascii_case(b"Cookie"))
}

/// Whether a Cache-Control keeps shared caches from storing the answer. `private="…"` does not: it is
/// about the fields that it names.
fn is_private(control: &[u8]) -> bool {
    elements(control).any(|element| {
        element.eq_ignore_ascii_case(b"private") || element.eq_ignore_ascii_case(b"no-store")
    })
}

/// The elements of a list in a header; a comma within quotes divides none.
fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let divides = move |byte: &u8| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            b'\\' => escaped = quoted && !literal,
            b'"' if !literal => quoted = !quoted,
            _ => {}
        }
        *byte == b',' && !quoted
    };
    list.split(divides).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_what_no_shared_cache_stores() {
        for control in [
            "private",
            "no-store",
            "max-age=60 , Private",
            "PRIVATE, max-age=60",
            "max-age=0, no-cache, no-store, must-revalidate, private",
            r#"no-cache="a\"b,c", private"#,
        ] {
            assert!(is_private(control.as_bytes()), "{control}");
        }
        for control in [
            "",
            "no-cache",
            "public",
            "max-age=60",
            r#"private="Set-Cookie""#,
            r#"private="a, private, b""#,
            r#"x="\", private""#,
            "no-storefront, privateer",
            "private;",
        ] {
            assert!(!is_private(control.as_bytes()), "{control}");
        }
    }

    #[test]
    fn vary_may_name_cookies_already() {
        for vary in ["Cookie", "cookie", "*", "Accept-Encoding,COOKIE", "Accept , *"] {
            assert!(varies(vary.as_bytes()), "{vary}");
        }
        for vary in ["", "Accept-Encoding", "Cookies", "Set-Cookie", "\"Cookie\""] {
            assert!(!varies(vary.as_bytes()), "{vary}");
        }
    }
}
