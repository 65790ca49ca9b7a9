//! The status codes: one table for verdicts, refusals, ends of exchanges and reasons to close.

/// The party that has to change something when a status other than OK is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is to be changed: the operation succeeded, or the status is expected to happen.
    Nobody,
    /// This client's configuration, or the program's use of it, is at fault.
    Config,
    /// The other peer is at fault, or not ready.
    Peer,
    /// A limit was reached.
    Resource,
    /// The path or the relay is at fault.
    Transport,
}

/// The field of a message in which a status may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The status of END.
    End,
    /// The status of LISTEN_RSP.
    ListenRsp,
    /// The status of ACCEPT_RSP and CONNECT_RSP, as a listener gives it.
    AcceptRsp,
    /// The status of CLOSE_REQ.
    CloseReq,
    /// The status of CLOSE_RSP.
    CloseRsp,
    /// The VERDICT of any message.
    Verdict,
    /// The VERDICT of CONNECT_REQ.
    ConnectVerdict,
    /// The VERDICT of ACCEPT_RSP.
    AcceptVerdict,
}

macro_rules! statuses {
    ($($(#[doc = $doc:literal])+
        $name:ident = $code:literal, $wire:literal, $fault:ident, [$($place:ident)*];)+) => {
        /// A status code of the protocol.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Status { $($(#[doc = $doc])+ $name = $code,)+ }

        impl Status {
            /// Every status, in the order of the codes.
            pub const ALL: &'static [Status] = &[$(Status::$name,)+];

            /// The status of a code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Status::$name),)+ _ => None }
            }

            /// The protocol's name of the status.
            pub const fn name(self) -> &'static str {
                match self { $(Status::$name => $wire,)+ }
            }

            /// The party that has to change something.
            pub const fn fault(self) -> Fault {
                match self { $(Status::$name => Fault::$fault,)+ }
            }

            /// Whether the protocol has the status in that field. Elsewhere the sender is at fault.
            // The place is known where it is called: inlined this is a test of a few bits.
            #[inline(always)]
            pub const fn fits(self, place: Place) -> bool {
                $(if matches!(self, Status::$name) && matches!(place, $(Place::$place)|*) {
                    return true;
                })+
                false
            }
        }
    };
}

statuses! {
    /// The request was granted.
    Ok = 0x00, "OK", Nobody, [End ListenRsp AcceptRsp];
    /// Verdict: the message was written into a response to the peer, or kept for its next response
    /// (RECEIVE_REQ).
    Delivered = 0x01, "DELIVERED", Nobody, [Verdict ConnectVerdict AcceptVerdict];
    /// Verdict: the peer is between two parks, or its connection does not take its response.
    Busy = 0x10, "BUSY", Peer, [Verdict ConnectVerdict AcceptVerdict];
    /// Verdict: the peer has not parked within the relay's grace.
    Away = 0x11, "AWAY", Peer, [Verdict ConnectVerdict AcceptVerdict];
    /// A limit of the relay was reached.
    Limited = 0x12, "LIMITED", Resource, [End ListenRsp Verdict ConnectVerdict AcceptVerdict];
    /// The relay was started a moment ago: the name or peer may be on its way back.
    Retry = 0x13, "RETRY", Transport, [ListenRsp Verdict ConnectVerdict AcceptVerdict];
    /// What the client's token permits does not include that endpoint.
    Forbidden = 0x14, "FORBIDDEN", Config, [ListenRsp ConnectVerdict];
    /// No listener is at the endpoint.
    NoListener = 0x20, "NO_LISTENER", Peer, [AcceptRsp ConnectVerdict AcceptVerdict];
    /// Another owner holds the endpoint.
    InUse = 0x21, "IN_USE", Config, [ListenRsp];
    /// The listener has no room: its backlog or its channels are used up.
    BacklogFull = 0x22, "BACKLOG_FULL", Peer, [AcceptRsp];
    /// The endpoint serves the other kind (stream, datagram).
    WrongKind = 0x23, "WRONG_KIND", Config, [AcceptRsp ConnectVerdict];
    /// A process of the same owner with a higher epoch holds the endpoint.
    Taken = 0x24, "TAKEN", Config, [ListenRsp];
    /// The relay has no PROOF of this session that the claimed name is its key's.
    Prove = 0x25, "PROVE", Nobody, [ListenRsp];
    /// The session's PROOF does not hold: it is of another key or session, or for another relay.
    Unproved = 0x26, "UNPROVED", Config, [ListenRsp];
    /// One of the two ends encrypts, and the other does not.
    WrongSecurity = 0x27, "WRONG_SECURITY", Config, [AcceptRsp ConnectVerdict];
    /// A newer park took the place of this one.
    Superseded = 0x30, "SUPERSEDED", Nobody, [End];
    /// The relay answered this park before, and that answer is lost.
    Repeated = 0x31, "REPEATED", Transport, [End];
    /// The relay has seen a later park, whose number END tells.
    Stale = 0x32, "STALE", Nobody, [End];
    /// The relay is shutting down.
    Shutdown = 0x33, "SHUTDOWN", Transport, [End];
    /// The request's body is no sequence of messages of this protocol.
    Malformed = 0x40, "MALFORMED", Config, [End];
    /// The relay does not speak the version of HELLO; WELCOME names its own.
    Version = 0x41, "VERSION", Config, [End];
    /// Close: the application closed the channel.
    Closed = 0x50, "CLOSED", Nobody, [CloseReq CloseRsp];
    /// Close: the application gave the channel up with bytes unacknowledged.
    Aborted = 0x51, "ABORTED", Peer, [CloseReq];
    /// Close: the channel addressed does not exist here.
    Unknown = 0x52, "UNKNOWN", Peer, [CloseRsp];
    /// Close: nothing was heard for the linger time with something outstanding.
    Linger = 0x53, "LINGER", Transport, [CloseReq];
    /// Close: the peer broke the protocol.
    Protocol = 0x54, "PROTOCOL", Peer, [CloseReq];
    /// Close: the handshake failed, since the ends have no secret in common, or something on the way
    /// changed it.
    Handshake = 0x55, "HANDSHAKE", Peer, [AcceptRsp CloseReq];
    /// Close: the peer's key is not admitted here, or not the one that was expected.
    WrongKey = 0x56, "WRONG_KEY", Config, [CloseReq];
    /// Close: what came was changed on the way: a record did not verify.
    Tampered = 0x57, "TAMPERED", Transport, [CloseReq];
}

impl Status {
    /// The status as a session of that version knows it: what came with version 2 is told by a status of
    /// version 1 that means nearly the same.
    pub const fn known_to(self, version: u8) -> Self {
        match self {
            Self::WrongSecurity if version < 2 => Self::WrongKind,
            Self::Prove | Self::Unproved if version < 2 => Self::InUse,
            Self::Forbidden if version < 2 => Self::Limited,
            status => status,
        }
    }
}
