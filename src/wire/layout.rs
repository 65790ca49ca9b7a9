//! How the messages are laid out: the one place that writes and reads their fields.

use super::field::{Field, Fields, layout};
use super::message::{
    Accept, Address, Channel, Close, Closed, Connect, Data, DataFlags, End, Hello, ListenReq,
    ListenRsp, Message, Route, Tick, Verdict, Welcome, Window,
};
use super::{HEADER_LEN, MAGIC, MAX_GREETING, MAX_NAME, Name, WireError, Writer};

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
        match self {
            Self::Hello(_) => Hello::LEN,
            Self::Welcome(_) => Welcome::LEN,
            Self::End(_) => End::LEN,
            Self::Route(_) | Self::From(_) => Route::LEN,
            Self::ListenReq(m) => ListenReq::len_with(&m.name),
            Self::ListenRsp(_) => ListenRsp::LEN,
            Self::ConnectReq(m) | Self::AcceptReq(m) => Connect::len_with(&m.name, m.greeting),
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => Accept::len_with(m.greeting),
            Self::SendReq(_) | Self::ReceiveRsp(_) => Data::LEN,
            Self::SendRsp(_) | Self::ReceiveReq(_) => Window::LEN,
            Self::CloseReq(_) => Close::LEN,
            Self::CloseRsp(_) => Closed::LEN,
            Self::Verdict(_) => Verdict::LEN,
            Self::Ready(_) | Self::Gone(_) => Address::MESSAGE_LEN,
            Self::Tick(_) => Tick::LEN,
            Self::Pad(_) => HEADER_LEN,
        }
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
            Self::Hello(m) => Field::put(m, &mut w),
            Self::Welcome(m) => Field::put(m, &mut w),
            Self::End(m) => Field::put(m, &mut w),
            Self::Route(m) | Self::From(m) => Field::put(m, &mut w),
            Self::ListenReq(m) => Field::put(m, &mut w),
            Self::ListenRsp(m) => Field::put(m, &mut w),
            Self::ConnectReq(m) | Self::AcceptReq(m) => Field::put(m, &mut w),
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => Field::put(m, &mut w),
            Self::SendReq(m) | Self::ReceiveRsp(m) => (m.offset, m.flags).put(&mut w),
            Self::SendRsp(m) | Self::ReceiveReq(m) => Field::put(m, &mut w),
            Self::CloseReq(m) => Field::put(m, &mut w),
            Self::CloseRsp(m) => Field::put(m, &mut w),
            Self::Verdict(m) => Field::put(m, &mut w),
            Self::Ready(address) | Self::Gone(address) => Field::put(address, &mut w),
            Self::Tick(m) => Field::put(m, &mut w),
            Self::Pad(_) => &mut w,
        };
        let trailing = match self {
            Self::SendReq(data) | Self::ReceiveRsp(data) => data.len,
            Self::Pad(len) => *len,
            _ => 0,
        };
        let len = w.finish()?;
        debug_assert_eq!(len, self.encoded_len());
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
        let mut fields = Fields::new(payload);
        let message = Self::take(&mut fields, kind, side).ok_or(WireError::Unknown { kind })?;
        fields.finish(kind, payload.len() as u32).map(|()| message)
    }

    /// `None` if there is no such message.
    fn take(fields: &mut Fields<'a>, kind: u8, side: Side) -> Option<Self> {
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
            kind::HELLO => Self::Hello(Hello::take(fields)),
            kind::WELCOME => Self::Welcome(Welcome::take(fields)),
            kind::END => Self::End(End::take(fields)),
            kind::ROUTE => Self::Route(Route::take(fields)),
            kind::FROM => Self::From(Route::take(fields)),
            kind::LISTEN_REQ => Self::ListenReq(ListenReq::take(fields)),
            kind::LISTEN_RSP => Self::ListenRsp(ListenRsp::take(fields)),
            kind::CONNECT_REQ => Self::ConnectReq(Connect::take(fields)),
            kind::CONNECT_RSP => Self::ConnectRsp(Accept::take(fields)),
            kind::ACCEPT_REQ => Self::AcceptReq(Connect::take(fields)),
            kind::ACCEPT_RSP => Self::AcceptRsp(Accept::take(fields)),
            kind::SEND_RSP => Self::SendRsp(Window::take(fields)),
            kind::RECEIVE_REQ => Self::ReceiveReq(Window::take(fields)),
            kind::CLOSE_REQ => Self::CloseReq(Close::take(fields)),
            kind::CLOSE_RSP => Self::CloseRsp(Closed::take(fields)),
            kind::VERDICT => Self::Verdict(Verdict::take(fields)),
            kind::READY => Self::Ready(Field::take(fields)),
            kind::GONE => Self::Gone(Field::take(fields)),
            kind::TICK => Self::Tick(Tick::take(fields)),
            _ => return None,
        })
    }
}

/// Whose messages are read: firmware that reads only answers need not have the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Answers,
}

layout! { <'a>
    Channel { id, token }
    Hello { version, flags, secret, seq, hold_ms, max_response }
    End { status, highest }
    Route { peer, channel }
    ListenReq { claim, kind, port, owner, epoch, backlog, heard, name }
    ListenRsp { claim, status, epoch }
    Connect<'a> { channel, kind, port, limit, linger_ms, name, greeting }
    Accept<'a> { status, channel, limit, linger_ms, greeting }
    Window { ack, limit, losses, overflow; now = 1, done = 2, ask = 4 }
    Close { status, offset }
    Closed { status, channel }
    Verdict { index, status, bytes }
    Tick { age_ms, next_ms }
}

/// The magic stands behind the version.
type WelcomeFields = (u8, [u8; 3], u64, Address, u32);

impl Field<'_> for Welcome {
    const SIZE: usize = WelcomeFields::SIZE;

    fn put<'w, 'o>(&self, w: &'w mut Writer<'o>) -> &'w mut Writer<'o> {
        (self.version, MAGIC, self.seq, self.address, self.max_body).put(w)
    }

    fn take(fields: &mut Fields<'_>) -> Self {
        let (version, magic, seq, address, max_body) = WelcomeFields::take(fields);
        fields.require(magic == MAGIC);
        Self { version, seq, address, max_body }
    }
}

/// What stands before the bytes of a data message; their number is part of the header.
type DataFields = (u64, DataFlags);

macro_rules! lengths {
    ($($Type:ident: $name:literal;)*) => {$(
        impl $Type {
            #[doc = concat!("Octets of ", $name, " with its header.")]
            pub const LEN: usize = HEADER_LEN + Self::SIZE;
        }
    )*};
}

lengths! {
    Hello: "HELLO";
    Welcome: "WELCOME";
    End: "END";
    Route: "ROUTE, and of FROM,";
    ListenRsp: "LISTEN_RSP";
    Window: "RECEIVE_REQ, and of SEND_RSP,";
    Close: "CLOSE_REQ";
    Closed: "CLOSE_RSP";
    Verdict: "VERDICT";
    Tick: "TICK";
}

impl Address {
    /// Octets of READY, and of GONE, with its header.
    pub(crate) const MESSAGE_LEN: usize = HEADER_LEN + Self::SIZE;
}

impl ListenReq {
    /// Octets of LISTEN_REQ with its header, for this name.
    pub const fn len_with(name: &Name) -> usize {
        HEADER_LEN + Self::SIZE + name.len()
    }
}

impl Connect<'_> {
    /// Octets of the longest CONNECT_REQ with its header.
    pub(super) const MAX_LEN: usize = HEADER_LEN + Self::SIZE + MAX_NAME + MAX_GREETING;

    /// Octets of CONNECT_REQ, and of ACCEPT_REQ, with its header, for this name and greeting.
    pub const fn len_with(name: &Name, greeting: &[u8]) -> usize {
        HEADER_LEN + Self::SIZE + name.len() + greeting.len()
    }
}

impl Accept<'_> {
    /// Octets of ACCEPT_RSP, and of CONNECT_RSP, with its header, for this greeting.
    pub const fn len_with(greeting: &[u8]) -> usize {
        HEADER_LEN + Self::SIZE + greeting.len()
    }
}

impl Data {
    /// Octets of SEND_REQ, and of RECEIVE_RSP, before the bytes: header and fields.
    pub const LEN: usize = HEADER_LEN + DataFields::SIZE;

    /// Reads what stands before the bytes. `length` is the whole payload's, `fields` is what stands
    /// before the bytes and no more.
    pub(crate) fn decode(kind: u8, length: u32, fields: &[u8]) -> Result<Self, WireError> {
        let wrong = WireError::Length { kind, length };
        let len = length.checked_sub(DataFields::SIZE as u32).ok_or(wrong)?;
        let mut fields = Fields::new(fields);
        let (offset, flags) = DataFields::take(&mut fields);
        fields.finish(kind, length)?;
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
