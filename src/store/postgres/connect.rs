//! How a connection to PostgreSQL comes about: which server, in how much of the time, how asked.

#![forbid(unsafe_code)]

use super::driven::Driven;
use super::error::{self, Trouble};
use super::extended::Extended;
use super::url::Place;
use super::wire::{Tap, Wire};
use super::{Connection, Connections, watch};
use crate::store::failure::{Failure, seconds};
use crate::store::pool::Connector;
use crate::store::servers::{self, first};
use crate::store::socket::{Socket, Waiter};
use crate::store::tls::Encrypt;
use socket2::{SockRef, TcpKeepalive};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout_at;
use tokio_postgres::config::{Host as Server, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

impl Connector for Connections {
    type Connection = Connection;

    fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let runtime = servers::runtime()?;
        let reached = runtime.block_on(self.reach(deadline)).and_then(|reached| {
            // The library's half is dropped without being asked, so that it says no farewell.
            let Reached { wire, waiter, .. } = reached;
            waiter.leave_reactor().map_err(servers::no_connection)?;
            Ok(Connection { extended: Extended::new(wire), waiter })
        });
        // Not by its own drop, which would wait for a name that does not resolve.
        runtime.shutdown_background();
        reached
    }
}

/// A connection that is still its reactor's.
pub(super) struct Reached {
    pub(super) client: Client,
    pub(super) driven: Driven,
    wire: Wire,
    waiter: Waiter,
}

/// Where one attempt goes.
enum End<'a> {
    Unix(&'a Path),
    Tcp { name: &'a str, address: SocketAddr },
}

impl Connections {
    pub(super) async fn reach(&self, deadline: Instant) -> Result<Reached, Failure> {
        let mut places: Vec<&Place> = self.settings.places.iter().collect();
        if self.settings.shuffled {
            places.sort_by_cached_key(|place| RandomState::new().hash_one(place.port));
        }
        let most = self.settings.config.get_connect_timeout().copied();
        first(&places, deadline, most, async |place, limit| self.reach_place(place, limit).await)
            .await
    }

    async fn reach_place(&self, place: &Place, deadline: Instant) -> Result<Reached, Failure> {
        let (host, port) = match &place.host {
            Server::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", place.port));
                let label = directory.display().to_string();
                return self.attempt(End::Unix(&path), &label, deadline).await;
            }
            Server::Tcp(host) => (host, place.port),
        };
        let label = format!("{host}:{port}");
        let found = match place.address {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => servers::lookup(host, port, deadline).await?,
        };
        first(&found, deadline, None, async |address, limit| {
            let end = End::Tcp { name: host, address: *address };
            self.attempt(end, &label, limit).await
        })
        .await
    }

    /// One server, with our wishes for the session and, if it will not hear them, without.
    async fn attempt(
        &self,
        end: End<'_>,
        place: &str,
        deadline: Instant,
    ) -> Result<Reached, Failure> {
        let tls = self.tls.clone().map_err(Failure::Refused)?;
        let mut without = self.without_options.load(Ordering::Relaxed);
        let work = async {
            loop {
                match self.start(&end, tls.clone(), without).await {
                    Err(Trouble::Library(error)) if !without && error::refuses_options(&error) => {
                        without = true;
                        self.without_options.store(true, Ordering::Relaxed);
                    }
                    done => return done,
                }
            }
        };
        match timeout_at(deadline.into(), work).await {
            Ok(Ok(reached)) => Ok(reached),
            Ok(Err(Trouble::Library(error)))
                if self.ear.is_some() && error::refuses_options(&error) =>
            {
                Err(Failure::Refused(format!("{place}: {}", watch::SHARED)))
            }
            Ok(Err(trouble)) => Err(trouble.connecting(place)),
            Err(_) => {
                // What is configured, though it may have been less: the text must not vary.
                let limit = self.settings.limits.timeout;
                let most = self.settings.config.get_connect_timeout();
                let limit = seconds(most.map_or(limit, |most| limit.min(*most)));
                Err(Failure::TimedOut(format!("{place}: no answer within {limit}")))
            }
        }
    }

    async fn start(
        &self,
        end: &End<'_>,
        mut tls: MakeRustlsConnect,
        without: bool,
    ) -> Result<Reached, Trouble> {
        let mut config = self.settings.config.clone();
        let role = config.get_target_session_attrs();
        let any = role == TargetSessionAttrs::Any;
        if !without {
            let timeout = self.settings.limits.timeout.as_millis();
            let theirs = config.get_options().unwrap_or_default();
            // A server is asked for its role by the very setting that makes us read-only: then it
            // must come later.
            let read_only = if any { " -c default_transaction_read_only=on" } else { "" };
            config.options(format!("{theirs}{read_only} -c statement_timeout={timeout}"));
        }
        let (socket, name) = match *end {
            End::Unix(path) => (Socket::from(UnixStream::connect(path).await?), ""),
            End::Tcp { name, address } => (tcp(address, &config).await?, name),
        };
        if let End::Unix(_) = end
            && self.settings.encrypt == Encrypt::Prefer
        {
            config.ssl_mode(SslMode::Disable);
        }
        let (plain, waiter) = (socket.clone(), socket.waiter());
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls, name)
            .map_err(|error| Trouble::Socket(io::Error::other(error)))?;
        let tap = Tap::new(tls);
        let encrypted = tap.made();
        let (client, half) = config.connect_raw(socket, tap).await?;
        let wire: Wire = match encrypted.get() {
            Some(stream) => Box::new(stream.clone()),
            None => Box::new(plain),
        };
        let mut driven = Driven::new(half);
        if !any {
            let read_only =
                driven.during(client.simple_query("SHOW transaction_read_only")).await?;
            let read_only = read_only.iter().any(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some("on"),
                _ => false,
            });
            match role {
                TargetSessionAttrs::ReadWrite if read_only => {
                    return Err(Trouble::Role("database does not allow writes"));
                }
                TargetSessionAttrs::ReadOnly if !read_only => {
                    return Err(Trouble::Role("database is not read only"));
                }
                _ => {}
            }
        }
        if !any && !without {
            let read_only = "SET default_transaction_read_only = on";
            driven.during(client.batch_execute(read_only)).await?;
        }
        Ok(Reached { client, driven, wire, waiter })
    }
}

async fn tcp(address: SocketAddr, config: &Config) -> io::Result<Socket> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    if let Some(timeout) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*timeout))?;
    }
    if config.get_keepalives() {
        let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
        if let Some(interval) = config.get_keepalives_interval() {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(retries) = config.get_keepalives_retries() {
            keepalive = keepalive.with_retries(retries);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    Ok(stream.into())
}
