//! How a connection to PostgreSQL comes about: which server, in how much of the time, how asked.

#![forbid(unsafe_code)]

use super::url::Place;
use super::{Connection, Connections, error, watch};
use crate::store::failure::{Failure, seconds};
use crate::store::pool::Connector;
use crate::store::servers::{self, first};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::time::timeout_at;
use tokio_postgres::config::{Host as Server, TargetSessionAttrs};
use tokio_postgres::{Client, Config};

impl Connector for Connections {
    type Connection = Connection;

    fn connect(&self, deadline: Instant) -> Result<Connection, Failure> {
        let runtime = servers::runtime()?;
        let reached = runtime.block_on(self.reach(deadline));
        // Where it failed, a thread may still wait for the name of the server.
        match reached {
            Ok(client) => {
                Ok(Connection { client, prepared: HashMap::new(), runtime: Some(runtime) })
            }
            Err(failure) => {
                runtime.shutdown_background();
                Err(failure)
            }
        }
    }
}

impl Connections {
    pub(super) async fn reach(&self, deadline: Instant) -> Result<Client, Failure> {
        let mut places: Vec<&Place> = self.settings.places.iter().collect();
        if self.settings.shuffled {
            places.sort_by_cached_key(|place| RandomState::new().hash_one(place.port));
        }
        let most = self.settings.config.get_connect_timeout().copied();
        first(&places, deadline, most, async |place, limit| self.reach_place(place, limit).await)
            .await
    }

    async fn reach_place(&self, place: &Place, deadline: Instant) -> Result<Client, Failure> {
        let Place { host, address, port } = place;
        let (label, name) = match host {
            Server::Unix(path) => (path.display().to_string(), None),
            Server::Tcp(name) => (format!("{name}:{port}"), Some(name)),
        };
        let mut config = self.settings.config.clone();
        config.port(*port);
        match host {
            Server::Unix(path) => config.host_path(path),
            Server::Tcp(name) => config.host(name),
        };
        let (Some(name), None) = (name, address) else {
            if let Some(address) = address {
                config.hostaddr(*address);
            }
            return self.attempt(config, &label, deadline).await;
        };
        let found = servers::lookup(name, *port, deadline).await?;
        first(&found, deadline, None, async |address, limit| {
            let mut config = config.clone();
            config.hostaddr(address.ip());
            self.attempt(config, &label, limit).await
        })
        .await
    }

    /// One server, with our wishes for the session and, if it will not hear them, without.
    async fn attempt(
        &self,
        config: Config,
        place: &str,
        deadline: Instant,
    ) -> Result<Client, Failure> {
        let tls = self.tls.clone().map_err(Failure::Refused)?;
        let any = config.get_target_session_attrs() == TargetSessionAttrs::Any;
        let mut without = self.without_options.load(Ordering::Relaxed);
        let work = async {
            loop {
                let mut config = config.clone();
                if !without {
                    let timeout = self.settings.limits.timeout.as_millis();
                    let theirs = config.get_options().unwrap_or_default();
                    // The client asks a server for its role by the very setting that makes us
                    // read-only: then it must come later.
                    let read_only = if any { " -c default_transaction_read_only=on" } else { "" };
                    config.options(format!("{theirs}{read_only} -c statement_timeout={timeout}"));
                }
                match config.connect(tls.clone()).await {
                    Ok((client, connection)) => {
                        match self.ear.clone() {
                            Some(ear) => {
                                tokio::spawn(async move { watch::listen(&ear, connection).await });
                            }
                            None => {
                                tokio::spawn(connection);
                            }
                        }
                        if !any && !without {
                            client.batch_execute("SET default_transaction_read_only = on").await?;
                        }
                        return Ok(client);
                    }
                    Err(error) if !without && error::refuses_options(&error) => {
                        without = true;
                        self.without_options.store(true, Ordering::Relaxed);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        match timeout_at(deadline.into(), work).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) if self.ear.is_some() && error::refuses_options(&error) => {
                Err(Failure::Refused(format!("{place}: {}", watch::SHARED)))
            }
            Ok(Err(error)) => Err(error::connecting(&error, place)),
            Err(_) => {
                // What is configured, though it may have been less: the text must not vary.
                let limit = self.settings.limits.timeout;
                let most = self.settings.config.get_connect_timeout();
                let limit = seconds(most.map_or(limit, |most| limit.min(*most)));
                Err(Failure::TimedOut(format!("{place}: no answer within {limit}")))
            }
        }
    }
}
