//! Whether somebody listens where the database should be: asked at start, before the fork, so
//! without a thread that would be left behind. That is why a name is asked for by the system's own
//! call, which nothing here can end: only the resolver's time-out bounds it.

#![forbid(unsafe_code)]

use super::url::Place;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_postgres::config::Host;

/// How long each host may take to accept a connection, all the addresses of its name together.
const PATIENCE: Duration = Duration::from_secs(1);

/// # Errors
/// Why none of the places accepts a connection.
pub(super) fn reach(places: &[Place]) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let mut reasons = Vec::new();
    for Place { host, address, port } in places {
        let (name, reached) = match host {
            Host::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                let connect = async { within(UnixStream::connect(&path)).await.map(drop) };
                (path.display().to_string(), runtime.block_on(connect))
            }
            Host::Tcp(name) => {
                let found = address.map_or_else(
                    || (name.as_str(), *port).to_socket_addrs().map(Iterator::collect),
                    |address| Ok(vec![SocketAddr::new(address, *port)]),
                );
                let connect = async { within(TcpStream::connect(&found?[..])).await.map(drop) };
                (format!("{name}:{port}"), runtime.block_on(connect))
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

    fn place(host: Host, port: u16) -> Place {
        Place { host, address: None, port }
    }

    #[test]
    fn one_of_several_is_enough() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let nobody = place(Host::Unix("/no/such/directory".into()), 5432);
        let somebody = place(Host::Tcp("127.0.0.1".into()), port);
        assert_eq!(reach(&[nobody.clone(), somebody]), Ok(()));
        drop(listener);
        let gone = place(Host::Tcp("127.0.0.1".into()), port);
        let error = reach(&[nobody, gone]).unwrap_err();
        assert!(
            error.contains(".s.PGSQL.5432: No such file") && error.contains("refused"),
            "{error}"
        );
    }
}
