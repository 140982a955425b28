//! Rust values in APR's pools: a value moves into the pool and is dropped when the pool is cleared.

use super::ffi;
use std::ffi::{c_char, c_int, c_void};

/// Moves `value` into `pool`, which drops it when it is cleared or destroyed.
pub(super) fn allocate<T>(pool: *mut ffi::apr_pool_t, value: T) -> *mut T {
    extern "C" fn drop_value<T>(value: *mut c_void) -> ffi::apr_status_t {
        super::guard((), || {
            // SAFETY: the pointer is the one that `allocate` took from a box, and a pool runs each
            // cleanup once.
            drop(unsafe { Box::from_raw(value.cast::<T>()) });
        });
        ffi::APR_SUCCESS as c_int
    }
    let value = Box::into_raw(Box::new(value));
    // SAFETY: httpd gave us `pool`, and it outlives the value: the cleanup is the value's end. A
    // child that execs must not drop what the parent owns, hence the null cleanup.
    unsafe {
        ffi::apr_pool_cleanup_register(
            pool,
            value.cast(),
            Some(drop_value::<T>),
            Some(ffi::apr_pool_cleanup_null),
        );
    }
    value
}

/// Copies `text` into `pool`, as a C string.
pub(super) fn c_str(pool: *mut ffi::apr_pool_t, text: &str) -> *mut c_char {
    // SAFETY: `text` is `text.len()` bytes long, which are copied with a NUL behind them.
    unsafe { ffi::apr_pstrmemdup(pool, text.as_ptr().cast(), text.len()) }
}

/// The words of `line`, quoted or not, as httpd splits the arguments of a directive.
pub(super) fn words(pool: *mut ffi::apr_pool_t, line: *const c_char) -> Vec<String> {
    let mut rest = line;
    let mut words = Vec::new();
    if line.is_null() {
        return words;
    }
    loop {
        // SAFETY: `rest` points into a NUL-ended string of httpd's, and is moved on within it.
        let (word, more) = unsafe {
            let more = *rest != 0;
            (ffi::ap_getword_conf(pool, &mut rest), more)
        };
        if !more {
            return words;
        }
        words.push(String::from_utf8_lossy(super::bytes(word)).into_owned());
    }
}
