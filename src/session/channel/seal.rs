//! What an encrypted channel has in its rings: records, and before these the messages of the handshake.

use super::ChannelRecord;
use super::records::{OVERHEAD, Records};
use crate::Kind;
use crate::secure::Secret;
use crate::secure::aead::TAG;
use crate::secure::noise::KEY;

pub use super::records::Tampered;

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
    Sealed(Records, Confirmation),
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
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub enum Confirmation {
    /// This end is the listener.
    None = 0,
    /// It is to be said, and has so many octets, at the start of the receive ring.
    Due(u8),
    /// It was said.
    Said(u8),
}

impl ChannelRecord {
    /// Whether the two ends encrypt.
    pub const fn is_encrypted(&self) -> bool {
        !matches!(self.seal, Seal::Plain)
    }

    /// The static key of the other end, once it has proved it.
    pub fn peer_key(&self) -> Option<[u8; KEY]> {
        match &self.seal {
            Seal::Sealed(records, _) => Some(records.peer()),
            Seal::Plain | Seal::Handshake(_) => None,
        }
    }

    /// Whether the other end has that key the next time, too, as it says.
    pub const fn is_peer_kept(&self) -> bool {
        match &self.seal {
            Seal::Sealed(records, _) => records.is_peer_kept(),
            Seal::Plain | Seal::Handshake(_) => false,
        }
    }

    /// Octets of the message of the handshake that is to be said while the channel is set up.
    pub fn handshake_len(&self) -> Option<usize> {
        match &self.seal {
            Seal::Handshake(handshake) => Some(handshake.len.into()),
            Seal::Plain | Seal::Sealed(..) => None,
        }
    }

    /// Octets of CONFIRM's message, if that is to be said. The ring has it until something comes.
    pub fn confirms(&self) -> Option<usize> {
        match &self.seal {
            Seal::Sealed(_, Confirmation::Due(len))
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
            Seal::Sealed(_, Confirmation::Due(len) | Confirmation::Said(len))
                if self.is_established() && self.rx.received() == 0 =>
            {
                Some(usize::from(*len))
            }
            _ => None,
        }
    }

    /// A request has CONFIRM.
    pub fn confirmed(&mut self) {
        if let Seal::Sealed(_, confirmation) = &mut self.seal
            && let Confirmation::Due(len) = *confirmation
        {
            *confirmation = Confirmation::Said(len);
        }
    }

    /// The listener may not have CONFIRM: it is to be said again.
    pub fn confirm_again(&mut self) {
        if let Seal::Sealed(_, confirmation) = &mut self.seal
            && let Confirmation::Said(len) = *confirmation
        {
            *confirmation = Confirmation::Due(len);
        }
    }

    /// The keys are agreed on.
    pub(super) fn sealed(&mut self, ring: &mut [u8], records: Records, confirmation: Confirmation) {
        self.seal = Seal::Sealed(records, confirmation);
        self.end_records(ring, self.tx.is_shut());
    }

    /// The record that ends a stream goes into the ring, if the stream `ends` now.
    fn end_records(&mut self, ring: &mut [u8], ends: bool) {
        if let (Seal::Sealed(records, _), Kind::Stream, true) = (&mut self.seal, self.kind, ends) {
            records.end(&mut self.tx, ring);
        }
    }

    /// Octets before FIN that are not the application's.
    pub const fn tail(&self) -> u64 {
        match &self.seal {
            Seal::Sealed(..) if self.tx.is_shut() && matches!(self.kind, Kind::Stream) => {
                OVERHEAD as u64
            }
            Seal::Plain | Seal::Handshake(_) | Seal::Sealed(..) => 0,
        }
    }

    /// Octets that an application can write into a ring of `ring` octets; 0 while they are too few.
    pub fn room(&self, ring: usize) -> usize {
        match &self.seal {
            Seal::Plain => self.tx.room(ring),
            Seal::Handshake(_) => 0,
            Seal::Sealed(records, _) => records.writable(&self.tx, ring),
        }
    }

    /// Writes what fits of `bytes` into the ring, and gives how much.
    #[inline]
    pub fn write(&mut self, ring: &mut [u8], bytes: &[u8]) -> usize {
        match &mut self.seal {
            Seal::Plain => self.tx.write(ring, bytes),
            Seal::Handshake(_) => 0,
            Seal::Sealed(records, _) => records.write(&mut self.tx, ring, bytes),
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
            Seal::Sealed(records, _) => records.read(&mut self.rx, ring, out),
        }
    }

    /// Whether the application can read something of a stream, or its end.
    pub fn is_ready(&self, ring: &[u8]) -> bool {
        match &self.seal {
            Seal::Plain => self.rx.readable() > 0 || self.rx.has_fin(),
            Seal::Handshake(_) => false,
            Seal::Sealed(records, _) => records.is_ready(&self.rx, ring) || self.rx.has_fin(),
        }
    }

    /// Whether the application has read all that it can of a stream, so far.
    pub fn is_drained(&self, ring: &[u8]) -> bool {
        match &self.seal {
            Seal::Plain => self.rx.readable() == 0,
            Seal::Handshake(_) => true,
            Seal::Sealed(records, _) => !records.is_ready(&self.rx, ring),
        }
    }

    /// Whether the stream that comes has ended, if all before the end was read; `None` if only its sender
    /// can tell, and did not: it was cut short on the way.
    pub fn has_ended(&self) -> Option<bool> {
        match &self.seal {
            Seal::Sealed(records, _) if records.has_ended() => Some(true),
            Seal::Sealed(..) if self.rx.has_fin() => None,
            Seal::Sealed(..) | Seal::Handshake(_) => Some(false),
            Seal::Plain => Some(self.rx.has_fin()),
        }
    }

    /// Octets of the application that were acknowledged, written, received whole, and read.
    pub fn offsets(&self, ring: &[u8]) -> [u64; 4] {
        let (tx, rx) = (&self.tx, &self.rx);
        match &self.seal {
            Seal::Sealed(records, _) => records.offsets(tx, rx, ring),
            Seal::Plain | Seal::Handshake(_) => {
                [tx.acked(), tx.written(), rx.received(), rx.read_to()]
            }
        }
    }

    /// The peer is about to be known to have everything below `ack`; the ring still has it.
    pub fn acknowledge(&mut self, ring: &[u8], ack: u64) {
        if let Seal::Sealed(records, _) = &mut self.seal {
            records.acknowledge(ring, ack.min(self.tx.written()));
        }
    }

    /// Octets of the application in the records that are acknowledged: of others the peer can read none.
    pub fn acked(&self) -> u64 {
        match &self.seal {
            Seal::Sealed(records, _) if matches!(self.kind, Kind::Stream) => records.acked(),
            Seal::Plain | Seal::Handshake(_) | Seal::Sealed(..) => self.tx.acked(),
        }
    }

    /// First octet of the application that the peer would not take: no more than that, since records have
    /// octets besides.
    pub fn window(&self) -> u64 {
        match &self.seal {
            Seal::Sealed(records, _) => {
                let una = self.tx.acked();
                records.acked_before(una) + self.tx.limit().saturating_sub(una)
            }
            Seal::Plain | Seal::Handshake(_) => self.tx.limit(),
        }
    }

    /// Octets of the application before an offset that is not acknowledged before.
    pub fn octets_before(&self, ring: &[u8], offset: u64) -> u64 {
        match &self.seal {
            Seal::Sealed(..) if matches!(self.kind, Kind::Datagram) => offset,
            Seal::Sealed(records, _) => records.octets_before(ring, offset.min(self.tx.written())),
            Seal::Plain | Seal::Handshake(_) => offset,
        }
    }

    /// Octets of the tag behind each datagram.
    pub const fn datagram_tag(&self) -> usize {
        if self.is_encrypted() { TAG } else { 0 }
    }

    /// Puts a datagram into the ring; false if it does not fit.
    pub fn write_datagram(&mut self, now: u64, ring: &mut [u8], bytes: &[u8]) -> bool {
        let at = match &self.seal {
            Seal::Plain => return self.tx.write_datagram(now, ring, bytes, 0).is_some(),
            Seal::Handshake(_) => None,
            Seal::Sealed(..) => self.tx.write_datagram(now, ring, bytes, TAG),
        };
        if let (Some(at), Seal::Sealed(records, _)) = (&at, &mut self.seal) {
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
            Seal::Sealed(records, _) => records.open_datagram(number, out, &tag),
        }
    }
}
