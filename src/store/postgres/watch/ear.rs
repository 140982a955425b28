//! `Ear`: what the link has heard, for the threads that ask.

#![forbid(unsafe_code)]

use super::DIALECT;
use super::triggers::{Look, Seen};
use crate::store::rows::Stamp;
use crate::store::sql::Reads;
use crate::user::{UserModel, Wants};
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// From one heartbeat to the next.
pub(super) const BEAT: Duration = Duration::from_secs(1);

/// A heartbeat that is later ends all vouching, however well the socket looks.
const LATE: Duration = Duration::from_secs(2);

/// What is told, each once.
const MOST_NOTICES: usize = 32;

pub(in crate::store::postgres) struct Ear {
    channel: String,
    /// The channel of our own heartbeats, and the name by which the server knows the link.
    own: String,
    begin: Instant,
    /// Raised by every notification and whatever else may have gone unheard.
    generation: AtomicU64,
    /// Until then what was heard is all there was; in milliseconds since `begin`.
    fresh_until: AtomicU64,
    /// When a row was last asked for, likewise.
    asked: AtomicU64,
    news: AtomicBool,
    shapes: RwLock<Vec<Shape>>,
    state: Mutex<State>,
}

/// Rows of one kind.
struct Shape {
    model: Arc<UserModel>,
    wants: Wants,
    reads: Vec<Reads>,
    /// Whether triggers tell of every change to them; `None` until somebody has looked.
    covered: Option<bool>,
}

#[derive(Default)]
struct State {
    /// The thread's, which serves the link.
    waker: Option<Waker>,
    running: bool,
    ended: bool,
    /// Heartbeats that were sent, and the last that came back.
    sent: u64,
    heard: u64,
    /// Why the last link broke.
    loss: Option<String>,
    origin: Option<String>,
    print: String,
    told: Vec<String>,
    notices: Vec<String>,
}

impl Ear {
    pub(super) fn new(channel: &str) -> Self {
        Self {
            channel: channel.to_owned(),
            own: format!("authnz_django_{:016x}", RandomState::new().hash_one(channel)),
            begin: Instant::now(),
            generation: AtomicU64::new(0),
            fresh_until: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            news: AtomicBool::new(false),
            shapes: RwLock::default(),
            state: Mutex::default(),
        }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) fn own(&self) -> &str {
        &self.own
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The stamp of this moment, while nothing can have gone unheard.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let now = self.now();
        self.asked.store(now, Ordering::Relaxed);
        // A loss ends freshness first and raises the generation last: the same one before and after
        // means that there was none in between.
        let generation = || self.generation.load(Ordering::Acquire);
        let before = generation();
        let fresh = now < self.fresh_until.load(Ordering::Acquire);
        (fresh && generation() == before).then_some(Stamp(before))
    }

    /// How long nobody has asked.
    pub(super) fn quiet(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.asked.load(Ordering::Relaxed)))
    }

    /// Whether triggers cover such rows; `None` if that is still to be looked at.
    pub(super) fn covers(&self, model: &Arc<UserModel>, wants: &Wants) -> Option<bool> {
        let find = |shapes: &[Shape]| {
            let mut same = shapes.iter().filter(|s| (&s.model, &s.wants) == (model, wants));
            same.next().map(|shape| shape.covered)
        };
        let known = find(&self.shapes.read().unwrap_or_else(PoisonError::into_inner));
        known.unwrap_or_else(|| {
            let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
            find(&shapes).unwrap_or_else(|| {
                let reads = DIALECT.reads(model, wants);
                let (model, wants) = (model.clone(), wants.clone());
                shapes.push(Shape { model, wants, reads, covered: None });
                None
            })
        })
    }

    /// Whether a look is due at once.
    pub(super) fn is_unsure(&self) -> bool {
        let shapes = self.shapes.read().unwrap_or_else(PoisonError::into_inner);
        self.now() >= self.fresh_until.load(Ordering::Acquire)
            || shapes.iter().any(|shape| shape.covered.is_none())
    }

    /// What the next look must see, and at how many shapes.
    pub(super) fn look(&self) -> (Look, usize) {
        let shapes = self.shapes.read().unwrap_or_else(PoisonError::into_inner);
        (Look::at(shapes.iter().flat_map(|shape| &shape.reads)), shapes.len())
    }

    /// A heartbeat that was sent at `sent` came back, and with it what was `seen` for the first
    /// `count` shapes: what each of them lacks.
    pub(super) fn judge(&self, sent: u64, seen: &Seen, count: usize) -> Vec<Vec<String>> {
        let mut lacks = Vec::new();
        let mut shapes = self.shapes.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        state.origin.clone_from(&seen.origin);
        // Between two looks a trigger may have been away.
        if state.print != seen.print {
            state.print.clone_from(&seen.print);
            self.raise();
        }
        drop(state);
        for shape in shapes.iter_mut().take(count) {
            let lacking = seen.lacks(&self.channel, &shape.reads);
            shape.covered = Some(lacking.is_empty());
            lacks.push(lacking);
        }
        drop(shapes);
        let until = sent + u64::try_from((BEAT + LATE).as_millis()).unwrap_or(0);
        self.fresh_until.store(until, Ordering::Release);
        lacks
    }

    fn raise(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// From now on nothing is heard.
    pub(super) fn deaf(&self) {
        self.fresh_until.store(0, Ordering::Release);
        self.raise();
        self.lock().origin = None;
    }

    /// Whether a row comes from the server that is listened to.
    pub(super) fn knows(&self, origin: Option<&str>) -> bool {
        let known = self.lock().origin.clone();
        if known.is_some() && origin != known.as_deref() {
            self.tell(
                "rows come from a standby, or another server, database or search_path than the \
                 one that is listened to: watch_host= must be where they come from",
            );
        }
        known.is_some() && origin == known.as_deref()
    }

    /// The link has ended, and its client is seen to be closed.
    pub(super) fn broke(&self, loss: String) {
        self.deaf();
        let mut state = self.lock();
        state.loss = Some(loss);
        state.wake();
    }

    /// A notification.
    pub(super) fn hear(&self, channel: &str, payload: &str) {
        if channel == self.channel {
            self.raise();
        } else if channel == self.own {
            let mut state = self.lock();
            state.heard = state.heard.max(payload.parse().unwrap_or(0));
            state.wake();
        }
    }

    /// The number of the next heartbeat, which was never sent before.
    pub(super) fn next_beat(&self) -> u64 {
        let mut state = self.lock();
        state.sent += 1;
        state.sent
    }

    pub(super) fn has_come(&self, beat: u64) -> bool {
        self.lock().heard >= beat
    }

    pub(super) fn loss(&self) -> String {
        self.lock().loss.take().unwrap_or_else(|| "closed".into())
    }

    /// Says once what is in the way of keeping rows.
    pub(super) fn tell(&self, cause: &str) {
        let notice = format!("watch={}: {cause}: every request reads the row", self.channel);
        let mut state = self.lock();
        if state.told.len() < MOST_NOTICES && !state.told.contains(&notice) {
            state.told.push(notice.clone());
            state.notices.push(notice);
            self.news.store(true, Ordering::Release);
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// What is still to be told.
    pub(super) fn notices(&self) -> Vec<String> {
        self.news.store(false, Ordering::Release);
        std::mem::take(&mut self.lock().notices)
    }

    /// Has the thread look again; `true` if there is none, and the caller is to start it.
    pub(super) fn wake(&self) -> bool {
        let mut state = self.lock();
        state.wake();
        !std::mem::replace(&mut state.running, true)
    }

    /// There is no thread any more.
    pub(super) fn ended(&self) {
        self.deaf();
        let mut state = self.lock();
        state.running = false;
        state.waker = None;
    }

    /// The thread is to end, wherever it waits.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.wake();
    }

    /// Does the work of the thread until it is done or `end` was called; then `None`.
    pub(super) async fn attend<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.ended {
                return Poll::Ready(None);
            }
            state.waker = Some(cx.waker().clone());
            drop(state);
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

impl State {
    fn wake(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }
}
