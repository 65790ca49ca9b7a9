//! A second client, written from the protocol page alone: HTTP/1.0 on a bare socket, without regard
//! for windows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use byway::client::{Config, Security};
use byway::error::Error;
use byway::wire::{
    Accept, ChannelKind, ChannelRef, Connect, Data, DataFlags, Decoder, Endpoint, Hello,
    HelloFlags, ListenReq, MAX_CONTROL, Message, Piece, Route, Status, VERSION, Window,
};
use byway::{Address, Kind};
use sha2::{Digest, Sha256};

use super::{LONG, config, pattern, plain_client, relay};

/// How long a park of the naive client waits, in ms: as long as a test may take.
pub const HOLD: u32 = 20_000;

/// The ring of the real client in octets.
pub const RING: u64 = 16 * 1024;

pub struct Naive {
    relay: SocketAddr,
    secret: [u8; 16],
    seq: u64,
}

/// The messages of an answer, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    ListenRsp(Status),
    AcceptReq(Route, ChannelRef, u64),
    ConnectRsp(Route, Status, ChannelRef, u64),
    SendRsp(Window),
    Data(u64, DataFlags, Vec<u8>),
    CloseReq(Route),
    CloseRsp(ChannelRef),
    Verdict(Status),
    End(Status),
}

impl Naive {
    pub fn new(relay: SocketAddr, name: u8) -> Self {
        Self { relay, secret: [name; 16], seq: 0 }
    }

    /// Makes one request, and reads its answer. A send if `hold` is 0.
    fn exchange(&mut self, hold: u32, messages: &[u8]) -> Vec<Seen> {
        self.seq += 1;
        let mut body = encoded(&Message::Hello(Hello {
            version: VERSION,
            flags: HelloFlags::NONE,
            secret: self.secret,
            seq: self.seq,
            hold_ms: hold,
            max_response: 1 << 20,
        }));
        body.extend_from_slice(messages);
        let mut socket = TcpStream::connect(self.relay).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(u64::from(HOLD) * 2))).unwrap();
        let head = format!(
            "POST /v1?n={} HTTP/1.0\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            self.seq,
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&body).unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.0 200"), "{:?}", String::from_utf8_lossy(&answer));
        seen(&answer[end..])
    }

    pub fn send(&mut self, messages: &[u8]) -> Vec<Seen> {
        self.exchange(0, messages)
    }

    /// Sends until the relay delivers the messages, with a park before each repeat, which the relay
    /// ends by READY.
    pub fn deliver(&mut self, parked: &[u8], messages: &[u8]) {
        while !self.send(messages).contains(&Seen::Verdict(Status::Delivered)) {
            self.exchange(HOLD, parked);
        }
    }

    /// Parks until `wanted` finds a message in an answer.
    pub fn park_for<T>(&mut self, messages: &[u8], wanted: impl Fn(&Seen) -> Option<T>) -> T {
        loop {
            let answer = self.exchange(HOLD, messages);
            if let Some(found) = answer.iter().find_map(&wanted) {
                return found;
            }
            assert_eq!(answer.last(), Some(&Seen::End(Status::Ok)), "{answer:?}");
        }
    }

    /// The session's address.
    pub fn address(&self) -> Address {
        let digest = Sha256::digest(self.secret);
        Address(std::array::from_fn(|i| digest[i]))
    }

    /// Connects to `camera:1`, and gives the route there and the window.
    fn connect(&mut self, kind: Kind) -> (Route, u64) {
        self.connect_to("camera:1", kind)
    }

    pub fn connect_to(&mut self, endpoint: &str, kind: Kind) -> (Route, u64) {
        let own = ChannelRef { id: 7, token: 77 };
        let endpoint = endpoint.parse::<Endpoint>().unwrap();
        let connect = Connect {
            channel: own,
            kind: ChannelKind::plain(kind),
            port: endpoint.port,
            limit: RING,
            linger_ms: 60_000,
            name: endpoint.name,
            greeting: b"",
        };
        self.send(&encoded(&Message::ConnectReq(connect)));
        let (route, limit) = self.park_for(b"", |seen| match seen {
            Seen::ConnectRsp(from, Status::Ok, channel, limit) => {
                assert_eq!(from.channel, own);
                Some((Route { peer: from.peer, channel: *channel }, *limit))
            }
            _ => None,
        });
        self.send(&to(&route, &Message::ReceiveReq(window(0, RING, 0))));
        (route, limit)
    }
}

pub fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = [0; MAX_CONTROL];
    let n = message.encode(&mut out).unwrap();
    out[..n].to_vec()
}

pub fn to(route: &Route, message: &Message<'_>) -> Vec<u8> {
    [encoded(&Message::Route(*route)), encoded(message)].concat()
}

pub fn data(route: &Route, offset: u64, flags: DataFlags, bytes: &[u8]) -> Vec<u8> {
    let data = Data { offset, flags, len: bytes.len() as u32 };
    [to(route, &Message::SendReq(data)), bytes.to_vec()].concat()
}

pub fn window(ack: u64, limit: u64, overflow: u64) -> Window {
    Window { ack, limit, overflow, now: true, ..Window::default() }
}

pub fn seen(mut body: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut decoder = Decoder::new();
    let mut from = Route { peer: Address::RELAY, channel: ChannelRef::NONE };
    while let Some(piece) = decoder.next(&mut body).unwrap() {
        match piece {
            Piece::Message(Message::From(route)) => from = route,
            Piece::Message(Message::ListenRsp(m)) => all.push(Seen::ListenRsp(m.status)),
            Piece::Message(Message::AcceptReq(m)) => {
                all.push(Seen::AcceptReq(from, m.channel, m.limit));
            }
            Piece::Message(Message::ConnectRsp(Accept { status, channel, limit, .. })) => {
                all.push(Seen::ConnectRsp(from, status, channel, limit));
            }
            Piece::Message(Message::SendRsp(window)) => all.push(Seen::SendRsp(window)),
            Piece::Message(Message::ReceiveRsp(m)) => {
                all.push(Seen::Data(m.offset, m.flags, Vec::new()));
            }
            Piece::Bytes(bytes, _) => match all.last_mut() {
                Some(Seen::Data(_, _, data)) => data.extend_from_slice(bytes),
                other => panic!("bytes behind {other:?}"),
            },
            Piece::Message(Message::CloseReq(_)) => all.push(Seen::CloseReq(from)),
            Piece::Message(Message::CloseRsp(m)) => all.push(Seen::CloseRsp(m.channel)),
            Piece::Message(Message::Verdict(m)) => all.push(Seen::Verdict(m.status)),
            Piece::Message(Message::End(m)) => all.push(Seen::End(m.status)),
            Piece::Message(_) => {}
        }
    }
    all
}

fn overflow(seen: &Seen) -> Option<Window> {
    match seen {
        Seen::SendRsp(window) if window.overflow != 0 => Some(*window),
        _ => None,
    }
}

#[test]
fn sender_that_ignores_the_window_is_told_where_it_overflowed() {
    let relay = relay();
    let server = plain_client(&relay);
    let listener = server.listen("camera:1").unwrap();
    let mut naive = Naive::new(relay.local_addr(), 1);
    let (route, limit) = naive.connect(Kind::Stream);
    let mut stream = listener.accept_timeout(LONG).unwrap();
    assert_eq!(limit, RING);

    let sent = pattern(20_000);
    naive.send(&data(&route, 0, DataFlags::NONE, &sent));
    let notice = naive.park_for(b"", overflow);
    assert_eq!(
        (notice.ack, notice.overflow),
        (RING, RING + 1),
        "the first offset that did not fit"
    );

    // A repeat, with the ring as full as before: the same notice, which is no new one.
    let again = data(&route, RING, DataFlags::NONE, &sent[RING as usize..]);
    naive.send(&again);
    assert_eq!(naive.park_for(b"", overflow).overflow, RING + 1);

    let mut heard = vec![0; RING as usize];
    stream.read_exact(&mut heard).unwrap();
    let opened = naive.park_for(b"", |seen| match seen {
        Seen::SendRsp(window) if window.limit > RING => Some(*window),
        _ => None,
    });
    assert_eq!((opened.ack, opened.limit), (RING, 2 * RING));

    // The stream goes on from there.
    let rest = &sent[RING as usize..];
    naive.send(&data(&route, RING, DataFlags::FIN, rest));
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, sent);
}

/// The naive client's claim of an endpoint.
fn claim(endpoint: Endpoint, heard: Option<Status>) -> Vec<u8> {
    encoded(&Message::ListenReq(ListenReq {
        claim: 1,
        kind: ChannelKind::plain(Kind::Stream),
        port: endpoint.port,
        owner: [2; 16],
        epoch: 1,
        backlog: 1,
        heard,
        name: endpoint.name,
    }))
}

#[test]
fn overflow_is_told_once_and_the_stream_goes_on() {
    let relay = relay();
    let mut naive = Naive::new(relay.local_addr(), 2);
    let endpoint = "camera:1".parse::<Endpoint>().unwrap();
    let claimed = |seen: &Seen| (*seen == Seen::ListenRsp(Status::Ok)).then_some(());
    naive.park_for(&claim(endpoint, None), claimed);
    let claim = claim(endpoint, Some(Status::Ok));

    let connector = std::thread::scope(|scope| {
        let connector = plain_client(&relay);
        let connecting = scope.spawn(move || (connector.connect("camera:1").unwrap(), connector));
        let (from, theirs) = naive.park_for(&claim, |seen| match seen {
            Seen::AcceptReq(from, channel, _) => Some((*from, *channel)),
            _ => None,
        });
        let route = Route { peer: from.peer, channel: theirs };
        let accept = Accept {
            status: Status::Ok,
            channel: ChannelRef { id: 9, token: 99 },
            limit: 1_000,
            linger_ms: 60_000,
            greeting: b"",
        };
        naive.deliver(&claim, &to(&route, &Message::AcceptRsp(accept)));
        let (mut stream, connector) = connecting.join().unwrap();

        let sent = pattern(1_500);
        stream.write_all(&sent).unwrap();
        let first = naive.park_for(&claim, |seen| match seen {
            Seen::Data(0, _, bytes) => Some(bytes.clone()),
            _ => None,
        });
        assert_eq!(first, sent[..1_000], "no more than the window");

        // The naive client takes 600 of them, has no room for the rest, and says so twice.
        for _ in 0..2 {
            naive.send(&to(&route, &Message::ReceiveReq(window(600, 1_000, 601))));
        }
        let mut heard = sent[..600].to_vec();
        while heard.len() < sent.len() {
            let told = window(heard.len() as u64, 2_000, 601);
            let open = [claim.clone(), to(&route, &Message::ReceiveReq(told))].concat();
            let next = heard.len() as u64;
            let bytes = naive.park_for(&open, |seen| match seen {
                Seen::Data(at, _, bytes) if *at == next => Some(bytes.clone()),
                _ => None,
            });
            heard.extend(bytes);
        }
        assert_eq!(heard, sent);
        let all = window(heard.len() as u64, 3_000, 601);
        naive.send(&to(&route, &Message::ReceiveReq(all)));
        stream.wait_acked(LONG).unwrap();
        assert_eq!(stream.take_overflow(), Ok(Some(600)));
        assert_eq!(stream.take_overflow(), Ok(None));
        assert_eq!(stream.stats().unwrap().overflows, 1);
        stream.abort();
        connector
    });
    assert_eq!(connector.stats().overflows, 1);
}

#[test]
fn datagram_that_does_not_fit_is_dropped_whole_without_notice() {
    let relay = relay();
    let server = plain_client(&relay);
    let listener = server.listen_datagram("camera:1").unwrap();
    let mut naive = Naive::new(relay.local_addr(), 3);
    let (route, _) = naive.connect(Kind::Datagram);
    let datagrams = listener.accept_timeout(LONG).unwrap();
    let datagram =
        |number: u64| pattern(1_000).iter().map(|b| b ^ number as u8).collect::<Vec<_>>();
    for number in 0..40 {
        let flags = DataFlags::DATAGRAM.with(DataFlags::ACK_NOW);
        let answer = naive.send(&data(&route, number, flags, &datagram(number)));
        assert!(answer.contains(&Seen::Verdict(Status::Delivered)), "{answer:?}");
        // The acknowledgement says only that the datagram was seen.
        let told = naive.park_for(b"", |seen| match seen {
            Seen::SendRsp(window) if window.ack > number => Some(*window),
            _ => None,
        });
        assert_eq!(told.overflow, 0);
    }
    let stats = datagrams.stats().unwrap();
    let fit = 40 - u64::from(stats.datagrams_dropped);
    assert_eq!(fit, RING / 1_006);
    let mut heard = [0; 2_000];
    for number in 0..fit {
        let n = datagrams.recv(&mut heard).unwrap();
        assert_eq!(&heard[..n], datagram(number));
    }
    datagrams.set_nonblocking(true);
    let error = datagrams.recv(&mut heard).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn acknowledgement_beyond_what_was_sent_ends_that_channel_only() {
    let relay = relay();
    let server =
        byway::client::Client::open(Config { security: Security::Plain, ..config(&relay) })
            .unwrap();
    let listener = server.listen("camera:1").unwrap();
    let mut naive = Naive::new(relay.local_addr(), 4);
    let (route, _) = naive.connect(Kind::Stream);
    let mut stream = listener.accept_timeout(LONG).unwrap();
    naive.send(&to(&route, &Message::ReceiveReq(window(5, RING, 0))));
    let error = stream.read(&mut [0; 1]).unwrap_err();
    let error = error.get_ref().and_then(|e| e.downcast_ref::<Error>()).copied();
    assert_eq!(error, Some(byway::error::PeerError::Protocol { acked: 0 }.into()));
    // The client goes on.
    let other = plain_client(&relay);
    other.connect("camera:1").unwrap();
}
