//! `postgresql://…`: libpq's URL, taken apart so that the password is never where a log could see it.

#![forbid(unsafe_code)]

use crate::store::tls::{Tls, Verify};
use crate::store::{decode, name};
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

/// What a URL says.
pub(super) struct Url {
    pub(super) label: String,
    pub(super) redacted: Option<String>,
    /// Everything but where.
    pub(super) config: Config,
    pub(super) places: Vec<Place>,
    pub(super) shuffled: bool,
    pub(super) tls: Tls,
}

impl Url {
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("is not a URL")?;
        let (authority, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // Where a password ends must never be in doubt: the rest of it would be taken for a host.
        if after.contains('@') || authority.matches('@').count() > 1 {
            return Err(
                "in the URL an @ within a password or name must be written %40, a / %2F and \
                        a ? %3F"
                    .into(),
            );
        }
        let (credentials, hosts) = authority.split_once('@').unwrap_or(("", authority));
        let (user, mut password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?)),
            None => (credentials, None),
        };
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        let dbname = path.strip_prefix('/').unwrap_or(path);

        let mut pairs = Vec::new();
        for (key, value) in [("user", user), ("dbname", dbname)] {
            if !value.is_empty() {
                pairs.push((key.to_owned(), decode(value)?));
            }
        }
        let mut where_ = authority_hosts(hosts)?;
        let (mut tls, mut mode) = (Tls::default(), "prefer".to_owned());
        let (mut cert, mut key_file) = (None, None);
        let (mut shown, mut hidden) = (Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or("in the URL a parameter lacks its =")?;
            let value = decode(value)?;
            hidden.push(if key == "password" { "password=*****" } else { pair });
            if key != "password" {
                shown.push(pair);
            }
            match key {
                "password" => password = Some(value),
                "host" => where_.0 = value.split(',').map(str::to_owned).collect(),
                "port" => where_.1 = value.split(',').map(str::to_owned).collect(),
                "hostaddr" => where_.2 = value.split(',').map(str::to_owned).collect(),
                "sslmode" => mode = value,
                "sslrootcert" => tls.roots = Some(value),
                "sslcert" => cert = Some(value),
                "sslkey" => key_file = Some(value),
                "keepalives_count" => pairs.push(("keepalives_retries".into(), value)),
                _ if PLAIN.contains(&format!(" {key} ")) => pairs.push((key.to_owned(), value)),
                _ => {
                    let key = name(key);
                    return Err(format!("unknown parameter {key}= in the URL: known are {KEYS}"));
                }
            }
        }
        password = password.filter(|password| !password.is_empty());

        let mut config = config(&pairs)?;
        if config.get_application_name().is_none() {
            config.application_name("mod_authnz_django");
        }
        if !pairs.iter().any(|(key, _)| key == "keepalives_idle") {
            // Two hours, the system's own, is longer than most firewalls remember a connection.
            config.keepalives_idle(Duration::from_secs(60));
        }
        let places = places(where_)?;
        let (ssl, verify) = match mode.as_str() {
            "disable" => (SslMode::Disable, Verify::Nothing),
            "prefer" => (SslMode::Prefer, Verify::Nothing),
            "require" => (SslMode::Require, Verify::Nothing),
            "verify-ca" => (SslMode::Require, Verify::Authority),
            "verify-full" => (SslMode::Require, Verify::Full),
            _ => {
                return Err(
                    "sslmode= must be disable, prefer, require, verify-ca or verify-full".into()
                );
            }
        };
        // As libpq: any of the system's authorities vouches for any host, so the name must be right.
        let system = tls.roots.as_deref() == Some("system");
        if system && verify != Verify::Full {
            return Err("sslrootcert=system needs sslmode=verify-full".into());
        }
        if verify == Verify::Authority && tls.roots.is_none() {
            return Err("sslmode=verify-ca needs sslrootcert=FILE: without the name of the host, \
                        any authority of the system would do; or use verify-full"
                .into());
        }
        // As libpq: who names an authority wants it asked; and a unix socket has no TLS.
        let named = tls.roots.is_some() && verify == Verify::Nothing;
        tls.verify = if named && ssl != SslMode::Disable { Verify::Authority } else { verify };
        tls.roots = tls.roots.filter(|path| path != "system");
        let local = places
            .iter()
            .all(|place| matches!(place.host, Host::Unix(_)) && place.address.is_none());
        config.ssl_mode(if local { SslMode::Disable } else { ssl });
        tls.direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        tls.client = match (cert, key_file) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("sslcert= and sslkey= need each other".into()),
        };
        if ssl != SslMode::Disable {
            tls.exist()?;
        }

        let at = if authority.contains('@') { "@" } else { "" };
        let tail = |pairs: Vec<&str>| {
            let mark = if pairs.is_empty() { "" } else { "?" };
            format!("{at}{hosts}{path}{mark}{}", pairs.join("&"))
        };
        let stars = if credentials.contains(':') { ":*****" } else { "" };
        let redacted =
            password.is_some().then(|| format!("{scheme}://{user}{stars}{}", tail(hidden)));
        let label = format!("{scheme}://{user}{}", tail(shown));
        if let Some(password) = password {
            config.password(password);
        }
        let shuffled = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        Ok(Self { label, redacted, config, places, shuffled, tls })
    }
}

/// Hosts, ports and addresses, each the list that libpq knows.
type Where = (Vec<String>, Vec<String>, Vec<String>);

fn authority_hosts(authority: &str) -> Result<Where, String> {
    let mut found = Where::default();
    for place in authority.split(',').filter(|_| !authority.is_empty()) {
        let (host, port) = match place.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, rest))) => (host, rest.strip_prefix(':').unwrap_or(rest)),
            Some(None) => return Err("in the URL a [ lacks its ]".into()),
            None => place.split_once(':').unwrap_or((place, "")),
        };
        found.0.push(decode(host)?);
        found.1.push(decode(port)?);
    }
    Ok(found)
}

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
