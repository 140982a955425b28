//! `AuthDjangoLoginURL`: where a browser without a session is sent, with the way back.

#![forbid(unsafe_code)]

use super::FromWords;
use std::fmt::Write;

/// `LOGIN_URL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginUrl {
    /// Where it is on another server, or names this one.
    origin: Option<Origin>,
    /// All before the query.
    page: String,
    /// The query, without a `next` of its own.
    query: Option<String>,
    /// With its `#`.
    fragment: String,
}

/// Scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    host: String,
    port: Option<u16>,
}

impl Origin {
    /// A host with or without brackets around an IPv6 address; the port that the scheme has anyhow
    /// need not be told.
    pub fn new(is_https: bool, host: &str, port: Option<u16>) -> Self {
        let (scheme, usual) = if is_https { ("https", 443) } else { ("http", 80) };
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.to_ascii_lowercase(),
        };
        Self { scheme, host, port: port.filter(|port| *port != usual) }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// No longer request is told to the login page (bytes): httpd's own bound on a request line is 8190.
const MAX_NEXT: usize = 4096;

impl LoginUrl {
    /// `redirect_to_login` (Django 6.1, `contrib/auth/views.py`) as `user_passes_test` calls it: the
    /// client's path and query, or the whole address where the login page is on another server than
    /// `here`. `uri` is what the client has sent in its request line.
    pub fn redirect(&self, here: &Origin, uri: &[u8]) -> String {
        let mut next = path_and_query(uri);
        if self.origin.as_ref().is_some_and(|origin| origin != here) {
            next = format!("{here}{next}");
        }
        if next.len() > MAX_NEXT {
            next.clear();
        }
        let mut url = self.page.clone();
        let mut mark = '?';
        for part in self
            .query
            .iter()
            .cloned()
            .chain((!next.is_empty()).then(|| format!("next={}", quote(&next))))
        {
            url.push(mark);
            url.push_str(&part);
            mark = '&';
        }
        url + &self.fragment
    }

    /// Whether it is the page at `path` of `here`: who is sent there from there goes in circles.
    pub fn is(&self, here: &Origin, path: &str) -> bool {
        let page = match &self.origin {
            Some(origin) if origin == here => {
                let rest = self.page.split_once("://").map_or("", |(_, rest)| rest);
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            }
            Some(_) => return false,
            None => &self.page,
        };
        page == path
    }
}

/// The client's path and query, as they may stand in a URL: one slash begins them, so that no browser
/// takes a part of them for a host; what a browser might take for a slash, a line or a quote is
/// written in hexadecimal.
fn path_and_query(uri: &[u8]) -> String {
    let uri = uri.split(|&byte| byte == b'#').next().unwrap_or_default();
    // A client may send http://host/path, and its host is its own idea.
    let path = match uri.first() {
        Some(b'/') => uri,
        _ => {
            let after = uri.windows(3).position(|three| three == b"://").map_or(0, |at| at + 3);
            let rest = uri.get(after..).unwrap_or_default();
            let begin = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
            rest.get(begin..).unwrap_or_default()
        }
    };
    let mut text = String::from("/");
    for &byte in path.iter().skip_while(|&&byte| byte == b'/') {
        match byte {
            b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                percent(&mut text, byte)
            }
            _ if byte.is_ascii_graphic() => text.push(char::from(byte)),
            _ => percent(&mut text, byte),
        }
    }
    text
}

/// Python's `urllib.parse.quote(text, safe="/")`.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => quoted.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => quoted.push(char::from(byte)),
            _ => percent(&mut quoted, byte),
        }
    }
    quoted
}

fn percent(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "%{byte:02X}");
}

impl FromWords for LoginUrl {
    fn from_words(words: &[&str]) -> Result<Self, String> {
        let [url] = words else {
            return Err(
                "takes one word: LOGIN_URL as a path (/accounts/login/) or with http:// or \
                        https://, never the name of a view"
                    .into(),
            );
        };
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte)) {
            return Err(
                "a URL has no spaces, control characters, backslashes or quotes, and is of \
                        ASCII: write others as %20"
                    .into(),
            );
        }
        let (rest, fragment) = match url.find('#') {
            Some(at) => url.split_at(at),
            None => (*url, ""),
        };
        let (page, query) = match rest.split_once('?') {
            Some((page, query)) => (page, Some(query)),
            None => (rest, None),
        };
        let origin = match page.strip_prefix('/') {
            Some(path) if path.starts_with('/') => {
                return Err("// would be the name of a server: write https:// or one slash".into());
            }
            Some(_) => None,
            None => Some(origin(page)?),
        };
        let kept = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some("next");
        let query: Vec<&str> = query.unwrap_or_default().split('&').filter(kept).collect();
        Ok(Self {
            origin,
            page: page.to_owned(),
            query: (!query.is_empty()).then(|| query.join("&")),
            fragment: fragment.to_owned(),
        })
    }
}

fn origin(page: &str) -> Result<Origin, String> {
    let wrong = || {
        "must be a path (/accounts/login/) or begin with http://host or https://host; no user name \
         belongs there, and no name of a view"
            .to_owned()
    };
    let (scheme, rest) = page.split_once("://").ok_or_else(wrong)?;
    let is_https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(wrong()),
    };
    let netloc = rest.split('/').next().unwrap_or_default();
    let (host, port) = match netloc.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
        None => (netloc, None),
    };
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(is_host) {
        return Err(wrong());
    }
    Ok(Origin::new(is_https, host, port))
}

#[cfg(test)]
mod tests;
