//! `mysql://…`: the parameters, named after MySQL's and Django's options and libpq's `sslmode`.

#![forbid(unsafe_code)]

use crate::store::name;
use crate::store::servers::Place;
use crate::store::tls::{Encrypt, Tls, Words};
use crate::store::url::Parts;
use std::time::Duration;
use zeroize::Zeroizing;

const KEYS: &str =
    "socket, charset, connect_timeout, password, sslmode, sslrootcert, sslcert, sslkey";
/// Where Debian's server listens.
const SOCKET: &str = "/run/mysqld/mysqld.sock";

/// What a URL says.
#[derive(Clone)]
pub(super) struct Url {
    pub(super) label: String,
    pub(super) redacted: Option<String>,
    pub(super) user: String,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) dbname: String,
    pub(super) places: Vec<Place>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) encrypt: Encrypt,
    pub(super) tls: Tls,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let Parts { label, redacted, user, password, hosts, ports, dbname, parameters } =
            Parts::split(url)?;
        let (mut socket, mut connect_timeout, mut words) = (None, None, Words::default());
        for (key, value) in parameters {
            match key {
                "socket" if value.starts_with('/') => socket = Some(value),
                "socket" => return Err("socket= needs the whole path of a unix socket".into()),
                // Django's option; nothing else could hold every name.
                "charset" if value == "utf8mb4" => {}
                "charset" => return Err("charset= is always utf8mb4: leave it out".into()),
                "connect_timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| (1..=60).contains(seconds));
                    let wrong = "connect_timeout= must be a number of seconds, from 1 to 60";
                    connect_timeout = Some(Duration::from_secs(seconds.ok_or(wrong)?));
                }
                "sslmode" => words.mode = Some(value),
                "sslrootcert" => words.roots = Some(value),
                "sslcert" => words.cert = Some(value),
                "sslkey" => words.key = Some(value),
                _ => {
                    let key = name(key);
                    return Err(format!("unknown parameter {key}= in the URL: known are {KEYS}"));
                }
            }
        }
        let places = match (socket, &hosts[..]) {
            (Some(path), []) => vec![Place::Unix(path.into())],
            (Some(path), [host]) if host.is_empty() || host == "localhost" => {
                vec![Place::Unix(path.into())]
            }
            (Some(_), _) => return Err("socket= and a host contradict each other".into()),
            (None, _) => places(&hosts, &ports)?,
        };
        let (encrypt, tls) = words.read()?;
        Ok(Self {
            label,
            redacted,
            user: user.ok_or("the URL must name a user: mysql://user@host/database")?,
            password,
            dbname: dbname.ok_or(
                "the URL must name the database after the host: mysql://user@host/database",
            )?,
            places,
            connect_timeout,
            encrypt,
            tls,
        })
    }
}

fn places(hosts: &[String], ports: &[String]) -> Result<Vec<Place>, String> {
    if hosts.iter().all(String::is_empty) && ports.iter().all(String::is_empty) {
        return Ok(vec![Place::Unix(SOCKET.into())]);
    }
    let mut places = Vec::new();
    for (host, port) in hosts.iter().zip(ports) {
        let port = if port.is_empty() { Some(3306) } else { port.parse().ok() };
        let port = port
            .filter(|port| *port != 0)
            .ok_or("the port in the URL is no number from 1 to 65535")?;
        if host.is_empty() {
            return Err("in the URL a host is missing before the port or the comma".into());
        }
        places.push(Place::Tcp { host: host.clone(), address: None, port });
    }
    Ok(places)
}

#[cfg(test)]
mod tests;
