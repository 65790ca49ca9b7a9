//! Answers to a connection that are late, or come from another session than the listener's.

use std::io::Write;
use std::thread;

use byway::Kind;
use byway::wire::{
    Accept, ChannelKind, ChannelRef, Closed, Endpoint, ListenReq, Message, Route, Status,
};

use super::naive::{Naive, Seen, encoded, to, window};
use super::{LONG, plain_client, relay};

/// The next outputs of SplitMix64 behind this one, from which the generator's state follows.
fn predicted(token: u64) -> [u64; 4] {
    const FACTORS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];
    let unshift =
        |z: u64, by: u32| z ^ z >> by ^ z >> (2 * by) ^ z.checked_shr(3 * by).unwrap_or(0);
    let inverse = |factor: u64| {
        (0..6).fold(factor, |x, _| x.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(x))))
    };
    let z = unshift(token, 31).wrapping_mul(inverse(FACTORS[1]));
    let state = unshift(unshift(z, 27).wrapping_mul(inverse(FACTORS[0])), 30);
    let output = |n: u64| {
        let z = state.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let z = (z ^ z >> 30).wrapping_mul(FACTORS[0]);
        let z = (z ^ z >> 27).wrapping_mul(FACTORS[1]);
        z ^ z >> 31
    };
    assert_eq!(output(0), token, "the inverse is one");
    [1, 2, 3, 4].map(output)
}

fn accept(channel: ChannelRef) -> Message<'static> {
    let (limit, linger_ms) = (1_000, 60_000);
    Message::AcceptRsp(Accept { status: Status::Ok, channel, limit, linger_ms, greeting: b"" })
}

pub fn claim(heard: Option<Status>) -> Vec<u8> {
    let endpoint = "camera:1".parse::<Endpoint>().unwrap();
    encoded(&Message::ListenReq(ListenReq {
        claim: 1,
        kind: ChannelKind::plain(Kind::Stream),
        port: endpoint.port,
        owner: [2; 16],
        epoch: 1,
        backlog: 1,
        heard,
        name: endpoint.name,
    }))
}

/// A program listens at `door:1`, where the stranger connects, and connects to `camera:1`. The
/// stranger answers first, by every token that follows from its own. Gives whether it gets the
/// connection.
fn takes_over(round: u8) -> bool {
    let relay = relay();
    let mut camera = Naive::new(relay.local_addr(), 100 + round);
    camera.park_for(&claim(None), |seen| (*seen == Seen::ListenRsp(Status::Ok)).then_some(()));
    let claim = claim(Some(Status::Ok));

    let program = plain_client(&relay);
    let door = program.listen("door:1").unwrap();
    let mut stranger = Naive::new(relay.local_addr(), 200 + round);
    let (end, _) = stranger.connect_to("door:1", Kind::Stream);
    let _visit = door.accept_timeout(LONG).unwrap();

    thread::scope(|scope| {
        let connecting = scope.spawn(|| program.connect_timeout("camera:1", LONG).unwrap());
        let (from, asked) = camera.park_for(&claim, |seen| match seen {
            Seen::AcceptReq(from, channel, _) => Some((*from, *channel)),
            _ => None,
        });
        // No answer has come yet. The stranger can be sure of the channel's id, which is the next.
        for token in predicted(end.channel.token).into_iter().cycle().take(40) {
            let channel = ChannelRef { id: asked.id, token };
            let route = Route { peer: end.peer, channel };
            stranger.send(&to(&route, &accept(ChannelRef { id: 9, token: 99 })));
        }
        camera.deliver(
            &claim,
            &to(
                &Route { peer: from.peer, channel: asked },
                &accept(ChannelRef { id: 8, token: 88 }),
            ),
        );
        let mut stream = connecting.join().unwrap();
        stream.write_all(b"secret").unwrap();
        let is_taken = stream.peer() != Ok(camera.address());
        stream.abort();
        is_taken
    })
}

#[test]
fn predicted_tokens_take_no_connection_over() {
    let taken = (0..6).filter(|round| takes_over(*round)).count();
    assert_eq!(taken, 0, "of 6 connections");
}

#[test]
fn late_accept_rsp_ends_only_the_end_it_names() {
    let relay = relay();
    let mut camera = Naive::new(relay.local_addr(), 100);
    camera.park_for(&claim(None), |seen| (*seen == Seen::ListenRsp(Status::Ok)).then_some(()));
    let claim = claim(Some(Status::Ok));
    let program = plain_client(&relay);
    let (live, stray) = (ChannelRef { id: 8, token: 88 }, ChannelRef { id: 9, token: 99 });
    thread::scope(|scope| {
        let connecting = scope.spawn(|| program.connect_timeout("camera:1", LONG).unwrap());
        let route = camera.park_for(&claim, |seen| match seen {
            Seen::AcceptReq(from, channel, _) => Some(Route { peer: from.peer, channel: *channel }),
            _ => None,
        });
        camera.deliver(&claim, &to(&route, &accept(live)));
        let mut stream = connecting.join().unwrap();

        // A second end for the same connector, as of a repeated request that the listener did not
        // recognise.
        camera.deliver(&claim, &to(&route, &accept(stray)));
        let ended = camera.park_for(&claim, |seen| match seen {
            Seen::CloseReq(from) => Some(from.channel),
            Seen::CloseRsp(channel) => panic!("{channel:?} is the live end"),
            _ => None,
        });
        assert_eq!(ended, stray);
        let closed = Message::CloseRsp(Closed { status: Status::Closed, channel: stray });
        camera.deliver(&claim, &to(&Route { channel: ChannelRef::NONE, ..route }, &closed));

        stream.write_all(b"on").unwrap();
        camera.park_for(&claim, |seen| matches!(seen, Seen::Data(0, _, _)).then_some(()));
        camera.send(&to(&route, &Message::ReceiveReq(window(2, 1_000, 0))));
        stream.wait_acked(LONG).unwrap();
        stream.abort();
    });
}
