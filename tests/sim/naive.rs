//! A client made by hand, which ignores windows and all messages to it.

use bytes::Bytes;
use byway::Kind;
use byway::relay::router::Answer;
use byway::session::{Event, Profile};
use byway::wire::{
    Address, ChannelKind, ChannelRef, Connect, Data, DataFlags, Decoder, Hello, HelloFlags,
    Message, Piece, Route, VERSION, Window,
};

use crate::app::{ListenPlan, endpoint};
use crate::rng::fill;
use crate::world::World;

/// A client that knows its peer's channel, and counts its exchanges.
struct Naive {
    seq: u64,
    route: Route,
    channel: ChannelRef,
}

/// The part of an answer that the tests look at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    delivered: u32,
    ack: u64,
    limit: u64,
    /// The overflow of each acknowledgement.
    overflows: Vec<u64>,
    accepted: Option<(Address, ChannelRef)>,
}

impl Naive {
    fn connect(w: &mut World, at: &str, kind: Kind) -> Self {
        let channel = ChannelRef { id: 77, token: 0x7777 };
        let mut naive = Self { seq: 0, route: Route::default(), channel };
        let at = endpoint(at);
        let connect = Connect {
            channel,
            kind: ChannelKind::plain(kind),
            port: at.port,
            limit: 1 << 20,
            linger_ms: 60_000,
            name: at.name,
            greeting: &[],
        };
        naive.exchange(w, 0, &[(Message::ConnectReq(connect), &[])]);
        let told = naive.exchange(w, 5000, &[]);
        let (peer, theirs) = told.accepted.expect("CONNECT_RSP");
        naive.route = Route { peer, channel: theirs };
        // The connector's first message establishes the channel.
        let window = Message::ReceiveReq(Window { limit: 1 << 20, now: true, ..Window::default() });
        naive.exchange(w, 0, &[(Message::Route(naive.route), &[]), (window, &[])]);
        naive
    }

    fn say(&mut self, w: &mut World, data: Data, bytes: &[u8]) -> Told {
        let route = Message::Route(self.route);
        self.exchange(w, 0, &[(route, &[]), (Message::SendReq(data), bytes)])
    }

    /// Sends stream bytes `at..to`, whatever the window.
    fn send(&mut self, w: &mut World, key: u64, at: u64, to: u64) -> Told {
        let mut bytes = vec![0; (to - at) as usize];
        fill(key, at, &mut bytes);
        let data = Data { offset: at, flags: DataFlags::ACK_NOW, len: bytes.len() as u32 };
        self.say(w, data, &bytes)
    }

    /// Makes one exchange, with no network between the client and the relay.
    fn exchange(&mut self, w: &mut World, hold_ms: u32, say: &[(Message<'_>, &[u8])]) -> Told {
        self.seq += 1;
        let hello = Hello {
            version: VERSION,
            flags: HelloFlags::NONE,
            secret: [0xaa; 16],
            seq: self.seq,
            hold_ms,
            max_response: 1 << 20,
        };
        let mut body = Vec::new();
        let mut buffer = [0; 256];
        for (message, bytes) in [(Message::Hello(hello), &[][..])].iter().chain(say) {
            let n = message.encode(&mut buffer).expect("encodes");
            body.extend_from_slice(&buffer[..n]);
            body.extend_from_slice(bytes);
        }
        let id = w.router.handle_open(w.now);
        let mut body = Bytes::from(body);
        let mut is_told = false;
        let mut answer = Vec::new();
        let patience = w.now + 10_000;
        loop {
            w.router.handle_body(w.now, id, &mut body);
            if body.is_empty() && !std::mem::replace(&mut is_told, true) {
                w.router.handle_body_end(w.now, id);
            }
            match w.router.poll_response(w.now, id).expect("one relay") {
                Answer::Bytes(bytes) => answer.extend_from_slice(&bytes),
                Answer::End => break,
                Answer::Pending => {
                    w.settle();
                    assert!(w.step(patience), "no answer");
                }
            }
        }
        w.settle();
        self.read(&answer)
    }

    fn read(&self, answer: &[u8]) -> Told {
        let mut told = Told::default();
        let mut decoder = Decoder::new();
        let mut input = answer;
        let mut from = Route::default();
        while let Ok(Some(piece)) = decoder.next(&mut input) {
            match piece {
                Piece::Message(Message::From(route)) => from = route,
                Piece::Message(Message::ConnectRsp(accept)) => {
                    assert_eq!(from.channel, self.channel);
                    told.accepted = Some((from.peer, accept.channel));
                }
                Piece::Message(Message::SendRsp(window)) => {
                    told.ack = told.ack.max(window.ack);
                    told.limit = told.limit.max(window.limit);
                    told.overflows.push(window.overflow);
                }
                Piece::Message(Message::Verdict(verdict)) => told.delivered = verdict.bytes,
                _ => {}
            }
        }
        told
    }

    /// Waits for an acknowledgement.
    fn park(&mut self, w: &mut World) -> Told {
        self.exchange(w, 5000, &[])
    }
}

/// A tiny client with a channel from the naive one, accepted by hand.
fn scene(kind: Kind) -> (World, usize, byway::session::ChannelId, Naive) {
    let mut w = World::new(61);
    w.plain = true;
    let b = w.peer(Profile { listeners: 2, ..Profile::TINY });
    let id = w.with(b, |s, now| s.listen(now, endpoint("b:1"), kind, 4)).expect("a listener");
    w.peers[b].listens.push(ListenPlan { id, endpoint: endpoint("b:1"), kind, accepts: false });
    w.run(100);
    let naive = Naive::connect(&mut w, "b:1", kind);
    w.run(100);
    let channel = w.with(b, |s, now| s.accept(now, id)).expect("listens").expect("a channel");
    (w, b, channel, naive)
}

fn read_all(w: &mut World, b: usize, id: byway::session::ChannelId, key: u64, at: &mut u64) {
    let mut out = [0; 700];
    while let Ok(Some(n)) = w.with(b, |s, now| s.read(now, id, &mut out)) {
        let mut expected = [0; 700];
        fill(key, *at, &mut expected[..n]);
        assert_eq!(out[..n], expected[..n]);
        *at += n as u64;
    }
}

#[test]
fn overflow_is_told_once_and_the_stream_goes_on() {
    let (mut w, b, id, mut naive) = scene(Kind::Stream);
    let (key, mut read) = (5, 0);
    naive.park(&mut w);
    // The ring takes 1,024 of 3,000 bytes.
    let told = naive.send(&mut w, key, 0, 3000);
    assert_eq!(told.delivered, 3000, "the relay does not count windows");
    let told = naive.park(&mut w);
    assert_eq!((told.ack, told.limit), (1024, 1024));
    assert_eq!(told.overflows, [1025]);
    read_all(&mut w, b, id, key, &mut read);
    assert_eq!(read, 1024);
    w.run(50);
    // The window opens, and repeats the same overflow, which never falls.
    let told = naive.park(&mut w);
    assert_eq!((told.ack, told.limit), (1024, 2048));
    assert!(told.overflows.iter().all(|&at| at == 1025));
    naive.send(&mut w, key, 1024, 2048);
    w.run(50);
    read_all(&mut w, b, id, key, &mut read);
    assert_eq!(read, 2048);
    naive.send(&mut w, key, 2048, 4000);
    w.run(50);
    let told = naive.park(&mut w);
    assert_eq!((told.ack, told.overflows.last().copied()), (3072, Some(3073)), "a new one");
    read_all(&mut w, b, id, key, &mut read);
    naive.send(&mut w, key, 3072, 4000);
    w.run(50);
    read_all(&mut w, b, id, key, &mut read);
    assert_eq!(read, 4000);
}

#[test]
fn bytes_from_the_middle_are_a_loss_and_never_reach_the_application() {
    let (mut w, b, id, mut naive) = scene(Kind::Stream);
    let (key, mut read) = (6, 0);
    naive.send(&mut w, key, 500, 600);
    naive.send(&mut w, key, 700, 800);
    w.run(50);
    read_all(&mut w, b, id, key, &mut read);
    assert_eq!(read, 0);
    naive.send(&mut w, key, 0, 100);
    naive.send(&mut w, key, 50, 300);
    naive.send(&mut w, key, 10, 20);
    w.run(50);
    read_all(&mut w, b, id, key, &mut read);
    assert_eq!(read, 300);
}

#[test]
fn datagram_that_does_not_fit_is_dropped_whole_without_notice() {
    let (mut w, b, id, mut naive) = scene(Kind::Datagram);
    let flags = DataFlags::DATAGRAM.with(DataFlags::ACK_NOW);
    // With its header of 6 octets each datagram takes 406 of 1,024; each number is sent twice.
    for number in 0..4 {
        for _ in 0..2 {
            let data = Data { offset: number, flags, len: 400 };
            let told = naive.say(&mut w, data, &[number as u8; 400]);
            assert_eq!(told.delivered, 400);
        }
    }
    w.run(50);
    let told = naive.park(&mut w);
    assert!(told.overflows.iter().all(|&at| at == 0), "{told:?}");
    let mut out = [0; 1024];
    let mut got = Vec::new();
    while let Ok(Some(n)) = w.with(b, |s, now| s.recv_datagram(now, id, &mut out)) {
        assert_eq!((n, out[0], out[399]), (400, got.len() as u8, got.len() as u8));
        got.push(n);
    }
    assert_eq!(got.len(), 2);
    let stats = w.peers[b].session().channel_stats(id).expect("open");
    assert_eq!(stats.datagrams_dropped, 2);
    let is_overflow = |e: &Event| matches!(e, Event::Overflow { .. });
    assert!(!w.peers[b].events.iter().any(is_overflow));
}
