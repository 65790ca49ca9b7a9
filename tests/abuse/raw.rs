//! Requests written octet by octet, as an attacker does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use byway::wire::{
    Address, ChannelRef, Decoder, Hello, HelloFlags, MAX_CONTROL, Message, Piece, Route, VERSION,
};

/// How long an attacker's socket waits before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of a request.
#[derive(Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// A body that begins with HELLO.
    pub fn hello(secret: u64, seq: u64, hold_ms: u32, flags: HelloFlags) -> Self {
        let mut key = [0x5a; 16];
        key[..8].copy_from_slice(&secret.to_be_bytes());
        let max_response = u32::MAX;
        let hello = Hello { version: VERSION, flags, secret: key, seq, hold_ms, max_response };
        Self::default().with(Message::Hello(hello))
    }

    pub fn with(mut self, message: Message<'_>) -> Self {
        let mut octets = [0; MAX_CONTROL];
        let len = message.encode(&mut octets).expect("MAX_CONTROL is the longest");
        self.0.extend_from_slice(&octets[..len]);
        self
    }

    /// What follows goes to this channel of `peer`.
    pub fn to(self, peer: Address, id: u32) -> Self {
        let channel = ChannelRef { id, token: u64::from(id) };
        self.with(Message::Route(Route { peer, channel }))
    }

    pub fn bytes(mut self, n: usize) -> Self {
        self.0.resize(self.0.len() + n, 0xa5);
        self
    }

    /// The octets of a request with this body, said to be `missing` octets longer.
    pub fn request(&self, missing: usize) -> Vec<u8> {
        let len = self.0.len() + missing;
        let head = format!(
            "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n"
        );
        [head.as_bytes(), &self.0].concat()
    }
}

/// An answer, as far as it was read.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    /// Calls `each` for every message.
    pub fn messages(&self, mut each: impl FnMut(&Message<'_>)) {
        let (mut decoder, mut input) = (Decoder::new(), &self.body[..]);
        while let Ok(Some(piece)) = decoder.next(&mut input) {
            if let Piece::Message(message) = piece {
                each(&message);
            }
        }
    }
}

pub fn dial(relay: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&relay, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads an answer that says its length, or is sent in chunks.
pub fn answer(stream: &mut TcpStream) -> io::Result<Answer> {
    let mut octets = Vec::new();
    let head = loop {
        more(stream, &mut octets)?;
        if let Some(at) = octets.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&octets[..head]).to_ascii_lowercase();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let number = |text: String| {
        text.parse::<usize>().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
    };
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    match field("content-length") {
        Some(len) => {
            let len = number(len)?;
            while octets.len() < head + len {
                more(stream, &mut octets)?;
            }
            body.extend_from_slice(&octets[head..head + len]);
        }
        None => {
            let mut at = head;
            loop {
                let Some(end) = octets[at..].windows(2).position(|w| w == b"\r\n") else {
                    more(stream, &mut octets)?;
                    continue;
                };
                let line = String::from_utf8_lossy(&octets[at..at + end]).into_owned();
                let len = usize::from_str_radix(line.trim(), 16)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                let begin = at + end + 2;
                while octets.len() < begin + len + 2 {
                    more(stream, &mut octets)?;
                }
                if len == 0 {
                    break;
                }
                body.extend_from_slice(&octets[begin..begin + len]);
                at = begin + len + 2;
            }
        }
    }
    Ok(Answer { status, body })
}

fn more(stream: &mut TcpStream, octets: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        n => {
            octets.extend_from_slice(&piece[..n]);
            Ok(())
        }
    }
}

/// Sends a request and reads its answer.
pub fn ask(stream: &mut TcpStream, body: &Body) -> io::Result<Answer> {
    stream.write_all(&body.request(0))?;
    answer(stream)
}

/// The address of the session with this secret, as WELCOME tells it.
pub fn address(stream: &mut TcpStream, secret: u64) -> io::Result<Address> {
    let answer = ask(stream, &Body::hello(secret, 1, 0, HelloFlags::NONE))?;
    let mut found = None;
    answer.messages(|message| {
        if let Message::Welcome(welcome) = message {
            found = Some(welcome.address);
        }
    });
    found.ok_or_else(|| io::ErrorKind::InvalidData.into())
}
