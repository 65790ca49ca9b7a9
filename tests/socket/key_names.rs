//! Key names with real clients and a real relay.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use byway::client::{Client, ClientEvent, Config};
use byway::error::{ConfigError, Error, KeyNameFault, PeerError};
use byway::relay::{Relay, RelayConfig, RouterConfig};
use byway::secure::{HostDigest, Identity};
use byway::wire::Endpoint;

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
    let connected = client(&relay).connect_datagram(Endpoint { port: 2, ..at });
    connected.unwrap();
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
    let listener = holder(&right, 1);
    listener.listen(at).unwrap();
    let wrong = named(&["relay.example.org"]);
    let error = holder(&wrong, 1).listen(at).unwrap_err();
    assert_eq!(error, KeyNameFault::Unproved.into());
    assert!(error.to_string().contains("--host"), "{error}");
    // Ordinary names need no proof.
    holder(&wrong, 1).listen("camera:1").unwrap();
}
