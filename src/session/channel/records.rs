//! Records: what the rings of an encrypted channel have.
//!
//! ```text
//!  record:  length (2) │ sealed octets of the application │ tag (16)
//! ```
//!
//! The length is that of the octets, without the rest; its upper bit says that the stream ends here, with a
//! record that has none. A record's nonce is its offset in the stream, and its length is authenticated with
//! it, so that no record is opened in another place than it was sealed for. It is sealed once, as the
//! application writes, and opened in the ring, as the application reads: what is sent again is the same.

use core::ops::Range;

use super::receiver::Receiver;
use super::ring;
use super::sender::Sender;
use crate::secure::Secret;
use crate::secure::aead::{self, TAG};
use crate::secure::noise::{ChannelKeys, KEY};

/// Octets of a record's length.
const LENGTH: usize = 2;

/// Octets of a record beside the application's.
pub const OVERHEAD: usize = LENGTH + TAG;

/// Most octets of the application in a record. A record must be whole before it is opened: of longer ones
/// on a path of 2 Mbit/s the first octet would wait for more than 70 ms for the last.
const MOST: usize = (16 << 10) - OVERHEAD;

/// A record takes this part of the shorter ring at most, so that others fit beside one that is not whole.
const SHARE: u64 = 4;

/// The bit of a record's length that says that the stream ends there.
const END: u16 = 0x8000;

/// What is read of the receive ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The next octet begins a record.
    Between,
    /// So many octets of an opened record are left to be read; its tag is behind them.
    Open(u16),
    /// The stream has ended, as its last record says.
    Ended,
    /// A record did not verify.
    Broken,
}

/// A record did not verify: it was changed on the way.
#[derive(Debug, PartialEq, Eq)]
pub struct Tampered;

/// How many octets of the application were in the records up to some offset.
#[derive(Debug, Clone, Copy)]
struct Walk {
    /// The end of the record whose length was read last.
    edge: u64,
    /// Octets of the application in that record, unless they are counted.
    pending: u16,
    /// Octets of the application in the records before.
    octets: u64,
}

/// The records of a channel.
#[derive(Debug)]
pub struct Records {
    transmit: Secret,
    receive: Secret,
    peer: [u8; KEY],
    /// Whether the peer has the same key the next time, as it says.
    is_peer_kept: bool,
    /// Most octets of the application in a record that is sent, and in one that comes.
    most: [u16; 2],
    reading: Reading,
    /// Datagrams written.
    datagrams: u64,
    /// Octets of the application that were written, and that were read.
    written: u64,
    read: u64,
    acked: Walk,
}

impl Records {
    /// The keys are agreed on, between rings of which the peer's receive ring has `theirs` octets, and those
    /// here `ours`.
    pub fn new(
        keys: ChannelKeys,
        is_peer_kept: bool,
        is_connector: bool,
        ours: u64,
        theirs: u64,
    ) -> Self {
        let most = |ring: u64| {
            let most = (ring / SHARE).saturating_sub(OVERHEAD as u64);
            most.clamp(1, MOST as u64) as u16
        };
        let ChannelKeys { connector, listener, peer } = keys;
        let (transmit, receive) =
            if is_connector { (connector, listener) } else { (listener, connector) };
        Self {
            transmit,
            receive,
            peer,
            is_peer_kept,
            most: [most(ours.min(theirs)), most(ours)],
            reading: Reading::Between,
            datagrams: 0,
            written: 0,
            read: 0,
            acked: Walk { edge: 0, pending: 0, octets: 0 },
        }
    }

    pub const fn peer(&self) -> [u8; KEY] {
        self.peer
    }

    pub const fn is_peer_kept(&self) -> bool {
        self.is_peer_kept
    }

    /// Whether the record that ends the stream was read.
    pub fn has_ended(&self) -> bool {
        self.reading == Reading::Ended
    }

    /// Octets that an application can write into a ring of `ring` octets; 0 while they are too few.
    pub fn writable(&self, tx: &Sender, ring: usize) -> usize {
        match self.room(tx, ring) {
            room if room < self.least() => 0,
            room => room,
        }
    }

    /// Octets of the application that a ring of `ring` octets takes. Beside them is room for the record that
    /// ends the stream.
    fn room(&self, tx: &Sender, ring: usize) -> usize {
        tx.room(ring).saturating_sub(2 * OVERHEAD)
    }

    /// Seals what fits of `bytes` into the ring, and gives how much.
    pub fn write(&mut self, tx: &mut Sender, ring: &mut [u8], bytes: &[u8]) -> usize {
        let most = usize::from(self.most[0]);
        let mut done = 0;
        while done < bytes.len() {
            let room = self.room(tx, ring.len());
            // A ring that frees by and by is not to be filled with tiny records.
            if room < self.least() {
                break;
            }
            let n = (bytes.len() - done).min(most).min(room);
            self.put(tx, ring, n as u16, &bytes[done..done + n]);
            done += n;
        }
        self.written += done as u64;
        done
    }

    /// The least octets of room in which a record is begun.
    fn least(&self) -> usize {
        (usize::from(self.most[0]) / 4).max(1)
    }

    /// The stream ends here.
    pub fn end(&mut self, tx: &mut Sender, ring: &mut [u8]) {
        self.put(tx, ring, END, &[]);
    }

    fn put(&mut self, tx: &mut Sender, ring: &mut [u8], length: u16, bytes: &[u8]) {
        let at = tx.written();
        let length = length.to_be_bytes();
        tx.write(ring, &length);
        tx.write(ring, bytes);
        let text = ring::pieces_mut(ring, at + LENGTH as u64, bytes.len());
        let tag = aead::seal(&self.transmit, at, &length, text);
        tx.write(ring, &tag);
    }

    /// Copies octets of the application to `out`, and gives how many.
    pub fn read(
        &mut self,
        rx: &mut Receiver,
        ring: &mut [u8],
        out: &mut [u8],
    ) -> Result<usize, Tampered> {
        let mut done = 0;
        while done < out.len() {
            if self.reading == Reading::Between {
                self.reading = self.next(rx, ring);
            }
            let left = match self.reading {
                Reading::Open(left) => usize::from(left),
                Reading::Broken if done == 0 => return Err(Tampered),
                Reading::Between | Reading::Ended | Reading::Broken => break,
            };
            let n = left.min(out.len() - done);
            rx.read(ring, &mut out[done..done + n]);
            done += n;
            self.reading = match left - n {
                0 => {
                    rx.skip(TAG);
                    Reading::Between
                }
                left => Reading::Open(left as u16),
            };
        }
        self.read += done as u64;
        Ok(done)
    }

    /// Opens the next record, if all of it is there.
    fn next(&mut self, rx: &mut Receiver, ring: &mut [u8]) -> Reading {
        let at = rx.read_to();
        let (length, len) = match self.is_whole(rx, ring) {
            Some(true) => length_at(ring, at),
            Some(false) => return Reading::Broken,
            None => return Reading::Between,
        };
        let (text, mut tag) = (at + LENGTH as u64, [0; TAG]);
        ring::copy_out(ring, text + len as u64, &mut tag);
        let pieces = ring::pieces_mut(ring, text, len);
        if !aead::open(&self.receive, at, &length.to_be_bytes(), pieces, &tag) {
            return Reading::Broken;
        }
        rx.skip(LENGTH);
        if length == END {
            rx.skip(TAG);
            return Reading::Ended;
        }
        Reading::Open(len as u16)
    }

    /// Whether there is a next record whose length is possible; `None` if it is not all there.
    fn is_whole(&self, rx: &Receiver, ring: &[u8]) -> Option<bool> {
        let have = rx.readable();
        if have < LENGTH {
            return None;
        }
        let (length, len) = length_at(ring, rx.read_to());
        let is_possible = length == END || len > 0 && length <= self.most[1];
        (!is_possible || have >= len + OVERHEAD).then_some(is_possible)
    }

    /// Whether a reader gets octets, the end or an error now.
    pub fn is_ready(&self, rx: &Receiver, ring: &[u8]) -> bool {
        match self.reading {
            Reading::Between => self.is_whole(rx, ring).is_some(),
            Reading::Open(_) | Reading::Ended | Reading::Broken => true,
        }
    }

    /// Seals a datagram, which was put into the ring with room for its tag behind it.
    pub fn seal_datagram(&mut self, ring: &mut [u8], at: Range<u64>) {
        let len = (at.end - at.start) as usize;
        let pieces = ring::pieces_mut(ring, at.start, len);
        let tag = aead::seal(&self.transmit, self.datagrams, &[], pieces);
        ring::copy_in(ring, at.end, &tag);
        self.datagrams += 1;
    }

    /// Opens the datagram of that number; false if it is none of the peer's.
    pub fn open_datagram(&self, number: u64, text: &mut [u8], tag: &[u8; TAG]) -> bool {
        aead::open(&self.receive, number, &[], [text, &mut []], tag)
    }

    /// Octets of the application that were acknowledged, written, received whole, and read.
    pub fn offsets(&self, tx: &Sender, rx: &Receiver, ring: &[u8]) -> [u64; 4] {
        let (mut at, mut whole) = (rx.read_to(), self.read);
        if let Reading::Open(left) = self.reading {
            at += u64::from(left) + TAG as u64;
            whole += u64::from(left);
        }
        let end = rx.kept().end;
        while !self.has_ended() && at + LENGTH as u64 <= end {
            let (_, len) = length_at(ring, at);
            at += (len + OVERHEAD) as u64;
            if at <= end {
                whole += len as u64;
            }
        }
        [self.acked_before(tx.acked()), self.written, whole, self.read]
    }

    /// The peer is about to be known to have everything below `ack`, which was written.
    pub fn acknowledge(&mut self, ring: &[u8], ack: u64) {
        self.acked.go(ring, ack);
    }

    /// Octets of the application in the records that are acknowledged.
    pub const fn acked(&self) -> u64 {
        self.acked.octets
    }

    /// Octets of the application before the offset `at`, which is acknowledged.
    pub fn acked_before(&self, at: u64) -> u64 {
        self.acked.before(at)
    }

    /// Octets of the application in the records before an offset that was written and is not acknowledged
    /// before.
    pub fn octets_before(&self, ring: &[u8], offset: u64) -> u64 {
        let mut walk = self.acked;
        walk.go(ring, offset);
        walk.octets
    }
}

impl Walk {
    /// Octets of the application before the offset `at`, as far as the walk has got.
    fn before(&self, at: u64) -> u64 {
        let pending = u64::from(self.pending);
        let text = self.edge.saturating_sub(pending + TAG as u64);
        self.octets + at.saturating_sub(text).min(pending)
    }

    /// Goes on to the offset `to`; the ring has the records from the edge on.
    fn go(&mut self, ring: &[u8], to: u64) {
        if self.edge <= to {
            self.octets += u64::from(core::mem::take(&mut self.pending));
        }
        while self.edge < to {
            let (_, len) = length_at(ring, self.edge);
            self.edge += (len + OVERHEAD) as u64;
            match self.edge <= to {
                true => self.octets += len as u64,
                false => self.pending = len as u16,
            }
        }
    }
}

/// A record's length as it is in the ring, and the octets of the application in the record.
fn length_at(ring: &[u8], at: u64) -> (u16, usize) {
    let mut octets = [0; LENGTH];
    ring::copy_out(ring, at, &mut octets);
    let length = u16::from_be_bytes(octets);
    (length, usize::from(length & !END))
}
