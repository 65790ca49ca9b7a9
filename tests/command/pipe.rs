//! Stdin and stdout of two processes, joined.

use std::io::{Read, Write};
use std::thread;

use crate::bytes::{Noise, read_all};
use crate::process::{Byway, Relay};

/// Two processes joined at an endpoint: the listener, then the connector.
fn pair(relay: &Relay, endpoint: &str) -> (Byway, Byway) {
    let mut listen = Byway::start(["listen", endpoint, "--relay", &relay.url]);
    listen.wait_told(&format!("listening on {endpoint}"));
    (listen, Byway::start(["connect", endpoint, "--relay", &relay.url]))
}

#[test]
fn pipe_carries_two_hundred_megabytes() {
    const LEN: usize = 200_000_000;
    let relay = Relay::start();
    let (mut listen, mut connect) = pair(&relay, "bulk:1");
    drop(listen.stdin());
    let (stdin, nothing) = (connect.stdin(), connect.stdout());
    let sender = thread::spawn(move || Noise::new(1).write(stdin, LEN).expect("stdin takes all"));
    let (len, received) = read_all(listen.stdout(), |_| {}).expect("stdout to its end");
    assert_eq!((len, received), (LEN, sender.join().expect("sent")));
    assert_eq!(read_all(nothing, |_| {}).expect("stdout of the connector").0, 0);
    connect.end().expect_code(0).expect_nothing_told();
    listen.end().expect_code(0).expect_line(&["listening on bulk:1"]);
}

#[test]
fn pipe_carries_both_ways_at_once() {
    const LEN: usize = 20_000_000;
    let relay = Relay::start();
    let (mut listen, mut connect) = pair(&relay, "both.ways_at-once:65535");
    let ends = [&mut listen, &mut connect].map(|end| (end.stdin(), end.stdout()));
    let mut threads = Vec::new();
    for (seed, (stdin, stdout)) in ends.into_iter().enumerate() {
        let send = thread::spawn(move || Noise::new(seed as u64).write(stdin, LEN));
        let receive = thread::spawn(move || read_all(stdout, |_| {}));
        threads.push((send, receive));
    }
    let results: Vec<_> = threads
        .into_iter()
        .map(|(send, receive)| {
            let sent = send.join().expect("sends").expect("stdin takes all");
            (sent, receive.join().expect("receives").expect("stdout to its end"))
        })
        .collect();
    assert_eq!((LEN, results[0].0), results[1].1);
    assert_eq!((LEN, results[1].0), results[0].1);
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn reply_arrives_after_the_end_of_the_request() {
    let relay = Relay::start();
    let (mut listen, mut connect) = pair(&relay, "echo:7");
    let mut stdin = connect.stdin();
    stdin.write_all(b"a request").expect("stdin");
    drop(stdin);

    let mut request = String::new();
    listen.stdout().read_to_string(&mut request).expect("stdout ends while stdin is open");
    assert_eq!(request, "a request");
    let mut stdin = listen.stdin();
    stdin.write_all(request.to_uppercase().as_bytes()).expect("stdin");
    drop(stdin);

    let mut reply = String::new();
    connect.stdout().read_to_string(&mut reply).expect("stdout");
    assert_eq!(reply, "A REQUEST");
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn relay_killed_and_started_again_loses_nothing() {
    const LEN: usize = 60_000_000;
    let mut relay = Some(Relay::start());
    let (mut listen, mut connect) = pair(relay.as_ref().expect("a relay"), "bulk:1");
    drop(listen.stdin());
    let stdin = connect.stdin();
    let sender = thread::spawn(move || Noise::new(2).write(stdin, LEN).expect("stdin takes all"));
    let mut marks = vec![LEN * 2 / 3, LEN / 3];
    let received = read_all(listen.stdout(), |len| {
        if marks.pop_if(|mark| len >= *mark).is_some() {
            relay = relay.take().map(Relay::replace);
        }
    });
    assert!(marks.is_empty());
    let (len, hash) = received.expect("stdout to its end");
    assert_eq!((len, hash), (LEN, sender.join().expect("sent")));
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn stdout_without_a_reader_ends_the_pipe() {
    let relay = Relay::start();
    let (mut listen, mut connect) = pair(&relay, "pipe:1");
    let (_open, mut stdin) = (connect.stdin(), listen.stdin());
    let sender = thread::spawn(move || while stdin.write_all(&[7; 4096]).is_ok() {});
    let mut stdout = connect.stdout();
    stdout.read_exact(&mut [0; 10_000]).expect("some");
    drop(stdout);
    connect.end().expect_code(0).expect_nothing_told();
    let ended = listen.end();
    ended.expect_code(1);
    assert!(ended.told[1].contains("peer"), "{:?}", ended.told);
    sender.join().expect("its stdin breaks");
}

/// Bytes that cannot be written are an error at both ends.
#[test]
fn stdout_that_is_closed_or_full_is_an_error_at_both_ends() {
    let relay = Relay::start();
    for args in [["listen", "pipe:1"], ["connect", "pipe:1"]] {
        let [action, endpoint] = args;
        let closed = Byway::start_by(
            "exec \"$@\" >&-",
            [action, endpoint, "--timeout", "2", "--relay", &relay.url],
        );
        closed.end().expect_code(1).expect_line(&["stdout is closed", "> /dev/null"]);
    }
    let connect = Byway::start(["connect", "pipe:1", "--timeout", "1", "--relay", &relay.url]);
    connect.end().expect_code(3);

    let args = ["listen", "pipe:1", "--relay", &relay.url];
    let mut listen = Byway::start_by("exec \"$@\" > /dev/full", args);
    listen.wait_told("listening");
    let _open = listen.stdin();
    let mut connect = Byway::start(["connect", "pipe:1", "--relay", &relay.url]);
    connect.stdin().write_all(b"lost").expect("stdin");
    listen.end().expect_code(1);
    connect.end().expect_code(1).expect_line(&["aborted by the peer"]);
}

/// Under cron or systemd the side that only writes has an empty stdin.
#[test]
fn data_that_cannot_be_written_fails_the_sender_though_the_writer_has_nothing_to_send() {
    let relay = Relay::start();
    for actions in [["listen", "connect"], ["connect", "listen"]] {
        let start = |action, script| {
            let args = [action, "full:1", "--timeout", "100", "--relay", &relay.url];
            Byway::start_by(script, args)
        };
        // One file that is full at its last octets, and one that takes no octet.
        for script in [
            "exec \"$@\" </dev/null >/dev/full",
            "trap '' XFSZ; ulimit -f 2047; exec \"$@\" </dev/null 1<>\"${TMPDIR:-/tmp}/byway-full-$$\"",
        ] {
            let [write, send] = actions;
            let (writer, mut sender) = (start(write, script), start(send, "exec \"$@\""));
            let path = std::env::temp_dir().join(format!("byway-full-{}", writer.id()));
            // The writer may end early, of which its exit code tells.
            let _ = sender.stdin().write_all(&vec![7; 2048 * 512]);
            let (writer, sender) = (writer.end(), sender.end());
            let _ = std::fs::remove_file(path);
            writer.expect_code(1);
            assert!(writer.told.iter().any(|line| line.contains("write to stdout")));
            sender.expect_code(1);
        }
    }
}

/// Where both sides have an empty stdin, neither waits for the other, and a program that replies to
/// the end of an empty request gets that end.
#[test]
fn empty_stdin_ends_the_direction_for_a_waiting_peer() {
    let relay = Relay::start();
    let (mut listen, mut connect) = pair(&relay, "empty:1");
    drop((listen.stdin(), connect.stdin()));
    connect.end().expect_code(0);
    listen.end().expect_code(0);

    let (mut listen, mut connect) = pair(&relay, "empty:2");
    drop(connect.stdin());
    let mut stdin = listen.stdin();
    stdin.write_all(b"a banner").expect("stdin");
    let mut request = String::new();
    listen.stdout().read_to_string(&mut request).expect("stdout ends while stdin is open");
    stdin.write_all(b", a reply").expect("stdin");
    drop(stdin);
    let mut reply = String::new();
    connect.stdout().read_to_string(&mut reply).expect("stdout");
    assert_eq!((request.as_str(), reply.as_str()), ("", "a banner, a reply"));
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

/// A user may discard stdout.
#[test]
fn stdout_may_be_dev_null() {
    let relay = Relay::start();
    // Python opens it so.
    let args = ["listen", "pipe:1", "--relay", &relay.url];
    let mut listen = Byway::start_by("exec \"$@\" 1<> /dev/null", args);
    listen.wait_told("listening");
    drop(listen.stdin());
    let mut connect = Byway::start(["connect", "pipe:1", "--relay", &relay.url]);
    connect.stdin().write_all(b"dropped").expect("stdin");
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn connect_waits_for_its_listener() {
    let relay = Relay::start();
    let mut connect =
        Byway::start(["connect", "late:1", "--timeout", "100", "--relay", &relay.url]);
    connect.stdin().write_all(b"patience").expect("stdin");
    connect.wait_told("late:1 has no listener yet: waiting up to 100 s");
    let mut listen = Byway::start(["listen", "late:1", "--relay", &relay.url]);
    drop(listen.stdin());
    let mut text = String::new();
    listen.stdout().read_to_string(&mut text).expect("stdout");
    assert_eq!(text, "patience");
    connect.end().expect_code(0).expect_line(&["no listener yet"]);
    listen.end().expect_code(0);
}

#[test]
fn listen_waits_until_a_dead_holder_is_forgotten() {
    let relay = Relay::start();
    let mut ghost = Byway::start(["listen", "held:1", "--relay", &relay.url]);
    ghost.wait_told("listening on held:1");
    ghost.kill();
    let mut listen = Byway::start(["listen", "held:1", "--timeout", "100", "--relay", &relay.url]);
    listen.wait_told("listening on held:1");
    assert_eq!(listen.times_told("held:1 is held by another client"), 1);
}

#[test]
fn pipe_accepts_one_peer_only() {
    let relay = Relay::start();
    let (mut listen, mut first) = pair(&relay, "one:1");
    drop(listen.stdin());
    let mut stdin = first.stdin();
    stdin.write_all(b"first").expect("stdin");
    let mut stdout = listen.stdout();
    stdout.read_exact(&mut [0; 5]).expect("the channel is open");
    let second = Byway::start(["connect", "one:1", "--timeout", "1", "--relay", &relay.url]);
    second.end().expect_code(3).expect_lines(&[&["no listener"], &["refused: nobody listens"]]);
    drop(stdin);
    assert_eq!(read_all(stdout, |_| {}).expect("stdout").0, 0);
    first.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn pipe_accepts_one_of_many_peers_at_once() {
    let relay = Relay::start();
    let mut listen = Byway::start(["listen", "one:1", "--relay", &relay.url]);
    listen.wait_told("listening on one:1");
    drop(listen.stdin());
    let connects: Vec<_> = (0..4)
        .map(|_| {
            let args = ["connect", "one:1", "--timeout", "3", "--relay", &relay.url];
            let mut connect = Byway::start(args);
            drop(connect.stdin());
            connect
        })
        .collect();
    let codes: Vec<_> = connects.into_iter().map(|c| c.end().status.code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, Some(0 | 3))), "{codes:?}");
    listen.end().expect_code(0);
}

#[test]
fn signal_aborts_the_channel_at_the_peer() {
    let relay = Relay::start();
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (mut listen, mut connect) = pair(&relay, "pipe:2");
        let (mut to, mut from) = (connect.stdin(), listen.stdout());
        let _open = listen.stdin();
        to.write_all(b"begun").expect("stdin");
        from.read_exact(&mut [0; 5]).expect("the channel is open");
        connect.signal(signal);
        connect.end().expect_code(code);
        // Not 0: the peer's stdin had not ended.
        listen.end().expect_code(1);
    }
}

#[test]
fn signal_frees_the_endpoint_at_once() {
    let relay = Relay::start();
    let listen = || {
        let mut listen = Byway::start(["listen", "free:1", "--relay", &relay.url]);
        listen.wait_told("listening on free:1");
        listen
    };
    let first = listen();
    first.signal("TERM");
    first.end().expect_code(143);
    listen();
}

#[test]
fn verbose_pipe_tells_the_events() {
    let relay = Relay::start();
    let mut listen = Byway::start(["listen", "events:1", "-v", "--relay", &relay.url]);
    listen.wait_told("listening on events:1");
    let address = relay.address().to_owned();
    relay.signal("KILL");
    listen.wait_told("path to the relay blocked: no connection");
    let _relay = Relay::start_on(&address);
    listen.wait_told("path to the relay restored");
}
