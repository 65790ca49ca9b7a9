//! No call of a session allocates: two of them through a whole scenario, with the relay's router
//! in between. The router and this test may allocate, the sessions may not.

#[path = "../examples/bench/micro/pump.rs"]
mod pump;

use assert_no_alloc::{AllocDisabler, assert_no_alloc, reset_violation_count, violation_count};
use byway::session::{ChannelId, Half, Pace, Profile};
use byway::{Endpoint, Kind};
use pump::Pump;

/// Counts the allocations of a thread that must not allocate.
#[global_allocator]
static HEAP: AllocDisabler = AllocDisabler;

/// Octets each way, through rings of 1 KiB.
const BULK: usize = 200_000;
/// Octets of the pieces in which bodies and answers come.
const PIECE: usize = 700;
const PROFILE: Profile = Profile { io_buffer: PIECE, ..Profile::TINY };

/// Runs a call of a session, which must not allocate.
fn guarded<T>(call: impl FnOnce() -> T) -> T {
    let result = assert_no_alloc(call);
    assert_eq!(violation_count(), 0, "a session call allocated");
    result
}

/// Sends [`BULK`] octets each way at once, then FIN each way.
fn bulk(pump: &mut Pump, ids: [ChannelId; 2]) {
    let (mut written, mut read, mut ended) = ([0; 2], [0; 2], [false; 2]);
    let mut out = [0; PIECE];
    let octet = |peer: usize, at: usize| (at * 31 + at / 251 + peer) as u8;
    pump.until(|peers, now| {
        for (i, peer) in peers.iter_mut().enumerate() {
            let n = PIECE.min(BULK - written[i]);
            let bytes: [u8; PIECE] = std::array::from_fn(|k| octet(i, written[i] + k));
            if n > 0 {
                let write = peer.call(|session| session.write(now, ids[i], &bytes[..n]));
                written[i] += write.expect("the channel is there");
                if written[i] == BULK {
                    peer.call(|session| session.shutdown(now, ids[i], Half::Write)).unwrap();
                }
            }
            if ended[i] {
                continue;
            }
            match peer.call(|session| session.read(now, ids[i], &mut out)).unwrap() {
                Some(0) => ended[i] = true,
                Some(n) => {
                    let right = |k: usize| out[k] == octet(1 - i, read[i] + k);
                    assert!((0..n).all(right), "wrong bytes behind {}", read[i]);
                    if read[i] < BULK / 2 && read[i] + n >= BULK / 2 {
                        peer.to_lose = 1;
                    }
                    read[i] += n;
                }
                None => {}
            }
        }
        ended == [true; 2]
    });
    assert_eq!((written, read), ([BULK; 2], [BULK; 2]));
}

/// Sends a datagram each way, again and again until it arrives.
fn datagrams(pump: &mut Pump, ids: [ChannelId; 2]) {
    let (mut got, mut out) = ([0; 2], [0; PIECE]);
    pump.until(|peers, now| {
        for (i, peer) in peers.iter_mut().enumerate() {
            peer.call(|session| session.send_datagram(now, ids[i], &[i as u8; 300])).unwrap();
            let n = peer.call(|session| session.recv_datagram(now, ids[i], &mut out)).unwrap();
            if let Some(n) = n {
                assert_eq!(out[..n], [1 - i as u8; 300]);
                got[i] += 1;
            }
        }
        got.iter().all(|got| *got >= 20)
    });
}

#[test]
fn session_never_allocates() {
    // The detector itself works.
    assert_no_alloc(|| drop(std::hint::black_box(Box::new(1))));
    assert_ne!(violation_count(), 0);
    reset_violation_count();

    let mut pump = Pump::new(&PROFILE, Pace::Streaming);
    let at: Endpoint = "camera:1".parse().expect("an endpoint");
    let listener = pump.listen(at, Kind::Stream);
    let stream = pump.connect(listener, at, Kind::Stream);
    bulk(&mut pump, stream);
    let lost = pump.peers.each_mut().map(|peer| peer.call(|session| session.stats().failed));
    assert_eq!(lost, [1; 2], "an answer each");
    let now = pump.now;
    for (peer, id) in pump.peers.iter_mut().zip(stream) {
        peer.call(|session| session.release(now, id));
    }
    pump.peers[0].call(|session| session.unlisten(now, listener));

    let at: Endpoint = "camera:2".parse().expect("an endpoint");
    let listener = pump.listen(at, Kind::Datagram);
    let channels = pump.connect(listener, at, Kind::Datagram);
    datagrams(&mut pump, channels);

    let now = pump.now;
    for peer in &mut pump.peers {
        peer.call(|session| session.network_changed(now));
        peer.call(|session| session.close(now));
    }
    pump.until(|peers, _| peers.iter_mut().all(|peer| peer.call(|session| session.is_closed())));
}
