//! Cancelling waits, readiness, descriptors, opening without waiting.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Client, Config, Readiness, Stream};

use super::{LONG, client, config, readable, relay};

/// Cancels until `wait` is over: a first cancel may come before it waits.
fn cancelled<T: Send>(cancel: impl Fn(), wait: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        let begun = Instant::now();
        while !waiting.is_finished() {
            assert!(begun.elapsed() < LONG, "the wait goes on");
            cancel();
            thread::yield_now();
        }
        waiting.join().expect("no panic")
    })
}

#[test]
fn waits_are_cancelled_and_nothing_is_lost() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let accept = || listener.accept_timeout(None).map(drop);
    assert_eq!(cancelled(|| listener.cancel(), accept), Err(Error::Cancelled));
    let connect = || connector.connect_timeout("nobody:1", None).map(drop);
    assert_eq!(cancelled(|| connector.cancel(), connect), Err(Error::Cancelled));

    let stream = connector.connect("camera:1").unwrap();
    let mut other = listener.accept_timeout(LONG).unwrap();
    let read = || stream.recv_timeout(&mut [0; 8], None);
    assert_eq!(cancelled(|| stream.cancel(), read), Err(Error::Cancelled));
    other.write_all(b"12345678").unwrap();
    let mut got = [0; 8];
    assert_eq!(stream.recv_timeout(&mut got, Some(LONG)), Ok(8));
    assert_eq!(&got, b"12345678");

    // A cancel by a handle of the former channel does not end a wait on the slot's next channel.
    let lost: Stream = stream.clone();
    stream.abort();
    let next = connector.connect("camera:1").unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| next.recv_timeout(&mut [0; 8], Some(LONG)));
        for _ in 0..100 {
            lost.cancel();
        }
        next.close_timeout(Some(LONG)).unwrap();
        assert_eq!(waiting.join().expect("no panic"), Err(Error::Closed));
    });
}

#[test]
fn descriptor_becomes_readable_with_data() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("camera:1").unwrap();
    let acceptable = listener.poll_fd(Readiness::ACCEPTABLE).unwrap();
    assert!(!readable(&acceptable, Duration::ZERO));
    let mut stream = connector.connect("camera:1").unwrap();
    assert!(readable(&acceptable, LONG));
    let other = listener.accept_timeout(Duration::ZERO).unwrap();
    assert!(!readable(&acceptable, Duration::ZERO));

    let fd = other.poll_fd(Readiness::READABLE).unwrap();
    assert!(!other.readiness().intersects(Readiness::READABLE));
    assert!(other.readiness().intersects(Readiness::WRITABLE));
    stream.write_all(b"x").unwrap();
    assert!(readable(&fd, LONG));
    assert_eq!(other.recv_timeout(&mut [0; 8], Some(Duration::ZERO)), Ok(1));
    assert!(!readable(&fd, Duration::ZERO));
    fd.set_interest(Readiness::READABLE | Readiness::WRITABLE);
    assert!(readable(&fd, Duration::ZERO));
    drop(fd);
    server.close(LONG).unwrap();
    assert!(readable(&acceptable, Duration::ZERO));
    assert!(listener.readiness().intersects(Readiness::CLOSED));
}

#[test]
fn client_starts_before_its_relay_can_be_reached() {
    // A free port, of a listener that is closed before the client starts.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client = Client::start(Config::new(format!("http://127.0.0.1:{port}"))).unwrap();
    assert!(client.wait_open(Duration::from_millis(100)).is_err());
    let wait = || client.wait_open(None);
    assert_eq!(cancelled(|| client.cancel(), wait), Err(Error::Cancelled));
    client.close(Duration::ZERO).unwrap();
    assert_eq!(client.wait_open(None), Err(Error::Closed));

    let relay = relay();
    let client = Client::start(config(&relay)).unwrap();
    client.wait_open(LONG).unwrap();
    client.wait_open(Duration::ZERO).unwrap();
    client.abort();
    assert_eq!(client.connect("camera:1").unwrap_err(), Error::Closed);
}
