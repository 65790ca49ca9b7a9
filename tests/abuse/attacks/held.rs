//! Attacks that have others hold what is scarce: the relay its memory, a listener its channels.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use byway::wire::{Data, DataFlags, HelloFlags, MAX_DATAGRAM, Message, Status, Window};

use super::{Field, SECRETS, Said};
use crate::peers::Stranger;
use crate::raw::{self, Body};

/// How many of these connections were answered, or closed, at once.
fn answered(open: &mut [TcpStream]) -> usize {
    let mut answered = 0;
    for stream in open {
        let mut octet = [0];
        let _ = stream.set_nonblocking(true);
        let waits =
            matches!(stream.read(&mut octet), Err(error) if error.kind() == ErrorKind::WouldBlock);
        answered += usize::from(!waits);
    }
    answered
}

/// Each connection says HELLO of a client with one socket, for which room for a whole body is kept.
pub fn single_hellos(field: &Field<'_>) -> Said {
    let mut open = field.connections(field.size(3_000, 8_250), |secret| {
        Body::hello(secret, 1, 60_000, HelloFlags::SINGLE).request(20_000)
    });
    field.hold();
    let of = open.len();
    Said { text: format!("{of} connections, {} answered", answered(&mut open)), ..Said::default() }
}

/// Each connection sends a datagram that lacks its last octet.
pub fn datagrams(field: &Field<'_>) -> Said {
    let peer = field.sender;
    let data = Data { offset: 0, flags: DataFlags::DATAGRAM, len: MAX_DATAGRAM as u32 };
    let mut open = field.connections(field.size(4_200, 4_200), |secret| {
        let body = Body::hello(secret, 1, 0, HelloFlags::NONE).to(peer, 7);
        body.with(Message::SendReq(data)).bytes(MAX_DATAGRAM - 1).request(1)
    });
    field.hold();
    let of = open.len();
    Said { text: format!("{of} connections, {} answered", answered(&mut open)), ..Said::default() }
}

/// Each reader takes much at first, so that the kernel grows its buffer, and then next to nothing.
pub fn slow_readers(field: &Field<'_>) -> Said {
    let most = field.size(100, 600);
    let (mut readers, mut senders) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let mut made = Vec::new();
        for part in 0..4_u64 {
            made.push(scope.spawn(move || {
                let (mut readers, mut senders) = (Vec::new(), Vec::new());
                for n in (part..most as u64).step_by(4) {
                    if !field.is_on() {
                        break;
                    }
                    let secret = SECRETS + n;
                    let made = slow_reader(field.from(1), secret);
                    if let Ok((reader, sender)) = made {
                        readers.push(reader);
                        senders.push(sender);
                    }
                }
                (readers, senders)
            }));
        }
        for made in made {
            let (some, others) = made.join().expect("no panic");
            readers.extend(some);
            senders.extend(others);
        }
    });
    field.ready.store(true, Relaxed);
    let mut last = Instant::now();
    while field.is_on() {
        thread::sleep(Duration::from_millis(20));
        if last.elapsed() > Duration::from_secs(2) {
            last = Instant::now();
            for reader in &mut readers {
                let mut octet = [0];
                let _ = reader.set_nonblocking(true);
                let _ = reader.read(&mut octet);
            }
        }
    }
    Said { text: format!("{} readers", readers.len()), ..Said::default() }
}

/// A reader that has taken 6 MB and takes no more, and the connection whose data it does not take.
fn slow_reader(relay: SocketAddr, secret: u64) -> std::io::Result<(TcpStream, TcpStream)> {
    let mut reader = raw::dial(relay)?;
    let peer = raw::address(&mut reader, secret)?;
    reader.write_all(&Body::hello(secret, 2, 280_000, HelloFlags::STREAM).request(0))?;
    let mut sender = raw::dial(relay)?;
    let data = Data { offset: 0, flags: DataFlags::NONE, len: 4_000_000 };
    let body = Body::hello(secret | 1 << 40, 1, 0, HelloFlags::NONE).to(peer, 3);
    let whole = body.with(Message::SendReq(data)).bytes(4_000_000).request(0);
    let taking = reader.try_clone()?;
    let drain = thread::spawn(move || {
        let (mut taking, mut taken) = (taking, 0);
        let mut octets = vec![0; 64 * 1024];
        while taken < 3_500_000 {
            match taking.read(&mut octets) {
                Ok(n @ 1..) => taken += n,
                Ok(_) | Err(_) => break,
            }
        }
    });
    sender.write_all(&whole)?;
    let _ = drain.join();
    let _ = raw::answer(&mut sender);
    // What the reader does not take any longer.
    sender.set_nonblocking(true)?;
    let _ = sender.write(&whole);
    Ok((reader, sender))
}

/// Sessions that park once, and then are sent as many acknowledgements as are kept for each.
pub fn kept_acks(field: &Field<'_>) -> Said {
    let most = field.size(4_000, 8_000) as u64;
    let kept = AtomicU64::new(0);
    thread::scope(|scope| {
        for part in 0..2_u64 {
            let kept = &kept;
            scope.spawn(move || {
                let dial = || raw::dial(field.from(1));
                let (Ok(mut parks), Ok(mut sends)) = (dial(), dial()) else { return };
                for n in (part..most).step_by(2) {
                    if !field.is_on() {
                        return;
                    }
                    let secret = SECRETS + n;
                    let parked = raw::ask(&mut parks, &Body::hello(secret, 1, 1, HelloFlags::NONE));
                    let peer = parked.ok().and_then(|answer| {
                        let mut peer = None;
                        answer.messages(|m| {
                            if let Message::Welcome(w) = m {
                                peer = Some(w.address)
                            }
                        });
                        peer
                    });
                    let Some(peer) = peer else {
                        if let Ok(again) = dial() {
                            parks = again;
                        }
                        continue;
                    };
                    let mut body = Body::hello(SECRETS - 1 - part, n + 1, 0, HelloFlags::NONE);
                    for id in 1..=250 {
                        body = body.to(peer, id).with(Message::ReceiveReq(Window::default()));
                    }
                    match raw::ask(&mut sends, &body) {
                        Ok(answer) => answer.messages(|m| {
                            if let Message::Verdict(v) = m
                                && v.status == Status::Delivered
                            {
                                kept.fetch_add(1, Relaxed);
                            }
                        }),
                        Err(_) => match dial() {
                            Ok(again) => sends = again,
                            Err(_) => return,
                        },
                    }
                }
            });
        }
    });
    field.hold();
    Said { text: format!("{} acknowledgements kept", kept.load(Relaxed)), ..Said::default() }
}

/// Channels to the listener at which newcomers call, as many as it has, none of them used.
pub fn take_channels(field: &Field<'_>) -> Said {
    channels(field, "unused", |_| {})
}

/// The same channels, each with an octet now and then.
pub fn use_channels(field: &Field<'_>) -> Said {
    channels(field, "with an octet a second on each", Stranger::use_channels)
}

/// Takes all channels, and does that with them each second.
fn channels(field: &Field<'_>, how: &str, each_second: fn(&Stranger)) -> Said {
    let stranger = match Stranger::start(field.from(1)) {
        Ok(stranger) => stranger,
        Err(error) => return Said { text: error.to_string(), faults: vec![error.to_string()] },
    };
    let taken = stranger.take_channels();
    each_second(&stranger);
    field.ready.store(true, Relaxed);
    let mut last = Instant::now();
    while field.is_on() {
        thread::sleep(Duration::from_millis(20));
        if last.elapsed() > Duration::from_secs(1) {
            last = Instant::now();
            each_second(&stranger);
        }
    }
    Said { text: format!("{taken} channels taken, {how}"), ..Said::default() }
}
