//! Random sequences of calls: no call panics, and the invariants of [`World::check`] hold.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::session::{Half, ListenerId, Wake};
use crate::wire::{Close, Closed, ListenRsp};

/// A message of an answer; numbers are small, so that they often fit.
#[derive(Debug, Clone)]
enum Says {
    From(u8, bool),
    Data(u16, u8, u16),
    Window(u16, u16, u8, u16),
    Arrival(u8, bool),
    Connected(u8, u16),
    Listen(u8, u8, u8),
    Verdict(u8, u8, u16),
    CloseReq(u8),
    CloseRsp(u8),
    Ready,
    Optional,
}

#[derive(Debug, Clone)]
enum Op {
    Listen(bool),
    Unlisten,
    Accept,
    Connect(bool),
    Write(u8, u16),
    Read(u8, u16),
    Datagram(u8, u16),
    Receive(u8, u16),
    Shutdown(u8, u8),
    Ask(u8),
    Release(u8),
    Abort(u8),
    NetworkChanged,
    Exchange(bool),
    Body(bool, u16),
    Answer(bool, Vec<Says>, Option<u8>),
    Octets(bool, Vec<u8>),
    Finished(bool),
    Failed(bool, bool),
    Pass(u32),
    Close(bool),
}

fn says() -> impl Strategy<Value = Says> {
    prop_oneof![
        3 => (0..3_u8, any::<bool>()).prop_map(|(c, p)| Says::From(c, p)),
        4 => (0..600_u16, any::<u8>(), 0..400_u16).prop_map(|(o, f, n)| Says::Data(o, f, n)),
        3 => (0..600_u16, 0..900_u16, 0..3_u8, 0..600_u16)
            .prop_map(|(a, l, n, o)| Says::Window(a, l, n, o)),
        2 => (0..3_u8, any::<bool>()).prop_map(|(c, k)| Says::Arrival(c, k)),
        3 => (any::<u8>(), 0..900_u16).prop_map(|(s, l)| Says::Connected(s, l)),
        1 => (0..3_u8, any::<u8>(), 0..4_u8).prop_map(|(c, s, e)| Says::Listen(c, s, e)),
        3 => (0..12_u8, any::<u8>(), 0..400_u16).prop_map(|(i, s, n)| Says::Verdict(i, s, n)),
        1 => any::<u8>().prop_map(Says::CloseReq),
        1 => any::<u8>().prop_map(Says::CloseRsp),
        1 => Just(Says::Ready),
        1 => Just(Says::Optional),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let lane = any::<bool>;
    prop_oneof![
        1 => any::<bool>().prop_map(Op::Listen),
        1 => Just(Op::Unlisten),
        2 => Just(Op::Accept),
        4 => any::<bool>().prop_map(Op::Connect),
        5 => (0..3_u8, 0..400_u16).prop_map(|(c, n)| Op::Write(c, n)),
        5 => (0..3_u8, 0..400_u16).prop_map(|(c, n)| Op::Read(c, n)),
        5 => (0..3_u8, 0..300_u16).prop_map(|(c, n)| Op::Datagram(c, n)),
        3 => (0..3_u8, 0..300_u16).prop_map(|(c, n)| Op::Receive(c, n)),
        1 => (0..3_u8, 0..3_u8).prop_map(|(c, h)| Op::Shutdown(c, h)),
        1 => (0..3_u8).prop_map(Op::Ask),
        1 => (0..3_u8).prop_map(Op::Release),
        1 => (0..3_u8).prop_map(Op::Abort),
        1 => Just(Op::NetworkChanged),
        9 => lane().prop_map(Op::Exchange),
        5 => (lane(), 0..600_u16).prop_map(|(l, n)| Op::Body(l, n)),
        12 => (lane(), vec(says(), 0..6), prop_oneof![2 => Just(None), 1 => any::<u8>().prop_map(Some)])
            .prop_map(|(l, s, e)| Op::Answer(l, s, e)),
        1 => (lane(), vec(any::<u8>(), 0..60)).prop_map(|(l, o)| Op::Octets(l, o)),
        6 => lane().prop_map(Op::Finished),
        2 => (lane(), any::<bool>()).prop_map(|(l, s)| Op::Failed(l, s)),
        4 => prop_oneof![0..2_000_u32, 0..400_000_u32].prop_map(Op::Pass),
        1 => prop_oneof![30 => Just(None), 1 => any::<bool>().prop_map(Some)]
            .prop_map(|c| c.map_or(Op::Pass(1), Op::Close)),
    ]
}

fn lane(park: bool) -> Lane {
    if park { Lane::Park } else { Lane::Send }
}

/// A status, which is OK or DELIVERED for every second number.
fn status(n: u8) -> Status {
    match usize::from(n) {
        n if n < 128 => [Status::Ok, Status::Delivered][n % 2],
        n => Status::ALL[n % Status::ALL.len()],
    }
}

/// The session, with the test's own record of it.
struct World {
    bench: Bench,
    ids: Vec<ChannelId>,
    listener: Option<ListenerId>,
    /// For each lane the exchange's number, and how many octets of its body are still to come.
    under_way: [(u64, usize); 2],
    /// The number of data octets that the test gave to the session.
    given: u64,
    read: u64,
}

impl World {
    fn new() -> Self {
        let bench = Bench::new();
        Self { bench, ids: vec![], listener: None, under_way: [(0, 0); 2], given: 0, read: 0 }
    }

    fn id(&self, n: u8) -> ChannelId {
        // The latest ids: the channels of earlier ones are over.
        self.ids.iter().rev().nth(n.into()).copied().unwrap_or(ChannelId(1))
    }

    /// This end of the channel in a slot.
    fn local(&mut self, n: u8) -> ChannelRef {
        let slot = usize::from(n);
        if slot < 2 { self.bench.session().local(slot) } else { ChannelRef { id: 1, token: 1 } }
    }

    fn answer(&mut self, park: bool, says: &[Says], end: Option<u8>) -> Vec<u8> {
        let mut local = self.local(0);
        let mut answer = Answer::welcome(VERSION, self.under_way[usize::from(park)].0);
        if self.bench.session().core.flight(lane(park)).is_welcomed() {
            answer.0.clear();
        }
        answer = answer.from(PEER, local);
        for say in says {
            answer = match *say {
                Says::From(slot, is_relay) => {
                    local = self.local(slot);
                    answer.from(if is_relay { Address::RELAY } else { PEER }, local)
                }
                Says::Data(offset, flags, n) => {
                    let mut flags = DataFlags::from_bits(flags);
                    let n = if flags.has(DataFlags::PROBE) { 0 } else { n };
                    if flags.has(DataFlags::DATAGRAM) {
                        flags = flags.without(DataFlags::FIN);
                    }
                    self.given += u64::from(n);
                    answer.data(offset.into(), flags, &[1; 400][..n.into()])
                }
                Says::Window(ack, limit, losses, overflow) => answer.window(Window {
                    ack: ack.into(),
                    limit: limit.into(),
                    losses: losses.into(),
                    overflow: overflow.into(),
                    now: true,
                    done: false,
                    ask: false,
                }),
                Says::Arrival(n, stream) => {
                    let channel = ChannelRef { id: n.into(), token: 1 };
                    let kind = if stream { Kind::Stream } else { Kind::Datagram };
                    answer.arrival(channel, endpoint(), kind)
                }
                Says::Connected(s, limit) => answer.connected(local, status(s), limit.into()),
                Says::Listen(claim, s, epoch) => answer.message(&Message::ListenRsp(ListenRsp {
                    claim: u32::from(claim),
                    status: status(s),
                    epoch: epoch.into(),
                })),
                Says::Verdict(index, s, bytes) => {
                    answer.verdict(index.into(), status(s), bytes.into())
                }
                Says::CloseReq(s) => {
                    answer.message(&Message::CloseReq(Close { status: status(s), offset: 3 }))
                }
                Says::CloseRsp(s) => answer
                    .message(&Message::CloseRsp(Closed { status: status(s), channel: REMOTE })),
                Says::Ready => answer.message(&Message::Ready(PEER)),
                Says::Optional => answer.raw(&[0x90, 0, 0, 2, 1, 2]),
            };
        }
        match end {
            Some(s) => answer.end(status(s)).0,
            None => answer.0,
        }
    }

    fn act(&mut self, op: &Op) {
        let now = self.bench.now;
        match *op {
            Op::Listen(stream) => {
                let kind = if stream { Kind::Stream } else { Kind::Datagram };
                let id = self.bench.session().listen(now, endpoint(), kind, 2);
                self.listener = id.ok().or(self.listener);
            }
            Op::Unlisten => {
                if let Some(id) = self.listener {
                    self.bench.session().unlisten(now, id);
                }
            }
            Op::Accept => {
                let id = self.listener.map(|id| self.bench.session().accept(now, id));
                self.ids.extend(id.and_then(Result::ok).flatten());
            }
            Op::Connect(stream) => {
                let kind = if stream { Kind::Stream } else { Kind::Datagram };
                self.ids.extend(self.bench.session().connect(now, endpoint(), kind, b"hi"));
            }
            Op::Write(n, len) => {
                let id = self.id(n);
                let before = self.bench.session().channel_stats(id);
                let bytes = [2; 400];
                if let Ok(n) = self.bench.session().write(now, id, &bytes[..len.into()]) {
                    let before = before.expect("it is held");
                    let used = before.written - before.acked.min(before.written);
                    assert!(n as u64 + used <= 256, "{n} octets into a ring with {used}");
                }
            }
            Op::Read(n, len) => {
                let mut out = [0; 400];
                let id = self.id(n);
                let read = self.bench.session().read(now, id, &mut out[..len.into()]);
                self.read += read.ok().flatten().unwrap_or(0) as u64;
            }
            Op::Datagram(n, len) => {
                let id = self.id(n);
                let bytes = &[3; 300][..len.into()];
                let _ = self.bench.session().send_datagram(now, id, bytes);
            }
            Op::Receive(n, len) => {
                let mut out = [0; 300];
                let id = self.id(n);
                let got = self.bench.session().recv_datagram(now, id, &mut out[..len.into()]);
                let n = got.ok().flatten().unwrap_or(0);
                self.read += n as u64;
                assert!(out[..n].iter().all(|b| *b == 1), "not what was sent");
            }
            Op::Shutdown(n, half) => {
                let half = [Half::Read, Half::Write, Half::Both][usize::from(half)];
                let id = self.id(n);
                let _ = self.bench.session().shutdown(now, id, half);
            }
            Op::Ask(n) => {
                let id = self.id(n);
                let _ = self.bench.session().request_ack(now, id);
            }
            Op::Release(n) => {
                let id = self.id(n);
                self.bench.session().release(now, id);
            }
            Op::Abort(n) => {
                let id = self.id(n);
                self.bench.session().abort(now, id);
            }
            Op::NetworkChanged => self.bench.session().network_changed(now),
            Op::Exchange(park) => {
                if let Some(exchange) = self.bench.session().poll_exchange(now, lane(park)) {
                    self.under_way[usize::from(park)] = (exchange.seq, exchange.len);
                }
            }
            Op::Body(park, len) => {
                let mut out = [0; 600];
                let n = self.bench.session().poll_body(now, lane(park), &mut out[..len.into()]);
                let left = &mut self.under_way[usize::from(park)].1;
                *left = left.checked_sub(n).expect("more octets than the exchange has");
            }
            Op::Answer(park, ref says, end) => {
                let octets = self.answer(park, says, end);
                self.octets(park, &octets);
            }
            Op::Octets(park, ref octets) => {
                self.given += octets.len() as u64;
                self.octets(park, octets);
            }
            Op::Finished(park) => {
                let _ = self.bench.finish(lane(park));
            }
            Op::Failed(park, sent) => {
                self.bench.session().handle_failure(now, lane(park), Blocked::Cut, sent);
            }
            Op::Pass(ms) => self.bench.pass(ms.into()),
            Op::Close(orderly) if orderly => self.bench.session().close(now),
            Op::Close(_) => self.bench.session().abort_all(now),
        }
        self.check();
    }

    fn octets(&mut self, park: bool, octets: &[u8]) {
        let half = octets.len() / 2;
        for piece in [&octets[..half], &octets[half..]] {
            if let Err(cause) = self.bench.feed(lane(park), piece) {
                return self.bench.fail(lane(park), cause);
            }
        }
    }

    fn check(&mut self) {
        assert!(self.read <= self.given, "more was read than came");
        let mut session = self.bench.session();
        // A bound on the wakes: two lanes, events, session, two channels, two listeners.
        let woken = core::iter::from_fn(|| session.poll_wake()).take(100);
        let woken: Vec<Wake> = woken.collect();
        assert!(woken.len() <= 8, "{woken:?}");
        for lane in [Lane::Park, Lane::Send] {
            session.poll_timeout(lane);
        }
        for channel in session.channels.iter() {
            let (tx, rx) = (&channel.tx, &channel.rx);
            let (acked, end) = (tx.acked(), tx.written());
            assert!(acked <= tx.goal() && end - acked.min(end) <= 256, "{tx:?}");
            let read = rx.read_to() + u64::from(rx.has_fin());
            assert!(read <= rx.received() && rx.readable() <= 256, "{rx:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_in_any_order_keep_the_invariants(ops in vec(op(), 1..150)) {
        let mut world = World::new();
        for op in &ops {
            world.act(op);
        }
    }
}
