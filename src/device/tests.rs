//! A device on a link of the tests, which splits all octets and has all faults.

mod answers;
mod faults;
mod requests;
mod speaking;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};

use super::{Device, Link, LinkFault, RelayAddress};
use crate::session::{Purpose, Settings, Single, Storage};
use crate::wire::{
    Address, Decoder, End, Hello, MAX_CONTROL, Message, Piece, Status, VERSION, Welcome,
};
use crate::{Endpoint, Kind};

/// No listeners, no datagrams.
#[derive(Debug)]
struct Plain;

impl Purpose for Plain {
    const LISTENS: bool = false;
    const DATAGRAMS: bool = false;
}

type Memory = Storage<1, 256, 0, Single<Plain>>;
type Front<'s, const HANGS_UP: bool = true> = Device<'s, TestLink<HANGS_UP>, Plain>;

/// The relay's end of a link.
#[derive(Debug, Default)]
struct RelayEnd {
    /// Octets that came since the last request that was taken.
    up: Vec<u8>,
    down: VecDeque<u8>,
    /// Whether the relay hung up.
    closed: bool,
    /// Whether no dial succeeds.
    dark: bool,
    dialled: usize,
    /// Most octets that a call moves; 0: any.
    most: usize,
    /// The fault of the device's end, if it has one.
    fault: Option<LinkFault<ErrorKind>>,
    /// Whether the link is given up after the fault.
    gives_up: bool,
}

impl RelayEnd {
    fn dial(&self) -> Result<(), ErrorKind> {
        match self.fault {
            Some(LinkFault::Dial(kind)) => Err(kind),
            _ => Ok(()),
        }
    }

    fn write(&self) -> Result<(), ErrorKind> {
        match self.fault {
            Some(LinkFault::Write(kind)) => Err(kind),
            _ => Ok(()),
        }
    }

    fn read(&self) -> Result<(), ErrorKind> {
        match self.fault {
            Some(LinkFault::Read(kind)) => Err(kind),
            _ => Ok(()),
        }
    }

    fn part(&self, len: usize) -> usize {
        if self.most == 0 { len } else { len.min(self.most) }
    }

    /// Takes the oldest whole request: its head, and its body.
    fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let end = self.up.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(self.up[..end].to_vec()).expect("a head is text");
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let len: usize = len.expect("a length").parse().expect("a number");
        let body = self.up.get(end..end + len)?.to_vec();
        self.up.drain(..end + len);
        Some((head, body))
    }

    /// Takes the request that waits, which must be whole, and gives its HELLO.
    fn hello(&mut self) -> Hello {
        let (_, body) = self.request().expect("a request");
        assert!(self.up.is_empty(), "one at a time");
        match Decoder::new().next(&mut &body[..]) {
            Ok(Some(Piece::Message(Message::Hello(hello)))) => hello,
            other => panic!("no HELLO but {other:?}"),
        }
    }

    /// Answers the request that waits by a plain response.
    fn answer(&mut self) {
        let body = nothing(self.hello().seq);
        self.down.extend(counted(&body));
    }
}

/// A device's end.
#[derive(Debug, Clone, Default)]
struct TestLink<const HANGS_UP: bool = true>(Rc<RefCell<RelayEnd>>);

impl<const HANGS_UP: bool> ErrorType for TestLink<HANGS_UP> {
    type Error = ErrorKind;
}

impl<const HANGS_UP: bool> Read for TestLink<HANGS_UP> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let mut line = self.0.borrow_mut();
        assert!(line.closed || !line.down.is_empty(), "it would block");
        assert!(!out.is_empty(), "room for nothing");
        let n = line.part(out.len()).min(line.down.len());
        for (to, from) in out.iter_mut().zip(line.down.drain(..n)) {
            *to = from;
        }
        Ok(n)
    }
}

impl<const HANGS_UP: bool> Write for TestLink<HANGS_UP> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut line = self.0.borrow_mut();
        line.write()?;
        if line.closed {
            return Err(ErrorKind::BrokenPipe);
        }
        let n = line.part(bytes.len());
        line.up.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl<const HANGS_UP: bool> ReadReady for TestLink<HANGS_UP> {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        let line = self.0.borrow();
        line.read()?;
        Ok(line.closed || !line.down.is_empty())
    }
}

impl<const HANGS_UP: bool> Link for TestLink<HANGS_UP> {
    const HANGS_UP: bool = HANGS_UP;

    fn dial(&mut self) -> Result<(), ErrorKind> {
        let mut line = self.0.borrow_mut();
        line.dialled += 1;
        line.up.clear();
        line.down.clear();
        line.closed = line.dark;
        line.dial()?;
        if line.dark { Err(ErrorKind::ConnectionRefused) } else { Ok(()) }
    }

    fn pause_ms(&mut self, fault: &LinkFault<ErrorKind>, times: u8) -> Option<u32> {
        let line = self.0.borrow();
        (!line.gives_up).then(|| super::fault::pause_ms(fault.kind(), times))
    }
}

const DIRECT: RelayAddress<'static> = RelayAddress::new("relay:8080");
const PROXIED: RelayAddress<'static> = RelayAddress {
    base: "/by/way",
    by_proxy: true,
    fields: "Proxy-Authorization: Basic ZTpm\r\n",
    ..DIRECT
};

/// Runs `test` with an open device, and the other end of its link.
fn with_device(relay: RelayAddress<'_>, test: impl FnOnce(&mut Front<'_>, &RefCell<RelayEnd>)) {
    with_link::<true>(relay, test);
}

/// The same with a link that hangs up to dial, or one that is always up.
fn with_link<const HANGS_UP: bool>(
    relay: RelayAddress<'_>,
    test: impl FnOnce(&mut Front<'_, HANGS_UP>, &RefCell<RelayEnd>),
) {
    let wire = TestLink::default();
    let line = Rc::clone(&wire.0);
    let mut memory = Memory::new();
    let mut head = [0; 512];
    let mut device = Device::new(memory.session(), wire, relay, &mut head);
    device.session().open(1, &Settings::new([7; 16], 7));
    test(&mut device, &line);
}

/// Lets the device do all that it can at `now`, with an application that has nothing to do.
fn work<const HANGS_UP: bool>(device: &mut Front<'_, HANGS_UP>, now: u64) -> Option<u64> {
    let due = device.poll(now);
    if due == Some(now) { device.poll(now) } else { due }
}

/// Lets the application ask for a connection, so that the device parks.
fn connect<const HANGS_UP: bool>(device: &mut Front<'_, HANGS_UP>, now: u64) {
    let endpoint = Endpoint::try_from("camera:1").expect("an endpoint");
    device.session().connect(now, endpoint, Kind::Stream, b"").expect("a channel");
}

fn put(out: &mut Vec<u8>, message: &Message<'_>) {
    let mut buffer = [0; MAX_CONTROL];
    let n = message.encode(&mut buffer).expect("its fields are in range");
    out.extend_from_slice(&buffer[..n]);
}

/// An answer to exchange `seq` that carries nothing.
fn nothing(seq: u64) -> Vec<u8> {
    let mut body = Vec::new();
    let address = Address([5; 16]);
    put(
        &mut body,
        &Message::Welcome(Welcome { version: VERSION, seq, address, max_body: 1 << 22 }),
    );
    put(&mut body, &Message::End(End { status: Status::Ok, highest: seq }));
    body
}

const OURS: &str = "Content-Type: application/octet-stream\r\n";

fn response(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\n{fields}\r\n").as_bytes(), body].concat()
}

fn counted(body: &[u8]) -> Vec<u8> {
    let fields = format!("{OURS}Content-Length: {}\r\n", body.len());
    response("200 OK", &fields, body)
}

/// In chunks of `n` octets.
fn chunked(body: &[u8], n: usize, extension: &str, trailer: &str) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in body.chunks(n) {
        framed.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(format!("000\r\n{trailer}\r\n").as_bytes());
    response("200 OK", &format!("{OURS}Transfer-Encoding: chunked\r\n"), &framed)
}
