//! The work of the relay's router to bring a send to a peer that is parked.

use std::hint::black_box;

use bytes::Bytes;
use byway::relay::router::{Answer, ExchangeId, Router, RouterConfig};
use byway::wire::{Address, Decoder, Hello, HelloFlags, MAX_CONTROL, Message, Piece};

use super::case::{Case, Work};
use super::codec;

pub const CASES: [Case; 4] = [
    Case::new("streaming-64", 64, |n| start(n, HelloFlags::STREAM)),
    Case::new("streaming-64K", 64 << 10, |n| start(n, HelloFlags::STREAM)),
    Case::new("long-poll-64", 64, |n| start(n, HelloFlags::NONE)),
    Case::new("long-poll-64K", 64 << 10, |n| start(n, HelloFlags::NONE)),
];

/// How long a park asks to be held, in ms: the clock stands still here.
const HOLD_MS: u32 = 5_000;

struct Relay {
    router: Router,
    now: u64,
    /// HELLO of the park begun last.
    hello: Hello,
    park: Option<ExchangeId>,
}

impl Relay {
    /// Gives the router a request; octets that it does not take yet stay in `body`.
    fn open(&mut self, body: &mut Bytes) -> ExchangeId {
        let id = self.router.handle_open(self.now);
        self.router.handle_body(self.now, id, body);
        id
    }

    /// Parks again if the last answer has ended, as that of a long poll does with each send.
    fn park(&mut self) {
        if self.park.is_none() {
            self.hello.seq += 1;
            let mut body = [0; MAX_CONTROL];
            let n = codec::write(&[Message::Hello(self.hello)], &mut body);
            let id = self.open(&mut Bytes::copy_from_slice(&body[..n]));
            self.router.handle_body_end(self.now, id);
            self.park = Some(id);
        }
    }

    /// Takes the octets of an answer that are there, and tells whether that was its end.
    fn take(&mut self, id: ExchangeId) -> bool {
        loop {
            match self.router.poll_response(self.now, id) {
                Answer::Pending => return false,
                Answer::Bytes(octets) => drop(black_box(octets)),
                Answer::End => return true,
            }
        }
    }

    fn send(&mut self, mut body: Bytes) {
        self.park();
        let id = self.open(&mut body);
        loop {
            if self.park.is_some_and(|park| self.take(park)) {
                self.park = None;
            }
            if body.is_empty() {
                break;
            }
            self.park();
            self.router.handle_body(self.now, id, &mut body);
        }
        self.router.handle_body_end(self.now, id);
        if self.park.is_some_and(|park| self.take(park)) {
            self.park = None;
        }
        assert!(self.take(id), "the send is answered");
        while self.router.poll_wake().is_some() {}
    }

    /// The address of a session, as the relay gives it.
    fn address(&mut self, secret: u8) -> Address {
        let body = codec::body(&[Message::Hello(codec::hello(secret))], 0);
        let id = self.open(&mut body.into());
        self.router.handle_body_end(self.now, id);
        let Answer::Bytes(answer) = self.router.poll_response(self.now, id) else {
            panic!("a send is answered at once");
        };
        match Decoder::new().next(&mut &answer[..]) {
            Ok(Some(Piece::Message(Message::Welcome(welcome)))) => welcome.address,
            other => panic!("{other:?}"),
        }
    }
}

fn start(n: usize, flags: HelloFlags) -> Box<dyn Work> {
    let config = RouterConfig::default();
    // The relay is no longer young: it knows its sessions.
    let now = config.grace_ms;
    let hello = Hello { flags, hold_ms: HOLD_MS, ..codec::hello(2) };
    let mut relay = Relay { router: Router::new(config, 0), now, hello, park: None };
    let peer = relay.address(2);
    let body = Bytes::from(codec::body(&codec::send_to(peer, n), n));
    Box::new(move || relay.send(body.clone()))
}
