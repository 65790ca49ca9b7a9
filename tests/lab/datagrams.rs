//! Datagrams of mixed sizes between phone and PC, both ways at once, each one checked.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::DatagramChannel;

use crate::Result;
use crate::pattern::Pattern;
use crate::streams::{HUNG, Ways};
use crate::watch::Watch;

/// Datagrams each way.
pub const COUNT: u64 = 4096;
/// The longest datagram: with 2 KiB in the mean, all of them are 8 MiB.
const LONGEST: u64 = 4080;
/// Octets of the number at the beginning of each datagram.
const NUMBER: usize = 8;
/// Octets on their way at once: half of a ring, since each datagram takes some more there.
const WINDOW: u64 = 128 << 10;
/// After this time a datagram is lost: a client keeps a datagram for 2 s, and both pauses that a
/// dead connection can cause take 4 s.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// The datagrams that arrived, in one direction.
#[derive(Debug, Clone, Copy, Default)]
pub struct Came {
    pub datagrams: u64,
    pub lost: u64,
}

/// Carries datagrams both ways; gives those that arrived there and back.
pub fn carry(
    seed: u64,
    phone: &DatagramChannel,
    pc: &DatagramChannel,
    ways: &Ways,
) -> Result<[Came; 2]> {
    for channel in [phone, pc] {
        channel.set_read_timeout(Some(LOST_AFTER))?;
        channel.set_write_timeout(Some(HUNG))?;
    }
    let there = Pattern::new(seed, 0, 0);
    let back = Pattern::new(seed, 0, 1);
    thread::scope(|scope| {
        let senders = [
            scope.spawn(|| send(phone, there, &ways.there)),
            scope.spawn(|| send(pc, back, &ways.back)),
        ];
        let receivers = [
            scope.spawn(|| receive(pc, there, &ways.there)),
            scope.spawn(|| receive(phone, back, &ways.back)),
        ];
        let came = receivers.map(|job| job.join().unwrap_or_else(|_| Err("panicked".into())));
        // A receiver that failed must not leave its sender waiting.
        if came.iter().any(Result::is_err) {
            ways.fail();
        }
        for job in senders {
            job.join().unwrap_or_else(|_| Err("panicked".into()))?;
        }
        let [there, back] = came;
        Ok([there?, back?])
    })
}

fn len(pattern: Pattern, number: u64) -> usize {
    NUMBER + (pattern.number(number) % (LONGEST - NUMBER as u64 + 1)) as usize
}

fn fill(pattern: Pattern, number: u64, out: &mut [u8]) {
    out[..NUMBER].copy_from_slice(&number.to_be_bytes());
    pattern.fill(number * LONGEST, &mut out[NUMBER..]);
}

/// Sends as the receiver's progress allows. A lost datagram never opens the window again: time
/// opens it then.
fn send(channel: &DatagramChannel, pattern: Pattern, way: &Watch) -> Result<()> {
    let mut buffer = [0; LONGEST as usize];
    let mut sent = 0;
    let mut lost = 0;
    way.allow(u64::MAX, false);
    for number in 0..COUNT {
        let datagram = &mut buffer[..len(pattern, number)];
        fill(pattern, number, datagram);
        way.claim(datagram.len()).ok_or("the transfer failed")?;
        sent += datagram.len() as u64;
        let needed = sent.saturating_sub(WINDOW);
        if !way.wait_received(needed.saturating_sub(lost), Instant::now() + LOST_AFTER / 2) {
            lost = needed.saturating_sub(way.figures().received);
        }
        channel.send(datagram).map_err(|error| format!("datagram {number}: {error}"))?;
    }
    Ok(())
}

fn receive(channel: &DatagramChannel, pattern: Pattern, way: &Watch) -> Result<Came> {
    let mut seen = vec![false; COUNT as usize];
    let mut buffer = [0; LONGEST as usize];
    let mut right = [0; LONGEST as usize];
    let mut came = Came::default();
    while came.datagrams < COUNT {
        let n = match channel.recv(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
            Err(error) => return Err(format!("after {} datagrams: {error}", came.datagrams).into()),
        };
        let datagram = &buffer[..n];
        let number = datagram.first_chunk().map(|number| u64::from_be_bytes(*number));
        let number = number.filter(|n| *n < COUNT).ok_or("a datagram without its number")?;
        let right = &mut right[..len(pattern, number)];
        fill(pattern, number, right);
        if datagram != right {
            return Err(format!("datagram {number} is damaged").into());
        }
        if std::mem::replace(&mut seen[number as usize], true) {
            return Err(format!("datagram {number} came twice").into());
        }
        came.datagrams += 1;
        way.received(n);
    }
    came.lost = COUNT - came.datagrams;
    Ok(came)
}
