//! Any sequence of calls, and any octets as answers: no panic, and what must hold, holds.

use proptest::prelude::*;

use super::super::channel::State;
use super::super::{Half, ListenerId};
use super::*;
use crate::wire::{Close, Closed, Connect, ListenRsp, Verdict};

/// A session under arbitrary treatment.
struct Play {
    rig: Rig,
    channels: Vec<ChannelId>,
    listeners: Vec<ListenerId>,
    /// Octets that each lane's body still has, and its number.
    bodies: [Option<(usize, u64)>; 2],
}

const LANES: [Lane; 2] = [Lane::Park, Lane::Send];

impl Play {
    fn new() -> Self {
        let mut storage = HeapStorage::new(&Profile { ring: 256, ..Profile::TINY }).expect("valid");
        storage.session().open(1000, &Settings::new([7; 16], 3));
        let rig = Rig { storage, now: 1000 };
        Self { rig, channels: Vec::new(), listeners: Vec::new(), bodies: [None; 2] }
    }

    fn channel(&self, n: u64) -> ChannelId {
        let known = self.channels.get(n as usize % self.channels.len().max(1));
        known.copied().unwrap_or(ChannelId(n as u32))
    }

    fn act(&mut self, op: u8, n: u64) {
        self.rig.now += n % 7;
        let now = self.rig.now;
        let id = self.channel(n >> 8);
        let lane = (n & 1) as usize;
        let size = (n >> 3) as usize % 300;
        let kind = if n & 4 == 0 { Kind::Stream } else { Kind::Datagram };
        let mut s = self.rig.storage.session();
        match op % 24 {
            0 | 1 => self.channels.extend(s.connect(now, endpoint(), kind, &[1; 96][..size % 97])),
            2 => self.listeners.extend(s.listen(now, endpoint(), kind, size as u8)),
            3 | 4 => drop(s.write(now, id, &vec![1; size])),
            5 => drop(s.send_datagram(now, id, &vec![1; size])),
            6 | 7 => drop(s.read(now, id, &mut vec![0; size])),
            8 => drop(s.recv_datagram(now, id, &mut vec![0; size])),
            9 => drop(s.shutdown(now, id, [Half::Read, Half::Write, Half::Both][size % 3])),
            10 => s.release(now, id),
            11 => s.abort(now, id),
            12 => {
                if let Some(&listener) = self.listeners.last() {
                    if let Ok(Some(channel)) = s.accept(now, listener) {
                        self.channels.push(channel);
                    } else if n & 0x70 == 0 {
                        s.unlisten(now, listener);
                    }
                }
            }
            13 => drop(s.request_ack(now, id)),
            14 | 15 => {
                if let Some(exchange) = s.poll_exchange(now, LANES[lane]) {
                    assert!(self.bodies[lane].is_none(), "one exchange a lane");
                    self.bodies[lane] = Some((exchange.len, exchange.seq));
                }
            }
            16 => {
                if let Some((left, _)) = &mut self.bodies[lane] {
                    let mut out = vec![0; size];
                    let taken = s.poll_body(LANES[lane], &mut out);
                    *left = left.checked_sub(taken).expect("no longer than it says");
                }
            }
            17..=19 => self.answer(lane, n),
            20 => {
                let _ = s.handle_finished(now, LANES[lane]);
                self.bodies[lane] = None;
            }
            21 => {
                s.handle_failure(now, LANES[lane], Blocked::Silence, n & 2 == 0);
                self.bodies[lane] = None;
            }
            22 => {
                self.rig.now += n % 50_000;
                s.handle_timeout(now + n % 50_000);
            }
            _ if n % 200 == 0 => s.close(now),
            _ if n % 200 == 1 => s.abort_all(now),
            _ => s.network_changed(now),
        }
    }

    /// An answer with a message that is right, or nearly.
    fn answer(&mut self, lane: usize, n: u64) {
        let Some((_, seq)) = self.bodies[lane] else { return };
        // The body ends where its answer begins.
        let routes: Vec<_> = (0..self.rig.session().channels.len())
            .map(|slot| {
                let s = self.rig.session();
                (s.channels[slot].peer, s.local(slot))
            })
            .collect();
        let (peer, channel) = routes[(n >> 9) as usize % routes.len()];
        let peer = if n & 0x100 == 0 && peer != Address::RELAY { peer } else { PEER };
        let number = n >> 40;
        let data = vec![n as u8; (n >> 20) as usize % 300];
        let status = Status::ALL[(n >> 12) as usize % Status::ALL.len()];
        let flags = DataFlags::from_bits((n >> 5) as u8);
        let flags = match data.len() {
            0 => flags.without(DataFlags::DATAGRAM),
            _ => flags.without(DataFlags::PROBE.with(DataFlags::FIN)),
        };
        let at = number % 1000;
        let told = Window { ack: at, limit: at * 2, losses: at as u32, overflow: 0, now: true };
        let connect = Connect {
            channel: REMOTE,
            kind: Kind::Stream,
            port: 1,
            limit: at,
            linger_ms: 1,
            name: endpoint().name,
            greeting: &[],
        };
        let accept = Accept {
            status,
            channel: REMOTE,
            limit: at,
            linger_ms: 1,
            greeting: &data[..data.len().min(96)],
        };
        let claim = self.listeners.last().map_or(0, |id| id.0);
        let said = match (n >> 32) % 12 {
            0..=2 => Said::Data(at % 300, flags, &data),
            3 | 4 => Said::Plain(Message::SendRsp(told)),
            5 => Said::Plain(Message::AcceptReq(connect)),
            6 => Said::Plain(Message::ConnectRsp(accept)),
            7 => Said::Plain(Message::CloseReq(Close { status, offset: at })),
            8 => Said::Plain(Message::CloseRsp(Closed { status, channel: REMOTE })),
            9 => Said::Plain(Message::ListenRsp(ListenRsp { claim, status, epoch: number })),
            10 => Said::Plain(Message::Ready(peer)),
            _ => {
                let (index, bytes) = ((n >> 13) as u16 % 8, data.len() as u32);
                Said::Plain(Message::Verdict(Verdict { index, status, bytes }))
            }
        };
        let route = from(Route { peer, channel });
        let mut bytes = encoded(&[welcome(seq), route, said, route, said]);
        match n & 0x30 {
            0x00 => {
                let end = if n & 0x40 == 0 { Status::Ok } else { status };
                bytes.extend(encoded(&[end_of(end, seq)]));
            }
            0x10 => bytes.truncate((n >> 25) as usize % bytes.len()),
            0x20 => {
                let at = (n >> 25) as usize % bytes.len();
                bytes[at] ^= (n >> 50) as u8 | 1;
            }
            _ => {}
        }
        let lane_name = LANES[lane];
        let result = self.rig.feed(lane_name, &bytes);
        let now = self.rig.now;
        let mut s = self.rig.storage.session();
        match result {
            Err(cause) => s.handle_failure(now, lane_name, cause, true),
            Ok(()) => drop(s.handle_finished(now, lane_name)),
        }
        self.bodies[lane] = None;
    }

    fn check(&mut self) {
        let mut s = self.rig.storage.session();
        for (slot, channel) in s.channels.iter().enumerate() {
            let (tx, rx) = (&channel.tx, &channel.rx);
            assert!(tx.una <= tx.end + 1 && tx.end - tx.una.min(tx.end) <= 256, "{slot}: {tx:?}");
            if channel.kind == Kind::Stream {
                assert!(tx.una <= tx.next && tx.next <= tx.high, "{slot}: {tx:?}");
            }
            assert!(rx.read <= rx.next && rx.next - rx.read <= 257, "{slot}: {rx:?}");
            assert!(channel.state != State::Free || !channel.owned, "{slot}");
        }
        let mut wakes = 0;
        while s.poll_wake().is_some() {
            wakes += 1;
            assert!(wakes < 100, "waking has an end");
        }
        while s.poll_event().is_some() {}
    }
}

fn end_of(status: Status, seq: u64) -> Said<'static> {
    end(status, seq)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_in_any_order(ops in prop::collection::vec(any::<(u8, u64)>(), 1..150)) {
        let mut play = Play::new();
        for (op, n) in ops {
            play.act(op, n);
            play.check();
        }
    }

    #[test]
    fn any_octets_as_an_answer(octets in prop::collection::vec(any::<u8>(), 0..400), split in 1usize..64) {
        let mut rig = Rig::new(&Profile::TINY);
        let (id, _) = rig.connect();
        let (exchange, _) = rig.begin(Lane::Park).expect("a park");
        let mut answer = encoded(&[welcome(exchange.seq)]);
        answer.extend(octets);
        for piece in answer.chunks(split) {
            if rig.feed(Lane::Park, piece).is_err() {
                break;
            }
        }
        let _ = rig.finish(Lane::Park);
        prop_assert_eq!(rig.read(id), b"");
    }
}
