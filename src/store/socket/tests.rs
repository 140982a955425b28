use super::*;
use std::thread;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// One that has left its reactor, and its other end.
fn pair() -> (Socket, Waiter, unix::UnixStream) {
    let (ours, theirs) = unix::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let runtime = crate::store::servers::runtime().unwrap();
    let socket = runtime.block_on(async { Socket::from(UnixStream::from_std(ours).unwrap()) });
    let waiter = socket.waiter();
    waiter.leave_reactor().unwrap();
    drop(runtime);
    (socket, waiter, theirs)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[test]
fn an_answer_is_waited_for_and_silence_only_until_the_deadline() {
    let (mut socket, waiter, mut server) = pair();
    let answering = thread::spawn(move || {
        let mut question = [0; 4];
        server.read_exact(&mut question).unwrap();
        thread::sleep(Duration::from_millis(50));
        server.write_all(&question).unwrap();
        server
    });
    let mut answer = [0; 4];
    let asked = waiter.run(soon(), async {
        socket.write_all(b"ping").await?;
        socket.read_exact(&mut answer).await
    });
    assert_eq!(asked.unwrap().unwrap(), 4);
    assert_eq!(&answer, b"ping");

    let _silent = answering.join().unwrap();
    let started = Instant::now();
    let deadline = started + Duration::from_millis(100);
    assert!(waiter.run(deadline, socket.read_u8()).is_none());
    assert!((100..1000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    // Nothing is waited for where there is no time, but what is there already is had.
    assert!(waiter.run(started, socket.read_u8()).is_none());
    assert_eq!(waiter.run(started, async { 7 }), Some(7));
}

#[test]
fn what_the_socket_cannot_hold_is_sent_as_the_server_reads() {
    let (mut socket, waiter, mut server) = pair();
    let much: Vec<u8> = (0..=u8::MAX).cycle().take(4 << 20).collect();
    let expected = much.clone();
    let reading = thread::spawn(move || {
        let mut all = vec![0; 4 << 20];
        server.read_exact(&mut all).unwrap();
        server.write_all(&all).unwrap();
        all
    });
    waiter.run(soon(), socket.write_all(&much)).unwrap().unwrap();
    let mut back = vec![0; much.len()];
    waiter.run(soon(), socket.read_exact(&mut back)).unwrap().unwrap();
    assert!(reading.join().unwrap() == expected && back == expected);
}

#[test]
fn what_one_read_leaves_the_next_one_finds() {
    let (mut socket, waiter, mut server) = pair();
    server.write_all(b"abc").unwrap();
    for expected in *b"abc" {
        assert_eq!(waiter.run(soon(), socket.read_u8()).unwrap().unwrap(), expected);
    }
}

#[test]
fn the_end_is_no_wait() {
    let (mut socket, waiter, server) = pair();
    drop(server);
    for _ in 0..2 {
        let ended = waiter.run(soon(), socket.read_u8()).unwrap().unwrap_err();
        assert_eq!(ended.kind(), ErrorKind::UnexpectedEof);
    }
    assert!(waiter.run(soon(), socket.write_all(b"hello?")).unwrap().is_err());
}

#[test]
fn an_answer_is_waited_for_awake_only_after_many_that_came_soon() {
    let (ours, mut server) = unix::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let stream = Stream::Unix(ours);
    let mut socket = Polled { stream, readable: false, wants: PollFlags::empty(), soon: 0 };
    let wait = |socket: &mut Polled| {
        (socket.readable, socket.wants) = (false, PollFlags::IN);
        socket.wait(Timespec { tv_sec: 0, tv_nsec: 20_000_000 });
        socket.readable
    };
    server.write_all(b"x").unwrap();
    assert!((0..10_000).any(|_| wait(&mut socket) && socket.soon >= STREAK));
    let mut byte = [0];
    assert_eq!(socket.stream.read(&mut byte).unwrap(), 1);
    assert!(!wait(&mut socket), "nothing is there");
    assert_eq!(socket.soon, 0);
    // What does not come while it is awake is waited for asleep.
    socket.soon = STREAK;
    let answering = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        server.write_all(b"y").unwrap();
        server
    });
    assert!((0..100).any(|_| wait(&mut socket)));
    assert_eq!(socket.soon, 0);
    answering.join().unwrap();

    let (_socket, waiter, _server) = self::pair();
    let soon = |new: Option<u8>| match &mut *lock(&waiter.state) {
        State::Polled(socket) => std::mem::replace(&mut socket.soon, new.unwrap_or_default()),
        _ => panic!("in its reactor"),
    };
    soon(Some(STREAK));
    waiter.sleep_first();
    assert_eq!(soon(None), 0);
}
