//! What a handle names, and what can be asked of it.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::time::Duration;

use super::byway_error;
use super::last::CallError;
use crate::client::{Channel, ChannelKind, Client, Listener, PollFd, Readiness};
use crate::error::Error;
use crate::secure::PublicKey;
use crate::session::ChannelStats;
use crate::{Address, Endpoint, Kind};

/// A client, listener, stream or datagram channel that has a handle. Every object can what has no
/// default here; of the rest each can what its kind has.
pub(super) trait Object: Any + Debug + Send + Sync {
    /// The kind as the handle's number says it.
    fn kind(&self) -> ObjectKind;

    fn wait_open(&self, timeout: Option<Duration>) -> Result<(), Error>;

    fn cancel(&self);

    fn close(&self, timeout: Option<Duration>) -> Result<(), CallError>;

    fn abort(&self);

    fn readiness(&self) -> Readiness;

    fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd>;

    fn endpoint(&self) -> Result<Endpoint, CallError> {
        Err(wrong_kind("listener or channel"))
    }

    fn id(&self) -> Result<u32, CallError> {
        Err(wrong_kind("listener or channel"))
    }

    fn accept(&self, _timeout: Option<Duration>) -> Result<Box<dyn Object>, CallError> {
        Err(wrong_kind("listener"))
    }

    fn admit(&self, _keys: Vec<PublicKey>) -> Result<(), CallError> {
        Err(wrong_kind("listener"))
    }

    fn refuse(&self, _keys: Vec<PublicKey>) -> Result<(), CallError> {
        Err(wrong_kind("listener"))
    }

    fn refuse_peer(&self) -> Result<(), CallError> {
        Err(wrong_kind("stream or datagram channel"))
    }

    fn peer_key(&self) -> Result<Option<PublicKey>, CallError> {
        Err(wrong_kind("stream or datagram channel"))
    }

    fn peer(&self) -> Result<Address, CallError> {
        Err(wrong_kind("stream or datagram channel"))
    }

    fn greeting(&self) -> Result<Vec<u8>, CallError> {
        Err(wrong_kind("stream or datagram channel"))
    }

    fn stats(&self) -> Result<ChannelStats, CallError> {
        Err(wrong_kind("stream or datagram channel"))
    }
}

/// Kinds of objects, with their numbers in handles. None is 0, so that no handle is.
#[derive(Debug, Clone, Copy)]
pub(super) enum ObjectKind {
    Client = 1,
    Listener = 2,
    Stream = 3,
    Datagram = 4,
}

pub(super) fn wrong_kind(wanted: &str) -> CallError {
    CallError::new(
        byway_error::Kind,
        format!("the handle is no {wanted}: check which one the call takes"),
    )
}

impl Object for Client {
    fn kind(&self) -> ObjectKind {
        ObjectKind::Client
    }

    fn wait_open(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.wait_open(timeout)
    }

    fn cancel(&self) {
        self.cancel();
    }

    fn close(&self, timeout: Option<Duration>) -> Result<(), CallError> {
        self.close(timeout).map_err(|error| {
            let channels = error.unacked.len() as u64;
            CallError::new(byway_error::Unacked, error.to_string()).with_detail(channels)
        })
    }

    fn abort(&self) {
        self.abort();
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        self.poll_fd(interest)
    }
}

impl<K: ChannelKind + 'static> Object for Listener<Channel<K>> {
    fn kind(&self) -> ObjectKind {
        ObjectKind::Listener
    }

    fn wait_open(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.wait_open(timeout)
    }

    fn cancel(&self) {
        self.cancel();
    }

    fn close(&self, _timeout: Option<Duration>) -> Result<(), CallError> {
        self.close();
        Ok(())
    }

    fn abort(&self) {
        self.close();
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        self.poll_fd(interest)
    }

    fn endpoint(&self) -> Result<Endpoint, CallError> {
        Ok(self.endpoint())
    }

    fn id(&self) -> Result<u32, CallError> {
        Ok(self.id().0)
    }

    fn accept(&self, timeout: Option<Duration>) -> Result<Box<dyn Object>, CallError> {
        Ok(Box::new(self.accept_timeout(timeout)?))
    }

    fn admit(&self, keys: Vec<PublicKey>) -> Result<(), CallError> {
        self.admit(keys);
        Ok(())
    }

    fn refuse(&self, keys: Vec<PublicKey>) -> Result<(), CallError> {
        self.refuse(keys);
        Ok(())
    }
}

impl<K: ChannelKind + 'static> Object for Channel<K> {
    fn kind(&self) -> ObjectKind {
        match K::KIND {
            Kind::Stream => ObjectKind::Stream,
            Kind::Datagram => ObjectKind::Datagram,
        }
    }

    fn wait_open(&self, timeout: Option<Duration>) -> Result<(), Error> {
        self.wait_open(timeout)
    }

    fn cancel(&self) {
        self.cancel();
    }

    fn close(&self, timeout: Option<Duration>) -> Result<(), CallError> {
        match self.close_timeout(timeout) {
            // A program that gives no time does not ask whether all was delivered.
            Err(Error::TimedOut) if timeout == Some(Duration::ZERO) => Ok(()),
            result => Ok(result?),
        }
    }

    fn abort(&self) {
        self.abort();
    }

    fn readiness(&self) -> Readiness {
        self.readiness()
    }

    fn poll_fd(&self, interest: Readiness) -> io::Result<PollFd> {
        self.poll_fd(interest)
    }

    fn endpoint(&self) -> Result<Endpoint, CallError> {
        Ok(self.endpoint()?)
    }

    fn id(&self) -> Result<u32, CallError> {
        Ok(self.id().0)
    }

    fn refuse_peer(&self) -> Result<(), CallError> {
        self.refuse();
        Ok(())
    }

    fn peer_key(&self) -> Result<Option<PublicKey>, CallError> {
        Ok(self.peer_key()?)
    }

    fn peer(&self) -> Result<Address, CallError> {
        Ok(self.peer()?)
    }

    fn greeting(&self) -> Result<Vec<u8>, CallError> {
        Ok(self.greeting()?)
    }

    fn stats(&self) -> Result<ChannelStats, CallError> {
        Ok(self.stats()?)
    }
}
