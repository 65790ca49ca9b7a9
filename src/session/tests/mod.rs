//! Tests of the session by itself: the tests make the relay's answers by hand.

mod answers;
mod backoff;
mod bodies;
mod breaks;
mod datagrams;
mod ends;
mod handles;
#[cfg(feature = "secure")]
mod key_names;
mod long_paths;
mod meet;
mod numbers;
mod over;
mod places;
mod pooled;
mod progress;
mod random;
mod single;
mod statuses;
mod streaming;
mod streams;
mod tokens;
mod zero;

use super::{ChannelId, Event, Exchange, HeapStorage, Lane, Profile, Session, Settings};
use crate::error::Blocked;
use crate::wire::{
    Accept, Address, ChannelKind, ChannelRef, Connect, Data, DataFlags, Decoder, End, MAX_CONTROL,
    Message, Piece, Proof, Route, Status, VERSION, Verdict, Welcome, Window,
};
use crate::{Endpoint, Kind};

/// Size of a ring of [`SMALL`] in octets.
const RING: usize = 256;
/// The window of a peer whose ring is as large as ours.
const WINDOW: u64 = RING as u64;
/// Two channels of one ring each way, two listeners.
const SMALL: Profile = Profile { channels: 2, ring: RING, pool: 0, listeners: 2, io_buffer: 512 };
/// The time at which the tests begin, in ms.
const START: u64 = 1_000_000;
/// The place of the first message in a request, behind HELLO and a ROUTE.
const FIRST: usize = 2;
/// Longer than every pause that the session makes between two tries, in ms.
const PAUSE: u64 = 5_000;
/// The address of the other peer.
const PEER: Address = Address([7; 16]);
/// The address of a third peer, which has no channel with the session.
const STRANGER: Address = Address([8; 16]);
/// The other peer's end of the channel.
const REMOTE: ChannelRef = ChannelRef { id: 1 << 24 | 3, token: 99 };

fn endpoint() -> Endpoint {
    "camera:1".parse().unwrap()
}

/// An answer of the relay, made by hand.
#[derive(Debug, Clone)]
struct Answer(Vec<u8>);

impl Answer {
    /// An answer to the exchange, which begins with WELCOME.
    fn to(exchange: &Exchange) -> Self {
        Self::welcome(VERSION, exchange.seq)
    }

    fn welcome(version: u8, seq: u64) -> Self {
        let welcome = Welcome { version, seq, address: Address([1; 16]), max_body: 1 << 20 };
        Self(Vec::new()).message(&Message::Welcome(welcome))
    }

    fn raw(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    fn message(self, message: &Message<'_>) -> Self {
        let mut buffer = [0; MAX_CONTROL];
        let n = message.encode(&mut buffer).unwrap();
        self.raw(&buffer[..n])
    }

    fn from(self, peer: Address, channel: ChannelRef) -> Self {
        self.message(&Message::From(Route { peer, channel }))
    }

    fn data(self, offset: u64, flags: DataFlags, bytes: &[u8]) -> Self {
        let len = bytes.len() as u32;
        self.message(&Message::ReceiveRsp(Data { offset, flags, len })).raw(bytes)
    }

    fn stream(self, offset: u64, bytes: &[u8]) -> Self {
        self.data(offset, DataFlags::NONE, bytes)
    }

    fn datagram(self, number: u64, bytes: &[u8]) -> Self {
        self.data(number, DataFlags::DATAGRAM, bytes)
    }

    fn window(self, window: Window) -> Self {
        self.message(&Message::SendRsp(window))
    }

    fn verdict(self, index: usize, status: Status, bytes: u32) -> Self {
        self.message(&Message::Verdict(Verdict { index: index as u16, status, bytes }))
    }

    /// Adds the listener's answer to the connection of the channel `to`.
    fn connected(self, to: ChannelRef, status: Status, limit: u64) -> Self {
        let channel = if status == Status::Ok { REMOTE } else { ChannelRef::NONE };
        let accept = Accept { status, channel, limit, linger_ms: 180_000, greeting: b"ho" };
        self.from(PEER, to).message(&Message::ConnectRsp(accept))
    }

    /// Adds a connection from `channel` of [`PEER`].
    fn arrival(self, channel: ChannelRef, endpoint: Endpoint, kind: Kind) -> Self {
        self.arrival_of(PEER, channel, endpoint, kind)
    }

    /// Adds a connection from `channel` of that peer.
    fn arrival_of(
        self,
        peer: Address,
        channel: ChannelRef,
        endpoint: Endpoint,
        kind: Kind,
    ) -> Self {
        let connect = Connect {
            channel,
            kind: ChannelKind::plain(kind),
            port: endpoint.port,
            limit: 1000,
            linger_ms: 180_000,
            name: endpoint.name,
            greeting: b"hi",
        };
        self.from(peer, ChannelRef::NONE).message(&Message::AcceptReq(connect))
    }

    fn end(self, status: Status) -> Self {
        self.end_at(status, 0)
    }

    fn end_at(self, status: Status, highest: u64) -> Self {
        self.message(&Message::End(End { status, highest }))
    }

    fn ok(self) -> Vec<u8> {
        self.end(Status::Ok).0
    }
}

/// A request that the session made, taken apart.
#[derive(Debug)]
struct Request {
    exchange: Exchange,
    /// The messages, with greetings left out.
    messages: Vec<Message<'static>>,
    /// The greeting of each ACCEPT_RSP.
    answers: Vec<Vec<u8>>,
    /// The bytes of all data messages, joined.
    bytes: Vec<u8>,
    /// The key, host and signature of each PROOF.
    proofs: Vec<[Vec<u8>; 3]>,
}

impl Request {
    /// Reads a whole body, which must be well formed.
    fn parse(exchange: Exchange, body: &[u8]) -> Self {
        assert_eq!(body.len(), exchange.len);
        let mut request = Self {
            exchange,
            messages: Vec::new(),
            answers: Vec::new(),
            bytes: Vec::new(),
            proofs: Vec::new(),
        };
        let mut decoder = Decoder::new();
        let mut rest = body;
        while let Some(piece) = decoder.next(&mut rest).unwrap() {
            match piece {
                Piece::Bytes(bytes, _) => request.bytes.extend_from_slice(bytes),
                Piece::Message(message) => {
                    if let Message::AcceptRsp(accept) = message {
                        request.answers.push(accept.greeting.to_vec());
                    }
                    if let Message::Proof(Proof { key, host, signature }) = message {
                        request.proofs.push([key.to_vec(), host.to_vec(), signature.to_vec()]);
                    }
                    request.messages.push(owned(message));
                }
            }
        }
        assert!(decoder.at_boundary(), "the body ends in the middle of a message");
        assert!(matches!(request.messages.first(), Some(Message::Hello(_))));
        request
    }

    fn windows(&self) -> Vec<Window> {
        let windows = self.messages.iter().filter_map(|message| match message {
            Message::ReceiveReq(window) => Some(*window),
            _ => None,
        });
        windows.collect()
    }

    /// The data messages, each with its place.
    fn data(&self) -> Vec<(usize, Data)> {
        let data = self.messages.iter().enumerate().filter_map(|(i, message)| match message {
            Message::SendReq(data) => Some((i, *data)),
            _ => None,
        });
        data.collect()
    }

    /// The place and the channel of a CONNECT_REQ.
    fn connect(&self) -> Option<(usize, ChannelRef)> {
        self.messages.iter().enumerate().find_map(|(i, message)| match message {
            Message::ConnectReq(connect) => Some((i, connect.channel)),
            _ => None,
        })
    }

    fn says(&self, message: &Message<'_>) -> bool {
        self.messages.iter().any(|m| m == message)
    }
}

/// What stands for a PROOF among the messages of a request.
const NO_PROOF: Proof<'static> = Proof { key: &[0; 32], host: &[0; 32], signature: &[0; 64] };

fn owned(message: Message<'_>) -> Message<'static> {
    match message {
        Message::ConnectReq(m) => Message::ConnectReq(Connect { greeting: b"", ..m }),
        Message::AcceptRsp(m) => Message::AcceptRsp(Accept { greeting: b"", ..m }),
        Message::Hello(m) => Message::Hello(m),
        Message::Route(m) => Message::Route(m),
        Message::Proof(_) => Message::Proof(NO_PROOF),
        Message::ListenReq(m) => Message::ListenReq(m),
        Message::SendReq(m) => Message::SendReq(m),
        Message::ReceiveReq(m) => Message::ReceiveReq(m),
        Message::CloseReq(m) => Message::CloseReq(m),
        Message::CloseRsp(m) => Message::CloseRsp(m),
        Message::Pad(m) => Message::Pad(m),
        other => panic!("a request may not have {other:?}"),
    }
}

/// A session on the bench, under a virtual clock.
struct Bench {
    storage: HeapStorage,
    now: u64,
}

impl Bench {
    /// A session that is opened, before its first exchange.
    fn new() -> Self {
        Self::of(&SMALL)
    }

    /// A session of this size that is opened, before its first exchange.
    fn of(profile: &Profile) -> Self {
        let mut storage = HeapStorage::new(profile).unwrap();
        let now = START;
        storage.session().open(now, &Settings::new([1; 16], 5));
        Self { storage, now }
    }

    /// A session with these settings, before its first exchange.
    #[cfg(feature = "secure")]
    fn with(settings: &Settings) -> Self {
        let mut storage = HeapStorage::new(&SMALL).unwrap();
        storage.session().open(START, settings);
        Self { storage, now: START }
    }

    /// A session that the relay has answered.
    fn reached() -> Self {
        Self::new().reach()
    }

    fn reach(self) -> Self {
        let mut bench = self;
        bench.exchange(Lane::Send, |answer| answer);
        while bench.session().poll_event().is_some() {}
        bench
    }

    /// A session with a channel that both ends know, the channel's id, and its end here. The peer's
    /// window reaches to `limit`.
    fn connected(kind: Kind, limit: u64) -> (Self, ChannelId, ChannelRef) {
        Self::reached().join(kind, limit)
    }

    fn join(self, kind: Kind, limit: u64) -> (Self, ChannelId, ChannelRef) {
        let mut bench = self;
        let id = bench.connect(kind);
        let local = bench.dial(Status::Ok, limit);
        assert_eq!(bench.session().connected(id), Ok(true));
        // This request acknowledges the set-up.
        let request = bench.exchange(Lane::Send, |answer| answer);
        assert_eq!(request.windows().len(), 1);
        (bench, id, local)
    }

    fn session(&mut self) -> Session<'_> {
        self.storage.session()
    }

    fn connect(&mut self, kind: Kind) -> ChannelId {
        let now = self.now;
        self.session().connect(now, endpoint(), kind, b"hi").unwrap()
    }

    /// Sends the CONNECT_REQ that is due, and answers it. Gives the channel's end here.
    fn dial(&mut self, status: Status, limit: u64) -> ChannelRef {
        let request = self.begin(Lane::Send).expect("a CONNECT_REQ");
        let (_, local) = request.connect().expect("a CONNECT_REQ");
        let answer = Answer::to(&request.exchange).connected(local, status, limit);
        self.answer(Lane::Send, &answer.ok());
        local
    }

    /// Begins the exchange that is due on `lane`, and takes its whole body.
    fn begin(&mut self, lane: Lane) -> Option<Request> {
        let now = self.now;
        let exchange = self.session().poll_exchange(now, lane)?;
        let mut body = vec![0; exchange.len + 1];
        let n = self.session().poll_body(now, lane, &mut body);
        Some(Request::parse(exchange, &body[..n]))
    }

    fn feed(&mut self, lane: Lane, octets: &[u8]) -> Result<(), Blocked> {
        let now = self.now;
        self.session().handle_response(now, lane, octets)
    }

    fn finish(&mut self, lane: Lane) -> Result<(), Blocked> {
        let now = self.now;
        self.session().handle_finished(now, lane)
    }

    fn fail(&mut self, lane: Lane, cause: Blocked) {
        let now = self.now;
        self.session().handle_failure(now, lane, cause, true);
    }

    /// Gives the session a whole answer, in small pieces.
    fn answer(&mut self, lane: Lane, octets: &[u8]) {
        for piece in octets.chunks(7) {
            self.feed(lane, piece).unwrap();
        }
        self.finish(lane).unwrap();
    }

    /// Makes an exchange, whose answer `make` fills between WELCOME and END.
    fn exchange(&mut self, lane: Lane, make: impl FnOnce(Answer) -> Answer) -> Request {
        let request = self.begin(lane).expect("an exchange is due");
        self.answer(lane, &make(Answer::to(&request.exchange)).ok());
        request
    }

    /// Lets `ms` pass.
    fn pass(&mut self, ms: u64) {
        self.now += ms;
        let now = self.now;
        self.session().handle_timeout(now);
    }

    /// Reads everything that a stream has.
    fn read(&mut self, id: ChannelId) -> Vec<u8> {
        let now = self.now;
        let mut out = vec![0; 1 << 10];
        let n = self.session().read(now, id, &mut out).unwrap().unwrap_or(0);
        out.truncate(n);
        out
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.session().poll_event()).collect()
    }
}
