//! Which requests of a connection say their length in two ways.
//!
//! RFC 9112, 6.1 and 6.3: a request with Content-Length beside Transfer-Encoding may be an attempt to
//! smuggle another one past a proxy that believes the former. hyper drops Content-Length from what
//! it shows of such a request, reads it by Transfer-Encoding and closes the connection behind it. So
//! nothing depends on [`Framing`] but that the request is refused, as it should be: should it ever
//! lose its place in what it sees, the connection still ends there.

use heapless::Vec;

/// Octets that are kept of a line: more than a length's with its header's name.
const LINE: usize = 64;

/// Follows a connection from its first octet on, through heads and bodies.
#[derive(Debug, Default)]
pub(super) struct Framing {
    place: Place,
    /// The beginning of the line that is being read.
    line: Vec<u8, LINE, u8>,
    /// Whether the line is longer than that.
    is_long: bool,
    /// Whether a head has begun.
    begun: bool,
    length: Length,
    chunked: bool,
    /// Requests whose head was seen.
    requests: u32,
}

/// Where in a request the next octet is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    /// So many octets of data to come; then the next head.
    Body(u64),
    /// The line with a chunk's size.
    Size,
    /// So many octets of a chunk to come, the end of its line among them.
    Chunk(u64),
    Trailers,
    /// Nothing more is looked at.
    Lost,
}

/// What a head says in Content-Length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Octets(u64),
    /// It is said twice, or is no number.
    Odd,
}

impl Framing {
    /// What came next. The number of a request, from 1, that says its length in two ways; behind
    /// it nothing is looked at.
    pub fn see(&mut self, mut octets: &[u8]) -> Option<u32> {
        while !octets.is_empty() {
            let used = match &mut self.place {
                Place::Lost => return None,
                Place::Body(left) | Place::Chunk(left) => {
                    let used = usize::try_from(*left).map_or(octets.len(), |n| n.min(octets.len()));
                    *left -= used as u64;
                    self.place = match self.place {
                        Place::Body(0) => Place::Head,
                        Place::Chunk(0) => Place::Size,
                        place => place,
                    };
                    used
                }
                Place::Head | Place::Size | Place::Trailers => {
                    let end = octets.iter().position(|octet| *octet == b'\n');
                    let part = &octets[..end.unwrap_or(octets.len())];
                    let kept = part.len().min(LINE - self.line.len());
                    let _ = self.line.extend_from_slice(&part[..kept]);
                    self.is_long |= kept < part.len();
                    if end.is_some() {
                        let line = core::mem::take(&mut self.line);
                        let is_long = core::mem::take(&mut self.is_long);
                        if self.end_line(line.strip_suffix(b"\r").unwrap_or(&line), is_long) {
                            return Some(self.requests);
                        }
                    }
                    end.map_or(part.len(), |end| end + 1)
                }
            };
            octets = &octets[used..];
        }
        None
    }

    /// True: it ends a head that says its length in two ways.
    fn end_line(&mut self, line: &[u8], is_long: bool) -> bool {
        match self.place {
            Place::Head if line.is_empty() && !is_long => return self.begun && self.end_head(),
            Place::Head if !self.begun => self.begun = true,
            Place::Head => self.header(line, is_long),
            Place::Size => {
                let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
                self.place = match number(&line[..digits], 16) {
                    Some(0) => Place::Trailers,
                    Some(size) => size.checked_add(2).map_or(Place::Lost, Place::Chunk),
                    None => Place::Lost,
                };
            }
            Place::Trailers if line.is_empty() && !is_long => self.place = Place::Head,
            Place::Trailers | Place::Body(_) | Place::Chunk(_) | Place::Lost => {}
        }
        false
    }

    fn header(&mut self, line: &[u8], is_long: bool) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { return };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let octets = number(value[1..].trim_ascii(), 10);
            self.length = match (self.length, octets) {
                (Length::None, Some(octets)) if !is_long => Length::Octets(octets),
                _ => Length::Odd,
            };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
    }

    fn end_head(&mut self) -> bool {
        self.requests = self.requests.saturating_add(1);
        self.begun = false;
        let (length, chunked) =
            (core::mem::take(&mut self.length), core::mem::take(&mut self.chunked));
        self.place = match (length, chunked) {
            (Length::None, true) => Place::Size,
            (Length::None | Length::Octets(0), false) => Place::Head,
            (Length::Octets(octets), false) => Place::Body(octets),
            (Length::Octets(_) | Length::Odd, _) => Place::Lost,
        };
        chunked && length != Length::None
    }
}

/// Digits and nothing else.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let fits = digits.iter().all(|octet| char::from(*octet).is_digit(radix));
    let digits = core::str::from_utf8(digits).ok().filter(|_| fits)?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is a request with one length.
    const FINE: [&str; 7] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nPOST /v1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nContent-LENGTH:\t 29 \r\n\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1 HTTP/1.1\nTransfer-Encoding: chunked\n\n1b\r\n\r\n\r\nContent-Length: 5555555\r\n0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;Content-Length=5\r\nx\r\n00\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nContent-Length: 5\r\nA: b\r\n\r\n",
        "POST /Content-Length:5 HTTP/1.1\r\nX-Content-Length: 5\r\nA: Content-Length: 5\r\n\
         Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
    ];

    const BOTH: [&str; 4] = [
        "POST /v1 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\ncontent-length:5\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nContent-Length: five\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1 HTTP/1.1\nContent-Length: 1\nContent-Length: 1\nTransfer-Encoding: chunked\n\n",
    ];

    /// However it is cut.
    fn sees(octets: &[u8], expected: Option<u32>) {
        let show = || String::from_utf8_lossy(octets).into_owned();
        for cut in 0..=octets.len() {
            let mut framing = Framing::default();
            let (first, rest) = octets.split_at(cut);
            let seen = framing.see(first).or_else(|| framing.see(rest));
            assert_eq!(seen, expected, "cut at {cut}: {}", show());
            if expected.is_none() {
                assert_eq!(framing.place, Place::Head, "cut at {cut}: {}", show());
            }
        }
        let mut framing = Framing::default();
        let seen = octets.chunks(1).find_map(|octet| framing.see(octet));
        assert_eq!(seen, expected, "in single octets: {}", show());
    }

    #[test]
    fn both_lengths_are_seen_behind_any_request() {
        for one in FINE {
            sees(one.as_bytes(), None);
            for other in FINE {
                sees([one, other].concat().as_bytes(), None);
                for both in BOTH {
                    sees([one, other, both].concat().as_bytes(), Some(3));
                }
            }
        }
    }

    #[test]
    fn both_lengths_are_seen_in_a_long_head() {
        let long = "y".repeat(10_000);
        for both in BOTH {
            let long = both.replacen("/1.1", &format!("/1.1\r\nX: {long}"), 1);
            let mut framing = Framing::default();
            assert_eq!(framing.see(long.as_bytes()), Some(1), "{both}");
        }
    }

    #[test]
    fn a_place_that_is_lost_stays_lost() {
        for lost in [
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            let mut framing = Framing::default();
            assert_eq!(framing.see(lost.as_bytes()), None);
            assert_eq!(framing.place, Place::Lost, "{lost}");
            assert_eq!(framing.see(BOTH[0].as_bytes()), None);
        }
    }
}
