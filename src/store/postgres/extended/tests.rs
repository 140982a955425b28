use super::*;
use crate::store::socket::{Socket, Waiter};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

/// A connection, and the server's end of it.
fn pair() -> (Extended, Waiter, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let runtime = crate::store::servers::runtime().unwrap();
    let ours = runtime.block_on(async { tokio::net::UnixStream::from_std(ours).unwrap() });
    let socket = Socket::from(ours);
    let waiter = socket.waiter();
    waiter.leave_reactor().unwrap();
    (Extended::new(Box::new(socket)), waiter, theirs)
}

fn question(sql: &str) -> Question<'static> {
    Question { sql: sql.into(), values: vec!["alice".into()], marker: Some("mark".into()) }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

/// A message of the server's.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn row(columns: &[Option<&str>]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for column in columns {
        let length = column.map_or(-1, |text| i32::try_from(text.len()).unwrap());
        body.extend(length.to_be_bytes());
        body.extend(column.unwrap_or_default().as_bytes());
    }
    message(b'D', &body)
}

fn error(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("V{severity}\0C{code}\0Mso it is\0\0").as_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// The tags of the messages up to Sync.
fn asked(server: &mut UnixStream) -> String {
    let mut tags = String::new();
    while !tags.ends_with('S') {
        let mut head = [0; 5];
        server.read_exact(&mut head).unwrap();
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        server.read_exact(&mut vec![0; length as usize - 4]).unwrap();
        tags.push(char::from(head[0]));
    }
    tags
}

/// What comes of a question to a server that says this, in so large pieces.
fn ask(
    (extended, waiter, server): &mut (Extended, Waiter, UnixStream),
    (sql, unnamed): (&str, bool),
    answer: &[u8],
    piece: usize,
) -> (String, Result<Vec<Row>, Unanswered>) {
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let tags = asked(server);
            for piece in answer.chunks(piece) {
                server.write_all(piece).unwrap();
            }
            tags
        });
        let question = question(sql);
        let found = waiter.run(soon(), extended.ask(&question, unnamed)).unwrap();
        (serving.join().unwrap(), found)
    })
}

fn failure(found: Result<Vec<Row>, Unanswered>) -> String {
    format!("{:?}", found.err().unwrap().failure("5 s"))
}

#[test]
fn a_statement_is_prepared_once_and_an_unnamed_one_never() {
    let mut pair = pair();
    let rows = [row(&[Some("mark"), Some("ä"), None]), row(&[Some("mark"), Some(""), None])];
    let expected: Vec<Row> = vec![
        vec![Some("mark".into()), Some("ä".into()), None],
        vec![Some("mark".into()), Some(String::new()), None],
    ];
    let notices = [message(b'N', b"\0"), message(b'S', b"a\0b\0"), message(b'2', b"")].concat();
    let answer = [notices, rows.concat(), message(b'C', b"SELECT 2\0"), ready()].concat();
    let first = [message(b'1', b""), answer.clone()].concat();
    for (wanted, answer, tags) in [
        (("SELECT 1", false), &first, "PBES"),
        (("SELECT 1", false), &answer, "BES"),
        (("SELECT 2", false), &first, "PBES"),
        (("SELECT 1", true), &first, "PBES"),
        (("SELECT 1", false), &answer, "BES"),
    ] {
        for piece in [1, 7, 1 << 20] {
            let (said, found) = ask(&mut pair, wanted, answer, piece);
            assert_eq!(found.ok().unwrap(), expected);
            if piece == 1 || wanted.1 {
                assert_eq!(said, tags, "{wanted:?}");
            } else {
                assert_eq!(said, "BES", "{wanted:?}");
            }
        }
    }
}

#[test]
fn an_error_ends_the_answer_and_not_the_connection() {
    let mut pair = pair();
    let prepared = message(b'1', b"");
    // A value that the column cannot hold: the statement is there nevertheless.
    let answer = [prepared.clone(), error("ERROR", "22P02"), ready()].concat();
    let (said, found) = ask(&mut pair, ("SELECT 1", false), &answer, 3);
    let refused = found.err().unwrap();
    assert!(refused.no_such_value(&[]) && !refused.lost_statement());
    assert_eq!(said, "PBES");
    let answer = [error("ERROR", "26000"), ready()].concat();
    let (said, found) = ask(&mut pair, ("SELECT 1", false), &answer, 100);
    assert_eq!(said, "BES");
    assert!(found.err().unwrap().lost_statement());
    // Nothing was prepared.
    let answer = [error("ERROR", "42P01"), ready()].concat();
    for _ in 0..2 {
        let (said, found) = ask(&mut pair, ("SELECT 2", false), &answer, 100);
        assert_eq!(said, "PBES");
        assert!(failure(found).starts_with(r#"Query("so it is: AuthDjangoUserModel"#));
    }
    let answer = [error("ERROR", "57014"), ready()].concat();
    let (_, found) = ask(&mut pair, ("SELECT 2", false), &answer, 100);
    assert_eq!(failure(found), r#"TimedOut("no answer within 5 s")"#);
    // PgBouncer says it in one way alone.
    let pgbouncer = message(b'E', b"SFATAL\0C08P01\0Mso it is\0\0");
    let (_, found) = ask(&mut self::pair(), ("SELECT 2", false), &pgbouncer, 100);
    assert_eq!(failure(found), r#"Broken("so it is")"#);
    // That is the last word.
    let (_, found) = ask(&mut pair, ("SELECT 2", false), &error("FATAL", "57P01"), 100);
    assert_eq!(failure(found), r#"Broken("so it is")"#);
}

#[test]
fn what_is_no_answer_breaks_the_connection() {
    let latin = [message(b'D', &[0, 1, 0, 0, 0, 1, 0xe4]), message(b'C', b"x\0"), ready()].concat();
    let bound = [message(b'1', b""), message(b'2', b"")].concat();
    let latin = [bound.clone(), latin].concat();
    let (_, found) = ask(&mut pair(), ("SELECT 1", false), &latin, 100);
    assert!(failure(found).starts_with(r#"Query("a column of the answer is no text"#));

    let early = [row(&[Some("mark")]), message(b'C', b"x\0"), ready()].concat();
    let huge = [&[b'D'][..], &(MOST as u32 + 1).to_be_bytes()].concat();
    let negative = [b'D', 0xff, 0xff, 0xff, 0xff];
    for answer in [&negative[..], &huge, &early, &ready(), &message(b'?', b""), &message(b'I', b"")]
    {
        let mut pair = pair();
        let (_, found) = ask(&mut pair, ("SELECT 1", false), answer, 100);
        assert!(failure(found).starts_with("Broken("), "{answer:?}");
        nothing_more(&mut pair);
    }
    // Not to its end, whatever was said before.
    for (answer, reason) in [
        (bound, "the server has closed the connection"),
        ([message(b'1', b""), error("ERROR", "22P02")].concat(), "so it is"),
    ] {
        let (mut extended, waiter, mut server) = pair();
        let serving = thread::spawn(move || {
            asked(&mut server);
            server.write_all(&answer).unwrap();
        });
        let question = question("SELECT 1");
        let found = waiter.run(soon(), extended.ask(&question, false)).unwrap();
        assert!(failure(found).contains(reason), "{reason}");
        serving.join().unwrap();
    }
}

/// Nothing is asked before the answer to something else.
fn nothing_more((extended, waiter, _): &mut (Extended, Waiter, UnixStream)) {
    let question = question("SELECT 1");
    let found = waiter.run(soon(), extended.ask(&question, true)).unwrap();
    assert_eq!(failure(found), r#"Broken("an answer was given up")"#);
}

#[test]
fn a_deadline_ends_it_even_where_nothing_is_waited_for() {
    let notices = message(b'N', b"\0").repeat(20_000);
    let end = [message(b'1', b""), message(b'2', b""), message(b'C', b"SELECT 0\0"), ready()];
    let answer = [notices, end.concat()].concat();
    for (deadline, ended) in [(soon(), false), (Instant::now(), true)] {
        let mut pair = pair();
        let (extended, waiter, server) = &mut pair;
        server.write_all(&answer).unwrap();
        let question = question("SELECT 1");
        let found = waiter.run(deadline, extended.ask(&question, false));
        assert_eq!(found.is_none(), ended);
        if ended {
            nothing_more(&mut pair);
        }
    }
}
