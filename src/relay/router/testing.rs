//! What the tests build requests with, and read responses with.

use std::sync::Arc;

use bytes::Bytes;

use super::super::admission::Grant;
use super::{Answer, ExchangeId, Origin, Router, RouterConfig};
use crate::Kind;
use crate::secure::{HostDigest, Identity, KeyProof};
use crate::wire::{
    Accept, Address, ChannelKind, ChannelRef, Confirm, Connect, Data, DataFlags, Decoder, Hello,
    HelloFlags, ListenReq, ListenRsp, MAX_CONTROL, Message, Name, Piece, Route, Status, VERSION,
    Window,
};

/// The secret of the tests' session `n`.
pub fn secret(n: u8) -> [u8; 16] {
    [n; 16]
}

/// Its address.
pub fn peer(n: u8) -> Address {
    super::drive::address(&secret(n))
}

/// The channel `id` of the tests.
pub fn channel(id: u32) -> ChannelRef {
    ChannelRef { id, token: u64::from(id) << 8 }
}

/// A request body.
#[derive(Debug, Clone)]
pub struct Body(Vec<u8>);

impl Body {
    pub fn empty() -> Self {
        Self(Vec::new())
    }

    /// The HELLO of a send.
    pub fn greeting(n: u8) -> Hello {
        Hello {
            version: VERSION,
            flags: HelloFlags::NONE,
            secret: secret(n),
            seq: 0,
            hold_ms: 0,
            max_response: 4 << 20,
        }
    }

    pub fn hello(hello: Hello) -> Self {
        Self::empty().message(&Message::Hello(hello))
    }

    /// A park whose response may have `max` octets.
    pub fn small(n: u8, seq: u64, max_response: u32) -> Self {
        Self::hello(Hello { seq, hold_ms: 5_000, max_response, ..Self::greeting(n) })
    }

    pub fn park(n: u8, seq: u64, hold_ms: u32) -> Self {
        Self::hello(Hello { seq, hold_ms, ..Self::greeting(n) })
    }

    /// A park whose response stays open.
    pub fn streamed(n: u8, seq: u64, max_response: u32) -> Self {
        let flags = HelloFlags::STREAM;
        Self::hello(Hello { seq, hold_ms: 5_000, flags, max_response, ..Self::greeting(n) })
    }

    /// A park that is a send as well.
    pub fn single(n: u8, seq: u64) -> Self {
        let flags = HelloFlags::SINGLE;
        Self::hello(Hello { seq, hold_ms: 5_000, flags, ..Self::greeting(n) })
    }

    pub fn send(n: u8) -> Self {
        Self::hello(Self::greeting(n))
    }

    pub fn flagged(n: u8, flags: HelloFlags) -> Self {
        Self::hello(Hello { flags, ..Self::greeting(n) })
    }

    pub fn raw(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    pub fn message(self, message: &Message<'_>) -> Self {
        let mut buffer = [0; MAX_CONTROL];
        let n = message.encode(&mut buffer).unwrap();
        self.raw(&buffer[..n])
    }

    pub fn to(self, n: u8, id: u32) -> Self {
        self.message(&Message::Route(Route { peer: peer(n), channel: channel(id) }))
    }

    pub fn data(self, offset: u64, flags: DataFlags, bytes: &[u8]) -> Self {
        let len = bytes.len() as u32;
        self.message(&Message::SendReq(Data { offset, flags, len })).raw(bytes)
    }

    pub fn stream(self, offset: u64, bytes: &[u8]) -> Self {
        self.data(offset, DataFlags::NONE, bytes)
    }

    pub fn datagram(self, number: u64, bytes: &[u8]) -> Self {
        self.data(number, DataFlags::DATAGRAM, bytes)
    }

    pub fn probe(self, offset: u64) -> Self {
        self.data(offset, DataFlags::PROBE, b"")
    }

    pub fn ack(self, ack: u64, now: bool) -> Self {
        self.message(&Message::ReceiveReq(Window { ack, now, ..Window::default() }))
    }

    pub fn connect(self, name: &str, kind: Kind) -> Self {
        self.connect_from(1, name, kind)
    }

    pub fn connect_from(self, id: u32, name: &str, kind: Kind) -> Self {
        self.message(&Message::ConnectReq(Connect {
            channel: channel(id),
            kind: ChannelKind::plain(kind),
            port: 1,
            limit: 1000,
            linger_ms: 180_000,
            name: Name::from_bytes(name.as_bytes()).unwrap(),
            greeting: b"hi",
        }))
    }

    pub fn accept(self) -> Self {
        self.message(&Message::AcceptRsp(Accept {
            status: Status::Ok,
            channel: channel(9),
            limit: 1000,
            linger_ms: 180_000,
            greeting: b"ho",
        }))
    }

    pub fn claim(
        self,
        claim: u32,
        name: &str,
        owner: u8,
        epoch: u64,
        heard: Option<Status>,
    ) -> Self {
        self.message(&Message::ListenReq(ListenReq {
            claim,
            kind: ChannelKind::plain(Kind::Stream),
            port: 1,
            owner: [owner; 16],
            epoch,
            backlog: 4,
            heard,
            name: Name::from_bytes(name.as_bytes()).unwrap(),
        }))
    }

    /// Proves the identity's key for session `n` at a host.
    pub fn prove(self, n: u8, identity: &Identity, host: &str) -> Self {
        let proof = KeyProof::new(identity, &secret(n), HostDigest::of(host));
        self.message(&Message::Proof(proof.message()))
    }

    pub fn done(self) -> Vec<u8> {
        self.0
    }
}

/// A response, read.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Its messages; their bytes and greetings left out.
    pub messages: Vec<Message<'static>>,
    /// The bytes of each data message.
    pub bytes: Vec<Vec<u8>>,
    /// Octets in all.
    pub len: usize,
}

impl Seen {
    pub fn end(&self) -> Status {
        match self.messages.last() {
            Some(Message::End(end)) => end.status,
            other => panic!("no END but {other:?}"),
        }
    }

    pub fn verdicts(&self) -> Vec<(u16, Status, u32)> {
        let verdicts = self.messages.iter().filter_map(|message| match message {
            Message::Verdict(v) => Some((v.index, v.status, v.bytes)),
            _ => None,
        });
        verdicts.collect()
    }

    pub fn data(&self) -> Vec<Data> {
        let data = self.messages.iter().filter_map(|message| match message {
            Message::ReceiveRsp(data) => Some(*data),
            _ => None,
        });
        data.collect()
    }

    /// The bytes of a response with one stream in it, whose slices must follow each other.
    pub fn stream(&self) -> Vec<u8> {
        for pair in self.data().windows(2) {
            assert_eq!(pair[0].offset + u64::from(pair[0].len), pair[1].offset);
        }
        self.bytes.concat()
    }

    pub fn acks(&self) -> Vec<u64> {
        let acks = self.messages.iter().filter_map(|message| match message {
            Message::SendRsp(window) => Some(window.ack),
            _ => None,
        });
        acks.collect()
    }

    pub fn ready(&self) -> Vec<Address> {
        let ready = self.messages.iter().filter_map(|message| match message {
            Message::Ready(address) => Some(*address),
            _ => None,
        });
        ready.collect()
    }

    /// The ages of its TICKs.
    pub fn ticks(&self) -> Vec<u32> {
        let ticks = self.messages.iter().filter_map(|message| match message {
            Message::Tick(tick) => Some(tick.age_ms),
            _ => None,
        });
        ticks.collect()
    }

    pub fn listens(&self) -> Vec<(u32, Status, u64)> {
        let listens = self.messages.iter().filter_map(|message| match message {
            Message::ListenRsp(ListenRsp { claim, status, epoch }) => {
                Some((*claim, *status, *epoch))
            }
            _ => None,
        });
        listens.collect()
    }
}

/// Reads a whole response, which must be well formed and end with END.
pub fn parse(body: &[u8]) -> Seen {
    let seen = parse_part(body);
    seen.end();
    seen
}

/// Reads as much of a response as there is: whole messages, WELCOME first.
fn parse_part(body: &[u8]) -> Seen {
    let mut seen = Seen { len: body.len(), ..Seen::default() };
    let mut decoder = Decoder::new();
    let mut rest = body;
    loop {
        let mut input = rest;
        let Some(piece) = decoder.next(&mut input).unwrap() else { break };
        rest = &rest[rest.len() - input.len()..];
        match piece {
            Piece::Bytes(bytes, _) => seen.bytes.last_mut().unwrap().extend_from_slice(bytes),
            Piece::Message(message) => {
                if let Message::ReceiveRsp(_) = message {
                    seen.bytes.push(Vec::new());
                }
                seen.messages.push(owned(message));
            }
        }
    }
    assert!(decoder.at_boundary(), "the response ends in the middle of a message");
    assert!(matches!(seen.messages.first(), Some(Message::Welcome(_))), "{seen:?}");
    seen
}

fn owned(message: Message<'_>) -> Message<'static> {
    match message {
        Message::ConnectRsp(m) => Message::ConnectRsp(Accept { greeting: b"", ..m }),
        Message::AcceptReq(m) => Message::AcceptReq(Connect { greeting: b"", ..m }),
        Message::Confirm(_) => Message::Confirm(Confirm { handshake: b"" }),
        Message::Welcome(m) => Message::Welcome(m),
        Message::End(m) => Message::End(m),
        Message::From(m) => Message::From(m),
        Message::ListenRsp(m) => Message::ListenRsp(m),
        Message::SendRsp(m) => Message::SendRsp(m),
        Message::ReceiveRsp(m) => Message::ReceiveRsp(m),
        Message::CloseReq(m) => Message::CloseReq(m),
        Message::CloseRsp(m) => Message::CloseRsp(m),
        Message::Verdict(m) => Message::Verdict(m),
        Message::Ready(m) => Message::Ready(m),
        Message::Gone(m) => Message::Gone(m),
        Message::Tick(m) => Message::Tick(m),
        other => panic!("a response may not have {other:?}"),
    }
}

/// A router under a virtual clock, past its youth.
pub struct Lab {
    pub router: Router,
    pub now: u64,
    /// For whom requests count.
    pub origin: Origin,
}

/// A request under way.
pub struct Request {
    pub id: ExchangeId,
    pub rest: Bytes,
    got: Vec<u8>,
    over: bool,
}

impl Lab {
    pub fn new() -> Self {
        Self::with(RouterConfig::default())
    }

    pub fn with(config: RouterConfig) -> Self {
        let now = config.grace_ms;
        Self { router: Router::new(config, 0), now, origin: Origin::Exempt }
    }

    /// Gives a whole body.
    pub fn post(&mut self, body: Body) -> Request {
        let mut request = self.open(body);
        self.offer(&mut request);
        request
    }

    /// As [`post`](Self::post), of a bearer who may do what the grant says.
    pub fn post_as(&mut self, grant: &Arc<Grant>, body: Body) -> Request {
        let mut request = self.open(body);
        self.router.confine(request.id, Arc::clone(grant));
        self.offer(&mut request);
        request
    }

    /// As [`send`](Self::send), of a bearer who may do what the grant says.
    pub fn send_as(&mut self, grant: &Arc<Grant>, body: Body) -> Seen {
        let mut request = self.post_as(grant, body);
        self.answer(&mut request)
    }

    /// Opens an exchange; nothing of the body is given.
    pub fn open(&mut self, body: Body) -> Request {
        let id = self.router.handle_open_for(self.now, &self.origin);
        Request { id, rest: body.done().into(), got: Vec::new(), over: false }
    }

    /// Gives what is left of the body, and its end once all is taken. True: it is.
    pub fn offer(&mut self, request: &mut Request) -> bool {
        self.router.handle_body(self.now, request.id, &mut request.rest);
        if request.rest.is_empty() {
            self.router.handle_body_end(self.now, request.id);
        }
        self.check_proofs();
        request.rest.is_empty()
    }

    /// Checks the proofs that wait for that. How many.
    pub fn check_proofs(&mut self) -> usize {
        let mut checked = 0;
        while let Some(check) = self.router.poll_proof() {
            self.router.handle_proof(self.now, &check.run());
            checked += 1;
        }
        checked
    }

    /// Gives the next `n` octets of the body; they must all be taken.
    pub fn give(&mut self, request: &mut Request, n: usize) {
        let mut chunk = request.rest.split_to(n);
        self.router.handle_body(self.now, request.id, &mut chunk);
        assert!(chunk.is_empty());
    }

    /// Takes one piece of the response.
    pub fn take(&mut self, request: &mut Request) -> bool {
        match self.router.poll_response(self.now, request.id) {
            Answer::Bytes(bytes) => {
                request.got.extend_from_slice(&bytes);
                true
            }
            Answer::Pending => false,
            Answer::End => {
                request.over = true;
                false
            }
        }
    }

    /// Takes all there is; the response, if it is complete.
    pub fn response(&mut self, request: &mut Request) -> Option<Seen> {
        while self.take(request) {}
        request.over.then(|| parse(&request.got))
    }

    /// The response, which must be complete.
    pub fn answer(&mut self, request: &mut Request) -> Seen {
        self.response(request).expect("not answered")
    }

    /// What has come of a response that stays open.
    pub fn so_far(&mut self, request: &mut Request) -> Seen {
        assert!(self.response(request).is_none(), "it is over");
        parse_part(&request.got)
    }

    /// That nothing was answered yet.
    pub fn waits(&mut self, request: &mut Request) -> bool {
        self.response(request).is_none() && request.got.is_empty()
    }

    /// That the request got no answer at all.
    pub fn unanswered(&mut self, request: &mut Request) -> bool {
        while self.take(request) {}
        request.over && request.got.is_empty()
    }

    /// A send and its answer.
    pub fn send(&mut self, body: Body) -> Seen {
        let mut request = self.post(body);
        self.answer(&mut request)
    }

    /// Lets `ms` pass, keeping every deadline on the way.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(due) = self.router.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.router.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// The connection dies.
    pub fn drop(&mut self, request: Request) {
        self.router.handle_gone(self.now, request.id);
    }

    /// Whether the router names the request's exchange; forgets all others.
    pub fn woken(&mut self, request: &Request) -> bool {
        let mut woken = false;
        while let Some(id) = self.router.poll_wake() {
            woken |= id == request.id;
        }
        woken
    }
}
