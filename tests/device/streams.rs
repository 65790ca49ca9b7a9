//! A device and a client with std.

use std::time::Instant;

use byway::device::RelayAddress;
use byway::session::{ChannelId, Half, Single, Storage};
use byway::{Endpoint, Kind};
use embedded_io::{Read, ReadReady, Write};

use super::peer::{echo, mirror};
use super::{Front, LEN, LONG, LONG_MS, client, pattern, relay, with_device};

fn camera() -> Endpoint {
    Endpoint::try_from("camera:1").unwrap()
}

/// The device's part.
pub fn exchange(front: &mut Front<'_>, id: ChannelId) {
    let mut stream = front.stream(id);
    stream.write_all(&pattern(LEN)).unwrap();
    stream.shutdown(Half::Write).unwrap();
    let (mut heard, mut some) = (Vec::new(), [0; 700]);
    loop {
        match stream.read(&mut some).unwrap() {
            0 => break,
            n => heard.extend_from_slice(&some[..n]),
        }
    }
    assert!(heard == pattern(LEN));
    front.release(id);
    front.close(LONG_MS).unwrap();
}

#[test]
fn a_device_connects() {
    let relay = relay();
    let server = client(&relay);
    let listener = server.listen("camera:1").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| mirror(listener.accept_timeout(LONG).unwrap()));
        with_device(1, relay.local_addr(), |front| {
            let id = front.connect(camera(), Kind::Stream, b"").unwrap();
            exchange(front, id);
            assert_eq!(front.device().link().dialled, 1);
        });
    });
}

#[test]
fn a_device_listens() {
    let relay = relay();
    with_device(1, relay.local_addr(), |front| {
        let listener = front.listen(camera(), Kind::Stream, 1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let client = client(&relay);
                mirror(client.connect("camera:1").unwrap());
            });
            let id = front.accept(listener).unwrap();
            exchange(front, id);
            assert_eq!(front.device().link().dialled, 1);
        });
    });
}

#[test]
fn datagrams_go_both_ways() {
    let relay = relay();
    let server = client(&relay);
    let listener = server.listen_datagram("camera:1").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let channel = listener.accept_timeout(LONG).unwrap();
            let mut buffer = [0; 1_000];
            for _ in 0..20 {
                let n = channel.recv(&mut buffer).unwrap();
                channel.send(&buffer[..n]).unwrap();
            }
        });
        with_device(1, relay.local_addr(), |front| {
            let id = front.connect(camera(), Kind::Datagram, b"").unwrap();
            let mut buffer = [0; 1_000];
            for n in 0..20 {
                let datagram = &pattern(1_000)[..10 + n * 30];
                front.send(id, datagram).unwrap();
                let heard = front.recv(id, &mut buffer).unwrap();
                assert_eq!(&buffer[..heard], datagram);
            }
        });
    });
}

/// While its request waits the device speaks at once, on the connection that it has.
#[test]
fn speaking_while_parked_is_prompt() {
    const ROUNDS: u32 = 200;
    let relay = relay();
    let server = client(&relay);
    let listener = server.listen("camera:1").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| echo(listener.accept_timeout(LONG).unwrap()));
        with_device(1, relay.local_addr(), |front| {
            let id = front.connect(camera(), Kind::Stream, b"").unwrap();
            let mut times = Vec::new();
            for i in 0..ROUNDS {
                // Until its request waits at the relay.
                let parks = relay.stats().parks;
                while !front.stream(id).read_ready().unwrap() && relay.stats().parked < 2 {}
                assert!(relay.stats().parks >= parks);
                let began = Instant::now();
                front.stream(id).write_all(&[i as u8]).unwrap();
                let mut octet = [0];
                assert_eq!(front.stream(id).read(&mut octet).unwrap(), 1);
                assert_eq!(octet, [i as u8]);
                times.push(began.elapsed());
            }
            times.sort_unstable();
            let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
            println!("speaking while parked, there and back: median {median:?}, worst {worst:?}");
            // Far below the 250 ms after which something would seem to be in the way.
            assert!(median.as_millis() < 50, "{median:?}");
            assert_eq!(front.device().link().dialled, 1, "on one connection");
            front.release(id);
            front.close(LONG_MS).unwrap();
        });
    });
}

/// Rings larger than what a relay keeps of a request: bodies stay within.
#[test]
fn large_rings_make_no_larger_bodies() {
    const LARGE: usize = 128 * 1024;
    let relay = relay();
    let server = client(&relay);
    let listener = server.listen("camera:1").unwrap();
    let to = relay.local_addr();
    let authority = to.to_string();
    std::thread::scope(|scope| {
        scope.spawn(|| mirror(listener.accept_timeout(LONG).unwrap()));
        let mut memory: Box<Storage<1, LARGE, 0, Single>> = Box::new(Storage::new());
        let mut head = [0; 512];
        let place = RelayAddress::new(&authority);
        let mut front = super::device(1, memory.session(), to, place, &mut head);
        let id = front.connect(camera(), Kind::Stream, b"").unwrap();
        exchange(&mut front, id);
    });
    assert_eq!(relay.stats().malformed, 0);
}
