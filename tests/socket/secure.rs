//! Encrypted channels: whom they are with, and which are refused.

use std::collections::HashSet;
use std::io::{Read, Write};

use byway::client::{Client, Config, DatagramChannel, Listener, Security, Stream};
use byway::error::{ConfigError, Error, PeerError};
use byway::relay::Relay;
use byway::secure::{Identity, Secret};

use super::{LONG, client, config, pattern, plain_client, relay};

fn identity(octet: u8) -> Identity {
    Identity::from_seed([octet; 32])
}

fn client_of(relay: &Relay, identity: &Identity) -> Client {
    Client::open(Config { identity: Some(identity.clone()), ..config(relay) }).unwrap()
}

#[test]
fn each_end_knows_the_key_of_the_other() {
    let relay = relay();
    let (camera, viewer) = (identity(1), identity(2));
    let (server, connector) = (client_of(&relay, &camera), client_of(&relay, &viewer));
    let listener = server.listen("camera:1").unwrap();
    let stream = connector.connect("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    assert_eq!(stream.peer_key(), Ok(Some(camera.public_key())));
    assert_eq!(accepted.peer_key(), Ok(Some(viewer.public_key())));
}

#[test]
fn client_without_identity_has_another_key_each_time() {
    let relay = relay();
    let server = client(&relay);
    let listener = server.listen("camera:1").unwrap();
    let mut keys = HashSet::new();
    for _ in 0..3 {
        let connector = client(&relay);
        let _stream = connector.connect("camera:1").unwrap();
        let key = listener.accept_timeout(LONG).unwrap().peer_key().unwrap();
        assert!(keys.insert(key.expect("encrypted")));
    }
}

#[test]
fn ends_of_which_one_encrypts_refuse_each_other_and_name_the_remedy() {
    let relay = relay();
    let (plain, encrypts) = (plain_client(&relay), client(&relay));
    let _at_plain = plain.listen("plain:1").unwrap();
    let _at_encrypted = encrypts.listen("encrypted:1").unwrap();
    let refused = encrypts.connect_timeout("plain:1", LONG).map(|_| ());
    assert_eq!(refused, Err(ConfigError::PeerPlain.into()));
    assert!(refused.unwrap_err().to_string().contains("does not encrypt"));
    let refused = plain.connect_timeout("encrypted:1", LONG).map(|_| ());
    assert_eq!(refused, Err(ConfigError::PeerEncrypts.into()));
    // Plain ends have no key to show.
    let at_plain = plain.listen("plain:2").unwrap();
    let other = plain_client(&relay);
    let stream = other.connect("plain:2").unwrap();
    assert_eq!(stream.peer_key(), Ok(None));
    assert_eq!(at_plain.accept_timeout(LONG).unwrap().peer_key(), Ok(None));
    let key = identity(1).public_key();
    let pinned = other.connect_to_key("plain:2", &key, &[], LONG).map(|_: Stream| ());
    assert!(matches!(pinned, Err(Error::Config(ConfigError::Unsupported(_)))), "{pinned:?}");
}

#[test]
fn listener_with_another_key_than_the_pinned_is_refused() {
    let relay = relay();
    let server = client_of(&relay, &identity(1));
    let listener = server.listen("camera:1").unwrap();
    let connector = client(&relay);
    let right = identity(1).public_key();
    let stream: Stream = connector.connect_to_key("camera:1", &right, b"hello", LONG).unwrap();
    assert_eq!(listener.accept_timeout(LONG).unwrap().greeting().as_deref(), Ok(&b"hello"[..]));
    drop(stream);
    let wrong = identity(2).public_key();
    let refused = connector.connect_to_key("camera:1", &wrong, b"hello", LONG);
    assert_eq!(refused.map(|_: Stream| ()), Err(PeerError::WrongKey.into()));
    let refused = connector.connect_to_key("camera:1", &wrong, b"hello", LONG);
    assert_eq!(refused.map(|_: DatagramChannel| ()), Err(ConfigError::WrongKind.into()));
    // The greeting, which is for the other key, reached nobody.
    assert_eq!(
        listener.accept_timeout(std::time::Duration::ZERO).map(|_| ()),
        Err(Error::TimedOut)
    );
}

#[test]
fn listener_met_before_is_refused_with_another_key_until_its_line_is_removed() {
    let (relay, directory) = (relay(), tempfile::tempdir().unwrap());
    let file = directory.path().join("known");
    let open = || {
        let known_peers = Some(file.clone());
        Client::open(Config { known_peers, ..config(&relay) }).unwrap()
    };
    let connector = open();
    let connect = |connector: &Client| {
        let late = connector.start_connect("camera:1").unwrap();
        let at_once = connector.connect("camera:1").map(|_: Stream| ());
        assert_eq!(late.wait_open(LONG), at_once);
        at_once
    };
    for (camera, expected) in [
        (Some(identity(1)), Ok(())),
        (Some(identity(2)), Err(PeerError::WrongKey.into())),
        // Nor is a listener trusted that has no identity any more.
        (None, Err(PeerError::WrongKey.into())),
        (Some(identity(1)), Ok(())),
    ] {
        let server = Client::open(Config { identity: camera, ..config(&relay) }).unwrap();
        let listener: Listener<Stream> = server.listen("camera:1").unwrap();
        assert_eq!(connect(&connector), expected);
        assert_eq!(connect(&open()), expected, "another run");
        // A key that the program gives says more than the file.
        if expected.is_err() {
            let key = server.public_key().unwrap_or(identity(3).public_key());
            let given = connector.connect_to_key("camera:1", &key, &[], LONG);
            assert_eq!(given.is_ok(), server.public_key().is_some(), "{given:?}");
            let _: Result<Stream, _> = given;
        }
        listener.close();
        server.close(LONG).unwrap();
    }
    std::fs::write(&file, "").unwrap();
    let server = client_of(&relay, &identity(2));
    let _listener: Listener<Stream> = server.listen("camera:1").unwrap();
    assert_eq!(connect(&connector), Ok(()));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(identity(2).public_key().name().as_str()), "{text}");
}

#[test]
fn listener_met_before_is_not_called_in_plain_whoever_wants_that() {
    let (relay, directory) = (relay(), tempfile::tempdir().unwrap());
    let file = directory.path().join("known");
    let open = |security| {
        let known_peers = Some(file.clone());
        Client::open(Config { known_peers, security, ..config(&relay) }).unwrap()
    };
    let server = client_of(&relay, &identity(1));
    let listener: Listener<Stream> = server.listen("camera:1").unwrap();
    open(Security::Encrypted).connect("camera:1").unwrap();
    listener.close();
    server.close(LONG).unwrap();
    let squatter = plain_client(&relay);
    let _listener = squatter.listen("camera:1").unwrap();
    for security in [Security::Encrypted, Security::Plain] {
        let refused = open(security).connect("camera:1").map(|_| ());
        assert_eq!(refused, Err(PeerError::WrongKey.into()), "{security:?}");
    }
    std::fs::remove_file(&file).unwrap();
    let refused = open(Security::Encrypted).connect("camera:1").map(|_| ());
    assert_eq!(refused, Err(ConfigError::PeerPlain.into()));
    open(Security::Plain).connect("camera:1").unwrap();
}

#[test]
fn listener_without_an_identity_is_no_known_peer() {
    let (relay, directory) = (relay(), tempfile::tempdir().unwrap());
    let file = directory.path().join("known");
    let known_peers = Some(file.clone());
    let connector = Client::open(Config { known_peers, ..config(&relay) }).unwrap();
    for _ in 0..2 {
        let server = client(&relay);
        let listener: Listener<Stream> = server.listen("camera:1").unwrap();
        let stream = connector.connect("camera:1").unwrap();
        assert!(stream.peer_key().unwrap().is_some());
        listener.close();
        server.close(LONG).unwrap();
    }
    assert!(!file.exists());
}

#[test]
fn peers_without_the_shared_secret_are_refused() {
    let relay = relay();
    let with = |secret: Option<[u8; 32]>| {
        let shared_secret = secret.map(Secret::new);
        Client::open(Config { shared_secret, ..config(&relay) }).unwrap()
    };
    let server = with(Some([1; 32]));
    let listener = server.listen("camera:1").unwrap();
    let friend = with(Some([1; 32]));
    for secret in [Some([2; 32]), None] {
        let stranger = with(secret);
        let refused = stranger.connect("camera:1").map(|_| ());
        assert_eq!(refused, Err(PeerError::Handshake.into()));
        assert_eq!(
            listener.accept_timeout(std::time::Duration::ZERO).map(|_| ()),
            Err(Error::TimedOut)
        );
    }
    let mut stream = friend.connect("camera:1").unwrap();
    stream.write_all(b"it is me").unwrap();
    let mut said = [0; 8];
    listener.accept_timeout(LONG).unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"it is me");
}

#[test]
fn listener_without_the_shared_secret_is_refused_and_neither_heard_nor_known() {
    let (relay, directory) = (relay(), tempfile::tempdir().unwrap());
    let file = directory.path().join("known");
    let squatter = client_of(&relay, &identity(6));
    let listener: Listener<Stream> = squatter.listen_greeting("camera:1", b"evil", LONG).unwrap();
    let known_peers = Some(file.clone());
    let shared_secret = Some(Secret::new([1; 32]));
    let connector = Client::open(Config { shared_secret, known_peers, ..config(&relay) }).unwrap();
    let refused = connector.connect_greeting("camera:1", b"for friends", LONG);
    assert_eq!(refused.map(|_: Stream| ()), Err(PeerError::Handshake.into()));
    assert!(!file.exists());
    let accepted = listener.accept_timeout(std::time::Duration::ZERO).map(|_| ());
    assert_eq!(accepted, Err(Error::TimedOut));
}

#[test]
fn listener_admits_the_keys_it_is_given_and_tells_others_why() {
    let relay = relay();
    let server = client(&relay);
    let listener: Listener<Stream> = server.listen("camera:1").unwrap();
    listener.admit([identity(1).public_key()]);
    let (known, unknown) = (client_of(&relay, &identity(1)), client_of(&relay, &identity(2)));
    let mut refused = unknown.connect("camera:1").unwrap();
    let _admitted = known.connect("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    assert_eq!(accepted.peer_key(), Ok(Some(identity(1).public_key())));
    let error = refused.read(&mut [0; 1]).unwrap_err();
    let error = *error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(error, PeerError::KeyRefused.into());
}

#[test]
fn refused_peer_is_told_so_and_comes_back_in_vain() {
    let relay = relay();
    let server = client(&relay);
    let listener: Listener<Stream> = server.listen("camera:1").unwrap();
    let (stranger, friend) = (client_of(&relay, &identity(2)), client_of(&relay, &identity(1)));
    let end = |stream: &mut Stream| {
        let error = stream.read(&mut [0; 1]).unwrap_err();
        *error.get_ref().unwrap().downcast_ref::<Error>().unwrap()
    };
    let mut first = stranger.connect("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    listener.refuse(accepted.peer_key().unwrap());
    accepted.refuse();
    assert_eq!(accepted.peer_key(), Err(Error::Closed));
    assert_eq!(end(&mut first), PeerError::KeyRefused.into());
    let mut second = stranger.connect("camera:1").unwrap();
    let _friend = friend.connect("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    assert_eq!(accepted.peer_key(), Ok(Some(identity(1).public_key())));
    assert_eq!(end(&mut second), PeerError::KeyRefused.into());
    // A key that was admitted can be refused, too; that does not admit others.
    listener.admit([1, 2].map(|n| identity(n).public_key()));
    listener.refuse([identity(1).public_key()]);
    let mut third = friend.connect("camera:1").unwrap();
    let _admitted = stranger.connect("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    assert_eq!(accepted.peer_key(), Ok(Some(identity(2).public_key())));
    assert_eq!(end(&mut third), PeerError::KeyRefused.into());
}

#[test]
fn streams_and_datagrams_arrive_as_they_were_sent_and_statistics_count_the_applications_octets() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let streams = server.listen("camera:1").unwrap();
    let datagrams = server.listen_datagram("camera:2").unwrap();
    let sent = pattern(3_000_000);
    let mut out = connector.connect("camera:1").unwrap();
    let mut into = streams.accept_timeout(LONG).unwrap();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            out.write_all(&sent).unwrap();
            out.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        into.read_to_end(&mut received).unwrap();
        received
    });
    assert!(received == sent);
    out.wait_acked(LONG).unwrap();
    let (tx, rx) = (out.stats().unwrap(), into.stats().unwrap());
    let all = sent.len() as u64;
    assert_eq!([tx.written, tx.acked, rx.received, rx.read], [all; 4]);

    let out = connector.connect_datagram("camera:2").unwrap();
    let into = datagrams.accept_timeout(LONG).unwrap();
    let most = out.max_datagram().unwrap();
    let mut buffer = vec![0; most];
    for len in [0, 1, 15, 16, 17, 1000, most] {
        out.send(&sent[..len]).unwrap();
        let n = into.recv_timeout(&mut buffer, Some(LONG)).unwrap();
        assert!(buffer[..n] == sent[..len], "{len}");
    }
}

#[test]
fn security_says_nothing_of_its_secrets() {
    let identity = Identity::from_seed(*b"seed seed seed seed seed seed se");
    let shared = Secret::new(*b"share share share share share sh");
    let config = Config {
        identity: Some(identity),
        shared_secret: Some(shared),
        security: Security::Encrypted,
        ..Config::new("http://relay.example")
    };
    let text = format!("{config:?} {config:#?}");
    let numbers = |octets: &[u8]| {
        let numbers: Vec<_> = octets.iter().map(u8::to_string).collect();
        [numbers.join(", "), octets.iter().map(|b| format!("{b:02x}")).collect()]
    };
    for secret in [&b"seed seed"[..], b"share share"] {
        assert!(!text.contains(str::from_utf8(secret).unwrap()));
        assert!(numbers(secret).iter().all(|digits| !text.contains(digits)), "{text}");
    }
}
