//! What the configuration names and every child will need: each database and each secret once.
//! Per-directory configurations cannot be walked later, so their directives are entered here while
//! they are read.

use super::log::Level;
use crate::config::{Config, Secret, SecretKeys};
use crate::error::Error;
use crate::secret::Source;
use crate::store::Database;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

#[derive(Default)]
struct Registry {
    databases: Vec<Arc<Database>>,
    secrets: Vec<Arc<Secret>>,
    secret_keys: Vec<Arc<SecretKeys>>,
    /// Whether a section takes sessions.
    sessions: bool,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    databases: Vec::new(),
    secrets: Vec::new(),
    secret_keys: Vec::new(),
    sessions: false,
});

/// Forgets the configuration before this one.
pub(super) fn clear() {
    *REGISTRY.lock().unwrap_or_else(PoisonError::into_inner) = Registry::default();
}

/// Enters what a section names; sections that name the same share it from here on.
pub(super) fn adopt(config: &mut Config) {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let Registry { databases, secrets, secret_keys, sessions } = &mut *registry;
    *sessions |= config.sessions().is_some();
    if let Some(database) = config.database.get_mut() {
        share(database, databases);
    }
    if let Some(password) = config.password.get_mut() {
        share(password, secrets);
    }
    if let Some(keys) = config.secret_key.get_mut() {
        let new = Arc::get_mut(keys).into_iter().flat_map(|keys| &mut keys.secrets);
        new.for_each(|secret| share(secret, secrets));
        share(keys, secret_keys);
    }
    if let Some(settings) = config.cache.get_mut().and_then(Arc::get_mut)
        && let Some(key) = &mut settings.key
    {
        share(key, secrets);
    }
}

fn share<T: PartialEq>(new: &mut Arc<T>, known: &mut Vec<Arc<T>>) {
    match known.iter().find(|old| *old == new) {
        Some(old) => *new = Arc::clone(old),
        None => known.push(Arc::clone(new)),
    }
}

/// Whether there is all that sessions need: what no section has, no section can inherit.
///
/// # Errors
/// The reason and the remedy, for `apachectl configtest`.
pub(super) fn check() -> Result<(), &'static str> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    if registry.sessions && registry.secret_keys.is_empty() {
        return Err("AuthDjangoSession needs the SECRET_KEY that sessions are signed with: add \
                    AuthDjangoSecretKey file:PATH to its section or to the server");
    }
    if registry.sessions && registry.databases.is_empty() {
        return Err(
            "AuthDjangoSession needs the database of its users: add AuthDjangoDatabase to \
                    its section or to the server",
        );
    }
    Ok(())
}

/// Whether a section takes sessions.
pub(super) fn takes_sessions() -> bool {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner).sessions
}

/// Every database of the configuration.
pub(super) fn databases() -> Vec<Arc<Database>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner).databases.clone()
}

/// Which of its runs `post_config` is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// The first of two at start, while `apachectl start` still waits for the outcome.
    Trial,
    /// The second.
    Start,
    /// While a server runs, which must not die of a secret that cannot be had at the moment.
    Restart,
}

/// The secrets as they were read last, for the second round of a start, and for a restart that
/// cannot read them.
static READ: Mutex<Vec<(Source, Zeroizing<String>)>> = Mutex::new(Vec::new());

/// Reads all secrets and TLS files. The answer is what an administrator should hear, though the
/// server starts: of databases that nobody answers for, of a restart that goes on with old secrets.
pub(super) fn load(round: Round) -> Result<Vec<(Level, String)>, Error> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let mut told = Vec::new();
    for secret in registry.secrets.iter().filter(|secret| secret.value.get().is_none()) {
        let (directive, source) = (secret.directive, &secret.source);
        let value = match (read(source, round), round) {
            (Ok(value), _) => value,
            (Err(error), Round::Restart) => {
                let kept = known(source);
                let instead = if kept.is_some() { "the one read before" } else { "none" };
                told.push((
                    Level::Critical,
                    format!("{directive} {error}; this restart goes on with {instead}"),
                ));
                let Some(kept) = kept else { continue };
                kept
            }
            (Err(error), _) => {
                return Err(Error::Secret(format!("{directive} {error}")));
            }
        };
        // Nobody else sets it: there is one thread.
        let _ = secret.value.set(value);
    }
    for database in &registry.databases {
        match (database.load(), round) {
            (Ok(()), _) => {}
            (Err(error), Round::Restart) => told.push((Level::Critical, error.to_string())),
            (Err(error), _) => return Err(error),
        }
        // A restart must not wait for a name that does not resolve.
        if round == Round::Start
            && let Err(reason) = database.reach()
        {
            told.push((Level::Warning, reason));
        }
    }
    Ok(told)
}

/// A secret, read once for both rounds of a start.
fn read(source: &Source, round: Round) -> Result<Zeroizing<String>, Error> {
    if round == Round::Start
        && let Some(value) = known(source)
    {
        return Ok(value);
    }
    let value = source.read()?;
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    read.retain(|(known, _)| known != source);
    read.push((source.clone(), value.clone()));
    Ok(value)
}

fn known(source: &Source) -> Option<Zeroizing<String>> {
    let read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    read.iter().find(|(known, _)| known == source).map(|(_, value)| value.clone())
}
