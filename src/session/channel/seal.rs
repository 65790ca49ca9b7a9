//! What an encrypted channel has in its rings: records, and before these the messages of the handshake.
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
use super::sender::Sender;
use super::{ChannelRecord, ring};
use crate::Kind;
use crate::secure::Secret;
use crate::secure::aead::{self, TAG};
use crate::secure::noise::{ChannelKeys, KEY};

/// Octets of a record's length.
const LENGTH: usize = 2;

/// Octets of a record beside the application's.
const OVERHEAD: usize = LENGTH + TAG;

/// Most octets of the application in a record. A record must be whole before it is opened: of longer ones
/// on a path of 2 Mbit/s the first octet would wait for more than 70 ms for the last.
const MOST: usize = (16 << 10) - OVERHEAD;

/// A record takes this part of the shorter ring at most, so that others fit beside one that is not whole.
const SHARE: u64 = 4;

/// The bit of a record's length that says that the stream ends there.
const END: u16 = 0x8000;

/// How a channel is protected. All zeros is the initial state.
///
/// ```text
///   Plain      Handshake ── the other end's message verifies ──▶ Sealed
/// ```
#[derive(Debug)]
#[repr(u8)]
pub enum Seal {
    /// It is not: the application's octets are in the rings.
    Plain = 0,
    /// Keys are being agreed on. The message to be said waits at the start of the receive ring.
    Handshake(Handshake),
    /// Records are in the rings.
    Sealed(Records),
}

/// A handshake under way.
#[derive(Debug)]
pub struct Handshake {
    pub ephemeral: Secret,
    /// The static key that the listener is to have, if that is known.
    pub expected: Option<[u8; KEY]>,
    /// Octets of the message to be said.
    pub len: u8,
}

/// The third message of a handshake, which the connector says until the listener is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Confirmation {
    /// This end is the listener.
    None = 0,
    /// It is to be said, and has so many octets, at the start of the receive ring.
    Due(u8),
    /// It was said.
    Said(u8),
}

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
    /// Most octets of the application in a record that is sent, and in one that comes.
    most: [u16; 2],
    reading: Reading,
    pub confirmation: Confirmation,
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
    pub fn new(keys: ChannelKeys, is_connector: bool, ours: u64, theirs: u64) -> Self {
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
            most: [most(ours.min(theirs)), most(ours)],
            reading: Reading::Between,
            confirmation: Confirmation::None,
            datagrams: 0,
            written: 0,
            read: 0,
            acked: Walk { edge: 0, pending: 0, octets: 0 },
        }
    }

    /// Octets of the application that a ring of `ring` octets takes. Beside them is room for the record that
    /// ends the stream.
    fn room(&self, tx: &Sender, ring: usize) -> usize {
        tx.room(ring).saturating_sub(2 * OVERHEAD)
    }

    /// Seals what fits of `bytes` into the ring, and gives how much.
    fn write(&mut self, tx: &mut Sender, ring: &mut [u8], bytes: &[u8]) -> usize {
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
    fn end(&mut self, tx: &mut Sender, ring: &mut [u8]) {
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
    fn read(
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
    fn is_ready(&self, rx: &Receiver, ring: &[u8]) -> bool {
        match self.reading {
            Reading::Between => self.is_whole(rx, ring).is_some(),
            Reading::Open(_) | Reading::Ended | Reading::Broken => true,
        }
    }

    /// Seals a datagram, which was put into the ring with room for its tag behind it.
    fn seal_datagram(&mut self, ring: &mut [u8], at: Range<u64>) {
        let len = (at.end - at.start) as usize;
        let pieces = ring::pieces_mut(ring, at.start, len);
        let tag = aead::seal(&self.transmit, self.datagrams, &[], pieces);
        ring::copy_in(ring, at.end, &tag);
        self.datagrams += 1;
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

/// Octets of the tag behind each datagram.
pub const DATAGRAM_TAG: usize = TAG;

impl ChannelRecord {
    /// Whether the two ends encrypt.
    pub const fn is_encrypted(&self) -> bool {
        !matches!(self.seal, Seal::Plain)
    }

    /// The static key of the other end, once it has proved it.
    pub fn peer_key(&self) -> Option<[u8; KEY]> {
        match &self.seal {
            Seal::Sealed(records) => Some(records.peer),
            Seal::Plain | Seal::Handshake(_) => None,
        }
    }

    /// Octets of the message of the handshake that is to be said while the channel is set up.
    pub fn handshake_len(&self) -> Option<usize> {
        match &self.seal {
            Seal::Handshake(handshake) => Some(handshake.len.into()),
            Seal::Plain | Seal::Sealed(_) => None,
        }
    }

    /// Octets of CONFIRM's message, if that is to be said. The ring has it until something comes.
    pub fn confirms(&self) -> Option<usize> {
        match &self.seal {
            Seal::Sealed(Records { confirmation: Confirmation::Due(len), .. })
                if self.is_established() && self.rx.received() == 0 =>
            {
                Some(usize::from(*len))
            }
            _ => None,
        }
    }

    /// Octets of CONFIRM's message, which a request is to have.
    pub fn confirmation_len(&self) -> Option<usize> {
        match &self.seal {
            Seal::Sealed(Records {
                confirmation: Confirmation::Due(len) | Confirmation::Said(len),
                ..
            }) if self.is_established() && self.rx.received() == 0 => Some(usize::from(*len)),
            _ => None,
        }
    }

    /// A request has CONFIRM.
    pub fn confirmed(&mut self) {
        if let Seal::Sealed(records) = &mut self.seal
            && let Confirmation::Due(len) = records.confirmation
        {
            records.confirmation = Confirmation::Said(len);
        }
    }

    /// The listener may not have CONFIRM: it is to be said again.
    pub fn confirm_again(&mut self) {
        if let Seal::Sealed(records) = &mut self.seal
            && let Confirmation::Said(len) = records.confirmation
        {
            records.confirmation = Confirmation::Due(len);
        }
    }

    /// The keys are agreed on.
    pub(super) fn sealed(&mut self, ring: &mut [u8], records: Records) {
        self.seal = Seal::Sealed(records);
        self.end_records(ring, self.tx.is_shut());
    }

    /// The record that ends a stream goes into the ring, if the stream `ends` now.
    fn end_records(&mut self, ring: &mut [u8], ends: bool) {
        if let (Seal::Sealed(records), Kind::Stream, true) = (&mut self.seal, self.kind, ends) {
            records.end(&mut self.tx, ring);
        }
    }

    /// Octets before FIN that are not the application's.
    pub const fn tail(&self) -> u64 {
        match &self.seal {
            Seal::Sealed(_) if self.tx.is_shut() && matches!(self.kind, Kind::Stream) => {
                OVERHEAD as u64
            }
            Seal::Plain | Seal::Handshake(_) | Seal::Sealed(_) => 0,
        }
    }

    /// Octets that an application can write into a ring of `ring` octets; 0 while they are too few.
    pub fn room(&self, ring: usize) -> usize {
        match &self.seal {
            Seal::Plain => self.tx.room(ring),
            Seal::Handshake(_) => 0,
            Seal::Sealed(records) => match records.room(&self.tx, ring) {
                room if room < records.least() => 0,
                room => room,
            },
        }
    }

    /// Writes what fits of `bytes` into the ring, and gives how much.
    #[inline]
    pub fn write(&mut self, ring: &mut [u8], bytes: &[u8]) -> usize {
        match &mut self.seal {
            Seal::Plain => self.tx.write(ring, bytes),
            Seal::Handshake(_) => 0,
            Seal::Sealed(records) => records.write(&mut self.tx, ring, bytes),
        }
    }

    /// The application ends this direction; false if it had.
    pub fn shut(&mut self, ring: &mut [u8]) -> bool {
        let is_new = self.tx.shut();
        self.end_records(ring, is_new);
        is_new
    }

    /// Reads what came to `out`, and gives how much.
    #[inline]
    pub fn read(&mut self, ring: &mut [u8], out: &mut [u8]) -> Result<usize, Tampered> {
        match &mut self.seal {
            Seal::Plain => Ok(self.rx.read(ring, out)),
            Seal::Handshake(_) => Ok(0),
            Seal::Sealed(records) => records.read(&mut self.rx, ring, out),
        }
    }

    /// Whether the application can read something of a stream, or its end.
    pub fn is_ready(&self, ring: &[u8]) -> bool {
        match &self.seal {
            Seal::Plain => self.rx.readable() > 0 || self.rx.has_fin(),
            Seal::Handshake(_) => false,
            Seal::Sealed(records) => records.is_ready(&self.rx, ring) || self.rx.has_fin(),
        }
    }

    /// Whether the application has read all that it can of a stream, so far.
    pub fn is_drained(&self, ring: &[u8]) -> bool {
        match &self.seal {
            Seal::Plain => self.rx.readable() == 0,
            Seal::Handshake(_) => true,
            Seal::Sealed(records) => !records.is_ready(&self.rx, ring),
        }
    }

    /// Whether the stream that comes has ended, if all before the end was read; `None` if only its sender
    /// can tell, and did not: it was cut short on the way.
    pub fn has_ended(&self) -> Option<bool> {
        match &self.seal {
            Seal::Sealed(records) if records.reading == Reading::Ended => Some(true),
            Seal::Sealed(_) if self.rx.has_fin() => None,
            Seal::Sealed(_) | Seal::Handshake(_) => Some(false),
            Seal::Plain => Some(self.rx.has_fin()),
        }
    }

    /// Octets of the application that were acknowledged, written, received whole, and read.
    pub fn offsets(&self, ring: &[u8]) -> [u64; 4] {
        let Seal::Sealed(records) = &self.seal else {
            let (tx, rx) = (&self.tx, &self.rx);
            return [tx.acked(), tx.written(), rx.received(), rx.read_to()];
        };
        let (mut at, mut there) = (self.rx.read_to(), records.read);
        if let Reading::Open(left) = records.reading {
            at += u64::from(left) + TAG as u64;
            there += u64::from(left);
        }
        let end = self.rx.kept().end;
        while records.reading != Reading::Ended && at + LENGTH as u64 <= end {
            let (_, len) = length_at(ring, at);
            at += (len + OVERHEAD) as u64;
            if at <= end {
                there += len as u64;
            }
        }
        [records.acked.before(self.tx.acked()), records.written, there, records.read]
    }

    /// The peer is about to be known to have everything below `ack`; the ring still has it.
    pub fn acknowledge(&mut self, ring: &[u8], ack: u64) {
        if let Seal::Sealed(records) = &mut self.seal {
            records.acked.go(ring, ack.min(self.tx.written()));
        }
    }

    /// Octets of the application in the records that are acknowledged: of others the peer can read none.
    pub fn acked(&self) -> u64 {
        match &self.seal {
            Seal::Sealed(records) => records.acked.octets,
            Seal::Plain | Seal::Handshake(_) => self.tx.acked(),
        }
    }

    /// First octet of the application that the peer would not take: no more than that, since records have
    /// octets besides.
    pub fn window(&self) -> u64 {
        match &self.seal {
            Seal::Sealed(records) => {
                let una = self.tx.acked();
                records.acked.before(una) + self.tx.limit().saturating_sub(una)
            }
            Seal::Plain | Seal::Handshake(_) => self.tx.limit(),
        }
    }

    /// Octets of the application before an offset that is not acknowledged before.
    pub fn octets_before(&self, ring: &[u8], offset: u64) -> u64 {
        let Seal::Sealed(records) = &self.seal else { return offset };
        let mut walk = records.acked;
        walk.go(ring, offset.min(self.tx.written()));
        walk.octets
    }

    /// Octets of the tag behind each datagram.
    pub const fn datagram_tag(&self) -> usize {
        if self.is_encrypted() { DATAGRAM_TAG } else { 0 }
    }

    /// Puts a datagram into the ring; false if it does not fit.
    pub fn write_datagram(&mut self, now: u64, ring: &mut [u8], bytes: &[u8]) -> bool {
        let at = match &self.seal {
            Seal::Plain => return self.tx.write_datagram(now, ring, bytes, 0).is_some(),
            Seal::Handshake(_) => None,
            Seal::Sealed(_) => self.tx.write_datagram(now, ring, bytes, TAG),
        };
        if let (Some(at), Seal::Sealed(records)) = (&at, &mut self.seal) {
            records.seal_datagram(ring, at.clone());
        }
        at.is_some()
    }

    /// Octets of the application in the datagram that is read next, which has `len`; `None` if it is none of
    /// the peer's.
    pub fn datagram_len(&self, len: usize) -> Option<usize> {
        len.checked_sub(self.datagram_tag())
    }

    /// Takes the next datagram, of as many octets as `out`; false if it is none of the peer's.
    pub fn read_datagram(&mut self, ring: &[u8], out: &mut [u8]) -> bool {
        let mut tag = [0; TAG];
        let tag_len = self.datagram_tag();
        let number = self.rx.read_datagram(ring, out, &mut tag[..tag_len]);
        match &self.seal {
            Seal::Plain => true,
            Seal::Handshake(_) => false,
            Seal::Sealed(records) => {
                aead::open(&records.receive, number, &[], [out, &mut []], &tag)
            }
        }
    }
}
