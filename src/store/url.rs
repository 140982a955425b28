//! A server's URL, taken apart so that the password is never where a log could see it.

#![forbid(unsafe_code)]

use super::decode;
use zeroize::Zeroizing;

/// `scheme://[user[:password]@][host[:port],…][/dbname][?parameter=value&…]`, decoded.
pub(crate) struct Parts<'a> {
    /// The URL without its password.
    pub(crate) label: String,
    /// The URL with `*****` for the password, if there was one.
    pub(crate) redacted: Option<String>,
    pub(crate) user: Option<String>,
    /// Of the parameter `password`, or before the @.
    pub(crate) password: Option<Zeroizing<String>>,
    /// Hosts, and as many ports; empty where none is written.
    pub(crate) hosts: Vec<String>,
    pub(crate) ports: Vec<String>,
    pub(crate) dbname: Option<String>,
    /// All parameters but `password`.
    pub(crate) parameters: Vec<(&'a str, String)>,
}

impl<'a> Parts<'a> {
    /// # Errors
    /// What is wrong, without a word that may be part of the password.
    pub(crate) fn split(url: &'a str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("is not a URL")?;
        let (authority, after) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // Where a password ends must never be in doubt: the rest of it would be taken for a host.
        if after.contains('@') || authority.matches('@').count() > 1 {
            return Err("in the URL an @ within a password or name must be written %40, a / %2F \
                        and a ? %3F"
                .into());
        }
        let (credentials, written) = authority.split_once('@').unwrap_or(("", authority));
        let (user, mut password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(Zeroizing::new(decode(password)?))),
            None => (credentials, None),
        };
        let (path, query) = after.split_once('?').unwrap_or((after, ""));
        let filled = |text: &str| (!text.is_empty()).then(|| decode(text)).transpose();
        let (hosts, ports) = hosts(written)?;

        let (mut parameters, mut shown, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or("in the URL a parameter lacks its =")?;
            let value = decode(value)?;
            if key == "password" {
                hidden.push("password=*****");
                password = Some(Zeroizing::new(value));
            } else {
                hidden.push(pair);
                shown.push(pair);
                parameters.push((key, value));
            }
        }
        password = password.filter(|password| !password.is_empty());

        let at = if authority.contains('@') { "@" } else { "" };
        let tail = |pairs: Vec<&str>| {
            let mark = if pairs.is_empty() { "" } else { "?" };
            format!("{at}{written}{path}{mark}{}", pairs.join("&"))
        };
        let stars = if credentials.contains(':') { ":*****" } else { "" };
        Ok(Self {
            label: format!("{scheme}://{user}{}", tail(shown)),
            redacted: password
                .is_some()
                .then(|| format!("{scheme}://{user}{stars}{}", tail(hidden))),
            user: filled(user)?,
            dbname: filled(path.strip_prefix('/').unwrap_or(path))?,
            password,
            hosts,
            ports,
            parameters,
        })
    }
}

fn hosts(authority: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let mut found = (Vec::new(), Vec::new());
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
