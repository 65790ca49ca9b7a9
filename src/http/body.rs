//! The body of a response, taken out of its framing (RFC 9112 sections 6 and 7). Sans-I/O.

use super::refusal::UNREADABLE;
use crate::error::Blocked;

/// Most octets of framing in a row, in octets: between the data of two chunks, or behind the last, where
/// line ends, sizes, extensions and trailers stand. Servers need some twenty; a limit ends endless ones.
const MAX_FRAMING: u32 = 1_024;

/// Where in its body a response is.
///
/// ```text
///  Counted ───────────────── all of the data ────────────────▶ Over
///  UntilEnd
///
///             digit        no digit            LF          all of the data
///  SizeStart ───────▶ Size ────────▶ Extension ──▶ Chunk ───────────────▶ ChunkEnd
///      ▲               └── LF: as from Extension ──▶                        │ LF
///      └────────────────────────────────────────────────────────────────────┘
///             LF behind a size of 0                  LF
///  Extension ─────────────────────▶ BlankTrailer ──────────▶ Over
///                               no CR or LF │ ▲ LF
///                                           ▼ │
///                                         Trailer
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyState {
    /// In data of known length.
    Counted,
    /// In data that ends with the connection.
    UntilEnd,
    /// Before the first digit of a chunk's size.
    SizeStart,
    /// Among the digits of a chunk's size.
    Size,
    /// Behind the digits of a chunk's size, in an extension or in front of the line's end.
    Extension,
    /// In a chunk's data.
    Chunk,
    /// Behind a chunk's data.
    ChunkEnd,
    /// Behind the last chunk, in a line that has nothing in it so far.
    BlankTrailer,
    /// Behind the last chunk, in a line that has a trailer.
    Trailer,
    /// Behind the body.
    Over,
}

/// The body of a response, as far as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyReader {
    state: BodyState,
    /// Octets to come of the data or of the chunk; the chunk's size so far while that is read.
    // Within the states it would take 300 octets of ROM.
    left: u32,
    /// Octets of framing since the last data.
    framing: u32,
}

impl BodyReader {
    /// A body that ends with its connection.
    pub const UNTIL_END: Self = Self { state: BodyState::UntilEnd, left: 0, framing: 0 };
    /// A body in chunks.
    pub const CHUNKED: Self = Self { state: BodyState::SizeStart, left: 0, framing: 0 };

    /// A body of `len` octets.
    pub fn counted(len: u32) -> Self {
        let state = if len == 0 { BodyState::Over } else { BodyState::Counted };
        Self { state, left: len, framing: 0 }
    }

    /// Takes from the front of `input` until there is a piece of the body. The piece is empty only if
    /// `input` was used up, or the body is over.
    ///
    /// # Errors
    /// The framing is broken.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<&'a [u8], Blocked> {
        while let Some((&octet, rest)) = input.split_first() {
            match self.state {
                BodyState::Over => break,
                BodyState::UntilEnd => return Ok(core::mem::take(input)),
                BodyState::Counted | BodyState::Chunk => {
                    let n = input.len().min(self.left as usize);
                    let (piece, rest) = input.split_at(n);
                    *input = rest;
                    self.left -= n as u32;
                    self.framing = 0;
                    if self.left == 0 {
                        let in_chunk = self.state == BodyState::Chunk;
                        self.state = if in_chunk { BodyState::ChunkEnd } else { BodyState::Over };
                    }
                    return Ok(piece);
                }
                BodyState::SizeStart
                | BodyState::Size
                | BodyState::Extension
                | BodyState::ChunkEnd
                | BodyState::BlankTrailer
                | BodyState::Trailer => {
                    self.framing += 1;
                    if self.framing > MAX_FRAMING || !self.frame(octet) {
                        return Err(UNREADABLE);
                    }
                }
            }
            *input = rest;
        }
        Ok(&[])
    }

    /// Takes an octet around the data of a chunk; false: it cannot stand there.
    // Inlined, it makes firmware larger.
    #[inline(never)]
    fn frame(&mut self, octet: u8) -> bool {
        let ends = octet == b'\n';
        match self.state {
            BodyState::Size | BodyState::Extension if ends => {
                let is_last = self.left == 0;
                self.state = if is_last { BodyState::BlankTrailer } else { BodyState::Chunk };
            }
            BodyState::SizeStart | BodyState::Size => match (octet as char).to_digit(16) {
                Some(digit) if self.left < 1 << 28 => {
                    self.left = self.left << 4 | digit;
                    self.state = BodyState::Size;
                }
                None if self.state == BodyState::Size => self.state = BodyState::Extension,
                _ => return false,
            },
            BodyState::ChunkEnd if ends => self.state = BodyState::SizeStart,
            BodyState::ChunkEnd => return octet == b'\r',
            BodyState::BlankTrailer if ends => self.state = BodyState::Over,
            BodyState::Trailer if ends => self.state = BodyState::BlankTrailer,
            BodyState::BlankTrailer if octet != b'\r' => self.state = BodyState::Trailer,
            BodyState::BlankTrailer
            | BodyState::Trailer
            | BodyState::Extension
            | BodyState::Counted
            | BodyState::UntilEnd
            | BodyState::Chunk
            | BodyState::Over => {}
        }
        true
    }

    /// Whether the body is in chunks, and none was begun.
    pub fn is_chunked(&self) -> bool {
        self.state == BodyState::SizeStart
    }

    /// Whether the body ends only with its connection.
    pub fn is_until_end(&self) -> bool {
        self.state == BodyState::UntilEnd
    }

    /// Whether nothing of the body is to come. `ended`: the connection is at its end.
    pub fn is_over(&self, ended: bool) -> bool {
        self.state == BodyState::Over || ended && self.is_until_end()
    }
}
