//! byway's errors as `std::io` errors.

use std::io::{self, ErrorKind};

use crate::error::{ConfigError, Error, PeerError, ResourceError, TransportError};

/// The kind is the one a `TcpStream` would give where there is one; the source stays the
/// [`Error`], which says more.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(kind(&error), error)
    }
}

fn kind(error: &Error) -> ErrorKind {
    match error {
        Error::Config(error) => match error {
            ConfigError::InUse | ConfigError::Taken | ConfigError::Duplicate => {
                ErrorKind::AddrInUse
            }
            ConfigError::Unsupported(_) => ErrorKind::Unsupported,
            ConfigError::Version { .. } | ConfigError::Malformed => ErrorKind::InvalidData,
            _ => ErrorKind::InvalidInput,
        },
        Error::Peer(error) => match error {
            PeerError::NoListener | PeerError::BacklogFull => ErrorKind::ConnectionRefused,
            PeerError::Away => ErrorKind::HostUnreachable,
            PeerError::Protocol { .. } => ErrorKind::InvalidData,
            _ => ErrorKind::ConnectionReset,
        },
        Error::Resource(error) => match error {
            ResourceError::Channels | ResourceError::Listeners => ErrorKind::QuotaExceeded,
            ResourceError::Relay | ResourceError::Full { .. } => ErrorKind::ResourceBusy,
            _ => ErrorKind::Other,
        },
        Error::Transport(error) => match error {
            TransportError::Blocked(_) => ErrorKind::NetworkUnreachable,
            // Not TimedOut, after which one would try again.
            TransportError::Linger { .. } | TransportError::EndUnconfirmed { .. } => {
                ErrorKind::ConnectionAborted
            }
            _ => ErrorKind::Other,
        },
        Error::TimedOut => ErrorKind::TimedOut,
        Error::Closed => ErrorKind::NotConnected,
        // Not Interrupted, after which std's loops call again by themselves.
        Error::Cancelled => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_error_keeps_our_error_as_its_source() {
        let error = io::Error::from(Error::Peer(PeerError::NoListener));
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let source = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
        assert_eq!(source, Some(&Error::Peer(PeerError::NoListener)));
    }
}
