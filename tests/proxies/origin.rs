//! A server before the relay, which sees the requests that arrive there.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Octets of a connection's requests that are kept.
const KEPT: usize = 4 << 10;

/// Passes connections on to a server, and keeps the beginning of their requests.
pub struct Tap {
    pub port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        thread::spawn(move || {
            for (n, client) in listener.incoming().flatten().enumerate() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                let (from, to) = (client.try_clone(), server.try_clone());
                let (Ok(from), Ok(to)) = (from, to) else { continue };
                all.lock().expect("no panic").push(Vec::new());
                let all = Arc::clone(&all);
                thread::spawn(move || {
                    pass(from, to, |octets| {
                        let seen = &mut all.lock().expect("no panic")[n];
                        let most = octets.len().min(KEPT - seen.len());
                        seen.extend_from_slice(&octets[..most]);
                    })
                });
                thread::spawn(move || pass(server, client, |_| {}));
            }
        });
        Self { port, seen }
    }

    /// The heads of requests, as far as they were kept.
    pub fn seen(&self) -> String {
        let seen = self.seen.lock().expect("no panic");
        seen.iter().map(|octets| String::from_utf8_lossy(octets).to_lowercase()).collect()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut see: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        see(&buffer[..n]);
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
