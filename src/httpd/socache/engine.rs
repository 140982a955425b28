//! `Socache`: an engine with its instance, asked under the mutex where it needs one.

use crate::cache::{Id, Shared, Value};
use crate::httpd::{ffi, guard};
use std::ffi::{c_int, c_uint, c_void};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{ptr, slice, thread};

/// How long a request waits for the mutex before it does without: others hold it for microseconds.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long a restart waits for it.
const RESTART_PATIENCE: Duration = Duration::from_secs(1);

/// An engine with its instance.
pub(super) struct Socache {
    pub(super) provider: *const ffi::ap_socache_provider_t,
    pub(super) instance: *mut ffi::ap_socache_instance_t,
    pub(super) server: *mut ffi::server_rec,
    /// NULL where the engine needs none.
    pub(super) mutex: *mut ffi::apr_global_mutex_t,
}

// SAFETY: provider and instance are made before the fork and written by the engine alone, under
// the mutex where it says that it needs one.
unsafe impl Send for Socache {}
// SAFETY: as for `Send`.
unsafe impl Sync for Socache {}

impl Socache {
    /// Runs `body` with a pool of its own, alone where the engine must be; `None` where the mutex is
    /// not to be had in time.
    fn with<T>(
        &self,
        patience: Duration,
        body: impl FnOnce(*mut ffi::apr_pool_t) -> T,
    ) -> Option<T> {
        let locked = (!self.mutex.is_null()).then(|| Locked::new(self.mutex, patience)).transpose();
        let Ok(_locked) = locked else { return None };
        let mut pool = ptr::null_mut();
        // SAFETY: a pool of the process's own, destroyed below.
        let status =
            unsafe { ffi::apr_pool_create_ex(&mut pool, ptr::null_mut(), None, ptr::null_mut()) };
        if status != 0 {
            return None;
        }
        let answer = body(pool);
        // SAFETY: made above, and nothing of it is kept.
        unsafe { ffi::apr_pool_destroy(pool) };
        Some(answer)
    }

    fn put(&self, pool: *mut ffi::apr_pool_t, id: &Id, mut value: Value, expires: SystemTime) {
        let time = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        // SAFETY: `Socache`; the engine copies id and value.
        unsafe {
            if let Some(store) = (*self.provider).store {
                store(
                    self.instance,
                    self.server,
                    id.as_ptr(),
                    id.len() as c_uint,
                    time,
                    value.as_mut_ptr(),
                    value.len() as c_uint,
                    pool,
                );
            }
        }
    }

    /// All live entries, of an engine whose memory ends with this configuration.
    pub(super) fn live(&self) -> Vec<(Id, Value)> {
        extern "C" fn take(
            _: *mut ffi::ap_socache_instance_t,
            _: *mut ffi::server_rec,
            found: *mut c_void,
            id: *const u8,
            id_length: c_uint,
            data: *const u8,
            length: c_uint,
            _: *mut ffi::apr_pool_t,
        ) -> ffi::apr_status_t {
            guard::guard((), || {
                // SAFETY: `found` is the list below; the engine passes both texts with their lengths.
                let (found, id, value) = unsafe {
                    (
                        &mut *found.cast::<Vec<(Id, Value)>>(),
                        slice::from_raw_parts(id, id_length as usize),
                        slice::from_raw_parts(data, length as usize),
                    )
                };
                if let (Ok(id), Ok(value)) = (id.try_into(), value.try_into()) {
                    found.push((id, value));
                }
            });
            ffi::APR_SUCCESS as c_int
        }
        let mut found: Vec<(Id, Value)> = Vec::new();
        if self.mutex.is_null() {
            return found;
        }
        self.with(RESTART_PATIENCE, |pool| {
            // SAFETY: `Socache`; the list lives as long as the call.
            unsafe {
                if let Some(iterate) = (*self.provider).iterate {
                    let list = ptr::from_mut(&mut found).cast();
                    iterate(self.instance, self.server, list, Some(take), pool);
                }
            }
        });
        found
    }

    /// Puts back what was kept of the instance before this one.
    pub(super) fn restore(&self, kept: Vec<(Id, Value)>) {
        if self.mutex.is_null() {
            return;
        }
        self.with(RESTART_PATIENCE, |pool| {
            for (id, value) in kept {
                let Some(expires) = value.first_chunk() else { continue };
                let expires = Duration::from_secs(u64::from_be_bytes(*expires));
                if let Some(expires) = UNIX_EPOCH.checked_add(expires)
                    && expires > SystemTime::now()
                {
                    self.put(pool, &id, value, expires);
                }
            }
        });
    }
}

impl Shared for Socache {
    fn retrieve(&self, id: &Id) -> Option<Value> {
        self.with(PATIENCE, |pool| {
            let mut value: Value = [0; 40];
            let mut length = value.len() as c_uint;
            // SAFETY: `Socache`; the engine writes `length` bytes at most.
            let status = unsafe {
                let retrieve = (*self.provider).retrieve?;
                retrieve(
                    self.instance,
                    self.server,
                    id.as_ptr(),
                    id.len() as c_uint,
                    value.as_mut_ptr(),
                    &mut length,
                    pool,
                )
            };
            (status == 0 && length as usize == value.len()).then_some(value)
        })?
    }

    fn store(&self, id: &Id, value: Value, expires: SystemTime) {
        self.with(PATIENCE, |pool| self.put(pool, id, value, expires));
    }
}

/// The mutex, while it is held.
struct Locked(*mut ffi::apr_global_mutex_t);

impl Locked {
    /// APR has no lock with a time-out everywhere, and a process that was stopped may hold this one.
    fn new(mutex: *mut ffi::apr_global_mutex_t, patience: Duration) -> Result<Self, ()> {
        let start = Instant::now();
        // SAFETY: the mutex of this process.
        while unsafe { ffi::apr_global_mutex_trylock(mutex) } != 0 {
            if start.elapsed() >= patience {
                return Err(());
            }
            thread::sleep(Duration::from_micros(50));
        }
        Ok(Self(mutex))
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: it was locked by this thread.
        unsafe { ffi::apr_global_mutex_unlock(self.0) };
    }
}
