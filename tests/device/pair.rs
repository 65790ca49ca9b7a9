//! Two devices that talk to each other.

use byway::session::Half;
use byway::{Endpoint, Kind};
use embedded_io::{Read, Write};

use super::{Front, LEN, identity, pattern, relay, with_device};

/// Sends and receives everything, each time as much as fits.
fn talk(front: &mut Front<'_>, id: byway::session::ChannelId) {
    let said = pattern(LEN);
    let (mut sent, mut heard, mut some) = (0, Vec::new(), [0; 512]);
    let mut ended = false;
    while sent < LEN || !ended {
        let now = front.now();
        let session = front.device().session();
        if sent < LEN {
            sent += session.write(now, id, &said[sent..]).unwrap();
            if sent == LEN {
                session.shutdown(now, id, Half::Write).unwrap();
            }
        }
        match session.read(now, id, &mut some).unwrap() {
            Some(0) => ended = true,
            Some(n) => heard.extend_from_slice(&some[..n]),
            None => {}
        }
        front.poll();
    }
    assert!(heard == said);
}

#[test]
fn devices_talk_both_ways_at_once() {
    let relay = relay();
    let endpoint = Endpoint::try_from("camera:1").unwrap();
    let at = relay.local_addr();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            with_device(1, at, |front| {
                let listener = front.listen(endpoint, Kind::Stream, 1).unwrap();
                let id = front.accept(listener).unwrap();
                talk(front, id);
                front.release(id);
                front.close(super::LONG_MS).unwrap();
            });
        });
        with_device(2, at, |front| {
            let id = front.connect(endpoint, Kind::Stream, b"").unwrap();
            talk(front, id);
            front.release(id);
            front.close(super::LONG_MS).unwrap();
        });
    });
    // On a machine that is busy with other things a device may once be late for its peer.
    let busy = relay.stats().busy;
    assert!(busy <= 2, "{busy} messages waited in vain");
}

#[test]
fn device_listens_at_its_own_key_name() {
    let relay = relay();
    let own = Endpoint { name: identity(1).public_key().name(), port: 1 };
    let at = relay.local_addr();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            with_device(1, at, |front| {
                let listener = front.listen(own, Kind::Stream, 1).unwrap();
                let id = front.accept(listener).unwrap();
                talk(front, id);
                front.release(id);
                front.close(super::LONG_MS).unwrap();
            });
        });
        with_device(2, at, |front| {
            // Another's key name it does not listen at.
            assert!(front.listen(own, Kind::Stream, 1).is_err());
            let id = front.connect(own, Kind::Stream, b"").unwrap();
            talk(front, id);
            front.release(id);
            front.close(super::LONG_MS).unwrap();
        });
    });
    let stats = relay.stats();
    assert_eq!((stats.proofs, stats.unproved), (1, 0));
}

/// Each question and each answer is an octet.
#[test]
fn devices_talk_by_turns() {
    let relay = relay();
    let endpoint = Endpoint::try_from("camera:1").unwrap();
    let at = relay.local_addr();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            with_device(1, at, |front| {
                let listener = front.listen(endpoint, Kind::Stream, 1).unwrap();
                let id = front.accept(listener).unwrap();
                let mut octet = [0];
                while front.stream(id).read(&mut octet).unwrap() > 0 {
                    front.stream(id).write_all(&octet).unwrap();
                }
                front.release(id);
                front.close(super::LONG_MS).unwrap();
            });
        });
        with_device(2, at, |front| {
            let id = front.connect(endpoint, Kind::Stream, b"").unwrap();
            let began = std::time::Instant::now();
            for i in 0..100 {
                let mut octet = [0];
                front.stream(id).write_all(&[i]).unwrap();
                assert_eq!(front.stream(id).read(&mut octet), Ok(1));
                assert_eq!(octet, [i]);
            }
            println!("100 turns of two devices: {:?}", began.elapsed());
            front.release(id);
            front.close(super::LONG_MS).unwrap();
        });
    });
}
