//! Rings that grow out of the pool, and go back.

use super::*;
use crate::session::Half;
use crate::session::Wake;
use crate::session::channel::round_trips::{RoundTrip, RoundTrips};
use crate::session::rings::Direction;
use crate::wire::{self, Closed};

/// Rings of 256 octets, up to 1,024 of a pool of 4,096.
const POOLED: Profile = Profile { pool: 16 * RING, ..SMALL };
/// A limit that no test reaches.
const FAR: u64 = 1 << 20;

fn joined(limit: u64) -> (Bench, ChannelId, ChannelRef) {
    Bench::of(&POOLED).reach().join(Kind::Stream, limit)
}

/// Writes as much as the session takes.
fn fill(bench: &mut Bench, id: ChannelId) -> usize {
    let now = bench.now;
    bench.session().write(now, id, &[1; 4 * RING]).unwrap()
}

/// Makes a send, whose data the relay delivers.
fn send(bench: &mut Bench) -> Data {
    let request = bench.begin(Lane::Send).expect("data");
    let (place, data) = request.data()[0];
    let answer = Answer::to(&request.exchange).verdict(place, Status::Delivered, data.len);
    bench.answer(Lane::Send, &answer.ok());
    data
}

/// The peer sends `len` octets from `at` on.
fn receive(bench: &mut Bench, to: ChannelRef, at: u64, len: usize, flags: DataFlags) -> Window {
    let bytes: Vec<u8> = (0..len).map(|i| (at as usize + i) as u8).collect();
    bench.exchange(Lane::Park, |answer| answer.from(PEER, to).data(at, flags, &bytes));
    bench.exchange(Lane::Park, |answer| answer).windows()[0]
}

/// Grows a channel's receive ring to twice its length; gives how far the peer has sent.
fn grow_receive(bench: &mut Bench, id: ChannelId, local: ChannelRef) -> u64 {
    receive(bench, local, 0, RING, DataFlags::HUNGRY);
    assert_eq!(bench.read(id).len(), RING);
    RING as u64
}

#[test]
fn transmit_ring_doubles_only_for_a_peer_that_takes_more() {
    for (limit, more) in [(FAR, RING), (RING as u64, 0)] {
        let (mut bench, id, _) = joined(limit);
        assert_eq!(fill(&mut bench, id), RING);
        assert_eq!(send(&mut bench).len as usize, RING);
        assert_eq!(fill(&mut bench, id), more);
    }
}

#[test]
fn transmit_ring_stays_while_it_is_not_full() {
    let (mut bench, id, _) = joined(FAR);
    let now = bench.now;
    bench.session().write(now, id, &[1; RING - 1]).unwrap();
    send(&mut bench);
    assert_eq!(fill(&mut bench, id), 1);
}

/// Writes `len` octets, and makes a send that takes `ms`, whose data the relay delivers; gives how much
/// was written while the body was under way.
fn send_for(bench: &mut Bench, id: ChannelId, len: usize, ms: u64) -> usize {
    let now = bench.now;
    assert_eq!(bench.session().write(now, id, &[1; RING][..len]).unwrap(), len);
    let request = bench.begin(Lane::Send).expect("data");
    let more = fill(bench, id);
    bench.now += ms;
    let (place, data) = request.data()[0];
    let answer = Answer::to(&request.exchange).verdict(place, Status::Delivered, data.len);
    bench.answer(Lane::Send, &answer.ok());
    more
}

#[test]
fn transmit_ring_filled_while_a_body_went_up_doubles_on_a_long_path_alone() {
    for (ms, more) in [(9, 0), (10, RING)] {
        let (mut bench, id, _) = joined(FAR);
        let now = bench.now;
        bench.session().network_changed(now);
        // Nothing is full while the body is planned.
        assert_eq!(send_for(&mut bench, id, 1, ms), RING - 1);
        assert_eq!(fill(&mut bench, id), more, "{ms} ms");
    }
}

#[test]
fn unacknowledged_bytes_move_with_the_ring() {
    let (mut bench, id, local) = joined(FAR);
    let now = bench.now;
    let bytes: Vec<u8> = (0..4 * RING).map(|i| (i * 7) as u8).collect();
    // The ring wraps when it grows.
    bench.session().write(now, id, &bytes[..100]).unwrap();
    send(&mut bench);
    let acked = Window { ack: 100, limit: FAR, ..Window::default() };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked));
    let n = bench.session().write(now, id, &bytes[100..]).unwrap();
    assert_eq!(n, RING);
    send(&mut bench);
    let more = bench.session().write(now, id, &bytes[100 + n..]).unwrap();
    assert_eq!(more, RING);
    // Everything is lost, and goes again.
    let lost = Window { losses: 1, ..acked };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(lost));
    let request = bench.begin(Lane::Send).expect("data");
    assert_eq!(request.data()[0].1.offset, 100);
    assert_eq!(request.bytes, bytes[100..100 + 2 * RING]);
}

#[test]
fn hungry_is_said_at_the_limit_alone() {
    for (limit, hungry) in [(FAR, false), (WINDOW, true), (WINDOW - 1, true), (WINDOW + 1, false)] {
        let (mut bench, id, _) = joined(limit);
        fill(&mut bench, id);
        assert_eq!(send(&mut bench).flags.has(DataFlags::HUNGRY), hungry, "limit {limit}");
    }
}

#[test]
fn receive_ring_doubles_once_the_application_has_read_everything() {
    let (mut bench, id, local) = joined(FAR);
    let window = receive(&mut bench, local, 0, RING, DataFlags::HUNGRY);
    assert_eq!(window.limit, WINDOW);
    let now = bench.now;
    let mut half = [0; RING / 2];
    bench.session().read(now, id, &mut half).unwrap();
    assert_eq!(bench.exchange(Lane::Send, |answer| answer).windows()[0].limit, WINDOW * 3 / 2);
    bench.session().read(now, id, &mut half).unwrap();
    let window = bench.exchange(Lane::Send, |answer| answer).windows()[0];
    assert_eq!(window.limit, 3 * WINDOW, "two rings behind what was read");
}

/// The relay passes a message on in pieces, each with its flags.
#[test]
fn receive_ring_doubles_once_for_a_message_in_pieces() {
    let (mut bench, id, local) = joined(FAR);
    let half = RING / 2;
    for (i, long) in [1, 2, 2, 2, 2, 4].into_iter().enumerate() {
        receive(&mut bench, local, (i * half) as u64, half, DataFlags::HUNGRY);
        bench.read(id);
        assert_eq!(len(&mut bench, id, Direction::Receive), long * RING, "piece {i}");
    }
}

#[test]
fn receive_ring_stays_unless_the_sender_is_hungry() {
    let (mut bench, id, local) = joined(FAR);
    receive(&mut bench, local, 0, RING, DataFlags::NONE);
    bench.read(id);
    assert_eq!(bench.exchange(Lane::Send, |answer| answer).windows()[0].limit, 2 * WINDOW);
}

#[test]
fn without_a_pool_no_ring_changes() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, FAR);
    fill(&mut bench, id);
    send(&mut bench);
    assert_eq!(fill(&mut bench, id), 0);
    receive(&mut bench, local, 0, RING, DataFlags::HUNGRY);
    bench.read(id);
    assert_eq!(bench.exchange(Lane::Send, |answer| answer).windows()[0].limit, 2 * WINDOW);
}

#[test]
fn ring_takes_no_more_than_stays_free() {
    let (mut bench, id, _) = joined(FAR);
    let mut written = 0;
    loop {
        match fill(&mut bench, id) {
            0 => break,
            n => written += n,
        }
        send(&mut bench);
    }
    assert_eq!(written, 4 * RING, "a quarter of the pool");
}

#[test]
fn rings_go_back_when_their_channel_ends() {
    let (mut bench, id, local) = joined(FAR);
    fill(&mut bench, id);
    send(&mut bench);
    grow_receive(&mut bench, id, local);
    assert_eq!(bench.session().rings.lent(), 4 * RING);
    let now = bench.now;
    bench.session().abort(now, id);
    let request = bench.begin(Lane::Send).expect("CLOSE_REQ");
    let closed = Closed { status: Status::Aborted, channel: REMOTE };
    let answer = Answer::to(&request.exchange)
        .from(PEER, ChannelRef::NONE)
        .message(&Message::CloseRsp(closed));
    bench.answer(Lane::Send, &answer.ok());
    assert_eq!(bench.session().rings.lent(), 0);
}

/// Doubles a ring so often.
fn grow(bench: &mut Bench, id: ChannelId, direction: Direction, times: u32) {
    for _ in 0..times {
        assert!(bench.session().lengthen(id.slot(), direction));
    }
}

fn len(bench: &mut Bench, id: ChannelId, direction: Direction) -> usize {
    bench.session().rings.len(id.slot(), direction)
}

/// A second channel, whose transmit ring takes as much as it gets.
fn rival(bench: &mut Bench) -> ChannelId {
    let rival = bench.connect(Kind::Stream);
    bench.dial(Status::Ok, FAR);
    bench.exchange(Lane::Send, |answer| answer);
    while fill(bench, rival) > 0 {
        send(bench);
    }
    rival
}

/// A channel whose receive ring has grown to four times its length, of which the peer was told, and
/// which has gone back as it was idle; and how far the peer has sent.
fn shrunk() -> (Bench, ChannelId, ChannelRef, u64) {
    let (mut bench, idle, local) = joined(FAR);
    let sent = grow_receive(&mut bench, idle, local);
    grow(&mut bench, idle, Direction::Receive, 1);
    grow(&mut bench, idle, Direction::Transmit, 2);
    let told = receive(&mut bench, local, sent, 1, DataFlags::NONE).limit;
    assert_eq!(told, sent + 4 * WINDOW);
    assert_eq!(bench.read(idle).len(), 1);
    let now = bench.now;
    bench.session().write(now, idle, b"keeps the transmit ring").unwrap();
    bench.exchange(Lane::Send, |answer| answer);
    bench.pass(2_000);
    let busy = rival(&mut bench);
    assert_eq!(len(&mut bench, busy, Direction::Transmit), 4 * RING);
    assert_eq!(len(&mut bench, idle, Direction::Receive), RING);
    assert_eq!(len(&mut bench, idle, Direction::Transmit), 4 * RING);
    (bench, idle, local, sent + 1)
}

#[test]
fn promise_of_a_ring_given_back_is_taken_back_with_a_loss() {
    let (mut bench, idle, local, sent) = shrunk();
    while bench.session().poll_wake().is_some() {}
    let short = Window {
        ack: sent + WINDOW,
        limit: sent + WINDOW,
        losses: 1,
        now: true,
        ..Window::default()
    };
    // The peer uses what it was promised, and goes on before it hears.
    assert_eq!(receive(&mut bench, local, sent, 3 * RING, DataFlags::NONE), short);
    assert_eq!(receive(&mut bench, local, sent + WINDOW, 2 * RING, DataFlags::NONE), short);
    let wakes: Vec<_> = core::iter::from_fn(|| bench.session().poll_wake()).collect();
    assert!(wakes.contains(&Wake::Channel(idle.slot())), "what did fit can be read: {wakes:?}");
    assert_eq!(bench.read(idle).len(), RING);
    let window = bench.exchange(Lane::Send, |answer| answer).windows()[0];
    assert_eq!((window.ack, window.limit), (sent + WINDOW, sent + 3 * WINDOW), "and grows again");
}

#[test]
fn sender_keeps_to_a_limit_that_went_back_with_a_loss() {
    let (mut bench, id, local) = joined(FAR);
    fill(&mut bench, id);
    send(&mut bench);
    let tell = |bench: &mut Bench, window: Window| {
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(window));
    };
    let before = Window { ack: 10, limit: FAR, ..Window::default() };
    let lost = Window { losses: 1, limit: 110, ..before };
    tell(&mut bench, lost);
    // This window was said before the loss.
    tell(&mut bench, before);
    let data = send(&mut bench);
    assert_eq!((data.offset, data.len), (10, 100));
    assert!(bench.begin(Lane::Send).is_none(), "the limit is reached");
    tell(&mut bench, Window { ack: 110, limit: FAR, ..lost });
    assert_eq!(send(&mut bench).offset, 110);
}

#[test]
fn rings_stay_lent_where_giving_them_back_would_not_do() {
    let (mut bench, idle, _) = joined(FAR);
    grow(&mut bench, idle, Direction::Receive, 1);
    bench.pass(2_000);
    rival(&mut bench);
    assert_eq!(len(&mut bench, idle, Direction::Receive), 2 * RING);
}

#[test]
fn no_more_rings_go_back_than_are_wanted() {
    let (mut bench, idle, _) = joined(FAR);
    grow(&mut bench, idle, Direction::Transmit, 2);
    grow(&mut bench, idle, Direction::Receive, 2);
    bench.pass(2_000);
    rival(&mut bench);
    assert_eq!(bench.session().rings.lent(), 8 * RING);
}

#[test]
fn rings_used_lately_stay_lent() {
    let (mut bench, id, local) = joined(FAR);
    grow(&mut bench, id, Direction::Transmit, 2);
    grow(&mut bench, id, Direction::Receive, 2);
    bench.pass(2_000);
    fill(&mut bench, id);
    let sent = send(&mut bench).len;
    let acked = Window { ack: sent.into(), limit: FAR, ..Window::default() };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked));
    receive(&mut bench, local, 0, RING, DataFlags::NONE);
    bench.read(id);
    let rival = rival(&mut bench);
    assert_eq!(len(&mut bench, rival, Direction::Transmit), 2 * RING);
}

#[test]
fn little_that_comes_keeps_no_receive_ring() {
    let (mut bench, idle, local) = joined(FAR);
    grow(&mut bench, idle, Direction::Transmit, 2);
    grow(&mut bench, idle, Direction::Receive, 2);
    bench.pass(2_000);
    receive(&mut bench, local, 0, RING - 1, DataFlags::NONE);
    bench.read(idle);
    let now = bench.now;
    bench.session().write(now, idle, b"keeps the transmit ring").unwrap();
    rival(&mut bench);
    assert_eq!(len(&mut bench, idle, Direction::Receive), RING);
}

#[test]
fn channel_that_ended_keeps_no_transmit_ring() {
    let (mut bench, ended, local) = joined(FAR);
    grow(&mut bench, ended, Direction::Receive, 2);
    grow(&mut bench, ended, Direction::Transmit, 2);
    fill(&mut bench, ended);
    let (status, offset) = (Status::Aborted, 0);
    let close = Message::CloseReq(wire::Close { status, offset });
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).message(&close));
    bench.pass(2_000);
    rival(&mut bench);
    assert_eq!(len(&mut bench, ended, Direction::Transmit), RING);
}

#[test]
fn ring_that_has_the_end_of_the_stream_stays() {
    let (mut bench, id, _) = joined(FAR);
    fill(&mut bench, id);
    let now = bench.now;
    bench.session().shutdown(now, id, Half::Write).unwrap();
    send(&mut bench);
    assert_eq!(len(&mut bench, id, Direction::Transmit), RING);
}

#[test]
fn hungry_without_new_data_takes_nothing_of_the_pool() {
    let (mut bench, id, local) = joined(FAR);
    receive(&mut bench, local, 0, RING, DataFlags::HUNGRY);
    bench.read(id);
    bench.exchange(Lane::Send, |answer| answer);
    for at in 0..4 {
        let at = WINDOW + at;
        bench.exchange(Lane::Park, |answer| {
            let far = answer.from(PEER, local).data(1 << 40, DataFlags::HUNGRY, b"");
            let known = far.from(PEER, local).data(0, DataFlags::HUNGRY, b"known");
            known.from(PEER, local).data(at, DataFlags::HUNGRY, b"x")
        });
        bench.read(id);
        while bench.begin(Lane::Send).is_some_and(|request| {
            let answer = Answer::to(&request.exchange).ok();
            bench.answer(Lane::Send, &answer);
            true
        }) {}
    }
    assert_eq!(
        len(&mut bench, id, Direction::Receive),
        2 * RING,
        "a doubling takes a ring of data"
    );
}

#[test]
fn life_begins_with_all_rings_at_their_places() {
    let (mut bench, id, local) = joined(FAR);
    fill(&mut bench, id);
    send(&mut bench);
    grow_receive(&mut bench, id, local);
    let now = bench.now;
    bench.session().open(now, &Settings::new([1; 16], 6));
    assert_eq!(bench.session().rings.lent(), 0);
}

#[test]
fn round_trips_are_measured_anew_when_an_exchange_fails() {
    let (mut bench, id, local) = joined(FAR);
    let slot = id.slot();
    let trip = |bench: &mut Bench, at: u64, ms: u64| {
        let now = bench.now;
        bench.session().write(now, id, &[1; 100]).unwrap();
        send(bench);
        bench.pass(ms);
        let acked = Window { ack: at + 100, limit: FAR, ..Window::default() };
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(acked));
    };
    let mut known = RoundTrips::new();
    for (at, ms) in [(0, 30), (100, 50), (200, 0)] {
        trip(&mut bench, at, ms);
        known.note(RoundTrip { ms, acked: 100 });
        assert_eq!(*bench.session().channels[slot].tx.round_trips(), known);
    }
    bench.begin(Lane::Park).expect("a park");
    bench.fail(Lane::Park, Blocked::Cut);
    assert_eq!(*bench.session().channels[slot].tx.round_trips(), RoundTrips::new());
}
