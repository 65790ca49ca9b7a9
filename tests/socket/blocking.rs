use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Client, Stream};

use super::{LONG, client, relay};

const SHORT: Duration = Duration::from_millis(80);

/// A connected pair with its clients.
fn pair(relay: &byway::relay::Relay) -> (Client, Stream, Client, Stream) {
    let (server, connector) = (client(relay), client(relay));
    let listener = server.listen("camera:1").unwrap();
    let stream = connector.connect("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    (server, accepted, connector, stream)
}

/// Runs `f`, and gives its result; checks that it did not take long.
fn soon<T>(f: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = f();
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    result
}

#[test]
fn calls_end_at_their_time_out() {
    let relay = relay();
    let (_server, _accepted, client, mut stream) = pair(&relay);
    let zero = stream.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(zero.kind(), ErrorKind::InvalidInput);
    stream.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(stream.read_timeout(), Some(SHORT));
    let begun = Instant::now();
    let late = soon(|| stream.read(&mut [0; 4]).unwrap_err());
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(begun.elapsed() >= SHORT);
    stream.set_nonblocking(true);
    let late = soon(|| stream.read(&mut [0; 4]).unwrap_err());
    assert_eq!(late.kind(), ErrorKind::WouldBlock);
    stream.set_nonblocking(false);

    // The other end does not read: both rings fill up.
    stream.set_write_timeout(Some(SHORT)).unwrap();
    let late = soon(|| stream.write_all(&[0; 100_000]).unwrap_err());
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert_eq!(stream.wait_acked(SHORT), Err(Error::TimedOut));

    let listener = client.listen("phone:1").unwrap();
    assert_eq!(listener.accept_timeout(SHORT).unwrap_err(), Error::TimedOut);
    assert_eq!(listener.accept_timeout(Duration::ZERO).unwrap_err(), Error::TimedOut);
    while client.next_event(Duration::ZERO).is_some() {}
    assert_eq!(client.next_event(SHORT), None);
}

/// Calls `cancel` while another thread is in `wait`, and gives what `wait` returned.
fn cancelled<T: Send>(wait: impl FnOnce() -> T + Send, cancel: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        thread::sleep(SHORT);
        assert!(!waiting.is_finished());
        cancel();
        soon(|| waiting.join().unwrap())
    })
}

#[test]
fn shutdown_wakes_a_reader_and_a_writer() {
    let relay = relay();
    let (_server, _accepted, _client, stream) = pair(&relay);
    let read =
        cancelled(|| (&stream).read(&mut [0; 4]), || stream.shutdown(Shutdown::Read).unwrap());
    assert_eq!(read.unwrap(), 0);
    let written = cancelled(
        || (&stream).write_all(&[0; 100_000]),
        || stream.shutdown(Shutdown::Write).unwrap(),
    );
    assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn abort_wakes_both_ends() {
    let relay = relay();
    let (_server, accepted, _client, stream) = pair(&relay);
    let far = thread::spawn(move || (&accepted).read(&mut [0; 4]).unwrap_err());
    let near = cancelled(|| (&stream).read(&mut [0; 4]), || stream.abort());
    assert_eq!(near.unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(soon(|| far.join().unwrap()).kind(), ErrorKind::ConnectionReset);
}

#[test]
fn closing_a_listener_wakes_accept() {
    let relay = relay();
    let client = client(&relay);
    let listener = client.listen("camera:1").unwrap();
    let accepted = cancelled(|| listener.accept(), || listener.close());
    assert_eq!(accepted.unwrap_err(), Error::Closed);
}

#[test]
fn closing_the_client_wakes_everyone() {
    let relay = relay();
    let (_server, accepted, client, stream) = pair(&relay);
    let listener = client.listen("phone:1").unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&stream).read(&mut [0; 4]));
        let accepting = scope.spawn(|| listener.accept());
        let connecting = scope.spawn(|| client.connect_timeout("nobody:1", LONG));
        let watching = scope.spawn(|| while client.next_event(LONG).is_some() {});
        thread::sleep(SHORT);
        soon(|| {
            client.close(LONG).unwrap();
            assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(accepting.join().unwrap().unwrap_err(), Error::Closed);
            assert!(connecting.join().unwrap().is_err());
            watching.join().unwrap();
        });
    });
    assert_eq!(client.connect("camera:1").unwrap_err(), Error::Closed);
    assert_eq!((&accepted).read(&mut [0; 4]).unwrap(), 0, "the other end hears of it");
}
