//! What the configuration names and every child will need: each database and each password once.
//! Per-directory configurations cannot be walked later, so their directives are entered here while
//! they are read.

use crate::config::{Config, Password};
use crate::error::Error;
use crate::store::Database;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
struct Registry {
    databases: Vec<Arc<Database>>,
    passwords: Vec<Arc<Password>>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { databases: Vec::new(), passwords: Vec::new() });

/// Forgets the configuration before this one.
pub(super) fn clear() {
    *REGISTRY.lock().unwrap_or_else(PoisonError::into_inner) = Registry::default();
}

/// Enters what a section names; sections that name the same share it from here on.
pub(super) fn adopt(config: &mut Config) {
    let mut registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    let Registry { databases, passwords } = &mut *registry;
    if let Some(database) = config.database.get_mut() {
        share(database, databases, |a, b| a == b);
    }
    if let Some(password) = config.password.get_mut() {
        share(password, passwords, |a, b| a.source == b.source);
    }
}

fn share<T>(new: &mut Arc<T>, known: &mut Vec<Arc<T>>, same: impl Fn(&T, &T) -> bool) {
    match known.iter().find(|old| same(old, new)) {
        Some(old) => *new = Arc::clone(old),
        None => known.push(Arc::clone(new)),
    }
}

/// Every database of the configuration.
pub(super) fn databases() -> Vec<Arc<Database>> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner).databases.clone()
}

/// Reads all secrets and TLS files. The answer is what an administrator should hear, but may start
/// with: databases that nobody answers for.
pub(super) fn load() -> Result<Vec<String>, Error> {
    let registry = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    for password in &registry.passwords {
        if password.value.get().is_none() {
            let value = password
                .source
                .read()
                .map_err(|e| Error::Secret(format!("AuthDjangoDatabasePassword {e}")))?;
            // Nobody else sets it: there is one thread.
            let _ = password.value.set(value);
        }
    }
    let mut unreachable = Vec::new();
    for database in &registry.databases {
        database.load()?;
        if let Err(reason) = database.reach() {
            unreachable.push(reason);
        }
    }
    Ok(unreachable)
}
