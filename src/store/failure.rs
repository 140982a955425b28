//! `Failure`: what can go wrong between a pool and its database.

#![forbid(unsafe_code)]

use std::time::Duration;

/// What went wrong, by what it means to the pool. The text is the administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection is gone; a new one may well work.
    Broken(String),
    /// There was no answer in time.
    TimedOut(String),
    /// The server wants no connection, or no more of them.
    Refused(String),
    /// The database answered the query with an error.
    Query(String),
}

impl Failure {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Broken(text) | Self::TimedOut(text) | Self::Refused(text) | Self::Query(text) => {
                text
            }
        }
    }
}

/// "5 s", as every text about a time-out says it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
