//! What a channel that has ended tells its application.

use super::{ChannelRecord, EndCause};
use crate::error::{ConfigError, Error, PeerError, ResourceError, TransportError};
use crate::wire::Status;

/// Without keys no channel ends by them: firmware is spared the errors.
const SECURE: bool = cfg!(feature = "secure");

impl ChannelRecord {
    /// The error that the application gets once the channel has ended.
    pub fn error(&self) -> Option<Error> {
        let acked = self.acked();
        let received = self.end_offset();
        Some(match self.ending()? {
            EndCause::InOrder => return None,
            EndCause::Refused(Status::NoListener) => PeerError::NoListener.into(),
            EndCause::Refused(Status::BacklogFull) => PeerError::BacklogFull.into(),
            EndCause::Refused(Status::WrongKind) => ConfigError::WrongKind.into(),
            EndCause::Refused(Status::WrongSecurity) if self.is_encrypted() => {
                ConfigError::PeerPlain.into()
            }
            EndCause::Refused(Status::WrongSecurity) => ConfigError::PeerEncrypts.into(),
            EndCause::Refused(Status::Handshake)
            | EndCause::Here(Status::Handshake)
            | EndCause::Peer(Status::Handshake)
                if SECURE =>
            {
                PeerError::Handshake.into()
            }
            EndCause::Here(Status::WrongKey) if SECURE => PeerError::WrongKey.into(),
            EndCause::Peer(Status::WrongKey) if SECURE => PeerError::KeyRefused.into(),
            EndCause::Here(Status::Tampered) if SECURE => TransportError::Tampered { acked }.into(),
            EndCause::Peer(Status::Tampered) if SECURE => {
                TransportError::TamperedThere { received }.into()
            }
            EndCause::Refused(Status::Limited) => ResourceError::Relay.into(),
            EndCause::Refused(Status::Forbidden) => ConfigError::Forbidden.into(),
            EndCause::Here(Status::Linger) if self.is_all_but_done() => {
                TransportError::EndUnconfirmed { acked }.into()
            }
            EndCause::Here(Status::Linger) => TransportError::Linger { acked }.into(),
            EndCause::Here(Status::Closed | Status::Aborted) => Error::Closed,
            EndCause::Peer(Status::Closed) => PeerError::Closed.into(),
            EndCause::Peer(Status::Aborted) => PeerError::Aborted { received }.into(),
            EndCause::Peer(Status::Linger) => PeerError::GaveUp { received }.into(),
            EndCause::Peer(Status::Unknown) => PeerError::Unknown { acked }.into(),
            // PROTOCOL, and what a peer may not say there.
            EndCause::Refused(
                Status::Ok
                | Status::Delivered
                | Status::Busy
                | Status::Away
                | Status::Retry
                | Status::InUse
                | Status::Taken
                | Status::Prove
                | Status::Unproved
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
                | Status::Protocol
                | Status::Handshake
                | Status::WrongKey
                | Status::Tampered,
            )
            | EndCause::Here(_)
            | EndCause::Peer(_) => PeerError::Protocol { acked }.into(),
        })
    }
}
