//! The file of an SQLite database, as it must be looked at in a process that may hold locks on it.

#![forbid(unsafe_code)]

use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Which file it is, whatever its name.
pub(super) type Identity = (u64, u64);

/// A database file, looked at from a child.
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Kept open: closing any descriptor of a file drops all POSIX locks that the process has on
    /// it, those of other connections and of other modules too.
    header: Mutex<Option<(Identity, File)>>,
    euid: OnceLock<Option<u32>>,
}

/// What is there at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) identity: Identity,
    /// Whether the file belongs to the user that this process runs as.
    pub(super) ours: bool,
}

impl DatabaseFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, header: Mutex::new(None), euid: OnceLock::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file; the error is why SQLite must not even be asked to read it, and the remedy.
    pub(super) fn look(&self) -> Result<Seen, String> {
        let found = std::fs::metadata(&self.path).map_err(|error| self.reason(&error))?;
        if !found.is_file() {
            return Err(format!("{} is not a file", self.path.display()));
        }
        let (identity, wal) = self.header(&found)?;
        let ours = self.euid() == Some(found.uid());
        if wal && !ours {
            for suffix in ["-wal", "-shm"] {
                let mut beside = self.path.clone().into_os_string();
                beside.push(suffix);
                if std::fs::metadata(&beside).is_err() {
                    return Err(format!(
                        "the file is in WAL mode, belongs to another user and has no {suffix} file: \
                         run httpd as the same user, keep a Django connection open, or set PRAGMA \
                         journal_mode=DELETE"
                    ));
                }
            }
        }
        Ok(Seen { identity, ours })
    }

    /// Which file it is, and whether its header says WAL.
    fn header(&self, found: &Metadata) -> Result<(Identity, bool), String> {
        let mut identity = (found.dev(), found.ino());
        let mut kept = self.header.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(kept, _)| *kept != identity) {
            let file = File::open(&self.path).map_err(|error| self.reason(&error))?;
            let opened = file.metadata().map_err(|error| self.reason(&error))?;
            identity = (opened.dev(), opened.ino());
            *kept = Some((identity, file));
        }
        // Bytes 18 and 19 are the versions for writing and reading; 2 is WAL. An empty file is none.
        let mut versions = [0; 2];
        if let Some((_, file)) = kept.as_ref() {
            let _ = file.read_at(&mut versions, 18).map_err(|error| self.reason(&error))?;
        }
        Ok((identity, versions == [2, 2]))
    }

    /// The child's own user: the directory of a process belongs to its effective user.
    fn euid(&self) -> Option<u32> {
        *self.euid.get_or_init(|| std::fs::metadata("/proc/self").ok().map(|process| process.uid()))
    }

    fn reason(&self, error: &Error) -> String {
        let path = self.path.display();
        match error.kind() {
            ErrorKind::NotFound => format!("{path}: no such file"),
            ErrorKind::PermissionDenied => format!(
                "{path}: permission denied: httpd's user must be able to read it and to search each \
                 folder above it"
            ),
            _ => format!("{path}: {error}"),
        }
    }
}
