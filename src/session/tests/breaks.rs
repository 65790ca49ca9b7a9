//! Exchanges that are broken off, doubted, or cut behind END.

use super::*;
use crate::session::Wake;
use crate::wire::{Hello, HelloFlags, Tick};

fn tick(age_ms: u32, next_ms: u32) -> Message<'static> {
    Message::Tick(Tick { age_ms, next_ms })
}

fn hello(request: &Request) -> Hello {
    let Some(Message::Hello(hello)) = request.messages.first() else { panic!("no HELLO") };
    *hello
}

impl Bench {
    /// Whether the session wants its park broken off; takes all other wakes, too.
    pub(super) fn breaks(&mut self) -> bool {
        let wakes: Vec<_> = core::iter::from_fn(|| self.session().poll_wake()).collect();
        wakes.contains(&Wake::BreakPark)
    }

    /// Begins an idle park, and has the application write. Gives the park, and the send that doubts it.
    fn doubts(&mut self, id: ChannelId) -> (Request, Request) {
        self.pass(31_000);
        let park = self.begin(Lane::Park).expect("a park");
        assert!(hello(&park).hold_ms > 5_000, "an idle one");
        self.pass(5_000);
        let now = self.now;
        self.session().write(now, id, b"x").unwrap();
        let send = self.begin(Lane::Send).expect("data");
        assert!(hello(&send).flags.has(HelloFlags::WAKE));
        (park, send)
    }
}

#[test]
fn octets_cut_off_behind_end_are_no_loss() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    bench.events();
    for _ in 0..2 {
        let park = bench.begin(Lane::Park).unwrap();
        bench.feed(Lane::Park, &Answer::to(&park.exchange).ok()).unwrap();
        // A proxy cuts off the last chunk.
        bench.fail(Lane::Park, Blocked::Cut);
    }
    assert_eq!((bench.session().stats().failed, bench.events()), (0, vec![]));
    assert!(bench.begin(Lane::Send).is_none(), "no loss to tell of");
}

#[test]
fn octets_behind_a_break_do_not_break_the_next_park() {
    for network_changes in [false, true] {
        let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
        let park = bench.begin(Lane::Park).unwrap();
        bench.feed(Lane::Park, &Answer::to(&park.exchange).message(&tick(0, 100)).0).unwrap();
        if network_changes {
            let now = bench.now;
            bench.session().network_changed(now);
        } else {
            // Longer than announced, and than twice 250 ms.
            bench.pass(600);
            assert!(bench.breaks());
        }
        // The lane had read these octets before.
        bench.feed(Lane::Park, &Answer(Vec::new()).message(&tick(100, 1_000)).0).unwrap();
        bench.fail(Lane::Park, Blocked::Cut);
        let now = bench.now;
        assert!(bench.session().poll_exchange(now, Lane::Park).is_some());
        bench.breaks();
        bench.pass(PAUSE);
        assert!(!bench.breaks(), "its request has not gone up");
    }
}

#[test]
fn doubted_park_is_not_broken_before_the_relay_is_told() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 100);
    bench.doubts(id);
    bench.fail(Lane::Send, Blocked::Http(503));
    for _ in 0..30 {
        bench.pass(100);
        if bench.begin(Lane::Send).is_some() {
            bench.fail(Lane::Send, Blocked::Http(503));
        }
    }
    assert!(!bench.breaks());
}

#[test]
fn doubted_park_is_broken_unless_its_answer_ends() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 100);
    bench.doubts(id);
    bench.pass(1_999);
    assert!(!bench.breaks());
    bench.pass(1);
    assert!(bench.breaks());
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 100);
    let (park, _) = bench.doubts(id);
    bench.feed(Lane::Park, &Answer::to(&park.exchange).ok()).unwrap();
    bench.pass(2_000);
    assert!(!bench.breaks());
}

#[test]
fn acknowledgements_go_before_datagrams_that_fill_every_request() {
    let (mut bench, _, local) = Bench::connected(Kind::Stream, 100);
    let datagrams = bench.connect(Kind::Datagram);
    bench.dial(Status::Ok, 1 << 20);
    bench.exchange(Lane::Send, |answer| answer);
    let park = bench.begin(Lane::Park).unwrap();
    bench.feed(Lane::Park, &Answer::to(&park.exchange).message(&tick(0, 1_000)).0).unwrap();
    bench.feed(Lane::Park, &Answer(Vec::new()).from(PEER, local).stream(0, b"x").0).unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        let now = bench.now;
        while bench.session().send_datagram(now, datagrams, b"").unwrap() {}
        let request =
            bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 0));
        told.extend(request.windows());
        bench.pass(50);
    }
    assert_eq!(told.first().map(|window| window.ack), Some(1), "within 100 ms");
}

#[test]
fn listener_cannot_lengthen_linger_beyond_the_limit() {
    let mut bench = Bench::reached();
    let id = bench.connect(Kind::Stream);
    let request = bench.begin(Lane::Send).unwrap();
    let (_, local) = request.connect().unwrap();
    let linger_ms = u32::MAX;
    let accept = Accept { status: Status::Ok, channel: REMOTE, limit: 0, linger_ms, greeting: b"" };
    let answer = Answer::to(&request.exchange).from(PEER, local);
    bench.answer(Lane::Send, &answer.message(&Message::ConnectRsp(accept)).ok());
    let now = bench.now;
    bench.session().write(now, id, b"x").unwrap();
    bench.pass(249_999);
    assert_eq!(bench.session().connected(id), Ok(true), "a sparing listener may need so long");
    bench.pass(1);
    assert!(bench.session().connected(id).is_err());
}
