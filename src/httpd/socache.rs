//! The second level of the cache of verified credentials: an engine of httpd's own (`ap_socache.h`),
//! which all children share, or several machines.
//!
//! Made by each `post_config`, gone with its pool: an instance has a mutex and memory of that pool.
//! What a graceful restart keeps are the key, in retained data, and copies of the live entries.

mod engine;

use super::log::{self, Server};
use super::pool::Pool;
use super::{ffi, guard};
use crate::cache::{Id, Key, Shared, Value};
use crate::config::{BYTES_PER_USER, CacheSettings, Level};
use engine::Socache;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The name of mutex and segment, as `Mutex` and the runtime directory know it.
const NAME: &CStr = c"authnz-django";

/// Where the key is while httpd runs, whatever becomes of this module.
const RETAINED: &CStr = c"mod_authnz_django: key of verified credentials";

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
        Level::Off => return Ok("every password is hashed (AuthDjangoCache off)".into()),
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
        let kept = std::mem::take(&mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner));
        shared.restore(kept);
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
        Ok(Key::new(&*bytes))
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
