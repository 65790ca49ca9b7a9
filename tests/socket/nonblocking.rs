//! Opening, listening and connecting by a program that waits for descriptors only.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use byway::client::{Client, ClientEvent, Config, PollFd, Readiness};
use byway::error::{Blocked, ConfigError, TransportError};
use byway::{Error, Kind};

use super::{LONG, client, config, readable, relay};

const NOW: Duration = Duration::ZERO;

/// A client whose relay accepts connections and says nothing. The listener and the connection have
/// to live as long. The first send is under way, so that no later request goes out and holds a
/// channel.
fn unanswered() -> ((TcpListener, TcpStream), Client) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let client = Client::start(Config::new(url)).unwrap();
    let (mut asked, _) = silent.accept().unwrap();
    asked.read_exact(&mut [0]).unwrap();
    ((silent, asked), client)
}

/// Waits until the descriptor is readable.
#[track_caller]
fn ready(fd: &PollFd) {
    assert!(readable(fd, LONG), "no readiness in {LONG:?}");
}

#[test]
fn opening_is_told_by_an_event_and_a_descriptor() {
    let relay = relay();
    let client = Client::start(config(&relay)).unwrap();
    let (open, event) =
        (client.poll_fd(Readiness::OPEN).unwrap(), client.poll_fd(Readiness::EVENT).unwrap());
    let mut events = Vec::new();
    while events.last() != Some(&ClientEvent::Opened) {
        ready(&event);
        events.push(client.next_event(NOW).expect("an event"));
    }
    assert_eq!(events, [ClientEvent::Connecting, ClientEvent::Opened]);
    assert!(readable(&open, NOW));
    assert_eq!(client.wait_open(NOW), Ok(()));
}

#[test]
fn failure_to_open_is_told_by_an_event_that_names_the_cause() {
    // Port 1 of this host has no listener as a rule; and if it has one, that is no relay.
    let client = Client::start("http://127.0.0.1:1").unwrap();
    let event = client.poll_fd(Readiness::EVENT).unwrap();
    loop {
        ready(&event);
        match client.next_event(NOW).expect("an event") {
            ClientEvent::Connecting => {}
            ClientEvent::PathBlocked { cause, .. } => break assert_eq!(cause, Blocked::Connect),
            other => panic!("{other}"),
        }
    }
    assert_eq!(client.wait_open(NOW), Err(Error::TimedOut), "it is still tried");
    let late = client.wait_open(Duration::from_millis(1)).unwrap_err();
    assert_eq!(late, TransportError::Blocked(Blocked::Connect).into());
}

#[test]
fn zero_time_out_of_a_wait_gives_timed_out() {
    let (_silent, client) = unanswered();
    assert_eq!(client.wait_open(NOW), Err(Error::TimedOut));
    assert_eq!(client.connect_timeout("a:1", NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(client.listen_timeout("a:1", NOW).unwrap_err(), Error::TimedOut);

    let listener = client.start_listen("a:1").unwrap();
    assert_eq!(listener.wait_open(NOW), Err(Error::TimedOut));
    assert_eq!(listener.accept_timeout(NOW).unwrap_err(), Error::TimedOut);
    assert_eq!(listener.readiness(), Readiness::NONE);

    let stream = client.start_connect("a:1").unwrap();
    assert_eq!(stream.wait_open(NOW), Err(Error::TimedOut));
    assert_eq!(stream.send_timeout(b"x", Some(NOW)), Err(Error::TimedOut));
    assert_eq!(stream.recv_timeout(&mut [0], Some(NOW)), Err(Error::TimedOut));
    assert_eq!(stream.peer(), Err(Error::TimedOut));
    assert!(!stream.readiness().intersects(Readiness::WRITABLE | Readiness::OPEN));
    stream.set_nonblocking(true);
    assert_eq!((&stream).write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!((&stream).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);

    let datagrams = client.start_connect_datagram("a:1").unwrap();
    assert_eq!(datagrams.wait_open(NOW), Err(Error::TimedOut));
    assert_eq!(datagrams.send_timeout(b"x", Some(NOW)), Err(Error::TimedOut));
    assert_eq!(datagrams.recv_timeout(&mut [0], Some(NOW)), Err(Error::TimedOut));
    assert_eq!(datagrams.max_datagram(), Err(Error::TimedOut));
    assert!(!datagrams.readiness().intersects(Readiness::WRITABLE | Readiness::OPEN));
}

#[test]
fn closing_gives_up_a_connection_being_made() {
    let (_silent, client) = unanswered();
    let stream = client.start_connect("a:1").unwrap();
    let other = stream.clone();
    let fd = other.poll_fd(Readiness::OPEN).unwrap();
    assert!(!readable(&fd, NOW));
    // A call that waited for the peer would never return.
    assert_eq!(stream.close_timeout(None), Ok(()));
    assert_eq!(other.wait_open(None), Err(Error::Closed));
    assert!(readable(&fd, NOW), "who waits for it is told");
    assert_eq!(client.start_connect("a:1").unwrap().close(), Ok(()));
    assert_eq!(client.start_connect_datagram("a:1").unwrap().close(), Ok(()));
    // All channels are free again: as many connections as there are channels can be begun.
    let channels = Config::new("http://relay").profile.channels;
    let all: Vec<_> = (0..channels).map(|_| client.start_connect("a:1").unwrap()).collect();
    drop(all);
    client.start_connect("a:1").unwrap();
    assert_eq!(client.close(NOW), Ok(()), "nothing was written");
}

#[test]
fn channel_started_without_waiting_opens_when_its_peer_answers() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    for kind in [Kind::Stream, Kind::Datagram] {
        let (fd, accepted, sent, received) = match kind {
            Kind::Stream => {
                let listener = server.start_listen("camera:1").unwrap();
                ready(&listener.poll_fd(Readiness::OPEN).unwrap());
                assert_eq!(listener.wait_open(NOW), Ok(()));
                let near = connector.start_connect("camera:1").unwrap();
                let fd = near.poll_fd(Readiness::WRITABLE).unwrap();
                ready(&fd);
                assert_eq!(near.wait_open(NOW), Ok(()));
                let sent = near.send_timeout(b"hello", Some(NOW));
                ready(&listener.poll_fd(Readiness::ACCEPTABLE).unwrap());
                let far = listener.accept_timeout(NOW).unwrap();
                assert_eq!(far.wait_open(NOW), Ok(()));
                ready(&far.poll_fd(Readiness::READABLE).unwrap());
                (fd, far.peer(), sent, far.recv_timeout(&mut [0; 8], Some(NOW)))
            }
            Kind::Datagram => {
                let listener = server.start_listen_datagram("camera:2").unwrap();
                ready(&listener.poll_fd(Readiness::OPEN).unwrap());
                let near = connector.start_connect_datagram("camera:2").unwrap();
                let fd = near.poll_fd(Readiness::OPEN).unwrap();
                ready(&fd);
                assert!(near.readiness().intersects(Readiness::WRITABLE));
                let sent = near.send_timeout(b"hello", Some(NOW)).map(|()| 5);
                ready(&listener.poll_fd(Readiness::ACCEPTABLE).unwrap());
                let far = listener.accept_timeout(NOW).unwrap();
                ready(&far.poll_fd(Readiness::READABLE).unwrap());
                (fd, far.peer(), sent, far.recv_timeout(&mut [0; 8], Some(NOW)))
            }
        };
        assert_eq!((sent, received), (Ok(5), Ok(5)), "{kind:?}");
        assert!(accepted.is_ok(), "{kind:?}");
        drop(fd);
    }
}

#[test]
fn refusal_is_told_by_the_descriptor_and_by_every_call() {
    let relay = relay();
    let (server, other) = (client(&relay), client(&relay));
    let _datagrams = server.listen_datagram("camera:1").unwrap();
    let refused = other.start_connect("camera:1").unwrap();
    ready(&refused.poll_fd(Readiness::WRITABLE).unwrap());
    assert!(refused.readiness().intersects(Readiness::CLOSED));
    let wrong = Error::Config(ConfigError::WrongKind);
    assert_eq!(refused.wait_open(NOW), Err(wrong));
    assert_eq!(refused.wait_open(NOW), Err(wrong), "as often as it is asked");
    assert_eq!(refused.send_timeout(b"x", Some(NOW)), Err(wrong));
    assert_eq!(refused.recv_timeout(&mut [0], Some(NOW)), Err(wrong));
    assert_eq!(refused.close_timeout(Some(NOW)), Ok(()), "nothing was sent");
}

/// The peer answers, sends and closes before this program looks.
#[test]
fn octets_before_an_end_are_not_lost_to_a_program_that_looks_late() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("banner:1").unwrap();
    let near = connector.start_connect("banner:1").unwrap();
    let mut far = listener.accept_timeout(LONG).unwrap();
    far.write_all(b"too late").unwrap();
    assert_eq!(far.close_timeout(Some(LONG)), Ok(()));
    ready(&near.poll_fd(Readiness::CLOSED).unwrap());
    assert_eq!(near.wait_open(NOW), Ok(()), "it was open");
    let mut banner = [0; 16];
    assert_eq!(near.recv_timeout(&mut banner, Some(NOW)), Ok(8));
    assert_eq!(&banner[..8], b"too late");
}

#[test]
fn acknowledgement_is_told_by_a_descriptor() {
    let relay = relay();
    let (server, connector) = (client(&relay), client(&relay));
    let listener = server.listen("acked:1").unwrap();
    let near = connector.connect("acked:1").unwrap();
    let far = listener.accept_timeout(LONG).unwrap();
    let fd = near.poll_fd(Readiness::ACKED).unwrap();
    assert!(readable(&fd, NOW), "nothing was written");
    assert_eq!(near.send_timeout(&[1; 1000], Some(NOW)), Ok(1000));
    near.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!near.readiness().intersects(Readiness::ACKED) || near.wait_acked(NOW).is_ok());
    let _ = near.wait_acked(NOW);
    ready(&fd);
    assert_eq!(near.close_timeout(Some(NOW)), Ok(()));
    drop(far);
}
