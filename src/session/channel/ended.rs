//! What a channel that has ended tells its application.

use super::{Channel, End};
use crate::error::{ConfigError, Error, PeerError, ResourceError, TransportError};
use crate::wire::Status;

impl Channel {
    /// The error that the application gets once the channel has ended.
    pub fn error(&self) -> Option<Error> {
        let acked = self.tx.acked();
        let received = self.end_offset();
        Some(match self.ending()? {
            End::InOrder => return None,
            End::Refused(Status::NoListener) => PeerError::NoListener.into(),
            End::Refused(Status::BacklogFull) => PeerError::BacklogFull.into(),
            End::Refused(Status::WrongKind) => ConfigError::WrongKind.into(),
            End::Refused(Status::Limited) => ResourceError::Relay.into(),
            End::Here(Status::Linger) if self.is_all_but_done() => {
                TransportError::EndUnconfirmed { acked }.into()
            }
            End::Here(Status::Linger) => TransportError::Linger { acked }.into(),
            End::Here(Status::Closed | Status::Aborted) => Error::Closed,
            End::Peer(Status::Closed) => PeerError::Closed.into(),
            End::Peer(Status::Aborted) => PeerError::Aborted { received }.into(),
            End::Peer(Status::Linger) => PeerError::GaveUp { received }.into(),
            End::Peer(Status::Unknown) => PeerError::Unknown { acked }.into(),
            // PROTOCOL, and what a peer may not say there.
            End::Refused(
                Status::Ok
                | Status::Delivered
                | Status::Busy
                | Status::Away
                | Status::Retry
                | Status::InUse
                | Status::Taken
                | Status::Superseded
                | Status::Repeated
                | Status::Stale
                | Status::Shutdown
                | Status::Malformed
                | Status::Version
                | Status::Closed
                | Status::Aborted
                | Status::Unknown
                | Status::Linger
                | Status::Protocol,
            )
            | End::Here(_)
            | End::Peer(_) => PeerError::Protocol { acked }.into(),
        })
    }
}
