//! Statuses in messages where the protocol does not have them.

use super::*;
use crate::error::{ConfigError, Error, PeerError, ResourceError, TransportError};
use crate::wire::{Close, Closed, ListenRsp};

/// The error of a channel whose peer broke the protocol.
const PROTOCOL: Error = Error::Peer(PeerError::Protocol { acked: 0 });

/// The application's view of a connection that is answered so.
fn connected(from: Address, status: Status, channel: ChannelRef) -> Result<bool, Error> {
    let mut bench = Bench::reached();
    let id = bench.connect(Kind::Stream);
    let request = bench.begin(Lane::Send).unwrap();
    let (_, local) = request.connect().unwrap();
    let accept = Accept { status, channel, limit: 1, linger_ms: 1, greeting: b"" };
    let answer = Answer::to(&request.exchange).from(from, local);
    bench.answer(Lane::Send, &answer.message(&Message::ConnectRsp(accept)).ok());
    bench.session().connected(id)
}

#[test]
fn connect_rsp_has_only_its_statuses() {
    for &status in Status::ALL {
        let refused = match status {
            Status::NoListener => PeerError::NoListener.into(),
            Status::BacklogFull => PeerError::BacklogFull.into(),
            Status::WrongKind => ConfigError::WrongKind.into(),
            Status::WrongSecurity => ConfigError::PeerEncrypts.into(),
            Status::Handshake => PeerError::Handshake.into(),
            _ => PROTOCOL,
        };
        let by_peer = if status == Status::Ok { Ok(true) } else { Err(refused) };
        assert_eq!(connected(PEER, status, REMOTE), by_peer, "{status:?}");
        let by_relay = match status {
            Status::Retry => Ok(false),
            Status::Limited => Err(ResourceError::Relay.into()),
            Status::Forbidden => Err(ConfigError::Forbidden.into()),
            _ => Err(refused),
        };
        assert_eq!(connected(Address::RELAY, status, REMOTE), by_relay, "{status:?} by the relay");
    }
    assert_eq!(connected(PEER, Status::Ok, ChannelRef::NONE), Err(PROTOCOL), "it names no end");
}

/// The application's view of a connected stream when [`PEER`] sends the message.
fn ended(message: impl Fn(ChannelRef) -> Message<'static>) -> Result<bool, Error> {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    let is_close_rsp = matches!(message(local), Message::CloseRsp(_));
    let to = if is_close_rsp { ChannelRef::NONE } else { local };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, to).message(&message(local)));
    bench.session().connected(id)
}

#[test]
fn close_req_has_only_its_statuses() {
    for &status in Status::ALL {
        let expected = match status {
            Status::Closed => PeerError::Closed.into(),
            Status::Aborted => PeerError::Aborted { received: 0 }.into(),
            Status::Linger => PeerError::GaveUp { received: 0 }.into(),
            Status::Handshake => PeerError::Handshake.into(),
            Status::WrongKey => PeerError::KeyRefused.into(),
            Status::Tampered => TransportError::TamperedThere { received: 0 }.into(),
            _ => PROTOCOL,
        };
        let told = ended(|_| Message::CloseReq(Close { status, offset: 0 }));
        assert_eq!(told, Err(expected), "{status:?}");
    }
}

#[test]
fn close_rsp_has_only_its_statuses() {
    for &status in Status::ALL {
        let expected = match status {
            Status::Closed => PeerError::Closed.into(),
            Status::Unknown => PeerError::Unknown { acked: 0 }.into(),
            _ => PROTOCOL,
        };
        let told = ended(|_| Message::CloseRsp(Closed { status, channel: REMOTE }));
        assert_eq!(told, Err(expected), "{status:?}");
    }
}

/// Whether the session believes an answer with that message in it.
fn is_believed(
    bench: &mut Bench,
    lane: Lane,
    message: impl FnOnce(&Request) -> Message<'static>,
) -> bool {
    let request = bench.begin(lane).expect("an exchange is due");
    let answer = Answer::to(&request.exchange).message(&message(&request)).0;
    match bench.feed(lane, &answer) {
        Ok(()) => true,
        Err(cause) => {
            assert_eq!(cause, Blocked::Foreign);
            bench.fail(lane, cause);
            false
        }
    }
}

#[test]
fn end_and_listen_rsp_with_other_statuses_are_foreign() {
    for &status in Status::ALL {
        let ends = matches!(
            status,
            Status::Ok
                | Status::Limited
                | Status::Superseded
                | Status::Repeated
                | Status::Stale
                | Status::Shutdown
                | Status::Malformed
                | Status::Version
        );
        let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
        let end = Message::End(End { status, highest: 0 });
        assert_eq!(is_believed(&mut bench, Lane::Park, |_| end), ends, "{status:?}");
        assert_eq!(bench.session().connected(id), Ok(true));

        let listens = matches!(
            status,
            Status::Ok
                | Status::InUse
                | Status::Taken
                | Status::Prove
                | Status::Unproved
                | Status::Limited
                | Status::Forbidden
                | Status::Retry
        );
        let mut bench = Bench::reached();
        let now = bench.now;
        let id = bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
        let rsp = Message::ListenRsp(ListenRsp { claim: id.0, status, epoch: 0 });
        assert_eq!(is_believed(&mut bench, Lane::Park, |_| rsp), listens, "{status:?}");
        if !listens {
            assert_eq!(bench.session().listening(id), Ok(false));
        }
    }
}

#[test]
fn verdicts_with_other_statuses_are_foreign() {
    let any = [Status::Delivered, Status::Busy, Status::Away, Status::Retry, Status::Limited];
    let verdict =
        |index: usize, status| Message::Verdict(Verdict { index: index as u16, status, bytes: 0 });
    for &status in Status::ALL {
        let (mut bench, id, _) = Bench::connected(Kind::Stream, WINDOW);
        let now = bench.now;
        bench.session().write(now, id, b"abc").unwrap();
        let of_data = |request: &Request| verdict(request.data()[0].0, status);
        let believed = is_believed(&mut bench, Lane::Send, of_data);
        assert_eq!(believed, any.contains(&status), "data: {status:?}");

        let mut bench = Bench::reached();
        bench.connect(Kind::Stream);
        let of_connect = |request: &Request| verdict(request.connect().unwrap().0, status);
        let believed = is_believed(&mut bench, Lane::Send, of_connect);
        let refusals =
            [Status::NoListener, Status::WrongKind, Status::WrongSecurity, Status::Forbidden];
        assert_eq!(believed, [&any[..], &refusals].concat().contains(&status), "{status:?}");

        let mut bench = Bench::reached();
        bench.session().listen(now, endpoint(), Kind::Stream, 1).unwrap();
        let connector = ChannelRef { id: 7, token: 7 };
        bench.exchange(Lane::Park, |answer| answer.arrival(connector, endpoint(), Kind::Stream));
        let of_accept = |request: &Request| {
            let is_accept = |m: &Message<'_>| matches!(m, Message::AcceptRsp(_));
            verdict(request.messages.iter().position(is_accept).unwrap(), status)
        };
        let believed = is_believed(&mut bench, Lane::Send, of_accept);
        let expected = any.contains(&status) || status == Status::NoListener;
        assert_eq!(believed, expected, "ACCEPT_RSP: {status:?}");
    }
}

/// Whether the next send ends the stray end of a channel.
fn ends_stray(bench: &mut Bench, peer: Address, channel: ChannelRef) -> bool {
    let send = bench.exchange(Lane::Send, |answer| answer);
    let names_ours = |m: &Message<'_>| matches!(m, Message::CloseRsp(_));
    assert!(!send.messages.iter().any(names_ours), "CLOSE_RSP names the live end");
    let close = Message::CloseReq(Close { status: Status::Aborted, offset: 0 });
    let route = Message::Route(Route { peer, channel });
    send.messages.windows(2).any(|pair| pair == [route, close])
}

#[test]
fn late_connect_rsp_ends_only_the_end_it_names() {
    let stray = ChannelRef { id: 5, token: 5 };
    for peer in [PEER, STRANGER] {
        let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
        let accept =
            Accept { status: Status::Ok, channel: stray, limit: 1, linger_ms: 1, greeting: b"" };
        bench.exchange(Lane::Park, |answer| {
            answer.from(peer, local).message(&Message::ConnectRsp(accept))
        });
        assert!(ends_stray(&mut bench, peer, stray));
        assert_eq!(bench.session().peer(id), Ok(PEER));
        // The answer to CLOSE_REQ, and a late refusal, change nothing.
        let closed = Message::CloseRsp(Closed { status: Status::Closed, channel: stray });
        let refusal = Accept { status: Status::NoListener, channel: ChannelRef::NONE, ..accept };
        bench.exchange(Lane::Park, |answer| {
            let answer = answer.from(peer, ChannelRef::NONE).message(&closed);
            answer
                .from(peer, local)
                .message(&Message::ConnectRsp(refusal))
                .from(PEER, local)
                .stream(0, b"on")
        });
        assert_eq!(bench.read(id), b"on");
        assert_eq!(bench.session().connected(id), Ok(true));
    }
}

#[test]
fn close_req_of_another_peer_ends_no_channel() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, WINDOW);
    // A second listener that accepted gives up, as its end was never confirmed.
    let close = Message::CloseReq(Close { status: Status::Aborted, offset: 0 });
    let other = STRANGER;
    bench.exchange(Lane::Park, |answer| answer.from(other, local).message(&close));
    let send = bench.exchange(Lane::Send, |answer| answer);
    let closed = Closed { status: Status::Closed, channel: local };
    assert!(send.says(&Message::CloseRsp(closed)), "it hears that it may forget it");
    assert_eq!(bench.session().connected(id), Ok(true));
}

#[test]
fn repeated_accept_req_makes_no_second_end_as_long_as_the_first_is_known() {
    let mut bench = Bench::reached();
    let now = bench.now;
    bench.session().listen(now, endpoint(), Kind::Stream, 4).unwrap();
    let connector = ChannelRef { id: 7, token: 7 };
    let ends = |bench: &mut Bench| {
        bench.exchange(Lane::Park, |answer| answer.arrival(connector, endpoint(), Kind::Stream));
        let send = bench.begin(Lane::Send)?;
        bench.answer(Lane::Send, &Answer::to(&send.exchange).ok());
        send.messages.iter().find_map(|message| match message {
            Message::AcceptRsp(accept) => Some(accept.channel),
            _ => None,
        })
    };
    let first = ends(&mut bench).expect("ACCEPT_RSP");
    assert_eq!(ends(&mut bench), Some(first));
    // The end is never confirmed: CLOSE_REQ goes out, and a repeated ACCEPT_REQ is ignored meanwhile.
    bench.pass(15_000);
    assert_eq!(ends(&mut bench), None);
    // ACCEPT_REQ without the connector's end cannot be answered.
    bench.exchange(Lane::Park, |answer| answer.arrival(ChannelRef::NONE, endpoint(), Kind::Stream));
    bench.pass(500);
    if let Some(send) = bench.begin(Lane::Send) {
        assert!(!send.messages.iter().any(|m| matches!(m, Message::AcceptRsp(_))));
    }
}
