//! Which requests of a connection say their length in two ways.
//!
//! RFC 9112, 6.1 and 6.3: a request with Content-Length beside Transfer-Encoding may be an attempt to
//! smuggle another one past a proxy that believes the former. hyper drops Content-Length from what
//! it shows of such a request, reads it by Transfer-Encoding and closes the connection behind it. So
//! nothing depends on [`Framing`] but that the request is refused, as it should be. Where it cannot
//! tell how hyper reads on, the connection is closed behind the next answer, so that no request is
//! served that it did not see.

use heapless::Vec;

/// Octets that are kept of a line: more than a length's with its header's name.
const LINE: usize = 64;

/// Follows a connection from its first octet on, through heads and bodies.
#[derive(Debug, Default)]
pub(super) struct Framing {
    place: Place,
    /// The beginning of the line that is being read, without blanks behind a blank or a colon.
    line: Vec<u8, LINE, u8>,
    /// Whether the line is longer than that.
    is_long: bool,
    /// Whether the last octet of a line was CR.
    after_cr: bool,
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
    /// It is said twice and not the same, or is no number, or too long a line.
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
                    if self.line_octet(octets[0]) {
                        return Some(self.requests);
                    }
                    1
                }
            };
            octets = &octets[used..];
        }
        None
    }

    /// The number, from 1, of the request behind which nothing is looked at, as where that begins is
    /// not known.
    pub fn lost(&self) -> Option<u32> {
        (self.place == Place::Lost).then_some(self.requests)
    }

    /// True: see [`end_line`](Self::end_line).
    fn line_octet(&mut self, octet: u8) -> bool {
        let after_cr = core::mem::replace(&mut self.after_cr, octet == b'\r');
        match octet {
            b'\n' if after_cr || self.place == Place::Head => {
                let line = core::mem::take(&mut self.line);
                let is_long = core::mem::take(&mut self.is_long);
                return self.end_line(&line, is_long);
            }
            // hyper refuses CR without LF, and takes LF without CR for a part of a trailer.
            _ if after_cr || octet == b'\n' => self.place = Place::Lost,
            b'\r' => {}
            b' ' | b'\t' if matches!(self.line.last(), Some(b' ' | b'\t' | b':')) => {}
            _ => self.is_long |= self.line.push(octet).is_err(),
        }
        false
    }

    /// True: it ends a head that says its length in two ways.
    fn end_line(&mut self, line: &[u8], is_long: bool) -> bool {
        match self.place {
            Place::Head if line.is_empty() && !is_long => return self.begun && self.end_head(),
            Place::Head if !self.begun => self.begun = true,
            Place::Head => self.header(line, is_long),
            Place::Size => {
                let digits = line.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
                // Zeros may be followed by others.
                let is_whole = digits < line.len() || !is_long;
                self.place = match number(&line[..digits], 16).filter(|_| is_whole) {
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
                // hyper takes it, as RFC 9112, 6.3 allows.
                (Length::Octets(before), Some(octets)) if !is_long && before == octets => {
                    self.length
                }
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
    const FINE: [&str; 10] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nPOST /v1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nContent-LENGTH:\t 29 \r\n\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1 HTTP/1.1\nTransfer-Encoding: chunked\n\n1b\r\n\r\n\r\nContent-Length: 5555555\r\n0\r\n\r\n",
        "POST /v1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;Content-Length=5\r\nx\r\n00\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nTransfer-Encoding:chunked\r\n\r\n0\r\nContent-Length: 5\r\nA: b\r\n\r\n",
        "POST /v1 HTTP/1.1\r\nContent-Length: 5\r\ncontent-length:05\r\nHost: x\r\n\r\nhello",
        concat!(
            "POST /v1 HTTP/1.1\r\nContent-Length:                                                  ",
            "\t\t\t\t\t                                                     5                     ",
            "                                                                                \r\n\r\nhello"
        ),
        "POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
         1;name=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n0\r\n\r\n",
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
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let counted = "POST / HTTP/1.1\r\nContent-Length: ";
        let zeros = "0".repeat(LINE);
        for lost in [
            format!("{counted}5\r\nContent-Length: 4\r\n\r\nhello"),
            format!("{counted}-5\r\n\r\n"),
            format!("{counted}99999999999999999999\r\n\r\n"),
            format!("{counted}{zeros}5\r\n\r\n"),
            format!("{counted}5\r\n\r\nhello\rX"),
            format!("{chunked}x\r\n"),
            format!("{chunked}5\n"),
            format!("{chunked}ffffffffffffffff\r\n"),
            format!("{chunked}{zeros}5\r\n"),
            format!("{chunked}{zeros}0\r\n"),
            format!("{chunked}0\r\n\n"),
            format!("{chunked}0\r\nA: b\n\nPOST"),
            format!("{chunked}0\r\nA: {zeros}\n\nPOST"),
        ] {
            for cut in 0..=lost.len() {
                let mut framing = Framing::default();
                let (first, rest) = lost.split_at(cut);
                assert_eq!(framing.see(first.as_bytes()), None, "cut at {cut}: {lost}");
                assert_eq!(framing.see(rest.as_bytes()), None, "cut at {cut}: {lost}");
                assert_eq!(framing.lost(), Some(1), "cut at {cut}: {lost}");
                assert_eq!(framing.see(BOTH[0].as_bytes()), None);
                assert_eq!(framing.lost(), Some(1), "cut at {cut}: {lost}");
            }
        }
    }
}
