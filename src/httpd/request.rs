//! `Request`: httpd's `request_rec`, for as long as the callback that it was handed to.

use super::memo::Memo;
use super::pool::Pool;
use super::{bytes, ffi, module};
use crate::config::Config;
use std::ffi::{CStr, c_int};
use std::marker::PhantomData;

/// A request, borrowed for one callback.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    raw: *mut ffi::request_rec,
    callback: PhantomData<&'a ffi::request_rec>,
}

impl<'a> Request<'a> {
    /// # Safety
    /// `raw` is the request that httpd handed to the callback which `'a` is not to outlive.
    pub(super) unsafe fn new(raw: *mut ffi::request_rec) -> Self {
        Self { raw, callback: PhantomData }
    }

    /// For httpd's own functions.
    pub(super) fn raw(&self) -> *mut ffi::request_rec {
        self.raw
    }

    /// What lives as long as the request.
    pub(super) fn pool(&self) -> Pool<'a> {
        // SAFETY: `new`.
        unsafe { Pool::new((*self.raw).pool) }
    }

    /// Who was authenticated, or is about to be.
    pub(super) fn user(&self) -> Option<&'a [u8]> {
        // SAFETY: `new`; httpd's strings live as long as the request.
        unsafe {
            let user = (*self.raw).user;
            (!user.is_null()).then(|| bytes(user))
        }
    }

    /// Sets REMOTE_USER.
    pub(super) fn set_user(&self, name: &str) {
        let name = self.pool().c_str(name);
        // SAFETY: `new`; the name lives as long as the request.
        unsafe { (*self.raw).user = name };
    }

    /// Sets AUTH_TYPE.
    pub(super) fn set_auth_type(&self, kind: &'static CStr) {
        // SAFETY: `new`; httpd only reads the string.
        unsafe { (*self.raw).ap_auth_type = kind.as_ptr().cast_mut() };
    }

    /// `AuthType` of this place; none where it is not set or `None`.
    pub(super) fn auth_type(&self) -> Option<&'a [u8]> {
        // SAFETY: `new`; the answer lives as long as the request.
        let kind = unsafe { ffi::ap_auth_type(self.raw) };
        // SAFETY: as above.
        (!kind.is_null()).then(|| unsafe { bytes(kind) })
    }

    /// The method, as the client has sent it.
    pub(super) fn method(&self) -> &'a [u8] {
        // SAFETY: `new`; httpd's strings live as long as the request.
        unsafe { bytes((*self.raw).method) }
    }

    /// A header of the client's; several of one name are one, with commas.
    pub(super) fn header(&self, name: &CStr) -> Option<&'a [u8]> {
        // SAFETY: `new`; the table is the request's own, and nobody changes it meanwhile.
        unsafe { get((*self.raw).headers_in, name) }
    }

    /// A variable of the environment.
    pub(super) fn variable(&self, name: &CStr) -> Option<&'a [u8]> {
        // SAFETY: as in `header`.
        unsafe { get((*self.raw).subprocess_env, name) }
    }

    /// Whether the client wants something of another server by us. A page of ErrorDocument is a
    /// redirect to this server itself, with the headers that came for the other.
    pub(super) fn is_forward_proxy(&self) -> bool {
        [*self, self.top()].iter().any(|request| {
            // SAFETY: `new`.
            unsafe { (*request.raw).proxyreq == ffi::PROXYREQ_PROXY as c_int }
        })
    }

    /// Sets a header that an answer of our own keeps, whatever its status.
    pub(super) fn set_error_header(&self, name: &'static CStr, value: &str) {
        let value = self.pool().c_str(value);
        // SAFETY: `new`; the table is the request's own, and both strings live as long.
        unsafe { ffi::apr_table_setn((*self.raw).err_headers_out, name.as_ptr(), value) };
    }

    /// Sets where a redirect leads.
    pub(super) fn set_location(&self, url: &str) {
        let url = self.pool().c_str(url);
        // SAFETY: `new`; the table is the request's own, and both strings live as long.
        unsafe { ffi::apr_table_setn((*self.raw).headers_out, c"Location".as_ptr(), url) };
    }

    /// What the client asked for, as its request line has it.
    pub(super) fn unparsed_uri(&self) -> &'a [u8] {
        // SAFETY: `new`; httpd's strings live as long as the request.
        unsafe { bytes((*self.raw).unparsed_uri) }
    }

    /// Whether clients come by https: as the server is configured, not as they say.
    pub(super) fn is_https(&self) -> bool {
        // SAFETY: `new`; the answer is a static string.
        unsafe { bytes(ffi::ap_run_http_scheme(self.raw)) == b"https" }
    }

    /// ServerName of the virtual host, with the port that it has there.
    pub(super) fn server_name(&self) -> (&'a [u8], Option<u16>) {
        // SAFETY: `new`; a server lives as long as the configuration.
        unsafe {
            let server = (*self.raw).server;
            let port = (*server).port;
            (bytes((*server).server_hostname), (port != 0).then_some(port))
        }
    }

    /// Sets a variable of the environment.
    pub(super) fn set_variable(&self, name: &str, value: &str) {
        let (name, value) = (self.pool().c_str(name), self.pool().c_str(value));
        // SAFETY: `new`; the table is the request's own, and both strings live as long.
        unsafe { ffi::apr_table_setn((*self.raw).subprocess_env, name, value) };
    }

    /// Takes a variable out of the environment.
    pub(super) fn unset_variable(&self, name: &str) {
        let name = self.pool().c_str(name);
        // SAFETY: `new`; the table is the request's own.
        unsafe { ffi::apr_table_unset((*self.raw).subprocess_env, name) };
    }

    /// What was asked for, for the log.
    pub(super) fn uri(&self) -> String {
        // SAFETY: `new`; httpd's strings live as long as the request.
        String::from_utf8_lossy(unsafe { bytes((*self.raw).uri) }).into_owned()
    }

    /// The settings of the innermost section; those of an alias during its callback.
    pub(super) fn config(&self) -> Option<&'a Config> {
        // SAFETY: `new`; our value in the vector is NULL or what `create_dir_config` or
        // `merge_dir_config` made, and lives as long as the request.
        unsafe {
            ffi::ap_get_module_config((*self.raw).per_dir_config, module())
                .cast::<Config>()
                .as_ref()
        }
    }

    /// The request of the client, whose sub-request or redirect this one may be.
    pub(super) fn top(&self) -> Self {
        let mut raw = self.raw;
        loop {
            // SAFETY: `new`; the requests that this one comes from outlive it.
            let (prev, main) = unsafe { ((*raw).prev, (*raw).main) };
            raw = if !prev.is_null() {
                prev
            } else if !main.is_null() {
                main
            } else {
                return Self { raw, callback: PhantomData };
            };
        }
    }

    /// The request that this one is a sub-request of.
    pub(super) fn main(&self) -> Option<Self> {
        // SAFETY: `new`; the request that this one comes from outlives it.
        let raw = unsafe { (*self.raw).main };
        (!raw.is_null()).then_some(Self { raw, callback: PhantomData })
    }

    /// What this request remembers; one thread serves a request.
    pub(super) fn memo(&self) -> &'a Memo {
        self.known_memo().unwrap_or_else(|| {
            let memo = self.pool().allocate(Memo::default());
            // SAFETY: `new`; the vector is the request's own, and the memo lives in its pool.
            unsafe {
                ffi::ap_set_module_config((*self.raw).request_config, module(), memo.cast());
                &*memo
            }
        })
    }

    /// The same, where there is something that it remembers.
    pub(super) fn known_memo(&self) -> Option<&'a Memo> {
        // SAFETY: `new`; our value in the request's own vector is NULL until `memo` puts one there,
        // which lives in the pool of the request.
        unsafe {
            ffi::ap_get_module_config((*self.raw).request_config, module()).cast::<Memo>().as_ref()
        }
    }
}

/// A value of a table of httpd's, none where it has none.
///
/// # Safety
/// The table lives as long as `'a`, and nobody changes the value meanwhile.
unsafe fn get<'a>(table: *const ffi::apr_table_t, name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    let value = unsafe { ffi::apr_table_get(table, name.as_ptr()) };
    // SAFETY: as above; a value is a string.
    (!value.is_null()).then(|| unsafe { bytes(value) })
}
