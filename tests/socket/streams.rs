use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use byway::client::Stream;
use byway::relay::{Relay, RelayConfig};

use super::{LONG, client, pattern, relay};

fn pair(relay: &Relay) -> (Stream, Stream) {
    let (server, connector) = (client(relay), client(relay));
    let listener = server.listen("camera:1").unwrap();
    let stream = connector.connect("camera:1").unwrap();
    (listener.accept_timeout(LONG).unwrap(), stream)
}

#[test]
fn echo_returns_every_byte() {
    let relay = relay();
    let (mut server, mut stream) = pair(&relay);
    for text in ["one", "two", "three"] {
        stream.write_all(text.as_bytes()).unwrap();
        let mut heard = [0; 16];
        let n = server.read(&mut heard).unwrap();
        server.write_all(&heard[..n]).unwrap();
        stream.read_exact(&mut heard[..text.len()]).unwrap();
        assert_eq!(&heard[..text.len()], text.as_bytes());
    }
    assert_ne!(server.peer().unwrap(), stream.peer().unwrap());
    stream.flush().unwrap();
    stream.wait_acked(LONG).unwrap();
    let stats = stream.stats().unwrap();
    assert_eq!((stats.acked, stats.read), (11, 11));
}

#[test]
fn listener_may_send_first() {
    let relay = relay();
    let (mut server, mut stream) = pair(&relay);
    server.write_all(b"welcome").unwrap();
    let mut heard = [0; 7];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"welcome");
}

#[test]
fn half_close_lets_the_reply_arrive() {
    let relay = relay();
    let (mut server, mut stream) = pair(&relay);
    let asked = pattern(100_000);
    let expected = asked.iter().rev().copied().collect::<Vec<_>>();
    let server = thread::spawn(move || {
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).unwrap();
        heard.reverse();
        server.write_all(&heard).unwrap();
        server.close()
    });
    stream.write_all(&asked).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.write(b"more").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    assert!(reply == expected);
    assert_eq!(stream.read(&mut [0; 4]).unwrap(), 0, "the end stays the end");
    server.join().unwrap().unwrap();
}

#[test]
fn both_directions_carry_at_once() {
    let relay = relay();
    exchange(pair(&relay), 8 << 20, || {});
}

/// Sends `len` bytes each way, and calls `meanwhile` when some have passed.
fn exchange((server, stream): (Stream, Stream), len: usize, meanwhile: impl FnOnce()) {
    let bytes = pattern(len);
    thread::scope(|scope| {
        for mut end in [&server, &stream] {
            let bytes = &bytes;
            scope.spawn(move || {
                end.write_all(bytes).unwrap();
                end.shutdown(Shutdown::Write).unwrap();
            });
        }
        let mut readers = Vec::new();
        let mut first = vec![0; len / 4];
        (&stream).read_exact(&mut first).unwrap();
        assert!(first == bytes[..len / 4]);
        for (mut end, from) in [(&server, 0), (&stream, len / 4)] {
            let bytes = &bytes;
            readers.push(scope.spawn(move || {
                let mut heard = Vec::new();
                end.read_to_end(&mut heard).unwrap();
                assert_eq!(heard.len(), len - from);
                assert!(heard == bytes[from..]);
            }));
        }
        meanwhile();
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn relay_killed_and_restarted_loses_nothing() {
    let first = relay();
    let ends = pair(&first);
    let listen = first.local_addr();
    let mut second = None;
    exchange(ends, 4 << 20, || {
        first.abort();
        second = Some(Relay::bind(RelayConfig { listen, ..RelayConfig::default() }).unwrap());
    });
}

#[test]
fn clones_and_halves_share_the_stream() {
    let relay = relay();
    let (near, far) = (client(&relay), client(&relay));
    let listener = near.listen("camera:1").unwrap();
    let stream = far.connect("camera:1").unwrap();
    let mut server = listener.accept_timeout(LONG).unwrap();
    let clone = stream.try_clone().unwrap();
    drop(stream);
    let (mut reader, mut writer) = clone.split();
    writer.write_all(b"still there").unwrap();
    drop(writer);
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "still there");
    server.write_all(b"so am I").unwrap();
    drop(server);
    heard.clear();
    reader.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "so am I");
}

#[test]
fn embedded_io_traits_read_and_write() {
    use embedded_io::{Read, ReadReady, Write, WriteReady};
    let relay = relay();
    let (mut server, mut stream) = pair(&relay);
    assert!(stream.write_ready().unwrap());
    assert!(!server.read_ready().unwrap());
    Write::write_all(&mut stream, b"embedded").unwrap();
    Write::flush(&mut stream).unwrap();
    let mut heard = [0; 8];
    Read::read_exact(&mut server, &mut heard).unwrap();
    assert_eq!(&heard, b"embedded");
}
