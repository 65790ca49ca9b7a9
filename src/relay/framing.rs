//! Which requests of a connection say their length in two ways.
//!
//! RFC 9112, 6.1 and 6.3: a request with Content-Length beside Transfer-Encoding may be an attempt to
//! smuggle another request past a proxy that goes by Content-Length. hyper hides Content-Length in
//! such a request, reads it by Transfer-Encoding and closes the connection behind it. So
//! nothing depends on [`Framing`] but that the request is refused, as it should be. Where it cannot
//! tell how hyper reads on, the connection is closed behind the next answer, so that no request is
//! served that it did not see.

use heapless::Vec;

/// Octets that are kept of a line: more than a length's with its header's name.
const LINE: usize = 64;

/// Follows a connection from its first octet on, through heads and bodies.
#[derive(Debug, Default)]
pub(super) struct Framing {
    position: Position,
    line: CurrentLine,
    /// Requests whose head was seen.
    requests: u32,
}

/// Where in a request the next octet is.
///
/// ```text
///        Content-Length            all octets
///  Head ────────────────▶ Body ─────────────────▶ Head
///   │ Transfer-Encoding           a size                the end of the chunk
///   ├───────────────────▶ Size ──────────▶ Chunk ──────────────────────────▶ Size
///   │                      └── the size 0 ──▶ Trailers ── an empty line ──▶ Head
///   └── both, or what hyper may read in another way, in any of them ──▶ Lost
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// What the head says so far; `None` before its first line.
    Head(Option<Lengths>),
    /// So many octets of data to come; then the next head.
    Body(u64),
    /// The line with a chunk's size.
    Size,
    /// So many octets of a chunk to come, the end of its line among them.
    Chunk(u64),
    /// The lines behind the last chunk.
    Trailers,
    /// Nothing more is looked at.
    Lost,
}

impl Default for Position {
    fn default() -> Self {
        Self::Head(None)
    }
}

/// How a head says the length of its body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lengths {
    content_length: ContentLength,
    /// Whether there is Transfer-Encoding.
    chunked: bool,
}

/// What a head says in Content-Length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum ContentLength {
    #[default]
    None,
    Octets(u64),
    /// Two lengths that differ, a value that is no number, or too long a line.
    Odd,
}

/// The line that is being read.
#[derive(Debug, Default)]
struct CurrentLine {
    /// Its beginning, without blanks behind a blank or a colon.
    octets: Vec<u8, LINE, u8>,
    /// Whether it is longer than what is kept of it.
    is_long: bool,
    /// Whether its last octet was CR.
    after_cr: bool,
}

impl CurrentLine {
    fn is_empty(&self) -> bool {
        self.octets.is_empty() && !self.is_long
    }
}

impl Framing {
    /// Looks at the octets that came next. Gives the number of a request, from 1, that says its length
    /// in two ways; behind it nothing is looked at.
    pub fn see(&mut self, mut octets: &[u8]) -> Option<u32> {
        while !octets.is_empty() {
            let used = match &mut self.position {
                Position::Lost => return None,
                Position::Body(left) | Position::Chunk(left) => {
                    let used = usize::try_from(*left).map_or(octets.len(), |n| n.min(octets.len()));
                    *left -= used as u64;
                    self.position = match self.position {
                        Position::Body(0) => Position::Head(None),
                        Position::Chunk(0) => Position::Size,
                        position => position,
                    };
                    used
                }
                Position::Head(_) | Position::Size | Position::Trailers => {
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

    /// Whether the last octet was one of a head that is not whole; true where that is not known.
    pub fn is_in_head(&self) -> bool {
        match self.position {
            Position::Head(None) => !self.line.is_empty(),
            Position::Head(Some(_)) | Position::Lost => true,
            Position::Body(_) | Position::Size | Position::Chunk(_) | Position::Trailers => false,
        }
    }

    /// The number, from 1, of the request behind which nothing is looked at, as it is not known where
    /// the next one begins.
    pub fn lost(&self) -> Option<u32> {
        (self.position == Position::Lost).then_some(self.requests)
    }

    /// True: see [`end_line`](Self::end_line).
    fn line_octet(&mut self, octet: u8) -> bool {
        let after_cr = core::mem::replace(&mut self.line.after_cr, octet == b'\r');
        match octet {
            b'\n' if after_cr || matches!(self.position, Position::Head(_)) => {
                let line = core::mem::take(&mut self.line);
                return self.end_line(&line);
            }
            // hyper refuses CR without LF, and takes LF without CR for a part of a trailer.
            _ if after_cr || octet == b'\n' => self.position = Position::Lost,
            b'\r' => {}
            b' ' | b'\t' if matches!(self.line.octets.last(), Some(b' ' | b'\t' | b':')) => {}
            _ => self.line.is_long |= self.line.octets.push(octet).is_err(),
        }
        false
    }

    /// True: the line ends a head that says its length in two ways.
    fn end_line(&mut self, line: &CurrentLine) -> bool {
        match &mut self.position {
            Position::Head(None) if line.is_empty() => {}
            Position::Head(Some(lengths)) if line.is_empty() => {
                let lengths = *lengths;
                return self.end_head(lengths);
            }
            Position::Head(head @ None) => *head = Some(Lengths::default()),
            Position::Head(Some(lengths)) => lengths.read_header(line),
            Position::Size => {
                let is_digit = |octet: &&u8| octet.is_ascii_hexdigit();
                let digits = line.octets.iter().take_while(is_digit).count();
                // Zeros may be followed by others.
                let is_whole = digits < line.octets.len() || !line.is_long;
                self.position = match number(&line.octets[..digits], 16).filter(|_| is_whole) {
                    Some(0) => Position::Trailers,
                    Some(size) => size.checked_add(2).map_or(Position::Lost, Position::Chunk),
                    None => Position::Lost,
                };
            }
            Position::Trailers if line.is_empty() => self.position = Position::Head(None),
            Position::Trailers | Position::Body(_) | Position::Chunk(_) | Position::Lost => {}
        }
        false
    }

    fn end_head(&mut self, lengths: Lengths) -> bool {
        self.requests = self.requests.saturating_add(1);
        let Lengths { content_length, chunked } = lengths;
        self.position = match (content_length, chunked) {
            (ContentLength::None, true) => Position::Size,
            (ContentLength::None | ContentLength::Octets(0), false) => Position::Head(None),
            (ContentLength::Octets(octets), false) => Position::Body(octets),
            (ContentLength::Octets(_) | ContentLength::Odd, _) => Position::Lost,
        };
        chunked && content_length != ContentLength::None
    }
}

impl Lengths {
    fn read_header(&mut self, line: &CurrentLine) {
        let Some(colon) = line.octets.iter().position(|octet| *octet == b':') else { return };
        let (name, value) = line.octets.split_at(colon);
        if name.eq_ignore_ascii_case(b"content-length") {
            let octets = number(value[1..].trim_ascii(), 10).filter(|_| !line.is_long);
            self.content_length = match (self.content_length, octets) {
                (ContentLength::None, Some(octets)) => ContentLength::Octets(octets),
                // hyper takes the same length twice, as RFC 9112, 6.3 allows.
                (ContentLength::Octets(before), Some(octets)) if before == octets => {
                    ContentLength::Octets(before)
                }
                _ => ContentLength::Odd,
            };
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.chunked = true;
        }
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

    /// Requests that say their length in one way.
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

    /// Sees the octets in two pieces, wherever they are cut, and in single octets.
    fn sees(octets: &[u8], expected: Option<u32>) {
        let show = || String::from_utf8_lossy(octets).into_owned();
        for cut in 0..=octets.len() {
            let mut framing = Framing::default();
            let (first, rest) = octets.split_at(cut);
            let seen = framing.see(first).or_else(|| framing.see(rest));
            assert_eq!(seen, expected, "cut at {cut}: {}", show());
            if expected.is_none() {
                assert_eq!(framing.position, Position::Head(None), "cut at {cut}: {}", show());
            }
        }
        let mut framing = Framing::default();
        let seen = octets.chunks(1).find_map(|octet| framing.see(octet));
        assert_eq!(seen, expected, "in single octets: {}", show());
    }

    #[test]
    fn head_is_under_way_from_its_first_octet_until_it_is_whole() {
        for one in FINE {
            let mut framing = Framing::default();
            assert!(!framing.is_in_head());
            framing.see(one.as_bytes());
            assert!(!framing.is_in_head(), "{one}");
            for piece in ["P", "OST / HTTP/1.1\r\n", "Content-Length: 5\r\n\r"] {
                framing.see(piece.as_bytes());
                assert!(framing.is_in_head(), "{one}, {piece}");
            }
            for piece in ["\n", "hell", "o"] {
                framing.see(piece.as_bytes());
                assert!(!framing.is_in_head(), "{one}, {piece}");
            }
        }
    }

    #[test]
    fn request_with_both_lengths_is_seen_behind_any_other() {
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
    fn request_with_both_lengths_is_seen_in_a_long_head() {
        let long = "y".repeat(10_000);
        for both in BOTH {
            let long = both.replacen("/1.1", &format!("/1.1\r\nX: {long}"), 1);
            let mut framing = Framing::default();
            assert_eq!(framing.see(long.as_bytes()), Some(1), "{both}");
        }
    }

    #[test]
    fn lost_position_stays_lost() {
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
