//! What a child has: the pools of its databases and the sites that its requests met. Made after the
//! fork, because neither threads nor connections survive one.

use super::log::Server;
use super::pool::Pool;
use super::{ffi, hashing, log, registry, shared_memory, socache};
use crate::authn::{Outages, Owners, Site, Stale, Verifier};
use crate::cache::{Key, Shared, Verified};
use crate::config::{CacheTimeout, Config, Secret, Unavailable};
use crate::error::Error;
use crate::hashers::{Floor, Hashers};
use crate::hashing::Hashing;
use crate::query::Query;
use crate::store::{Database, Gate, Host, Store};
use crate::user::UserModel;
use std::ffi::c_int;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::{io, mem, ptr, thread};

/// A site as the configuration names it.
pub(super) struct KnownSite {
    database: Arc<Database>,
    password: Option<Arc<Secret>>,
    /// As the section has it, which does not say what `query` the name of one means there.
    model: Arc<UserModel>,
    query: Option<Arc<Query>>,
    /// What the core asks.
    pub(super) site: Site,
}

struct Opened {
    database: Arc<Database>,
    password: Option<Arc<Secret>>,
    store: Arc<dyn Store>,
}

struct Child {
    host: Arc<Httpd>,
    gate: Arc<Gate>,
    /// Or why there is none, and no password can be verified.
    cache: Result<Verified, String>,
    /// Whether what was verified counts at all: not with AuthDjangoCache off.
    remembers: bool,
    hashing: Hashing,
    outages: Option<Outages>,
    stores: Mutex<Vec<Opened>>,
    sites: RwLock<Vec<Arc<KnownSite>>>,
}

static CHILD: RwLock<Option<Arc<Child>>> = RwLock::new(None);

/// `auth.User`, where no AuthDjangoUserModel is set.
static USER_MODEL: LazyLock<Arc<UserModel>> = LazyLock::new(Arc::default);

/// Django's default list, where no AuthDjangoPasswordHashers is set.
static HASHERS: LazyLock<Arc<Hashers>> = LazyLock::new(Arc::default);

/// Begins a child: a lazy pool for each database, and a warning where its user will trip.
pub(super) fn init(pool: Pool<'_>, server: Server) {
    let cache = socache::child_init(pool, server);
    begin(server, cache);
    for database in registry::databases() {
        if let Err(reason) = database.check() {
            log::server(Some(server), log::Level::Warning, &reason);
        }
    }
}

/// The same without the warnings, by the key of all children and the level that they share. Without
/// them nothing is remembered, and a key of the child's own names the checks that are being done.
pub(super) fn begin(server: Server, cache: Option<(Key, Option<Arc<dyn Shared>>)>) {
    let remembers = cache.is_some();
    let cache = cache.map_or_else(|| Key::random().map(|key| (key, None)), Ok);
    let host = Arc::new(Httpd { server, threads: threads() });
    let hashing = hashing::begin(&host);
    let outages = shared_memory::get();
    let stores = registry::databases().len();
    let gate = Arc::new(Gate::new(host.threads()).expecting(stores));
    *CHILD.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Child {
        host,
        gate,
        cache: cache.map(|(key, shared)| Verified::new(&key, shared)),
        remembers,
        hashing,
        outages: outages.map(|(shared, begin)| Outages::new(&shared.outages, begin)),
        stores: Mutex::default(),
        sites: RwLock::default(),
    }));
}

/// The site that a section means.
///
/// # Errors
/// Where no database is in reach, or no such query as the user model names.
pub(super) fn site(config: Option<&Config>) -> Result<Arc<KnownSite>, Error> {
    let config = config.ok_or(Error::NoDatabase)?;
    let child = CHILD.read().unwrap_or_else(PoisonError::into_inner);
    let child = child.as_ref().ok_or(Error::NoDatabase)?;
    let database = config.database.get().ok_or(Error::NoDatabase)?;
    let password = config.password.get();
    let model = user_model(config);
    let query = match &model.query_name {
        Some(name) => Some(query(config, name)?),
        None => None,
    };
    let find = |known: &[Arc<KnownSite>]| {
        known
            .iter()
            .find(|known| {
                Arc::ptr_eq(&known.database, database)
                    && same(known.password.as_ref(), password)
                    && known.model == *model
                    && known.query.as_ref() == query
            })
            .cloned()
    };
    if let Some(known) = find(&child.sites.read().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(known);
    }
    let mut sites = child.sites.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = find(&sites) {
        return Ok(known);
    }
    let resolved = match (&model.query_name, query) {
        (Some(name), Some(query)) => {
            query
                .check_for_users()
                .map_err(|reason| Error::UnfitQuery { name: name.clone(), reason })?;
            Arc::new(UserModel { query: Some(Arc::clone(query)), ..(**model).clone() })
        }
        _ => Arc::clone(model),
    };
    let known = Arc::new(KnownSite {
        database: Arc::clone(database),
        password: password.cloned(),
        model: Arc::clone(model),
        query: query.cloned(),
        site: Site {
            store: child.store(database, password),
            identity: format!("{}\n{}", database.identity(), resolved.identity()),
            model: resolved,
            floor: Floor::default(),
            stale: Stale::default(),
            owners: Owners::default(),
        },
    });
    sites.push(Arc::clone(&known));
    Ok(known)
}

/// The query that a name means in a section.
///
/// # Errors
/// Where it means none.
pub(super) fn query<'a>(config: &'a Config, name: &str) -> Result<&'a Arc<Query>, Error> {
    config.queries.get(name).ok_or_else(|| Error::NoQuery(name.to_owned()))
}

/// The user model of a section.
pub(super) fn user_model(config: &Config) -> &Arc<UserModel> {
    config.user_model.get().unwrap_or(&USER_MODEL)
}

/// The accepted algorithms of a section.
pub(super) fn hashers(config: &Config) -> &Arc<Hashers> {
    config.hashers.get().unwrap_or(&HASHERS)
}

/// Verifies a password as a section wants it verified.
///
/// # Errors
/// Where there is no child yet, or it got no key; else what `body` answers.
pub(super) fn verify<T>(
    config: &Config,
    body: impl FnOnce(Verifier<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let child = CHILD.read().unwrap_or_else(PoisonError::into_inner).clone();
    let child = child.ok_or(Error::NoDatabase)?;
    let CacheTimeout(lifetime) = config.cache_timeout.get().map(|set| **set).unwrap_or_default();
    let stale = match config.unavailable.get().map(|set| **set) {
        Some(Unavailable::Stale(lately)) => Some(lately),
        _ => None,
    };
    let cache = child.cache.as_ref().map_err(|reason| Error::Secret(reason.clone()))?;
    let lifetime = lifetime.filter(|_| child.remembers);
    let (hashers, hashing) = (hashers(config), &child.hashing);
    body(Verifier { hashers, hashing, cache, lifetime, stale })
}

/// Whether no child has told yet of an outage of a site's database, as this one sees it.
pub(super) fn is_news(site: &KnownSite, outage: &Error) -> bool {
    let child = CHILD.read().unwrap_or_else(PoisonError::into_inner);
    let outages = child.as_ref().and_then(|child| child.outages.as_ref());
    outages.is_none_or(|outages| outages.are_news(&outage.kind(), site.site.store.answered()))
}

fn same(a: Option<&Arc<Secret>>, b: Option<&Arc<Secret>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

impl Child {
    fn store(&self, database: &Arc<Database>, password: Option<&Arc<Secret>>) -> Arc<dyn Store> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = stores.iter().find(|opened| {
            Arc::ptr_eq(&opened.database, database) && same(opened.password.as_ref(), password)
        }) {
            return Arc::clone(&opened.store);
        }
        let value = password.and_then(|password| password.value.get()).cloned();
        let host: Arc<dyn Host> = Arc::clone(&self.host) as _;
        let store = database.open(value, host, Arc::clone(&self.gate));
        stores.push(Opened {
            database: Arc::clone(database),
            password: password.cloned(),
            store: Arc::clone(&store),
        });
        store
    }
}

/// How many children there may be.
pub(super) fn children() -> usize {
    let mut children: c_int = 0;
    // SAFETY: the MPM writes an int.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_MAX_DAEMONS as c_int, &mut children) };
    usize::try_from(children).unwrap_or(0).max(1)
}

/// httpd, as far as the core needs it.
pub(super) struct Httpd {
    /// The main server, for its log.
    server: Server,
    threads: usize,
}

impl Host for Httpd {
    fn notice(&self, message: &str) {
        log::server(Some(self.server), log::Level::Notice, message);
    }

    /// The thread takes no signals: httpd's handlers belong to httpd's threads.
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        // SAFETY: both sets are initialised before they are read; the calls only change the
        // signal mask of this thread, which is set back below and inherited by the new one.
        let before = unsafe {
            let mut all: libc::sigset_t = mem::zeroed();
            let mut before: libc::sigset_t = mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            before
        };
        let started =
            thread::Builder::new().name(name.to_owned()).spawn(|| super::guard((), body)).map(drop);
        // SAFETY: `before` was filled in above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
        started
    }

    fn threads(&self) -> usize {
        self.threads
    }

    fn share(&self, file: &File, range: Range<u64>, hold: bool) -> io::Result<()> {
        let kind = if hold { libc::F_RDLCK } else { libc::F_UNLCK };
        let wrong = |_| io::Error::from(io::ErrorKind::InvalidInput);
        // SAFETY: a plain C record, for which zeros are values; `l_pid` must be one.
        let mut lock: libc::flock = unsafe { mem::zeroed() };
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = range.start.try_into().map_err(wrong)?;
        lock.l_len = (range.end - range.start).try_into().map_err(wrong)?;
        // SAFETY: the descriptor is open while `file` is, and the kernel only reads `lock`.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

/// ThreadsPerChild, 1 with prefork.
fn threads() -> usize {
    let mut threads: c_int = 0;
    // SAFETY: the MPM writes an int.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_MAX_THREADS as c_int, &mut threads) };
    usize::try_from(threads).unwrap_or(0).max(1)
}
