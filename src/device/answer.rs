//! An answer as HTTP carries it: its head, and the body taken out of its framing. Sans-I/O.

use crate::error::Blocked;

/// Header fields that a head may have: the relay sends 5, proxies and gateways add theirs. Each
/// takes the stack four words while a head is read.
const FIELDS: usize = 24;

/// Most octets between the data of two chunks, or behind the last: line ends, size, extensions, trailers.
const MAX_FRAMING: u32 = 1_024;

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its octets.
    pub len: usize,
    /// The body behind it; `None`: it is an interim one (1xx), and another follows.
    pub body: Option<Body>,
    /// Whether the connection serves another exchange.
    pub keep: bool,
}

impl Head {
    /// Reads a head from the front of `octets`; `None` while it is not whole. `by_proxy`: requests
    /// name the relay in full, for a proxy. Some of these serve one request without saying so, so
    /// one is asked again only if it says that it keeps the connection.
    ///
    /// # Errors
    /// This is no relay's answer, and what it is instead.
    // Its fields are not to stay on the stack while the session works.
    #[inline(never)]
    pub fn read(octets: &[u8], by_proxy: bool) -> Result<Option<Self>, Blocked> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let len = match response.parse(octets) {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Blocked::Foreign),
        };
        let status = response.code.unwrap_or(0);
        if status / 100 == 1 {
            return Ok(Some(Self { len, body: None, keep: true }));
        }
        if status != 200 {
            let refused = status == 407 && by_proxy;
            return Err(if refused { Blocked::ProxyAuth } else { Blocked::Http(status) });
        }
        let mut keep = response.version == Some(1) && !by_proxy;
        let (mut ours, mut body) = (false, Body::UNTIL_END);
        for field in response.headers {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            let value = field.value;
            if is("content-type") {
                let kind = value.split(|octet| *octet == b';').next().unwrap_or(value);
                ours = same(kind, b"application/octet-stream");
            } else if is("content-encoding") && !same(value, b"identity") {
                return Err(Blocked::Foreign);
            } else if is("transfer-encoding") {
                if !same(value, b"chunked") {
                    return Err(Blocked::Foreign);
                }
                body = Body::CHUNKED;
            } else if is("content-length") && body.state != State::Start {
                let counted = Body::counted(number(value).ok_or(Blocked::Foreign)?);
                if body.state != State::UntilEnd && body != counted {
                    return Err(Blocked::Foreign);
                }
                body = counted;
            } else if is("connection") || is("proxy-connection") {
                for word in value.split(|octet| *octet == b',') {
                    if same(word, b"close") {
                        keep = false;
                    } else if same(word, b"keep-alive") {
                        keep = true;
                    }
                }
            }
        }
        if !ours {
            return Err(Blocked::Foreign);
        }
        keep &= body.state != State::UntilEnd;
        Ok(Some(Self { len, body: Some(body), keep }))
    }
}

fn same(value: &[u8], word: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(word)
}

fn number(value: &[u8]) -> Option<u32> {
    let mut number: u32 = 0;
    for octet in value.trim_ascii() {
        let digit = octet.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(number)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// So many octets, and no more.
    Counted,
    /// All until the connection ends.
    UntilEnd,
    /// Before the first digit of a chunk's size,
    Start,
    /// among its digits,
    Size,
    /// behind them,
    Extension,
    /// in its data,
    Chunk,
    /// and behind those.
    Behind,
    /// In the lines behind the last chunk.
    Trailer,
    Over,
}

/// The body of an answer, as far as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    state: State,
    /// Octets to come of the body or chunk; in the lines behind the last chunk: whether the line has any.
    left: u32,
    /// Octets of framing since the last data.
    framing: u32,
}

impl Body {
    const UNTIL_END: Self = Self { state: State::UntilEnd, left: 0, framing: 0 };
    const CHUNKED: Self = Self { state: State::Start, left: 0, framing: 0 };

    fn counted(left: u32) -> Self {
        Self { state: if left == 0 { State::Over } else { State::Counted }, left, framing: 0 }
    }

    /// Takes from the front of `input` until there is a piece of the body; it is empty only if
    /// `input` was used up, or the body is over.
    ///
    /// # Errors
    /// The framing is broken.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<&'a [u8], Blocked> {
        while let Some((&octet, rest)) = input.split_first() {
            match self.state {
                State::Over => break,
                State::UntilEnd => return Ok(core::mem::take(input)),
                State::Counted | State::Chunk => {
                    let n = input.len().min(self.left as usize);
                    let (piece, rest) = input.split_at(n);
                    *input = rest;
                    self.left -= n as u32;
                    self.framing = 0;
                    if self.left == 0 {
                        let chunk = self.state == State::Chunk;
                        self.state = if chunk { State::Behind } else { State::Over };
                    }
                    return Ok(piece);
                }
                State::Start | State::Size | State::Extension | State::Behind | State::Trailer => {
                    self.framing += 1;
                    if self.framing > MAX_FRAMING || !self.frame(octet) {
                        return Err(Blocked::Foreign);
                    }
                }
            }
            *input = rest;
        }
        Ok(&[])
    }

    /// An octet around the data of a chunk; false: it cannot stand there.
    fn frame(&mut self, octet: u8) -> bool {
        let ends = octet == b'\n';
        match self.state {
            State::Size | State::Extension if ends => {
                self.state = if self.left == 0 { State::Trailer } else { State::Chunk };
            }
            State::Start | State::Size => match (octet as char).to_digit(16) {
                Some(digit) if self.left < 1 << 28 => {
                    self.left = self.left << 4 | digit;
                    self.state = State::Size;
                }
                None if self.state == State::Size => self.state = State::Extension,
                _ => return false,
            },
            State::Behind if ends => self.state = State::Start,
            State::Behind => return octet == b'\r',
            State::Trailer if ends && self.left == 0 => self.state = State::Over,
            State::Trailer => self.left = u32::from(!ends && (octet != b'\r' || self.left != 0)),
            State::Extension | State::Counted | State::UntilEnd | State::Chunk | State::Over => {}
        }
        true
    }

    /// Whether nothing of it is to come. `ended`: the connection is at its end.
    pub fn is_over(&self, ended: bool) -> bool {
        self.state == State::Over || ended && self.state == State::UntilEnd
    }
}
