//! Key names with real clients and a real relay.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use byway::Kind;
use byway::client::{Client, ClientEvent, Config};
use byway::error::{ConfigError, Error, KeyNameFault, PeerError};
use byway::relay::{Relay, RelayConfig, RouterConfig};
use byway::secure::{HostDigest, Identity, KeyProof};
use byway::wire::{
    Decoder, Endpoint, Hello, HelloFlags, ListenReq, MAX_CONTROL, Message, Piece, Status, VERSION,
};

use super::{LONG, client, config, relay};

fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32])
}

fn own(identity: &Identity) -> Endpoint {
    Endpoint { name: identity.public_key().name(), port: 1 }
}

fn holder(relay: &Relay, n: u8) -> Client {
    Client::open(Config { identity: Some(identity(n)), ..config(relay) }).unwrap()
}

/// A relay that knows its hosts.
fn named(hosts: &[&str]) -> Relay {
    let hosts = hosts.iter().map(|host| HostDigest::of(host)).collect();
    let defaults = RelayConfig::default();
    let router = RouterConfig { hosts, ..defaults.router };
    Relay::bind(RelayConfig { router, ..defaults }).unwrap()
}

fn exchange(
    connector: &Client,
    listener: &byway::client::Listener<byway::client::Stream>,
    at: Endpoint,
) {
    let mut stream = connector.connect_timeout(at, LONG).unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut got = [0; 5];
    accepted.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
}

#[test]
fn client_listens_at_its_own_key_name_and_others_connect_with_nothing_set_up() {
    let relay = relay();
    let server = holder(&relay, 1);
    let at = own(&identity(1));
    assert_eq!(server.public_key(), Some(identity(1).public_key()));
    let listener = server.listen(at).unwrap();
    exchange(&client(&relay), &listener, at);
    let datagrams = server.listen_datagram(Endpoint { port: 2, ..at }).unwrap();
    let _connected = client(&relay).connect_datagram(Endpoint { port: 2, ..at }).unwrap();
    datagrams.accept_timeout(LONG).unwrap();
    let stats = relay.stats();
    assert_eq!((stats.proofs, stats.unproved), (1, 0));
}

#[test]
fn another_identity_is_refused_before_anything_goes() {
    let relay = relay();
    let foreign = Error::from(KeyNameFault::Foreign);
    assert_eq!(holder(&relay, 2).listen(own(&identity(1))).unwrap_err(), foreign);
    let nameless = client(&relay);
    assert_eq!(nameless.public_key(), None);
    assert_eq!(nameless.listen(own(&identity(1))).unwrap_err(), foreign);
    let damaged = Error::from(KeyNameFault::Damaged);
    assert_eq!(nameless.connect("k.camera:1").unwrap_err(), damaged);
    assert_eq!(relay.stats().proofs, 0);
}

#[test]
fn connector_without_a_listener_hears_so() {
    let relay = relay();
    let refused = client(&relay).connect_timeout(own(&identity(1)), LONG).unwrap_err();
    assert_eq!(refused, PeerError::NoListener.into());
}

#[test]
fn newer_process_of_the_same_key_takes_over_and_the_older_is_told() {
    let relay = relay();
    let at = own(&identity(1));
    let process = |epoch| {
        // Each has its own owner: the key is what counts.
        let owner = Some([epoch as u8; 16]);
        let identity = Some(identity(1));
        Client::open(Config { identity, owner, epoch: Some(epoch), ..config(&relay) }).unwrap()
    };
    let (older, newer) = (process(1), process(2));
    let first = older.listen(at).unwrap();
    let second = newer.listen(at).unwrap();
    assert_eq!(first.accept_timeout(LONG).unwrap_err(), ConfigError::Taken.into());
    let told = std::iter::from_fn(|| older.next_event(Duration::ZERO))
        .any(|event| event == ClientEvent::ListenerLost(first.id()));
    assert!(told);
    exchange(&client(&relay), &second, at);
    // A third with a clock that is behind, and one with the highest epoch, take over, too.
    drop(first);
    let third = process(1);
    let listener = third.listen(at).unwrap();
    exchange(&client(&relay), &listener, at);
    for _ in 0..2 {
        let last = process(u64::MAX);
        let listener = last.listen(at).unwrap();
        exchange(&client(&relay), &listener, at);
    }
}

#[test]
fn restarted_relay_is_told_the_proof_again_and_channels_go_on() {
    let relay = relay();
    let (address, at) = (relay.local_addr(), own(&identity(1)));
    let server = holder(&relay, 1);
    let connector = client(&relay);
    let listener = server.listen(at).unwrap();
    let mut stream = connector.connect_timeout(at, LONG).unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    relay.abort();
    let begun = Instant::now();
    let listening = loop {
        match TcpListener::bind(address) {
            Ok(listening) => break listening,
            Err(error) => assert!(begun.elapsed() < LONG, "{error}"),
        }
    };
    let relay = Relay::serve(vec![listening], RelayConfig::default()).unwrap();
    // The channel goes on.
    stream.write_all(b"still here").unwrap();
    let mut got = [0; 10];
    accepted.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still here");
    exchange(&connector, &listener, at);
    assert_eq!(relay.stats().proofs, 1);
    assert_eq!(listener.wait_open(Duration::ZERO), Ok(()));
}

#[test]
fn relay_that_knows_its_hosts_refuses_proofs_for_others() {
    let at = own(&identity(1));
    let right = named(&["relay.example.org", "127.0.0.1"]);
    let server = holder(&right, 1);
    let _listener = server.listen(at).unwrap();
    let wrong = named(&["relay.example.org"]);
    let error = holder(&wrong, 1).listen(at).unwrap_err();
    assert_eq!(error, KeyNameFault::Unproved.into());
    assert!(error.to_string().contains("--host"), "{error}");
    // Ordinary names need no proof.
    holder(&wrong, 1).listen("camera:1").unwrap();
}

/// What the relay says of the only claim in a park that a stranger makes, with this proof.
fn squat(relay: &Relay, secret: [u8; 16], at: Endpoint, proof: Option<KeyProof>) -> Status {
    let hello = Hello {
        version: VERSION,
        flags: HelloFlags::NONE,
        secret,
        seq: 1,
        hold_ms: 5_000,
        max_response: 4096,
    };
    let claim = ListenReq {
        claim: 1,
        kind: byway::wire::ChannelKind::plain(Kind::Stream),
        port: at.port,
        owner: [9; 16],
        epoch: u64::MAX,
        backlog: 9,
        heard: None,
        name: at.name,
    };
    let messages =
        [Some(Message::Hello(hello)), proof.as_ref().map(|p| Message::Proof(p.message()))];
    let mut body = Vec::new();
    for message in messages.into_iter().flatten().chain([Message::ListenReq(claim)]) {
        let mut octets = [0; MAX_CONTROL];
        let len = message.encode(&mut octets).unwrap();
        body.extend_from_slice(&octets[..len]);
    }
    let mut socket = TcpStream::connect(relay.local_addr()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: relay\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (mut decoder, mut rest) = (Decoder::new(), &answer[split..]);
    while let Some(piece) = decoder.next(&mut rest).unwrap() {
        if let Piece::Message(Message::ListenRsp(rsp)) = piece {
            return rsp.status;
        }
    }
    panic!("no word of the claim: {answer:?}");
}

#[test]
fn squatter_is_refused_by_a_real_relay_whatever_he_recorded() {
    let relay = relay();
    let at = own(&identity(1));
    let host = HostDigest::of("127.0.0.1");
    // Before the owner is there, while it is, and with all that it said.
    let recorded = KeyProof::new(&identity(1), &[1; 16], host);
    assert_eq!(squat(&relay, [2; 16], at, None), Status::Prove);
    assert_eq!(squat(&relay, [3; 16], at, Some(recorded)), Status::Unproved);
    let foreign = KeyProof::new(&identity(2), &[4; 16], host);
    assert_eq!(squat(&relay, [4; 16], at, Some(foreign)), Status::Prove);
    let server = holder(&relay, 1);
    let listener = server.listen(at).unwrap();
    assert_eq!(squat(&relay, [5; 16], at, Some(recorded)), Status::Unproved);
    assert_eq!(squat(&relay, [6; 16], at, None), Status::Prove);
    exchange(&client(&relay), &listener, at);
    // The session that the proof was made for has the key, and so the name.
    assert_eq!(squat(&relay, [1; 16], at, Some(recorded)), Status::Ok);
}
