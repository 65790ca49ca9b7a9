//! Any requests to the router, in any pieces and order. Invariants: the octets held are bounded,
//! every answer is a sequence of messages, and every exchange ends.
#![no_main]

mod keys;

use bytes::Bytes;
use byway::relay::router::{Answer, ExchangeId, Router, RouterConfig};
use byway::wire::{
    ChannelKind,
    Accept, Address, ChannelRef, Close, Closed, Connect, Data, DataFlags, Decoder, Hello,
    HelloFlags, ListenReq, MAX_CONTROL, MAX_DATAGRAM, Message, Name, Piece, Proof, Route, Status,
    VERSION, Window,
};
use byway::{Endpoint, Kind};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

use keys::{SESSIONS, check_proofs, key_name, proof, secret};

/// Octets that an exchange may hold beside `undrained` and a datagram: verdicts, acknowledgements,
/// answers to claims, READY, as the configuration below limits them.
const CONTROL: usize = 8 << 10;

/// The most operations of an input: each is cheap, but not free.
const MOST_OPS: usize = 400;

/// The most deadlines, or rounds of all connections, before the router must rest.
const MOST_STEPS: u32 = 20_000;

#[derive(Debug, Arbitrary)]
enum Op {
    /// A request begins; `Feed` gives its body.
    Open(Vec<Say>),
    /// A request gets this many octets of its body, and its end if the body has no more.
    Feed(u8, u16),
    /// A connection takes this many pieces of its answer.
    Take(u8, u8),
    /// A connection dies.
    Gone(u8),
    Pass(u16),
    Shutdown(u8),
    /// Octets arrive behind a request that was given whole.
    Behind(u8),
}

/// A message of a body.
#[derive(Debug, Arbitrary)]
enum Say {
    Hello {
        who: u8,
        seq: u8,
        hold: u16,
        max: u16,
        flags: u8,
    },
    Route {
        to: u8,
        id: u8,
    },
    Listen {
        claim: u8,
        port: u8,
        owner: u8,
        epoch: u8,
        heard: Option<u8>,
        datagrams: bool,
    },
    Connect {
        port: u8,
        datagrams: bool,
    },
    Accept(u8),
    Data {
        offset: u16,
        flags: u8,
        len: u16,
    },
    Window {
        ack: u16,
        now: bool,
    },
    Close(u8),
    Closed(u8),
    Pad(u8),
    /// Octets that may be no message.
    Raw(Vec<u8>),
    /// A proof of a session's key, made for a session; or damaged.
    Proof {
        of: u8,
        made_for: u8,
        is_damaged: bool,
    },
    /// A claim of a session's key name.
    ListenKey {
        of: u8,
        epoch: u8,
        heard: Option<u8>,
    },
}

/// The connection of an exchange.
struct Link {
    id: ExchangeId,
    body: Bytes,
    /// The octets that the router did not take yet.
    offered: Bytes,
    told: bool,
    over: bool,
    answer: Vec<u8>,
}

struct World {
    router: Router,
    config: RouterConfig,
    now: u64,
    links: Vec<Link>,
    addresses: [Address; SESSIONS],
    /// Which session said a good proof of which session's key.
    proved: [[bool; SESSIONS]; SESSIONS],
}

fn config() -> RouterConfig {
    RouterConfig {
        max_body: 64 << 10,
        max_messages: 64,
        max_sessions: 4,
        claims: 4,
        wishes: 2,
        asked: 2,
        acks: 8,
        sends: 2,
        undrained: 4 << 10,
        max_held: 64 << 10,
        ..RouterConfig::default()
    }
}

fn status(n: u8) -> Status {
    Status::ALL[usize::from(n) % Status::ALL.len()]
}

fn kind(datagrams: bool) -> Kind {
    if datagrams { Kind::Datagram } else { Kind::Stream }
}

fn endpoint(port: u8) -> (Name, u16) {
    let Endpoint { name, .. } = "name:1".parse().expect("an endpoint");
    (name, u16::from(port % 3))
}

/// The id of claims of a session's key name.
fn key_claim(of: usize) -> u32 {
    1000 + of as u32
}

fn put(body: &mut Vec<u8>, message: &Message<'_>) {
    let mut buffer = [0; MAX_CONTROL];
    let n = message.encode(&mut buffer).expect("its fields are in range");
    body.extend_from_slice(&buffer[..n]);
}

impl World {
    fn new() -> Self {
        let config = config();
        let mut world = Self {
            router: Router::new(config.clone(), 0),
            config: config.clone(),
            now: 1,
            links: Vec::new(),
            addresses: [Address::RELAY; SESSIONS],
            proved: [[false; SESSIONS]; SESSIONS],
        };
        for who in 0..SESSIONS {
            let says = [Say::Hello { who: who as u8, seq: 0, hold: 0, max: 512, flags: 0 }];
            world.open(&says);
            world.feed(0, usize::MAX);
            while !world.take(0) {}
            let link = world.links.remove(0);
            world.addresses[who] = check_answer(&link.answer).expect("an answer to HELLO");
        }
        // The relay is no longer young, so that not every verdict is RETRY.
        world.router = Router::new(config, 0);
        world.now = 10_000;
        world
    }

    fn body(&self, says: &[Say]) -> Vec<u8> {
        let mut body = Vec::new();
        for say in says {
            self.say(&mut body, say);
        }
        body
    }

    fn say(&self, body: &mut Vec<u8>, say: &Say) {
        let channel = |id: u8| ChannelRef { id: id.into(), token: 7 };
        let message = match *say {
            Say::Hello { who, seq, hold, max, flags } => Message::Hello(Hello {
                version: VERSION,
                flags: HelloFlags::from_bits(flags),
                secret: secret(usize::from(who) % SESSIONS),
                seq: seq.into(),
                hold_ms: hold.into(),
                max_response: u32::from(max) * 4,
            }),
            Say::Route { to, id } => {
                let peer = self.addresses.get(usize::from(to)).copied().unwrap_or_default();
                Message::Route(Route { peer, channel: channel(id) })
            }
            Say::Listen { claim, port, owner, epoch, heard, datagrams } => {
                let (name, port) = endpoint(port);
                Message::ListenReq(ListenReq {
                    claim: claim.into(),
                    kind: ChannelKind::plain(kind(datagrams)),
                    port,
                    owner: [owner % 2; 16],
                    epoch: epoch.into(),
                    backlog: 1,
                    heard: heard.map(status),
                    name,
                })
            }
            Say::Connect { port, datagrams } => {
                let (name, port) = endpoint(port);
                Message::ConnectReq(Connect {
                    channel: channel(1),
                    kind: ChannelKind::plain(kind(datagrams)),
                    port,
                    limit: 1000,
                    linger_ms: 60_000,
                    name,
                    greeting: b"hi",
                })
            }
            Say::Accept(code) => Message::AcceptRsp(Accept {
                status: status(code),
                channel: channel(2),
                limit: 1000,
                linger_ms: 60_000,
                greeting: b"",
            }),
            Say::Data { offset, flags, len } => {
                let (mut flags, mut len) = (DataFlags::from_bits(flags), u32::from(len));
                if flags.has(DataFlags::PROBE) {
                    len = 0;
                }
                if flags.has(DataFlags::DATAGRAM) {
                    flags = flags.without(DataFlags::FIN);
                }
                put(body, &Message::SendReq(Data { offset: offset.into(), flags, len }));
                body.resize(body.len() + len as usize, b'd');
                return;
            }
            Say::Window { ack, now } => Message::ReceiveReq(Window {
                ack: ack.into(),
                limit: u64::from(ack) + 1000,
                now,
                ..Window::default()
            }),
            Say::Close(code) => Message::CloseReq(Close { status: status(code), offset: 0 }),
            Say::Closed(code) => {
                Message::CloseRsp(Closed { status: status(code), channel: channel(1) })
            }
            Say::Pad(len) => {
                put(body, &Message::Pad(len.into()));
                body.resize(body.len() + usize::from(len), 0);
                return;
            }
            Say::Raw(ref octets) => return body.extend_from_slice(octets),
            Say::Proof { of, made_for, is_damaged } => {
                let [of, who] = [of, made_for].map(|n| usize::from(n) % SESSIONS);
                let proof = proof(of, who).message();
                let signature = if is_damaged { &[0; 64] } else { proof.signature };
                return put(body, &Message::Proof(Proof { signature, ..proof }));
            }
            Say::ListenKey { of, epoch, heard } => {
                let of = usize::from(of) % SESSIONS;
                Message::ListenReq(ListenReq {
                    claim: key_claim(of),
                    kind: ChannelKind::plain(Kind::Stream),
                    port: 1,
                    owner: [0; 16],
                    epoch: u64::MAX - u64::from(epoch),
                    backlog: 1,
                    heard: heard.map(status),
                    name: key_name(of),
                })
            }
        };
        put(body, &message);
    }

    fn open(&mut self, says: &[Say]) {
        if says.iter().any(|say| matches!(say, Say::Raw(_))) {
            // They may be anything.
            self.proved = [[true; SESSIONS]; SESSIONS];
        }
        if let Some(Say::Hello { who, .. }) = says.first() {
            for say in says {
                if let Say::Proof { of, made_for, is_damaged: false } = *say
                    && made_for % SESSIONS as u8 == who % SESSIONS as u8
                {
                    let proved = &mut self.proved[usize::from(*who) % SESSIONS];
                    proved[usize::from(of) % SESSIONS] = true;
                }
            }
        }
        let body = Bytes::from(self.body(says));
        let id = self.router.handle_open(self.now);
        let (offered, answer) = (Bytes::new(), Vec::new());
        self.links.push(Link { id, body, offered, told: false, over: false, answer });
    }

    /// Gives this many more octets of a body, after those that were not taken.
    fn feed(&mut self, n: usize, octets: usize) {
        let Some(link) = self.links.get_mut(n) else { return };
        if link.told {
            // Nothing comes behind the end of a body.
            return;
        }
        if link.offered.is_empty() {
            link.offered = link.body.split_to(link.body.len().min(octets));
        }
        self.router.handle_body(self.now, link.id, &mut link.offered);
        if link.body.is_empty() && link.offered.is_empty() {
            link.told = true;
            self.router.handle_body_end(self.now, link.id);
        }
        check_proofs(&mut self.router, self.now);
    }

    /// Takes a piece of an answer; true if there is none now. Checks an exchange that is over.
    fn take(&mut self, n: usize) -> bool {
        let Some(link) = self.links.get_mut(n) else { return true };
        match self.router.poll_response(self.now, link.id) {
            Answer::Pending => true,
            Answer::Bytes(piece) => {
                assert!(!piece.is_empty(), "a piece of nothing");
                link.answer.extend_from_slice(&piece);
                false
            }
            Answer::End => {
                link.over = true;
                true
            }
        }
    }

    /// Forgets the connections whose exchange is over, and whose answers are whole.
    fn reap(&mut self) {
        let (addresses, proved) = (&self.addresses, &self.proved);
        self.links.retain(|link| {
            if link.over
                && let Some(address) = check_answer(&link.answer)
                && let Some(who) = addresses.iter().position(|known| *known == address)
            {
                check_keys(&link.answer, &proved[who]);
            }
            !link.over
        });
    }

    /// Checks the router's own counts, and how many exchanges it wakes.
    fn check(&mut self) -> usize {
        let mut woken = 0;
        while self.router.poll_wake().is_some() {
            woken += 1;
            assert!(woken <= self.links.len(), "more woken than there are");
        }
        let stats = self.router.stats();
        assert!(stats.exchanges <= self.links.len());
        assert!(stats.sessions <= self.config.max_sessions);
        assert!(stats.names <= self.config.max_sessions * self.config.claims);
        let each = self.config.undrained + MAX_DATAGRAM + CONTROL;
        let most = self.config.max_held + self.links.len() * each;
        assert!(stats.held <= most, "{} held of {most}", stats.held);
        woken
    }

    fn act(&mut self, op: &Op) {
        match *op {
            Op::Open(ref says) => self.open(says),
            Op::Feed(n, octets) => self.feed(n.into(), octets.into()),
            Op::Take(n, times) => {
                for _ in 0..times {
                    if self.take(n.into()) {
                        break;
                    }
                }
            }
            Op::Gone(n) => {
                if usize::from(n) < self.links.len() {
                    let link = self.links.swap_remove(n.into());
                    self.router.handle_gone(self.now, link.id);
                }
            }
            Op::Pass(ms) => self.pass(ms.into()),
            Op::Shutdown(n) if n == u8::MAX => self.router.shutdown(self.now),
            Op::Shutdown(_) => {}
            Op::Behind(n) => {
                if let Some(link) = self.links.get(usize::from(n)).filter(|link| link.told) {
                    self.router.handle_behind(self.now, link.id);
                }
            }
        }
        self.reap();
        self.check();
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        let mut steps = 0;
        while let Some(at) = self.router.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.router.handle_timeout(self.now);
            steps += 1;
            assert!(steps < MOST_STEPS, "the router's timer does not rest");
        }
        self.now = until;
    }

    /// Gives and takes everything: within the longest times of the configuration all exchanges are
    /// over.
    fn finish(&mut self) {
        let until = self.now + self.config.max_hold_ms + 2 * self.config.upload_idle_ms;
        let mut steps = 0;
        while !self.links.is_empty() {
            for n in 0..self.links.len() {
                self.feed(n, usize::MAX);
                while !self.take(n) {}
            }
            self.reap();
            steps += 1;
            assert!(steps < MOST_STEPS && self.now <= until, "exchanges do not end");
            if self.check() > 0 || self.links.is_empty() {
                continue;
            }
            let at = self.router.poll_timeout().expect("a deadline, while exchanges are under way");
            self.pass(at.saturating_sub(self.now).max(1));
        }
        let stats = self.router.stats();
        assert_eq!((stats.exchanges, stats.held, stats.parked), (0, 0, 0));
        self.pass(self.config.forget_ms + 1);
        let stats = self.router.stats();
        assert_eq!((stats.sessions, stats.names), (0, 0), "not forgotten");
    }
}

/// Checks that an answer is empty, or goes from WELCOME to END. Gives the address in WELCOME.
fn check_answer(answer: &[u8]) -> Option<Address> {
    let mut decoder = Decoder::new();
    let mut input = answer;
    let (mut welcome, mut ended) = (None, false);
    while let Some(piece) = decoder.next(&mut input).expect("an answer of messages") {
        assert!(!ended, "something behind END");
        match piece {
            Piece::Message(Message::Welcome(hello)) => {
                assert_eq!(welcome, None, "a second WELCOME");
                welcome = Some(hello.address);
            }
            Piece::Message(Message::End(_)) => ended = true,
            _ => assert!(welcome.is_some(), "something before WELCOME"),
        }
    }
    assert!(decoder.at_boundary());
    assert_eq!(ended, welcome.is_some());
    welcome
}

/// Checks that a session holds no key name without its proof.
fn check_keys(answer: &[u8], proved: &[bool; SESSIONS]) {
    let mut decoder = Decoder::new();
    let mut input = answer;
    while let Some(piece) = decoder.next(&mut input).expect("an answer of messages") {
        if let Piece::Message(Message::ListenRsp(rsp)) = piece
            && rsp.status == Status::Ok
            && let Some(of) = (0..SESSIONS).find(|of| key_claim(*of) == rsp.claim)
        {
            assert!(proved[of], "a key name without its proof");
        }
    }
}

fuzz_target!(|ops: Vec<Op>| {
    let mut world = World::new();
    for op in ops.iter().take(MOST_OPS) {
        world.act(op);
    }
    world.finish();
});
