//! Attacks that do something again and again, as fast as they can.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use byway::Kind;
use byway::wire::{
    ChannelKind, ChannelRef, Connect, Data, DataFlags, Endpoint, HelloFlags, ListenReq, Message,
    Status, Window,
};

use super::{Field, Said};
use crate::peers::Phone;
use crate::raw::{self, Body};

/// How often a stranger may wake a phone at once, by the relay's default; the phone makes two requests each.
const WAKES_AT_ONCE: u64 = 30;

/// Every request is of a session that the relay has not seen.
pub fn new_sessions(field: &Field<'_>) -> Said {
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
pub fn requests(field: &Field<'_>) -> Said {
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
pub fn guess_owner(field: &Field<'_>) -> Said {
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
        told(stream, &body, |message| match message {
            Message::ListenRsp(rsp) => matches!(rsp.status, Status::InUse | Status::Taken),
            _ => false,
        })
    });
    done.said("guesses of an owner", 200, 10)
}

/// Makes a request; how many messages of its answer tell something. An error if the relay has no place.
fn told(
    stream: &mut TcpStream,
    body: &Body,
    tells: impl Fn(&Message<'_>) -> bool,
) -> std::io::Result<u64> {
    let mut told = 0;
    let answer = raw::ask(stream, body)?;
    answer.messages(|message| told += u64::from(tells(message)));
    if answer.status == 503 {
        return Err(ErrorKind::ConnectionRefused.into());
    }
    Ok(told)
}

/// Asks for channels of the wrong kind, which tells whether somebody listens there and nobody notices.
pub fn list_names(field: &Field<'_>) -> Said {
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
        told(stream, &body, |message| match message {
            Message::Verdict(verdict) => {
                matches!(verdict.status, Status::WrongKind | Status::NoListener)
            }
            _ => false,
        })
    });
    done.said("names told", 1_000, 50)
}

/// Data for channels that an idle phone does not have.
pub fn wake_phone(field: &Field<'_>) -> Said {
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
pub fn flood_acks(field: &Field<'_>) -> Said {
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
