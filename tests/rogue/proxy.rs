//! A proxy that listens, and commits faults.

use std::io::{self, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::carry::{After, Carry};
use crate::fate::{Fate, Faults};
use crate::http;
use crate::rng::Rng;
use crate::tamper::Tampering;

/// Nothing lasts so long here; a connection that brings nothing meanwhile is given up.
const IDLE: Duration = Duration::from_secs(60);

/// Answers of 429 in a run at most. Clients set their exchanges up to 5 s apart then, which is not
/// scaled down with the holds: with more of them a send hardly ever meets a park of its peer.
const RATE_LIMITS: u64 = 3;

/// A running proxy, until it is dropped.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Whom it stands before, if it is asked in origin form.
    relay: SocketAddr,
    faults: Faults,
    /// What it changes of the answers.
    hostile: Option<Tampering>,
    rng: Mutex<Rng>,
    exchanges: AtomicU64,
    struck: AtomicU64,
    rate_limits: AtomicU64,
    over: AtomicBool,
}

impl Proxy {
    pub fn start(relay: SocketAddr, faults: Faults, seed: u64) -> io::Result<Self> {
        Self::with(relay, faults, None, seed)
    }

    /// A proxy without faults, which changes what the relay says.
    pub fn hostile(relay: SocketAddr, tampering: Tampering) -> io::Result<Self> {
        Self::with(relay, Faults::default(), Some(tampering), 0)
    }

    fn with(
        relay: SocketAddr,
        faults: Faults,
        hostile: Option<Tampering>,
        seed: u64,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((relay.ip(), 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            relay,
            faults,
            hostile,
            rng: Mutex::new(Rng::new(seed)),
            exchanges: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            rate_limits: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let shared = of_thread.clone();
                thread::spawn(move || shared.serve(&client));
            }
        });
        Ok(Self { address, shared })
    }

    /// Exchanges so far, and to how many of them something was done.
    pub fn counts(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.shared.exchanges), read(&self.shared.struck))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn draw(&self, len: usize) -> Fate {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fate = self.faults.draw(0, &mut rng, len);
        if let Fate::Status(code @ 429) | Fate::StatusAfter(code @ 429) = &mut fate
            && self.rate_limits.fetch_add(1, Ordering::Relaxed) >= RATE_LIMITS
        {
            *code = 503;
        }
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.struck.fetch_add(u64::from(fate != Fate::Pass), Ordering::Relaxed);
        fate
    }

    /// One exchange after the other. What goes wrong ends the connection, as with any proxy.
    fn serve(&self, client: &TcpStream) {
        let mut reader = BufReader::new(client);
        let mut keeps = || -> io::Result<bool> {
            client.set_nodelay(true)?;
            client.set_read_timeout(Some(IDLE))?;
            client.set_write_timeout(Some(IDLE))?;
            let Some(asked) = http::read_request(&mut reader)? else { return Ok(false) };
            let fate = self.draw(asked.len);
            let relay = asked.relay.unwrap_or(self.relay);
            let carry = Carry { client, relay, asked, fate, hostile: self.hostile.as_ref() };
            Ok(carry.run(&mut reader)? == After::Keep)
        };
        while keeps().unwrap_or(false) {}
    }
}
