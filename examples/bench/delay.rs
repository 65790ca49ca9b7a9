//! A long path in user space: octets go on after a fixed time, and the octets under way are bounded
//! in each direction. As on a real path, that bounds the rate: octets under way divided by delay.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::floor::BUFFER;
use crate::part::say;

/// The properties of a leg.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The address to which each leg leads.
    pub to: [String; 2],
    /// The delay each way in ms.
    pub ms: u64,
    /// The most octets under way each way.
    pub hold: usize,
}

/// Both legs, each with the address to dial.
pub fn run(order: &Order) -> Result<()> {
    let mut legs = Vec::new();
    for to in &order.to {
        let leg = Leg::start(to, Duration::from_millis(order.ms), order.hold)?;
        say(&leg.address);
        legs.push(leg);
    }
    crate::part::until_told();
    Ok(())
}

/// A leg under way.
pub struct Leg {
    pub address: String,
    pub up: Arc<Pipe>,
    pub down: Arc<Pipe>,
}

impl Leg {
    /// Listens, and carries every connection on to `to`.
    pub fn start(to: &str, delay: Duration, hold: usize) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let pipe = || {
            Arc::new(Pipe {
                delay,
                hold,
                used: Mutex::new(0),
                freed: Condvar::new(),
                octets: AtomicU64::new(0),
            })
        };
        let leg = Self { address: listener.local_addr()?.to_string(), up: pipe(), down: pipe() };
        let (up, down, to) = (Arc::clone(&leg.up), Arc::clone(&leg.down), to.to_owned());
        thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                // The program that dialled sees the end of the connection.
                let _ = carry(near, &to, &up, &down);
            }
        });
        Ok(leg)
    }
}

fn carry(near: TcpStream, to: &str, up: &Arc<Pipe>, down: &Arc<Pipe>) -> Result<()> {
    let far = TcpStream::connect(to)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    Pipe::join(up, near.try_clone()?, far.try_clone()?);
    Pipe::join(down, far, near);
    Ok(())
}

/// One direction of a leg, for all its connections.
pub struct Pipe {
    delay: Duration,
    hold: usize,
    /// Octets under way.
    used: Mutex<usize>,
    freed: Condvar,
    /// Octets that have passed.
    pub octets: AtomicU64,
}

/// The octets under way in a connection, and when each piece is due; an empty piece is the end.
#[derive(Default)]
struct Queue {
    pieces: Mutex<VecDeque<(Instant, Vec<u8>)>>,
    more: Condvar,
}

impl Pipe {
    fn join(self: &Arc<Self>, mut from: TcpStream, mut to: TcpStream) {
        let queue = Arc::new(Queue::default());
        let (pipe, out) = (Arc::clone(self), Arc::clone(&queue));
        thread::spawn(move || {
            let mut buffer = vec![0; BUFFER];
            loop {
                let n = from.read(&mut buffer).unwrap_or(0);
                pipe.take(n);
                pipe.octets.fetch_add(n as u64, Relaxed);
                let mut pieces = queue.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                pieces.push_back((Instant::now() + pipe.delay, buffer[..n].to_vec()));
                queue.more.notify_one();
                if n == 0 {
                    return;
                }
            }
        });
        let pipe = Arc::clone(self);
        thread::spawn(move || {
            loop {
                let mut pieces = out.pieces.lock().unwrap_or_else(PoisonError::into_inner);
                let (due, piece) = loop {
                    match pieces.pop_front() {
                        Some(next) => break next,
                        None => {
                            pieces = out.more.wait(pieces).unwrap_or_else(PoisonError::into_inner)
                        }
                    }
                };
                drop(pieces);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if piece.is_empty() {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                // The receiver is gone: the rest is read and dropped.
                let _ = to.write_all(&piece);
                pipe.free(piece.len());
            }
        });
    }

    /// Waits for room for this many octets. They have been read already, and are only counted here.
    fn take(&self, octets: usize) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while *used + octets > self.hold {
            used = self.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used += octets;
    }

    fn free(&self, octets: usize) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) -= octets;
        self.freed.notify_all();
    }
}
