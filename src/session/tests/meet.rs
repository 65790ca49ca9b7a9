//! Listening and connecting, and the refusals of either.

use super::*;
use crate::error::{ConfigError, Error, PeerError, ResourceError};
use crate::session::ListenerId;
use crate::wire::{Close, ListenRsp, MAX_GREETING};

fn listen(bench: &mut Bench, at: &str) -> Result<ListenerId, Error> {
    let now = bench.now;
    bench.session().listen(now, at.parse().unwrap(), Kind::Stream, 1)
}

/// Makes a park with LISTEN_RSP in its answer, and gives the epoch that it claimed.
fn granted(bench: &mut Bench, id: ListenerId, status: Status, epoch: u64) -> Option<u64> {
    let rsp = Message::ListenRsp(ListenRsp { claim: id.0, status, epoch });
    let park = bench.exchange(Lane::Park, |answer| answer.message(&rsp));
    park.messages.iter().find_map(|message| match message {
        Message::ListenReq(req) if req.claim == id.0 => Some(req.epoch),
        _ => None,
    })
}

#[test]
fn endpoint_is_claimed_once_and_claims_are_bounded() {
    let mut bench = Bench::reached();
    let first = listen(&mut bench, "camera:1").unwrap();
    assert_eq!(listen(&mut bench, "camera:1"), Err(ConfigError::Duplicate.into()));
    listen(&mut bench, "camera:2").unwrap();
    assert_eq!(listen(&mut bench, "camera:3"), Err(ResourceError::Listeners.into()));
    let now = bench.now;
    bench.session().unlisten(now, first);
    let again = listen(&mut bench, "camera:1").unwrap();
    assert_eq!(again.slot(), first.slot());
    assert_ne!(again, first);
    assert_eq!(bench.session().listening(first), Err(Error::Closed));
    assert_eq!(bench.session().accept(now, first), Err(Error::Closed));
    bench.session().unlisten(now, first);
    assert_eq!(bench.session().listening(again), Ok(false));
}

#[test]
fn claim_in_use_is_refused() {
    for (status, error) in [
        (Status::InUse, ConfigError::InUse.into()),
        (Status::Limited, ResourceError::Relay.into()),
        (Status::Forbidden, ConfigError::Forbidden.into()),
    ] {
        let mut bench = Bench::reached();
        let id = listen(&mut bench, "camera:1").unwrap();
        granted(&mut bench, id, status, 0);
        assert_eq!(bench.session().listening(id), Err(error));
        assert_eq!(bench.events(), [Event::ListenerLost(id)]);
        assert!(bench.begin(Lane::Park).is_none(), "it is claimed no more");
    }
}

#[test]
fn granted_claim_that_another_owner_took_is_in_use() {
    let mut bench = Bench::reached();
    let id = listen(&mut bench, "camera:1").unwrap();
    granted(&mut bench, id, Status::Ok, 0);
    assert_eq!(bench.session().listening(id), Ok(true));
    granted(&mut bench, id, Status::InUse, 0);
    assert_eq!(bench.session().listening(id), Err(ConfigError::InUse.into()));
    assert_eq!(bench.events(), [Event::ListenerLost(id)]);
}

#[test]
fn taken_raises_the_epoch_of_a_claim_never_granted() {
    let mut bench = Bench::reached();
    let id = listen(&mut bench, "camera:1").unwrap();
    assert_eq!(granted(&mut bench, id, Status::Taken, 50), Some(0));
    assert_eq!(bench.session().listening(id), Ok(false));
    // A late word of the same holder, whose epoch the claim is above by then.
    assert_eq!(granted(&mut bench, id, Status::Taken, 50), Some(51));
    assert_eq!(bench.session().listening(id), Ok(false));
    assert_eq!(granted(&mut bench, id, Status::Ok, 51), Some(51));
    assert_eq!(bench.session().listening(id), Ok(true));
    // A claim that was granted gives way to a higher epoch only.
    assert_eq!(granted(&mut bench, id, Status::Taken, 50), Some(51));
    assert_eq!(bench.session().listening(id), Ok(true));
    granted(&mut bench, id, Status::Taken, 52);
    assert_eq!(bench.session().listening(id), Err(ConfigError::Taken.into()));
    assert_eq!(bench.events(), [Event::ListenerLost(id)]);
}

/// Has [`PEER`] connect, and gives the session's answer with its end of the channel.
fn arrives(bench: &mut Bench, from: u32, at: &str, kind: Kind) -> (Status, ChannelRef) {
    let channel = ChannelRef { id: from, token: 1 };
    bench.exchange(Lane::Park, |a| a.arrival(channel, at.parse().unwrap(), kind));
    let send = bench.exchange(Lane::Send, |answer| answer);
    assert!(send.says(&Message::Route(Route { peer: PEER, channel })));
    let accept = send.messages.iter().find_map(|message| match message {
        Message::AcceptRsp(accept) => Some((accept.status, accept.channel)),
        _ => None,
    });
    accept.expect("an ACCEPT_RSP")
}

#[test]
fn connection_is_accepted_or_refused_with_the_cause() {
    let mut bench = Bench::reached();
    let id = listen(&mut bench, "camera:1").unwrap();
    let refusal = |status| (status, ChannelRef::NONE);
    assert_eq!(arrives(&mut bench, 1, "camera:2", Kind::Stream), refusal(Status::NoListener));
    assert_eq!(arrives(&mut bench, 1, "camera:1", Kind::Datagram), refusal(Status::WrongKind));
    let (status, local) = arrives(&mut bench, 1, "camera:1", Kind::Stream);
    assert_eq!(status, Status::Ok);
    // A repeat gets the same answer; another connection finds the backlog of 1 full.
    assert_eq!(arrives(&mut bench, 1, "camera:1", Kind::Stream), (Status::Ok, local));
    assert_eq!(arrives(&mut bench, 2, "camera:1", Kind::Stream), refusal(Status::BacklogFull));
    let now = bench.now;
    assert_eq!(bench.session().accept(now, id), Ok(None), "the connector has not spoken");
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, b"first"));
    let channel = bench.session().accept(now, id).unwrap().expect("a connection");
    assert_eq!(bench.session().greeting(channel), Ok(&b"hi"[..]));
    assert_eq!(bench.session().peer(channel), Ok(PEER));
    assert_eq!(bench.read(channel), b"first");
}

/// A greeting of the longest size, of octets that differ.
fn longest() -> [u8; MAX_GREETING] {
    core::array::from_fn(|i| i as u8)
}

fn listen_greeting(bench: &mut Bench, greeting: &[u8]) -> Result<ListenerId, Error> {
    let now = bench.now;
    bench.session().listen_greeting(now, endpoint(), Kind::Stream, 2, greeting)
}

/// Has [`PEER`] connect from an end of this id, and gives the request that answers.
fn answers(bench: &mut Bench, from: u32) -> Request {
    let channel = ChannelRef { id: from, token: 1 };
    bench.exchange(Lane::Park, |a| a.arrival(channel, endpoint(), Kind::Stream));
    bench.begin(Lane::Send).expect("an ACCEPT_RSP")
}

#[test]
fn connections_and_their_repeats_are_answered_with_the_greeting_of_the_listener() {
    for greeting in [&longest()[..], b"x", b""] {
        let mut bench = Bench::reached();
        listen_greeting(&mut bench, greeting).unwrap();
        for from in [1, 1, 2] {
            let request = answers(&mut bench, from);
            assert_eq!(request.answers, [greeting]);
            bench.answer(Lane::Send, &Answer::to(&request.exchange).ok());
        }
    }
}

#[test]
fn refusal_has_no_greeting_of_a_listener() {
    let mut bench = Bench::reached();
    listen_greeting(&mut bench, b"ho").unwrap();
    let channel = ChannelRef { id: 1, token: 1 };
    bench.exchange(Lane::Park, |a| a.arrival(channel, endpoint(), Kind::Datagram));
    let request = bench.begin(Lane::Send).expect("an ACCEPT_RSP");
    assert_eq!(request.answers, [b""]);
}

#[test]
fn listener_has_no_greeting_of_the_one_before() {
    let mut bench = Bench::reached();
    let first = listen_greeting(&mut bench, b"first").unwrap();
    let now = bench.now;
    bench.session().unlisten(now, first);
    let second = bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
    assert_eq!(second.slot(), first.slot());
    assert_eq!(answers(&mut bench, 1).answers, [b""]);
}

#[test]
fn greeting_of_a_listener_is_bounded_and_takes_no_listener() {
    let mut bench = Bench::reached();
    for _ in 0..=SMALL.listeners {
        let long = listen_greeting(&mut bench, &[0; MAX_GREETING + 1]);
        assert_eq!(long, Err(ConfigError::Greeting.into()));
    }
    listen_greeting(&mut bench, &longest()).unwrap();
}

#[test]
fn answer_of_a_listener_closed_since_it_was_planned_is_padding() {
    let mut bench = Bench::reached();
    let id = listen_greeting(&mut bench, b"ho").unwrap();
    let (_, local) = arrives(&mut bench, 1, "camera:1", Kind::Stream);
    let channel = ChannelRef { id: 1, token: 1 };
    bench.exchange(Lane::Park, |a| a.arrival(channel, endpoint(), Kind::Stream));
    let now = bench.now;
    let exchange = bench.session().poll_exchange(now, Lane::Send).expect("the repeat");
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, b"first"));
    let accepted = bench.session().accept(now, id).unwrap().expect("a connection");
    bench.session().unlisten(now, id);
    let mut body = vec![0; exchange.len + 1];
    let n = bench.session().poll_body(now, Lane::Send, &mut body);
    let request = Request::parse(exchange, &body[..n]);
    assert!(request.answers.is_empty());
    bench.answer(Lane::Send, &Answer::to(&request.exchange).ok());
    assert_eq!(bench.read(accepted), b"first");
}

/// Has [`PEER`] connect, send and abort.
fn arrives_and_aborts(bench: &mut Bench, from: u32, at: &str, bytes: &[u8]) {
    let (status, local) = arrives(bench, from, at, Kind::Stream);
    assert_eq!(status, Status::Ok);
    let abort = Message::CloseReq(Close { status: Status::Aborted, offset: 0 });
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).stream(0, bytes).message(&abort));
}

#[test]
fn aborted_connection_with_data_is_accepted_and_counts_in_the_backlog() {
    let mut bench = Bench::reached();
    let id = listen(&mut bench, "camera:1").unwrap();
    arrives_and_aborts(&mut bench, 1, "camera:1", b"first");
    let full = arrives(&mut bench, 2, "camera:1", Kind::Stream);
    assert_eq!(full, (Status::BacklogFull, ChannelRef::NONE));
    let now = bench.now;
    let channel = bench.session().accept(now, id).unwrap().expect("a connection");
    assert_eq!(bench.session().accept(now, id), Ok(None));
    assert_eq!(bench.read(channel), b"first");
    let aborted = Error::from(PeerError::Aborted { received: 0 });
    assert_eq!(bench.session().read(now, channel, &mut [0; 8]), Err(aborted));
    bench.session().release(now, channel);
    assert_eq!(arrives(&mut bench, 2, "camera:1", Kind::Stream).0, Status::Ok);
}

#[test]
fn aborted_connection_without_data_is_not_accepted() {
    let mut bench = Bench::reached();
    let id = listen(&mut bench, "camera:1").unwrap();
    arrives_and_aborts(&mut bench, 1, "camera:1", b"");
    let now = bench.now;
    assert_eq!(bench.session().accept(now, id), Ok(None));
    assert_eq!(arrives(&mut bench, 2, "camera:1", Kind::Stream).0, Status::Ok);
}

#[test]
fn closed_listener_frees_an_aborted_connection() {
    let mut bench = Bench::reached();
    let id = listen(&mut bench, "camera:1").unwrap();
    arrives_and_aborts(&mut bench, 1, "camera:1", b"first");
    let now = bench.now;
    bench.session().unlisten(now, id);
    // Both slots are free again.
    bench.connect(Kind::Stream);
    bench.connect(Kind::Stream);
}

#[test]
fn verdict_refuses_a_connection() {
    for (status, error) in [
        (Status::NoListener, PeerError::NoListener.into()),
        (Status::WrongKind, ConfigError::WrongKind.into()),
        (Status::Limited, ResourceError::Relay.into()),
        (Status::Forbidden, ConfigError::Forbidden.into()),
    ] {
        let mut bench = Bench::reached();
        let id = bench.connect(Kind::Stream);
        let request = bench.begin(Lane::Send).unwrap();
        let (index, _) = request.connect().unwrap();
        let answer = Answer::to(&request.exchange).verdict(index, status, 0);
        bench.answer(Lane::Send, &answer.ok());
        assert_eq!(bench.session().connected(id), Err(error));
    }
}

#[test]
fn verdict_puts_a_connection_off() {
    for (status, cause) in [
        (Status::Away, PeerError::Away.into()),
        (Status::Busy, PeerError::Away.into()),
        (Status::Retry, PeerError::NoListener.into()),
        (Status::Delivered, Error::TimedOut),
    ] {
        let mut bench = Bench::reached();
        let id = bench.connect(Kind::Stream);
        let request = bench.begin(Lane::Send).unwrap();
        let (index, _) = request.connect().unwrap();
        let answer = Answer::to(&request.exchange).verdict(index, status, 0);
        bench.answer(Lane::Send, &answer.ok());
        assert_eq!(bench.session().connected(id), Ok(false));
        assert_eq!(bench.session().connect_cause(id), cause);
        bench.pass(PAUSE);
        bench.dial(Status::Ok, 1);
        assert_eq!(bench.session().connected(id), Ok(true));
        assert_eq!(bench.session().greeting(id), Ok(&b"ho"[..]));
    }
}

#[test]
fn listener_refuses_a_connection() {
    for (status, error) in [
        (Status::NoListener, Error::from(PeerError::NoListener)),
        (Status::BacklogFull, PeerError::BacklogFull.into()),
        (Status::WrongKind, ConfigError::WrongKind.into()),
    ] {
        let mut bench = Bench::reached();
        let id = bench.connect(Kind::Stream);
        bench.dial(status, 0);
        assert_eq!(bench.session().connected(id), Err(error), "{status:?}");
        let now = bench.now;
        assert_eq!(bench.session().write(now, id, b"x"), Err(error));
        bench.session().release(now, id);
        assert_eq!(bench.session().connected(id), Err(Error::Closed));
        assert!(bench.begin(Lane::Send).is_none(), "nobody is told");
    }
}

#[test]
fn channels_are_bounded_and_released_handles_are_refused() {
    let mut bench = Bench::reached();
    let (a, b) = (bench.connect(Kind::Stream), bench.connect(Kind::Stream));
    assert_ne!(a.slot(), b.slot());
    let now = bench.now;
    let full = bench.session().connect(now, endpoint(), Kind::Stream, b"");
    assert_eq!(full, Err(ResourceError::Channels.into()));
    let long = bench.session().connect(now, endpoint(), Kind::Stream, &[0; 97]);
    assert_eq!(long, Err(ConfigError::Greeting.into()));
    bench.session().release(now, a);
    let c = bench.connect(Kind::Stream);
    assert_eq!(c.slot(), a.slot());
    let mut session = bench.session();
    let mut out = [0; 8];
    assert_eq!(session.connected(a), Err(Error::Closed));
    assert_eq!(session.write(now, a, b"x"), Err(Error::Closed));
    assert_eq!(session.read(now, a, &mut out), Err(Error::Closed));
    assert_eq!(session.send_datagram(now, a, b"x"), Err(Error::Closed));
    assert_eq!(session.channel_stats(a), Err(Error::Closed));
    session.release(now, a);
    session.abort(now, a);
    assert_eq!(session.connected(c), Ok(false));
    assert_eq!(session.connected(ChannelId(u32::MAX)), Err(Error::Closed));
}
