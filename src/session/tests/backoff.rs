//! The pauses behind exchanges that failed or brought nothing.

use super::*;

impl Bench {
    /// How long `lane` makes no exchange, in ms.
    fn pause(&mut self, lane: Lane) -> u64 {
        let now = self.now;
        self.session().poll_timeout(lane).map_or(0, |at| at.saturating_sub(now))
    }

    /// Lets the lane's pause pass.
    fn wait(&mut self, lane: Lane) {
        let pause = self.pause(lane);
        self.pass(pause);
    }

    /// Makes a send that succeeds.
    fn says_something(&mut self, id: ChannelId) {
        let now = self.now;
        self.session().write(now, id, b"x").unwrap();
        self.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 1));
    }
}

#[test]
fn success_of_a_lane_hastens_the_other_once() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1_000);
    bench.begin(Lane::Park).expect("a park");
    bench.fail(Lane::Park, Blocked::Http(403));
    assert!(bench.begin(Lane::Park).is_none());
    bench.says_something(id);
    bench.begin(Lane::Park).expect("a park at once: the path may be there again");
    let mut longest = 0;
    for _ in 0..10 {
        bench.fail(Lane::Park, Blocked::Http(403));
        bench.says_something(id);
        assert!(bench.begin(Lane::Park).is_none(), "that was in vain");
        longest = longest.max(bench.pause(Lane::Park));
        bench.wait(Lane::Park);
        bench.begin(Lane::Park).expect("a park behind the pause");
    }
    assert!((1_000..=2_000).contains(&longest), "{longest}");
}

#[test]
fn path_is_blocked_while_one_lane_fails_alone() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1_000);
    for _ in 0..3 {
        bench.wait(Lane::Park);
        bench.begin(Lane::Park).expect("a park");
        bench.fail(Lane::Park, Blocked::Http(403));
        bench.says_something(id);
    }
    assert_eq!(bench.session().blocked(), Some(Blocked::Http(403)));
    bench.wait(Lane::Park);
    bench.exchange(Lane::Park, |answer| answer);
    assert_eq!(bench.session().blocked(), None);
}

#[test]
fn parks_answered_early_and_empty_are_followed_by_pauses() {
    for status in [Status::Ok, Status::Stale, Status::Repeated] {
        let (mut bench, ..) = Bench::connected(Kind::Stream, 1_000);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let park = bench.begin(Lane::Park).expect("a park");
            bench.answer(Lane::Park, &Answer::to(&park.exchange).end(status).0);
            pauses.push(bench.pause(Lane::Park));
            bench.wait(Lane::Park);
        }
        assert_eq!(pauses[0], 0, "{status:?}: a first one may have any reason");
        assert!((50..=100).contains(&pauses[1]), "{status:?}: {pauses:?}");
        assert!((1_000..=2_000).contains(&pauses[9]), "{status:?}: {pauses:?}");
        // A park that brings a message, or waits for its hold, ends the pauses.
        bench.exchange(Lane::Park, |answer| answer.message(&Message::Ready(PEER)));
        assert_eq!(bench.pause(Lane::Park), 0);
    }
}

#[test]
fn park_ended_by_wake_is_followed_at_once() {
    let mut bench = Bench::reached();
    let now = bench.now;
    bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
    for _ in 0..4 {
        let park = bench.begin(Lane::Park).expect("a park that says the claims");
        let other = Endpoint { port: 2, ..endpoint() };
        let other = bench.session().listen(now, other, Kind::Stream, 1).unwrap();
        // The send says WAKE.
        bench.exchange(Lane::Send, |answer| answer);
        bench.answer(Lane::Park, &Answer::to(&park.exchange).ok());
        bench.session().unlisten(now, other);
    }
}

#[test]
fn data_without_verdicts_goes_again_behind_pauses() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1_000);
    let now = bench.now;
    bench.session().write(now, id, b"x").unwrap();
    for again in [false, true, true, true] {
        let request = bench.begin(Lane::Send).expect("data");
        assert_eq!(request.bytes, b"x");
        bench.answer(Lane::Send, &Answer::to(&request.exchange).ok());
        assert_eq!(bench.begin(Lane::Send).is_none(), again);
        if !again {
            bench.fail(Lane::Send, Blocked::Cut);
        }
        bench.pass(2_000);
    }
}

/// The relay counts all messages but the verdicts, which answer the request.
#[test]
fn verdicts_do_not_count_towards_max_response() {
    let mut storage = HeapStorage::new(&SMALL).unwrap();
    let settings = Settings { max_response: 512, ..Settings::new([1; 16], 5) };
    storage.session().open(START, &settings);
    let mut bench = Bench { storage, now: START }.reach();
    bench.connect(Kind::Stream);
    let request = bench.begin(Lane::Send).expect("a send");
    let answer = Answer::to(&request.exchange);
    let pad = 512 - answer.0.len() - 4 - 13;
    let answer = answer.message(&Message::Pad(pad as u32)).raw(&vec![0; pad]);
    let answer = answer.verdict(1, Status::Delivered, 0).ok();
    assert!(answer.len() > 512);
    bench.answer(Lane::Send, &answer);
}

#[test]
fn answer_longer_than_max_response_is_foreign() {
    let (mut bench, ..) = Bench::connected(Kind::Stream, 1_000);
    let park = bench.begin(Lane::Park).expect("a park");
    bench.feed(Lane::Park, &Answer::to(&park.exchange).0).unwrap();
    // 16 MiB of PAD and WELCOME still pass: they leave room for verdicts. Another MiB does not.
    let pad = [&[0x40, 0x0f, 0xff, 0xfc][..], &[0; 0xf_fffc]].concat();
    for _ in 0..16 {
        bench.feed(Lane::Park, &pad).unwrap();
    }
    assert_eq!(bench.feed(Lane::Park, &pad), Err(Blocked::Foreign));
}

#[test]
fn parks_that_bring_nothing_but_junk_pause_ever_longer() {
    let mut bench = Bench::reached();
    let now = bench.now;
    bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
    bench.exchange(Lane::Park, |answer| answer);
    let nowhere = ChannelRef { id: 1, token: 9 };
    let junk = |n: u64, answer: Answer| {
        let answer = answer.from(STRANGER, nowhere);
        if n.is_multiple_of(2) {
            answer.stream(n, b"wake up")
        } else {
            answer.window(Window::default())
        }
    };
    let (mut parks, began) = (0, bench.now);
    while bench.now < began + 60_000 {
        bench.wait(Lane::Park);
        bench.exchange(Lane::Park, |answer| junk(parks, answer));
        parks += 1;
        while bench.begin(Lane::Send).is_some_and(|send| {
            bench.answer(Lane::Send, &Answer::to(&send.exchange).ok());
            true
        }) {}
    }
    assert!((20..80).contains(&parks), "{parks} parks in a minute");
    // What is of use ends the pauses.
    let pause = |bench: &mut Bench| {
        bench.exchange(Lane::Park, |answer| {
            junk(0, answer).arrival(REMOTE, endpoint(), Kind::Stream)
        });
        bench.pause(Lane::Park)
    };
    bench.wait(Lane::Park);
    assert_eq!(pause(&mut bench), 0);
}
