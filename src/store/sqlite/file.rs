//! The file of an SQLite database, as it must be looked at in a process that may hold locks on it.

#![forbid(unsafe_code)]

use crate::store::Host;
use crate::store::failure::Failure;
use std::fs::{File, Metadata};
use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The bytes that every reader locks (`SHARED_FIRST`, `SHARED_SIZE` in SQLite's `os.h`).
const SHARED: Range<u64> = 0x4000_0002..0x4000_0002 + 510;

const LOCKED: &str = "another process keeps the file locked";

/// Why a connection that was just made is of no use.
pub(super) const REPLACED: &str = "the file was replaced while it was opened";

/// Bcachefs, Btrfs, Ext, F2FS, OverlayFS, tmpfs, XFS and ZFS (statfs(2)).
const LOCAL: [u32; 8] = [
    0xca45_1a4e,
    0x9123_683e,
    0xef53,
    0xf2f5_2010,
    0x794c_7630,
    0x0102_1994,
    0x5846_5342,
    0x2fc1_2fc1,
];

/// How soon a lock that another has is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// A database file, looked at from a child.
pub(super) struct DatabaseFile {
    path: PathBuf,
    kept: Descriptors,
    /// Those of the wal-index beside it.
    index: Descriptors,
    euid: OnceLock<Option<u32>>,
}

/// The files that a path has led to: those that are still in use, and at the back the one that was
/// looked at last.
#[derive(Default)]
struct Descriptors(Mutex<Vec<Arc<Kept>>>);

/// Kept open: closing any descriptor of a file drops all POSIX locks that the process has on it,
/// those of other connections and of other modules too. So there is one for each file, and each
/// connection to the file has a share in it; of one that was replaced nobody else will want a lock.
pub(super) struct Kept {
    identity: (u64, u64),
    file: File,
    /// How many `Held` there are.
    holders: Mutex<usize>,
}

/// What is there at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Which file it is, whatever its name.
    identity: (u64, u64),
    /// Whether its header says WAL.
    pub(super) wal: bool,
    /// Whether the file belongs to the user that this process runs as.
    pub(super) ours: bool,
}

impl DatabaseFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            kept: Descriptors::default(),
            index: Descriptors::default(),
            euid: OnceLock::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process could write to the file. Only where no lock is held on it: to close a
    /// file is to drop them.
    pub(super) fn may_write(&self) -> bool {
        File::options().append(true).open(&self.path).is_ok()
    }

    /// Looks at the file; the error is why SQLite must not even be asked to read it, and the remedy.
    pub(super) fn look(&self) -> Result<Seen, String> {
        self.see().map(|(seen, _)| seen)
    }

    /// Whether the file of this name is still the one that was `seen`. Opens nothing.
    pub(super) fn is_same(&self, seen: &Seen) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == seen.identity)
    }

    fn see(&self) -> Result<(Seen, Arc<Kept>), String> {
        let found = std::fs::metadata(&self.path).map_err(|error| reason(&error))?;
        if !found.is_file() {
            return Err("that is not a file".into());
        }
        let (kept, wal) = self.header(&found)?;
        let ours = self.euid() == Some(found.uid());
        if wal && !ours {
            for suffix in ["-wal", "-shm"] {
                let beside = self.beside(suffix).map_err(|error| reason(&error))?;
                if std::fs::metadata(&beside).is_err() {
                    return Err(format!(
                        "the file is in WAL mode, belongs to another user and has no {suffix} file: \
                         run httpd as the same user, keep a Django connection open, or set PRAGMA \
                         journal_mode=DELETE"
                    ));
                }
            }
        }
        Ok((Seen { identity: kept.identity, wal, ours }, kept))
    }

    /// Looks at the file, and sees to it that no file beside it vanishes before the result is
    /// dropped. Else the last of Django's connections could take -wal away between our look and
    /// SQLite's, and SQLite would make one that Django cannot write to. As long as anybody reads,
    /// none is the last; and once SQLite has opened -wal, it counts as a reader itself.
    pub(super) fn hold<'a>(
        &self,
        host: &'a dyn Host,
        deadline: Instant,
    ) -> Result<(Seen, Arc<Kept>, Option<Held<'a>>), Failure> {
        let (seen, kept) = self.see().map_err(Failure::Broken)?;
        if !seen.wal || seen.ours {
            return Ok((seen, kept, None));
        }
        let held = loop {
            match kept.hold(host) {
                Ok(held) => break held,
                Err(error) if error.kind() != ErrorKind::WouldBlock => {
                    return Ok((seen, kept, None));
                }
                Err(_) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                Err(_) => return Err(Failure::TimedOut(LOCKED.into())),
            }
        };
        // What was there before it was held may be gone.
        let seen = self.look().map_err(Failure::Broken)?;
        if seen.identity != kept.identity {
            return Err(Failure::Broken(REPLACED.into()));
        }
        Ok((seen, kept, Some(held)))
    }

    /// Which file it is, and whether its header says WAL.
    fn header(&self, found: &Metadata) -> Result<(Arc<Kept>, bool), String> {
        let kept = self.kept.open(&self.path, found).map_err(|error| reason(&error))?;
        // Byte 19 is the version for reading, by which SQLite goes; 2 is WAL. An empty file has none.
        let mut version = [0];
        let _ = kept.file.read_at(&mut version, 19).map_err(|error| reason(&error))?;
        Ok((kept, version == [2]))
    }

    /// The wal-index of the file that is there; `None` where it cannot be read.
    pub(super) fn wal_index(&self) -> Option<Arc<Kept>> {
        let path = self.beside("-shm").ok()?;
        let found = std::fs::metadata(&path).ok().filter(Metadata::is_file)?;
        self.index.open(&path, &found).ok()
    }

    /// They are beside the file itself, wherever links to it may lie.
    fn beside(&self, suffix: &str) -> std::io::Result<PathBuf> {
        let mut beside = std::fs::canonicalize(&self.path)?.into_os_string();
        beside.push(suffix);
        Ok(beside.into())
    }

    /// The child's own user: the directory of a process belongs to its effective user.
    fn euid(&self) -> Option<u32> {
        *self.euid.get_or_init(|| std::fs::metadata("/proc/self").ok().map(|process| process.uid()))
    }
}

impl Descriptors {
    /// The file that was `found` under this path, opened once.
    fn open(&self, path: &Path, found: &Metadata) -> std::io::Result<Arc<Kept>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = |all: &[Arc<Kept>], found: &Metadata| {
            let identity = (found.dev(), found.ino());
            all.iter().position(|kept| kept.identity == identity).ok_or(identity)
        };
        let kept = match index(&all, found) {
            Ok(known) => all.remove(known),
            Err(_) => {
                let file = File::open(path)?;
                match index(&all, &file.metadata()?) {
                    // It was replaced and put back just now. To close it again would drop the locks.
                    Ok(known) => {
                        std::mem::forget(file);
                        all.remove(known)
                    }
                    Err(identity) => Arc::new(Kept { identity, file, holders: Mutex::default() }),
                }
            }
        };
        // Under the lock nobody comes by a share but from here, so those without one stay without.
        all.retain(|old| Arc::strong_count(old) > 1);
        all.push(kept.clone());
        Ok(kept)
    }
}

fn reason(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".into(),
        ErrorKind::PermissionDenied => "permission denied: httpd's user must be able to read it \
                                        and to search each folder above it"
            .into(),
        _ => error.to_string(),
    }
}

impl Kept {
    /// Whether the file is where what one process writes is at once what all others read, without a
    /// lock: unlike on a network, or what another program makes of it.
    pub(super) fn is_local(&self) -> bool {
        rustix::fs::fstatfs(&self.file).is_ok_and(|found| {
            let kind = u32::try_from(found.f_type).unwrap_or_default();
            LOCAL.contains(&kind)
        })
    }

    /// Whether there are so many bytes.
    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> bool {
        self.file.read_exact_at(bytes, at).is_ok()
    }

    fn hold<'a>(self: &Arc<Self>, host: &'a dyn Host) -> std::io::Result<Held<'a>> {
        let mut holders = self.holders();
        if *holders == 0 {
            host.share(&self.file, SHARED, true)?;
        }
        *holders += 1;
        Ok(Held { host, kept: self.clone() })
    }

    fn holders(&self) -> MutexGuard<'_, usize> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, the files beside the database stay.
pub(super) struct Held<'a> {
    host: &'a dyn Host,
    kept: Arc<Kept>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut holders = self.kept.holders();
        *holders -= 1;
        if *holders == 0 {
            let _ = self.host.share(&self.kept.file, SHARED, false);
        }
    }
}

#[cfg(test)]
mod tests;
