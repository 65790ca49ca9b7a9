//! The applications: they write known octets, and check every octet that they read.

use std::collections::BTreeSet;

use byway::error::{Error, PeerError, TransportError};
use byway::session::{ChannelId, Half, ListenerId};
use byway::{Endpoint, Kind};

use crate::rng::fill;
use crate::world::{Happens, World};

/// An application's listener.
#[derive(Debug, Clone, Copy)]
pub struct ListenPlan {
    pub id: ListenerId,
    pub endpoint: Endpoint,
    pub kind: Kind,
    pub accepts: bool,
}

/// How an application uses up its end of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Streams: the end sends FIN behind the last byte, and reads to the end. Datagrams: side 0
    /// closes when all were sent, side 1 when side 0 has closed.
    Both,
    /// The application releases the end as soon as everything is written.
    Drop,
    /// The application aborts the end when it has read this many bytes.
    Abort(u64),
    /// The application keeps the end.
    Hold,
}

/// What an application does with its end of a channel.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The number of bytes, or datagrams, to write.
    pub count: u64,
    /// The most bytes of one write, or of one datagram.
    pub write: usize,
    pub write_pause: u64,
    pub read: usize,
    pub read_pause: u64,
    pub finish: Finish,
}

impl Plan {
    pub const fn bytes(count: u64) -> Self {
        Self { count, write: 5000, write_pause: 0, read: 5000, read_pause: 0, finish: Finish::Both }
    }
}

/// An end of a channel.
#[derive(Debug)]
pub struct End {
    pub peer: usize,
    pub id: Option<ChannelId>,
    pub plan: Plan,
    pub written: u64,
    /// Octets written by attempts to connect that failed afterwards. The listener may still accept the channel
    /// of one.
    pub tried: Vec<u64>,
    pub read: u64,
    pub finished: bool,
    pub eof: bool,
    pub error: Option<Error>,
    pub done: bool,
    /// When the last byte arrived, and the longest wait for a byte since the end exists, in ms.
    pub read_at: u64,
    pub stall: u64,
    next_read: u64,
    pub next_write: u64,
    alarm: u64,
    pub numbers: BTreeSet<u64>,
}

/// A channel between two applications.
#[derive(Debug)]
pub struct Chan {
    pub kind: Kind,
    pub endpoint: Endpoint,
    pub key: u64,
    /// The connector's end, then the listener's.
    pub ends: [End; 2],
    pub attempts: u32,
    /// When a byte of the channel last reached an application.
    pub moved_at: u64,
}

impl Chan {
    fn is_done(&self) -> bool {
        let [connector, listener] = &self.ends;
        // The channel may have been closed before it was accepted.
        let closed = connector.plan.finish != Finish::Both || self.kind == Kind::Datagram;
        connector.done && (listener.done || closed && listener.id.is_none())
    }
}

impl End {
    fn new(peer: usize, plan: Plan) -> Self {
        Self {
            peer,
            id: None,
            plan,
            written: 0,
            tried: Vec::new(),
            read: 0,
            finished: false,
            eof: false,
            error: None,
            done: false,
            read_at: 0,
            stall: 0,
            next_read: 0,
            next_write: 0,
            alarm: 0,
            numbers: BTreeSet::new(),
        }
    }

    /// Notes that a byte arrived.
    pub fn progress(&mut self, now: u64) {
        self.stall = self.stall.max(now - self.read_at);
        self.read_at = now;
    }
}

pub fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

impl World {
    /// Has an application listen, and accept every connection.
    pub fn listen(&mut self, peer: usize, at: &str, kind: Kind) -> ListenerId {
        self.listen_with(peer, at, kind, 8, true)
    }

    pub fn listen_with(
        &mut self,
        peer: usize,
        at: &str,
        kind: Kind,
        backlog: u8,
        accepts: bool,
    ) -> ListenerId {
        let id = self.with(peer, |s, now| s.listen(now, endpoint(at), kind, backlog));
        let id = id.expect("room for a listener");
        self.peers[peer].listens.push(ListenPlan { id, endpoint: endpoint(at), kind, accepts });
        id
    }

    /// Has an application close its first listener, and open another on the same endpoint.
    pub fn listen_anew(&mut self, peer: usize) {
        let plan = self.peers[peer].listens[0];
        self.with(peer, |s, now| s.unlisten(now, plan.id));
        self.peers[peer].listens.remove(0);
        let (at, kind) = (plan.endpoint, plan.kind);
        let id = self.with(peer, |s, now| s.listen(now, at, kind, 8)).expect("a free slot");
        self.peers[peer].listens.insert(0, ListenPlan { id, ..plan });
    }

    /// Has an application connect; the listener's side of the channel behaves as `plans[1]`.
    pub fn connect(
        &mut self,
        peer: usize,
        at: &str,
        kind: Kind,
        listener: usize,
        plans: [Plan; 2],
    ) -> usize {
        let n = self.chans.len();
        let key = self.seed << 16 ^ (n as u64) << 1;
        let ends = [End::new(peer, plans[0]), End::new(listener, plans[1])];
        self.chans.push(Chan { kind, endpoint: endpoint(at), key, ends, attempts: 0, moved_at: 0 });
        self.run_end(n, 0);
        self.settle();
        n
    }

    /// The session woke the applications that wait for a channel.
    pub fn run_channel(&mut self, peer: usize, slot: usize) {
        let is = |end: &End| end.peer == peer && end.id.is_some_and(|id| id.slot() == slot);
        for n in 0..self.chans.len() {
            for side in 0..2 {
                if !self.chans[n].ends[side].done && is(&self.chans[n].ends[side]) {
                    return self.run_end(n, side);
                }
            }
        }
    }

    /// The application of a peer looks at all its channels.
    pub fn look(&mut self, peer: usize) {
        for n in 0..self.chans.len() {
            for side in 0..2 {
                let end = &self.chans[n].ends[side];
                if end.peer == peer && end.id.is_some() {
                    self.run_end(n, side);
                }
            }
        }
        for slot in 0..self.peers[peer].listens.len() {
            let slot = self.peers[peer].listens[slot].id.slot();
            self.run_listener(peer, slot);
        }
    }

    /// The session woke the applications that wait to accept.
    pub fn run_listener(&mut self, peer: usize, slot: usize) {
        let Some(plan) = self.peers[peer].listens.iter().rev().find(|l| l.id.slot() == slot) else {
            return;
        };
        let id = plan.id;
        while plan_accepts(&self.peers[peer].listens, id) {
            let now = self.now;
            let Ok(Some(channel)) = self.peers[peer].session().accept(now, id) else { break };
            let mut session = self.peers[peer].session();
            let greeting = session.greeting(channel).expect("accepted").to_vec();
            let n = usize::from(u16::from_be_bytes([greeting[0], greeting[1]]));
            let end = &mut self.chans[n].ends[1];
            if end.id.is_some() {
                // The connector gave up an attempt, and made another.
                self.peers[peer].session().release(now, channel);
                continue;
            }
            assert_eq!(end.peer, peer, "came to the wrong listener");
            end.id = Some(channel);
            end.read_at = now;
            self.chans[n].moved_at = self.now;
            self.run_end(n, 1);
        }
        self.woken(peer);
    }

    /// Has an application do all that it can do now.
    pub fn run_end(&mut self, n: usize, side: usize) {
        if self.chans[n].ends[side].done {
            return;
        }
        if self.chans[n].ends[side].id.is_none() && !self.try_connect(n, side) {
            return;
        }
        let result = match self.chans[n].kind {
            Kind::Stream => self.run_stream(n, side),
            Kind::Datagram => self.run_datagrams(n, side),
        };
        if let Err(error) = result {
            self.failed(n, side, error);
        }
        let peer = self.chans[n].ends[side].peer;
        self.woken(peer);
    }

    fn try_connect(&mut self, n: usize, side: usize) -> bool {
        if side == 1 {
            return false;
        }
        let chan = &mut self.chans[n];
        chan.attempts += 1;
        let (peer, endpoint, kind) = (chan.ends[0].peer, chan.endpoint, chan.kind);
        let greeting = (n as u16).to_be_bytes();
        let now = self.now;
        match self.peers[peer].session().connect(now, endpoint, kind, &greeting) {
            Ok(id) => {
                let end = &mut self.chans[n].ends[0];
                end.id = Some(id);
                end.read_at = now;
            }
            Err(_) => self.connect_later(n),
        }
        self.woken(peer);
        self.chans[n].ends[0].id.is_some()
    }

    /// The pause grows with each attempt: two applications that have more to connect than slots,
    /// and refuse each other, must not do so in step.
    fn connect_later(&mut self, n: usize) {
        let more = u64::from(self.chans[n].attempts.min(50)) * 100;
        let pause = self.rng.range(500, 500 + more);
        self.schedule(self.now + pause, Happens::App(n, 0));
    }

    fn failed(&mut self, n: usize, side: usize, error: Error) {
        let now = self.now;
        let chan = &mut self.chans[n];
        let accepted = chan.ends[1].id.is_some();
        let end = &mut chan.ends[side];
        let (peer, id) = (end.peer, end.id.take());
        let again = matches!(
            error,
            Error::Peer(
                PeerError::NoListener
                    | PeerError::BacklogFull
                    | PeerError::Unknown { .. }
                    | PeerError::Aborted { .. }
            )
        );
        if let Some(id) = id {
            self.peers[peer].session().release(now, id);
        }
        let end = &mut self.chans[n].ends[side];
        if side == 0 && again && !accepted {
            let mut tried = std::mem::take(&mut end.tried);
            tried.push(end.written);
            *end = End { tried, ..End::new(peer, end.plan) };
            self.connect_later(n);
        } else {
            end.error = Some(error);
            end.done = true;
        }
    }

    fn run_stream(&mut self, n: usize, side: usize) -> Result<(), Error> {
        let now = self.now;
        let key = self.chans[n].key;
        let end = &mut self.chans[n].ends[side];
        let Some(id) = end.id else { return Ok(()) };
        let plan = end.plan;
        let before = (end.read, end.eof);
        let mut session = self.peers[end.peer].storage.session();
        let mut buffer = vec![0; plan.write];
        while end.written < plan.count && now >= end.next_write && end.error.is_none() {
            let most = (plan.count - end.written).min(plan.write as u64) as usize;
            fill(key | side as u64, end.written, &mut buffer[..most]);
            // Bytes that arrived can be read even if nothing can be written any more.
            let taken = session.write(now, id, &buffer[..most]).unwrap_or_else(|error| {
                end.error = Some(error);
                0
            });
            end.written += taken as u64;
            if taken == 0 {
                break;
            }
            if plan.write_pause > 0 {
                end.next_write = now + plan.write_pause;
            }
        }
        let (mut buffer, mut expected) = (vec![0; plan.read], vec![0; plan.read]);
        while !end.eof && now >= end.next_read {
            let Some(got) = session.read(now, id, &mut buffer)? else { break };
            fill(key | (1 - side) as u64, end.read, &mut expected[..got]);
            let same = buffer[..got] == expected[..got];
            assert!(same, "seed {}: chan {n} side {side} at {}", self.seed, end.read);
            end.eof = got == 0;
            end.read += got as u64;
            end.progress(now);
            if got > 0 && plan.read_pause > 0 {
                end.next_read = now + plan.read_pause;
            }
        }
        // An application that drops a stream before it is connected wants no connection.
        let ready = session.connected(id).unwrap_or(true);
        if end.written == plan.count && !end.finished && plan.finish != Finish::Hold && ready {
            end.finished = true;
            match plan.finish {
                Finish::Drop => {
                    session.release(now, id);
                    end.done = true;
                }
                _ => end.error = session.shutdown(now, id, Half::Write).err(),
            }
        }
        if ready && matches!(plan.finish, Finish::Abort(at) if end.read >= at || end.eof) {
            session.abort(now, id);
            end.done = true;
        }
        // An earlier drop would leave the channel no more than the linger time.
        let acked = end.finished && session.acked(id).unwrap_or(true);
        let finished = acked || end.error.is_some();
        if end.eof && finished && !end.done && plan.finish == Finish::Both {
            session.release(now, id);
            end.done = true;
        }
        let wakes = [(end.next_write, end.written < plan.count), (end.next_read, !end.eof)];
        let next = wakes.into_iter().filter(|&(at, wanted)| wanted && at > now).min();
        if (end.read, end.eof) != before {
            self.moved(n);
        }
        self.alarm(n, side, next.map(|(at, _)| at));
        Ok(())
    }

    /// Keeps an application from reading for this long.
    pub fn pause_reading(&mut self, n: usize, side: usize, ms: u64) {
        self.chans[n].ends[side].next_read = self.now + ms;
        self.run_end(n, side);
    }

    /// Has an application look again at that time.
    pub fn alarm(&mut self, n: usize, side: usize, at: Option<u64>) {
        let end = &mut self.chans[n].ends[side];
        if let Some(at) = at
            && (end.alarm <= self.now || at < end.alarm)
        {
            end.alarm = at;
            self.schedule(at, Happens::App(n, side));
        }
    }

    /// Runs until every application is done, closes every session, and checks what arrived.
    #[track_caller]
    pub fn finish(&mut self, ms: u64) {
        self.run_until(ms, "end of the applications", |w| w.chans.iter().all(Chan::is_done));
        self.close(ms);
        self.check();
    }

    /// Closes every session, and waits until all are closed.
    #[track_caller]
    pub fn close(&mut self, ms: u64) {
        for peer in 0..self.peers.len() {
            self.with(peer, |s, now| s.close(now));
        }
        self.run_until(ms, "closed sessions", |w| {
            w.peers.iter_mut().all(|p| p.session().is_closed())
        });
    }

    /// Checks that every stream arrived whole, and that no channel failed.
    #[track_caller]
    pub fn check(&mut self) {
        for n in 0..self.chans.len() {
            self.check_chan(n);
        }
    }

    #[track_caller]
    pub fn check_chan(&mut self, n: usize) {
        for side in 0..2 {
            self.check_end(n, side);
        }
    }

    #[track_caller]
    fn check_end(&mut self, n: usize, side: usize) {
        let which = format!("chan {n} side {side}\n{}", self.dump());
        let chan = &self.chans[n];
        let (end, other) = (&chan.ends[side], &chan.ends[1 - side]);
        let aborted = |e: &End| matches!(e.plan.finish, Finish::Abort(_));
        if chan.ends.iter().any(aborted) || !chan.ends[1].done {
            return;
        }
        match chan.kind {
            Kind::Stream => {
                let dropped = other.plan.finish == Finish::Drop
                    && matches!(end.error, Some(Error::Peer(PeerError::Closed)));
                assert!(dropped || end.error.is_none(), "{which}");
                if end.plan.finish == Finish::Both {
                    assert_eq!(end.read, other.plan.count, "{which}");
                    assert!(end.eof, "{which}");
                }
            }
            Kind::Datagram => {
                let over = |error| matches!(error, PeerError::Closed | PeerError::Unknown { .. });
                let closed = side == 1 && matches!(end.error, Some(Error::Peer(e)) if over(e));
                // A channel that an end has not used gives way there to peers that find no place.
                let gave_way = chan.ends.iter().any(|end| end.written == 0 && end.read == 0)
                    && matches!(
                        end.error,
                        Some(
                            Error::Peer(PeerError::GaveUp { .. })
                                | Error::Transport(TransportError::Linger { .. })
                        )
                    );
                assert!(closed || gave_way || end.error.is_none(), "{which}");
            }
        }
    }
}

fn plan_accepts(listens: &[ListenPlan], id: ListenerId) -> bool {
    listens.iter().any(|l| l.id == id && l.accepts)
}
