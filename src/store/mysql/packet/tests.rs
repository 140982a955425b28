use super::*;
use crate::store::failure::Failure;
use tokio::io::duplex;

/// What `receive` makes of these bytes from a server.
fn received(bytes: &[u8]) -> Result<Vec<u8>, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut server, line) = duplex(1 << 16);
        server.write_all(bytes).await.unwrap();
        drop(server);
        Channel::new(Box::new(line), 0).receive().await.map(|packet| packet.read().rest().to_vec())
    })
}

#[test]
fn packets_whole_and_broken() {
    assert_eq!(received(b"\x03\0\0\0abc").unwrap(), b"abc");
    assert_eq!(received(b"\0\0\0\0").unwrap(), b"");
    for (bytes, kind) in [
        (&b""[..], "Io"),
        (b"\x03\0", "Io"),
        (b"\x03\0\0\0ab", "Io"),
        (b"\xfe\xff\xff\0short", "Io"),
        (b"\xff\xff\xff\0", "Protocol"),
        (b"\x01\0\0\x05a", "Protocol"),
        (b"\x01\0\0\0\xff", "Protocol"),
        (b"\x0c\0\0\0\xff\x15\x04#28000abc", "Server { code: 1045, message: \"abc\" }"),
        (b"\x0c\0\0\x07\xff\x15\x04#28000abc", "Farewell { code: 1045, message: \"abc\" }"),
        (b"\x06\0\0\0\xff\x10\x04abc", "Server { code: 1040, message: \"abc\" }"),
    ] {
        let trouble = format!("{:?}", received(bytes).unwrap_err());
        assert!(trouble.starts_with(kind), "{bytes:?}: {trouble}");
    }
}

/// It says why the line ends, whatever its number: the question goes to another one.
#[test]
fn an_error_out_of_turn_is_a_farewell() {
    let trouble = received(b"\x0c\0\0\x07\xff\xd6\x07#HY000abc").unwrap_err();
    assert_eq!(trouble.querying("5 s"), Failure::Broken("abc".into()));
    assert_eq!(trouble.connecting("db"), Failure::Refused("db: abc".into()));
    let trouble = received(b"\x0c\0\0\0\xff\xd6\x07#HY000abc").unwrap_err();
    assert_eq!(trouble.querying("5 s"), Failure::Query("abc".into()));
}

#[test]
fn long_texts() {
    for length in [0, 1, 250, 251, 65535, 65536] {
        let text = vec![b'x'; length];
        let mut packet = Vec::new();
        put_long_text(&mut packet, &text);
        let mut reader = Reader(&packet);
        assert_eq!(reader.long_text(), Some(&text[..]), "{length}");
        assert_eq!(reader.long_text(), None);
    }
    for broken in
        [&b"\xfb"[..], b"\xff", b"\xfc\x01", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff", b"\x05abcd"]
    {
        assert_eq!(Reader(broken).long_text(), None, "{broken:?}");
    }
    assert_eq!(Reader(b"abc").number(9), None);
}
