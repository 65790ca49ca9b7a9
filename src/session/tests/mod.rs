//! Tests of the session by itself: the answers it gets are made by hand.

mod answers;
mod backoff;
mod bodies;
mod breaks;
mod datagrams;
mod ends;
mod handles;
mod meet;
mod numbers;
mod over;
mod progress;
mod random;
mod single;
mod statuses;
mod streaming;
mod streams;
mod tokens;

use super::{ChannelId, Event, Exchange, HeapStorage, Lane, Profile, Session, Settings};
use crate::error::Blocked;
use crate::wire::{
    Accept, Address, Channel, Connect, Data, DataFlags, Decoder, End, MAX_CONTROL, Message, Piece,
    Route, Status, VERSION, Verdict, Welcome, Window,
};
use crate::{Endpoint, Kind};

/// Two channels of 256 octets each way, two listeners.
const SMALL: Profile = Profile { channels: 2, ring: 256, listeners: 2, io_buffer: 512 };
/// The other peer, and its end of its channel `1`.
const PEER: Address = Address([7; 16]);
const REMOTE: Channel = Channel { id: 1 << 24 | 3, token: 99 };

fn endpoint() -> Endpoint {
    "camera:1".parse().unwrap()
}

/// An answer, made by hand.
#[derive(Debug, Clone)]
struct Answer(Vec<u8>);

impl Answer {
    /// Begins with the WELCOME that belongs to the exchange.
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

    fn from(self, peer: Address, channel: Channel) -> Self {
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

    /// The listener's answer to the connection of the channel `to`.
    fn connected(self, to: Channel, status: Status, limit: u64) -> Self {
        let channel = if status == Status::Ok { REMOTE } else { Channel::NONE };
        let accept = Accept { status, channel, limit, linger_ms: 180_000, greeting: b"ho" };
        self.from(PEER, to).message(&Message::ConnectRsp(accept))
    }

    /// Somebody connects from `channel` of [`PEER`].
    fn arrival(self, channel: Channel, endpoint: Endpoint, kind: Kind) -> Self {
        let connect = Connect {
            channel,
            kind,
            port: endpoint.port,
            limit: 1000,
            linger_ms: 180_000,
            name: endpoint.name,
            greeting: b"hi",
        };
        self.from(PEER, Channel::NONE).message(&Message::AcceptReq(connect))
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

/// A request, read.
#[derive(Debug)]
struct Request {
    exchange: Exchange,
    /// Its messages; greetings left out.
    messages: Vec<Message<'static>>,
    /// The bytes of all its data messages.
    bytes: Vec<u8>,
}

impl Request {
    /// Reads a whole body, which must be well formed.
    fn parse(exchange: Exchange, body: &[u8]) -> Self {
        assert_eq!(body.len(), exchange.len);
        let mut request = Self { exchange, messages: Vec::new(), bytes: Vec::new() };
        let mut decoder = Decoder::new();
        let mut rest = body;
        while let Some(piece) = decoder.next(&mut rest).unwrap() {
            match piece {
                Piece::Bytes(bytes, _) => request.bytes.extend_from_slice(bytes),
                Piece::Message(message) => request.messages.push(owned(message)),
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

    /// What was sent, with its place.
    fn data(&self) -> Vec<(usize, Data)> {
        let data = self.messages.iter().enumerate().filter_map(|(i, message)| match message {
            Message::SendReq(data) => Some((i, *data)),
            _ => None,
        });
        data.collect()
    }

    /// Place and channel of a CONNECT_REQ.
    fn connect(&self) -> Option<(usize, Channel)> {
        self.messages.iter().enumerate().find_map(|(i, message)| match message {
            Message::ConnectReq(connect) => Some((i, connect.channel)),
            _ => None,
        })
    }

    fn says(&self, message: &Message<'_>) -> bool {
        self.messages.iter().any(|m| m == message)
    }
}

fn owned(message: Message<'_>) -> Message<'static> {
    match message {
        Message::ConnectReq(m) => Message::ConnectReq(Connect { greeting: b"", ..m }),
        Message::AcceptRsp(m) => Message::AcceptRsp(Accept { greeting: b"", ..m }),
        Message::Hello(m) => Message::Hello(m),
        Message::Route(m) => Message::Route(m),
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
    /// Opened; nothing was exchanged.
    fn new() -> Self {
        Self::of(&SMALL)
    }

    /// The same of another size.
    fn of(profile: &Profile) -> Self {
        let mut storage = HeapStorage::new(profile).unwrap();
        let now = 1_000_000;
        storage.session().open(now, &Settings::new([1; 16], 5));
        Self { storage, now }
    }

    /// Opened, and the relay has answered.
    fn reached() -> Self {
        Self::new().reach()
    }

    fn reach(self) -> Self {
        let mut bench = self;
        bench.exchange(Lane::Send, |answer| answer);
        while bench.session().poll_event().is_some() {}
        bench
    }

    /// With a channel that both ends know; its id here, and its end here. The peer takes `limit`.
    fn connected(kind: Kind, limit: u64) -> (Self, ChannelId, Channel) {
        Self::reached().join(kind, limit)
    }

    fn join(self, kind: Kind, limit: u64) -> (Self, ChannelId, Channel) {
        let mut bench = self;
        let id = bench.connect(kind);
        let local = bench.dial(Status::Ok, limit);
        assert_eq!(bench.session().connected(id), Ok(true));
        // The acknowledgement of the set-up.
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

    /// Sends the CONNECT_REQ that is due and has it answered. The channel's end here.
    fn dial(&mut self, status: Status, limit: u64) -> Channel {
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

    /// A whole answer, in small pieces.
    fn answer(&mut self, lane: Lane, octets: &[u8]) {
        for piece in octets.chunks(7) {
            self.feed(lane, piece).unwrap();
        }
        self.finish(lane).unwrap();
    }

    /// An exchange with its answer, which `make` fills between WELCOME and END.
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

    /// Everything that can be read of a stream.
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
