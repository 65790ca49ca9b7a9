//! What goes with a connection before any byte of it.

use std::thread;

use byway::Error;
use byway::client::{DatagramChannel, Listener, Stream};
use byway::error::ConfigError;
use byway::wire::{Accept, ChannelRef, MAX_GREETING, Message, Route, Status};

use super::naive::{Naive, Seen, to};
use super::stranger::claim;
use super::{LONG, client, pattern, plain_client, relay};

/// The longest, of bytes that no text has.
fn longest() -> Vec<u8> {
    let greeting = pattern(MAX_GREETING);
    assert!(greeting.contains(&0) && std::str::from_utf8(&greeting).is_err(), "any octets do");
    greeting
}

#[test]
fn accepted_stream_has_the_greeting_of_its_connector() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    for greeting in [&b"picture 17"[..], &[], &longest()] {
        let stream: Stream = connector.connect_greeting("camera:1", greeting, LONG).unwrap();
        let accepted = listener.accept_timeout(LONG).unwrap();
        assert_eq!(accepted.greeting().as_deref(), Ok(greeting));
        assert_eq!(stream.greeting().as_deref(), Ok(&b""[..]), "the listener was given none");
        accepted.abort();
        assert_eq!(accepted.greeting(), Err(Error::Closed));
    }
}

#[test]
fn accepted_datagram_channel_has_the_greeting_of_its_connector() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen_datagram("camera:1").unwrap();
    let _channel: DatagramChannel =
        connector.connect_greeting("camera:1", &longest(), LONG).unwrap();
    assert_eq!(listener.accept_timeout(LONG).unwrap().greeting(), Ok(longest()));
}

#[test]
fn connector_reads_the_greeting_of_a_listener_before_it_is_accepted() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    for (port, greeting) in [(1, &b"jpeg 640x480"[..]), (2, &[]), (3, &longest())] {
        let endpoint = format!("camera:{port}");
        let listener: Listener<Stream> =
            server.listen_greeting(endpoint.as_str(), greeting, LONG).unwrap();
        // Both of them, since the greeting is the listener's.
        for _ in 0..2 {
            let stream: Stream =
                connector.connect_greeting(endpoint.as_str(), b"picture 17", LONG).unwrap();
            assert_eq!(stream.greeting().as_deref(), Ok(greeting));
            let accepted = listener.accept_timeout(LONG).unwrap();
            assert_eq!(accepted.greeting().as_deref(), Ok(&b"picture 17"[..]));
        }
    }
}

#[test]
fn connector_reads_the_greeting_of_a_listener_for_datagrams_made_in_the_background() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let channel = connector.start_connect_datagram("camera:1").unwrap();
    let _listener: Listener<DatagramChannel> =
        server.start_listen_greeting("camera:1", &longest()).unwrap();
    channel.wait_open(LONG).unwrap();
    assert_eq!(channel.greeting(), Ok(longest()));
}

#[test]
fn greeting_of_a_connection_made_in_the_background_arrives() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let stream: Stream = connector.start_connect_greeting("camera:1", b"early").unwrap();
    assert_eq!(stream.greeting(), Err(Error::TimedOut), "nobody listens yet");
    let listener = server.listen("camera:1").unwrap();
    assert_eq!(listener.accept_timeout(LONG).unwrap().greeting().as_deref(), Ok(&b"early"[..]));
}

#[test]
fn greeting_too_long_is_refused_and_takes_no_channel() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let _listener = server.listen("camera:1").unwrap();
    let long = [0; MAX_GREETING + 1];
    let refused = Error::from(ConfigError::Greeting);
    for _ in 0..super::CHANNELS {
        let waited = connector.connect_greeting("camera:1", &long, LONG);
        assert_eq!(waited.map(|stream: Stream| stream.id()), Err(refused));
        let started = connector.start_connect_greeting("camera:1", &long);
        assert_eq!(started.map(|channel: DatagramChannel| channel.id()), Err(refused));
    }
    connector.connect_timeout("camera:1", LONG).unwrap();
}

#[test]
fn greeting_too_long_is_refused_and_claims_no_endpoint() {
    let server = client(&relay());
    let long = [0; MAX_GREETING + 1];
    let refused = Error::from(ConfigError::Greeting);
    let waited = server.listen_greeting("camera:1", &long, LONG);
    assert_eq!(waited.map(|listener: Listener<Stream>| listener.id()), Err(refused));
    let started = server.start_listen_greeting("camera:1", &long);
    assert_eq!(started.map(|listener: Listener<DatagramChannel>| listener.id()), Err(refused));
    assert!(server.start_listen("camera:1").is_ok(), "nothing is claimed");
}

#[test]
fn connector_reads_the_greeting_that_a_listener_answers() {
    let relay = relay();
    let mut camera = Naive::new(relay.local_addr(), 100);
    let unheard = claim(None);
    camera.park_for(&unheard, |seen| (*seen == Seen::ListenRsp(Status::Ok)).then_some(()));
    let claim = claim(Some(Status::Ok));
    let program = plain_client(&relay);
    thread::scope(|scope| {
        let connecting = scope.spawn(|| program.connect_timeout("camera:1", LONG).unwrap());
        let route = camera.park_for(&claim, |seen| match seen {
            Seen::AcceptReq(from, channel, _) => Some(Route { peer: from.peer, channel: *channel }),
            _ => None,
        });
        let accept = Accept {
            status: Status::Ok,
            channel: ChannelRef { id: 8, token: 88 },
            limit: 1_000,
            linger_ms: 60_000,
            greeting: &longest(),
        };
        camera.deliver(&claim, &to(&route, &Message::AcceptRsp(accept)));
        let stream = connecting.join().unwrap();
        assert_eq!(stream.greeting(), Ok(longest()));
        stream.abort();
    });
}
