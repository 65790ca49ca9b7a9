//! What all on the way can see: a proxy that records both directions between the clients and their relay.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use byway::client::{Client, Config, DatagramChannel, IdentityFile, Listener, Security, Stream};
use tempfile::TempDir;

use crate::process::{Byway, DEADLINE, Relay};

/// Octets of a transfer.
const LEN: usize = 10_000_000;

/// The transfer repeats after so many octets, within which no 16 are the same.
const PERIOD: usize = 1 << 16;

/// So many octets in a row are recognised.
const WINDOW: usize = 16;

/// A direction of a connection, as it was seen.
type Seen = Arc<Mutex<Vec<u8>>>;

/// A TCP proxy before the relay, which keeps what it carries.
struct Recorder {
    url: String,
    directions: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    fn start(relay: &Relay) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let directions = Arc::new(Mutex::new(Vec::new()));
        let (relay, all) = (relay.address().to_owned(), Arc::clone(&directions));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let relay = TcpStream::connect(&relay).expect("the relay");
                let streams = |tcp: &TcpStream| tcp.try_clone().expect("a descriptor");
                for (from, to) in
                    [(streams(&client), streams(&relay)), (streams(&relay), streams(&client))]
                {
                    let seen = Seen::default();
                    all.lock().expect("no panic").push(Arc::clone(&seen));
                    thread::spawn(move || carry(from, to, &seen));
                }
            }
        });
        Self { url, directions }
    }

    /// All that was seen, a direction of a connection each.
    fn seen(&self) -> Vec<Vec<u8>> {
        let all = self.directions.lock().expect("no panic");
        all.iter().map(|seen| seen.lock().expect("no panic").clone()).collect()
    }
}

/// Records before it passes on: what has arrived was seen.
fn carry(mut from: TcpStream, mut to: TcpStream, seen: &Seen) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        seen.lock().expect("no panic").extend_from_slice(&buffer[..n]);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A block of text in which no `WINDOW` octets come twice.
fn block() -> Vec<u8> {
    let lines = (0..).map(|i: u32| format!("line {i:08} of what the relay must not read\n"));
    let mut block: Vec<u8> = lines.take(PERIOD / 32).flat_map(String::into_bytes).collect();
    // The words alone would be the same in every line: the number is woven into them.
    let mut state = 0x9E37_79B9_u32;
    for octet in &mut block {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *octet = b' ' + ((u32::from(*octet) + state) % 95) as u8;
    }
    block.truncate(PERIOD);
    block
}

/// The windows of what repeats a block.
fn windows(block: &[u8]) -> HashSet<[u8; WINDOW]> {
    let twice = [block, block].concat();
    let window = |at: usize| twice[at..at + WINDOW].try_into().expect("so many");
    (0..block.len()).map(window).collect()
}

/// Which of them the recording holds.
fn found(seen: &[Vec<u8>], windows: &HashSet<[u8; WINDOW]>) -> HashSet<[u8; WINDOW]> {
    let all = seen.iter().flat_map(|octets| octets.windows(WINDOW));
    all.filter_map(|window| windows.get(window).copied()).collect()
}

fn holds(seen: &[Vec<u8>], part: &[u8]) -> bool {
    seen.iter().any(|octets| octets.windows(part.len()).any(|window| window == part))
}

/// Carries the transfer by the command with these options beside its defaults; what was seen of it.
fn transfer(home: &TempDir, options: &str) -> Vec<Vec<u8>> {
    let relay = Relay::start();
    let recorder = Recorder::start(&relay);
    let script = format!("export HOME='{}'; exec \"$@\" {options}", home.path().display());
    let start = |action| Byway::start_by(&script, [action, "camera:1", "--relay", &recorder.url]);
    let mut listen = start("listen");
    listen.wait_told("listening on camera:1");
    let mut connect = start("connect");
    drop(listen.stdin());
    let (block, mut stdin) = (block(), connect.stdin());
    let sent: Vec<u8> = block.iter().copied().cycle().take(LEN).collect();
    let expected = sent.clone();
    let sender = thread::spawn(move || stdin.write_all(&sent).expect("taken"));
    let mut got = Vec::new();
    listen.stdout().read_to_end(&mut got).expect("stdout");
    sender.join().expect("sent");
    assert!(got == expected, "{} octets of {LEN}", got.len());
    connect.end().expect_code(0);
    listen.end().expect_code(0);
    let seen = recorder.seen();
    let all: usize = seen.iter().map(Vec::len).sum();
    assert!(all > 2 * LEN, "both ways were seen: {all} octets");
    assert!(holds(&seen, b"camera"), "the relay has to know the endpoint");
    seen
}

#[test]
fn recording_of_the_commands_traffic_holds_nothing_that_it_carried() {
    let home = tempfile::tempdir().expect("a directory");
    let windows = windows(&block());
    assert_eq!(windows.len(), PERIOD, "no window comes twice");
    let seen = transfer(&home, "");
    let found = found(&seen, &windows);
    assert!(found.is_empty(), "{} windows, such as {:?}", found.len(), found.iter().next());
    // Nor who the ends are.
    let file = IdentityFile::new(home.path().join(".config/byway/identity"));
    let key = file.load().expect("made by the command").public_key();
    for part in [&key.as_bytes()[..], &key.to_x25519(), key.to_string().as_bytes()] {
        assert!(!holds(&seen, part), "the key {key}");
    }
}

#[test]
fn recording_holds_all_that_the_command_carries_plain() {
    let home = tempfile::tempdir().expect("a directory");
    let windows = windows(&block());
    let found = found(&transfer(&home, "--plain"), &windows);
    assert_eq!(found.len(), windows.len(), "the recording would show it");
    assert!(!home.path().join(".config").exists(), "no identity is made where none is used");
}

#[test]
fn recording_holds_greetings_and_datagrams_of_plain_clients_alone() {
    const PARTS: [&[u8]; 4] = [
        b"a greeting to the camera",
        b"a greeting of the camera",
        b"a datagram to the camera",
        b"a datagram of the camera",
    ];
    for security in [Security::Encrypted, Security::Plain] {
        let relay = Relay::start();
        let recorder = Recorder::start(&relay);
        let open =
            || Client::open(Config { security, ..Config::new(&recorder.url) }).expect("opened");
        let (server, client) = (open(), open());
        let listener: Listener<DatagramChannel> =
            server.listen_greeting("camera:1", PARTS[1], DEADLINE).expect("listens");
        let near: DatagramChannel =
            client.connect_greeting("camera:1", PARTS[0], DEADLINE).expect("connects");
        let far = listener.accept_timeout(DEADLINE).expect("accepts");
        assert_eq!(far.greeting().as_deref(), Ok(PARTS[0]));
        assert_eq!(near.greeting().as_deref(), Ok(PARTS[1]));
        let mut buffer = [0; 100];
        near.send(PARTS[2]).expect("sent");
        let n = far.recv_timeout(&mut buffer, Some(DEADLINE)).expect("received");
        assert_eq!(&buffer[..n], PARTS[2]);
        far.send(PARTS[3]).expect("sent");
        let n = near.recv_timeout(&mut buffer, Some(DEADLINE)).expect("received");
        assert_eq!(&buffer[..n], PARTS[3]);
        // A stream's greeting is another message's.
        let streams: Listener<Stream> =
            server.listen_greeting("camera:2", &[], DEADLINE).expect("listens");
        let _near: Stream = client
            .connect_greeting("camera:2", b"a greeting with a stream", DEADLINE)
            .expect("connects");
        streams.accept_timeout(DEADLINE).expect("accepts");
        let seen = recorder.seen();
        for part in PARTS.into_iter().chain([&b"a greeting with a stream"[..]]) {
            assert_eq!(holds(&seen, part), security == Security::Plain, "{security:?}: {part:?}");
        }
    }
}
