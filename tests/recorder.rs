//! A TCP proxy that passes octets on and keeps what went by, both ways.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What went by on a connection, one way.
type Seen = Arc<Mutex<Vec<u8>>>;

/// A running recorder. Its threads end with the connections.
pub struct Recorder {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    /// Stands before `server`, on a free port of loopback.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let taken: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let connections = Arc::clone(&taken);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let seen = Seen::default();
                    lock(&connections).push(Arc::clone(&seen));
                    let (from, to) = (from.try_clone(), to.try_clone());
                    let (Ok(from), Ok(to)) = (from, to) else { continue };
                    thread::spawn(move || pass(from, to, &seen));
                }
            }
        });
        Self { address, taken }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many octets went by so far.
    pub fn len(&self) -> usize {
        lock(&self.taken).iter().map(|seen| lock(seen).len()).sum()
    }

    /// Whether a connection had these octets in a row, one way or the other, so far.
    pub fn has(&self, octets: &[u8]) -> bool {
        assert!(octets.len() >= 4, "a few octets are found by chance");
        let has = |seen: &[u8]| seen.windows(octets.len()).any(|at| at == octets);
        lock(&self.taken).iter().any(|seen| has(&lock(seen)))
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(mut from: TcpStream, mut to: TcpStream, seen: &Mutex<Vec<u8>>) {
    let mut octets = [0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut octets) {
        lock(seen).extend_from_slice(&octets[..n]);
        if to.write_all(&octets[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
