use super::*;
use std::fmt::Debug;
use tokio::io::{AsyncWriteExt, duplex};

/// What comes of `work` when the server says these bytes.
fn met<T: Debug>(bytes: &[u8], work: impl AsyncFnOnce(&mut Channel) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut server, line) = duplex(1 << 25);
        server.write_all(bytes).await.unwrap();
        server.shutdown().await.unwrap();
        work(&mut Channel::new(Box::new(line), 0)).await
    })
}

fn asked(bytes: &[u8]) -> Result<Vec<Row>, Trouble> {
    met(bytes, async |channel| {
        let statement = prepare(channel, "SELECT ?").await?;
        execute(channel, statement, &["alice".into()]).await
    })
}

/// Payloads as the packets of one answer.
fn packets(payloads: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (sequence, payload) in payloads.iter().enumerate() {
        bytes.extend(&u32::try_from(payload.len()).unwrap().to_le_bytes()[..3]);
        bytes.push(((sequence + 1) % 256).try_into().unwrap());
        bytes.extend(*payload);
    }
    bytes
}

const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

/// The answer to a statement of two columns and one parameter.
fn prepared() -> Vec<u8> {
    packets(&[&[0, 7, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0], b"?", EOF, b"one", b"two", EOF])
}

fn answer(rows: &[&[u8]]) -> Vec<u8> {
    let head: [&[u8]; 4] = [&[2], b"one", b"two", EOF];
    [prepared(), packets(&[&head[..], rows, &[EOF]].concat())].concat()
}

#[test]
fn rows_are_texts_and_nulls() {
    let rows = asked(&answer(&[b"\0\0\x01a\x02bc", b"\0\x08\0"])).unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(rows, [vec![text("a"), text("bc")], vec![text(""), None]]);
    assert_eq!(asked(&answer(&[])).unwrap(), Vec::<Row>::new());
}

#[test]
fn what_no_answer_is() {
    let with = |payloads: &[&[u8]]| [prepared(), packets(payloads)].concat();
    for (bytes, kind) in [
        // A file of this machine, as by LOAD DATA LOCAL INFILE.
        (with(&[b"\xfb/etc/passwd"]), "Protocol"),
        (with(&[b"\0\0\0\x02\0\0\0"]), "Protocol"),
        (with(&[&[65]]), "Protocol"),
        (with(&[&[2], b"one", EOF]), "Io"),
        (with(&[&[2], b"one", b"two", b"three"]), "Protocol"),
        (with(&[b"\xff\x54\x04#42000no"]), "Server { code: 1108"),
        (answer(&[b""]), "Protocol"),
        (answer(&[b"\0"]), "Protocol"),
        (answer(&[b"\x01\0\x01a\x01b"]), "Protocol"),
        (answer(&[b"\0\0\x01a"]), "Protocol"),
        (answer(&[b"\0\0\x01a\x05b"]), "Protocol"),
        (answer(&[b"\0\0\x01a\xfe\xff\xff\xff\xff\xff\xff\xff\xff"]), "Protocol"),
        (answer(&[b"\0\0\x01\xff\x01b"]), "Protocol"),
        (packets(&[&[0, 7, 0, 0, 0, 2, 0, 9, 0, 0, 0, 0]]), "Io"),
        (packets(&[&[0, 7, 0, 0, 0, 0, 0, 0, 0]]), "Parameters"),
        (packets(&[&[0, 7, 0, 0, 0, 2, 0]]), "Protocol"),
        (packets(&[b"\xfb/etc/passwd"]), "Protocol"),
    ] {
        let trouble = format!("{:?}", asked(&bytes).unwrap_err());
        assert!(trouble.starts_with(kind), "{kind}: {trouble}");
    }
    let run = met(&packets(&[b"\xfb/etc/passwd"]), async |channel| run(channel, "SET x").await);
    assert!(matches!(run, Err(Trouble::Protocol(_))), "{run:?}");
}

/// Each packet may be as long as packets can be; all of them together not.
#[test]
fn an_answer_has_a_bound() {
    let mut row = vec![0, 8];
    put_long_text(&mut row, &vec![b'x'; 9 << 20]);
    assert_eq!(asked(&answer(&[&row])).unwrap().len(), 1);
    let many = vec![&b"\0\0\x01a\x01b"[..]; MOST_MEMORY / size_of::<Row>() / 3];
    let end = asked(&answer(&many));
    assert!(matches!(end, Err(Trouble::Protocol("the answer is too long"))));
}

#[test]
fn no_byte_of_a_server_makes_a_panic() {
    let good = answer(&[b"\0\0\x01a\xfc\x02\0bc", b"\0\x08\0"]);
    assert!(asked(&good).is_ok());
    for place in 0..good.len() {
        for byte in [0, 1, 2, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff] {
            let mut bytes = good.clone();
            bytes[place] = byte;
            let _ = asked(&bytes);
        }
        let _ = asked(&good[..place]);
    }
}
