use std::io::{Read, Write};
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::error::{Blocked, Error};

use super::{LONG, client, pattern, relay};

#[test]
fn closing_a_client_delivers_what_was_written() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let mut stream = connector.connect("camera:1").unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    let bytes = pattern(10_000);
    stream.write_all(&bytes).unwrap();
    connector.close(LONG).unwrap();
    connector.close(LONG).unwrap();
    let mut heard = Vec::new();
    accepted.read_to_end(&mut heard).unwrap();
    assert!(heard == bytes);
}

#[test]
fn dropping_a_stream_delivers_what_was_written() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let bytes = pattern(15_000);
    let mut stream = connector.connect("camera:1").unwrap();
    stream.write_all(&bytes).unwrap();
    drop(stream);
    let mut heard = Vec::new();
    listener.accept_timeout(LONG).unwrap().read_to_end(&mut heard).unwrap();
    assert!(heard == bytes);
}

#[test]
fn closing_with_bytes_unacknowledged_names_the_offsets() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let mut stream = connector.connect("camera:1").unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    stream.write_all(b"heard").unwrap();
    stream.wait_acked(LONG).unwrap();
    relay.abort();
    stream.write_all(b"never heard").unwrap();
    let begun = Instant::now();
    let left = connector.close(Duration::from_millis(300)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(left.unacked, [(stream.id(), 5)]);
    let mut heard = [0; 5];
    accepted.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"heard");
}

#[test]
fn dropping_the_last_handle_gives_the_name_back() {
    let relay = relay();
    // The name is free as soon as the client has said goodbye.
    let gone = client(&relay);
    let listener = gone.listen("camera:1").unwrap();
    drop(gone);
    let next = client(&relay);
    assert!(next.listen("camera:1").is_err(), "the listener keeps the client");
    drop(listener);
    let begun = Instant::now();
    while next.listen("camera:1").is_err() {
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
}

#[test]
fn stream_survives_a_change_of_network() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let mut stream = connector.connect("camera:1").unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    let mut heard = [0; 4];
    for _ in 0..5 {
        server.network_changed();
        connector.network_changed();
        let begun = Instant::now();
        stream.write_all(b"ping").unwrap();
        accepted.read_exact(&mut heard).unwrap();
        accepted.write_all(b"pong").unwrap();
        stream.read_exact(&mut heard).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[test]
fn client_that_reached_no_relay_leaves_nothing_behind() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let open_timeout = Duration::from_millis(100);
    let error = Client::open(Config { open_timeout, ..Config::new(url) }).unwrap_err();
    assert_eq!(error, Error::from(Blocked::Silence));
    let (mut socket, _) = silent.accept().unwrap();
    // The call was cut off, long before any deadline of its own.
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.read_to_end(&mut Vec::new()).unwrap();
}

#[test]
fn close_behind_a_dropped_stream_succeeds_once_all_is_acknowledged() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let mut stream = connector.connect("camera:1").unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    let bytes = pattern(16_000);
    stream.write_all(&bytes).unwrap();
    drop(stream);
    let reading = std::thread::spawn(move || {
        let mut heard = Vec::new();
        accepted.read_to_end(&mut heard).unwrap();
        heard
    });
    let closed = connector.close(LONG);
    assert!(reading.join().unwrap() == bytes);
    assert_eq!(closed, Ok(()));
}

#[test]
fn close_tells_of_bytes_that_the_peer_aborted() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let mut stream = connector.connect("camera:1").unwrap();
    let mut accepted = listener.accept_timeout(LONG).unwrap();
    // More bytes than the reader's ring takes.
    stream.write_all(&pattern(16_000)).unwrap();
    stream.write_all(&pattern(10_000)).unwrap();
    let closing = std::thread::spawn(move || connector.close(LONG));
    accepted.read_exact(&mut [0]).unwrap();
    accepted.abort();
    let closed = closing.join().unwrap();
    assert!(closed.is_err(), "{closed:?}");
}
