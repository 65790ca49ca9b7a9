//! A client of one socket, written from the protocol page alone.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use byway::Kind;
use byway::wire::{
    ChannelKind, ChannelRef, Connect, DataFlags, Endpoint, Hello, HelloFlags, Message, Route,
    Status, VERSION,
};

use super::naive::{HOLD, RING, Seen, data, encoded, seen, to, window};
use super::{LONG, plain_client, relay};

struct Single {
    socket: TcpStream,
    seq: u64,
    /// Octets of the next request that were written already.
    out: usize,
}

impl Single {
    fn new(relay: &byway::relay::Relay) -> Self {
        let socket = TcpStream::connect(relay.local_addr()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(u64::from(HOLD) * 2))).unwrap();
        Self { socket, seq: 0, out: 0 }
    }

    fn request(&mut self, messages: &[u8]) {
        self.seq += 1;
        let hello = encoded(&Message::Hello(Hello {
            version: VERSION,
            flags: HelloFlags::SINGLE,
            secret: [9; 16],
            seq: self.seq,
            hold_ms: HOLD,
            max_response: 1 << 20,
        }));
        let head = format!(
            "POST /v1?n={} HTTP/1.1\r\nHost: relay\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            self.seq,
            hello.len() + messages.len()
        );
        let all = [head.as_bytes(), &hello, messages].concat();
        self.socket.write_all(&all[self.out..]).unwrap();
        self.out = 0;
    }

    /// Tells the relay that there are messages.
    fn speak(&mut self) {
        self.socket.write_all(b"POST ").unwrap();
        self.out = 5;
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut octet = [0];
        while !line.ends_with(b"\r\n") {
            self.socket.read_exact(&mut octet).unwrap();
            line.push(octet[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_ascii_lowercase()
    }

    fn answer(&mut self) -> Vec<Seen> {
        assert_eq!(self.line(), "http/1.1 200 ok");
        let mut length = None;
        loop {
            let line = self.line();
            match line.strip_prefix("content-length: ") {
                _ if line.is_empty() => break,
                Some(digits) => length = Some(digits.parse::<usize>().unwrap()),
                None => {}
            }
        }
        let mut body = Vec::new();
        loop {
            let n = length.unwrap_or_else(|| usize::from_str_radix(&self.line(), 16).unwrap());
            let at = body.len();
            body.resize(at + n, 0);
            self.socket.read_exact(&mut body[at..]).unwrap();
            if length.is_some() {
                break;
            }
            assert_eq!(self.line(), "");
            if n == 0 {
                break;
            }
        }
        let seen = seen(&body);
        assert_eq!(seen.last(), Some(&Seen::End(Status::Ok)), "{seen:?}");
        seen
    }

    /// Sends `messages`, then parks until `wanted` finds a message in an answer.
    fn until<T>(&mut self, messages: &[u8], wanted: impl Fn(&Seen) -> Option<T>) -> T {
        let mut messages = messages;
        loop {
            self.request(messages);
            if let Some(found) = self.answer().iter().find_map(&wanted) {
                return found;
            }
            messages = b"";
        }
    }
}

#[test]
fn client_with_a_single_socket_exchanges_data_both_ways() {
    let relay = relay();
    let server = plain_client(&relay);
    let listener = server.listen("camera:1").unwrap();
    let mut single = Single::new(&relay);
    let endpoint = "camera:1".parse::<Endpoint>().unwrap();
    let connect = encoded(&Message::ConnectReq(Connect {
        channel: ChannelRef { id: 7, token: 77 },
        kind: ChannelKind::plain(Kind::Stream),
        port: endpoint.port,
        limit: RING,
        linger_ms: 60_000,
        name: endpoint.name,
        greeting: b"",
    }));
    let route = single.until(&connect, |seen| match seen {
        Seen::ConnectRsp(from, Status::Ok, channel, _) => {
            Some(Route { peer: from.peer, channel: *channel })
        }
        _ => None,
    });
    // An acknowledgement alone does not end the park.
    single.request(&to(&route, &Message::ReceiveReq(window(0, RING, 0))));
    let mut stream = listener.accept_timeout(LONG).unwrap();
    std::io::Write::write_all(&mut stream, b"who is there?").unwrap();
    let first = single.answer();
    let says = |seen: &Seen, at: u64, what: &[u8]| matches!(seen, Seen::Data(offset, _, bytes) if *offset == at && bytes == what);
    assert!(first.contains(&Seen::Verdict(Status::Delivered)), "{first:?}");
    assert!(first.iter().any(|seen| says(seen, 0, b"who is there?")), "{first:?}");

    // The client has messages while its park waits.
    single.request(&to(&route, &Message::ReceiveReq(window(13, 13 + RING, 0))));
    single.speak();
    single.answer();
    let hello = data(&route, 0, DataFlags::FIN, b"it is me");
    single.until(&hello, |seen| (*seen == Seen::Verdict(Status::Delivered)).then_some(()));
    let mut heard = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut heard).unwrap();
    assert_eq!(heard, b"it is me");
}
