//! `Extended`: the extended query protocol (PostgreSQL 15, 55.2.3), a few questions and their answers
//! at a time, over a connection that the client library has made. The library hands every message from one
//! future to another and back: some 17 µs of a request's CPU, a fifth of what a row costs.

#![forbid(unsafe_code)]

use super::error::{Told, Unanswered};
use super::wire::Wire;
use crate::store::question::{Question, Row};
use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{DataRowBody, Header, Message};
use postgres_protocol::message::frontend;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::{io, mem, str};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;

/// Values and columns as texts; the server makes of a value what the column is, be it citext or
/// integer.
const TEXT: i16 = 0;

/// More than most answers have, in bytes; and what is read at a time, and kept room for, at most.
const BUFFER: usize = 4096;
const LARGE: usize = 64 << 10;

/// No answers have more bytes, in one message or in all of a round trip.
const MOST: usize = 64 << 20;

/// Asks, and reads the answers to their end before it asks again.
pub(super) struct Extended {
    wire: Wire,
    /// The names of the statements, with their SQL: few enough that to compare is faster than to hash.
    prepared: Vec<(String, String)>,
    names: usize,
    sent: BytesMut,
    received: BytesMut,
    /// Something was asked, and what came not read to its end. What comes next is not to what is
    /// asked next: so nothing is.
    under_way: bool,
}

/// What has come of the answers so far.
#[derive(Default)]
struct Answers {
    /// Those that are whole.
    whole: Vec<Vec<Row>>,
    /// Of the one that comes.
    rows: Vec<Row>,
    bound: bool,
    /// The first one's; the server skips all questions behind it.
    trouble: Option<Unanswered>,
}

impl Extended {
    /// Of a connection that has just been made: nothing is under way.
    pub(super) fn new(wire: Wire) -> Self {
        let (sent, received) = (BytesMut::new(), BytesMut::new());
        Self { wire, prepared: Vec::new(), names: 0, sent, received, under_way: false }
    }

    /// The rows of each question, marker included, in one round trip (pipelining, 55.2.4, with one
    /// Sync): up to the first that fails, and its error if that is the very first. `unnamed`
    /// statements leave nothing behind at the server.
    pub(super) async fn ask(
        &mut self,
        questions: &[&Question<'_>],
        unnamed: bool,
    ) -> Result<Vec<Vec<Row>>, Unanswered> {
        if self.under_way {
            return Err(Unanswered::Lost("an answer was given up".into()));
        }
        self.sent.clear();
        let mut new = VecDeque::new();
        for question in questions {
            self.put(question, unnamed, &mut new)?;
        }
        frontend::sync(&mut self.sent);
        self.under_way = true;
        self.wire.write_all(&self.sent).await?;
        self.wire.flush().await?;
        let Answers { whole, trouble, .. } = self.answers(questions.len(), new).await?;
        self.under_way = false;
        if self.received.is_empty() && self.received.capacity() > LARGE {
            self.received = BytesMut::new();
        }
        // After the last of them it is the end of the transaction that fails: none of it was so.
        let failed = whole.is_empty() || whole.len() == questions.len();
        trouble.filter(|_| failed).map_or(Ok(whole), Err)
    }

    /// Parse, where it must be, Bind and Execute; what is `new` will be prepared.
    fn put(
        &mut self,
        question: &Question<'_>,
        unnamed: bool,
        new: &mut VecDeque<(String, String)>,
    ) -> io::Result<()> {
        let mut known = self.prepared.iter().chain(&*new);
        let name = match known.find(|(sql, _)| !unnamed && *sql == question.sql) {
            Some((_, name)) => Cow::Borrowed(&**name),
            None if unnamed => {
                frontend::parse("", &question.sql, [], &mut self.sent)?;
                "".into()
            }
            None => {
                // Not again where Parse fails: who stands between may keep the name.
                self.names += 1;
                let name = format!("authnz_django_{}", self.names);
                frontend::parse(&name, &question.sql, [], &mut self.sent)?;
                new.push_back((question.sql.clone(), name.clone()));
                name.into()
            }
        };
        bind(&name, &question.values, &mut self.sent)?;
        frontend::execute("", 0, &mut self.sent)
    }

    /// What comes until the server is ready again. What is `new` is prepared, if it says so.
    async fn answers(
        &mut self,
        asked: usize,
        mut new: VecDeque<(String, String)>,
    ) -> Result<Answers, Unanswered> {
        let (mut answers, mut bytes) = (Answers::default(), 0);
        loop {
            match next(&mut self.received)? {
                Some(Message::ParseComplete) => self.prepared.extend(new.pop_front()),
                Some(Message::ReadyForQuery(_)) if answers.are_all(asked) => return Ok(answers),
                Some(message) => answers.take(message)?,
                None if bytes > MOST => return Err(too_long()),
                None => {
                    if bytes > 0 {
                        // Lets the deadline be looked at, however fast it comes.
                        yield_now().await;
                    }
                    self.received.reserve(BUFFER);
                    match self.wire.read_buf(&mut (&mut self.received).limit(LARGE)).await {
                        Ok(0) => return Err(answers.trouble.unwrap_or_else(closed)),
                        Ok(count) => bytes += count,
                        Err(error) => return Err(answers.trouble.unwrap_or_else(|| error.into())),
                    }
                }
            }
        }
    }
}

impl Answers {
    fn are_all(&self, asked: usize) -> bool {
        let whole = self.whole.len();
        !self.bound && (whole == asked || (whole < asked && self.trouble.is_some()))
    }

    fn take(&mut self, message: Message) -> Result<(), Unanswered> {
        match message {
            Message::BindComplete if !self.bound => self.bound = true,
            Message::DataRow(body) if self.bound => match texts(&body) {
                Ok(row) => self.rows.push(row),
                Err(error) => self.fail(Unanswered::NoText(error)),
            },
            Message::CommandComplete(_) if self.bound => {
                self.bound = false;
                let rows = mem::take(&mut self.rows);
                if self.trouble.is_none() {
                    self.whole.push(rows);
                }
            }
            Message::ErrorResponse(response) => {
                let told = Told::read(&response)?;
                self.bound = false;
                if told.fatal {
                    return Err(Unanswered::Told(told));
                }
                self.fail(Unanswered::Told(told));
            }
            Message::NoticeResponse(_)
            | Message::ParameterStatus(_)
            | Message::NotificationResponse(_) => {}
            _ => return Err(Unanswered::Lost("the answer makes no sense".into())),
        }
        Ok(())
    }

    fn fail(&mut self, trouble: Unanswered) {
        self.trouble.get_or_insert(trouble);
    }
}

/// The next message, if it is there as a whole.
fn next(received: &mut BytesMut) -> Result<Option<Message>, Unanswered> {
    // Parsing makes room for what the header says.
    if let Some(header) = Header::parse(received)?
        && usize::try_from(header.len()).is_ok_and(|length| length > MOST)
    {
        return Err(too_long());
    }
    Ok(Message::parse(received)?)
}

fn too_long() -> Unanswered {
    Unanswered::Lost("the answer is too long".into())
}

fn closed() -> Unanswered {
    Unanswered::Lost("the server has closed the connection".into())
}

fn bind(name: &str, values: &[Cow<'_, str>], out: &mut BytesMut) -> io::Result<()> {
    let write = |value: &Cow<'_, str>, out: &mut BytesMut| {
        out.extend_from_slice(value.as_bytes());
        Ok(IsNull::No)
    };
    frontend::bind("", name, [TEXT], values, write, [TEXT], out).map_err(|error| match error {
        frontend::BindError::Conversion(error) => io::Error::other(error),
        frontend::BindError::Serialization(error) => error,
    })
}

fn texts(body: &DataRowBody) -> Result<Row, String> {
    let mut ranges = body.ranges();
    let mut row = Vec::with_capacity(ranges.size_hint().0);
    while let Some(range) = ranges.next().map_err(|error| error.to_string())? {
        let bytes = range.and_then(|range| body.buffer().get(range));
        let text = bytes.map(|bytes| str::from_utf8(bytes).map(str::to_owned)).transpose();
        row.push(text.map_err(|error| error.to_string())?);
    }
    Ok(row)
}

#[cfg(test)]
mod tests;
