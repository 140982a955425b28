//! `Mark`: the few bytes by which SQLite itself sees that a database has changed.

#![forbid(unsafe_code)]

use super::Connection;
use super::file::Kept;
use std::sync::Arc;

/// In the header of the file: how it is written and read, then from byte 24 on what SQLite compares
/// (`dbFileVers` in its `pager.c`), the change counter first.
const HEADER: (u64, usize) = (18, 22);

/// The header of the wal-index and its copy (`WalIndexHdr` in its `wal.c`).
const INDEX: (u64, usize) = (0, 96);

/// Where `WalIndexHdr` says that it is complete.
const IS_INIT: usize = 12;

/// Where it has the salt of the log; without one the log is empty, and tells nothing of the database.
const SALT: std::ops::Range<usize> = 32..40;

/// Bytes that no commit leaves as they are:
///
/// - With a journal every writer raises the change counter before a commit, once for each time that it
///   locks the file, and only what was never committed is taken back
///   (<https://www.sqlite.org/fileformat2.html#file_change_counter>).
/// - In WAL a commit is a new header of the wal-index, with a count, a checksum of all frames and the
///   salt of this log (<https://www.sqlite.org/walformat.html#the_wal_index_header>); whoever reads
///   compares it with the one that it knows.
pub(super) struct Mark {
    file: Arc<Kept>,
    at: u64,
    bytes: Vec<u8>,
}

impl Mark {
    fn read(file: &Arc<Kept>, (at, length): (u64, usize)) -> Option<Self> {
        let mut bytes = vec![0; length];
        file.read(&mut bytes, at).then(|| Self { file: file.clone(), at, bytes })
    }

    /// Whether they are still the same.
    pub(super) fn holds(&self) -> bool {
        let mut now = [0; INDEX.1];
        now.get_mut(..self.bytes.len())
            .is_some_and(|now| self.file.read(now, self.at) && *now == *self.bytes)
    }

    fn is_of_a_journal(&self) -> bool {
        self.bytes.starts_with(&[1, 1])
    }

    fn is_of_a_log(&self) -> bool {
        let (header, copy) = self.bytes.split_at(INDEX.1 / 2);
        let salted = header.get(SALT).is_some_and(|salt| salt != [0; 8]);
        header == copy && header.get(IS_INIT) == Some(&1) && salted
    }
}

/// The connection's number, and the mark of that very moment, if there is one: on a file system of this
/// machine alone, because elsewhere it takes a lock to see what others have written.
pub(super) fn look(connection: &Connection) -> rusqlite::Result<(i64, Option<Mark>)> {
    look_while(connection, || ())
}

/// The same, with what somebody does after the number was told and before the mark is taken.
pub(super) fn look_while(
    connection: &Connection,
    beside: impl FnOnce(),
) -> rusqlite::Result<(i64, Option<Mark>)> {
    let Connection { kept, index, .. } = connection;
    let (number, mark) = if in_wal(connection)? {
        // As long as the connection is open, nobody is the last who takes the wal-index away, and no
        // writer waits for those who read: so it must be the same before and after.
        let index = index.as_ref().and_then(|index| Mark::read(index, INDEX));
        let number = number(connection)?;
        beside();
        (number, index.filter(|index| index.is_of_a_log() && index.holds()))
    } else {
        // In a transaction nobody writes to the file, and what somebody has left half done is an error
        // until its owner takes it back.
        let reading = connection.database.unchecked_transaction()?;
        let number = number(connection)?;
        beside();
        let header = Mark::read(kept, HEADER).filter(Mark::is_of_a_journal);
        // SQLite goes by a log that it finds, whatever the header of the file says.
        let wal = in_wal(connection)?;
        reading.finish()?;
        (number, header.filter(|_| !wal))
    };
    Ok((number, mark.filter(|_| kept.is_local())))
}

fn number(connection: &Connection) -> rusqlite::Result<i64> {
    let mut asked = connection.database.prepare_cached("PRAGMA data_version")?;
    asked.query_row([], |row| row.get(0))
}

fn in_wal(connection: &Connection) -> rusqlite::Result<bool> {
    let mut asked = connection.database.prepare_cached("PRAGMA journal_mode")?;
    asked.query_row([], |row| Ok(row.get_ref(0)?.as_str()? == "wal"))
}
