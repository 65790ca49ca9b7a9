//! A relay takes the place of another: what examples/deploy has systemd do by `systemctl start byway@2` and
//! `systemctl stop byway@1`, where both have the socket of byway.socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use byway::wire::{Hello, HelloFlags, Message, VERSION};

use crate::metrics::{Watch, relay};
use crate::process::{Byway, DEADLINE, Relay};

/// Pairs of processes with a stream between them.
const PAIRS: usize = 8;

/// Octets of each piece that a stream carries, and how many pieces it carries at most.
const PIECE: usize = 1000;
const PIECES: usize = 100_000;

/// A relay that has the socket, and what it tells.
fn relay_with(socket: &TcpListener) -> (Relay, Watch) {
    let args = ["relay", "--listen", "systemd", "--metrics", "127.0.0.1:0"];
    let mut relay = Relay::of(Byway::start_with_listener(socket, args));
    let watch = Watch::of(&relay.told("metrics at"));
    (relay, watch)
}

/// The piece of this number.
fn piece(number: usize) -> Vec<u8> {
    let text = format!("{number:010}");
    text.bytes().cycle().take(PIECE).collect()
}

/// A stream between two processes, which gives back what it is given.
struct Pair {
    listen: Byway,
    connect: Byway,
}

impl Pair {
    fn new(n: usize, url: &str) -> Self {
        let name = format!("pair{n}:1");
        let mut listen = Byway::start(["listen", &name, "--exec", "cat", "--relay", url]);
        listen.wait_told("listening on");
        let connect = Byway::start(["connect", &name, "--relay", url]);
        Self { listen, connect }
    }

    /// Sends pieces, one when the one before is back, until `enough` says so; each once, and all in order. How many.
    fn carry(&mut self, back: &mpsc::Sender<usize>, enough: &mpsc::Receiver<()>) -> usize {
        let (mut to, mut from) = (self.connect.stdin(), self.connect.stdout());
        let mut sent = 0;
        while sent < PIECES && matches!(enough.try_recv(), Err(mpsc::TryRecvError::Empty)) {
            let expected = piece(sent);
            to.write_all(&expected).expect("the stream goes on");
            let mut got = vec![0; PIECE];
            from.read_exact(&mut got).expect("the stream goes on");
            assert!(got == expected, "piece {sent} is another");
            sent += 1;
            let _ = back.send(sent);
        }
        drop(to);
        let mut rest = Vec::new();
        from.read_to_end(&mut rest).expect("its end");
        assert!(rest.is_empty(), "{} octets more than were sent", rest.len());
        sent
    }
}

#[test]
fn relay_takes_the_place_of_another_at_the_same_socket_and_nothing_is_lost() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (old, of_old) = relay_with(&socket);
    let mut pairs: Vec<_> = (0..PAIRS).map(|n| Pair::new(n, &old.url)).collect();
    let (back, progress) = mpsc::channel();
    thread::scope(|scope| {
        let mut carrying = Vec::new();
        for pair in &mut pairs {
            let (back, (end, enough)) = (back.clone(), mpsc::channel());
            carrying.push((end, scope.spawn(move || pair.carry(&back, &enough))));
        }
        let wait_for = |pieces: usize| {
            for _ in 0..pieces {
                progress.recv_timeout(DEADLINE).expect("a stream goes on");
            }
        };
        wait_for(20 * PAIRS);
        assert_eq!(of_old.value("byway_relay_parked"), 2.0 * PAIRS as f64);
        let (new, of_new) = relay_with(&socket);
        assert_eq!(new.url, old.url);
        old.signal("TERM");
        let (ended, _) = old.end();
        ended.expect_code(0);
        of_new.wait("byway_relay_parked", |parked| parked == 2.0 * PAIRS as f64);
        while progress.try_recv().is_ok() {}
        wait_for(20 * PAIRS);
        for (end, carrying) in carrying {
            drop(end);
            assert!(carrying.join().expect("it carries") > 0);
        }
        new.signal("TERM");
        new.end().0.expect_code(0);
    });
    for pair in pairs {
        pair.connect.end().expect_code(0).expect_nothing_told();
        pair.listen.signal("TERM");
        let told = pair.listen.end().told;
        assert!(!told.iter().any(|line| line.contains("broke off")), "{told:?}");
    }
}

#[test]
fn idle_clients_of_long_polls_count_no_failure_when_their_relay_drains() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("bound");
    let (old, of_old) = relay_with(&socket);
    let mut clients: Vec<_> = (0..PAIRS)
        .map(|n| {
            let name = format!("idle{n}:1");
            // An answer that stays open began before it could say that its connection is closed.
            let args = ["listen", &name, "--pace", "long-poll", "--metrics", "127.0.0.1:0"];
            Byway::start_args(&[&args[..], &["--relay", &old.url]].concat())
        })
        .collect();
    let watches: Vec<_> =
        clients.iter_mut().map(|client| Watch::of(&client.told("metrics at"))).collect();
    clients.iter_mut().for_each(|client| client.wait_told("listening on"));
    of_old.wait("byway_relay_parked", |parked| parked == PAIRS as f64);
    // A request that crosses the end of its connection would count.
    of_old.wait_quiet("byway_relay_responses_total{status=\"200\"}");
    let failed = |watch: &Watch| watch.value("byway_client_failed_total");
    let before: Vec<_> = watches.iter().map(failed).collect();
    let (_new, of_new) = relay_with(&socket);
    old.signal("TERM");
    old.end().0.expect_code(0);
    of_new.wait("byway_relay_names", |names| names == PAIRS as f64);
    assert_eq!(watches.iter().map(failed).collect::<Vec<_>>(), before);
}

/// A request of a session, half of whose body is on its way.
fn half_a_send(address: &str) -> TcpStream {
    let hello = Hello {
        version: VERSION,
        flags: HelloFlags::NONE,
        secret: [7; 16],
        seq: 1,
        hold_ms: 0,
        max_response: 1 << 20,
    };
    let mut octets = [0; 64];
    let n = Message::Hello(hello).encode(&mut octets).expect("it fits");
    let mut stream = TcpStream::connect(address).expect("connected");
    let head = "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    stream.write_all(&octets[..n]).expect("sent");
    stream
}

#[test]
fn draining_relay_is_not_ready_and_ends_at_once_on_a_second_signal() {
    let args = ["relay", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--drain", "3600"];
    let mut relay = Relay::of(Byway::start(args));
    let watch = Watch::of(&relay.told("metrics at"));
    let _send = half_a_send(relay.address());
    watch.wait("byway_relay_connections_served", |served| served == 1.0);
    assert_eq!((watch.ask("/readyz", "").status, watch.value("byway_relay_ready")), (200, 1.0));
    relay.signal("TERM");
    watch.wait("byway_relay_ready", |ready| ready == 0.0);
    let ready = watch.ask("/readyz", "");
    assert_eq!((ready.status, &ready.text[..]), (503, "draining\n"));
    assert_eq!(watch.ask("/healthz", "").status, 200);
    // Its threads close the listener once they have the order.
    let until = Instant::now() + DEADLINE;
    while TcpStream::connect(relay.address()).is_ok() {
        assert!(Instant::now() < until, "it takes connections");
        thread::yield_now();
    }
    relay.signal("TERM");
    relay.end().0.expect_code(143);
}

#[test]
fn sigint_does_not_wait_for_the_time_of_the_drain() {
    let (relay, watch) = relay();
    let mut send = half_a_send(relay.address());
    watch.wait("byway_relay_connections_served", |served| served == 1.0);
    relay.signal("INT");
    send.set_read_timeout(Some(Duration::from_secs(100))).expect("a time-out");
    let mut answer = Vec::new();
    send.read_to_end(&mut answer).expect("an answer, and the end");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "END(SHUTDOWN) to a send half there");
    relay.end().0.expect_code(0);
}

#[test]
fn relay_that_is_passed_no_socket_says_how_to_start_it() {
    let ended = Byway::start(["relay", "--listen", "systemd"]).end();
    ended.expect_code(2).expect_line(&[
        "the sockets of systemd",
        "none were passed on",
        "socket unit",
    ]);
}
