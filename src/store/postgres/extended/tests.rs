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

/// What comes of questions to a server that says this, in so large pieces.
fn ask_all<const N: usize>(
    (extended, waiter, server): &mut (Extended, Waiter, UnixStream),
    (sqls, unnamed): ([&str; N], bool),
    answer: &[u8],
    piece: usize,
) -> (String, Result<Vec<Vec<Row>>, Unanswered>) {
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let tags = asked(server);
            for piece in answer.chunks(piece) {
                server.write_all(piece).unwrap();
            }
            tags
        });
        let questions = sqls.map(question);
        let questions: Vec<_> = questions.iter().collect();
        let found = waiter.run(soon(), extended.ask(&questions, unnamed)).unwrap();
        (serving.join().unwrap(), found)
    })
}

/// What comes of one question.
fn ask(
    pair: &mut (Extended, Waiter, UnixStream),
    (sql, unnamed): (&str, bool),
    answer: &[u8],
    piece: usize,
) -> (String, Result<Vec<Row>, Unanswered>) {
    let (tags, found) = ask_all(pair, ([sql], unnamed), answer, piece);
    (
        tags,
        found.map(|answers| <[_; 1]>::try_from(answers).unwrap().into_iter().flatten().collect()),
    )
}

fn failure<T>(found: Result<T, Unanswered>) -> String {
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
fn several_are_asked_at_once_and_answered_in_their_order() {
    let (one, two) = (row(&[Some("mark"), Some("1")]), row(&[Some("mark"), Some("2")]));
    let (parsed, bound) = (message(b'1', b""), message(b'2', b""));
    let done = message(b'C', b"SELECT 1\0");
    let answers = [
        [&parsed[..], &bound, &one, &two, &done].concat(),
        [&parsed[..], &bound, &done].concat(),
        [&bound[..], &two, &done].concat(),
    ];
    let texts = |found: Vec<Vec<Row>>| {
        let text = |rows: Vec<Row>| rows.into_iter().filter_map(|row| row[1].clone()).collect();
        found.into_iter().map(text).collect::<Vec<String>>()
    };
    for piece in [1, 7, 1 << 20] {
        let mut pair = pair();
        let sqls = ["SELECT 1", "SELECT 2", "SELECT 1"];
        let answer = [answers.concat(), ready()].concat();
        let (tags, found) = ask_all(&mut pair, (sqls, false), &answer, piece);
        assert_eq!(
            (&*tags, texts(found.ok().unwrap())),
            ("PBEPBEBES", vec!["12".into(), String::new(), "2".into()])
        );
        // All are known now.
        let again = [&answers[2][..], &answers[2], &answers[2], &ready()].concat();
        let (tags, found) = ask_all(&mut pair, (sqls, false), &again, piece);
        assert_eq!((&*tags, texts(found.ok().unwrap())), ("BEBEBES", vec!["2".to_owned(); 3]));
        let (tags, found) = ask_all(
            &mut pair,
            (["SELECT 1", "SELECT 1"], true),
            &[&answers[0][..], &answers[0], &ready()].concat(),
            piece,
        );
        assert_eq!((&*tags, texts(found.ok().unwrap())), ("PBEPBES", vec!["12".to_owned(); 2]));
    }
    // What fails ends it, and is told if it is the very first.
    for (refused, whole) in [
        (vec![error("ERROR", "22P02")], None),
        (vec![answers[0].clone(), error("ERROR", "42P01")], Some("12")),
        (
            vec![answers[0].clone(), parsed.clone(), bound.clone(), error("ERROR", "57014")],
            Some("12"),
        ),
    ] {
        let mut pair = pair();
        let answer = [refused.concat(), ready()].concat();
        let (_, found) = ask_all(&mut pair, (["SELECT 1", "SELECT 2"], false), &answer, 5);
        match whole {
            Some(whole) => assert_eq!(texts(found.ok().unwrap()), [whole]),
            None => assert!(found.err().unwrap().no_such_value(&[])),
        }
        let known = if whole.is_some() { "BES" } else { "PBES" };
        let answer =
            [if whole.is_some() { vec![] } else { parsed.clone() }, answers[2].clone(), ready()];
        let (tags, found) = ask_all(&mut pair, (["SELECT 1"], false), &answer.concat(), 5);
        assert_eq!((&*tags, texts(found.ok().unwrap())), (known, vec!["2".to_owned()]));
    }
    let refused = error("ERROR", "22P02");
    // The end of the transaction, which nobody else has a part in.
    let answer = [&answers[2][..], &error("ERROR", "40001"), &ready()].concat();
    let (_, found) = ask(&mut pair(), ("SELECT 1", false), &[&parsed[..], &answer].concat(), 5);
    assert!(failure(found).starts_with("Query("));
    // Nobody is given the answer to another question.
    for senseless in [
        vec![&answers[2][..]],
        vec![&answers[2], &answers[2], &answers[2]],
        vec![&answers[2], &bound],
        vec![&bound, &bound, &two, &done],
        vec![&answers[2], &answers[2], &answers[2], &refused],
        vec![&answers[2], &two, &done],
    ] {
        let mut pair = pair();
        let answer = [senseless.concat(), ready()].concat();
        let (_, found) = ask_all(&mut pair, (["SELECT 1", "SELECT 2"], false), &answer, 100);
        assert!(failure(found).starts_with("Broken("), "{answer:?}");
        nothing_more(&mut pair);
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
        let found = waiter.run(soon(), extended.ask(&[&question], false)).unwrap();
        assert!(failure(found).contains(reason), "{reason}");
        serving.join().unwrap();
    }
}

/// Nothing is asked before the answer to something else.
fn nothing_more((extended, waiter, _): &mut (Extended, Waiter, UnixStream)) {
    let question = question("SELECT 1");
    let found = waiter.run(soon(), extended.ask(&[&question], true)).unwrap();
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
        let found = waiter.run(deadline, extended.ask(&[&question], false));
        assert_eq!(found.is_none(), ended);
        if ended {
            nothing_more(&mut pair);
        }
    }
}
