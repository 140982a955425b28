//! `Link`: the connection that listens, its heartbeat, and the thread that serves it.

#![forbid(unsafe_code)]

use super::ear::{BEAT, Ear};
use super::triggers::Seen;
use crate::store::failure::{Failure, seconds};
use crate::store::postgres::Connections;
use crate::store::postgres::connect::Reached;
use crate::store::postgres::driven::Half;
use crate::store::postgres::error::Unanswered;
use crate::store::question::Row;
use crate::store::servers;
use crate::store::sql::one_line;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Error};

/// A setting that the link is started with: where the session has another, it is not ours alone.
pub(super) const PROOF: &str = "authnz_django.link";

/// Pauses before the link is made again: the first, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// So long after the last question the heart beats on.
const ATTENTIVE: Duration = Duration::from_secs(10);

pub(in crate::store::postgres) const SHARED: &str = "somebody stands between who does not keep connections apart, such as \
    PgBouncer: watch_host= must name the server itself";

/// Reads what the link brings until it ends.
async fn listen(ear: &Ear, mut connection: Half) {
    let loss = loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notification(heard))) => {
                ear.hear(heard.channel(), heard.payload());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let text = error.as_db_error().map(|error| error.message().to_owned());
                break one_line(&text.unwrap_or_else(|| error.to_string()));
            }
            None => break "closed".into(),
        }
    };
    // Nothing is believed while the connection is taken down; and only then is anybody woken.
    ear.deaf();
    drop(connection);
    ear.broke(loss);
}

/// The thread.
pub(super) fn run(ear: &Ear, connections: &Connections) {
    let _ended = Ended(ear);
    let Ok(runtime) = servers::runtime() else { return };
    runtime.block_on(ear.attend(serve(ear, connections)));
    // Not by its own drop, which would wait for a name that does not resolve.
    runtime.shutdown_background();
}

/// However it ends, nobody goes on believing what it heard.
struct Ended<'a>(&'a Ear);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// Keeps up a link until nobody has asked for long.
async fn serve(ear: &Ear, connections: &Connections) {
    let mut pause = BACK_OFF.0;
    while ear.quiet() < connections.settings.limits.idle {
        let deadline = || Instant::now() + connections.settings.limits.timeout;
        let mut vouched = false;
        let work = async {
            let link = Link::open(connections, ear, deadline()).await?;
            loop {
                // One at a time: where nothing is installed, it would be a line for each table.
                let lacks = link.round(deadline()).await?;
                lacks.iter().filter_map(|shape| shape.first()).for_each(|lack| ear.tell(lack));
                vouched = true;
                if !link.pause().await? {
                    return Ok(());
                }
            }
        };
        let Err(failure): Result<(), Failure> = work.await else { return };
        ear.deaf();
        let what = if vouched { "the link is lost, for a while" } else { "no link" };
        ear.tell(&format!("{what}: {}", failure.text()));
        if vouched {
            pause = BACK_OFF.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

pub(super) struct Link<'a> {
    ear: &'a Ear,
    client: Client,
    idle: Duration,
    timeout: String,
}

impl<'a> Link<'a> {
    /// A link that listens, though nobody has looked yet whether there is anything to hear.
    pub(super) async fn open(
        connections: &Connections,
        ear: &'a Ear,
        deadline: Instant,
    ) -> Result<Self, Failure> {
        let Reached { client, driven, .. } = connections.reach(deadline).await?;
        let half = driven.into_half().ok_or_else(|| Failure::Broken("closed".into()))?;
        let hearing = connections.ear.clone();
        tokio::spawn(async move {
            if let Some(ear) = hearing {
                listen(&ear, half).await;
            }
        });
        let limits = &connections.settings.limits;
        let link = Self { ear, client, idle: limits.idle, timeout: seconds(limits.timeout) };
        let listen = format!("LISTEN \"{}\"; LISTEN \"{}\"", ear.channel(), ear.own());
        link.within(deadline, link.client.batch_execute(&listen)).await?;
        Ok(link)
    }

    async fn within<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Failure> {
        match timeout_at(deadline.into(), work).await {
            Ok(answer) => answer.map_err(|error| Unanswered::from(&error).failure(&self.timeout)),
            Err(_) => Err(Failure::TimedOut(format!("no answer within {}", self.timeout))),
        }
    }

    /// A heartbeat, and a look at the triggers: what each shape lacks.
    pub(super) async fn round(&self, deadline: Instant) -> Result<Vec<Vec<String>>, Failure> {
        let (beat, sent) = (self.ear.next_beat(), self.ear.now());
        let (look, count) = self.ear.look();
        let values: Vec<(&(dyn ToSql + Sync), Type)> =
            look.relations.iter().map(|name| (name as _, Type::TEXT)).collect();
        let work = async {
            let notify = format!("NOTIFY \"{}\", '{beat}'", self.ear.own());
            self.client.batch_execute(&notify).await?;
            let rows = self.client.query_typed(&look.sql, &values).await?;
            self.until(|| self.ear.has_come(beat)).await;
            Ok(rows)
        };
        let rows = self.within(deadline, work).await?;
        if self.client.is_closed() {
            return Err(Failure::Broken(self.ear.loss()));
        }
        let rows = rows.iter().map(texts).collect::<Result<_, _>>()?;
        let seen = Seen::read(&look, rows);
        if seen.link.as_deref() != Some(self.ear.own()) {
            return Err(Failure::Refused(SHARED.into()));
        }
        Ok(self.ear.judge(sent, &seen, count))
    }

    /// Waits until it is time for the next round; `false`: there need be none.
    async fn pause(&self) -> Result<bool, Failure> {
        let next = Instant::now() + BEAT;
        loop {
            let (now, quiet) = (Instant::now(), self.ear.quiet());
            let attentive = quiet < ATTENTIVE.min(self.idle);
            if self.client.is_closed() {
                return Err(Failure::Broken(self.ear.loss()));
            }
            if self.ear.is_unsure() || (attentive && now >= next) {
                return Ok(true);
            }
            if quiet >= self.idle {
                return Ok(false);
            }
            let until = if attentive { next } else { now + (self.idle - quiet) };
            let mut sleep = pin!(sleep_until(until.into()));
            let woken = self.until(|| self.ear.is_unsure());
            let mut woken = pin!(woken);
            poll_fn(|cx| {
                let over = sleep.as_mut().poll(cx).is_ready() || woken.as_mut().poll(cx).is_ready();
                if over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Waits for what the ear wakes us for, or the end of the link.
    async fn until(&self, condition: impl Fn() -> bool) {
        poll_fn(|_| {
            if condition() || self.client.is_closed() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// The columns of a row.
fn texts(row: &tokio_postgres::Row) -> Result<Row, Failure> {
    let texts = (0..row.len()).map(|column| row.try_get(column)).collect::<Result<_, _>>();
    texts.map_err(|error| Failure::Query(format!("a column of the answer is no text: {error}")))
}
