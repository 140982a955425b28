//! `postgresql://…`: libpq's URL.

#![forbid(unsafe_code)]

use crate::store::tls::{Encrypt, Tls, Words};
use crate::store::url::Parts;
use crate::store::{name, servers};
use std::net::IpAddr;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, SslMode, SslNegotiation};

const KEYS: &str = "user, password, dbname, host, hostaddr, port, options, application_name, \
    connect_timeout, tcp_user_timeout, keepalives, keepalives_idle, keepalives_interval, \
    keepalives_count, target_session_attrs, channel_binding, load_balance_hosts, \
    sslnegotiation, sslmode, sslrootcert, sslcert, sslkey";
/// Those of them that are handed on as they are.
const PLAIN: &str = " dbname options application_name connect_timeout tcp_user_timeout keepalives \
    keepalives_idle keepalives_interval keepalives_retries target_session_attrs channel_binding \
    load_balance_hosts sslnegotiation user ";

/// One server that may have the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: Host,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
}

impl Place {
    /// `watch_host=`: `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, or a unix socket's `/DIRECTORY[:PORT]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without brackets has no port.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, ""),
            Some(split) => split,
            None => (text, ""),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains([',', '@', '?']) {
            return Err("watch_host= needs one HOST, HOST:PORT or /socket/directory".into());
        }
        let place = places((vec![host.to_owned()], vec![port.to_owned()], Vec::new()))
            .map_err(|_| "watch_host=: the port is no number from 1 to 65535")?;
        place.into_iter().next().ok_or_else(|| "watch_host= needs a host".into())
    }

    /// Where that server listens.
    pub(super) fn server(&self) -> servers::Place {
        match &self.host {
            Host::Unix(directory) => {
                servers::Place::Unix(directory.join(format!(".s.PGSQL.{}", self.port)))
            }
            Host::Tcp(host) => {
                servers::Place::Tcp { host: host.clone(), address: self.address, port: self.port }
            }
        }
    }
}

/// What a URL says.
pub(super) struct Url {
    pub(super) label: String,
    pub(super) redacted: Option<String>,
    /// Everything but where.
    pub(super) config: Config,
    pub(super) places: Vec<Place>,
    pub(super) shuffled: bool,
    pub(super) encrypt: Encrypt,
    pub(super) tls: Tls,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let Parts { label, redacted, user, password, hosts, ports, dbname, parameters } =
            Parts::split(url)?;
        let mut pairs = Vec::new();
        for (key, value) in [("user", user), ("dbname", dbname)] {
            pairs.extend(value.map(|value| (key.to_owned(), value)));
        }
        let mut where_ = (hosts, ports, Vec::new());
        let mut words = Words::default();
        for (key, value) in parameters {
            let list = |value: String| value.split(',').map(str::to_owned).collect();
            match key {
                "host" => where_.0 = list(value),
                "port" => where_.1 = list(value),
                "hostaddr" => where_.2 = list(value),
                "sslmode" => words.mode = Some(value),
                "sslrootcert" => words.roots = Some(value),
                "sslcert" => words.cert = Some(value),
                "sslkey" => words.key = Some(value),
                "keepalives_count" => pairs.push(("keepalives_retries".into(), value)),
                _ if PLAIN.contains(&format!(" {key} ")) => pairs.push((key.to_owned(), value)),
                _ => {
                    let key = name(key);
                    return Err(format!("unknown parameter {key}= in the URL: known are {KEYS}"));
                }
            }
        }

        let mut config = config(&pairs)?;
        if config.get_application_name().is_none() {
            config.application_name("mod_authnz_django");
        }
        if !pairs.iter().any(|(key, _)| key == "keepalives_idle") {
            // Two hours, the system's own, is longer than most firewalls remember a connection.
            config.keepalives_idle(Duration::from_secs(60));
        }
        let places = places(where_)?;
        let (encrypt, mut tls) = words.read()?;
        config.ssl_mode(ssl_mode(encrypt, &places));
        tls.direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        if let Some(password) = password {
            config.password(password.as_bytes());
        }
        let shuffled = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Ok(Self { label, redacted, config, places, shuffled, encrypt, tls })
    }
}

/// How `places` are met: a unix socket has no TLS.
pub(super) fn ssl_mode(encrypt: Encrypt, places: &[Place]) -> SslMode {
    let local =
        places.iter().all(|place| matches!(place.host, Host::Unix(_)) && place.address.is_none());
    match encrypt {
        Encrypt::Never => SslMode::Disable,
        _ if local => SslMode::Disable,
        Encrypt::Prefer => SslMode::Prefer,
        Encrypt::Always => SslMode::Require,
    }
}

/// Hosts, ports and addresses, each the list that libpq knows.
type Where = (Vec<String>, Vec<String>, Vec<String>);

fn places((hosts, ports, addresses): Where) -> Result<Vec<Place>, String> {
    let count = hosts.len().max(addresses.len()).max(1);
    for (what, list) in [("host", hosts.len()), ("hostaddr", addresses.len())] {
        if list != 0 && list != count {
            return Err(format!("{what}= must name as many servers as the other: {count}"));
        }
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(format!("{} ports do not fit {count} hosts", ports.len()));
    }
    let mut places = Vec::new();
    for index in 0..count {
        let port = ports.get(index).or(ports.first()).map_or("", String::as_str);
        let port = if port.is_empty() { Some(5432) } else { port.parse().ok() };
        let port = port.ok_or("the port in the URL is no number from 1 to 65535")?;
        let address = addresses.get(index).filter(|address| !address.is_empty());
        let address = address
            .map(|address| address.parse().map_err(|_| "hostaddr= is no IP address"))
            .transpose()?;
        let host = match (hosts.get(index).map_or("", String::as_str), address) {
            ("", Some(address)) => Host::Tcp(IpAddr::to_string(&address)),
            ("", None) => Host::Unix("/var/run/postgresql".into()),
            (path, None) if path.starts_with('/') => Host::Unix(path.into()),
            (path, Some(_)) if path.starts_with('/') => {
                return Err("a host that begins with / is the directory of a unix socket, which \
                            has no hostaddr=: name one of the two"
                    .into());
            }
            (host, _) => Host::Tcp(host.to_owned()),
        };
        places.push(Place { host, address, port });
    }
    Ok(places)
}

/// The client library's own reading of the keys that it knows. Its errors name the key alone.
fn config(pairs: &[(String, String)]) -> Result<Config, String> {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    let words: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{key}='{}'", quoted(value))).collect();
    words.join(" ").parse().map_err(|error: tokio_postgres::Error| {
        let source = error.into_source().map(|source| source.to_string());
        format!("in the URL: {}", source.unwrap_or_else(|| "it cannot be read".into()))
    })
}

#[cfg(test)]
mod tests;
