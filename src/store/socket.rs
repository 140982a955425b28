//! `Socket`: the way to a server. A reactor waits for it while the connection is made; a request
//! waits by `poll(2)` alone, which the thread that has nothing else to do can do cheapest.
//!
//! A reactor asks for both directions, so that a server which takes a question from a unix socket
//! wakes who waits for the answer: one wake-up more for every query, and the one that hurts, since
//! it takes the server's processor.

#![forbid(unsafe_code)]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use std::{net, os::unix::net as unix};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// What a client library reads from and writes to; its clones are the same one.
#[derive(Clone)]
pub(crate) struct Socket(Arc<Mutex<State>>);

enum State {
    Tcp(TcpStream),
    Unix(UnixStream),
    Polled(Polled),
    /// Only while one becomes the other.
    Closed,
}

struct Polled {
    stream: Stream,
    /// May there be something to read? Else nobody tries before `poll(2)` has said so.
    readable: bool,
    /// What was tried and would have blocked.
    wants: PollFlags,
    /// How many times in a row it was ready `SOON`.
    soon: u8,
}

/// Whoever sleeps for less than this spends as much time on falling asleep and being woken.
const SOON: Duration = Duration::from_micros(100);

/// After so many answers that came `SOON` the next one may be waited for awake. One that does not
/// come ends that: a server that is far, or has no processor left, costs an attempt in so many.
const STREAK: u8 = 4;

/// Who waits awake on the only processor waits for himself.
static SEVERAL_PROCESSORS: LazyLock<bool> =
    LazyLock::new(|| available_parallelism().is_ok_and(|processors| processors.get() > 1));

enum Stream {
    Tcp(net::TcpStream),
    Unix(unix::UnixStream),
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Arc::new(Mutex::new(State::Tcp(stream))))
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        Self(Arc::new(Mutex::new(State::Unix(stream))))
    }
}

impl Socket {
    /// Who will wait for this socket, once it has left its reactor.
    pub(crate) fn waiter(&self) -> Waiter {
        Waiter {
            state: self.0.clone(),
            woken: Arc::new(Woken(AtomicBool::new(false))),
            awake: AtomicBool::new(false),
        }
    }
}

/// Waits for what is done over a [`Socket`].
pub(crate) struct Waiter {
    state: Arc<Mutex<State>>,
    woken: Arc<Woken>,
    awake: AtomicBool,
}

impl Waiter {
    /// Takes the socket from its reactor, for ever.
    ///
    /// # Errors
    /// The system's, after which the socket is closed.
    pub(crate) fn leave_reactor(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        let stream = match std::mem::replace(&mut *state, State::Closed) {
            State::Tcp(stream) => Stream::Tcp(stream.into_std()?),
            State::Unix(stream) => Stream::Unix(stream.into_std()?),
            already => {
                *state = already;
                return Ok(());
            }
        };
        *state =
            State::Polled(Polled { stream, readable: true, wants: PollFlags::empty(), soon: 0 });
        Ok(())
    }

    /// Nobody else wants the processors: what is run next may wait awake.
    pub(crate) fn stay_awake(&self) {
        self.awake.store(true, Ordering::Relaxed);
    }

    /// What `work` comes to, which waits for nothing but this socket; `None` at `deadline`.
    pub(crate) fn run<T>(&self, deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
        let waker = Waker::from(self.woken.clone());
        let mut context = Context::from_waker(&waker);
        let mut work = std::pin::pin!(work);
        let awake = self.awake.swap(false, Ordering::Relaxed);
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return Some(done);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if !self.woken.0.load(Ordering::Relaxed)
                && let State::Polled(socket) = &mut *lock(&self.state)
            {
                socket.wait(left.try_into().ok()?, awake);
            }
        }
    }
}

impl Polled {
    fn wait(&mut self, limit: Timespec, awake: bool) {
        let wants = std::mem::replace(&mut self.wants, PollFlags::empty());
        let mut asked = [PollFd::from_borrowed_fd(self.stream.as_fd(), wants)];
        let begun = Instant::now();
        let mut found = Ok(0);
        if awake && self.soon >= STREAK && *SEVERAL_PROCESSORS {
            while found == Ok(0) && begun.elapsed() < SOON {
                found = poll(&mut asked, Some(&Timespec::default()));
            }
        }
        if found == Ok(0) {
            found = poll(&mut asked, Some(&limit));
        }
        self.soon = if begun.elapsed() < SOON { self.soon.saturating_add(1) } else { 0 };
        match found {
            // What is wrong with it, reading says.
            Ok(_) => self.readable |= !(asked[0].revents() - PollFlags::OUT).is_empty(),
            Err(Errno::INTR) => {}
            Err(_) => self.readable = true,
        }
    }

    fn read(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.readable {
            let space = buffer.initialize_unfilled();
            match again(|| self.stream.read(space)) {
                Ok(count) => {
                    // A short read has drained the socket; the end can be read again.
                    self.readable = count == 0 || count == space.len();
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.wants |= PollFlags::IN;
        Poll::Pending
    }

    fn write(&mut self, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match again(|| self.stream.write(bytes)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.wants |= PollFlags::OUT;
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }
}

/// Until no signal is in the way.
fn again(mut step: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match step() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *lock(&self.0) {
            State::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            State::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
            State::Polled(socket) => socket.read(buffer),
            State::Closed => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *lock(&self.0) {
            State::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            State::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            State::Polled(socket) => socket.write(bytes),
            State::Closed => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    /// Nothing is held back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// By the drop.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
