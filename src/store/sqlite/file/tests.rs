use super::*;
use crate::store::tests::FakeHost;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Two databases of a test's own, and a reader that holds SQLite's lock on the first.
struct Files {
    folder: PathBuf,
    reader: rusqlite::Connection,
}

impl Files {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("authnz-file-{}-{count}", process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["db", "other"] {
            let database = rusqlite::Connection::open(folder.join(name)).unwrap();
            database.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        }
        let reader = rusqlite::Connection::open(folder.join("db")).unwrap();
        Self { folder, reader }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn lock(&self) {
        let begin = "BEGIN; SELECT x FROM t";
        self.reader.query_row("SELECT x FROM t", [], |_| Ok(())).unwrap();
        self.reader.execute_batch(begin).unwrap();
    }

    /// Whether this process still has a POSIX lock on the file of that number. A line is left out
    /// where another lock goes between two reads of the list, so it is read again; a lock that is
    /// lost does not come back.
    fn is_locked(inode: u64) -> bool {
        let (mine, file) = (format!(" {} ", process::id()), format!(":{inode} "));
        (0..100).any(|_| {
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            locks.lines().any(|l| l.contains("POSIX") && l.contains(&mine) && l.contains(&file))
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[test]
fn a_file_that_changes_and_changes_back_keeps_its_locks() {
    let files = Files::new();
    let database = DatabaseFile::new(files.path("db"));
    database.look().unwrap();
    let number = inode(&files.path("db"));
    files.lock();
    assert!(Files::is_locked(number));
    // Another file was there for a moment, when it was asked which; what is opened is the old one.
    let other = std::fs::metadata(files.path("other")).unwrap();
    for _ in 0..2 {
        let (kept, _) = database.header(&other).unwrap();
        assert_eq!(kept.identity.1, number);
        assert!(Files::is_locked(number));
    }
}

#[test]
fn a_replaced_file_keeps_the_locks_of_those_who_still_read_it() {
    let files = Files::new();
    let database = DatabaseFile::new(files.path("db"));
    let (before, share) = database.see().unwrap();
    let number = inode(&files.path("db"));
    files.lock();
    let swap = |a: &str, b: &str| {
        std::fs::rename(files.path(a), files.path("aside")).unwrap();
        std::fs::rename(files.path(b), files.path(a)).unwrap();
        std::fs::rename(files.path("aside"), files.path(b)).unwrap();
    };
    for _ in 0..3 {
        swap("db", "other");
        assert_ne!(database.look().unwrap(), before);
        assert!(Files::is_locked(number));
        // And there and back again.
        swap("db", "other");
        assert_eq!(database.look().unwrap(), before);
        assert!(Files::is_locked(number));
    }
    // Each was opened once, however often they changed places.
    swap("db", "other");
    database.look().unwrap();
    let ours = |name| descriptors(&files.path(name));
    assert_eq!((ours("db"), ours("other")), (1, 2));
    // Closed with its last connection, or a database that is replaced each night would fill the disk.
    files.reader.execute_batch("COMMIT").unwrap();
    drop(share);
    database.look().unwrap();
    assert_eq!((ours("db"), ours("other")), (1, 1));
}

fn descriptors(path: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    all.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).filter(|to| to == path).count()
}

/// A host that counts what is held.
#[derive(Default)]
struct Counting(FakeHost, Mutex<Vec<(u64, bool)>>);

impl Host for Counting {
    fn notice(&self, message: &str) {
        self.0.notice(message);
    }
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        self.0.spawn(name, body)
    }
    fn threads(&self) -> usize {
        1
    }
    fn share(&self, file: &File, _: Range<u64>, hold: bool) -> std::io::Result<()> {
        self.1.lock().unwrap().push((file.metadata()?.ino(), hold));
        Ok(())
    }
}

#[test]
fn what_is_held_is_let_go_though_the_file_was_replaced() {
    let files = Files::new();
    let database = DatabaseFile::new(files.path("db"));
    let number = inode(&files.path("db"));
    let (_, kept) = database.see().unwrap();
    let host = Counting::default();
    let held = [kept.hold(&host).unwrap(), kept.hold(&host).unwrap()];
    std::fs::rename(files.path("other"), files.path("db")).unwrap();
    database.look().unwrap();
    drop(held);
    assert_eq!(*host.1.lock().unwrap(), [(number, true), (number, false)]);
}
