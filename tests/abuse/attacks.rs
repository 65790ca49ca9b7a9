//! The attacks. Each begins, says that it is under way, and goes on until it is told to stop.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use byway::Kind;
use byway::wire::{
    Address, ChannelKind, ChannelRef, Connect, Data, DataFlags, Endpoint, HelloFlags, ListenReq,
    MAX_DATAGRAM, Message, Status, Window,
};

use crate::peers::{Phone, Stranger};
use crate::raw::{self, Body};
use crate::relay::Relay;

/// Where an attack takes place.
pub struct Field<'a> {
    pub relay: &'a Relay,
    /// A session of the pair, which gets acknowledgements.
    pub sender: Address,
    pub full: bool,
    pub over: &'a AtomicBool,
    pub ready: &'a AtomicBool,
    /// What the attacker counts.
    pub count: &'a AtomicU64,
}

/// What the attacker says afterwards.
#[derive(Default)]
pub struct Said {
    pub text: String,
    /// What the attacker achieved and should not have.
    pub faults: Vec<String>,
}

pub struct Attack {
    pub name: &'static str,
    pub run: fn(&Field<'_>) -> Said,
    pub when: When,
}

/// When an attack is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// With `--full`, or when its name is given: another one shows nearly the same.
    InFull,
}

/// Within this time a newcomer is in.
pub const OPENS: Duration = Duration::from_secs(3);

pub const ATTACKS: &[Attack] = &[
    Attack { name: "single-hellos", run: single_hellos, when: When::Always },
    Attack { name: "datagrams-less-1", run: datagrams, when: When::InFull },
    Attack { name: "slow-readers", run: slow_readers, when: When::Always },
    Attack { name: "kept-acks", run: kept_acks, when: When::InFull },
    Attack { name: "new-sessions", run: new_sessions, when: When::Always },
    Attack { name: "requests", run: requests, when: When::InFull },
    Attack { name: "guess-owner", run: guess_owner, when: When::Always },
    Attack { name: "list-names", run: list_names, when: When::InFull },
    Attack { name: "wake-phone", run: wake_phone, when: When::Always },
    Attack { name: "flood-acks", run: flood_acks, when: When::InFull },
    Attack { name: "take-channels", run: take_channels, when: When::InFull },
    Attack { name: "use-channels", run: use_channels, when: When::Always },
];

/// How often a stranger may wake a phone at once, by the relay's default; the phone makes two requests each.
const WAKES_AT_ONCE: u64 = 30;

/// The network of the attackers' addresses.
const NET: u8 = 9;

/// Attackers' sessions have secrets from here up, for each attack.
const SECRETS: u64 = 0xbad0_0000_0000;

impl Field<'_> {
    fn is_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// The relay as seen from an attacker's address.
    fn from(&self, host: u8) -> SocketAddr {
        self.relay.seen_from(NET, host)
    }

    fn size(&self, short: usize, full: usize) -> usize {
        if self.full { full } else { short }
    }

    /// The attack is under way, until it is to stop.
    fn hold(&self) {
        self.ready.store(true, Relaxed);
        while self.is_on() {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes `most` connections, each with `octets`, from one address, or from two if one has too few places.
    fn connections(&self, most: usize, mut octets: impl FnMut(u64) -> Vec<u8>) -> Vec<TcpStream> {
        let mut open = Vec::new();
        for n in 0..most {
            if !self.is_on() {
                break;
            }
            let host = if n < 4_500 { 1 } else { 2 };
            let Ok(mut stream) = raw::dial(self.from(host)) else { continue };
            if stream.write_all(&octets(SECRETS + n as u64)).is_ok() {
                open.push(stream);
            }
        }
        open
    }

    /// Repeats `turn` on `threads` connections; an error of it makes a new connection.
    fn repeat(
        &self,
        threads: u64,
        turn: impl Fn(&mut TcpStream, u64) -> std::io::Result<u64> + Sync,
    ) -> Done {
        let began = Instant::now();
        self.ready.store(true, Relaxed);
        thread::scope(|scope| {
            for thread in 0..threads {
                let turn = &turn;
                scope.spawn(move || {
                    let mut serial = SECRETS + (thread << 32);
                    while self.is_on() {
                        let Ok(mut stream) = raw::dial(self.from(1)) else {
                            thread::sleep(Duration::from_millis(10));
                            continue;
                        };
                        while self.is_on() {
                            serial += 1;
                            match turn(&mut stream, serial) {
                                Ok(done) => self.count.fetch_add(done, Relaxed),
                                Err(_) => break,
                            };
                        }
                    }
                });
            }
        });
        Done { times: self.count.load(Relaxed), seconds: began.elapsed().as_secs_f64() }
    }
}

/// How often something was done.
struct Done {
    times: u64,
    seconds: f64,
}

impl Done {
    fn a_second(&self) -> u64 {
        (self.times as f64 / self.seconds) as u64
    }

    /// What the attacker says, who may do so often at once, and some more than that often a second: what is
    /// under way as it begins and ends counts.
    fn said(&self, what: &str, at_once: u64, a_second: u64) -> Said {
        let beyond = self.times.saturating_sub(at_once) as f64 / self.seconds;
        let rate = self.a_second();
        let text = format!("{rate} {what} a second, {beyond:.0} beyond the first {at_once}");
        let is_fault = beyond > 3.0 * a_second as f64;
        let faults = if is_fault { vec![text.clone()] } else { Vec::new() };
        Said { text, faults }
    }
}

/// How many of these connections were answered, or closed, at once.
fn answered(open: &mut [TcpStream]) -> usize {
    let mut answered = 0;
    for stream in open {
        let mut octet = [0];
        let _ = stream.set_nonblocking(true);
        let waits =
            matches!(stream.read(&mut octet), Err(error) if error.kind() == ErrorKind::WouldBlock);
        answered += usize::from(!waits);
    }
    answered
}

/// Each connection says HELLO of a client with one socket, for which room for a whole body is kept.
fn single_hellos(field: &Field<'_>) -> Said {
    let mut open = field.connections(field.size(3_000, 8_250), |secret| {
        Body::hello(secret, 1, 60_000, HelloFlags::SINGLE).request(20_000)
    });
    field.hold();
    let of = open.len();
    Said { text: format!("{of} connections, {} answered", answered(&mut open)), ..Said::default() }
}

/// Each connection sends a datagram that lacks its last octet.
fn datagrams(field: &Field<'_>) -> Said {
    let peer = field.sender;
    let data = Data { offset: 0, flags: DataFlags::DATAGRAM, len: MAX_DATAGRAM as u32 };
    let mut open = field.connections(field.size(4_200, 4_200), |secret| {
        let body = Body::hello(secret, 1, 0, HelloFlags::NONE).to(peer, 7);
        body.with(Message::SendReq(data)).bytes(MAX_DATAGRAM - 1).request(1)
    });
    field.hold();
    let of = open.len();
    Said { text: format!("{of} connections, {} answered", answered(&mut open)), ..Said::default() }
}

/// Each reader takes much at first, so that the kernel grows its buffer, and then next to nothing.
fn slow_readers(field: &Field<'_>) -> Said {
    let most = field.size(100, 600);
    let (mut readers, mut senders) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let mut made = Vec::new();
        for part in 0..4_u64 {
            made.push(scope.spawn(move || {
                let (mut readers, mut senders) = (Vec::new(), Vec::new());
                for n in (part..most as u64).step_by(4) {
                    if !field.is_on() {
                        break;
                    }
                    let secret = SECRETS + n;
                    let made = slow_reader(field.from(1), secret);
                    if let Ok((reader, sender)) = made {
                        readers.push(reader);
                        senders.push(sender);
                    }
                }
                (readers, senders)
            }));
        }
        for made in made {
            let (some, others) = made.join().expect("no panic");
            readers.extend(some);
            senders.extend(others);
        }
    });
    field.ready.store(true, Relaxed);
    let mut last = Instant::now();
    while field.is_on() {
        thread::sleep(Duration::from_millis(20));
        if last.elapsed() > Duration::from_secs(2) {
            last = Instant::now();
            for reader in &mut readers {
                let mut octet = [0];
                let _ = reader.set_nonblocking(true);
                let _ = reader.read(&mut octet);
            }
        }
    }
    Said { text: format!("{} readers", readers.len()), ..Said::default() }
}

/// A reader that has taken 6 MB and takes no more, and the connection whose data it does not take.
fn slow_reader(relay: SocketAddr, secret: u64) -> std::io::Result<(TcpStream, TcpStream)> {
    let mut reader = raw::dial(relay)?;
    let peer = raw::address(&mut reader, secret)?;
    reader.write_all(&Body::hello(secret, 2, 280_000, HelloFlags::STREAM).request(0))?;
    let mut sender = raw::dial(relay)?;
    let data = Data { offset: 0, flags: DataFlags::NONE, len: 4_000_000 };
    let body = Body::hello(secret | 1 << 40, 1, 0, HelloFlags::NONE).to(peer, 3);
    let whole = body.with(Message::SendReq(data)).bytes(4_000_000).request(0);
    let taking = reader.try_clone()?;
    let drain = thread::spawn(move || {
        let (mut taking, mut taken) = (taking, 0);
        let mut octets = vec![0; 64 * 1024];
        while taken < 3_500_000 {
            match taking.read(&mut octets) {
                Ok(n @ 1..) => taken += n,
                Ok(_) | Err(_) => break,
            }
        }
    });
    sender.write_all(&whole)?;
    let _ = drain.join();
    let _ = raw::answer(&mut sender);
    // What the reader does not take any longer.
    sender.set_nonblocking(true)?;
    let _ = sender.write(&whole);
    Ok((reader, sender))
}

/// Sessions that park once, and then are sent as many acknowledgements as are kept for each.
fn kept_acks(field: &Field<'_>) -> Said {
    let most = field.size(4_000, 8_000) as u64;
    let kept = AtomicU64::new(0);
    thread::scope(|scope| {
        for part in 0..2_u64 {
            let kept = &kept;
            scope.spawn(move || {
                let dial = || raw::dial(field.from(1));
                let (Ok(mut parks), Ok(mut sends)) = (dial(), dial()) else { return };
                for n in (part..most).step_by(2) {
                    if !field.is_on() {
                        return;
                    }
                    let secret = SECRETS + n;
                    let parked = raw::ask(&mut parks, &Body::hello(secret, 1, 1, HelloFlags::NONE));
                    let peer = parked.ok().and_then(|answer| {
                        let mut peer = None;
                        answer.messages(|m| {
                            if let Message::Welcome(w) = m {
                                peer = Some(w.address)
                            }
                        });
                        peer
                    });
                    let Some(peer) = peer else {
                        if let Ok(again) = dial() {
                            parks = again;
                        }
                        continue;
                    };
                    let mut body = Body::hello(SECRETS - 1 - part, n + 1, 0, HelloFlags::NONE);
                    for id in 1..=250 {
                        body = body.to(peer, id).with(Message::ReceiveReq(Window::default()));
                    }
                    match raw::ask(&mut sends, &body) {
                        Ok(answer) => answer.messages(|m| {
                            if let Message::Verdict(v) = m
                                && v.status == Status::Delivered
                            {
                                kept.fetch_add(1, Relaxed);
                            }
                        }),
                        Err(_) => match dial() {
                            Ok(again) => sends = again,
                            Err(_) => return,
                        },
                    }
                }
            });
        }
    });
    field.hold();
    Said { text: format!("{} acknowledgements kept", kept.load(Relaxed)), ..Said::default() }
}

/// Every request is of a session that the relay has not seen.
fn new_sessions(field: &Field<'_>) -> Said {
    let done = field.repeat(8, |stream, serial| {
        let mut octets = Vec::new();
        for n in 0..16 {
            octets.extend(Body::hello(serial << 8 | n, 1, 0, HelloFlags::NONE).request(0));
        }
        stream.write_all(&octets)?;
        count(stream, 16)
    });
    done.said("new sessions", 5_000, 500)
}

/// Requests of one session, as many as go.
fn requests(field: &Field<'_>) -> Said {
    let done = field.repeat(8, |stream, serial| {
        let mut octets = Vec::new();
        for n in 0..16 {
            octets.extend(
                Body::hello(serial >> 32, (serial << 8 | n) & 0xffff_ffff, 0, HelloFlags::NONE)
                    .request(0),
            );
        }
        stream.write_all(&octets)?;
        count(stream, 16)
    });
    done.said("requests", 20_000, 10_000)
}

/// Reads `most` answers that stand one behind the other: how many are 200.
fn count(stream: &mut TcpStream, most: u64) -> std::io::Result<u64> {
    let mut octets = Vec::new();
    let (mut seen, mut good) = (0, 0);
    while seen < most {
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece)? {
            0 => break,
            n => octets.extend_from_slice(&piece[..n]),
        }
        let starts = octets.windows(9).filter(|w| *w == b"HTTP/1.1 ");
        seen = starts.count() as u64;
        good = octets.windows(12).filter(|w| *w == b"HTTP/1.1 200").count() as u64;
    }
    // The pieces may end within the last answer: let it come.
    match good {
        0 => Err(ErrorKind::ConnectionRefused.into()),
        _ => Ok(good),
    }
}

fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

/// Parks that claim the pair's name for owners that the attacker guesses.
fn guess_owner(field: &Field<'_>) -> Said {
    let name = endpoint("sink:1");
    let done = field.repeat(2, |stream, serial| {
        let mut body = Body::hello(serial, 1, 1, HelloFlags::NONE);
        for claim in 1..=16_u32 {
            let mut owner = [0; 16];
            owner[..8].copy_from_slice(&serial.to_be_bytes());
            owner[8..12].copy_from_slice(&claim.to_be_bytes());
            let request = ListenReq {
                claim,
                kind: ChannelKind::plain(Kind::Stream),
                port: name.port,
                owner,
                epoch: 0,
                backlog: 1,
                heard: None,
                name: name.name,
            };
            body = body.with(Message::ListenReq(request));
        }
        let mut judged = 0;
        let answer = raw::ask(stream, &body)?;
        answer.messages(|message| {
            if let Message::ListenRsp(rsp) = message {
                judged += u64::from(matches!(rsp.status, Status::InUse | Status::Taken));
            }
        });
        if answer.status == 503 {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(judged)
    });
    done.said("guesses of an owner", 200, 10)
}

/// Asks for channels of the wrong kind, which tells whether somebody listens there and nobody notices.
fn list_names(field: &Field<'_>) -> Said {
    let name = endpoint("sink:1");
    let done = field.repeat(2, |stream, serial| {
        let mut body = Body::hello(serial >> 16, serial & 0xffff, 0, HelloFlags::NONE);
        for id in 1..=500_u32 {
            let channel = ChannelRef { id, token: 1 };
            let kind = ChannelKind::plain(Kind::Datagram);
            let (port, name) = (name.port, name.name);
            let greeting = &[][..];
            let connect = Connect { channel, kind, port, limit: 0, linger_ms: 1, name, greeting };
            body = body.with(Message::ConnectReq(connect));
        }
        let mut told = 0;
        let answer = raw::ask(stream, &body)?;
        answer.messages(|message| {
            if let Message::Verdict(verdict) = message {
                told += u64::from(matches!(verdict.status, Status::WrongKind | Status::NoListener));
            }
        });
        if answer.status == 503 {
            return Err(ErrorKind::ConnectionRefused.into());
        }
        Ok(told)
    });
    done.said("names told", 1_000, 50)
}

/// Data for channels that an idle phone does not have.
fn wake_phone(field: &Field<'_>) -> Said {
    let phone = match Phone::start(field.relay.seen_from(3, 1), field.relay.seen_from(4, 1)) {
        Ok(phone) => phone,
        Err(error) => return Said { text: error.to_string(), faults: vec![error.to_string()] },
    };
    let (before, began) = (phone.requests(), Instant::now());
    let sent = field.repeat(2, |stream, serial| {
        let data = Data { offset: 0, flags: DataFlags::NONE, len: 150 };
        let body = Body::hello(serial >> 32, serial & 0xffff_ffff, 0, HelloFlags::NONE);
        let body = body.to(phone.address, serial as u32).with(Message::SendReq(data)).bytes(150);
        raw::ask(stream, &body).map(|_| 1)
    });
    let requests = phone.requests() - before;
    let seconds = began.elapsed().as_secs_f64();
    let beyond = requests.saturating_sub(2 * WAKES_AT_ONCE) as f64 / seconds;
    let text = format!(
        "{} sends a second made the phone do {requests} requests in {seconds:.0} s: {beyond:.1} a second beyond those at once",
        sent.a_second()
    );
    let mut said = Said { text, ..Said::default() };
    if beyond > 10.0 {
        said.faults.push(said.text.clone());
    }
    said
}

/// Acknowledgements for a stream's peer, which are none of its stream's.
fn flood_acks(field: &Field<'_>) -> Said {
    let peer = field.sender;
    let done = field.repeat(2, |stream, serial| {
        let mut body = Body::hello(serial >> 32, serial & 0xffff_ffff, 0, HelloFlags::NONE);
        for id in 1..=500 {
            let window = Window { now: true, ..Window::default() };
            body = body.to(peer, id).with(Message::ReceiveReq(window));
        }
        raw::ask(stream, &body).map(|answer| {
            let mut delivered = 0;
            answer.messages(|message| {
                if let Message::Verdict(verdict) = message {
                    delivered += u64::from(verdict.status == Status::Delivered);
                }
            });
            delivered
        })
    });
    done.said("acknowledgements delivered", 1_000, 100)
}

/// Channels to the listener at which newcomers call, as many as it has, none of them used.
fn take_channels(field: &Field<'_>) -> Said {
    channels(field, "unused", |_| {})
}

/// The same channels, each with an octet now and then.
fn use_channels(field: &Field<'_>) -> Said {
    channels(field, "with an octet a second on each", Stranger::use_channels)
}

/// Takes all channels, and does that with them each second.
fn channels(field: &Field<'_>, how: &str, each_second: fn(&Stranger)) -> Said {
    let stranger = match Stranger::start(field.from(1)) {
        Ok(stranger) => stranger,
        Err(error) => return Said { text: error.to_string(), faults: vec![error.to_string()] },
    };
    let taken = stranger.take_channels();
    each_second(&stranger);
    field.ready.store(true, Relaxed);
    let mut last = Instant::now();
    while field.is_on() {
        thread::sleep(Duration::from_millis(20));
        if last.elapsed() > Duration::from_secs(1) {
            last = Instant::now();
            each_second(&stranger);
        }
    }
    Said { text: format!("{taken} channels taken, {how}"), ..Said::default() }
}
