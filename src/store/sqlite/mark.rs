//! `Mark`: the few bytes by which SQLite itself sees that a database has changed.

#![forbid(unsafe_code)]

use super::Connection;
use super::data_version::number;
use super::file::{DatabaseFile, Kept};
use std::sync::Arc;

/// In the header of the file: how it is written and read, then from byte 24 on what SQLite compares
/// (`dbFileVers` in its `pager.c`), the change counter first.
const HEADER: (u64, usize) = (18, 22);

/// The header of the wal-index and its copy (`WalIndexHdr` in its `wal.c`).
const INDEX: (u64, usize) = (0, 96);

/// Where `WalIndexHdr` says that it is complete.
const IS_INIT: usize = 12;

/// As long as they are the same, nothing was committed:
///
/// - Every writer raises the change counter before a commit, once for each time that it locks the
///   file, and only what was never committed is taken back
///   (<https://www.sqlite.org/fileformat2.html#file_change_counter>).
/// - In WAL a commit is a new header of the wal-index, with a count, a checksum of all frames and the
///   salt of this log (<https://www.sqlite.org/walformat.html#the_wal_index_header>); whoever reads
///   compares it with the one that it knows.
#[derive(PartialEq, Eq)]
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

    fn is_of_an_index(&self) -> bool {
        let (header, copy) = self.bytes.split_at(INDEX.1 / 2);
        header == copy && header.get(IS_INIT) == Some(&1)
    }
}

/// The connection's number, and the mark of that very moment, if there is one.
pub(super) fn look(
    file: &DatabaseFile,
    connection: &Connection,
) -> rusqlite::Result<(i64, Option<Mark>)> {
    // As long as the connection is open, nobody is the last who takes the wal-index away.
    let index = connection.seen.wal.then(|| file.wal_index()).flatten();
    let in_wal = || Mark::read(index.as_ref()?, INDEX).filter(Mark::is_of_an_index);
    let before = in_wal();
    // With a journal, whoever is read beside is kept from writing; and what somebody has left half
    // done was taken back.
    let (number, header) = number(connection, |known| Mark::read(&known.kept, HEADER))?;
    let mark = match header.filter(Mark::is_of_a_journal) {
        Some(header) => Some(header),
        // Nobody waits for readers here: so it must be the same before and after.
        None => before.filter(Mark::holds),
    };
    Ok((number, mark))
}
