//! As much of HTTP/1 as a proxy needs.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Header fields of a message at most.
const MAX_FIELDS: usize = 32;

/// Octets of a head at most.
const MAX_HEAD: u64 = 16 << 10;

/// Fields that are for one connection, or said anew when the body is framed.
const HOP_BY_HOP: [&str; 5] =
    ["connection", "content-length", "keep-alive", "proxy-authorization", "transfer-encoding"];

/// The head of a request.
pub struct Asked {
    /// The relay, if it is named in absolute form.
    pub relay: Option<SocketAddr>,
    path: String,
    fields: String,
    /// Octets of the body.
    pub len: usize,
}

/// The head of an answer.
pub struct Told {
    pub status: u16,
    fields: String,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// The lines up to the empty one; nothing if the connection ends before the first.
fn lines(reader: &mut BufReader<&TcpStream>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut limited = reader.take(MAX_HEAD);
    while limited.read_until(b'\n', &mut head)? > 0 {
        if head.ends_with(b"\r\n\r\n") {
            return Ok(head);
        }
    }
    if head.is_empty() { Ok(head) } else { Err(malformed("the head broke off")) }
}

/// The fields that are passed on, and the length of the body.
fn fields(of: &[httparse::Header<'_>]) -> io::Result<(String, Option<usize>)> {
    let (mut passed, mut len) = (String::new(), None);
    for field in of {
        let value = std::str::from_utf8(field.value).map_err(|_| malformed("no text"))?;
        let name = field.name.to_ascii_lowercase();
        if name == "content-length" {
            len = Some(value.parse().map_err(|_| malformed("no length"))?);
        }
        if !HOP_BY_HOP.contains(&name.as_str()) {
            passed += &format!("{}: {value}\r\n", field.name);
        }
    }
    Ok((passed, len))
}

/// Reads the head of a request; `None` if there is none more.
pub fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Asked>> {
    let head = lines(reader)?;
    if head.is_empty() {
        return Ok(None);
    }
    let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut room);
    request.parse(&head).map_err(|error| malformed(&error.to_string()))?;
    let (fields, len) = fields(request.headers)?;
    let target = request.path.unwrap_or_default();
    let (relay, path) = match target.strip_prefix("http://") {
        Some(rest) => {
            let slash = rest.find('/').ok_or_else(|| malformed("no path"))?;
            let (relay, path) = rest.split_at(slash);
            (Some(relay.parse().map_err(|_| malformed("no address"))?), path)
        }
        None => (None, target),
    };
    match (request.method, len) {
        (Some("POST"), Some(len)) => Ok(Some(Asked { relay, path: path.into(), fields, len })),
        _ => Err(malformed("not what a client asks")),
    }
}

/// Reads the head of an answer.
pub fn read_answer(reader: &mut BufReader<&TcpStream>) -> io::Result<Told> {
    let head = lines(reader)?;
    let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut room);
    response.parse(&head).map_err(|error| malformed(&error.to_string()))?;
    let status = response.code.ok_or_else(|| malformed("no status"))?;
    Ok(Told { status, fields: fields(response.headers)?.0 })
}

impl Asked {
    /// As it goes on to the relay: the end of the connection is to be the end of the answer.
    pub fn head(&self) -> String {
        let Self { path, fields, len, .. } = self;
        format!("POST {path} HTTP/1.0\r\n{fields}Content-Length: {len}\r\nVia: 1.1 rogue\r\n\r\n")
    }
}

/// How the end of an answer's body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Chunked,
    Length(usize),
    /// By the end of the connection, as HTTP/1.0 has it.
    Close,
}

impl Framing {
    pub fn head(self, told: &Told) -> String {
        let Told { status, fields } = told;
        match self {
            Self::Chunked => {
                format!("HTTP/1.1 {status} .\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")
            }
            Self::Length(len) => {
                format!("HTTP/1.1 {status} .\r\n{fields}Content-Length: {len}\r\n\r\n")
            }
            Self::Close => format!("HTTP/1.0 {status} .\r\n{fields}\r\n"),
        }
    }

    /// Writes a part of the body.
    pub fn write(self, mut to: &TcpStream, part: &[u8]) -> io::Result<()> {
        if self != Self::Chunked {
            return to.write_all(part);
        }
        let mut chunk = format!("{:x}\r\n", part.len()).into_bytes();
        chunk.extend_from_slice(part);
        chunk.extend_from_slice(b"\r\n");
        to.write_all(&chunk)
    }

    /// Writes the end of the body.
    pub fn finish(self, mut to: &TcpStream) -> io::Result<()> {
        if self == Self::Chunked { to.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }
}

/// A page of the proxy's own.
pub fn page(mut to: &TcpStream, status: u16, text: &str) -> io::Result<()> {
    let fields = "Content-Type: text/html\r\n".into();
    let head = Framing::Length(text.len()).head(&Told { status, fields });
    to.write_all((head + text).as_bytes())
}
