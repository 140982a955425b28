//! PostgreSQL. The asynchronous client makes the connections, so that each wait has a deadline (the
//! synchronous one waits for a silent server for ever); what requests ask then is asked without it.

#![forbid(unsafe_code)]

mod connect;
mod driven;
mod error;
mod extended;
mod inspect;
mod url;
mod watch;
mod wire;

use super::failure::{Failure, seconds};
use super::pool::Limits;
use super::question::{OTHER_ANSWER, Question, Row};
use super::rows::Voucher;
use super::socket::Waiter;
use super::sql::Dialect;
use super::tls::{Encrypt, Tls};
use super::{Backend, Fact, Fetch, Gate, Host, Parsed, Pooled, Store, limits, servers};
use crate::user::{UserModel, Wants};
use extended::Extended;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio_postgres::Config;
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
    extended: Extended,
    waiter: Waiter,
}

impl Fetch for Connections {
    const DIALECT: &Dialect = &DIALECT;

    const PIPELINED: bool = true;

    fn fetch(
        &self,
        connection: &mut Connection,
        question: &Question<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        let answers = self.fetch_all(connection, &[question], deadline)?;
        answers.into_iter().next().ok_or_else(|| Failure::Query(OTHER_ANSWER.into()))
    }

    fn fetch_all(
        &self,
        connection: &mut Connection,
        questions: &[&Question<'_>],
        deadline: Instant,
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let Connection { extended, waiter } = connection;
        let unnamed = self.unnamed.load(Ordering::Relaxed);
        let work = async {
            if !unnamed {
                match extended.ask(questions, false).await {
                    Ok(answers) if are_marked(questions, &answers) => return Ok(answers),
                    Err(error) if !error.lost_statement() => return Err(error),
                    _ => self.no_more_names(),
                }
            }
            extended.ask(questions, true).await
        };
        let timeout = || seconds(self.settings.limits.timeout);
        let answers = match waiter.run(deadline, work) {
            Some(Ok(answers)) => answers,
            // It is the first one's, else there were answers.
            Some(Err(error))
                if questions.first().is_some_and(|first| error.no_such_value(&first.values)) =>
            {
                return Ok(vec![Vec::new()]);
            }
            Some(Err(error)) => return Err(error.failure(&timeout())),
            None => return Err(Failure::TimedOut(format!("no answer within {}", timeout()))),
        };
        let answers: Vec<_> = questions.iter().zip(answers).map_while(own).collect();
        if answers.is_empty() {
            return Err(Failure::Query(OTHER_ANSWER.into()));
        }
        Ok(answers)
    }

    fn stay_awake(&self, connection: &mut Connection) {
        connection.waiter.stay_awake();
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

/// Statements have names that another child may have given to another SELECT.
fn are_marked(questions: &[&Question<'_>], answers: &[Vec<Row>]) -> bool {
    questions.iter().zip(answers).all(|(question, rows)| is_marked(question, rows))
}

fn is_marked(question: &Question<'_>, rows: &[Row]) -> bool {
    rows.iter().all(|row| row.first() == Some(&question.marker))
}

/// The rows without marker, if they are to this question; there is always one.
fn own((question, mut rows): (&&Question<'_>, Vec<Row>)) -> Option<Vec<Row>> {
    if rows.is_empty() || !is_marked(question, &rows) {
        return None;
    }
    for row in &mut rows {
        row.remove(0);
    }
    Some(rows)
}
