//! A session whose relay and peers send any messages, some of which fit.

use std::collections::HashMap;

use byway::Endpoint;
use byway::error::Blocked;
use byway::session::{
    ChannelId, ChannelStats, HeapStorage, Lane, ListenerId, Profile, Session, Settings,
};
use byway::wire::{ChannelKind, 
    Accept, Address, ChannelRef, Close, Closed, Connect, Data, DataFlags, Decoder, End, ListenRsp,
    MAX_CONTROL, Message, Piece, Route, Status, Tick, VERSION, Verdict, Welcome, Window,
};
use libfuzzer_sys::arbitrary::{self, Arbitrary};

use crate::{RING, half, kind, octet, octets, take_wakes};

/// The content of all streams here, which is the same for each, as an answer may name any channel.
const KEY: u64 = 1;

#[derive(Debug, Arbitrary)]
pub enum Op {
    Listen(bool),
    Unlisten,
    Accept,
    Connect(bool),
    Write(u8, u16),
    Read(u8, u16),
    Send(u8, u16),
    Receive(u8, u16),
    Shutdown(u8, u8),
    Ask(u8),
    Release(u8),
    Abort(u8),
    NetworkChanged,
    Begin(bool),
    Body(bool, u16),
    Answer(bool, Vec<Say>),
    Octets(bool, Vec<u8>),
    Finish(bool),
    Fail(bool, Cause),
    Pass(u16),
    Close(u8),
}

#[derive(Debug, Arbitrary)]
pub enum Cause {
    Cut(bool),
    Silence,
    Http(u16),
}

/// A number relative to the state of the channel, or any number.
#[derive(Debug, Arbitrary)]
pub enum Number {
    Near(i8),
    Any(u64),
}

/// A message of an answer.
#[derive(Debug, Arbitrary)]
pub enum Say {
    Welcome,
    Tick { age: u16, next: u16 },
    End(u8, u64),
    From { channel: u8, peer: u8 },
    Data { offset: Number, flags: u8, len: u8 },
    Window { ack: Number, limit: Number, losses: u8, overflow: u16 },
    Arrival { id: u8, datagrams: bool },
    Connected { status: u8, limit: u16 },
    Listen { claim: u8, status: u8, epoch: u64 },
    Verdict { index: u8, status: u8, bytes: u16 },
    Close(u8),
    Closed(u8),
    Ready(u8),
    Optional,
}

/// An exchange under way.
struct Trip {
    seq: u64,
    /// The octets of its body still to come.
    left: usize,
    body: Decoder,
    route: Route,
}

struct World {
    storage: HeapStorage,
    now: u64,
    ids: Vec<ChannelId>,
    listener: Option<ListenerId>,
    trips: [Option<Trip>; 2],
    /// Number of its newest park; END with a higher one would end the session.
    newest_park: u64,
    /// This session's ends of channels, as it told them, the last one first.
    ends: Vec<ChannelRef>,
    /// The channels whose remote end has this id.
    remotes: HashMap<u32, ChannelId>,
    read: HashMap<u32, u64>,
    from: ChannelRef,
}

fn lane(park: bool) -> Lane {
    if park { Lane::Park } else { Lane::Send }
}

/// Messages that let things go on are as likely as all others.
fn status(n: u8) -> Status {
    match usize::from(n) {
        n if n < 128 => [Status::Ok, Status::Delivered][n % 2],
        n => Status::ALL[n % Status::ALL.len()],
    }
}

fn peer(n: u8) -> Address {
    match n % 4 {
        0 => Address::RELAY,
        1 => Address([2; 16]),
        _ => Address([1; 16]),
    }
}

fn endpoint() -> Endpoint {
    "name:1".parse().expect("an endpoint")
}

fn near(number: &Number, base: u64) -> u64 {
    match *number {
        Number::Near(by) => base.saturating_add_signed(by.into()),
        Number::Any(n) => n,
    }
}

fn put(out: &mut Vec<u8>, message: &Message<'_>) {
    let mut buffer = [0; MAX_CONTROL];
    let n = message.encode(&mut buffer).expect("its fields are in range");
    out.extend_from_slice(&buffer[..n]);
}

impl World {
    fn session(&mut self) -> Session<'_> {
        self.storage.session()
    }

    /// The channel made last, or one before it.
    fn id(&self, n: u8) -> ChannelId {
        self.ids.iter().rev().nth(usize::from(n) % 3).copied().unwrap_or(ChannelId(1))
    }

    fn stats(&mut self) -> ChannelStats {
        let id = ChannelId(self.from.id);
        self.session().channel_stats(id).unwrap_or_default()
    }

    /// Checks octets of a request: they are messages, and data keep to the window.
    fn check_body(&mut self, park: bool, octets: &[u8]) {
        let Some(mut trip) = self.trips[usize::from(park)].take() else {
            return assert!(octets.is_empty(), "a body without an exchange");
        };
        trip.left = trip.left.checked_sub(octets.len()).expect("not longer than it says");
        let mut input = octets;
        while let Some(piece) = trip.body.next(&mut input).expect("a body of messages") {
            let Piece::Message(message) = piece else { continue };
            match message {
                Message::Route(route) => trip.route = route,
                Message::ConnectReq(connect) => self.ends.push(connect.channel),
                Message::AcceptRsp(accept) if accept.channel.id != 0 => {
                    self.ends.push(accept.channel);
                    self.remotes.insert(trip.route.channel.id, ChannelId(accept.channel.id));
                }
                Message::SendReq(data) if !data.flags.has(DataFlags::DATAGRAM) && data.len > 0 => {
                    let id = self.remotes.get(&trip.route.channel.id).copied();
                    let id = id.unwrap_or(ChannelId(trip.route.channel.id));
                    if let Ok(stats) = self.session().channel_stats(id) {
                        let end = data.offset + u64::from(data.len);
                        assert!(end <= stats.window, "{data:?} beyond {}", stats.window);
                    }
                }
                _ => {}
            }
        }
        assert!(trip.left > 0 || trip.body.at_boundary(), "the body ends within a message");
        self.trips[usize::from(park)] = Some(trip);
    }

    fn say(&mut self, out: &mut Vec<u8>, seq: u64, say: &Say) {
        let stats = self.stats();
        let from = self.from;
        // The other end has the same number, so that data are known by their route.
        let remote = ChannelRef { id: from.id, token: 9 };
        let message = match *say {
            Say::Welcome => Message::Welcome(Welcome {
                version: VERSION,
                seq,
                address: peer(2),
                max_body: 4 << 20,
            }),
            Say::Tick { age, next } => {
                Message::Tick(Tick { age_ms: age.into(), next_ms: next.into() })
            }
            Say::End(code, highest) => {
                Message::End(End { status: status(code), highest: self.newest_park.min(highest) })
            }
            Say::From { channel, peer: n } => {
                let known = self.ends.iter().rev().nth(channel.into());
                self.from = known.copied().unwrap_or(ChannelRef::NONE);
                Message::From(Route { peer: peer(n), channel: self.from })
            }
            Say::Data { ref offset, flags, len } => {
                let mut flags = DataFlags::from_bits(flags);
                let len = if flags.has(DataFlags::PROBE) { 0 } else { u64::from(len) };
                if flags.has(DataFlags::DATAGRAM) {
                    flags = flags.without(DataFlags::FIN);
                }
                let offset = near(offset, stats.received).min(u64::MAX - 2 - len);
                put(out, &Message::ReceiveRsp(Data { offset, flags, len: len as u32 }));
                match flags.has(DataFlags::DATAGRAM) {
                    true => out.resize(out.len() + len as usize, octet(KEY, offset)),
                    false => out.extend(octets(KEY, offset, len)),
                }
                return;
            }
            Say::Window { ref ack, ref limit, losses, overflow } => Message::SendRsp(Window {
                ack: near(ack, stats.acked),
                limit: near(limit, stats.window),
                losses: losses.into(),
                overflow: overflow.into(),
                now: false,
                done: losses & 1 != 0,
                ask: losses & 2 != 0,
            }),
            Say::Arrival { id, datagrams } => Message::AcceptReq(Connect {
                channel: ChannelRef { id: 0xff00_0000 | u32::from(id), token: 9 },
                kind: ChannelKind::plain(kind(datagrams)),
                port: 1,
                limit: 700,
                linger_ms: 60_000,
                name: endpoint().name,
                greeting: b"hi",
            }),
            Say::Connected { status: code, limit } => Message::ConnectRsp(Accept {
                status: status(code),
                channel: remote,
                limit: limit.into(),
                linger_ms: 60_000,
                greeting: b"ho",
            }),
            Say::Listen { claim, status: code, epoch } => {
                let claim = self.listener.map_or(claim.into(), |id| id.0);
                Message::ListenRsp(ListenRsp { claim, status: status(code), epoch })
            }
            Say::Verdict { index, status: code, bytes } => Message::Verdict(Verdict {
                index: index.into(),
                status: status(code),
                bytes: bytes.into(),
            }),
            Say::Close(code) => Message::CloseReq(Close { status: status(code), offset: 3 }),
            Say::Closed(code) => {
                Message::CloseRsp(Closed { status: status(code), channel: remote })
            }
            Say::Ready(n) => Message::Ready(peer(n)),
            Say::Optional => return out.extend([0x90, 0, 0, 2, 1, 2]),
        };
        put(out, &message);
    }

    /// Gives octets of an answer, in two pieces.
    fn feed(&mut self, park: bool, octets: &[u8]) {
        let now = self.now;
        let (first, second) = octets.split_at(octets.len() / 2);
        for piece in [first, second] {
            if let Err(cause) = self.session().handle_response(now, lane(park), piece) {
                self.session().handle_failure(now, lane(park), cause, true);
                self.trips[usize::from(park)] = None;
                return;
            }
        }
    }

    /// Makes a call of the application.
    fn call(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Listen(datagrams) => {
                let id = self.session().listen(now, endpoint(), kind(datagrams), 2);
                self.listener = id.ok().or(self.listener);
            }
            Op::Unlisten => {
                if let Some(id) = self.listener {
                    self.session().unlisten(now, id);
                }
            }
            Op::Accept => {
                let accepted = self.listener.map(|id| self.session().accept(now, id));
                self.ids.extend(accepted.and_then(Result::ok).flatten());
            }
            Op::Connect(datagrams) => {
                let id = self.session().connect(now, endpoint(), kind(datagrams), b"hi");
                self.ids.extend(id);
            }
            Op::Write(n, len) => {
                let id = self.id(n);
                let bytes = vec![2; len.into()];
                if self.session().write(now, id, &bytes).is_ok() {
                    let stats = self.session().channel_stats(id).expect("written to");
                    assert!(stats.written <= stats.acked + RING, "{stats:?}");
                }
            }
            Op::Read(n, len) => {
                let id = self.id(n);
                let mut out = vec![0; len.into()];
                if let Ok(Some(n)) = self.session().read(now, id, &mut out) {
                    let at = self.read.entry(id.0).or_default();
                    assert_eq!(out[..n], octets(KEY, *at, n as u64), "at {at}");
                    *at += n as u64;
                }
            }
            Op::Send(n, len) => {
                let id = self.id(n);
                let _ = self.session().send_datagram(now, id, &vec![3; len.into()]);
            }
            Op::Receive(n, len) => {
                let id = self.id(n);
                let mut out = vec![0; len.into()];
                if let Ok(Some(n)) = self.session().recv_datagram(now, id, &mut out) {
                    assert!(out[..n].iter().all(|octet| *octet == out[0]), "not whole");
                }
            }
            Op::Shutdown(n, which) => {
                let id = self.id(n);
                let _ = self.session().shutdown(now, id, half(which));
            }
            Op::Ask(n) => {
                let id = self.id(n);
                let _ = self.session().request_ack(now, id);
            }
            Op::Release(n) => {
                let id = self.id(n);
                self.session().release(now, id);
            }
            Op::Abort(n) => {
                let id = self.id(n);
                self.session().abort(now, id);
            }
            Op::Close(u8::MAX) => self.session().close(now),
            Op::Close(0) => self.session().abort_all(now),
            _ => {}
        }
    }

    /// Makes a call of the lanes and their transport.
    fn act(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::NetworkChanged => self.session().network_changed(now),
            Op::Begin(park) => {
                if let Some(exchange) = self.session().poll_exchange(now, lane(park)) {
                    let (seq, left) = (exchange.seq, exchange.len);
                    if exchange.lane == Lane::Park {
                        self.newest_park = seq;
                    }
                    let (body, route) = (Decoder::new(), Route::default());
                    self.trips[usize::from(park)] = Some(Trip { seq, left, body, route });
                }
            }
            Op::Body(park, most) => {
                let mut out = vec![0; most.into()];
                let n = self.session().poll_body(now, lane(park), &mut out);
                self.check_body(park, &out[..n]);
            }
            Op::Answer(park, ref says) => {
                let Some(seq) = self.trips[usize::from(park)].as_ref().map(|t| t.seq) else {
                    return;
                };
                let mut answer = Vec::new();
                for say in says {
                    self.say(&mut answer, seq, say);
                }
                self.feed(park, &answer);
            }
            Op::Octets(park, ref octets) => self.feed(park, octets),
            Op::Finish(park) => {
                let _ = self.session().handle_finished(now, lane(park));
                self.trips[usize::from(park)] = None;
            }
            Op::Fail(park, ref cause) => {
                let (cause, sent) = match *cause {
                    Cause::Cut(sent) => (Blocked::Cut, sent),
                    Cause::Silence => (Blocked::Silence, true),
                    Cause::Http(code) => (Blocked::Http(code), true),
                };
                self.session().handle_failure(now, lane(park), cause, sent);
                self.trips[usize::from(park)] = None;
            }
            Op::Pass(ms) => {
                self.now += u64::from(ms);
                let now = self.now;
                self.session().handle_timeout(now);
            }
            ref op => self.call(op),
        }
    }
}

pub fn run(ops: &[Op]) {
    let mut storage = HeapStorage::new(&Profile::TINY).expect("a valid profile");
    let now = 1_000_000;
    storage.session().open(now, &Settings::new([1; 16], 1));
    let mut world = World {
        storage,
        now,
        ids: Vec::new(),
        listener: None,
        trips: [None, None],
        newest_park: 0,
        ends: Vec::new(),
        remotes: HashMap::new(),
        read: HashMap::new(),
        from: ChannelRef::NONE,
    };
    for op in ops {
        world.act(op);
        let mut session = world.session();
        take_wakes(&mut session);
        for lane in [Lane::Park, Lane::Send] {
            let _ = session.poll_timeout(lane);
        }
    }
}
