//! PostgreSQL, by the asynchronous client, so that each wait has a deadline. (The synchronous one
//! waits for a silent server for ever.)

#![forbid(unsafe_code)]

mod connect;
mod driven;
mod error;
mod inspect;
mod url;
mod watch;

use super::failure::{Failure, seconds};
use super::pool::Limits;
use super::question::{OTHER_ANSWER, Question, Row};
use super::rows::Voucher;
use super::socket::Waiter;
use super::sql::Dialect;
use super::tls::{Encrypt, Tls};
use super::{Backend, Fact, Fetch, Gate, Host, Parsed, Pooled, Store, limits, servers};
use crate::user::{UserModel, Wants};
use driven::Driven;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_postgres::types::{Format, IsNull, ToSql, Type, private::BytesMut};
use tokio_postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::{Place, Url, ssl_mode};
use watch::{Ear, Watch};
use zeroize::Zeroizing;

const DIALECT: Dialect = Dialect {
    quote: '"',
    text: "text",
    placeholder: |n| format!("${n}"),
    numbered: true,
    up_to: |column, length| format!("SUBSTR({column}, 1, {length})"),
    list: |item, from| format!("CAST(array_to_json(ARRAY(SELECT {item} {from})) AS text)"),
    concat: |parts| parts.join(" || "),
    as_text: None,
    ignoring_case: |column, value| {
        format!("UPPER(CAST({column} AS text)) = UPPER(CAST({value} AS text))")
    },
    by_pattern: false,
    in_utc: Some(|column| {
        format!("to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')")
    }),
    uuids_are_texts: false,
    marked: true,
};

/// Reads a directive's URL and words.
pub(super) fn parse(url: &str, words: &[&str]) -> Result<Parsed, String> {
    let url = Url::parse(url)?;
    let mut unnamed = false;
    let (mut channel, mut place) = (None, None);
    let limits =
        limits(words, ", statements=, watch=, watch_host=", |key, value| match (key, value) {
            ("watch", value) => {
                channel = Some(watch::channel(value)?);
                Ok(true)
            }
            ("watch_host", value) => {
                place = Some(Place::parse(value)?);
                Ok(true)
            }
            ("statements", "prepared" | "unnamed") => {
                unnamed = value == "unnamed";
                Ok(true)
            }
            ("statements", other) => {
                Err(format!("statements={}: must be prepared or unnamed", super::name(other)))
            }
            _ => Ok(false),
        })?;
    let watch = match (channel, place) {
        (Some(_), _) if !limits.rows.is_zero() => {
            return Err("rows= has no use beside watch=: leave one of them out".into());
        }
        (Some(channel), place) => Some(watch::Words { channel, place }),
        (None, Some(_)) => return Err("watch_host= needs watch=CHANNEL".into()),
        (None, None) => None,
    };
    let Url { label, redacted, config, places, shuffled, encrypt, tls } = url;
    let settings = Settings { config, places, shuffled, encrypt, limits, unnamed, watch };
    let backend = Box::new(Postgres { settings, tls, loaded: OnceLock::new() });
    Ok(Parsed { label, redacted, backend })
}

struct Postgres {
    settings: Settings,
    tls: Tls,
    loaded: OnceLock<MakeRustlsConnect>,
}

#[derive(Clone)]
struct Settings {
    config: Config,
    places: Vec<Place>,
    shuffled: bool,
    encrypt: Encrypt,
    limits: Limits,
    unnamed: bool,
    watch: Option<watch::Words>,
}

impl Settings {
    /// Connects to this server instead of the URL's.
    fn meet(&mut self, place: &Place) {
        self.places = vec![place.clone()];
        self.config.ssl_mode(ssl_mode(self.encrypt, &self.places));
    }
}

impl Backend for Postgres {
    fn load(&self) -> Result<(), String> {
        if self.loaded.get().is_none() {
            let _ = self.loaded.set(MakeRustlsConnect::new(self.tls.load()?));
        }
        Ok(())
    }

    fn reach(&self) -> Result<(), String> {
        servers::reach(self.settings.places.iter().map(Place::server))
    }

    fn open(
        &self,
        label: &str,
        password: Option<Zeroizing<String>>,
        host: Arc<dyn Host>,
        gate: Arc<Gate>,
    ) -> Arc<dyn Store> {
        let mut settings = self.settings.clone();
        if let Some(password) = password.filter(|_| settings.config.get_password().is_none()) {
            settings.config.password(password.as_bytes());
        }
        let limits = settings.limits.clone();
        let connections = Connections {
            unnamed: AtomicBool::new(settings.unnamed),
            tls: self.load().and_then(|()| self.loaded.get().cloned().ok_or_else(String::new)),
            without_options: AtomicBool::new(false),
            host: host.clone(),
            settings,
            ear: None,
        };
        let voucher = connections.watch().map(|watch| Box::new(watch) as Box<dyn Voucher>);
        Pooled::open(label, connections, &limits, host, gate, voucher)
    }
}

/// Makes the connections of a pool, and knows what it has learnt of the server.
struct Connections {
    settings: Settings,
    tls: Result<MakeRustlsConnect, String>,
    host: Arc<dyn Host>,
    /// No statement is left at the server: between us stands who does not keep connections apart.
    unnamed: AtomicBool,
    /// The server, or who stands before it, takes no `options`.
    without_options: AtomicBool,
    /// Who listens to these connections.
    ear: Option<Arc<Ear>>,
}

struct Connection {
    client: Client,
    driven: Driven,
    /// With their SQL: few enough that to compare is faster than to hash.
    prepared: Vec<(String, Statement)>,
    waiter: Waiter,
}

impl Fetch for Connections {
    const DIALECT: &Dialect = &DIALECT;

    fn fetch(
        &self,
        connection: &mut Connection,
        question: &Question<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        let Connection { client, driven, prepared, waiter } = connection;
        let values: Vec<Unknown<'_>> = question.values.iter().map(|value| Unknown(value)).collect();
        let unnamed = self.unnamed.load(Ordering::Relaxed);
        let work = async {
            if !unnamed {
                match query_prepared(client, prepared, &question.sql, &values).await {
                    Ok(rows) if rows.iter().all(|row| is_marked(row, question)) => return Ok(rows),
                    Err(error) if !error::lost_statement(&error) => return Err(error),
                    _ => self.no_more_names(),
                }
            }
            let typed: Vec<(&(dyn ToSql + Sync), Type)> =
                values.iter().map(|value| (value as _, Type::UNKNOWN)).collect();
            client.query_typed(&question.sql, &typed).await
        };
        let timeout = || seconds(self.settings.limits.timeout);
        let rows = match waiter.run(deadline, driven.during(work)) {
            Some(Ok(rows)) => rows,
            Some(Err(error)) if error::no_such_value(&error, &question.values) => {
                return Ok(Vec::new());
            }
            Some(Err(error)) => return Err(error::querying(&error, &timeout())),
            None => return Err(Failure::TimedOut(format!("no answer within {}", timeout()))),
        };
        if rows.is_empty() || !rows.iter().all(|row| is_marked(row, question)) {
            return Err(Failure::Query(OTHER_ANSWER.into()));
        }
        rows.iter().map(texts).collect()
    }

    fn facts(
        &self,
        connection: &mut Connection,
        model: &Arc<UserModel>,
        wants: &Wants,
        deadline: Instant,
    ) -> Result<Vec<Fact>, Failure> {
        let mut facts = inspect::facts(self, connection, model, wants, deadline)?;
        facts.extend(inspect::watch(self, connection, model, wants, deadline));
        Ok(facts)
    }
}

impl Connections {
    /// The watch that was asked for.
    fn watch(&self) -> Option<Watch> {
        self.settings.watch.as_ref().map(|words| Watch::new(words, self))
    }

    fn no_more_names(&self) {
        if !self.unnamed.swap(true, Ordering::Relaxed) {
            self.host.notice(
                "prepared statements do not survive here, as behind PgBouncer in transaction mode: \
                 going on without them; statements=unnamed in AuthDjangoDatabase says so at once",
            );
        }
    }
}

async fn query_prepared(
    client: &Client,
    prepared: &mut Vec<(String, Statement)>,
    sql: &str,
    values: &[Unknown<'_>],
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    let known = prepared.iter().find(|(known, _)| known == sql);
    let statement = match known {
        Some((_, statement)) => statement.clone(),
        None => {
            let statement = client.prepare(sql).await?;
            prepared.push((sql.to_owned(), statement.clone()));
            statement
        }
    };
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
    client.query(&statement, &values).await
}

/// Statements have names that another child may have given to another SELECT.
fn is_marked(row: &tokio_postgres::Row, question: &Question<'_>) -> bool {
    row.try_get::<_, Option<&str>>(0).is_ok_and(|found| found == question.marker.as_deref())
}

/// The columns behind the marker.
fn texts(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    (1..row.len())
        .map(|column| row.try_get(column))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Query(format!("a column of the answer is no text: {error}")))
}

/// A value as a literal: the server makes of it what the column is, be it citext or integer.
#[derive(Debug)]
struct Unknown<'a>(&'a str);

impl ToSql for Unknown<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}
