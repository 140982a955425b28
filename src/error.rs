//! What of ours can fail. What the client sent can only be denied, so it is never an `Error`.

#![forbid(unsafe_code)]

/// One type, because every caller does the same with it: one log line, and a status that fails
/// closed. The two kinds of database error are apart because an outage may one day mean something
/// else than an SQL error does. Messages are lower-case, end without a full stop and never hold a
/// password, a hash or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The database cannot be reached, or did not answer within its time.
    #[error("database {database} is not available: {reason}")]
    Unavailable {
        /// The database as logs name it, without its password.
        database: String,
        /// The cause and, where one is known, the remedy.
        reason: String,
        /// It is not away: it has just answered others, or the request had no time left for it.
        overloaded: bool,
    },
    /// The database answered with an error.
    #[error("database {database}: {reason}")]
    Query {
        /// The database as logs name it, without its password.
        database: String,
        /// The cause and, where one is known, the remedy.
        reason: String,
    },
    /// A protected place without a database.
    #[error(
        "no AuthDjangoDatabase is set for this place: add AuthDjangoDatabase to its section or to the server"
    )]
    NoDatabase,
    /// A place that takes sessions, without the key that they are signed with.
    #[error(
        "no AuthDjangoSecretKey is set for this place: add AuthDjangoSecretKey to its section or \
         to the server"
    )]
    NoSecretKey,
    /// A place for sessions alone, which takes none.
    #[error(
        "AuthType Django lets in by sessions alone: add AuthDjangoSession ENGINE to its section, or \
         write AuthType Basic"
    )]
    NoSessions,
    /// A forward proxy that takes sessions alone: the cookies that come along are for other servers.
    #[error(
        "AuthType Django has no use in a forward proxy, where cookies are for the sites that clients go \
         to: write AuthType Basic"
    )]
    ForwardProxy,
    /// A place where a name means no query.
    #[error("no AuthDjangoQuery {0} is set for this place: add it to its section or to the server")]
    NoQuery(String),
    /// A query that does not fit what it is used for.
    #[error("AuthDjangoQuery {name}: {reason}")]
    UnfitQuery {
        /// Its name.
        name: String,
        /// The cause and the remedy.
        reason: String,
    },
    /// Digest without a query that has the hashes for it.
    #[error(
        "Django's password hashes cannot serve Digest (or AuthBasicUseDigestAlgorithm): use plain \
         AuthType Basic over https, or name the query that has the hashes of user:realm:password \
         by AuthDjangoRealmHash"
    )]
    NoRealmHash,
    /// More passwords are to be hashed than the configuration allows.
    #[error(
        "too many passwords are being hashed already: if it is no attack, raise queue= in \
         AuthDjangoHashing or ThreadsPerChild, of which at most half wait for hashes"
    )]
    Busy,
    /// A hash was interrupted by a defect of ours, which the log tells.
    #[error("a defect of this module stopped a hash")]
    Lost,
    /// A Require line's expression that cannot be evaluated.
    #[error("the expression of a Require line: {0}")]
    Expression(String),
    /// What the children share cannot be made as it is configured.
    #[error("{0}")]
    Start(String),
    /// A session that Django keeps in a file cannot be read.
    #[error("{0}")]
    Session(String),
    /// A secret or a TLS file cannot be had.
    #[error("{0}")]
    Secret(String),
}

impl Error {
    /// The same error, of a query that has a name.
    #[must_use]
    pub fn of_query(self, name: &str) -> Self {
        match self {
            Self::Query { database, reason } => {
                Self::Query { database, reason: format!("AuthDjangoQuery {name}: {reason}") }
            }
            other => other,
        }
    }

    /// What makes two errors the same to a log that repeats none: an outage of one database is one,
    /// however its reasons change.
    pub fn kind(&self) -> String {
        match self {
            Self::Unavailable { database, .. } => format!("unavailable: {database}"),
            other => other.to_string(),
        }
    }
}
