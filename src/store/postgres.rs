//! PostgreSQL, by the asynchronous client: each connection has a runtime of its own, and each wait
//! a deadline. (The synchronous one waits for a silent server for ever.)

#![forbid(unsafe_code)]

mod error;
mod reach;
mod url;

use super::pool::{Connector, Failure, Limits, seconds};
use super::sql::{Dialect, is_true, several_rows};
use super::tls::Tls;
use super::{Backend, Fetch, Gate, Host, Parsed, Pooled, Store, limits};
use crate::user::{User, UserModel};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout_at;
use tokio_postgres::config::{Host as Server, TargetSessionAttrs};
use tokio_postgres::types::{Format, IsNull, ToSql, Type, private::BytesMut};
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use url::{Place, Url};
use zeroize::Zeroizing;

const DIALECT: Dialect = Dialect {
    quote: '"',
    text: "text",
    parameter: "$1",
    groups: |name, from| format!("ARRAY(SELECT {name} {from})"),
    no_groups: "CAST('{}' AS text[])",
};

/// Reads a directive's URL and words.
pub(super) fn parse(url: &str, words: &[&str]) -> Result<Parsed, String> {
    let url = Url::parse(url)?;
    let mut unnamed = false;
    let limits = limits(words, ", statements=", |key, value| match (key, value) {
        ("statements", "prepared" | "unnamed") => {
            unnamed = value == "unnamed";
            Ok(true)
        }
        ("statements", _) => Err("statements= must be prepared or unnamed".into()),
        _ => Ok(false),
    })?;
    let Url { label, redacted, config, places, shuffled, tls } = url;
    let settings = Settings { config, places, shuffled, limits, unnamed };
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
    limits: Limits,
    unnamed: bool,
}

impl Backend for Postgres {
    fn load(&self) -> Result<(), String> {
        if self.loaded.get().is_none() {
            let _ = self.loaded.set(MakeRustlsConnect::new(self.tls.load()?));
        }
        Ok(())
    }

    fn reach(&self) -> Result<(), String> {
        reach::reach(&self.settings.places)
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
        };
        Pooled::open(label, connections, &limits, host, gate)
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
}

struct Connection {
    client: Client,
    prepared: HashMap<String, Statement>,
    runtime: Option<Runtime>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not by its own drop, which would wait for a name that does not resolve.
            runtime.shutdown_background();
        }
    }
}

impl Connector for Connections {
    type Connection = Connection;

    fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .thread_keep_alive(Duration::from_millis(10))
            .build()
            .map_err(|error| Failure::Broken(format!("the system gives no connection: {error}")))?;
        let reached = runtime.block_on(self.reach(deadline));
        // Where it failed, a thread may still wait for the name of the server.
        match reached {
            Ok(client) => {
                Ok(Connection { client, prepared: HashMap::new(), runtime: Some(runtime) })
            }
            Err(failure) => {
                runtime.shutdown_background();
                Err(failure)
            }
        }
    }
}

impl Connections {
    /// The first server that answers. Each has its share of the time, so that a silent one leaves
    /// some for the next.
    async fn reach(&self, deadline: Instant) -> Result<Client, Failure> {
        let mut places: Vec<&Place> = self.settings.places.iter().collect();
        if self.settings.shuffled {
            places.sort_by_cached_key(|place| RandomState::new().hash_one(place.port));
        }
        let mut failures = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let limit = self.share(deadline, places.len() - index);
            match self.reach_place(place, limit).await {
                Ok(client) => return Ok(client),
                Err(failure) => failures.push(failure),
            }
        }
        let all: Vec<&str> = failures.iter().map(Failure::text).collect();
        let all = all.join("; ");
        Err(match failures.pop() {
            Some(Failure::TimedOut(_)) => Failure::TimedOut(all),
            Some(Failure::Refused(_)) => Failure::Refused(all),
            _ => Failure::Broken(all),
        })
    }

    fn share(&self, deadline: Instant, of: usize) -> Instant {
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / u32::try_from(of).unwrap_or(u32::MAX);
        let most = self.settings.config.get_connect_timeout();
        now + most.map_or(share, |most| share.min(*most))
    }

    async fn reach_place(&self, place: &Place, deadline: Instant) -> Result<Client, Failure> {
        let Place { host, address, port } = place;
        let (label, name) = match host {
            Server::Unix(path) => (path.display().to_string(), None),
            Server::Tcp(name) => (format!("{name}:{port}"), Some(name)),
        };
        let mut config = self.settings.config.clone();
        config.port(*port);
        match host {
            Server::Unix(path) => config.host_path(path),
            Server::Tcp(name) => config.host(name),
        };
        let (Some(name), None) = (name, address) else {
            if let Some(address) = address {
                config.hostaddr(*address);
            }
            return self.attempt(config, &label, deadline).await;
        };
        let found = timeout_at(deadline.into(), tokio::net::lookup_host((name.as_str(), *port)));
        let found: Vec<_> = match found.await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(_)) => Vec::new(),
            Err(_) => {
                return Err(Failure::TimedOut(format!("the name {name} does not resolve in time")));
            }
        };
        let mut last = Failure::Broken(format!("the name {name} does not resolve"));
        for (index, address) in found.iter().enumerate() {
            let mut config = config.clone();
            config.hostaddr(address.ip());
            let limit = self.share(deadline, found.len() - index);
            match self.attempt(config, &label, limit).await {
                Ok(client) => return Ok(client),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// One server, with our wishes for the session and, if it will not hear them, without.
    async fn attempt(
        &self,
        config: Config,
        place: &str,
        deadline: Instant,
    ) -> Result<Client, Failure> {
        let started = Instant::now();
        let tls = self.tls.clone().map_err(Failure::Refused)?;
        let any = config.get_target_session_attrs() == TargetSessionAttrs::Any;
        let mut without = self.without_options.load(Ordering::Relaxed);
        let work = async {
            loop {
                let mut config = config.clone();
                if !without {
                    let timeout = self.settings.limits.timeout.as_millis();
                    let theirs = config.get_options().unwrap_or_default();
                    // The client asks a server for its role by the very setting that makes us
                    // read-only: then it must come later.
                    let read_only = if any { " -c default_transaction_read_only=on" } else { "" };
                    config.options(format!("{theirs}{read_only} -c statement_timeout={timeout}"));
                }
                match config.connect(tls.clone()).await {
                    Ok((client, connection)) => {
                        tokio::spawn(connection);
                        if !any && !without {
                            client.batch_execute("SET default_transaction_read_only = on").await?;
                        }
                        return Ok(client);
                    }
                    Err(error) if !without && error::refuses_options(&error) => {
                        without = true;
                        self.without_options.store(true, Ordering::Relaxed);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        match timeout_at(deadline.into(), work).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(error::connecting(&error, place)),
            Err(_) => {
                let waited = started.elapsed().as_secs_f64();
                Err(Failure::TimedOut(format!("{place}: no answer within {waited:.1} s")))
            }
        }
    }
}

impl Fetch for Connections {
    fn fetch(
        &self,
        connection: &mut Connection,
        model: &UserModel,
        username: &str,
        deadline: Instant,
    ) -> Result<Option<User>, Failure> {
        let Connection { client, prepared, runtime } = connection;
        let Some(runtime) = runtime else { return Err(Failure::Broken("closed".into())) };
        let (sql, marker) = DIALECT.select_marked(model);
        let unnamed = self.unnamed.load(Ordering::Relaxed);
        let work = async {
            if !unnamed {
                match query_prepared(client, prepared, &sql, username).await {
                    Ok(rows) if rows.iter().all(|row| is_marked(row, &marker)) => return Ok(rows),
                    Err(error) if !error::lost_statement(&error) => return Err(error),
                    _ => self.no_more_names(),
                }
            }
            client.query_typed(&sql, &[(&Unknown(username), Type::UNKNOWN)]).await
        };
        let timeout = seconds(self.settings.limits.timeout);
        let rows = match runtime.block_on(async { timeout_at(deadline.into(), work).await }) {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) if error::no_such_value(&error) => return Ok(None),
            Ok(Err(error)) => return Err(error::querying(&error, model, &timeout)),
            Err(_) => return Err(Failure::TimedOut(format!("no answer within {timeout}"))),
        };
        match &rows[..] {
            [row] if is_marked(row, &marker) => user(row).map_err(|error| {
                Failure::Query(format!("the row of the user is no text: {error}"))
            }),
            [_, _, ..] => Err(Failure::Query(several_rows(model))),
            _ => Err(Failure::Query("the answer is not to what was asked".into())),
        }
    }
}

impl Connections {
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
    prepared: &mut HashMap<String, Statement>,
    sql: &str,
    username: &str,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = match prepared.get(sql) {
        Some(statement) => statement.clone(),
        None => {
            let statement = client.prepare(sql).await?;
            prepared.insert(sql.to_owned(), statement.clone());
            statement
        }
    };
    client.query(&statement, &[&Unknown(username)]).await
}

/// Statements have names that another child may have given to another SELECT.
fn is_marked(row: &Row, marker: &str) -> bool {
    row.try_get::<_, Option<&str>>(0).is_ok_and(|found| found == Some(marker))
}

fn user(row: &Row) -> Result<Option<User>, tokio_postgres::Error> {
    let text = |column| row.try_get::<_, Option<&str>>(column);
    let Some(id) = text(1)? else { return Ok(None) };
    let groups: Vec<Option<String>> = row.try_get(5)?;
    Ok(Some(User {
        id: id.to_owned(),
        username: text(2)?.unwrap_or_default().to_owned(),
        password: Zeroizing::new(text(3)?.unwrap_or_default().to_owned()),
        is_active: is_true(text(4)?),
        groups: groups.into_iter().flatten().collect(),
    }))
}

/// The user name as a literal: the server makes of it what the column is, be it citext or integer.
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
