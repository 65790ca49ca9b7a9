//! How the messages are laid out: the one place that writes and reads their fields.

use super::message::{
    Accept, Address, Channel, Close, Closed, Connect, Data, DataFlags, End, Hello, HelloFlags,
    ListenReq, ListenRsp, Message, Route, Tick, Verdict, Welcome, Window,
};
use super::{
    DATA_HEADER_LEN, HEADER_LEN, MAGIC, MAX_GREETING, Name, Reader, Status, WireError, Writer,
};
use crate::Kind;

/// Type octets. From 0x80 on, a receiver skips what it does not know.
pub(crate) mod kind {
    pub const HELLO: u8 = 0x01;
    pub const WELCOME: u8 = 0x02;
    pub const END: u8 = 0x03;
    pub const ROUTE: u8 = 0x04;
    pub const FROM: u8 = 0x05;
    pub const LISTEN_REQ: u8 = 0x10;
    pub const LISTEN_RSP: u8 = 0x11;
    pub const CONNECT_REQ: u8 = 0x12;
    pub const CONNECT_RSP: u8 = 0x13;
    pub const ACCEPT_REQ: u8 = 0x14;
    pub const ACCEPT_RSP: u8 = 0x15;
    pub const SEND_REQ: u8 = 0x20;
    pub const SEND_RSP: u8 = 0x21;
    pub const RECEIVE_REQ: u8 = 0x22;
    pub const RECEIVE_RSP: u8 = 0x23;
    pub const CLOSE_REQ: u8 = 0x24;
    pub const CLOSE_RSP: u8 = 0x25;
    pub const VERDICT: u8 = 0x30;
    pub const READY: u8 = 0x31;
    pub const TICK: u8 = 0x32;
    pub const PAD: u8 = 0x40;
    pub const GONE: u8 = 0x80;
    /// What this version does not know is skipped from here on.
    pub const FIRST_UNKNOWN: u8 = 0x81;
}

impl<'a> Message<'a> {
    /// The message's type octet.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::End(_) => kind::END,
            Self::Route(_) => kind::ROUTE,
            Self::From(_) => kind::FROM,
            Self::ListenReq(_) => kind::LISTEN_REQ,
            Self::ListenRsp(_) => kind::LISTEN_RSP,
            Self::ConnectReq(_) => kind::CONNECT_REQ,
            Self::ConnectRsp(_) => kind::CONNECT_RSP,
            Self::AcceptReq(_) => kind::ACCEPT_REQ,
            Self::AcceptRsp(_) => kind::ACCEPT_RSP,
            Self::SendReq(_) => kind::SEND_REQ,
            Self::SendRsp(_) => kind::SEND_RSP,
            Self::ReceiveReq(_) => kind::RECEIVE_REQ,
            Self::ReceiveRsp(_) => kind::RECEIVE_RSP,
            Self::CloseReq(_) => kind::CLOSE_REQ,
            Self::CloseRsp(_) => kind::CLOSE_RSP,
            Self::Verdict(_) => kind::VERDICT,
            Self::Ready(_) => kind::READY,
            Self::Tick(_) => kind::TICK,
            Self::Gone(_) => kind::GONE,
            Self::Pad(_) => kind::PAD,
        }
    }

    /// Octets that [`encode`](Self::encode) writes: header and fields, without the bytes of a data message.
    pub const fn encoded_len(&self) -> usize {
        let fields = match self {
            Self::Hello(_) => 34,
            Self::Welcome(_) => 32,
            Self::End(_) => 9,
            Self::Route(_) | Self::From(_) => 28,
            Self::ListenReq(m) => 34 + m.name.len(),
            Self::ListenRsp(_) => 13,
            Self::ConnectReq(m) | Self::AcceptReq(m) => 29 + m.name.len() + m.greeting.len(),
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => 26 + m.greeting.len(),
            Self::SendReq(_) | Self::ReceiveRsp(_) => DATA_HEADER_LEN - HEADER_LEN,
            Self::SendRsp(_) | Self::ReceiveReq(_) => 29,
            Self::CloseReq(_) => 9,
            Self::CloseRsp(_) => 13,
            Self::Verdict(_) => 7,
            Self::Ready(_) | Self::Gone(_) => 16,
            Self::Tick(_) => 8,
            Self::Pad(_) => 0,
        };
        HEADER_LEN + fields
    }

    /// Writes the message to the start of `out` (for a data message or PAD, what stands before the
    /// bytes) and gives the octets written, or `None` if `out` is too short or a field too long.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let greeting = match self {
            Self::ConnectReq(m) | Self::AcceptReq(m) => m.greeting,
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => m.greeting,
            _ => &[],
        };
        if greeting.len() > MAX_GREETING {
            return None;
        }
        let mut w = Writer::new(out);
        w.u32(0);
        match self {
            Self::Hello(m) => w
                .u8(m.version)
                .u8(m.flags.bits())
                .bytes(&m.secret)
                .u64(m.seq)
                .u32(m.hold_ms)
                .u32(m.max_response),
            Self::Welcome(m) => {
                w.u8(m.version).bytes(&MAGIC).u64(m.seq).bytes(&m.address.0).u32(m.max_body)
            }
            Self::End(m) => w.u8(m.status as u8).u64(m.highest),
            Self::Route(m) | Self::From(m) => {
                w.bytes(&m.peer.0).u32(m.channel.id).u64(m.channel.token)
            }
            Self::ListenReq(m) => w
                .u32(m.claim)
                .u8(m.kind as u8)
                .u16(m.port)
                .bytes(&m.owner)
                .u64(m.epoch)
                .u8(m.backlog)
                .u8(m.heard.map_or(NOT_HEARD, |status| status as u8))
                .counted(m.name.as_bytes()),
            Self::ListenRsp(m) => w.u32(m.claim).u8(m.status as u8).u64(m.epoch),
            Self::ConnectReq(m) | Self::AcceptReq(m) => w
                .u32(m.channel.id)
                .u64(m.channel.token)
                .u8(m.kind as u8)
                .u16(m.port)
                .u64(m.limit)
                .u32(m.linger_ms)
                .counted(m.name.as_bytes())
                .counted(m.greeting),
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => w
                .u8(m.status as u8)
                .u32(m.channel.id)
                .u64(m.channel.token)
                .u64(m.limit)
                .u32(m.linger_ms)
                .counted(m.greeting),
            Self::SendReq(m) | Self::ReceiveRsp(m) => w.u64(m.offset).u8(m.flags.bits()),
            Self::SendRsp(m) | Self::ReceiveReq(m) => w
                .u64(m.ack)
                .u64(m.limit)
                .u32(m.losses)
                .u64(m.overflow)
                .u8(u8::from(m.now) | u8::from(m.done) << 1 | u8::from(m.ask) << 2),
            Self::CloseReq(m) => w.u8(m.status as u8).u64(m.offset),
            Self::CloseRsp(m) => w.u8(m.status as u8).u32(m.channel.id).u64(m.channel.token),
            Self::Verdict(m) => w.u16(m.index).u8(m.status as u8).u32(m.bytes),
            Self::Ready(address) | Self::Gone(address) => w.bytes(&address.0),
            Self::Tick(m) => w.u32(m.age_ms).u32(m.next_ms),
            Self::Pad(_) => &mut w,
        };
        let trailing = match self {
            Self::SendReq(data) | Self::ReceiveRsp(data) => data.len,
            Self::Pad(len) => *len,
            _ => 0,
        };
        let len = w.finish()?;
        let length = trailing.checked_add((len - HEADER_LEN) as u32)?;
        if length as usize > super::MAX_MESSAGE {
            return None;
        }
        let head = u32::from(self.kind()) << 24 | length;
        out.get_mut(..HEADER_LEN)?.copy_from_slice(&head.to_be_bytes());
        Some(len)
    }

    /// Reads the fields of a control message: `payload` is all of it. Data messages are read with
    /// `Data::decode`, as their bytes may not all be there.
    pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, WireError> {
        Self::decode_of(kind, payload, Side::Both)
    }

    pub(super) fn decode_of(kind: u8, payload: &'a [u8], side: Side) -> Result<Self, WireError> {
        let length = payload.len() as u32;
        let mut fields = Fields { r: Reader::new(payload), valid: true };
        let message = fields.message(kind, side).ok_or(WireError::Unknown { kind })?;
        if fields.r.is_short() || fields.valid && !fields.r.is_empty() {
            return Err(WireError::Length { kind, length });
        }
        if fields.valid { Ok(message) } else { Err(WireError::Field { kind }) }
    }
}

/// Whose messages are read: firmware that reads only answers need not have the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Answers,
}

/// On the wire for "no status heard yet".
const NOT_HEARD: u8 = 0xff;

/// Fields being read. What is not there or not valid reads as something harmless, and is noted:
/// checked once at the end, that is half the code of as many early returns.
struct Fields<'a> {
    r: Reader<'a>,
    valid: bool,
}

impl<'a> Fields<'a> {
    fn valid<T>(&mut self, value: Option<T>, else_: T) -> T {
        self.valid &= value.is_some();
        value.unwrap_or(else_)
    }

    fn status(&mut self) -> Status {
        let code = self.r.u8();
        self.valid(Status::from_code(code), Status::Ok)
    }

    fn kind(&mut self) -> Kind {
        let code = self.r.u8();
        self.valid(Kind::from_code(code), Kind::Stream)
    }

    fn address(&mut self) -> Address {
        Address(self.r.array())
    }

    fn channel(&mut self) -> Channel {
        Channel { id: self.r.u32(), token: self.r.u64() }
    }

    fn name(&mut self) -> Name {
        let name = Name::from_bytes(self.r.counted()).ok();
        self.valid(name, Name::EMPTY)
    }

    fn greeting(&mut self) -> &'a [u8] {
        let greeting = self.r.counted();
        self.valid &= greeting.len() <= MAX_GREETING;
        greeting
    }

    fn route(&mut self) -> Route {
        Route { peer: self.address(), channel: self.channel() }
    }

    fn connect(&mut self) -> Connect<'a> {
        Connect {
            channel: self.channel(),
            kind: self.kind(),
            port: self.r.u16(),
            limit: self.r.u64(),
            linger_ms: self.r.u32(),
            name: self.name(),
            greeting: self.greeting(),
        }
    }

    fn accept(&mut self) -> Accept<'a> {
        Accept {
            status: self.status(),
            channel: self.channel(),
            limit: self.r.u64(),
            linger_ms: self.r.u32(),
            greeting: self.greeting(),
        }
    }

    fn window(&mut self) -> Window {
        let (ack, limit) = (self.r.u64(), self.r.u64());
        let (losses, overflow, flags) = (self.r.u32(), self.r.u64(), self.r.u8());
        let [now, done, ask] = [1, 2, 4].map(|flag| flags & flag != 0);
        Window { ack, limit, losses, overflow, now, done, ask }
    }

    /// `None` if there is no such message.
    fn message(&mut self, kind: u8, side: Side) -> Option<Message<'a>> {
        Some(match kind {
            kind::HELLO
            | kind::ROUTE
            | kind::LISTEN_REQ
            | kind::CONNECT_REQ
            | kind::ACCEPT_RSP
            | kind::RECEIVE_REQ
                if side == Side::Answers =>
            {
                return None;
            }
            kind::HELLO => Message::Hello(Hello {
                version: self.r.u8(),
                flags: HelloFlags::from_bits(self.r.u8()),
                secret: self.r.array(),
                seq: self.r.u64(),
                hold_ms: self.r.u32(),
                max_response: self.r.u32(),
            }),
            kind::WELCOME => {
                let version = self.r.u8();
                self.valid &= self.r.array() == MAGIC;
                Message::Welcome(Welcome {
                    version,
                    seq: self.r.u64(),
                    address: self.address(),
                    max_body: self.r.u32(),
                })
            }
            kind::END => Message::End(End { status: self.status(), highest: self.r.u64() }),
            kind::ROUTE => Message::Route(self.route()),
            kind::FROM => Message::From(self.route()),
            kind::LISTEN_REQ => Message::ListenReq(ListenReq {
                claim: self.r.u32(),
                kind: self.kind(),
                port: self.r.u16(),
                owner: self.r.array(),
                epoch: self.r.u64(),
                backlog: self.r.u8(),
                heard: match self.r.u8() {
                    NOT_HEARD => None,
                    code => Some(self.valid(Status::from_code(code), Status::Ok)),
                },
                name: self.name(),
            }),
            kind::LISTEN_RSP => Message::ListenRsp(ListenRsp {
                claim: self.r.u32(),
                status: self.status(),
                epoch: self.r.u64(),
            }),
            kind::CONNECT_REQ => Message::ConnectReq(self.connect()),
            kind::ACCEPT_REQ => Message::AcceptReq(self.connect()),
            kind::CONNECT_RSP => Message::ConnectRsp(self.accept()),
            kind::ACCEPT_RSP => Message::AcceptRsp(self.accept()),
            kind::SEND_RSP => Message::SendRsp(self.window()),
            kind::RECEIVE_REQ => Message::ReceiveReq(self.window()),
            kind::CLOSE_REQ => {
                Message::CloseReq(Close { status: self.status(), offset: self.r.u64() })
            }
            kind::CLOSE_RSP => {
                Message::CloseRsp(Closed { status: self.status(), channel: self.channel() })
            }
            kind::VERDICT => Message::Verdict(Verdict {
                index: self.r.u16(),
                status: self.status(),
                bytes: self.r.u32(),
            }),
            kind::READY => Message::Ready(self.address()),
            kind::GONE => Message::Gone(self.address()),
            kind::TICK => Message::Tick(Tick { age_ms: self.r.u32(), next_ms: self.r.u32() }),
            _ => return None,
        })
    }
}

impl Data {
    /// Reads what stands before the bytes. `length` is the whole payload's, `fields` its first nine octets.
    pub(crate) fn decode(kind: u8, length: u32, fields: &[u8]) -> Result<Self, WireError> {
        let wrong = WireError::Length { kind, length };
        let len = length.checked_sub((DATA_HEADER_LEN - HEADER_LEN) as u32).ok_or(wrong)?;
        let mut r = Reader::new(fields);
        let (offset, flags) = (r.u64(), DataFlags::from_bits(r.u8()));
        if r.is_short() {
            return Err(wrong);
        }
        let whole = flags.has(DataFlags::DATAGRAM);
        if flags.has(DataFlags::PROBE) && len != 0 || whole && len as usize > super::MAX_DATAGRAM {
            return Err(wrong);
        }
        let special = flags.bits()
            & (DataFlags::FIN.bits() | DataFlags::PROBE.bits() | DataFlags::DATAGRAM.bits());
        // Each is said alone: a FIN, a PROBE, a datagram.
        if special & special.wrapping_sub(1) != 0
            || offset.checked_add(u64::from(len) + 1).is_none()
        {
            return Err(WireError::Field { kind });
        }
        Ok(Self { offset, flags, len })
    }
}
