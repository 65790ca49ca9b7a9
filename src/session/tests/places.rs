//! Who gets and who gives up places when all are taken.

use super::*;
use crate::error::TransportError;
use crate::session::ListenerId;

/// Eight channels, of which a peer's share is two.
const EIGHT: Profile = Profile { channels: 8, ..SMALL };
/// Sixteen, of which it is four: so many that a peer beyond its share loses used ones, too.
const SIXTEEN: Profile = Profile { channels: 16, ..SMALL };
/// Longer than a channel may stay unused while its place is wanted, in ms.
const UNUSED: u64 = 2_000;
/// The first pause of a connector, in ms.
const REPEAT: u64 = 500;

/// The address of a peer of this number.
fn peer(n: u8) -> Address {
    Address([n; 16])
}

/// A session with a listener that has a backlog of so many places.
fn listening(backlog: u8) -> (Bench, ListenerId) {
    listening_with(&EIGHT, backlog)
}

fn listening_with(profile: &Profile, backlog: u8) -> (Bench, ListenerId) {
    let mut bench = Bench::of(profile).reach();
    let now = bench.now;
    let listener = bench.session().listen(now, endpoint(), Kind::Stream, backlog).unwrap();
    (bench, listener)
}

/// Has a peer connect from an end of this id. The answers, each with whom it is for; the end here of those
/// that are OK.
fn connects(bench: &mut Bench, n: u8, id: u32) -> Vec<(Address, Status, ChannelRef)> {
    let channel = ChannelRef { id, token: id.into() };
    bench.exchange(Lane::Park, |a| a.arrival_of(peer(n), channel, endpoint(), Kind::Stream));
    replies(bench)
}

/// What the session answers to those who connect.
fn replies(bench: &mut Bench) -> Vec<(Address, Status, ChannelRef)> {
    let mut told = Vec::new();
    while let Some(send) = bench.begin(Lane::Send) {
        bench.answer(Lane::Send, &Answer::to(&send.exchange).ok());
        let mut to = Address::RELAY;
        for message in &send.messages {
            match message {
                Message::Route(route) => to = route.peer,
                Message::AcceptRsp(accept) => told.push((to, accept.status, accept.channel)),
                _ => {}
            }
        }
    }
    told
}

/// A peer connects, and gets a channel: its end here.
fn gets(bench: &mut Bench, n: u8, id: u32) -> ChannelRef {
    match connects(bench, n, id)[..] {
        [(to, Status::Ok, channel)] if to == peer(n) => channel,
        ref told => panic!("{told:?}"),
    }
}

/// The peer uses the channel, and the application accepts it.
fn uses(bench: &mut Bench, listener: ListenerId, n: u8, local: ChannelRef) -> ChannelId {
    bench.exchange(Lane::Park, |answer| answer.from(peer(n), local).stream(0, b"x"));
    accept(bench, listener)
}

/// The peer says that it is there and no more, and the application accepts the channel.
fn leaves_unused(bench: &mut Bench, listener: ListenerId, n: u8, local: ChannelRef) -> ChannelId {
    let window = Window { limit: WINDOW, ..Window::default() };
    bench.exchange(Lane::Park, |answer| answer.from(peer(n), local).window(window));
    accept(bench, listener)
}

fn accept(bench: &mut Bench, listener: ListenerId) -> ChannelId {
    let now = bench.now;
    bench.session().accept(now, listener).unwrap().expect("a channel")
}

fn ended(bench: &mut Bench, channels: &[ChannelId]) -> Vec<usize> {
    let session = bench.session();
    let ended = |n: &usize| session.connected(channels[*n]) != Ok(true);
    (0..channels.len()).filter(ended).collect()
}

/// All channels are used by peer 1.
fn taken_by_one(profile: &Profile) -> (Bench, ListenerId, Vec<ChannelId>) {
    let (mut bench, listener) = listening_with(profile, 8);
    let mut channels = Vec::new();
    for id in 1..=profile.channels as u32 {
        let local = gets(&mut bench, 1, id);
        bench.pass(10);
        channels.push(uses(&mut bench, listener, 1, local));
    }
    (bench, listener, channels)
}

#[test]
fn peer_with_all_channels_gives_up_the_quietest_for_a_newcomer() {
    let (mut bench, _, channels) = taken_by_one(&SIXTEEN);
    assert_eq!(connects(&mut bench, 2, 1), [], "the newcomer is to ask again");
    assert_eq!(ended(&mut bench, &channels), [0]);
    let error = bench.session().connected(channels[0]).unwrap_err();
    assert_eq!(error, TransportError::Linger { acked: 0 }.into());
    let now = bench.now;
    bench.session().release(now, channels[0]);
    // The place is not for the peer that has enough.
    assert_eq!(connects(&mut bench, 1, 17), [(peer(1), Status::BacklogFull, ChannelRef::NONE)]);
    bench.pass(REPEAT);
    gets(&mut bench, 2, 1);
    assert_eq!(ended(&mut bench, &channels[1..]), [] as [usize; 0]);
}

#[test]
fn peer_keeps_its_share_whoever_else_wants_in() {
    let (mut bench, listener, mut channels) = taken_by_one(&SIXTEEN);
    let mut given_up = 0;
    for n in 2..30 {
        bench.pass(UNUSED);
        connects(&mut bench, n, 1);
        for at in ended(&mut bench, &channels).into_iter().rev() {
            let now = bench.now;
            bench.session().release(now, channels.remove(at));
            given_up += 1;
        }
        bench.pass(REPEAT);
        let told = connects(&mut bench, n, 1);
        if let [(_, Status::Ok, local)] = told[..] {
            uses(&mut bench, listener, n, local);
        }
    }
    assert_eq!((given_up, channels.len()), (12, 4));
}

#[test]
fn peer_loses_no_channel_that_it_uses_of_less_than_sixteen() {
    let (mut bench, _, channels) = taken_by_one(&EIGHT);
    for n in 2..30 {
        bench.pass(UNUSED);
        connects(&mut bench, n, 1);
    }
    assert_eq!(ended(&mut bench, &channels), [] as [usize; 0]);
}

#[test]
fn places_are_not_taken_away_all_at_once() {
    let (mut bench, _, channels) = taken_by_one(&SIXTEEN);
    for n in 2..100 {
        connects(&mut bench, n, 1);
    }
    assert_eq!(ended(&mut bench, &channels), [0]);
}

#[test]
fn peer_with_its_share_gets_free_channels_while_nobody_else_wants_them() {
    let (mut bench, listener, channels) = taken_by_one(&SIXTEEN);
    assert_eq!(connects(&mut bench, 1, 17), [(peer(1), Status::BacklogFull, ChannelRef::NONE)]);
    assert_eq!(ended(&mut bench, &channels), [] as [usize; 0]);
    let now = bench.now;
    bench.session().abort(now, channels[3]);
    bench.pass(20_000);
    let local = gets(&mut bench, 1, 18);
    uses(&mut bench, listener, 1, local);
}

#[test]
fn unused_channel_of_the_peer_with_the_most_gives_its_place_up() {
    let (mut bench, listener) = listening(8);
    let mut channels = Vec::new();
    // Each within its share.
    for (n, id) in [(3, 1), (2, 1), (2, 2), (4, 1), (4, 2), (5, 1), (5, 2), (6, 1)] {
        let local = gets(&mut bench, n, id);
        bench.pass(10);
        channels.push(match n {
            2 | 3 => leaves_unused(&mut bench, listener, n, local),
            _ => uses(&mut bench, listener, n, local),
        });
    }
    assert_eq!(connects(&mut bench, 7, 1), [(peer(7), Status::BacklogFull, ChannelRef::NONE)]);
    assert_eq!(ended(&mut bench, &channels), [] as [usize; 0], "they may be used any moment");
    bench.pass(UNUSED);
    assert_eq!(connects(&mut bench, 7, 2), []);
    assert_eq!(ended(&mut bench, &channels), [1]);
}

#[test]
fn half_open_channels_give_way_and_their_peer_is_told() {
    let (mut bench, _) = listening(16);
    for id in 1..=8 {
        gets(&mut bench, 1, id);
    }
    assert_eq!(connects(&mut bench, 2, 1), [(peer(1), Status::BacklogFull, ChannelRef::NONE)]);
    bench.pass(REPEAT);
    let told = connects(&mut bench, 2, 1);
    assert!(told.iter().any(|(to, status, _)| (*to, *status) == (peer(2), Status::Ok)), "{told:?}");
}

#[test]
fn backlog_is_shared_as_channels_are() {
    let (mut bench, _) = listening(4);
    for id in 1..=4 {
        gets(&mut bench, 1, id);
    }
    let full = (peer(1), Status::BacklogFull, ChannelRef::NONE);
    assert_eq!(connects(&mut bench, 1, 5), [full]);
    let told = connects(&mut bench, 2, 1);
    assert!(told.contains(&full), "{told:?}");
    assert!(told.iter().any(|(to, status, _)| (*to, *status) == (peer(2), Status::Ok)), "{told:?}");
}

#[test]
fn channel_that_waits_to_be_accepted_is_no_unused_one() {
    let (mut bench, listener) = listening(2);
    for n in [1, 2] {
        let local = gets(&mut bench, n, 1);
        let window = Window { limit: WINDOW, ..Window::default() };
        bench.exchange(Lane::Park, |answer| answer.from(peer(n), local).window(window));
    }
    bench.pass(2 * UNUSED);
    assert_eq!(connects(&mut bench, 3, 1), [(peer(3), Status::BacklogFull, ChannelRef::NONE)]);
    let accepted = [(); 2].map(|()| accept(&mut bench, listener));
    assert_eq!(ended(&mut bench, &accepted), [] as [usize; 0]);
}
