//! The edge of `Hashing`: the line that all children stand in, and threads of a lower priority.

use super::child::{Httpd, children};
use super::shared_memory;
use crate::config::HashingSettings;
use crate::hashing::{Hashing, Limits, Siblings, Turns};
use crate::store::Host;
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, mem, process};

static LIMITS: Mutex<Option<Limits>> = Mutex::new(None);

/// How much less urgent than a request a hash is (`nice`): with 10, who floods and is refused at once
/// leaves it too little of a busy processor, and serves nobody else sooner.
const NICE: libc::c_int = 5;

/// How long a hash asks to run at a time, in nanoseconds: the most that Linux takes. From 6.12 on, who
/// wakes and is due need not wait for the end of a longer slice than its own; else it would, twice for
/// each query of the database.
const SLICE: u64 = 100_000_000;

/// Keeps the limits for the children.
pub(super) fn start(settings: Option<&HashingSettings>) {
    let limits = settings.copied().unwrap_or_default().limits();
    *LIMITS.lock().unwrap_or_else(PoisonError::into_inner) = Some(limits);
}

/// What this child hashes with.
pub(super) fn begin(host: &Arc<Httpd>) -> Hashing {
    let limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut limits = limits.unwrap_or_else(|| HashingSettings::default().limits());
    if host.threads() <= 1 {
        // As half of a child's threads elsewhere: the others serve whoever is verified.
        let half = children().div_ceil(2);
        limits.threads = limits.threads.min(half);
        limits.queue = limits.queue.min(half - limits.threads);
    }
    let process = process::id();
    let shared = shared_memory::get().map(|(shared, _)| {
        let turns = Turns::new(&shared.places, &shared.next, limits, process, lives);
        (Arc::new(turns), Siblings::new(&shared.checks, process, lives))
    });
    let (turns, siblings) = shared.unzip();
    let (spawner, serving) = (Arc::clone(host), host.threads());
    let spawn = move |body: Box<dyn FnOnce() + Send>| {
        spawner.spawn(
            "hashing",
            Box::new(move || {
                be_nice();
                body();
            }),
        )
    };
    Hashing::new(limits, serving, turns, siblings, Box::new(spawn), trim)
}

/// Lowers the priority of the calling thread, which on Linux is one of its own.
fn be_nice() {
    // SAFETY: a plain C record, for which zeros are values.
    let mut wanted: libc::sched_attr = unsafe { mem::zeroed() };
    wanted.size = size_of_val(&wanted) as u32;
    wanted.sched_flags = libc::SCHED_FLAG_KEEP_POLICY as u64;
    wanted.sched_nice = NICE;
    wanted.sched_runtime = SLICE;
    // SAFETY: a change of this thread alone; where it fails, nothing is different. The kernel reads
    // the `size` bytes of `wanted`.
    unsafe {
        let thread = libc::syscall(libc::SYS_gettid);
        libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, NICE);
        libc::syscall(libc::SYS_sched_setattr, thread, &raw const wanted, 0);
    }
}

/// What was freed goes back to the system, but for a block at the end of a heap: once glibc has seen
/// some MiB freed, it keeps all such blocks, for each thread, and so beyond `memory=`.
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: thread-safe, and touches nothing that is in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether there is a process with this number.
fn lives(process: u32) -> bool {
    let Ok(process) = libc::pid_t::try_from(process) else { return false };
    // SAFETY: signal 0 is none.
    let answer = unsafe { libc::kill(process, 0) };
    answer == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}
