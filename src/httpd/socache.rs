//! The second level of the cache of verified credentials: an engine of httpd's own (`ap_socache.h`),
//! which all children share, or several machines.
//!
//! Made by each `post_config`, gone with its pool: an instance has a mutex and memory of that pool.
//! What a graceful restart keeps are the key, in retained data, and copies of the live entries.

use super::log::{self, Server};
use super::pool::Pool;
use super::{ffi, guard};
use crate::cache::{Id, Key, Shared, Value};
use crate::config::{BYTES_PER_USER, CacheSettings, Level};
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{ptr, slice, thread};

/// The name of mutex and segment, as `Mutex` and the runtime directory know it.
const NAME: &CStr = c"authnz-django";

/// Where the key is while httpd runs, whatever becomes of this module.
const RETAINED: &CStr = c"mod_authnz_django: key of verified credentials";

/// How long a request waits for the mutex before it does without: others hold it for microseconds.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long a restart waits for it.
const RESTART_PATIENCE: Duration = Duration::from_secs(1);

/// An engine with its instance.
struct Socache {
    provider: *const ffi::ap_socache_provider_t,
    instance: *mut ffi::ap_socache_instance_t,
    server: *mut ffi::server_rec,
    /// NULL where the engine needs none.
    mutex: *mut ffi::apr_global_mutex_t,
}

// SAFETY: provider and instance are made before the fork and written by the engine alone, under
// the mutex where it says that it needs one.
unsafe impl Send for Socache {}
// SAFETY: as for `Send`.
unsafe impl Sync for Socache {}

/// What this configuration has: the key, and the level that is shared.
#[derive(Clone)]
pub(super) struct Started {
    pub(super) key: Key,
    shared: Option<Arc<Socache>>,
}

static STARTED: RwLock<Option<Started>> = RwLock::new(None);

/// The live entries of the configuration before this one.
static KEPT: Mutex<Vec<(Id, Value)>> = Mutex::new(Vec::new());

/// The name that the provider of shared memory has.
pub(super) const SHMCB: &CStr = c"shmcb";
pub(super) const REDIS: &CStr = c"redis";

/// Announces the mutex, which `Mutex` may then configure; called in `pre_config`.
pub(super) fn register(pool: Pool<'_>) {
    // SAFETY: the pool of the configuration, and constants.
    unsafe {
        ffi::ap_mutex_register(
            pool.raw(),
            NAME.as_ptr(),
            ptr::null(),
            ffi::apr_lockmech_e_APR_LOCK_DEFAULT,
            0,
        );
    }
}

/// Whether the engine of this name is loaded.
pub(super) fn is_loaded(name: &CStr) -> bool {
    !provider(name).is_null()
}

fn provider(name: &CStr) -> *const ffi::ap_socache_provider_t {
    // SAFETY: a query with constant names.
    unsafe {
        ffi::ap_lookup_provider(
            ffi::AP_SOCACHE_PROVIDER_GROUP.as_ptr(),
            name.as_ptr(),
            ffi::AP_SOCACHE_PROVIDER_VERSION.as_ptr(),
        )
        .cast()
    }
}

/// Makes what `settings` ask for, as part of `post_config`; gives the line that tells of it. `None`
/// for the settings: the default, with what is loaded.
pub(super) fn start(
    pool: Pool<'_>,
    server: *mut ffi::server_rec,
    settings: Option<&CacheSettings>,
) -> Result<String, String> {
    let default = CacheSettings::default();
    let chosen = settings.unwrap_or(&default);
    let (shared, told) = match &chosen.level {
        Level::Off => return Ok("no verified password is remembered (AuthDjangoCache off)".into()),
        Level::Local => (None, "verified passwords are remembered by each child alone".to_owned()),
        Level::Shmcb(_) if settings.is_none() && !is_loaded(SHMCB) => {
            let told = "verified passwords are remembered by each child alone: mod_socache_shmcb, \
                        by which all would, is not loaded";
            (None, told.to_owned())
        }
        Level::Shmcb(size) => {
            let told = format!(
                "verified passwords are remembered in shared memory: shmcb, {} KiB for about {} users",
                size / 1024,
                size / BYTES_PER_USER
            );
            // The engine takes shared memory without a name; the path is for systems that lack it.
            (Some(create(pool, server, SHMCB, &format!("authnz-django({size})"))?), told)
        }
        Level::Redis(place) => {
            let told = format!("verified passwords are remembered by redis at {place}");
            (Some(create(pool, server, REDIS, place)?), told)
        }
    };
    let key = match chosen.key()? {
        Some(key) => key,
        None => retained_key()?,
    };
    if let Some(shared) = &shared {
        shared.restore();
    }
    let shared = shared.map(Arc::new);
    *STARTED.write().unwrap_or_else(PoisonError::into_inner) = Some(Started { key, shared });
    // After the engine's own cleanups were registered, so that it runs before them.
    // SAFETY: the pool of the configuration; the function is static. A child that execs has no part
    // in it.
    unsafe {
        ffi::apr_pool_cleanup_register(
            pool.raw(),
            ptr::null(),
            Some(end),
            Some(ffi::apr_pool_cleanup_null),
        );
    }
    Ok(told)
}

/// Ours alone, and the same for as long as httpd runs.
fn retained_key() -> Result<Key, String> {
    // SAFETY: retained data is `size` bytes of zeros that live as long as the process; there is one
    // thread now, and nobody else knows the name.
    unsafe {
        let mut bytes = ffi::ap_retained_data_get(RETAINED.as_ptr()).cast::<[u8; 32]>();
        if bytes.is_null() {
            let key = Key::random()?;
            bytes = ffi::ap_retained_data_create(RETAINED.as_ptr(), size_of::<[u8; 32]>()).cast();
            *bytes = *key.bytes();
        }
        Ok(Key::new(*bytes))
    }
}

fn create(
    pool: Pool<'_>,
    server: *mut ffi::server_rec,
    name: &CStr,
    words: &str,
) -> Result<Socache, String> {
    let shown = name.to_string_lossy();
    let provider = provider(name);
    // SAFETY: NULL, or the engine's static table.
    let Some(engine) = (unsafe { provider.as_ref() }) else {
        return Err(format!("AuthDjangoCache: mod_socache_{shown} is not loaded"));
    };
    let (Some(create), Some(init)) = (engine.create, engine.init) else {
        return Err(format!("AuthDjangoCache: mod_socache_{shown} lacks a function"));
    };
    let failed = |what: &str, status: c_int| {
        format!("AuthDjangoCache: {shown}: {what}: {}", std::io::Error::from_raw_os_error(status))
    };
    let mut socache =
        Socache { provider, instance: ptr::null_mut(), server, mutex: ptr::null_mut() };
    let hints = ffi::ap_socache_hints {
        avg_id_len: size_of::<Id>(),
        // With the index that shmcb keeps beside each, so that it makes room for both.
        avg_obj_size: size_of::<Value>() + 24,
        expiry_interval: 0,
    };
    // SAFETY: called in `post_config` with its pool and server, as `ap_socache.h` and
    // `util_mutex.h` want it: first the mutex, then the instance.
    unsafe {
        if engine.flags & ffi::AP_SOCACHE_FLAG_NOTMPSAFE != 0 {
            let status = ffi::ap_global_mutex_create(
                &mut socache.mutex,
                ptr::null_mut(),
                NAME.as_ptr(),
                ptr::null(),
                server,
                pool.raw(),
                0,
            );
            if status != 0 {
                return Err(failed("cannot make the mutex", status));
            }
        }
        let error = create(&mut socache.instance, pool.c_str(words), pool.raw(), pool.raw());
        if !error.is_null() {
            let reason = String::from_utf8_lossy(super::bytes(error));
            return Err(format!("AuthDjangoCache: {shown}: {reason}"));
        }
        let status = init(socache.instance, NAME.as_ptr(), &hints, server, pool.raw());
        if status != 0 {
            return Err(failed("cannot start", status));
        }
    }
    Ok(socache)
}

/// Makes the mutex a child's; called in `child_init`. Without it the child is on its own.
pub(super) fn child_init(pool: Pool<'_>, server: Server) -> Option<(Key, Option<Arc<dyn Shared>>)> {
    let started = STARTED.read().unwrap_or_else(PoisonError::into_inner).clone()?;
    let Some(socache) = started.shared else { return Some((started.key, None)) };
    let mut child = Socache { ..*socache };
    if !child.mutex.is_null() {
        // SAFETY: the parent's mutex, which the fork has copied, and the pool of the child.
        let status = unsafe {
            let file = ffi::apr_global_mutex_lockfile(child.mutex);
            ffi::apr_global_mutex_child_init(&mut child.mutex, file, pool.raw())
        };
        if status != 0 {
            let reason = std::io::Error::from_raw_os_error(status);
            let text = format!("this child shares no verified passwords: its mutex: {reason}");
            log::server(Some(server), log::Level::Error, &text);
            return Some((started.key, None));
        }
    }
    Some((started.key, Some(Arc::new(child))))
}

/// The end of this configuration: what is live is kept for the next one.
extern "C" fn end(_: *mut c_void) -> ffi::apr_status_t {
    guard::guard((), || {
        let started = STARTED.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(socache) = started.and_then(|started| started.shared) else { return };
        *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = socache.live();
        // SAFETY: `Socache`; nobody uses the instance in this process any more.
        unsafe {
            if let Some(destroy) = (*socache.provider).destroy {
                destroy(socache.instance, socache.server);
            }
        }
    });
    ffi::APR_SUCCESS as c_int
}

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
    fn live(&self) -> Vec<(Id, Value)> {
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
    fn restore(&self) {
        let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
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
