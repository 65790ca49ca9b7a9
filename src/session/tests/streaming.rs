//! Answers that stay open: when the session asks for them, when they are late, and how
//! acknowledgements go meanwhile.

use super::*;
use crate::session::{Pace, Wake};
use crate::wire::{HelloFlags, Tick};

/// Silence in ms, beyond the time announced, after which an answer is late when no round trip was
/// measured.
const LATE: std::ops::RangeInclusive<u64> = 250..=500;

/// The longest hold of a park while there is traffic, in ms.
const ACTIVE_HOLD: u32 = 5_000;
/// How long after the last traffic a session is idle, in ms.
const IDLE_AFTER: u64 = 30_000;
/// How long beyond its hold a park may be silent, in ms.
const GRACE: u32 = 2_000;

/// The holds that the session may choose where the timers say `most`.
fn holds(most: u32) -> std::ops::RangeInclusive<u32> {
    most - most / 5..=most
}

fn tick(age_ms: u32, next_ms: u32) -> Message<'static> {
    Message::Tick(Tick { age_ms, next_ms })
}

fn flags(request: &Request) -> HelloFlags {
    let Some(Message::Hello(hello)) = request.messages.first() else { panic!("no HELLO") };
    hello.flags
}

fn streams(request: &Request) -> bool {
    flags(request).has(HelloFlags::STREAM)
}

impl Bench {
    /// Begins a park, and an answer that stays open.
    pub(super) fn stream(&mut self) -> Request {
        let request = self.begin(Lane::Park).expect("a park");
        assert!(streams(&request));
        let answer = Answer::to(&request.exchange).message(&tick(0, 100));
        self.feed(Lane::Park, &answer.0).unwrap();
        request
    }

    /// Lets time pass until the session breaks off the answer under way, and gives how much time it was.
    fn late(&mut self) -> u64 {
        let mut ms = 0;
        while !self.breaks() {
            self.pass(1);
            ms += 1;
            assert!(ms < 10_000, "nothing is late");
        }
        ms
    }

    fn paced(pace: Pace) -> Self {
        let (mut bench, _, _) = Self::connected(Kind::Stream, 100);
        let settings = Settings { pace, ..Settings::new([1; 16], 5) };
        let now = bench.now;
        bench.session().open(now, &settings);
        bench.exchange(Lane::Send, |answer| answer);
        bench.connect(Kind::Stream);
        bench
    }

    fn hold(&mut self) -> u32 {
        let park = self.begin(Lane::Park).expect("a park");
        let Some(Message::Hello(hello)) = park.messages.first().copied() else {
            panic!("no HELLO")
        };
        self.answer(Lane::Park, &Answer::to(&park.exchange).message(&Message::Ready(PEER)).ok());
        hello.hold_ms
    }
}

#[test]
fn parks_stream_while_there_is_traffic() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    let request = bench.stream();
    bench.answer(Lane::Park, &Answer(Vec::new()).end(Status::Ok).0);
    assert!(holds(ACTIVE_HOLD).contains(&(request.exchange.silence_ms - GRACE)));
    bench.pass(IDLE_AFTER);
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)), "idle");
    assert_eq!(bench.session().stats().streams, 1);
}

#[test]
fn other_paces_do_not_stream_and_a_battery_waits_longer() {
    for (pace, active_for, idle) in
        [(Pace::LongPoll, IDLE_AFTER, 28_000), (Pace::Battery, 5_000, 120_000)]
    {
        let mut bench = Bench::paced(pace);
        assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
        assert!(holds(ACTIVE_HOLD).contains(&bench.hold()));
        bench.pass(active_for - 1);
        assert!(holds(ACTIVE_HOLD).contains(&bench.hold()));
        bench.pass(1);
        assert!(holds(idle).contains(&bench.hold()));
        assert_eq!(bench.session().stats().streams, 0);
    }
}

#[test]
fn late_answer_is_broken_off_and_counts_as_no_failure() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    // The answer does not begin.
    assert!(streams(&bench.begin(Lane::Park).unwrap()));
    let late = bench.late();
    assert!(LATE.contains(&late), "{late}");
    bench.fail(Lane::Park, Blocked::Cut);
    assert_eq!(bench.events(), []);
    // The answer begins, and nothing follows.
    bench.stream();
    let late = bench.late();
    assert!(LATE.contains(&(late - 100)), "{late}");
    bench.fail(Lane::Park, Blocked::Cut);
    assert_eq!(bench.session().stats().late, 2);
}

#[test]
fn late_answers_are_broken_off_at_different_times() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    let mut late = Vec::new();
    for _ in 0..40 {
        assert!(streams(&bench.begin(Lane::Park).unwrap()));
        late.push(bench.late());
        bench.fail(Lane::Park, Blocked::Cut);
        let now = bench.now;
        bench.session().network_changed(now);
    }
    let (first, last) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(last - first > 150 && LATE.contains(first) && LATE.contains(last), "{late:?}");
}

#[test]
fn long_polls_take_the_place_of_answers_that_were_late_twice_for_half_a_minute() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 100);
    for _ in 0..2 {
        assert!(streams(&bench.begin(Lane::Park).unwrap()));
        bench.late();
        bench.fail(Lane::Park, Blocked::Cut);
    }
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
    bench.pass(IDLE_AFTER);
    let now = bench.now;
    bench.session().write(now, id, b"x").unwrap();
    bench.exchange(Lane::Send, |answer| answer);
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)), "it is not quiet");
    bench.pass(1_000);
    bench.stream();
}

#[test]
fn cuts_count_as_late_and_a_new_network_forgives() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    for _ in 0..2 {
        bench.stream();
        bench.fail(Lane::Park, Blocked::Cut);
        bench.pass(PAUSE);
    }
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
    let now = bench.now;
    bench.session().network_changed(now);
    bench.stream();
}

#[test]
fn prompt_answer_clears_the_late_one_before() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    for _ in 0..4 {
        bench.stream();
        bench.fail(Lane::Park, Blocked::Cut);
        bench.pass(2_000);
        bench.stream();
        bench.pass(100);
        bench.feed(Lane::Park, &Answer(Vec::new()).message(&tick(100, 1_000)).0).unwrap();
        bench.answer(Lane::Park, &Answer(Vec::new()).end(Status::Ok).0);
        // The park was answered early and empty: a pause follows.
        bench.pass(2_000);
    }
    bench.stream();
}

#[test]
fn answer_held_back_again_and_again_is_late() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 100);
    for _ in 0..2 {
        let request = bench.begin(Lane::Park).unwrap();
        assert!(streams(&request));
        let answer = Answer::to(&request.exchange).message(&tick(0, 100));
        bench.feed(Lane::Park, &answer.0).unwrap();
        for age in [100, 1_100] {
            assert!(bench.begin(Lane::Send).is_none(), "it is waited for");
            bench.pass(if age == 100 { 300 } else { 1_000 });
            bench.feed(Lane::Park, &Answer(Vec::new()).message(&tick(age, 1_000)).0).unwrap();
        }
        assert!(!bench.breaks(), "what comes in time is not broken");
        let wake = bench.exchange(Lane::Send, |answer| answer);
        assert_eq!(flags(&wake), HelloFlags::WAKE, "it is ended at once");
        bench.answer(Lane::Park, &Answer(Vec::new()).end(Status::Ok).0);
    }
    assert_eq!(bench.session().stats().late, 2);
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
}

/// Haproxy holds back from the first octet on.
#[test]
fn path_that_holds_back_is_known_within_half_a_second() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 100);
    let begun = bench.now;
    let ended_early = |bench: &mut Bench| {
        let request = bench.begin(Lane::Park).unwrap();
        assert!(streams(&request));
        bench.pass(204);
        let held = Answer::to(&request.exchange).message(&tick(0, 100)).message(&tick(100, 1_000));
        bench.feed(Lane::Park, &held.0).unwrap();
        let wake = bench.exchange(Lane::Send, |answer| answer);
        assert_eq!(flags(&wake), HelloFlags::WAKE);
        bench.answer(Lane::Park, &Answer(Vec::new()).end(Status::Ok).0);
    };
    ended_early(&mut bench);
    ended_early(&mut bench);
    assert!(bench.now - begun < 500);
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
    // The next try waits for quiet, and one late answer is enough.
    bench.pass(31_000);
    let now = bench.now;
    bench.session().write(now, id, b"x").unwrap();
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 1));
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
    bench.pass(1_000);
    ended_early(&mut bench);
    assert!(!streams(&bench.exchange(Lane::Park, |answer| answer)));
    assert_eq!((bench.session().stats().late, bench.session().stats().streams), (3, 3));
}

#[test]
fn large_transfers_lag_without_being_ended() {
    let (mut bench, _, local) =
        Bench::of(&Profile { ring: 64 << 10, ..SMALL }).reach().join(Kind::Stream, 100);
    let request = bench.begin(Lane::Park).unwrap();
    assert!(streams(&request));
    bench.pass(204);
    let held = Answer::to(&request.exchange)
        .from(PEER, local)
        .stream(0, &[1; 16 << 10])
        .message(&tick(0, 100))
        .message(&tick(100, 1_000));
    bench.feed(Lane::Park, &held.0).unwrap();
    let said = bench.begin(Lane::Send).map(|request| flags(&request));
    assert!(said.is_none_or(|flags| flags == HelloFlags::NONE), "{said:?}");
}

#[test]
fn acknowledgements_go_by_sends_while_an_answer_is_open() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 100);
    bench.stream();
    bench
        .feed(Lane::Park, &Answer(Vec::new()).from(PEER, local).stream(0, b"ten octets").0)
        .unwrap();
    assert!(bench.begin(Lane::Send).is_none(), "they wait for company");
    bench.pass(99);
    assert!(bench.begin(Lane::Send).is_none());
    bench.pass(1);
    let windows = bench.exchange(Lane::Send, |answer| answer).windows();
    assert_eq!((windows.len(), windows[0].ack, windows[0].now), (1, 10, false));
    assert!(bench.begin(Lane::Send).is_none());
    // Acknowledgements go along with data.
    bench.feed(Lane::Park, &Answer(Vec::new()).from(PEER, local).stream(10, b"x").0).unwrap();
    let now = bench.now;
    bench.session().write(now, id, b"x").unwrap();
    let request = bench.exchange(Lane::Send, |answer| answer.verdict(4, Status::Delivered, 1));
    assert_eq!((request.windows()[0].ack, request.data()[0].0), (11, 4), "before the data");
    // An acknowledgement of half the ring goes at once.
    bench.feed(Lane::Park, &Answer(Vec::new()).from(PEER, local).stream(11, &[1; 127]).0).unwrap();
    assert!(bench.begin(Lane::Send).is_none());
    bench.feed(Lane::Park, &Answer(Vec::new()).from(PEER, local).stream(138, b"x").0).unwrap();
    assert_eq!(bench.exchange(Lane::Send, |answer| answer).windows()[0].ack, 139);
    // A limit that rises by reading goes at once.
    assert!(bench.begin(Lane::Send).is_none());
    assert_eq!(bench.read(id).len(), 139);
    let windows = bench.exchange(Lane::Send, |answer| answer).windows();
    assert_eq!((windows.len(), windows[0].limit, windows[0].now), (1, 256 + 139, true));
    // The acknowledgement that is left goes with the next park.
    bench.feed(Lane::Park, &Answer(Vec::new()).from(PEER, local).stream(139, b"x").0).unwrap();
    bench.answer(Lane::Park, &Answer(Vec::new()).end(Status::Ok).0);
    bench.pass(100);
    assert!(bench.begin(Lane::Send).is_none());
    assert_eq!(bench.begin(Lane::Park).unwrap().windows()[0].ack, 140);
}

/// A wake-up costs the sending lane more than its work.
#[test]
fn received_data_wake_the_sending_lane_only_for_work() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 100);
    bench.stream();
    let now = bench.now;
    bench.session().write(now, id, b"x").unwrap();
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 1));
    while bench.session().poll_wake().is_some() {}
    assert!(bench.session().poll_timeout(Lane::Send).is_some_and(|at| at <= now + 100));
    // The peer answers, and acknowledges the question.
    let acked = |ack, limit| Window { ack, limit, ..Window::default() };
    let answer = Answer(Vec::new()).from(PEER, local).window(acked(1, 101)).stream(0, b"y");
    bench.feed(Lane::Park, &answer.0).unwrap();
    let wakes: Vec<_> = core::iter::from_fn(|| bench.session().poll_wake()).collect();
    assert_eq!(wakes, [Wake::SendBy(now + 100), Wake::Channel(id.slot())]);
    // Data wait for the window.
    bench.session().write(now, id, &[1; 256]).unwrap();
    bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 100));
    while bench.session().poll_wake().is_some() {}
    let answer = Answer(Vec::new()).from(PEER, local).window(acked(101, 201));
    bench.feed(Lane::Park, &answer.0).unwrap();
    assert!(core::iter::from_fn(|| bench.session().poll_wake()).any(|wake| wake == Wake::Send));
}
