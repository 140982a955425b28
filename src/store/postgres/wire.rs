//! `Wire`: the bytes of a connection that the client library has made, for whoever speaks next.

#![forbid(unsafe_code)]

use crate::store::socket::Socket;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

type Rustls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;
type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// A connection, encrypted or not.
pub(super) type Wire = Box<dyn Stream>;

/// What both are.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// TLS over a socket, which the library has, too, while it makes the connection.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<RustlsStream>>);

/// Does the library's handshake, and keeps what comes of it.
pub(super) struct Tap {
    connect: Rustls,
    made: Arc<OnceLock<Shared>>,
}

impl Tap {
    pub(super) fn new(connect: Rustls) -> Self {
        Self { connect, made: Arc::default() }
    }

    /// Where the TLS will be, if the server agrees to any.
    pub(super) fn made(&self) -> Arc<OnceLock<Shared>> {
        self.made.clone()
    }
}

impl TlsConnect<Socket> for Tap {
    type Stream = Shared;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Shared>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = Shared(Arc::new(Mutex::new(self.connect.connect(socket).await?)));
            let _ = self.made.set(stream.clone());
            Ok(stream)
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, RustlsStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TlsStream for Shared {
    fn channel_binding(&self) -> ChannelBinding {
        self.lock().channel_binding()
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(context)
    }
}
