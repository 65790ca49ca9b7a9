//! The layout of the messages: their type octets, the order of their fields, and their lengths. The
//! writer, the reader and the lengths all come from the two lists here, `messages!` and `layout!`.

use super::field::{Field, Fields, layout};
use super::message::{
    Accept, Address, ChannelRef, Close, Closed, Confirm, Connect, Data, DataFlags, End, Hello,
    ListenReq, ListenRsp, Message, Proof, Route, Tick, Verdict, Welcome, Window,
};
use super::{HEADER_LEN, MAGIC, MAX_GREETING, MAX_HANDSHAKE, MAX_NAME, Name, WireError, Writer};

/// Makes the type octets, the writer and the reader of the table of the messages.
macro_rules! messages {
    (
        clients { $($c_name:ident = $c_code:literal: $c_variant:ident($c_type:ty);)* }
        relays { $($r_name:ident = $r_code:literal: $r_variant:ident($r_type:ty);)* }
        both { $($b_name:ident = $b_code:literal: $b_variant:ident($b_type:ty);)* }
        data { $($d_name:ident = $d_code:literal: $d_variant:ident;)* }
    ) => {
        /// Type octets. From 0x80 on, a receiver skips what it does not know.
        pub(crate) mod kind {
            $(pub const $c_name: u8 = $c_code;)*
            $(pub const $r_name: u8 = $r_code;)*
            $(pub const $b_name: u8 = $b_code;)*
            $(pub const $d_name: u8 = $d_code;)*
            pub const PAD: u8 = 0x40;
            /// From this octet on, a message that this version does not know is skipped.
            pub const FIRST_UNKNOWN: u8 = 0x81;
        }

        impl<'a> Message<'a> {
            /// The message's type octet.
            pub const fn kind(&self) -> u8 {
                match self {
                    $(Self::$c_variant(_) => kind::$c_name,)*
                    $(Self::$r_variant(_) => kind::$r_name,)*
                    $(Self::$b_variant(_) => kind::$b_name,)*
                    $(Self::$d_variant(_) => kind::$d_name,)*
                    Self::Pad(_) => kind::PAD,
                }
            }

            /// The number of octets that [`encode`](Self::encode) writes: header and fields, without the
            /// bytes of a data message.
            pub fn encoded_len(&self) -> usize {
                HEADER_LEN + match self {
                    $(Self::$c_variant(m) => <$c_type>::SIZE + Field::counted(m),)*
                    $(Self::$r_variant(m) => <$r_type>::SIZE + Field::counted(m),)*
                    $(Self::$b_variant(m) => <$b_type>::SIZE + Field::counted(m),)*
                    $(Self::$d_variant(_) => DataFields::SIZE,)*
                    Self::Pad(_) => 0,
                }
            }

            /// Writes the fields; `None` if `role` never says the message.
            #[inline(always)]
            fn put(&self, w: &mut Writer<'_>, role: Role) -> Option<()> {
                match self {
                    $(Self::$r_variant(_))|* if role != Role::Any => return None,
                    Self::Proof(_) if !role.proves() => return None,
                    Self::ListenReq(_) | Self::AcceptRsp(_) if !role.listens() => return None,
                    Self::ConnectReq(_) if !role.connects() => return None,
                    Self::Confirm(_) if !(role.connects() && role.encrypts()) => return None,
                    $(Self::$c_variant(m) => Field::put(m, w),)*
                    $(Self::$r_variant(m) => Field::put(m, w),)*
                    $(Self::$b_variant(m) => Field::put(m, w),)*
                    $(Self::$d_variant(m) => (m.offset, m.flags).put(w),)*
                    Self::Pad(_) => w,
                };
                Some(())
            }

            /// Reads a control message; `None` if `role` never hears it.
            fn take(fields: &mut Fields<'a>, kind: u8, role: Role) -> Option<Self> {
                Some(match kind {
                    $(kind::$c_name)|* if role != Role::Any => return None,
                    kind::LISTEN_RSP | kind::ACCEPT_REQ if !role.listens() => return None,
                    kind::CONFIRM if !(role.listens() && role.encrypts()) => return None,
                    kind::CONNECT_RSP if !role.connects() => return None,
                    kind::TICK if !role.streams() => return None,
                    $(kind::$c_name => Self::$c_variant(Field::take(fields)),)*
                    $(kind::$r_name => Self::$r_variant(Field::take(fields)),)*
                    $(kind::$b_name => Self::$b_variant(Field::take(fields)),)*
                    _ => return None,
                })
            }
        }
    };
}

messages! {
    // Only clients send these.
    clients {
        HELLO = 0x01: Hello(Hello);
        ROUTE = 0x04: Route(Route);
        PROOF = 0x16: Proof(Proof<'a>);
        LISTEN_REQ = 0x10: ListenReq(ListenReq);
        CONNECT_REQ = 0x12: ConnectReq(Connect<'a>);
        ACCEPT_RSP = 0x15: AcceptRsp(Accept<'a>);
        RECEIVE_REQ = 0x22: ReceiveReq(Window);
    }
    // Only relays send these.
    relays {
        WELCOME = 0x02: Welcome(Welcome);
        END = 0x03: End(End);
        FROM = 0x05: From(Route);
        LISTEN_RSP = 0x11: ListenRsp(ListenRsp);
        CONNECT_RSP = 0x13: ConnectRsp(Accept<'a>);
        ACCEPT_REQ = 0x14: AcceptReq(Connect<'a>);
        SEND_RSP = 0x21: SendRsp(Window);
        VERDICT = 0x30: Verdict(Verdict);
        READY = 0x31: Ready(Address);
        TICK = 0x32: Tick(Tick);
        GONE = 0x80: Gone(Address);
    }
    both {
        CONFIRM = 0x17: Confirm(Confirm<'a>);
        CLOSE_REQ = 0x24: CloseReq(Close);
        CLOSE_RSP = 0x25: CloseRsp(Closed);
    }
    // Their bytes follow, and may arrive later than the fields before them.
    data {
        SEND_REQ = 0x20: SendReq;
        RECEIVE_RSP = 0x23: ReceiveRsp;
    }
}

impl<'a> Message<'a> {
    /// Writes the message to the start of `out`, without the bytes of a data message or PAD, and gives
    /// the number of octets written, or `None` if `out` is too short or a field too long.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        self.encode_as(Role::Any, out)
    }

    /// Does as [`encode`](Self::encode) with a message that `role` says; `None` if `role` never says it.
    // With std a role is a constant only where this is inlined.
    #[cfg_attr(feature = "std", inline(always))]
    pub(crate) fn encode_as(&self, role: Role, out: &mut [u8]) -> Option<usize> {
        if !self.has_sound_greeting() {
            return None;
        }
        let mut w = Writer::new(out);
        w.u32(0);
        self.put(&mut w, role)?;
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

    /// Whether this build can have messages of handshakes: all but firmware without keys can.
    pub(super) const HAS_HANDSHAKES: bool = cfg!(any(feature = "secure", feature = "std"));

    /// Whether greeting or handshake are as long as they may be.
    fn has_sound_greeting(&self) -> bool {
        match self {
            Self::ConnectReq(m) | Self::AcceptReq(m) => m.greeting.len() <= MAX_GREETING,
            Self::ConnectRsp(m) | Self::AcceptRsp(m) => m.greeting.len() <= MAX_HANDSHAKE,
            Self::Confirm(m) => m.handshake.len() <= MAX_HANDSHAKE,
            _ => true,
        }
    }

    /// Reads the fields of a control message, of which `payload` is the whole payload. Data messages
    /// are read by [`Decoder`](super::Decoder), since their bytes may arrive later.
    ///
    /// # Errors
    /// The message is unknown, or its length or a field is wrong.
    pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self, WireError> {
        Self::decode_as(Role::Any, kind, payload)
    }

    pub(super) fn decode_as(role: Role, kind: u8, payload: &'a [u8]) -> Result<Self, WireError> {
        let mut fields = Fields::new(payload);
        let message = Self::take(&mut fields, kind, role).ok_or(WireError::Unknown { kind })?;
        if Self::HAS_HANDSHAKES {
            fields.require(message.has_sound_greeting());
        }
        fields.finish(kind, payload.len() as u32).map(|()| message)
    }
}

/// What an end says and hears. Firmware goes without the code of all that its own end neither says nor
/// hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Every message is said and heard.
    Any,
    /// A client, whose session listens, connects, and has answers that stay open, or not.
    Client { listens: bool, connects: bool, streams: bool },
}

impl Role {
    const fn listens(self) -> bool {
        matches!(self, Self::Any | Self::Client { listens: true, .. })
    }

    /// Firmware without keys has none to prove.
    const fn proves(self) -> bool {
        cfg!(feature = "secure") && self.listens() || matches!(self, Self::Any)
    }

    const fn encrypts(self) -> bool {
        matches!(self, Self::Any) || cfg!(feature = "secure")
    }

    const fn connects(self) -> bool {
        matches!(self, Self::Any | Self::Client { connects: true, .. })
    }

    const fn streams(self) -> bool {
        matches!(self, Self::Any | Self::Client { streams: true, .. })
    }

    /// Whether a message of that type octet, which a relay may say, means nothing here.
    pub const fn skips(self, kind: u8) -> bool {
        match kind {
            kind::LISTEN_RSP | kind::ACCEPT_REQ => !self.listens(),
            kind::CONFIRM => !(self.listens() && self.encrypts()),
            kind::CONNECT_RSP => !self.connects(),
            kind::TICK => !self.streams(),
            _ => false,
        }
    }
}

layout! { <'a>
    ChannelRef { id, token }
    Hello { version, flags, secret, seq, hold_ms, max_response }
    End { status, highest }
    Route { peer, channel }
    Proof<'a> { key, host, signature }
    ListenReq { claim, kind, port, owner, epoch, backlog, heard, name }
    ListenRsp { claim, status, epoch }
    Connect<'a> { channel, kind, port, limit, linger_ms, name, greeting }
    Accept<'a> { status, channel, limit, linger_ms, greeting }
    Confirm<'a> { handshake }
    Window { ack, limit, losses, overflow; now = 1, done = 2, ask = 4 }
    Close { status, offset }
    Closed { status, channel }
    Verdict { index, status, bytes }
    Tick { age_ms, next_ms }
}

/// The fields of WELCOME, in which the magic stands behind the version.
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

/// The fields of a data message, which stand before its bytes; the header says how many these are.
type DataFields = (u64, DataFlags);

macro_rules! lengths {
    ($($Type:ident: $name:literal;)*) => {$(
        impl $Type {
            #[doc = concat!("Length of ", $name, " with its header, in octets.")]
            pub const LEN: usize = HEADER_LEN + Self::SIZE;
        }
    )*};
}

lengths! {
    Hello: "HELLO";
    Welcome: "WELCOME";
    End: "END";
    Route: "ROUTE and of FROM";
    ListenRsp: "LISTEN_RSP";
    Window: "RECEIVE_REQ and of SEND_RSP";
    Close: "CLOSE_REQ";
    Closed: "CLOSE_RSP";
    Verdict: "VERDICT";
    Tick: "TICK";
}

impl Proof<'_> {
    /// Length of PROOF with its header, in octets.
    pub const LEN: usize = HEADER_LEN + Self::SIZE;
}

impl ListenReq {
    /// Length in octets of a LISTEN_REQ of this name, with its header.
    pub const fn len_with(name: &Name) -> usize {
        HEADER_LEN + Self::SIZE + name.len()
    }
}

impl Connect<'_> {
    /// Length of the longest CONNECT_REQ with its header, in octets.
    pub(super) const MAX_LEN: usize = HEADER_LEN + Self::SIZE + MAX_NAME + MAX_GREETING;

    /// Length in octets of a CONNECT_REQ or ACCEPT_REQ of this name and greeting, with its header.
    pub const fn len_with(name: &Name, greeting: &[u8]) -> usize {
        HEADER_LEN + Self::SIZE + name.len() + greeting.len()
    }
}

impl Accept<'_> {
    /// Length of the longest ACCEPT_RSP with its header, in octets.
    pub(super) const MAX_LEN: usize = HEADER_LEN + Self::SIZE + MAX_HANDSHAKE;

    /// Length in octets of an ACCEPT_RSP or CONNECT_RSP of this greeting, with its header.
    pub const fn len_with(greeting: &[u8]) -> usize {
        HEADER_LEN + Self::SIZE + greeting.len()
    }
}

impl Confirm<'_> {
    /// Length in octets of a CONFIRM of a handshake message of `handshake` octets, with its header.
    pub const fn len_with(handshake: usize) -> usize {
        HEADER_LEN + Self::SIZE + handshake
    }
}

impl Data {
    /// Length of SEND_REQ and of RECEIVE_RSP before the bytes, in octets: header and fields.
    pub const LEN: usize = HEADER_LEN + DataFields::SIZE;

    /// Reads the fields before the bytes. `length` is that of the whole payload; `fields` holds the
    /// fields and nothing else.
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
        // FIN, PROBE and DATAGRAM exclude each other.
        if special & special.wrapping_sub(1) != 0
            || offset.checked_add(u64::from(len) + 1).is_none()
        {
            return Err(WireError::Field { kind });
        }
        Ok(Self { offset, flags, len })
    }
}
