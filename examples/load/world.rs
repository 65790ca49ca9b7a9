//! What all sessions of the load have in common.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use byway::error::Blocked;
use byway::secure::{Identity, Secret};
use byway::session::{Pace, Security, Settings};

use crate::Result;

/// Octets of the buffer through which all connections read and write, one at a time.
const SCRATCH: usize = 64 * 1024;

/// Sessions that have a source address in common: its 28,000 ports are for their connections, and for those
/// that ended within the last minute.
const SESSIONS_PER_ADDRESS: usize = 500;

/// Addresses of this machine, 127.1.0.1 and following, from which sessions dial in turn.
const ADDRESSES: usize = 250;

/// What all sessions have in common. They live on one thread.
#[derive(Debug)]
pub struct World {
    pub relay: SocketAddr,
    pub scratch: RefCell<Box<[u8]>>,
    pub failures: Failures,
    /// Connections dialled.
    pub connections: Cell<u64>,
    manner: Manner,
    began: Instant,
    /// How many sessions were opened.
    opened: Cell<usize>,
    /// Tells the names of this run from those of others at the same relay.
    run: u64,
}

/// How sessions go about it, where that is chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner {
    /// Channels are not encrypted.
    pub is_plain: bool,
    /// How sessions wait for what comes.
    pub pace: Pace,
}

/// Exchanges that failed, by their cause.
#[derive(Debug, Default)]
pub struct Failures {
    /// No connection.
    pub connect: Cell<u64>,
    /// The relay had no place.
    pub full: Cell<u64>,
    /// The connection ended, or nothing came in time.
    pub cut: Cell<u64>,
    /// Anything else.
    pub other: Cell<u64>,
}

impl Failures {
    pub fn count(&self, cause: Blocked) {
        let counter = match cause {
            Blocked::Connect => &self.connect,
            Blocked::Full(_) | Blocked::Http(503) => &self.full,
            Blocked::Cut | Blocked::Silence => &self.cut,
            _ => &self.other,
        };
        counter.set(counter.get() + 1);
    }

    /// No connection, no place, cut, anything else.
    pub fn counts(&self) -> [u64; 4] {
        [&self.connect, &self.full, &self.cut, &self.other].map(Cell::get)
    }
}

impl World {
    pub fn new(relay: SocketAddr, manner: Manner) -> Result<Rc<Self>> {
        Ok(Rc::new(Self {
            relay,
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            failures: Failures::default(),
            connections: Cell::new(0),
            manner,
            began: Instant::now(),
            opened: Cell::new(0),
            run: u64::from_be_bytes(random()?),
        }))
    }

    /// The time of sessions, in ms.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// The head of a request, with the header fields of byway's client.
    pub fn head(&self, seq: u64, len: usize) -> String {
        let relay = self.relay;
        format!(
            "POST /v1?n={seq} HTTP/1.1\r\nHost: {relay}\r\nContent-Length: {len}\r\n\
             Content-Type: application/octet-stream\r\nCache-Control: no-store, no-transform\r\n\
             User-Agent: byway/{}\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    }

    /// The number of the next session, and the address from which it dials.
    pub fn place(&self) -> (usize, IpAddr) {
        let number = self.opened.get();
        self.opened.set(number + 1);
        let address = (number / SESSIONS_PER_ADDRESS % ADDRESSES) as u8;
        (number, Ipv4Addr::new(127, 1, 0, address + 1).into())
    }

    /// The endpoint at which session `number` listens.
    pub fn name(&self, number: usize) -> String {
        format!("load-{:08x}-{number}:1", self.run as u32)
    }

    /// What a client's session is opened with: its randomness, its pace, and a client's defaults.
    pub fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::new(random()?, u64::from_be_bytes(random()?));
        settings.pace = self.manner.pace;
        Ok(settings)
    }

    /// What channels are encrypted with, as a client does that was given no identity; `None`: they are plain.
    pub fn security(&self) -> Result<Option<Security>> {
        if self.manner.is_plain {
            return Ok(None);
        }
        let identity = Identity::from_seed(random()?);
        let security = Security::new(&identity, Secret::new(random()?));
        Ok(Some(security.with_fleeting_identity()))
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)?;
    Ok(octets)
}
