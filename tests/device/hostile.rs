//! A device to which no answer gets through: it asks seldom, and goes on asking.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use byway::client::{Client, Config};
use byway::device::RelayAddress;
use byway::session::{ChannelId, Profile};
use byway::{Endpoint, Kind};
use embedded_io::{Read, Write};

use super::peer::echo_while_it_lasts;
use super::server::{Answer, ENDLESS, FRUITLESS, Hostile, Lanes};
use super::{Front, Memory, device, relay};

/// How long a device has to find out that it asks in vain, and how long it is watched then.
const LEARNS: Duration = Duration::from_secs(2);
const WATCHED: Duration = Duration::from_secs(10);
/// Most requests, or connections, that the device may make meanwhile: two a second.
const MOST: usize = 20;

/// The client at the other end of all.
const PEER: Profile =
    Profile { channels: 32, ring: 4 << 10, pool: 0, listeners: 1, io_buffer: 8 << 10 };

/// Sends an octet, and receives it again.
fn exchange(front: &mut Front<'_>, id: ChannelId, said: u8) {
    front.stream(id).write_all(&[said]).unwrap();
    let mut heard = [0];
    assert_eq!(front.stream(id).read(&mut heard), Ok(1));
    assert_eq!(heard, [said]);
}

/// Lets the device work for so long.
fn poll(front: &mut Front<'_>, time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {
        front.poll();
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Has a device with an open channel work while `answer` is all that it gets; how many requests and
/// connections it makes.
fn watch(front: &mut Front<'_>, hostile: &Hostile, answer: Answer) -> (usize, usize) {
    let id = front.connect(Endpoint::try_from("camera:1").unwrap(), Kind::Stream, b"").unwrap();
    exchange(front, id, 1);
    hostile.turn(Lanes::Both, answer);
    // Something to say, and something to claim.
    let now = front.now();
    let session = front.device().session();
    assert_eq!(session.write(now, id, &[2]), Ok(1));
    session.listen(now, Endpoint::try_from("other:1").unwrap(), Kind::Stream, 1).unwrap();
    poll(front, LEARNS);
    let before = hostile.counts();
    poll(front, WATCHED);
    let after = hostile.counts();
    hostile.relent();
    let mut heard = [0];
    assert_eq!(front.stream(id).read(&mut heard), Ok(1));
    assert_eq!(heard, [2]);
    exchange(front, id, 3);
    (after.requests - before.requests, after.connections - before.connections)
}

#[test]
fn requests_without_progress_are_seldom() {
    let relay = relay();
    let relay = &relay;
    let server = Client::open(Config {
        profile: PEER,
        backlog: NonZeroU8::new(32),
        ..Config::new(relay.url())
    });
    let server = server.unwrap();
    let listener = server.listen("camera:1").unwrap();
    std::thread::spawn(move || {
        // Until the client is closed.
        while let Ok(stream) = listener.accept() {
            std::thread::spawn(|| echo_while_it_lasts(stream));
        }
    });
    std::thread::scope(|scope| {
        let watched: Vec<_> = FRUITLESS
            .into_iter()
            .chain(ENDLESS)
            .zip(1..)
            .map(|(answer, n)| {
                scope.spawn(move || {
                    let hostile = Hostile::before(relay.local_addr());
                    let authority = hostile.addr.to_string();
                    let mut memory = Memory::new();
                    let mut head = [0; 512];
                    // By a proxy the device speaks without octets behind its requests.
                    let place = RelayAddress { by_proxy: true, ..RelayAddress::new(&authority) };
                    let mut front = device(n, memory.session(), hostile.addr, place, &mut head);
                    (answer, watch(&mut front, &hostile, answer))
                })
            })
            .collect();
        let mut storms = Vec::new();
        for watched in watched {
            let (answer, (requests, connections)) = watched.join().unwrap();
            println!("{answer:?}: {requests} requests, {connections} connections in {WATCHED:?}");
            if requests > MOST || connections > MOST {
                storms.push(answer);
            }
            assert!(requests >= 3, "it goes on asking");
        }
        assert!(storms.is_empty(), "storms: {storms:?}");
    });
    server.abort();
}
