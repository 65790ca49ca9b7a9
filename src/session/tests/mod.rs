//! Tests of the session by itself, with answers made by hand.

mod handles;
mod input;
mod operations;
mod progress;

use super::{ChannelId, Exchange, HeapStorage, Lane, Profile, Session, Settings};
use crate::Kind;
use crate::error::Blocked;
use crate::wire::{
    Accept, Address, Channel, Data, DataFlags, Decoder, End, Endpoint, Message, Piece, Route,
    Status, VERSION, Welcome, Window,
};

/// The session's own address, and its peer's.
const SELF: Address = Address([1; 16]);
const PEER: Address = Address([2; 16]);
/// The peer's end of the channel.
const REMOTE: Channel = Channel { id: 9, token: 99 };

/// A session, and a relay that says what a test wants.
struct Rig {
    storage: HeapStorage,
    now: u64,
}

impl Rig {
    fn new(profile: &Profile) -> Self {
        let mut storage = HeapStorage::new(profile).expect("valid");
        storage.session().open(1000, &Settings::new([7; 16], 3));
        let mut rig = Self { storage, now: 1000 };
        rig.exchange(Lane::Send, &[]);
        rig
    }

    fn session(&mut self) -> Session<'_> {
        self.storage.session()
    }

    /// Begins an exchange and takes its body.
    fn begin(&mut self, lane: Lane) -> Option<(Exchange, Vec<u8>)> {
        let now = self.now;
        let exchange = self.session().poll_exchange(now, lane)?;
        let mut body = vec![0; exchange.len];
        assert_eq!(self.session().poll_body(lane, &mut body), exchange.len);
        Some((exchange, body))
    }

    fn feed(&mut self, lane: Lane, bytes: &[u8]) -> Result<(), Blocked> {
        let now = self.now;
        self.session().handle_response(now, lane, bytes)
    }

    fn finish(&mut self, lane: Lane) -> Result<(), Blocked> {
        let now = self.now;
        self.session().handle_finished(now, lane)
    }

    /// A whole exchange that is answered with these messages; gives what it said.
    fn exchange(&mut self, lane: Lane, answer: &[Said<'_>]) -> Vec<u8> {
        let (exchange, body) = self.begin(lane).expect("an exchange is due");
        self.feed(lane, &framed(exchange.seq, answer, Status::Ok)).expect("a good answer");
        self.finish(lane).expect("it has its END");
        body
    }

    /// A stream to the peer; the route by which the peer addresses it.
    fn connect(&mut self) -> (ChannelId, Route) {
        let (now, at) = (self.now, endpoint());
        let id = self.session().connect(now, at, Kind::Stream, b"").expect("room");
        let mut local = Channel::NONE;
        let body = self.exchange(Lane::Send, &[]);
        messages(&body, |message| {
            if let Message::ConnectReq(connect) = message {
                local = connect.channel;
            }
        });
        let limit = 1 << 16;
        let greeting = &[];
        let remote = Channel { id: REMOTE.id + id.0, ..REMOTE };
        let accept =
            Accept { status: Status::Ok, channel: remote, limit, linger_ms: 60_000, greeting };
        let route = Route { peer: PEER, channel: local };
        let said = [Said::Plain(Message::From(route)), Said::Plain(Message::ConnectRsp(accept))];
        self.exchange(Lane::Park, &said);
        assert_eq!(self.session().connected(id), Ok(true));
        self.exchange(Lane::Send, &[]);
        (id, route)
    }

    fn read(&mut self, id: ChannelId) -> Vec<u8> {
        let now = self.now;
        let mut all = Vec::new();
        let mut out = [0; 100];
        while let Ok(Some(n @ 1..)) = self.session().read(now, id, &mut out) {
            all.extend_from_slice(&out[..n]);
        }
        all
    }
}

/// A message of an answer, with its bytes.
#[derive(Clone, Copy)]
enum Said<'a> {
    Plain(Message<'a>),
    Data(u64, DataFlags, &'a [u8]),
}

fn endpoint() -> Endpoint {
    "camera:1".parse().expect("an endpoint")
}

fn encoded(said: &[Said<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut buffer = [0; 512];
    for said in said {
        let (message, bytes) = match *said {
            Said::Plain(message) => (message, &[][..]),
            Said::Data(offset, flags, bytes) => {
                (Message::ReceiveRsp(Data { offset, flags, len: bytes.len() as u32 }), bytes)
            }
        };
        let n = message.encode(&mut buffer).expect("encodes");
        out.extend_from_slice(&buffer[..n]);
        out.extend_from_slice(bytes);
    }
    out
}

fn welcome(seq: u64) -> Said<'static> {
    Said::Plain(Message::Welcome(Welcome {
        version: VERSION,
        seq,
        address: SELF,
        max_body: 1 << 20,
    }))
}

fn end(status: Status, highest: u64) -> Said<'static> {
    Said::Plain(Message::End(End { status, highest }))
}

/// An answer: WELCOME, the messages, END.
fn framed(seq: u64, said: &[Said<'_>], status: Status) -> Vec<u8> {
    let mut answer = encoded(&[welcome(seq)]);
    answer.extend(encoded(said));
    answer.extend(encoded(&[end(status, seq)]));
    answer
}

fn from(route: Route) -> Said<'static> {
    Said::Plain(Message::From(route))
}

fn window(ack: u64) -> Window {
    Window { ack, limit: 1 << 16, ..Window::default() }
}

/// Each message of a body.
fn messages(body: &[u8], mut each: impl FnMut(Message<'_>)) {
    let mut decoder = Decoder::new();
    let mut input = body;
    while let Some(piece) = decoder.next(&mut input).expect("a good request") {
        if let Piece::Message(message) = piece {
            each(message);
        }
    }
    assert!(decoder.at_boundary(), "a whole request");
}

/// The acknowledgements in a request.
fn windows(body: &[u8]) -> Vec<Window> {
    let mut found = Vec::new();
    messages(body, |message| {
        if let Message::ReceiveReq(window) = message {
            found.push(window);
        }
    });
    found
}
