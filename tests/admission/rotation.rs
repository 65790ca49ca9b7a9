use std::io::{Read, Write};
use std::path::PathBuf;
use std::thread;

use byway::client::{ClientEvent, Stream};
use byway::error::{Blocked, TokenFault};

use super::tokens::wait_event;
use super::*;

/// Octets that go each way; the token changes in their midst, several times.
const LEN: usize = 6_000_000;

/// A token's file, in a directory that goes with it.
struct TokenFile {
    dir: tempfile::TempDir,
}

impl TokenFile {
    fn new(token: &NewToken) -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        this.write(token);
        this
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    /// Puts another token into the place of the file, at once.
    fn write(&self, token: &NewToken) {
        let new = self.dir.path().join("new");
        std::fs::write(&new, format!("{}\n", token.token())).unwrap();
        std::fs::rename(new, self.path()).unwrap();
    }
}

/// Sends `LEN` octets, and calls `at` before each piece with what was sent.
fn send(mut stream: Stream, mut at: impl FnMut(usize)) {
    for (n, piece) in pattern(LEN).chunks(100_000).enumerate() {
        at(n);
        stream.write_all(piece).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.wait_acked(LONG).unwrap();
}

fn receive(mut stream: Stream) {
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    assert!(octets == pattern(LEN));
    stream.wait_acked(LONG).unwrap();
}

#[test]
fn transfers_ride_out_a_token_that_is_replaced() {
    let file = TokenFile::new(&token(0));
    let relay = relay(token(0).policy());
    let open = || Client::open(config(&relay, Some(Token::file(file.path())))).unwrap();
    let (one, other) = (open(), open());
    let listener = one.listen("camera:1").unwrap();
    let sent = other.connect("camera:1").unwrap();
    let got = listener.accept_timeout(LONG).unwrap();
    let receiver = thread::spawn(move || receive(got));
    send(sent, |n| {
        if n % 10 == 5 {
            // The file first, as whoever rotates tokens does it; the old one is worth nothing at once.
            let new = token(n as u8 / 10 + 1);
            file.write(&new);
            relay.set_policy(policy(new.policy()));
        }
    });
    receiver.join().unwrap();
    assert!(relay.admission().refused > 0, "the old tokens were refused");
    for client in [&one, &other] {
        while let Some(event) = client.next_event(Duration::ZERO) {
            assert!(!matches!(event, ClientEvent::PathBlocked { .. }), "{event}");
        }
    }
}

#[test]
fn transfers_do_not_notice_that_the_policy_is_read_again() {
    let good = token(1);
    let relay = relay(good.policy());
    let (one, other) = (client(&relay, &good), client(&relay, &good));
    let listener = one.listen("camera:1").unwrap();
    let sent = other.connect("camera:1").unwrap();
    let got = listener.accept_timeout(LONG).unwrap();
    let receiver = thread::spawn(move || receive(got));
    send(sent, |n| {
        let text = format!("{}{}", token(9 + n as u8).policy(), good.policy());
        relay.set_policy(policy(&text));
    });
    receiver.join().unwrap();
    assert_eq!((relay.admission().refused, relay.admission().without_token), (0, 0));
}

#[test]
fn channels_outlive_a_token_that_is_refused_for_a_while() {
    let file = TokenFile::new(&token(1));
    let relay = relay(token(1).policy());
    let open = || Client::open(config(&relay, Some(Token::file(file.path())))).unwrap();
    let (one, other) = (open(), open());
    let listener = one.listen("camera:1").unwrap();
    let mut sent = other.connect("camera:1").unwrap();
    let mut got = listener.accept_timeout(LONG).unwrap();
    relay.set_policy(policy(token(2).policy()));
    sent.write_all(b"later").unwrap();
    let refused = Blocked::Token(TokenFault::Refused);
    let mut times = 0;
    wait_event(
        &other,
        |event| matches!(event, ClientEvent::PathBlocked { cause, .. } if *cause == refused),
    );
    // Some tries on, nothing more is told.
    let tries = relay.admission().refused;
    while relay.admission().refused < tries + 6 {
        thread::sleep(Duration::from_millis(20));
    }
    file.write(&token(2));
    wait_event(&other, |event| {
        times += usize::from(matches!(event, ClientEvent::PathBlocked { .. }));
        *event == ClientEvent::PathRestored
    });
    assert_eq!(times, 0, "told once");
    let mut octets = [0; 5];
    got.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"later");
}
