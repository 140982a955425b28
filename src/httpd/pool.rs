//! Rust values in APR's pools: a value moves into the pool and is dropped when the pool is cleared.

use super::ffi;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;

/// What APR aligns all memory of a pool to (`APR_ALIGN_DEFAULT`, `apr_general.h`).
const ALIGNMENT: usize = 8;

/// A pool that httpd handed to a callback.
#[derive(Clone, Copy)]
pub(super) struct Pool<'a> {
    raw: *mut ffi::apr_pool_t,
    callback: PhantomData<&'a ffi::apr_pool_t>,
}

impl<'a> Pool<'a> {
    /// # Safety
    /// `raw` is a pool of httpd's that lives as long as `'a`.
    pub(super) unsafe fn new(raw: *mut ffi::apr_pool_t) -> Self {
        Self { raw, callback: PhantomData }
    }

    /// For httpd's own functions.
    pub(super) fn raw(self) -> *mut ffi::apr_pool_t {
        self.raw
    }

    /// Moves `value` into the pool, which drops it when it is cleared or destroyed.
    pub(super) fn allocate<T: 'static>(self, value: T) -> *mut T {
        extern "C" fn drop_value<T>(value: *mut c_void) -> ffi::apr_status_t {
            super::guard((), || {
                // SAFETY: `allocate` wrote the value there, a pool runs each cleanup once, and gives
                // its memory back after all of them.
                unsafe { value.cast::<T>().drop_in_place() };
            });
            ffi::APR_SUCCESS as c_int
        }
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        // SAFETY: `new`; the memory is large enough, aligned, and nobody else's: where there is none,
        // httpd's pools end the process. The cleanup is the value's end. A child that execs must not
        // drop what the parent owns, hence the null cleanup.
        unsafe {
            let place = ffi::apr_palloc(self.raw, size_of::<T>()).cast::<T>();
            place.write(value);
            ffi::apr_pool_cleanup_register(
                self.raw,
                place.cast(),
                Some(drop_value::<T>),
                Some(ffi::apr_pool_cleanup_null),
            );
            place
        }
    }

    /// Copies `text` into the pool, as a C string.
    pub(super) fn c_str(self, text: &str) -> *mut c_char {
        // SAFETY: `new`; `text` is `text.len()` bytes long, which are copied with a NUL behind them.
        unsafe { ffi::apr_pstrmemdup(self.raw, text.as_ptr().cast(), text.len()) }
    }

    /// The words of `line`, quoted or not, as httpd splits the arguments of a directive.
    pub(super) fn words(self, line: &CStr) -> Vec<String> {
        let mut rest = line.as_ptr();
        let mut words = Vec::new();
        loop {
            // SAFETY: `rest` points into `line`, whose NUL ends the search.
            let left = unsafe { CStr::from_ptr(rest) };
            if left.to_bytes().iter().all(u8::is_ascii_whitespace) {
                return words;
            }
            // SAFETY: `new`; `rest` is moved on within `line`, and the word is copied into the pool.
            let word = unsafe { super::bytes(ffi::ap_getword_conf(self.raw, &mut rest)) };
            words.push(String::from_utf8_lossy(word).into_owned());
        }
    }
}
