//! Servers: which of several answers, in how much of the time; and whether one listens at all.

#![forbid(unsafe_code)]

use super::failure::Failure;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{timeout, timeout_at};

/// How long each host may take to accept a connection when the server starts.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A unix socket.
    Unix(PathBuf),
    Tcp {
        host: String,
        /// Spares the question for the host's address.
        address: Option<IpAddr>,
        port: u16,
    },
}

/// What one connection is made with.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .thread_keep_alive(Duration::from_millis(10))
        .build()
        .map_err(no_connection)
}

/// The system has nothing left to make one of.
pub(crate) fn no_connection(error: io::Error) -> Failure {
    Failure::Broken(format!("the system gives no connection: {error}"))
}

/// The end of a share of the time until `deadline`: one of `of`, and `most` at the most.
fn share(deadline: Instant, of: usize, most: Option<Duration>) -> Instant {
    let now = Instant::now();
    let share = deadline.saturating_duration_since(now) / u32::try_from(of).unwrap_or(u32::MAX);
    now + most.map_or(share, |most| share.min(most))
}

/// What `attempt` makes of the first of `all` that answers. Each has its share of the time, so that
/// a silent one leaves some for the next.
pub(crate) async fn first<P, T>(
    all: &[P],
    deadline: Instant,
    most: Option<Duration>,
    attempt: impl AsyncFn(&P, Instant) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut failures = Vec::new();
    for (index, one) in all.iter().enumerate() {
        match attempt(one, share(deadline, all.len() - index, most)).await {
            Ok(made) => return Ok(made),
            Err(failure) => failures.push(failure),
        }
    }
    let mut texts: Vec<&str> = failures.iter().map(Failure::text).collect();
    // Repeated errors are told apart by their text, which hosts in any order must not change.
    texts.sort_unstable();
    texts.dedup();
    let texts = texts.join("; ");
    Err(match failures.pop() {
        Some(Failure::TimedOut(_)) => Failure::TimedOut(texts),
        Some(Failure::Refused(_)) => Failure::Refused(texts),
        _ => Failure::Broken(texts),
    })
}

/// The addresses of a host; never none.
pub(crate) async fn lookup(
    name: &str,
    port: u16,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, Failure> {
    let found: Vec<_> =
        match timeout_at(deadline.into(), tokio::net::lookup_host((name, port))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(_)) => Vec::new(),
            Err(_) => {
                return Err(Failure::TimedOut(format!("the name {name} does not resolve in time")));
            }
        };
    if found.is_empty() {
        return Err(Failure::Broken(format!("the name {name} does not resolve")));
    }
    Ok(found)
}

/// Whether somebody listens: asked at start, before the fork, so without a thread that would be
/// left behind.
///
/// # Errors
/// Why none of the places accepts a connection.
pub(crate) fn reach(places: impl IntoIterator<Item = Place>) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let mut reasons = Vec::new();
    for place in places {
        let (name, reached) = match place {
            Place::Unix(path) => {
                let connect = async { within(UnixStream::connect(&path)).await.map(drop) };
                (path.display().to_string(), runtime.block_on(connect))
            }
            Place::Tcp { host, address, port } => {
                let found = address.map_or_else(
                    || (host.as_str(), port).to_socket_addrs().map(Iterator::collect),
                    |address| Ok(vec![SocketAddr::new(address, port)]),
                );
                let connect = async { within(TcpStream::connect(&found?[..])).await.map(drop) };
                (format!("{host}:{port}"), runtime.block_on(connect))
            }
        };
        match reached {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(format!("{name}: {error}")),
        }
    }
    Err(reasons.join("; "))
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn one_of_several_is_enough() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let nobody = Place::Unix("/no/such/directory/.s.PGSQL.5432".into());
        let somebody = || Place::Tcp { host: "127.0.0.1".into(), address: None, port };
        assert_eq!(reach([nobody.clone(), somebody()]), Ok(()));
        drop(listener);
        let error = reach([nobody, somebody()]).unwrap_err();
        assert!(
            error.contains(".s.PGSQL.5432: No such file") && error.contains("refused"),
            "{error}"
        );
    }

    #[test]
    fn a_share_of_the_time_is_kept_for_the_next() {
        let now = Instant::now();
        let end = share(now + Duration::from_secs(4), 2, None);
        assert!((1990..2010).contains(&(end - now).as_millis()), "{:?}", end - now);
        let end = share(now + Duration::from_secs(4), 2, Some(Duration::from_secs(1)));
        assert!((990..1010).contains(&(end - now).as_millis()), "{:?}", end - now);
    }
}
