//! Why parks end.

use crate::wire::Status;

/// Why a park is answered, or why an answer that has begun ends: the reasons that the protocol's page
/// lists below "What ends a park", and those of answers that stay open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParkEnd {
    /// Data for the session, or a PROBE.
    Data,
    /// ACCEPT_REQ, CONNECT_RSP, CLOSE_REQ or CLOSE_RSP for the session.
    Control,
    /// A SEND_RSP with NOW, or one that waited for long enough.
    Acknowledgement,
    /// READY or GONE.
    Peer,
    /// A claim has another status than its session heard, or another process took its name.
    Claim,
    /// The session's own send had WAKE.
    Wake,
    /// The session said BYE.
    Bye,
    /// A newer park, or the same one again.
    Newer,
    /// The hold is over.
    Hold,
    /// The relay shuts down.
    Shutdown,
    /// The policy has the entry no longer that admitted the park.
    Revoked,
    /// The client closed the connection.
    HungUp,
    /// All verdicts of a park with SINGLE are known.
    Verdicts,
    /// The messages of a park with SINGLE cannot all be dealt with, for this reason.
    Unfit(Status),
    /// Octets came behind a park with SINGLE.
    Behind,
    /// STREAM: the answer begins at once.
    Stream,
    /// No upload for the session is under way any longer.
    Delivered,
    /// The uploads for the session brought nothing for a while, or nothing was taken.
    Silence,
    /// The next message does not fit `max_response`.
    Full,
}

impl ParkEnd {
    /// The status of END.
    pub fn status(self) -> Status {
        match self {
            Self::Newer => Status::Superseded,
            Self::Shutdown => Status::Shutdown,
            Self::Unfit(status) => status,
            Self::Data
            | Self::Control
            | Self::Acknowledgement
            | Self::Peer
            | Self::Claim
            | Self::Wake
            | Self::Bye
            | Self::Hold
            | Self::Revoked
            | Self::HungUp
            | Self::Verdicts
            | Self::Behind
            | Self::Stream
            | Self::Delivered
            | Self::Silence
            | Self::Full => Status::Ok,
        }
    }
}
