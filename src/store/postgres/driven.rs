//! `Driven`: the half of the client library that reads and writes, moved on by whoever waits.

#![forbid(unsafe_code)]

use super::wire::Shared;
use crate::store::socket::Socket;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio_postgres::Connection;

/// The library's own type.
pub(super) type Half = Connection<Socket, Shared>;

/// A connection that no task of its own serves; `None` once it has ended. Boxed, because it has some
/// KiB, which a pool would move from stack to stack.
pub(super) struct Driven(Option<Box<Half>>);

impl Driven {
    pub(super) fn new(half: Half) -> Self {
        Self(Some(Box::new(half)))
    }

    /// For a task of its own.
    pub(super) fn into_half(self) -> Option<Half> {
        self.0.map(|half| *half)
    }

    /// What `work` of this connection's client comes to.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(done) = work.as_mut().poll(context) {
                    return Poll::Ready(done);
                }
                let Some(half) = &mut self.0 else { return Poll::Pending };
                if Pin::new(half.as_mut()).poll(context).is_pending() {
                    return work.as_mut().poll(context);
                }
                // Dropped, it lets the client know that nothing will come any more.
                self.0 = None;
            }
        })
        .await
    }
}
