//! Sessions with one connection, whose exchange waits and carries at once.

use super::*;
use crate::error::{ConfigError, Error};
use crate::session::{Half, Pace, Purpose, Single, Storage, Wake};
use crate::wire::{HelloFlags, MAX_SINGLE_BODY};

type One<const RING: usize, P = crate::session::Anything> = Storage<2, RING, 1, Single<P>>;

const NOW: u64 = START;
const LANE: Lane = Lane::Park;

fn opened<const RING: usize, P: Purpose>(storage: &mut One<RING, P>) -> Session<'_, Single<P>> {
    let mut session = storage.session();
    session.open(NOW, &Settings::new([1; 16], 5));
    session
}

fn begin(session: &mut Session<'_, Single>, now: u64) -> Request {
    let exchange = session.poll_exchange(now, LANE).expect("an exchange is due");
    assert_eq!(exchange.lane, LANE);
    let mut body = vec![0; exchange.len];
    assert_eq!(session.poll_body(now, LANE, &mut body), body.len());
    Request::parse(exchange, &body)
}

fn answer(session: &mut Session<'_, Single>, now: u64, answer: Answer) {
    session.handle_response(now, LANE, &answer.ok()).unwrap();
    session.handle_finished(now, LANE).unwrap();
}

fn hello(request: &Request) -> (HelloFlags, u32) {
    match request.messages[0] {
        Message::Hello(hello) => (hello.flags, hello.hold_ms),
        _ => unreachable!("a request begins with HELLO"),
    }
}

/// A session with a channel that both ends know, whose peer's window reaches to `limit`; its park under
/// way only waits.
fn connected<const RING: usize>(
    storage: &mut One<RING>,
    limit: u64,
) -> (Session<'_, Single>, ChannelId) {
    let mut session = opened(storage);
    let id = session.connect(NOW, endpoint(), Kind::Stream, b"").unwrap();
    let request = begin(&mut session, NOW);
    let (_, local) = request.connect().unwrap();
    let reply = Answer::to(&request.exchange).connected(local, Status::Ok, limit);
    answer(&mut session, NOW, reply);
    let request = begin(&mut session, NOW);
    assert_eq!(request.windows().len(), 1, "the set-up is acknowledged");
    (session, id)
}

#[test]
fn single_session_waits_and_carries_in_one_exchange() {
    let mut storage = One::<1024>::new();
    let mut session = opened(&mut storage);
    let id = session.connect(NOW, endpoint(), Kind::Stream, b"").unwrap();
    session.listen(NOW, "b:2".parse().unwrap(), Kind::Stream, 1).unwrap();
    assert_eq!(session.poll_exchange(NOW, Lane::Send), None);
    let request = begin(&mut session, NOW);
    assert!(request.connect().is_some());
    assert!(request.messages.iter().any(|m| matches!(m, Message::ListenReq(_))));
    let (flags, hold_ms) = hello(&request);
    assert!(flags.has(HelloFlags::SINGLE) && !flags.has(HelloFlags::STREAM) && hold_ms > 0);
    assert_eq!(session.poll_exchange(NOW, LANE), None, "one at a time");
    assert_eq!(session.connected(id), Ok(false));
}

#[test]
fn waiting_exchange_is_broken_off_for_data() {
    let mut storage = One::<1024>::new();
    let (mut session, id) = connected(&mut storage, 1000);
    assert_eq!(session.poll_wake(), None, "nothing to say");
    session.write(NOW, id, b"now").unwrap();
    assert_eq!(session.poll_wake(), Some(Wake::Send));
    assert_eq!(session.poll_wake(), None, "told once");
    session.break_exchange(NOW, LANE);
    assert_eq!(session.blocked(), None, "which says nothing of the path");
    let request = begin(&mut session, NOW);
    assert_eq!(request.bytes, b"now");
    session.write(NOW, id, b"then").unwrap();
    assert_eq!(session.poll_wake(), None, "its verdicts end it soon");
    let (at, _) = *request.data().iter().find(|(_, data)| data.len == 3).unwrap();
    let reply = Answer::to(&request.exchange).verdict(at, Status::Delivered, 3);
    answer(&mut session, NOW, reply);
    assert_eq!(begin(&mut session, NOW).bytes, b"then");
}

/// A park is as long as the quiet before it, and data wait for the end of a park of up to a second.
#[test]
fn words_held_back_wait_for_the_end_of_a_short_park() {
    for (quiet, waits) in [(0, true), (500, true), (1_200, true), (2_000, false), (20_000, false)] {
        let mut storage = One::<1024>::new();
        let (mut session, id) = connected(&mut storage, 1000);
        session.break_exchange(NOW, LANE);
        session.set_held_back(true);
        let (mut now, mut holds) = (NOW, Vec::new());
        loop {
            let request = begin(&mut session, now);
            let (_, hold_ms) = hello(&request);
            let quiet_ms = (now - NOW).clamp(250, 5_000) as u32;
            assert!((quiet_ms * 4 / 5..=quiet_ms).contains(&hold_ms), "{hold_ms} of {quiet_ms}");
            holds.push(hold_ms);
            if now + u64::from(hold_ms) > NOW + quiet {
                break;
            }
            now += u64::from(hold_ms);
            answer(&mut session, now, Answer::to(&request.exchange));
        }
        while session.poll_wake().is_some() {}
        session.write(NOW + quiet, id, b"now").unwrap();
        assert_eq!(session.poll_wake().is_none(), waits, "after {quiet} ms: {holds:?}");
    }
}

#[test]
fn messages_of_a_broken_exchange_are_repeated() {
    let mut storage = One::<1024>::new();
    let (mut session, id) = connected(&mut storage, 1000);
    let at = "b:2".parse().unwrap();
    session.listen(NOW, at, Kind::Stream, 1).unwrap();
    session.connect(NOW, at, Kind::Stream, b"").unwrap();
    session.write(NOW, id, b"twice").unwrap();
    session.break_exchange(NOW, LANE);
    for _ in 0..3 {
        let request = begin(&mut session, NOW);
        assert_eq!(request.bytes, b"twice");
        assert!(request.connect().is_some());
        assert!(request.messages.iter().any(|m| matches!(m, Message::ListenReq(_))));
        assert_eq!(request.windows().len(), 1);
        session.break_exchange(NOW, LANE);
    }
}

#[test]
fn probing_by_hanging_up_slows_down_as_any_probing() {
    let mut storage = One::<1024>::new();
    let (mut session, id) = connected(&mut storage, 0);
    session.write(NOW, id, b"for a full window").unwrap();
    let mut at = Vec::new();
    for now in NOW..NOW + 60_000 {
        session.handle_timeout(now);
        if session.poll_wake().is_some() {
            session.break_exchange(now, LANE);
            let request = begin(&mut session, now);
            let probe = request.data()[0].0;
            let reply = Answer::to(&request.exchange).verdict(probe, Status::Delivered, 0);
            answer(&mut session, now, reply);
            begin(&mut session, now);
            at.push(now);
        }
        assert!(session.poll_timeout(LANE).is_none_or(|due| due > now), "nothing is overdue");
    }
    assert!((10..=15).contains(&at.len()), "{at:?}");
}

#[test]
fn answer_to_a_message_is_not_awaited_for_an_idle_hold() {
    let mut storage = One::<1024>::new();
    let (mut session, id) = connected(&mut storage, 1000);
    let later = NOW + 100_000;
    session.break_exchange(later, LANE);
    begin(&mut session, later);
    session.break_exchange(later, LANE);
    let (_, idle) = hello(&begin(&mut session, later));
    session.abort(later, id);
    session.break_exchange(later, LANE);
    let request = begin(&mut session, later);
    assert!(request.messages.iter().any(|m| matches!(m, Message::CloseReq(_))));
    let (_, hold_ms) = hello(&request);
    assert!(hold_ms < idle, "{hold_ms} of {idle}");
}

#[test]
fn body_of_a_single_session_fits_what_the_relay_keeps_whole() {
    let mut storage = One::<{ 128 << 10 }>::new();
    let (mut session, id) = connected(&mut storage, 1 << 20);
    assert_eq!(session.write(NOW, id, &[7; 100_000]), Ok(100_000));
    session.break_exchange(NOW, LANE);
    let mut sent = 0;
    while sent < 100_000 {
        let request = begin(&mut session, NOW);
        assert!(request.exchange.len <= MAX_SINGLE_BODY, "{}", request.exchange.len);
        assert!(!request.bytes.is_empty());
        sent += request.bytes.len();
        let mut reply = Answer::to(&request.exchange);
        for (at, data) in request.data() {
            reply = reply.verdict(at, Status::Delivered, data.len);
        }
        answer(&mut session, NOW, reply);
    }
    assert_eq!(sent, 100_000);
}

#[test]
fn single_session_is_opened_once() {
    let mut storage = One::<1024>::new();
    let (mut session, id) = connected(&mut storage, 1000);
    session.open(NOW, &Settings::new([2; 16], 6));
    assert_eq!(session.connected(id), Ok(true));
    session.abort_all(NOW);
    session.break_exchange(NOW, LANE);
    let request = begin(&mut session, NOW);
    let reply = Answer::to(&request.exchange);
    answer(&mut session, NOW, reply.from(PEER, ChannelRef::NONE));
    let mut now = NOW;
    while !session.is_closed() {
        session.handle_timeout(now);
        if let Some(exchange) = session.poll_exchange(now, LANE) {
            session.handle_response(now, LANE, &Answer::to(&exchange).ok()).unwrap();
            session.handle_finished(now, LANE).unwrap();
        }
        now += 100;
    }
    session.open(now, &Settings::new([2; 16], 6));
    assert!(session.is_closed());
}

#[test]
fn bye_of_an_idle_single_session_is_answered_at_once() {
    let mut storage = One::<1024>::new();
    let mut session = opened(&mut storage);
    session.close(NOW);
    let request = begin(&mut session, NOW);
    let (flags, hold_ms) = hello(&request);
    assert!(flags.has(HelloFlags::BYE));
    assert_eq!(hold_ms, 0);
    answer(&mut session, NOW, Answer::to(&request.exchange));
    assert!(session.is_closed());
    assert_eq!(session.poll_exchange(NOW, LANE), None);
    assert_eq!(session.poll_timeout(LANE), None);
}

#[derive(Debug)]
struct Nothing;

impl Purpose for Nothing {
    const LISTENS: bool = false;
    const CONNECTS: bool = false;
    const DATAGRAMS: bool = false;
    const GREETS: bool = false;
}

#[derive(Debug)]
struct Streams;

impl Purpose for Streams {
    const DATAGRAMS: bool = false;
    const GREETS: bool = false;
}

#[test]
fn calls_beyond_the_purpose_are_refused() {
    let unsupported = |error: Error| matches!(error, Error::Config(ConfigError::Unsupported(_)));
    let mut storage = One::<256, Nothing>::new();
    let mut session = opened(&mut storage);
    assert!(unsupported(session.listen(NOW, endpoint(), Kind::Stream, 1).unwrap_err()));
    assert!(unsupported(session.connect(NOW, endpoint(), Kind::Stream, b"").unwrap_err()));
    let mut storage = One::<256, Streams>::new();
    let mut session = opened(&mut storage);
    assert!(unsupported(session.listen(NOW, endpoint(), Kind::Datagram, 1).unwrap_err()));
    assert!(unsupported(session.connect(NOW, endpoint(), Kind::Datagram, b"").unwrap_err()));
    assert!(unsupported(session.connect(NOW, endpoint(), Kind::Stream, b"hi").unwrap_err()));
    let answers = session.listen_greeting(NOW, endpoint(), Kind::Stream, 1, b"ho");
    assert!(unsupported(answers.unwrap_err()));
    assert!(session.listen(NOW, endpoint(), Kind::Stream, 1).is_ok());
    assert!(session.connect(NOW, endpoint(), Kind::Stream, b"").is_ok());
}

#[test]
fn bye_of_a_single_session_waits_no_longer_than_an_active_park() {
    for pace in [Pace::LongPoll, Pace::Battery] {
        let mut storage = One::<1024>::new();
        let mut session = storage.session();
        let mut settings = Settings::new([1; 16], 5);
        settings.pace = pace;
        session.open(NOW, &settings);
        let id = session.connect(NOW, endpoint(), Kind::Stream, b"").unwrap();
        let request = begin(&mut session, NOW);
        let (_, local) = request.connect().unwrap();
        let reply = Answer::to(&request.exchange).connected(local, Status::Ok, 1000);
        answer(&mut session, NOW, reply);
        let request = begin(&mut session, NOW);
        // The peer sends its FIN, and acknowledges ours.
        session.shutdown(NOW, id, Half::Write).unwrap();
        let reply = Answer::to(&request.exchange).from(PEER, local).data(0, DataFlags::FIN, b"");
        answer(&mut session, NOW, reply);
        let request = begin(&mut session, NOW);
        let (at, _) = request.data()[0];
        let reply = Answer::to(&request.exchange)
            .verdict(at, Status::Delivered, 0)
            .from(PEER, local)
            .window(Window { ack: 1, limit: 1000, ..Window::default() });
        answer(&mut session, NOW, reply);
        // The application closes after a minute of idleness.
        let mut now = NOW;
        let mut closed_at = 0;
        let mut busy: Option<(Request, u64)> = None;
        while now < NOW + 400_000 {
            session.handle_timeout(now);
            if now == NOW + 61_000 {
                session.close(now);
                closed_at = now;
                session.break_exchange(now, LANE);
                busy = None;
            }
            if let Some((request, until)) = &busy
                && now >= *until
            {
                let reply = Answer::to(&request.exchange);
                answer(&mut session, now, reply);
                busy = None;
            }
            if session.is_closed() {
                break;
            }
            if busy.is_none()
                && let Some(exchange) = session.poll_exchange(now, LANE)
            {
                let mut body = vec![0; exchange.len];
                session.poll_body(now, LANE, &mut body);
                let request = Request::parse(exchange, &body);
                let hold = u64::from(hello(&request).1);
                busy = Some((request, now + hold));
            }
            now += 100;
        }
        assert!(now - closed_at <= 10_500, "{pace:?} {}", now - closed_at);
    }
}
