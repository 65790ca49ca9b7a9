//! Why a request ends before its time.

use std::fmt;

use crate::wire::Status;

/// Why the router does not read on in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// The answer is END with this status.
    End(Status),
    /// The answer is END(LIMITED), since this limit was reached.
    Limited(Limit),
    /// There is no HELLO to answer.
    NoHello,
    /// There is no room for a session that is not known.
    Stranger,
}

/// The request is no sequence of messages as the protocol has them.
pub(super) const MALFORMED: Rejection = Rejection::End(Status::Malformed);

impl Rejection {
    /// The status of the END that answers a request with a HELLO.
    pub fn status(self) -> Option<Status> {
        match self {
            Self::End(status) => Some(status),
            Self::Limited(_) => Some(Status::Limited),
            Self::NoHello | Self::Stranger => None,
        }
    }
}

/// A limit, by the name that it has in [`RouterConfig`](super::RouterConfig) and in the protocol's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    MaxBody,
    MaxMessages,
    MaxSessions,
    MaxHeld,
    /// `sessions` of the policy.
    PolicySessions,
    /// `connects_per_second` of the policy.
    PolicyConnects,
    BodyRate,
    Sends,
    Claims,
    Proofs,
    Wishes,
    Peers,
    Asked,
    Acks,
    /// Of the park's HELLO, not of the relay.
    MaxResponse,
}

impl Limit {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::MaxBody,
        Self::MaxMessages,
        Self::MaxSessions,
        Self::MaxHeld,
        Self::PolicySessions,
        Self::PolicyConnects,
        Self::BodyRate,
        Self::Sends,
        Self::Claims,
        Self::Proofs,
        Self::Wishes,
        Self::Peers,
        Self::Asked,
        Self::Acks,
        Self::MaxResponse,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxBody => "max_body",
            Self::MaxMessages => "max_messages",
            Self::MaxSessions => "max_sessions",
            Self::MaxHeld => "max_held",
            Self::PolicySessions => "sessions of the policy",
            Self::PolicyConnects => "connects_per_second of the policy",
            Self::BodyRate => "body_rate",
            Self::Sends => "sends",
            Self::Claims => "claims",
            Self::Proofs => "proofs",
            Self::Wishes => "wishes",
            Self::Peers => "peers",
            Self::Asked => "asked",
            Self::Acks => "acks",
            Self::MaxResponse => "max_response",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
