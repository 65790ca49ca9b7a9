//! The decoder takes a body apart as it arrives.

use super::layout::{Role, kind};
use super::{DATA_HEADER_LEN, Data, HEADER_LEN, MAX_CONTROL, Message, WireError};

/// What a [`Decoder`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole control message, or the part of a data message before its bytes, which follow as
    /// [`Piece::Bytes`] unless there are none.
    Message(Message<'a>),
    /// Bytes of the data message begun last, and how many of its bytes are still to come.
    Bytes(&'a [u8], u32),
}

/// Takes a body apart that arrives in pieces of any size. The decoder holds at most one control
/// message; all zeros is its initial state.
#[derive(Debug, Clone)]
pub struct Decoder {
    head: [u8; MAX_CONTROL],
    have: u8,
    /// How many bytes of the data message begun are still to come.
    bytes: u32,
    /// How many octets are still to be skipped.
    skip: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder at the start of a body.
    pub const fn new() -> Self {
        Self { head: [0; MAX_CONTROL], have: 0, bytes: 0, skip: 0 }
    }

    /// Whether the body may end here: no message is half read.
    pub const fn at_boundary(&self) -> bool {
        self.have == 0 && self.bytes == 0 && self.skip == 0
    }

    /// Takes octets from the front of `input` until a piece is complete; `None` when `input` is used
    /// up.
    ///
    /// # Errors
    /// The body breaks the protocol. The rest of the body cannot be read then.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Piece<'a>>, WireError> {
        self.next_as(Role::Any, input)
    }

    /// Does as [`next`](Self::next) with a body that comes to `role`: what only others hear is unknown, or
    /// is skipped if a relay may say it.
    ///
    /// # Errors
    /// The body breaks the protocol. The rest of the body cannot be read then.
    #[inline(never)]
    pub(crate) fn next_as<'a, 'i: 'a>(
        &'a mut self,
        role: Role,
        input: &mut &'i [u8],
    ) -> Result<Option<Piece<'a>>, WireError> {
        loop {
            if self.skip > 0 {
                self.skip -= take(input, self.skip).len() as u32;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            if self.bytes > 0 {
                let bytes = take(input, self.bytes);
                self.bytes -= bytes.len() as u32;
                return Ok((!bytes.is_empty()).then_some(Piece::Bytes(bytes, self.bytes)));
            }
            if !self.fill(input, HEADER_LEN) {
                return Ok(None);
            }
            let kind = self.head[0];
            let length = u32::from_be_bytes([0, self.head[1], self.head[2], self.head[3]]);
            match kind {
                kind::SEND_REQ | kind::RECEIVE_RSP => {
                    if (length as usize) < DATA_HEADER_LEN - HEADER_LEN {
                        return Err(WireError::Length { kind, length });
                    }
                    if !self.fill(input, DATA_HEADER_LEN) {
                        return Ok(None);
                    }
                    let data = Data::decode(kind, length, &self.head[HEADER_LEN..DATA_HEADER_LEN])?;
                    self.have = 0;
                    self.bytes = data.len;
                    let message = match kind {
                        kind::SEND_REQ => Message::SendReq(data),
                        _ => Message::ReceiveRsp(data),
                    };
                    return Ok(Some(Piece::Message(message)));
                }
                kind::PAD | kind::FIRST_UNKNOWN.. => {
                    self.have = 0;
                    self.skip = length;
                    if kind == kind::PAD {
                        return Ok(Some(Piece::Message(Message::Pad(length))));
                    }
                }
                _ if role.skips(kind) => {
                    self.have = 0;
                    self.skip = length;
                }
                _ => {
                    let end = HEADER_LEN + length as usize;
                    if end > MAX_CONTROL {
                        return Err(WireError::Length { kind, length });
                    }
                    if !self.fill(input, end) {
                        return Ok(None);
                    }
                    self.have = 0;
                    let message = Message::decode_as(role, kind, &self.head[HEADER_LEN..end])?;
                    return Ok(Some(Piece::Message(message)));
                }
            }
        }
    }

    /// Fills `head` up to `upto`; false if `input` is used up before.
    fn fill(&mut self, input: &mut &[u8], upto: usize) -> bool {
        let have = usize::from(self.have);
        let bytes = take(input, upto.saturating_sub(have) as u32);
        self.head[have..have + bytes.len()].copy_from_slice(bytes);
        self.have += bytes.len() as u8;
        have + bytes.len() >= upto
    }
}

const _: () = assert!(MAX_CONTROL <= u8::MAX as usize);

// Inlined, it makes firmware larger.
#[inline(never)]
fn take<'a>(input: &mut &'a [u8], most: u32) -> &'a [u8] {
    let (bytes, rest) = input.split_at(input.len().min(most as usize));
    *input = rest;
    bytes
}
