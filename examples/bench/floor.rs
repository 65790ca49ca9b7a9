//! The floors' servers: a plain relay of TCP connections, and a trivial HTTP server.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use crate::part::say;
use crate::{Result, posts};

/// Octets of a copy, in a relay and in a peer.
pub const BUFFER: usize = 64 << 10;

/// Joins two connections whose first octet is the same. That octet is not passed on.
pub fn tcp_relay() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    say(listener.local_addr()?);
    let mut waiting = HashMap::new();
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut name = [0; 1];
        if stream.read_exact(&mut name).is_err() {
            continue;
        }
        match waiting.remove(&name) {
            None => drop(waiting.insert(name, stream)),
            Some(other) => {
                let (a, b) = (stream.try_clone()?, other.try_clone()?);
                thread::spawn(move || pump(a, other));
                thread::spawn(move || pump(b, stream));
            }
        }
    }
}

/// Copies until either side is gone.
fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(n) = from.read(&mut buffer) {
        if n == 0 || to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Answers POSTs.
pub fn http_server() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        say(listener.local_addr()?);
        Ok(posts::serve(listener).await?)
    })
}
