//! `Pipeline`: questions that find every connection in use are asked for together, over the next one
//! that is free. A server answers several that come at once in half the time.

#![forbid(unsafe_code)]

use super::failure::Failure;
use super::pool::Pool;
use super::pooled::Fetch;
use super::question::{OTHER_ANSWER, Question, Row};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::iter;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::vec;

/// Questions in one round trip: more of them make none cheaper, and all wait for the slowest.
const MOST: usize = 8;

/// They have fewer bytes than a socket takes from who does not read what comes back.
const BYTES: usize = 16 << 10;

/// There is nothing to gain where a round trip takes longer, and much to lose: the time of all.
const QUICK: Duration = Duration::from_millis(20);

/// Who has less time left asks for nobody else.
const ENOUGH: Duration = Duration::from_millis(250);

/// After so many in a row who found nobody else, the next is taken to be alone, too.
const CALM: u8 = 16;

/// Who asks, and who waits to be asked for.
#[derive(Default)]
pub(super) struct Pipeline(Mutex<State>);

#[derive(Default)]
struct State {
    /// Threads that have a connection, or are about to get one.
    leading: usize,
    /// First come, first served. While anybody waits somebody leads, who calls the next.
    waiting: VecDeque<Arc<Ticket>>,
    /// How many in a row came while nobody led.
    calm: u8,
    /// The last round trip was not `QUICK`.
    slow: bool,
}

/// A question of one who waits.
struct Ticket {
    question: Question<'static>,
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// What is next for one who waits.
enum Turn {
    Waits,
    /// Asks, also for some of those behind.
    Leads {
        crowded: bool,
    },
    /// Is asked for.
    Asked,
    /// Was asked for.
    Answered(Vec<Row>),
    /// Who asked has no answer to this question. Why, it hears by asking itself.
    Alone,
}

/// One who asks. Dropped, it calls the next, and hands out what there is to those it asked for.
struct Lead<'a> {
    pipeline: &'a Pipeline,
    followers: Option<Vec<Arc<Ticket>>>,
    answers: vec::IntoIter<Vec<Row>>,
}

impl Pipeline {
    /// The rows, marker excluded, from a connection of `pool`. No side effect of the question may
    /// count, since the error of another one undoes it.
    pub(super) fn ask<C: Fetch>(
        &self,
        pool: &Pool<C>,
        question: &Question<'_>,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        if !C::PIPELINED {
            return alone(pool, question, deadline);
        }
        match self.turn(pool.max(), question, deadline) {
            Turn::Leads { crowded } => self.lead(pool, question, crowded, deadline),
            Turn::Answered(rows) => Ok(rows),
            Turn::Alone => alone(pool, question, deadline),
            Turn::Waits => Err(pool.none_free()),
            Turn::Asked => Err(pool.no_answer()),
        }
    }

    /// At `deadline` still `Waits`, or `Asked`.
    fn turn(&self, connections: usize, question: &Question<'_>, deadline: Instant) -> Turn {
        let mut state = self.lock();
        state.calm = if state.leading == 0 { state.calm.saturating_add(1) } else { 0 };
        if state.leading < connections {
            state.leading += 1;
            return Turn::Leads { crowded: state.calm < CALM };
        }
        let ticket = Arc::new(Ticket::new(question));
        state.waiting.push_back(ticket.clone());
        drop(state);
        let mut turn = ticket.wait(deadline);
        // It may have been called at this very moment.
        if matches!(turn, Turn::Waits) && !self.lock().leave(&ticket) {
            turn = match ticket.wait(deadline) {
                Turn::Waits => Turn::Asked,
                turn => turn,
            };
        }
        turn
    }

    fn lead<C: Fetch>(
        &self,
        pool: &Pool<C>,
        question: &Question<'_>,
        crowded: bool,
        deadline: Instant,
    ) -> Result<Vec<Row>, Failure> {
        let mut lead = Lead::new(self);
        let answers = pool.run(deadline, |connector, connection, deadline| {
            // Not earlier: while the connection is made, others may become free.
            let followers = match &mut lead.followers {
                None => lead.followers.insert(self.followers(question, deadline)),
                Some(followers) => {
                    // The last one broke: perhaps by one of these.
                    followers.drain(..).for_each(|ticket| ticket.call(Turn::Alone));
                    followers
                }
            };
            if !crowded && followers.is_empty() {
                connector.stay_awake(connection);
            }
            let questions: Vec<_> = iter::once(question)
                .chain(followers.iter().map(|ticket| &ticket.question))
                .collect();
            let begun = Instant::now();
            let answers = connector.fetch_all(connection, &questions, deadline);
            self.lock().slow = begun.elapsed() > QUICK;
            answers
        })?;
        lead.answers = answers.into_iter();
        lead.answers.next().ok_or_else(|| Failure::Query(OTHER_ANSWER.into()))
    }

    /// Those to be asked for beside one's own question: as it is, for other values, so that none
    /// waits for what has nothing to do with it.
    fn followers(&self, question: &Question<'_>, deadline: Instant) -> Vec<Arc<Ticket>> {
        let mut state = self.lock();
        if state.slow || deadline.saturating_duration_since(Instant::now()) < ENOUGH {
            return Vec::new();
        }
        let mut bytes = 0;
        let few = state.waiting.iter().take(MOST - 1).take_while(|ticket| {
            let Question { sql, values, .. } = &ticket.question;
            bytes += sql.len() + values.iter().map(|value| value.len()).sum::<usize>();
            bytes <= BYTES && *sql == question.sql
        });
        let few = few.count();
        state.waiting.drain(..few).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether it was still in the queue.
    fn leave(&mut self, ticket: &Arc<Ticket>) -> bool {
        let place = self.waiting.iter().position(|other| Arc::ptr_eq(other, ticket));
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }

    /// Who leads now that one has done.
    fn pass(&mut self) {
        match self.waiting.pop_front() {
            // While this is locked: see `turn`.
            Some(next) => next.call(Turn::Leads { crowded: true }),
            None => self.leading -= 1,
        }
    }
}

/// Without the others, and in no order.
fn alone<C: Fetch>(
    pool: &Pool<C>,
    question: &Question<'_>,
    deadline: Instant,
) -> Result<Vec<Row>, Failure> {
    pool.run(deadline, |connector, connection, deadline| {
        connector.fetch(connection, question, deadline)
    })
}

impl Ticket {
    fn new(question: &Question<'_>) -> Self {
        let Question { sql, values, marker } = question;
        let values = values.iter().map(|value| Cow::Owned(value.clone().into_owned())).collect();
        let question = Question { sql: sql.clone(), values, marker: marker.clone() };
        Self { question, turn: Mutex::new(Turn::Waits), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, deadline: Instant) -> Turn {
        let mut turn = self.lock();
        while matches!(*turn, Turn::Waits) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            turn = self
                .changed
                .wait_timeout(turn, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(turn, _)| turn);
        }
        mem::replace(&mut *turn, Turn::Waits)
    }

    fn call(&self, turn: Turn) {
        *self.lock() = turn;
        self.changed.notify_one();
    }
}

impl<'a> Lead<'a> {
    fn new(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, followers: None, answers: Vec::new().into_iter() }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.pipeline.lock().pass();
        for ticket in self.followers.take().into_iter().flatten() {
            ticket.call(self.answers.next().map_or(Turn::Alone, Turn::Answered));
        }
    }
}

#[cfg(test)]
mod tests;
