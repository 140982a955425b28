//! How a connection to MySQL comes about: which server, in how much of the time, how asked.

#![forbid(unsafe_code)]

use super::error::Trouble;
use super::login::Login;
use super::{Connection, Connections, statement};
use crate::store::failure::Failure;
use crate::store::pool::Connector;
use crate::store::servers::{self, Place, first};
use crate::store::socket::Socket;
use socket2::{SockRef, TcpKeepalive};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout_at;

/// Two hours, the system's own, is longer than most firewalls remember a connection.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// MariaDB cuts the list of a user's groups at this length, and may be set to little of it; MySQL
/// knows the setting and has no need of it. As much as a packet holds.
const WHOLE_LISTS: &str = "SESSION group_concat_max_len = 16777215";

impl Connector for Connections {
    type Connection = Connection;

    fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let runtime = servers::runtime()?;
        let most = self.url.connect_timeout;
        let reached =
            runtime.block_on(first(&self.url.places, deadline, most, async |place, limit| {
                self.reach_place(place, limit).await
            }));
        if let Ok(connection) = &reached {
            connection.waiter.leave_reactor().map_err(servers::no_connection)?;
        }
        // Not by its own drop, which would wait for a name that does not resolve.
        runtime.shutdown_background();
        reached
    }
}

impl Connections {
    async fn reach_place(&self, place: &Place, deadline: Instant) -> Result<Connection, Failure> {
        let (host, port) = match place {
            Place::Unix(path) => {
                let socket = async || Ok((UnixStream::connect(path).await?.into(), true));
                return self.attempt(socket, None, &path.display().to_string(), deadline).await;
            }
            Place::Tcp { host, port, .. } => (host, *port),
        };
        let found = servers::lookup(host, port, deadline).await?;
        let label = format!("{host}:{port}");
        first(&found, deadline, None, async |address, limit| {
            self.attempt(async || tcp(*address).await, Some(host), &label, limit).await
        })
        .await
    }

    /// One server, with our wishes for the session and, if it will not hear them, with fewer.
    async fn attempt(
        &self,
        socket: impl AsyncFn() -> Result<(Socket, bool), Trouble>,
        host: Option<&str>,
        place: &str,
        deadline: Instant,
    ) -> Result<Connection, Failure> {
        let started = Instant::now();
        let url = &self.url;
        let login = Login {
            user: &url.user,
            password: url.password.as_ref().map_or("", |password| password),
            dbname: &url.dbname,
            encrypt: url.encrypt,
            tls: self.tls.as_ref().map_err(|reason| Failure::Refused(reason.clone()))?,
            host,
        };
        let work = async {
            let (socket, local) = socket().await?;
            let waiter = socket.waiter();
            let (mut channel, mariadb) = login.run(Box::new(socket)).await?;
            let made = |channel| Connection { channel, local, prepared: Vec::new(), waiter };
            if !self.without_settings.load(Ordering::Relaxed) {
                match statement::run(&mut channel, &self.settings(mariadb)).await {
                    Err(Trouble::Server { .. }) => {
                        self.without_settings.store(true, Ordering::Relaxed);
                    }
                    other => return other.map(|()| made(channel)),
                }
            }
            for sql in [
                "SET NAMES utf8mb4",
                "SET SESSION TRANSACTION READ ONLY",
                &format!("SET {WHOLE_LISTS}"),
            ] {
                match statement::run(&mut channel, sql).await {
                    Ok(()) | Err(Trouble::Server { .. }) => {}
                    Err(trouble) => return Err(trouble),
                }
            }
            Ok(made(channel))
        };
        match timeout_at(deadline.into(), work).await {
            Ok(Ok(reached)) => Ok(reached),
            Ok(Err(trouble)) => Err(trouble.connecting(place)),
            Err(_) => {
                let waited = started.elapsed().as_secs_f64();
                Err(Failure::TimedOut(format!("{place}: no answer within {waited:.1} s")))
            }
        }
    }

    /// Text in UTF-8 whatever the server's own settings, nothing written, nothing for ever: in one
    /// statement, so in one round trip.
    fn settings(&self, mariadb: bool) -> String {
        let (seconds, millis) = (self.timeout.as_secs_f64(), self.timeout.as_millis());
        if mariadb {
            format!(
                "SET NAMES utf8mb4, SESSION tx_read_only = 1, \
                 SESSION max_statement_time = {seconds}, {WHOLE_LISTS}"
            )
        } else {
            format!(
                "SET NAMES utf8mb4, SESSION transaction_read_only = 1, \
                 SESSION max_execution_time = {millis}"
            )
        }
    }
}

async fn tcp(address: SocketAddr) -> Result<(Socket, bool), Trouble> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    let local = stream.peer_addr()?.ip() == stream.local_addr()?.ip();
    Ok((stream.into(), local))
}
