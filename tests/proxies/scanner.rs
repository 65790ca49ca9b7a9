//! A content scanner that squid asks by ICAP (RFC 3507) about requests. The scanner lets each pass,
//! but no longer gives the length of the body, as scanners that may change it do: squid then sends
//! chunks.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// The scanner's answer to OPTIONS, for which squid asks now and then.
const OPTIONS: &str = "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nISTag: \"1\"\r\n\
                       Options-TTL: 3600\r\nEncapsulated: null-body=0\r\n\r\n";

/// Serves on threads of its own, as long as the process lives.
pub fn scan(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // squid closes the connection when it ends.
            thread::spawn(move || serve(&stream));
        }
    });
}

/// The lines of squid's configuration by which it asks a scanner at this port.
pub fn squid_rules(port: u16) -> String {
    format!(
        "icap_enable on\nicap_service scan reqmod_precache icap://127.0.0.1:{port}/scan\n\
         adaptation_access scan allow all\n"
    )
}

fn serve(stream: &TcpStream) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    loop {
        let head = lines(&mut from)?;
        if head.starts_with("OPTIONS ") {
            to.write_all(OPTIONS.as_bytes())?;
            continue;
        }
        // `req-hdr=0, req-body=N`, or `null-body=N` for a request without one.
        let parts = head.lines().find_map(|line| line.strip_prefix("Encapsulated: "));
        let (_, last) = parts.and_then(|parts| parts.rsplit_once(", ")).ok_or_else(odd)?;
        let (part, _) = last.split_once('=').ok_or_else(odd)?;
        let request: String = lines(&mut from)?
            .split_inclusive("\r\n")
            .filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"))
            .collect();
        let len = request.len();
        let answer = "ICAP/1.0 200 OK\r\nISTag: \"1\"\r\nEncapsulated: req-hdr=0";
        to.write_all(format!("{answer}, {part}={len}\r\n\r\n{request}").as_bytes())?;
        if part == "req-body" {
            while chunk(&mut from, to)? > 0 {}
        }
    }
}

/// Reads the lines up to an empty line, that included.
fn lines(from: &mut impl BufRead) -> io::Result<String> {
    let mut all = String::new();
    while !all.ends_with("\r\n\r\n") {
        if from.read_line(&mut all)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(all)
}

/// Passes a chunk on, and gives its size.
fn chunk(from: &mut impl BufRead, mut to: impl Write) -> io::Result<usize> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let size = line.split([';', '\r']).next().unwrap_or_default();
    let size = usize::from_str_radix(size, 16).map_err(|_| odd())?;
    let mut octets = vec![0; size + 2];
    from.read_exact(&mut octets)?;
    to.write_all(&[line.as_bytes(), &octets].concat())?;
    Ok(size)
}

fn odd() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
