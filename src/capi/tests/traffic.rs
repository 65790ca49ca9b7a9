//! Bytes from one end to the other, with waits by poll alone and by calls alone.

use std::thread;

use super::*;

#[test]
fn a_megabyte_each_way_at_once() {
    const LEN: usize = 1 << 20;
    let pair = Pair::new();
    let octet = |i: usize, salt: u8| ((i * 31) >> 3) as u8 ^ salt;
    let ends: Vec<_> = pair
        .streams
        .into_iter()
        .zip([1_u8, 2])
        .map(|(stream, salt)| {
            let sender = thread::spawn(move || {
                let data: Vec<u8> = (0..LEN).map(|i| octet(i, salt)).collect();
                let mut at = 0;
                while at < LEN {
                    at += send(stream, &data[at..], LONG).expect("room");
                }
                check(byway_shutdown(stream, byway_how::Write as u32));
                check(byway_wait_acked(stream, LONG));
            });
            let receiver = thread::spawn(move || {
                let (mut buffer, mut at) = ([0; 5000], 0);
                loop {
                    let n = recv(stream, &mut buffer, LONG).expect("octets or the end");
                    for (i, got) in buffer[..n].iter().enumerate() {
                        assert_eq!(*got, octet(at + i, 3 - salt), "at {}", at + i);
                    }
                    at += n;
                    if n == 0 {
                        return at;
                    }
                }
            });
            (sender, receiver)
        })
        .collect();
    for (sender, receiver) in ends {
        sender.join().expect("all was sent");
        assert_eq!(receiver.join().expect("all is right"), LEN);
    }
    let mut stats = MaybeUninit::<byway_channel_stats>::uninit();
    let size = size_of::<byway_channel_stats>();
    // SAFETY: a place of this size; initialized on success.
    let stats = unsafe {
        check(byway_channel_get_stats(pair.streams[0], stats.as_mut_ptr(), size));
        stats.assume_init()
    };
    assert_eq!((stats.size as usize, stats.written, stats.read), (size, LEN as u64, LEN as u64));
    expect(send(pair.streams[0], b"more", 0).unwrap_err(), byway_error::Unsupported);
    check(byway_close(pair.streams[0], LONG));
    check(byway_close(pair.streams[1], LONG));
}

#[test]
fn refusals_have_their_codes() {
    let pair = Pair::new();
    let [client, other] = pair.clients;
    let mut handle = NOTHING;
    // SAFETY: strings and a place for a handle.
    unsafe {
        let place = &mut handle;
        let camera = c"camera:1".as_ptr();
        expect(byway_listen(client, camera, LONG, place), byway_error::Duplicate);
        expect(byway_listen(other, camera, LONG, place), byway_error::InUse);
        expect(byway_connect_datagram(other, camera, LONG, place), byway_error::EndpointKind);
        expect(byway_connect(other, c"none:1".as_ptr(), LONG, place), byway_error::NoListener);
    }
    assert_eq!(handle, NOTHING);
    check(byway_abort(pair.streams[0]));
    let code = recv(pair.streams[1], &mut [0; 8], LONG).unwrap_err();
    expect(code, byway_error::PeerAborted);
}

#[test]
fn client_stats_count_what_was_carried() {
    let pair = Pair::new();
    let mut stats = MaybeUninit::<byway_client_stats>::uninit();
    let size = size_of::<byway_client_stats>();
    // SAFETY: a place of this size; initialized on success.
    let stats = unsafe {
        check(byway_client_get_stats(pair.clients[0], stats.as_mut_ptr(), size));
        stats.assume_init()
    };
    assert!(stats.sends > 0 && stats.parks > 0);
    assert!(stats.memory > 2 * 8 * 16 * 1024, "rings and more");
}
