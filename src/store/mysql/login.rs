//! How a connection begins: the greeting, TLS, the proof that we know the password.

#![forbid(unsafe_code)]

use super::error::Trouble;
use super::packet::{Channel, GARBLED, Line, Packet, put_long_text};
use crate::store::tls::Encrypt;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use zeroize::Zeroizing;

const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
/// What a server must know: MySQL 5.7 and MariaDB 10.2 do, and far older ones.
const NEEDED: u32 =
    LONG_FLAG | CONNECT_WITH_DB | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH;
/// utf8mb4_general_ci: the character set of all that we send and get.
const UTF8MB4: u8 = 45;
const LONGEST_PACKET: u32 = 1 << 24;

const NATIVE: &[u8] = b"mysql_native_password";
const CACHING: &[u8] = b"caching_sha2_password";

/// Who logs in, where to, and how safely.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a str,
    pub(super) dbname: &'a str,
    pub(super) encrypt: Encrypt,
    pub(super) tls: &'a TlsConnector,
    /// The host as its certificate should name it; `None` for a unix socket, which nobody overhears.
    pub(super) host: Option<&'a str>,
}

/// What a server says first.
struct Greeting {
    mariadb: bool,
    capabilities: u32,
    nonce: Vec<u8>,
    plugin: Vec<u8>,
}

impl Login<'_> {
    /// A connection that may ask, and whether it is MariaDB that answers.
    pub(super) async fn run(&self, line: Box<dyn Line>) -> Result<(Channel, bool), Trouble> {
        let mut channel = Channel::new(line, 0);
        let greeting = greeting(&channel.receive().await?)?;
        if greeting.capabilities & NEEDED != NEEDED {
            return Err(Trouble::Login("the server is too old".into()));
        }
        let mut capabilities = NEEDED | LONG_PASSWORD | (greeting.capabilities & CONNECT_ATTRS);
        let mut private = self.host.is_none();
        match (self.encrypt, self.host, greeting.capabilities & SSL != 0) {
            (Encrypt::Never, ..) | (_, None, _) | (Encrypt::Prefer, _, false) => {}
            (Encrypt::Always, _, false) => {
                return Err(Trouble::Login("the server has no TLS, which sslmode= demands".into()));
            }
            (_, Some(host), true) => {
                capabilities |= SSL;
                channel.send(&opening(capabilities)).await?;
                let name = ServerName::try_from(host.to_owned())
                    .map_err(|_| Trouble::Login("no certificate is for such a host".into()))?;
                let (line, sequence) = channel.into_line()?;
                let line = self.tls.connect(name, line).await?;
                channel = Channel::new(Box::new(line), sequence);
                private = true;
            }
        }
        channel.send(&self.response(capabilities, &greeting)).await?;
        self.prove(&mut channel, greeting.plugin, private).await?;
        Ok((channel, greeting.mariadb))
    }

    fn response(&self, capabilities: u32, greeting: &Greeting) -> Vec<u8> {
        let mut packet = opening(capabilities);
        packet.extend(self.user.as_bytes());
        packet.push(0);
        // Of a method that we do not know the server is told another; it may then ask for that.
        let known = greeting.plugin == NATIVE || greeting.plugin == CACHING;
        let plugin = if known { &greeting.plugin } else { NATIVE };
        let proof = scramble(plugin, self.password, &greeting.nonce).unwrap_or_default();
        packet.push(u8::try_from(proof.len()).unwrap_or_default());
        packet.extend(&*proof);
        packet.extend(self.dbname.as_bytes());
        packet.push(0);
        packet.extend(plugin);
        packet.push(0);
        if capabilities & CONNECT_ATTRS != 0 {
            let mut attributes = Vec::new();
            put_long_text(&mut attributes, b"program_name");
            put_long_text(&mut attributes, b"mod_authnz_django");
            put_long_text(&mut packet, &attributes);
        }
        packet
    }

    /// Answers what the server asks until it is content.
    async fn prove(
        &self,
        channel: &mut Channel,
        mut plugin: Vec<u8>,
        private: bool,
    ) -> Result<(), Trouble> {
        // A few rounds are enough; a server must not keep us here.
        for _ in 0..8 {
            let packet = channel.receive().await?;
            let mut reader = packet.read();
            match reader.byte() {
                Some(0x00) => return Ok(()),
                // Another method, with a nonce of its own.
                Some(0xfe) => {
                    plugin = reader.text().to_vec();
                    let nonce = reader.rest();
                    let nonce = nonce.strip_suffix(&[0]).unwrap_or(nonce);
                    let proof =
                        scramble(&plugin, self.password, nonce).ok_or_else(|| unknown(&plugin))?;
                    channel.send(&proof).await?;
                }
                Some(0x01) if plugin == CACHING => match reader.rest() {
                    // The server remembers the user.
                    [0x03] => {}
                    // It does not, and wants the password itself, as MySQL's own client sends it: where
                    // nobody else can read it.
                    [0x04] if private => {
                        let text = [self.password.as_bytes(), &[0]].concat();
                        channel.send(&Zeroizing::new(text)).await?;
                    }
                    [0x04] => {
                        return Err(Trouble::Login(
                            "this user logs in by TLS or a unix socket alone \
                             (caching_sha2_password): sslmode=require, or better verify-full"
                                .into(),
                        ));
                    }
                    _ => return Err(GARBLED),
                },
                _ => return Err(GARBLED),
            }
        }
        Err(GARBLED)
    }
}

fn unknown(plugin: &[u8]) -> Trouble {
    let plugin: String =
        plugin.iter().copied().map(char::from).filter(char::is_ascii_graphic).take(40).collect();
    Trouble::Login(format!(
        "the server wants to know this user by \"{plugin}\": known here are mysql_native_password, \
         caching_sha2_password and, for unix sockets, unix_socket or auth_socket"
    ))
}

/// What a request for TLS is, and what the response begins with.
fn opening(capabilities: u32) -> Vec<u8> {
    let mut packet = capabilities.to_le_bytes().to_vec();
    packet.extend(LONGEST_PACKET.to_le_bytes());
    packet.push(UTF8MB4);
    packet.resize(32, 0);
    packet
}

fn greeting(packet: &Packet) -> Result<Greeting, Trouble> {
    let mut reader = packet.read();
    if reader.byte() != Some(10) {
        return Err(Trouble::Login("whoever answers there is no MySQL".into()));
    }
    let mariadb = reader.text().windows(7).any(|part| part.eq_ignore_ascii_case(b"mariadb"));
    let mut rest = || {
        reader.take(4)?;
        let mut nonce = reader.take(8)?.to_vec();
        reader.take(1)?;
        let low = reader.number(2)?;
        reader.take(3)?;
        let capabilities = u32::try_from(low | reader.number(2)? << 16).ok()?;
        let length = usize::from(reader.byte()?);
        reader.take(10)?;
        let second = reader.take(length.saturating_sub(8).max(13))?;
        nonce.extend(second.strip_suffix(&[0]).unwrap_or(second));
        Some(Greeting { mariadb, capabilities, nonce, plugin: reader.text().to_vec() })
    };
    rest().ok_or_else(|| Trouble::Login("the server is too old, or no MySQL".into()))
}

/// The proof of the password that `plugin` wants; `None` for one that we do not know.
fn scramble(plugin: &[u8], password: &str, nonce: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let proof = match plugin {
        NATIVE => native(password.as_bytes(), nonce),
        CACHING => caching(password.as_bytes(), nonce),
        _ => return None,
    };
    Some(Zeroizing::new(if password.is_empty() { Vec::new() } else { proof }))
}

/// `SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password)))`
fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha1::digest(password);
    let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(once)).finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce)`
fn caching(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let once = Sha256::digest(password);
    let mask = Sha256::new().chain_update(Sha256::digest(once)).chain_update(nonce).finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests;
