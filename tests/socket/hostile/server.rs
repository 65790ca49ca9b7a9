//! An HTTP server before a relay: it passes requests on, until it is told to answer them itself, in
//! all the ways in which proxies and broken relays do.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use byway::wire::{
    Decoder, End, Hello, ListenReq, ListenRsp, MAX_CONTROL, Message, Piece, Status, VERSION,
    Welcome,
};

/// Which requests are not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    Parks,
    Sends,
    Both,
}

/// What they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A page with this status.
    Page(u16),
    /// Nothing: the connection is cut.
    Cut,
    /// WELCOME and END with this status, at once.
    End(Status),
    /// The same, and before END each claim is TAKEN by an epoch above its own.
    Taken,
    /// WELCOME, then PAD without end.
    Pads,
    /// WELCOME and END, then trailers without end.
    Trailers,
    /// WELCOME, then a chunk whose line has no end.
    Extensions,
}

/// Answers that have an end, of which nothing comes.
pub const FRUITLESS: [Answer; 13] = [
    Answer::Page(200),
    Answer::Page(403),
    Answer::Page(408),
    Answer::Page(502),
    Answer::Cut,
    Answer::End(Status::Ok),
    Answer::End(Status::Stale),
    Answer::End(Status::Superseded),
    Answer::End(Status::Repeated),
    Answer::End(Status::Malformed),
    Answer::End(Status::Limited),
    Answer::End(Status::Shutdown),
    Answer::Taken,
];

/// Answers without end.
pub const ENDLESS: [Answer; 3] = [Answer::Pads, Answer::Trailers, Answer::Extensions];

/// What came so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub requests: usize,
    pub connections: usize,
}

pub struct Hostile {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    relay: SocketAddr,
    turned: Mutex<Option<(Lanes, Answer)>>,
    counts: Mutex<Counts>,
    /// The highest number of a park of each session, by its secret.
    highest: Mutex<HashMap<[u8; 16], u64>>,
    /// The connections that parks passed on wait on.
    waiting: Mutex<Vec<TcpStream>>,
    /// How long each answer without end was taken.
    taken: Mutex<Vec<Duration>>,
}

struct Request {
    hello: Hello,
    claims: Vec<ListenReq>,
    body: Vec<u8>,
}

impl Request {
    fn is_park(&self) -> bool {
        self.hello.hold_ms > 0
    }
}

impl Hostile {
    /// One that passes everything on to `relay`.
    pub fn before(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            relay,
            turned: Mutex::new(None),
            counts: Mutex::default(),
            highest: Mutex::default(),
            waiting: Mutex::default(),
            taken: Mutex::default(),
        });
        let all = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                all.counts.lock().expect("no panic").connections += 1;
                let shared = Arc::clone(&all);
                // Ends by an error, when either side hangs up.
                thread::spawn(move || shared.serve(&client));
            }
        });
        Self { addr, shared }
    }

    /// From now on these requests are answered so; those that wait at the relay are cut.
    pub fn turn(&self, lanes: Lanes, answer: Answer) {
        *self.shared.turned.lock().expect("no panic") = Some((lanes, answer));
        if lanes != Lanes::Sends {
            for socket in self.shared.waiting.lock().expect("no panic").drain(..) {
                // An error means that its answer has come.
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }

    /// From now on everything is passed on again.
    pub fn relent(&self) {
        *self.shared.turned.lock().expect("no panic") = None;
    }

    pub fn counts(&self) -> Counts {
        *self.shared.counts.lock().expect("no panic")
    }

    /// How long each answer without end was taken.
    pub fn taken(&self) -> Vec<Duration> {
        self.shared.taken.lock().expect("no panic").clone()
    }
}

impl Shared {
    fn serve(&self, mut client: &TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        loop {
            let request = read_request(client)?;
            self.counts.lock().expect("no panic").requests += 1;
            let is_park = request.is_park();
            let highest = self.highest(&request);
            let turned = self.turned.lock().expect("no panic").filter(|(lanes, _)| match lanes {
                Lanes::Parks => is_park,
                Lanes::Sends => !is_park,
                Lanes::Both => true,
            });
            let begun = Instant::now();
            match turned {
                None => self.pass(&request, is_park, client)?,
                Some((_, Answer::Cut)) => return client.shutdown(Shutdown::Both),
                Some((_, Answer::Page(status))) => {
                    let head = format!(
                        "HTTP/1.1 {status} No\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno"
                    );
                    client.write_all(head.as_bytes())?;
                }
                Some((_, Answer::End(status))) => {
                    respond(client, &answer(&request, status, highest, &[]))?
                }
                Some((_, Answer::Taken)) => {
                    respond(client, &answer(&request, Status::Ok, highest, &request.claims))?;
                }
                Some((_, Answer::Pads)) => {
                    let welcome = answer(&request, Status::Ok, highest, &[]);
                    let pad = [[0x40, 0, 0x03, 0xfc].as_slice(), &[0; 0x3fc]].concat();
                    let chunk = [b"10000\r\n".as_slice(), &pad.repeat(64), b"\r\n"].concat();
                    // END has 13 octets.
                    let begin = chunked(&welcome[..welcome.len() - 13]);
                    let end = endless(client, &begin, &chunk);
                    self.taken.lock().expect("no panic").push(begun.elapsed());
                    return end;
                }
                Some((_, Answer::Trailers)) => {
                    let begin = chunked(&answer(&request, Status::Ok, highest, &[]));
                    let begin = [&begin[..], b"0\r\n"].concat();
                    let end = endless(client, &begin, &b"X-More: and more\r\n".repeat(4_000));
                    self.taken.lock().expect("no panic").push(begun.elapsed());
                    return end;
                }
                Some((_, Answer::Extensions)) => {
                    // END has 13 octets.
                    let whole = answer(&request, Status::Ok, highest, &[]);
                    let begin = chunked(&whole[..whole.len() - 13]);
                    let begin = [&begin[..], b"d"].concat();
                    let end = endless(client, &begin, &b";more=more".repeat(8_000));
                    self.taken.lock().expect("no panic").push(begun.elapsed());
                    return end;
                }
            }
        }
    }

    /// The highest number of a park that came of the request's session.
    fn highest(&self, request: &Request) -> u64 {
        let mut all = self.highest.lock().expect("no panic");
        let highest = all.entry(request.hello.secret).or_default();
        if request.is_park() {
            *highest = request.hello.seq.max(*highest);
        }
        *highest
    }

    fn pass(&self, request: &Request, is_park: bool, client: &TcpStream) -> io::Result<()> {
        let mut relay = TcpStream::connect(self.relay)?;
        if is_park {
            self.waiting.lock().expect("no panic").push(relay.try_clone()?);
        }
        let head = format!(
            "POST /v1 HTTP/1.0\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            request.body.len()
        );
        relay.write_all(&[head.as_bytes(), &request.body].concat())?;
        let mut all = Vec::new();
        relay.read_to_end(&mut all)?;
        let end = all.windows(4).position(|octets| octets == b"\r\n\r\n");
        respond(client, &all[end.ok_or(io::ErrorKind::UnexpectedEof)? + 4..])
    }
}

fn respond(mut client: &TcpStream, body: &[u8]) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: keep-alive\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(&[head.as_bytes(), body].concat())
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
                Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    [format!("{head}{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

/// Writes for as long as it is taken.
fn endless(mut client: &TcpStream, begin: &[u8], more: &[u8]) -> io::Result<()> {
    client.write_all(begin)?;
    loop {
        client.write_all(more)?;
    }
}

fn answer(request: &Request, status: Status, highest: u64, taken: &[ListenReq]) -> Vec<u8> {
    let Hello { seq, .. } = request.hello;
    let mut out = Vec::new();
    let mut put = |message: &Message<'_>| {
        let mut buffer = [0; MAX_CONTROL];
        let n = message.encode(&mut buffer).expect("its fields are in range");
        out.extend_from_slice(&buffer[..n]);
    };
    let address = byway::Address([5; 16]);
    put(&Message::Welcome(Welcome { version: VERSION, seq, address, max_body: 1 << 20 }));
    for ListenReq { claim, epoch, .. } in taken {
        let rsp = ListenRsp { claim: *claim, status: Status::Taken, epoch: epoch + 1 };
        put(&Message::ListenRsp(rsp));
    }
    put(&Message::End(End { status, highest }));
    out
}

fn read_request(mut client: &TcpStream) -> io::Result<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        client.read_exact(&mut octet)?;
        head.extend(octet);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let len = len.and_then(|len| len.trim().parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = vec![0; len];
    client.read_exact(&mut body)?;
    let (mut decoder, mut rest) = (Decoder::new(), &body[..]);
    let (mut hello, mut claims) = (None, Vec::new());
    while let Ok(Some(piece)) = decoder.next(&mut rest) {
        match piece {
            Piece::Message(Message::Hello(it)) => hello = Some(it),
            Piece::Message(Message::ListenReq(claim)) => claims.push(claim),
            _ => {}
        }
    }
    Ok(Request { hello: hello.ok_or(io::ErrorKind::InvalidData)?, claims, body })
}
