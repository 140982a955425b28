//! `Batch`: checks of many threads, done by few workers: first the cores are filled, then the lanes.
#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::engine::Engine;
use super::job::Job;
use super::ticket::{Outcome, Task, Ticket, Work};

/// How many iterations go by before checks join and leave. A newcomer waits for no more than 0.5 ms
/// with 16 lanes full; moving the jobs in and out of the registers is too cheap to be seen.
pub(super) const CHUNK: u32 = 1000;

/// Starts a thread of the host that runs this; it must not run it itself.
pub type Spawn = dyn Fn(Box<dyn FnOnce() + Send>) -> io::Result<()> + Send + Sync;

/// Waits until a worker may go on, and returns what it holds meanwhile.
pub type Pace = dyn Fn() -> Box<dyn Any> + Send + Sync;

/// For how long a worker goes on before it lets others have their turn.
const SLICE: Duration = Duration::from_millis(50);

/// One queue of checks, and the workers that serve it.
///
/// A check is taken by an idle worker, or a worker is started for it. When all are busy, they take
/// further checks in beside those that they have, in the order of arrival, as far as the engine
/// gains by it. A check that was taken is not put back.
///
/// When the batch is dropped, the workers do what is queued and end.
pub struct Batch {
    shared: Arc<Shared>,
}

/// What the workers need.
pub(super) struct Shared {
    engine: Box<dyn Advance>,
    threads: usize,
    spawn: Box<Spawn>,
    /// Where the workers are not alone on the machine.
    pace: Option<Box<Pace>>,
    queue: Mutex<Queue>,
    /// Told to one idle worker for each job.
    arrival: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Task>,
    /// The jobs that workers have in hand.
    taken: usize,
    workers: usize,
    /// The workers that have nothing in hand, those that are just starting included.
    idle: usize,
    closed: bool,
}

/// What a batch asks of an engine. Tests have others.
pub(super) trait Advance: Send + Sync {
    /// As `Engine::width`.
    fn width(&self, share: usize) -> usize;
    /// As `Engine::advance`.
    fn advance(&self, jobs: &mut [&mut Job], most: u32);
}

impl Advance for Engine {
    fn width(&self, share: usize) -> usize {
        self.width(share)
    }

    fn advance(&self, jobs: &mut [&mut Job], most: u32) {
        self.advance(jobs, most);
    }
}

impl Batch {
    /// A batch of at most `threads` workers, usually one for each core. Each is started by `spawn`
    /// when it is first needed, and goes by `pace`. With 0 of them, who waits for a job does it.
    pub fn new(threads: usize, spawn: Box<Spawn>, pace: Option<Box<Pace>>) -> Self {
        Self::with(Box::new(Engine::detect()), threads, spawn, pace)
    }

    pub(super) fn with(
        engine: Box<dyn Advance>,
        threads: usize,
        spawn: Box<Spawn>,
        pace: Option<Box<Pace>>,
    ) -> Self {
        let (queue, arrival) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { engine, threads, spawn, pace, queue, arrival }) }
    }

    /// Hands a job to the workers. How many may wait is for the caller to bound.
    pub fn submit(&self, job: Job) -> Ticket {
        self.enqueue(Work::Job(job))
    }

    /// Hands other work to the workers, which one of them does at a stretch; its ticket has an empty
    /// key.
    pub fn run(&self, work: Box<dyn FnOnce() + Send>) -> Ticket {
        self.enqueue(Work::Whole(Some(work)))
    }

    fn enqueue(&self, work: Work) -> Ticket {
        let (task, outcome) = Task::new(work);
        let mut queue = self.shared.queue();
        if queue.waiting.len() >= queue.idle {
            // If none can be had, the workers that there are have more to do.
            self.shared.start(&mut queue);
        }
        let own = if queue.workers == 0 {
            Some(task)
        } else {
            queue.waiting.push_back(task);
            None
        };
        drop(queue);
        self.shared.arrival.notify_one();
        Ticket { shared: Arc::clone(&self.shared), outcome, own: Mutex::new(own) }
    }

    /// How many jobs wait for a worker.
    pub fn waiting(&self) -> usize {
        self.shared.queue().waiting.len()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.arrival.notify_all();
    }
}

impl Shared {
    /// Goes on with these jobs for one chunk.
    pub(super) fn advance(&self, jobs: &mut [&mut Job]) {
        self.engine.advance(jobs, CHUNK);
    }

    /// Takes a job out of the queue, if it is still there.
    pub(super) fn forget(&self, outcome: &Arc<Outcome>) {
        self.queue().waiting.retain(|task| !task.is_for(outcome));
    }

    /// Starts one more worker, if there may be one; under the lock of the queue, so that no job
    /// counts on a worker that does not come.
    fn start(self: &Arc<Self>, queue: &mut Queue) -> bool {
        let shared = Arc::clone(self);
        let started = queue.workers < self.threads
            && (self.spawn)(Box::new(move || Worker::new(shared).run())).is_ok();
        if started {
            queue.workers += 1;
            queue.idle += 1;
        }
        started
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread and the jobs that it has in hand.
struct Worker {
    shared: Arc<Shared>,
    tasks: Vec<Task>,
    /// Its turn, and since when; `None` with nothing in hand.
    turn: Option<(Box<dyn Any>, Instant)>,
    /// How many of `Queue::taken` are of this worker; with 0 it is one of `Queue::idle`.
    counted: usize,
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: Vec::new(), turn: None, counted: 0 }
    }

    fn run(mut self) {
        while self.take() {
            self.keep_pace();
            // Some may have been given up meanwhile.
            self.tasks.retain(|task| !task.is_over());
            match &mut self.tasks[..] {
                [] => {}
                [task] => task.work.go_on(&self.shared),
                tasks => {
                    let jobs = tasks.iter_mut().filter_map(|task| match &mut task.work {
                        Work::Job(job) => Some(job),
                        Work::Whole(_) => None,
                    });
                    self.shared.advance(&mut jobs.collect::<Vec<_>>());
                }
            }
            self.tasks.retain(|task| !task.is_over());
        }
    }

    /// Waits for this worker's turn, unless it has one that is not over.
    fn keep_pace(&mut self) {
        let Some(pace) = &self.shared.pace else { return };
        if self.turn.as_ref().is_none_or(|(_, since)| since.elapsed() >= SLICE) {
            // First of all: whoever waits comes before.
            self.turn = None;
            self.turn = Some((pace(), Instant::now()));
        }
    }

    /// Takes what this worker should have in hand for the next chunk, and waits while there is
    /// nothing for it. False when nothing is to come.
    fn take(&mut self) -> bool {
        let mut queue = self.shared.queue();
        loop {
            count(&mut queue, &mut self.counted, self.tasks.len());
            let others_idle = queue.idle > usize::from(self.tasks.is_empty());
            let there = queue.taken + queue.waiting.len();
            let width = match others_idle {
                true => 1,
                false => self.shared.engine.width(there.div_ceil(queue.workers)),
            };
            while self.tasks.len() < width
                && let Some(next) = queue.waiting.front()
                && (next.shares_lanes() || self.tasks.is_empty())
                && self.tasks.iter().all(Task::shares_lanes)
            {
                self.tasks.extend(queue.waiting.pop_front());
            }
            count(&mut queue, &mut self.counted, self.tasks.len());
            if !self.tasks.is_empty() {
                return true;
            }
            self.turn = None;
            if queue.closed {
                return false;
            }
            queue = self.shared.arrival.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Corrects the queue's numbers for a worker that had `counted` jobs in hand and has `now`.
fn count(queue: &mut Queue, counted: &mut usize, now: usize) {
    queue.taken = queue.taken - *counted + now;
    queue.idle = queue.idle - usize::from(*counted == 0) + usize::from(now == 0);
    *counted = now;
}

impl Drop for Worker {
    /// After a panic, which is the host's to report, those who wait for the jobs in hand are told
    /// when the jobs are dropped, and a successor does the others.
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        count(&mut queue, &mut self.counted, 0);
        queue.idle -= 1;
        queue.workers -= 1;
        let needed = thread::panicking() && !queue.waiting.is_empty();
        if needed && !self.shared.start(&mut queue) && queue.workers == 0 {
            queue.waiting.clear();
        }
    }
}

#[cfg(test)]
mod tests;
