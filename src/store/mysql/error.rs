//! What the errors of MySQL and MariaDB mean to the pool, and to the administrator.

#![forbid(unsafe_code)]

use crate::store::failure::Failure;
use crate::store::sql::one_line;
use std::borrow::Cow;
use std::io::{self, ErrorKind};

const PARAMETERS: &str = "a `?` in the query is taken for a parameter, or a parameter lies in a \
    comment or in quotes";

/// What can go wrong between us and a server.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The line is gone, or TLS finds no trust.
    Io(io::Error),
    /// The server answered with an error.
    Server { code: u16, message: String },
    /// It, or who stands before it, ends the line with an error that belongs to no question.
    Farewell { code: u16, message: String },
    /// It does not log us in, or we do not log in there; the text holds the remedy.
    Login(String),
    /// The statement has more parameters, or fewer, than there are values.
    Parameters,
    /// What came is not what the protocol has.
    Protocol(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Trouble {
    /// Can the column not even hold such a value? Then nobody has it.
    pub(super) fn no_such_value(&self, values: &[Cow<'_, str>]) -> bool {
        // Every character set here has ASCII: where the values are no more, it is not what was
        // refused.
        !values.iter().all(|value| value.is_ascii())
            && match self {
                // COERCIBLE is our parameter; two columns that do not fit would be an error.
                Self::Server { code: 1267, message } => message.contains("COERCIBLE"),
                // Of MySQL 8: its character set cannot become the column's.
                Self::Server { code, .. } => matches!(code, 3854 | 3988),
                _ => false,
            }
    }

    /// Why there is no connection to `place`.
    pub(super) fn connecting(&self, place: &str) -> Failure {
        let error = match self {
            Self::Login(reason) => return Failure::Refused(format!("{place}: {reason}")),
            Self::Protocol(reason) => return Failure::Broken(format!("{place}: {reason}")),
            Self::Parameters => return Failure::Broken(format!("{place}: {PARAMETERS}")),
            Self::Server { code, message } | Self::Farewell { code, message } => {
                let remedy = match code {
                    1045 | 1698 => {
                        ": is the password in the URL or of AuthDjangoDatabasePassword right, and \
                         may this user come from here?"
                    }
                    1044 => ": GRANT SELECT on its tables to this user",
                    1049 => ": the URL names it after the host",
                    1040 | 1203 | 1226 => {
                        ": lower max= or raise the server's max_connections, or this user's"
                    }
                    1129 => ": FLUSH HOSTS on the server, once the reason is mended",
                    1130 => ": CREATE USER for this host",
                    3159 | 4151 => ": sslmode=require, or better verify-full",
                    _ => "",
                };
                let text = format!("{place}: {}{remedy}", lower(message));
                return if is_gone(*code) { Failure::Broken(text) } else { Failure::Refused(text) };
            }
            Self::Io(error) => error,
        };
        // Is it the system's own error, and not one of TLS?
        let system = error.raw_os_error().is_some();
        let reason = match error.kind() {
            ErrorKind::ConnectionRefused => "connection refused: is MySQL running there?".into(),
            ErrorKind::PermissionDenied if system => {
                "permission denied: with SELinux, setsebool -P httpd_can_network_connect_db on; of \
                 a socket, httpd's user must be able to search its directory"
                    .into()
            }
            ErrorKind::NotFound => "no such socket: is MySQL running there?".into(),
            ErrorKind::TimedOut => return Failure::TimedOut(format!("{place}: no answer")),
            _ => gone(error),
        };
        Failure::Broken(format!("{place}: {reason}"))
    }

    /// Why a query has no answer.
    pub(super) fn querying(&self, timeout: &str) -> Failure {
        let (code, message) = match self {
            Self::Io(error) => return Failure::Broken(gone(error)),
            Self::Login(reason) => return Failure::Broken(reason.clone()),
            Self::Protocol(reason) => return Failure::Broken((*reason).to_owned()),
            Self::Farewell { message, .. } => return Failure::Broken(lower(message)),
            Self::Parameters => return Failure::Query(PARAMETERS.into()),
            Self::Server { code, message } => (*code, lower(message)),
        };
        match code {
            // The statement's own limit, or that of a lock.
            1205 | 1969 | 3024 => Failure::TimedOut(format!("no answer within {timeout}")),
            // The prepared statement is gone, or no longer right: a new connection prepares anew.
            1243 | 1615 => Failure::Broken(message),
            code if is_gone(code) => Failure::Broken(message),
            code => Failure::Query(format!("{message}{}", remedy(code, &message))),
        }
    }
}

/// Does the server end the connection, or itself?
fn is_gone(code: u16) -> bool {
    // Shut down, new connection aborted, killed, packets lost, idle for too long; MySQL's own
    // client numbers 2006 and 2013 are ours to find, by the line.
    matches!(code, 1053 | 1077 | 1079 | 1080 | 1152..=1161 | 1184 | 1317 | 1927 | 3032 | 4031)
}

fn remedy(code: u16, message: &str) -> &'static str {
    match code {
        1142 | 1143 | 1370 => {
            ": GRANT SELECT on the columns that it reads to this user, as the README has it"
        }
        1146 => {
            ": AuthDjangoUserModel names the tables (app.Model, table=, groups_table=, \
             group_table=); is this the site's database, and migrated?"
        }
        1054 => {
            ": AuthDjangoUserModel names the columns (username=, password=, is_active=, id=, \
             groups_user_id=, groups_group_id=, group_name=)"
        }
        1064 | 1305 if message.to_ascii_lowercase().contains("json_arrayagg") => {
            ": this needs MySQL 5.7.22 or MariaDB 10.5"
        }
        _ => "",
    }
}

/// Why a line broke.
fn gone(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => "the server closed the connection".into(),
        _ => one_line(&error.to_string()),
    }
}

/// A server's text, as our own begin.
fn lower(message: &str) -> String {
    let text = one_line(message);
    let mut letters = text.chars();
    match letters.next() {
        // Not a word that is all capitals.
        Some(first) if !letters.as_str().starts_with(|c: char| c.is_uppercase()) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text,
    }
}
