//! What PostgreSQL's errors mean to the pool, and to the administrator.

#![forbid(unsafe_code)]

use crate::store::failure::Failure;
use crate::store::sql::one_line;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorResponseBody;
use std::borrow::Cow;
use std::error::Error as _;
use std::io::{self, ErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// Why a question has no answer.
pub(super) enum Unanswered {
    /// The server says so.
    Told(Told),
    /// What it sends is no text, for this reason.
    NoText(String),
    /// There is no connection any more.
    Lost(String),
}

/// What the server says: an ErrorResponse (PostgreSQL 15, 55.8).
pub(super) struct Told {
    code: SqlState,
    message: String,
    /// It ends the connection.
    pub(super) fatal: bool,
}

impl Told {
    /// # Errors
    /// What the library says of a message that is none.
    pub(super) fn read(response: &ErrorResponseBody) -> io::Result<Self> {
        let (mut code, mut message, mut fatal) = (SqlState::INTERNAL_ERROR, String::new(), false);
        let mut fields = response.fields();
        while let Some(field) = fields.next()? {
            let text = String::from_utf8_lossy(field.value_bytes());
            match field.type_() {
                b'C' => code = SqlState::from_code(&text),
                b'M' => message = text.into_owned(),
                // The second is never translated, and PgBouncer has the first alone.
                b'S' | b'V' => fatal = matches!(&*text, "FATAL" | "PANIC"),
                _ => {}
            }
        }
        Ok(Self { code, message, fatal })
    }
}

impl From<&DbError> for Told {
    fn from(error: &DbError) -> Self {
        let fatal = matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        Self { code: error.code().clone(), message: error.message().to_owned(), fatal }
    }
}

impl From<&Error> for Unanswered {
    fn from(error: &Error) -> Self {
        match error.as_db_error() {
            Some(error) => Self::Told(error.into()),
            None => Self::Lost(chain(error)),
        }
    }
}

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        Self::Lost(one_line(&error.to_string()))
    }
}

/// Does the server want no `options`? PgBouncer's way to say so has no SQLSTATE of its own.
pub(super) fn refuses_options(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        let message = error.message();
        message.contains("startup") && message.contains("options")
    })
}

impl Unanswered {
    /// The server's code, where the connection goes on.
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Told(told) if !told.fatal => Some(&told.code),
            _ => None,
        }
    }

    /// Is a prepared statement not what and where it was left?
    pub(super) fn lost_statement(&self) -> bool {
        let lost = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
        self.code().is_some_and(|code| lost.contains(code))
    }

    /// Can the column, or the server's encoding, not even hold such a value? Then nobody has it.
    pub(super) fn no_such_value(&self, values: &[Cow<'_, str>]) -> bool {
        let Some(code) = self.code() else { return false };
        let wrong_type = [
            SqlState::INVALID_TEXT_REPRESENTATION,
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            SqlState::INVALID_DATETIME_FORMAT,
            SqlState::DATETIME_FIELD_OVERFLOW,
        ];
        // Every encoding of a server has ASCII: where the values are no more, it is not what was
        // refused.
        let no_letters =
            [SqlState::UNTRANSLATABLE_CHARACTER, SqlState::CHARACTER_NOT_IN_REPERTOIRE];
        wrong_type.contains(code)
            || (no_letters.contains(code) && !values.iter().all(|value| value.is_ascii()))
    }

    /// What that means to the pool.
    pub(super) fn failure(&self, timeout: &str) -> Failure {
        let Told { code, message, fatal } = match self {
            Self::Told(told) => told,
            Self::NoText(reason) => {
                let reason = one_line(reason);
                return Failure::Query(format!("a column of the answer is no text: {reason}"));
            }
            Self::Lost(reason) => return Failure::Broken(reason.clone()),
        };
        if *code == SqlState::QUERY_CANCELED {
            return Failure::TimedOut(format!("no answer within {timeout}"));
        }
        let message = one_line(message);
        if *fatal || code.code().starts_with("08") || code.code().starts_with("57P") {
            return Failure::Broken(message);
        }
        Failure::Query(format!("{message}{}", remedy(code)))
    }
}

/// Why there is no connection.
pub(super) enum Trouble {
    Socket(io::Error),
    Library(Error),
    /// Not what `target_session_attrs` wants.
    Role(&'static str),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl Trouble {
    /// What it means that there is none to `place`.
    pub(super) fn connecting(&self, place: &str) -> Failure {
        let (cause, text) = match self {
            Self::Library(error) => {
                if let Some(error) = error.as_db_error() {
                    return refused(error, place);
                }
                let cause = error.source().and_then(|cause| cause.downcast_ref());
                (cause, chain(error))
            }
            Self::Socket(error) => (Some(error), one_line(&error.to_string())),
            Self::Role(text) => (None, (*text).to_owned()),
        };
        let reason = match cause.map(io::Error::kind) {
            Some(ErrorKind::ConnectionRefused) => {
                "connection refused: is PostgreSQL running there?".into()
            }
            Some(ErrorKind::PermissionDenied) if has_errno(cause) => {
                "permission denied: with SELinux, setsebool -P httpd_can_network_connect_db on"
                    .into()
            }
            Some(ErrorKind::NotFound) => "no such socket: is PostgreSQL running there?".into(),
            Some(ErrorKind::TimedOut) => return Failure::TimedOut(format!("{place}: no answer")),
            _ => text,
        };
        Failure::Broken(format!("{place}: {reason}"))
    }
}

fn refused(error: &DbError, place: &str) -> Failure {
    let remedy = match error.code().code() {
        "28P01" => ": is the password in the URL or of AuthDjangoDatabasePassword right?",
        "28000" => ": pg_hba.conf must let this user in from here",
        "3D000" => ": the URL names it after the host",
        "53300" => ": lower max= or raise the server's max_connections",
        _ => "",
    };
    Failure::Refused(format!("{place}: {}{remedy}", one_line(error.message())))
}

/// Is it the system's own error, and not one of the client library's?
fn has_errno(error: Option<&io::Error>) -> bool {
    error.is_some_and(|error| error.raw_os_error().is_some())
}

fn remedy(code: &SqlState) -> &'static str {
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        ": GRANT SELECT on the columns that it reads to this role, as the README has it"
    } else if *code == SqlState::UNDEFINED_TABLE {
        ": AuthDjangoUserModel names the tables (app.Model, table=, groups_table=, group_table=), \
         AuthDjangoQuery those of its own; is this the site's database, and migrated?"
    } else if *code == SqlState::UNDEFINED_COLUMN {
        ": AuthDjangoUserModel names the columns (username=, password=, is_active=, id=, \
         groups_user_id=, groups_group_id=, group_name=), AuthDjangoQuery those of its own"
    } else {
        ""
    }
}

/// An error with its causes, which tell more than itself.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    one_line(&text)
}
