//! A request on its way out, gathered in a buffer so that it takes few writes.

use embedded_io::Write;

use super::RelayAddress;
use crate::http::request::{FIELD_LINES, METHOD, PATH};

/// Decimal digits of the largest u32.
const DIGITS: usize = 10;

/// Whether the link took everything. The error is the link's own; `None`: the link took nothing and had no
/// error.
pub(super) type Sent<E> = Result<(), Option<E>>;

/// Writes all of `octets`.
fn put<L: Write>(link: &mut L, mut octets: &[u8]) -> Sent<L::Error> {
    while !octets.is_empty() {
        match link.write(octets) {
            Ok(0) => return Err(None),
            Ok(n) => octets = octets.get(n..).unwrap_or_default(),
            Err(error) => return Err(Some(error)),
        }
    }
    Ok(())
}

/// Sends the first octets of the next request behind the one that waits.
pub(super) fn speak<L: Write>(link: &mut L) -> Sent<L::Error> {
    put(link, METHOD.as_bytes())?;
    link.flush().map_err(Some)
}

/// A request that is gathered in `buffer`, and sent whenever that is full.
pub(super) struct Outgoing<'a, L: Write> {
    link: &'a mut L,
    buffer: &'a mut [u8],
    len: usize,
    sent: Sent<L::Error>,
}

impl<'a, L: Write> Outgoing<'a, L> {
    pub fn new(link: &'a mut L, buffer: &'a mut [u8]) -> Self {
        Self { link, buffer, len: 0, sent: Ok(()) }
    }

    /// Writes the head of request `seq` with a body of `len` octets. `begun`: the first octets of the head
    /// are out.
    pub fn head(&mut self, relay: &RelayAddress<'_>, seq: u64, len: usize, begun: bool) {
        let authority = relay.authority.as_bytes();
        if !begun {
            self.put(METHOD.as_bytes());
        }
        if relay.by_proxy {
            self.put(b"http://");
            self.put(authority);
        }
        self.put(relay.base.as_bytes());
        self.put(PATH.as_bytes());
        self.number(seq as u32);
        self.put(b" HTTP/1.1\r\nHost: ");
        self.put(authority);
        self.put(FIELD_LINES.as_bytes());
        self.put(relay.fields.as_bytes());
        self.put(b"Content-Length: ");
        self.number(len as u32);
        self.put(b"\r\n\r\n");
    }

    fn put(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() {
            let room = self.room();
            let n = room.len().min(octets.len());
            let (now, later) = octets.split_at(n);
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            octets = later;
            if n == 0 {
                // The buffer has no room at all.
                self.sent = Err(None);
                return;
            }
            self.len += n;
        }
    }

    fn number(&mut self, mut number: u32) {
        let mut digits = [b'0'; DIGITS];
        let mut first = DIGITS - 1;
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit += (number % 10) as u8;
            number /= 10;
            first = at;
            if number == 0 {
                break;
            }
        }
        self.put(digits.get(first..).unwrap_or_default());
    }

    /// The room for the next octets: at least 1, unless the buffer has none at all.
    pub fn room(&mut self) -> &mut [u8] {
        if self.len == self.buffer.len() {
            self.send();
        }
        self.buffer.get_mut(self.len..).unwrap_or_default()
    }

    /// Notes that `n` octets were put into the room.
    pub fn wrote(&mut self, n: usize) {
        self.len += n;
        debug_assert!(self.len <= self.buffer.len(), "more was put there than there was room");
    }

    fn send(&mut self) {
        let octets = self.buffer.get(..self.len).unwrap_or_default();
        if self.sent.is_ok() {
            self.sent = put(self.link, octets);
        }
        self.len = 0;
    }

    /// Sends the rest; whether the link took all of the request.
    pub fn finish(mut self) -> Sent<L::Error> {
        self.send();
        self.sent?;
        self.link.flush().map_err(Some)
    }
}
