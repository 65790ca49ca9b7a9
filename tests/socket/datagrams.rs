use std::io::ErrorKind;
use std::time::Duration;

use byway::client::DatagramChannel;
use byway::error::ConfigError;
use byway::{Error, relay::Relay};

use super::{LONG, client, pattern, relay};

fn pair(relay: &Relay) -> (DatagramChannel, DatagramChannel) {
    let (server, connector) = (client(relay), client(relay));
    let listener = server.listen_datagram("camera:1").unwrap();
    let channel = connector.connect_datagram("camera:1").unwrap();
    let accepted = listener.accept_timeout(LONG).unwrap();
    for end in [&accepted, &channel] {
        end.set_read_timeout(Some(LONG)).unwrap();
    }
    (accepted, channel)
}

#[test]
fn datagrams_cross_both_ways() {
    let relay = relay();
    let (server, channel) = pair(&relay);
    let largest = channel.max_datagram().unwrap();
    let mut heard = vec![0; largest];
    for len in [1, 64, 1_000, largest] {
        channel.send(&pattern(len)).unwrap();
        let n = server.recv(&mut heard).unwrap();
        server.send(&heard[..n]).unwrap();
        let n = channel.recv(&mut heard).unwrap();
        assert!(heard[..n] == pattern(len), "{len}");
    }
    channel.close().unwrap();
    assert!(server.recv(&mut heard).is_err());
}

#[test]
fn datagrams_beyond_the_limits_are_refused() {
    let relay = relay();
    let (server, channel) = pair(&relay);
    let max = channel.max_datagram().unwrap();
    let refused = channel.send(&vec![0; max + 1]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    let source = refused.get_ref().and_then(|e| e.downcast_ref::<Error>());
    assert_eq!(source, Some(&ConfigError::DatagramTooLong { max }.into()));

    channel.send(b"eleven byte").unwrap();
    let mut small = [0; 4];
    assert_eq!(server.recv(&mut small).unwrap_err().kind(), ErrorKind::InvalidInput);
    let mut large = [0; 16];
    assert_eq!(server.recv(&mut large).unwrap(), 11, "it stayed");

    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(server.recv(&mut large).unwrap_err().kind(), ErrorKind::TimedOut);
    server.set_nonblocking(true);
    assert_eq!(server.recv(&mut large).unwrap_err().kind(), ErrorKind::WouldBlock);
}
