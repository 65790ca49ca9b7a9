//! Proxies and fronts on the way to a relay, each for the rest of the tests.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Serves each connection to a free port on a thread of its own. An error ends the connection alone.
fn serve(serve: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that answers each connection's first request with this.
pub fn answering(response: impl Into<String>) -> SocketAddr {
    let response = response.into();
    serve(move |mut stream| {
        read_head(&mut stream)?;
        stream.write_all(response.as_bytes())?;
        // Until the client hangs up, so that it reads all.
        stream.shutdown(Shutdown::Write)?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    })
}

/// A proxy that knows one server alone, whatever name it is asked for: by CONNECT, and else by passing on what comes.
pub fn proxy(server: SocketAddr) -> SocketAddr {
    serve(move |mut client| {
        let mut onward = TcpStream::connect(server)?;
        let head = read_head(&mut client)?;
        match head.starts_with("CONNECT ") {
            true => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?,
            false => onward.write_all(head.as_bytes())?,
        }
        join(client, onward)
    })
}

/// A front that swallows all that comes by connections behind the first.
pub fn first_alone(server: SocketAddr) -> SocketAddr {
    let is_first = Arc::new(AtomicBool::new(true));
    serve(move |mut client| match is_first.swap(false, Relaxed) {
        true => join(client, TcpStream::connect(server)?),
        false => io::copy(&mut client, &mut io::sink()).map(drop),
    })
}

/// A front that changes the head of each connection's first request, and of the first answer.
pub fn front(
    server: SocketAddr,
    request: fn(&str) -> String,
    answer: fn(&str) -> String,
) -> SocketAddr {
    serve(move |mut client| {
        let mut onward = TcpStream::connect(server)?;
        onward.write_all(request(&read_head(&mut client)?).as_bytes())?;
        let (mut from, mut to) = (client.try_clone()?, onward.try_clone()?);
        // The rest of the request, which the answer may wait for.
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            to.shutdown(Shutdown::Write)
        });
        client.write_all(answer(&read_head(&mut onward)?).as_bytes())?;
        io::copy(&mut onward, &mut client)?;
        client.shutdown(Shutdown::Both)
    })
}

/// A head, with the empty line behind it.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.extend(octet);
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// Passes on what comes from either, until both have ended.
fn join(mut client: TcpStream, mut onward: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = (onward.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Write)
    });
    let _ = io::copy(&mut client, &mut onward);
    onward.shutdown(Shutdown::Write)?;
    back.join().unwrap_or(Ok(()))
}
