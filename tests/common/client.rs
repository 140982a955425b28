//! A client for HTTP/1.1 that sends what it is told to, byte for byte.

use base64::{Engine, engine::general_purpose::STANDARD};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The cookie of that name which the answer sets, as a client sends it back.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let set =
            self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case("set-cookie"));
        let mut cookies = set.map(|(_, value)| value.split(';').next().unwrap());
        cookies.find(|cookie| cookie.starts_with(&format!("{name}="))).map(str::to_owned)
    }

    /// The body, which is JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{self:?}: {e}"))
    }
}

/// The header of credentials, in whatever encoding.
pub fn basic(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> String {
    let pair = [user.as_ref(), b":", password.as_ref()].concat();
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

/// GET with the header lines in `headers`, each with its line break.
pub fn get(port: u16, path: &str, headers: &str) -> Response {
    send(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"),
    )
    .unwrap_or_else(|e| panic!("GET {path}: {e}"))
}

/// Sends a whole request, and reads the whole answer.
pub fn send(port: u16, request: &str) -> std::io::Result<Response> {
    let answer = exchange(port, request)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    parse(&answer).ok_or_else(|| std::io::Error::other(format!("not an answer: {answer:?}")))
}

/// The same, with the answer's bytes as they came.
pub fn exchange(port: u16, request: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// An answer as it came, or as curl shows it.
pub fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some(Response { status, headers, body: body.to_owned() })
}
