use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZeroU8;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, ClientEvent, Config};
use byway::error::{Blocked, ConfigError, PeerError, ResourceError, TransportError};
use byway::session::Profile;
use byway::wire::{Address, End, Message, Status, Welcome};
use byway::{EndpointError, Error};

use super::{LONG, client, config, relay};

/// The relay says RETRY of unknown names while it is young.
const CONNECT: Duration = Duration::from_secs(12);

#[test]
fn nobody_listens() {
    let relay = relay();
    let refused = client(&relay).connect_timeout("nobody:1", CONNECT).unwrap_err();
    assert_eq!(refused, PeerError::NoListener.into());
}

#[test]
fn no_endpoint() {
    let relay = relay();
    let client = client(&relay);
    for (text, why) in [
        ("camera", EndpointError::NoPort),
        (":1", EndpointError::Empty),
        ("camera:70000", EndpointError::Port),
        ("my camera:1", EndpointError::Alphabet),
    ] {
        assert_eq!(client.listen(text).unwrap_err(), ConfigError::Endpoint(why).into());
        assert_eq!(client.connect(text).unwrap_err(), ConfigError::Endpoint(why).into());
    }
    assert!(client.listen(("camera", 1)).is_ok());
}

#[test]
fn in_use() {
    let relay = relay();
    let (one, other) = (client(&relay), client(&relay));
    let listener = one.listen("camera:1").unwrap();
    assert_eq!(one.listen("camera:1").unwrap_err(), ConfigError::Duplicate.into());
    assert_eq!(other.listen("camera:1").unwrap_err(), ConfigError::InUse.into());
    drop(listener);
    let begun = Instant::now();
    while other.listen("camera:1").is_err() {
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn a_newer_process_of_the_owner_takes_over() {
    let relay = relay();
    let owned = |epoch| {
        let owner = Some([7; 16]);
        Client::open(Config { owner, epoch: Some(epoch), ..config(&relay) }).unwrap()
    };
    let (older, newer) = (owned(1), owned(2));
    let listener = older.listen("camera:1").unwrap();
    let taker = newer.listen("camera:1").unwrap();
    assert_eq!(listener.accept_timeout(LONG).unwrap_err(), ConfigError::Taken.into());
    let _stream = older.connect("camera:1").unwrap();
    taker.accept_timeout(LONG).unwrap();
    let told = std::iter::from_fn(|| older.next_event(Duration::ZERO))
        .any(|event| event == ClientEvent::ListenerLost(listener.id()));
    assert!(told);
}

#[test]
fn backlog_full() {
    let relay = relay();
    let backlog = NonZeroU8::new(2);
    let server = Client::open(Config { backlog, ..config(&relay) }).unwrap();
    let connector = client(&relay);
    let listener = server.listen("camera:1").unwrap();
    let _waiting = [connector.connect("camera:1").unwrap(), connector.connect("camera:1").unwrap()];
    let refused = connector.connect_timeout("camera:1", Duration::from_millis(700)).unwrap_err();
    assert_eq!(refused, PeerError::BacklogFull.into());
    std::thread::scope(|scope| {
        let sends = server.stats().sends;
        let waits = scope.spawn(|| connector.connect_timeout("camera:1", LONG));
        // The listener has nothing else to say than that there is no room.
        while server.stats().sends == sends && !waits.is_finished() {
            std::thread::yield_now();
        }
        listener.accept_timeout(LONG).unwrap();
        waits.join().unwrap().unwrap();
    });
}

#[test]
fn many_connect_at_once_and_none_is_refused() {
    let relay = relay();
    for count in [20, 60, 200] {
        // Each time another name: the last client may not have said yet that it gives up its own.
        let endpoint = ("camera", count);
        let of = |profile| Client::open(Config { profile, ..config(&relay) }).unwrap();
        let (server, connector) = (of(Profile::SERVER), of(Profile::SERVER));
        let listener = server.listen(endpoint).unwrap();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..count)
                .map(|_| scope.spawn(|| connector.connect_timeout(endpoint, LONG)))
                .collect();
            // Nobody accepts before all are there.
            let all: Vec<_> = all.into_iter().map(|one| one.join().unwrap().unwrap()).collect();
            for _ in &all {
                listener.accept_timeout(LONG).unwrap();
            }
        });
    }
}

#[test]
fn wrong_kind() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let _streams = server.listen("camera:1").unwrap();
    let _datagrams = server.listen_datagram("camera:2").unwrap();
    let refused = connector.connect_datagram("camera:1").unwrap_err();
    assert_eq!(refused, ConfigError::WrongKind.into());
    assert_eq!(connector.connect("camera:2").unwrap_err(), ConfigError::WrongKind.into());
}

#[test]
fn no_free_channel_or_listener() {
    let relay = relay();
    let small = Config { profile: Profile::TINY, ..config(&relay) };
    let (server, small) = (client(&relay), Client::open(small).unwrap());
    let _listener = server.listen("camera:1").unwrap();
    let _all = [small.connect("camera:1").unwrap(), small.connect("camera:1").unwrap()];
    assert_eq!(small.connect("camera:1").unwrap_err(), ResourceError::Channels.into());
    let _only = small.listen("phone:1").unwrap();
    assert_eq!(small.listen("phone:2").unwrap_err(), ResourceError::Listeners.into());
}

#[test]
fn no_relay() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = Config {
        open_timeout: Duration::from_millis(300),
        ..Config::new(format!("http://127.0.0.1:{port}"))
    };
    let refused = Client::open(config).unwrap_err();
    assert_eq!(refused, TransportError::Blocked(Blocked::Connect).into());
    let refused = Client::open("relay.example").unwrap_err();
    assert!(matches!(refused, Error::Config(ConfigError::RelayUrl(_))), "{refused}");
}

#[test]
fn the_relay_goes_away_and_the_cause_is_told() {
    let relay = relay();
    let client = client(&relay);
    let _listener = client.listen("camera:1").unwrap();
    relay.abort();
    let begun = Instant::now();
    let (cause, seen) = loop {
        match client.next_event(LONG) {
            Some(ClientEvent::PathBlocked { cause: Blocked::Connect, seen }) => {
                break (Blocked::Connect, seen);
            }
            Some(_) => assert!(begun.elapsed() < LONG),
            None => panic!("no event"),
        }
    };
    assert!(seen.contains("refused"), "{seen}");
    let refused = client.connect_timeout("camera:2", Duration::from_millis(300)).unwrap_err();
    assert_eq!(refused, TransportError::Blocked(cause).into());
}

/// A server that answers every request with the same.
fn answering(kind: &str, body: &[u8]) -> Config {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let len = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n");
    let answer = [head.as_bytes(), body].concat();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // One read brings a whole request, which is small and made in one write.
            while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    Config { open_timeout: Duration::from_millis(300), ..Config::new(url) }
}

#[test]
fn another_version() {
    let welcome = Welcome { version: 9, seq: 1, address: Address([1; 16]), max_body: 1 << 20 };
    let mut body = [0; 128];
    let n = Message::Welcome(welcome).encode(&mut body).unwrap();
    let end = Message::End(End { status: Status::Version, highest: 0 });
    let len = n + end.encode(&mut body[n..]).unwrap();
    let refused = Client::open(answering("application/octet-stream", &body[..len])).unwrap_err();
    assert_eq!(refused, ConfigError::Version { relay: 9 }.into());
}

#[test]
fn a_portal_in_the_way() {
    for kind in ["text/html", "application/octet-stream"] {
        let page = b"<html><head><title>Welcome to our WiFi</title></head></html>";
        let refused = Client::open(answering(kind, page)).unwrap_err();
        assert_eq!(refused, TransportError::Blocked(Blocked::Foreign).into(), "{kind}");
    }
}

#[test]
fn sessions_of_one_secret_end_each_other() {
    let relay = relay();
    let seed = Some([77; 24]);
    let clients = [0; 2].map(|_| Client::start(Config { seed, ..config(&relay) }).unwrap());
    let _listener = clients[0].listen("shared:1").unwrap();
    let shared = Error::from(TransportError::SecretShared);
    let begun = std::time::Instant::now();
    let ended = |client: &Client| {
        let timeout = std::time::Duration::from_millis(200);
        client.connect_timeout("nobody:2", timeout).unwrap_err() == shared
    };
    while !clients.iter().any(ended) {
        assert!(begun.elapsed() < LONG, "neither is told");
    }
}
