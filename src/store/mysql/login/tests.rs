use super::*;
use std::fmt::Write;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// Computed with Python's hashlib from the two formulas of MySQL's manual.
#[test]
fn proofs() {
    let nonce = b"12345678abcdefghijkl";
    let native = scramble(NATIVE, "s3cret", nonce).unwrap();
    assert_eq!(hex(&native), "d9941514ab146c3b2b6a41b12d6e151fc417aacb");
    let caching = scramble(CACHING, "s3cret", nonce).unwrap();
    assert_eq!(hex(&caching), "56ab4e45e45b8c312a4890fed48db3506b3ea31c83410538c69051d520c621b2");
    assert!(scramble(NATIVE, "", nonce).unwrap().is_empty());
    assert!(scramble(CACHING, "", nonce).unwrap().is_empty());
    for plugin in [&b"mysql_clear_password"[..], b"sha256_password", b"dialog", b""] {
        assert!(scramble(plugin, "s3cret", nonce).is_none());
    }
}

/// What a server says, packet by packet, without listening.
struct Script(Vec<u8>);

impl Script {
    fn new(capabilities: u32, plugin: &[u8]) -> Self {
        let mut greeting = b"\x0a11.4.2-MariaDB\0\x01\0\0\0abcdefgh\0".to_vec();
        greeting.extend(&capabilities.to_le_bytes()[..2]);
        greeting.extend([45, 2, 0]);
        greeting.extend(&capabilities.to_le_bytes()[2..]);
        greeting.extend([21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        greeting.extend(b"ijklmnopqrst\0");
        greeting.extend([plugin, b"\0"].concat());
        Self(Vec::new()).says(0, &greeting)
    }

    fn says(mut self, sequence: u8, payload: &[u8]) -> Self {
        self.0.extend(&u32::try_from(payload.len()).unwrap().to_le_bytes()[..3]);
        self.0.push(sequence);
        self.0.extend(payload);
        self
    }

    /// How it ends for us, and all that we said.
    fn meets(self, encrypt: Encrypt, host: Option<&str>) -> (Result<bool, String>, Vec<u8>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let config = crate::store::tls::Tls::default().load().unwrap();
        let tls = std::sync::Arc::new(config).into();
        let (user, password, dbname) = ("apache", "s3cret", "site");
        let login = Login { user, password, dbname, encrypt, tls: &tls, host };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut server, line) = tokio::io::duplex(1 << 16);
            server.write_all(&self.0).await.unwrap();
            server.shutdown().await.unwrap();
            let end = login.run(Box::new(line)).await;
            let end = end.map(|(_, mariadb)| mariadb).map_err(|trouble| format!("{trouble:?}"));
            let mut said = Vec::new();
            server.read_to_end(&mut said).await.unwrap();
            (end, said)
        })
    }
}

fn holds(said: &[u8], part: &[u8]) -> bool {
    said.windows(part.len()).any(|window| window == part)
}

const NONCE: &[u8] = b"abcdefghijklmnopqrst";

#[test]
fn the_server_may_choose_among_what_we_know() {
    let proof = |plugin| scramble(plugin, "s3cret", NONCE).unwrap();
    let (end, said) =
        Script::new(NEEDED, NATIVE).says(2, b"\0\0\0").meets(Encrypt::Prefer, Some("db"));
    assert_eq!(end, Ok(true));
    assert!(holds(&said, &proof(NATIVE)) && holds(&said, b"apache\0") && holds(&said, b"site\0"));
    // The user is remembered.
    let script = Script::new(NEEDED, CACHING).says(2, b"\x01\x03").says(3, b"\0\0\0");
    let (end, said) = script.meets(Encrypt::Never, Some("db"));
    assert_eq!(end, Ok(true));
    assert!(holds(&said, &proof(CACHING)) && !holds(&said, b"s3cret"));
    // Another method, another nonce.
    let other = [b"\xfe", NATIVE, b"\0", b"ABCDEFGHIJKLMNOPQRST\0"].concat();
    let script = Script::new(NEEDED, b"dialog").says(2, &other).says(4, b"\0\0\0");
    let (end, said) = script.meets(Encrypt::Prefer, None);
    assert_eq!(end, Ok(true));
    assert!(holds(&said, &scramble(NATIVE, "s3cret", b"ABCDEFGHIJKLMNOPQRST").unwrap()));
}

#[test]
fn the_password_itself_is_said_where_nobody_listens() {
    let script = || Script::new(NEEDED, CACHING).says(2, b"\x01\x04").says(4, b"\0\0\0");
    let (end, said) = script().meets(Encrypt::Prefer, None);
    assert_eq!(end, Ok(true));
    assert!(said.ends_with(b"\x07\0\0\x03s3cret\0"));
    let (end, said) = script().meets(Encrypt::Prefer, Some("db"));
    assert!(end.unwrap_err().contains("sslmode=require"));
    assert!(!holds(&said, b"s3cret"));
}

#[test]
fn what_a_server_cannot_have() {
    let clear = |name: &[u8]| [b"\xfe", name, b"\0"].concat();
    for (script, encrypt, expected) in [
        (
            Script::new(NEEDED, NATIVE).says(2, &clear(b"mysql_clear_password")),
            Encrypt::Prefer,
            "mysql_clear_password",
        ),
        (
            Script::new(NEEDED, NATIVE).says(2, &clear(b"client_ed25519")),
            Encrypt::Prefer,
            "client_ed25519",
        ),
        (Script::new(NEEDED, NATIVE).says(2, b"\xfe"), Encrypt::Prefer, "Login"),
        (Script::new(NEEDED, NATIVE).says(2, b"\x01\x04"), Encrypt::Prefer, "Protocol"),
        (Script::new(NEEDED, NATIVE).says(2, b"\xff\x15\x04#28000no"), Encrypt::Prefer, "1045"),
        (Script::new(NEEDED, NATIVE), Encrypt::Always, "has no TLS"),
        (Script::new(NEEDED & !PLUGIN_AUTH, NATIVE), Encrypt::Prefer, "too old"),
        (Script::new(NEEDED | SSL, NATIVE).says(1, b"early"), Encrypt::Prefer, "out of turn"),
        (Script(Vec::new()).says(0, b"\xff\x10\x04too many"), Encrypt::Prefer, "1040"),
        (Script(Vec::new()).says(0, b"SSH-2.0"), Encrypt::Prefer, "no MySQL"),
        (Script(Vec::new()).says(0, b"\x0a8.0\0abc"), Encrypt::Prefer, "no MySQL"),
        (Script(b"HTTP/1.1 400 Bad Request\r\n".to_vec()), Encrypt::Prefer, "Io"),
    ] {
        let (end, said) = script.meets(encrypt, Some("db"));
        let reason = end.unwrap_err();
        assert!(reason.contains(expected), "{expected}: {reason}");
        assert!(!holds(&said, b"s3cret"), "{expected}");
    }
    let mut endless = Script::new(NEEDED, CACHING);
    for sequence in 2..40 {
        endless = endless.says(sequence, b"\x01\x03");
    }
    assert!(endless.meets(Encrypt::Prefer, None).0.unwrap_err().contains("Protocol"));
}
