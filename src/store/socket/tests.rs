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
fn an_answer_is_waited_for_awake_after_many_that_came_soon() {
    let (ours, mut server) = unix::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let stream = Stream::Unix(ours);
    let mut socket = Polled { stream, readable: false, wants: PollFlags::empty(), soon: 0 };
    let wait = |socket: &mut Polled, milliseconds: u64, awake| {
        (socket.readable, socket.wants) = (false, PollFlags::IN);
        let begun = Instant::now();
        socket.wait(Duration::from_millis(milliseconds).try_into().unwrap(), awake);
        begun.elapsed()
    };
    server.write_all(b"x").unwrap();
    for awake in [false, true] {
        socket.soon = 0;
        assert!((0..10_000).any(|_| {
            wait(&mut socket, 1000, awake);
            socket.soon >= STREAK
        }));
        assert!(socket.readable);
    }
    let mut byte = [0];
    assert_eq!(socket.stream.read(&mut byte).unwrap(), 1);
    for awake in [false, true] {
        socket.soon = STREAK;
        assert!(wait(&mut socket, 5, awake) >= Duration::from_millis(5));
        assert_eq!((socket.readable, socket.soon), (false, 0), "nothing is there");
    }
    // What does not come while it is awake is waited for asleep.
    socket.soon = STREAK;
    let answering = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        server.write_all(b"y").unwrap();
        server
    });
    let took = wait(&mut socket, 10_000, true);
    assert!(socket.readable && took < Duration::from_secs(10));
    answering.join().unwrap();
}

#[test]
fn only_what_is_run_next_may_wait_awake() {
    let (mut socket, waiter, mut server) = pair();
    server.write_all(b"x").unwrap();
    waiter.stay_awake();
    assert!(waiter.awake.load(Ordering::Relaxed));
    assert!(waiter.run(soon(), socket.read_u8()).is_some());
    assert!(!waiter.awake.load(Ordering::Relaxed));
}
