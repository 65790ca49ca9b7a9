//! Channels from their set-up to their end, as the application sees them.

use super::NOT_MADE_FOR;
use crate::Kind;
use crate::error::{ConfigError, Error, PeerError, ResourceError};
#[cfg(feature = "secure")]
use crate::secure::PublicKey;
use crate::session::ChannelStats;
use crate::session::channel::State;
use crate::session::ids::ChannelId;
use crate::session::mode::Mode;
use crate::session::view::Session;
use crate::wire::{Address, Endpoint, MAX_GREETING, Status};

impl<M: Mode> Session<'_, M> {
    /// Opens a channel to the session that listens at `endpoint`; `greeting` goes with the request.
    ///
    /// The channel is open when [`connected`](Self::connected) says so. The session asks until the
    /// application [releases](Self::release) the channel.
    ///
    /// # Errors
    /// `Channels` if no slot is free, `Greeting`, `KeyName` if the name begins as a key name and holds no
    /// key, `Closed`.
    pub fn connect(
        &mut self,
        now: u64,
        endpoint: Endpoint,
        kind: Kind,
        greeting: &[u8],
    ) -> Result<ChannelId, Error> {
        self.core.check_open()?;
        if !M::CONNECTS || M::kind(kind) != kind || !M::GREETS && !greeting.is_empty() {
            return Err(ConfigError::Unsupported(NOT_MADE_FOR).into());
        }
        if greeting.len() > MAX_GREETING {
            return Err(ConfigError::Greeting.into());
        }
        #[cfg(feature = "secure")]
        self.check_dialled(&endpoint.name)?;
        let slot = self.open_connecting(now, kind).ok_or(ResourceError::Channels)?;
        self.channels[slot].dial::<M>(endpoint, greeting);
        #[cfg(feature = "secure")]
        {
            let key = PublicKey::from_name(&endpoint.name).ok();
            self.begin_handshake(slot, key.map(|key| key.to_x25519()));
        }
        Ok(self.channel_id(slot))
    }

    /// Opens a channel as [`connect`](Self::connect) does, to a peer that has `key` and no other, which at a key
    /// name is to be the name's.
    ///
    /// # Errors
    /// The errors of `connect`; `Unsupported` if the session does not [encrypt](Self::encrypt).
    #[cfg(feature = "secure")]
    pub fn connect_to_key(
        &mut self,
        now: u64,
        endpoint: Endpoint,
        kind: Kind,
        greeting: &[u8],
        key: &PublicKey,
    ) -> Result<ChannelId, Error> {
        if !self.encrypts() {
            return Err(ConfigError::Unsupported("a key is for encrypted channels").into());
        }
        if endpoint.name.is_key_name() && endpoint.name != key.name() {
            let other = "the endpoint is the key name of another key than the one that is given";
            return Err(ConfigError::Setting(other).into());
        }
        let id = self.connect(now, endpoint, kind, greeting)?;
        self.begin_handshake(self.held(id)?, Some(key.to_x25519()));
        Ok(id)
    }

    /// The application does not let the peer in: the channel ends, and the peer is told so; of an encrypted
    /// channel that its key is not admitted, else that the channel is aborted.
    #[cfg(feature = "secure")]
    pub fn refuse(&mut self, now: u64, id: ChannelId) {
        if let Ok(slot) = self.held(id) {
            self.refuse_slot(now, slot);
        }
    }

    /// The key that the peer of the channel has proved; `None` if the channel is not encrypted.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    #[cfg(feature = "secure")]
    pub fn peer_key(&self, id: ChannelId) -> Result<Option<PublicKey>, Error> {
        let key = self.channels[self.held(id)?].peer_key();
        Ok(key.and_then(|key| PublicKey::from_x25519(key).ok()))
    }

    /// The endpoint that the application connected the channel to, and the key of its listener, which says that
    /// it will have the same the next time. `None` if it has not, if the name is a key's, or if the channel was
    /// accepted.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    #[cfg(feature = "secure")]
    pub fn kept_key(&self, id: ChannelId) -> Result<Option<(Endpoint, PublicKey)>, Error> {
        let channel = &self.channels[self.held(id)?];
        let endpoint = channel.endpoint();
        let is_learned =
            channel.is_peer_kept() && channel.listener().is_none() && !endpoint.name.is_key_name();
        let key = self.peer_key(id)?.filter(|_| is_learned);
        Ok(key.map(|key| (endpoint, key)))
    }

    /// Whether both ends know each other.
    ///
    /// # Errors
    /// Why the connection was refused, or what ended it.
    pub fn connected(&self, id: ChannelId) -> Result<bool, Error> {
        let channel = &self.channels[self.held(id)?];
        match channel.error() {
            Some(error) => Err(error),
            None => self.core.fatal().map(|()| channel.is_established()),
        }
    }

    /// Whether both ends knew each other at some time, also if the channel has ended since: what came
    /// then can still be read.
    ///
    /// # Errors
    /// Why the connection was refused, or what ended it before.
    pub fn was_connected(&self, id: ChannelId) -> Result<bool, Error> {
        match self.channels[self.held(id)?].has_met() {
            true => Ok(true),
            false => self.connected(id),
        }
    }

    /// Gives the error that tells why a connection has not been made so far.
    pub fn connect_cause(&self, id: ChannelId) -> Error {
        let slot = match self.held(id) {
            Ok(slot) => slot,
            Err(error) => return error,
        };
        let channel = &self.channels[slot];
        let heard = match channel.state() {
            State::Connecting { heard } => heard,
            State::Aborting(end) | State::Ended(end) => end.status(),
            State::Free | State::Accepting | State::Established => Status::Ok,
        };
        match (self.blocked(), heard) {
            (Some(cause), _) => cause.into(),
            (None, Status::Away | Status::Busy) => PeerError::Away.into(),
            (None, Status::NoListener | Status::Retry) => PeerError::NoListener.into(),
            (None, Status::Limited) => ResourceError::Relay.into(),
            (None, Status::Forbidden) => ConfigError::Forbidden.into(),
            (None, _) => Error::TimedOut,
        }
    }

    /// The address of the other peer's session.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn peer(&self, id: ChannelId) -> Result<Address, Error> {
        Ok(self.channels[self.held(id)?].peer())
    }

    /// The kind of the channel: stream or datagrams.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn kind(&self, id: ChannelId) -> Result<Kind, Error> {
        Ok(self.channels[self.held(id)?].kind::<M>())
    }

    /// The endpoint that was connected to.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn endpoint(&self, id: ChannelId) -> Result<Endpoint, Error> {
        Ok(self.channels[self.held(id)?].endpoint())
    }

    /// The greeting that came with the connection: at the listener the connector's.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn greeting(&self, id: ChannelId) -> Result<&[u8], Error> {
        Ok(self.channels[self.held(id)?].greeting())
    }

    /// The offsets and counters of a channel.
    ///
    /// # Errors
    /// `Closed` if the channel is closed.
    pub fn channel_stats(&self, id: ChannelId) -> Result<ChannelStats, Error> {
        let slot = self.held(id)?;
        let channel = &self.channels[slot];
        let (tx, rx) = (&channel.tx, &channel.rx);
        let ([acked, written, received, read], window) = match channel.kind::<M>() {
            Kind::Stream => (channel.offsets(self.rings.receive(slot)), channel.window()),
            Kind::Datagram => ([tx.acked(), tx.written(), rx.received(), rx.read_to()], tx.limit()),
        };
        Ok(ChannelStats {
            written,
            acked,
            received,
            read,
            window,
            retransmitted: tx.retransmitted(),
            overflows: tx.overflows(),
            datagrams_expired: tx.lost(),
            datagrams_dropped: rx.lost(),
        })
    }

    /// The application lets go of the channel. What was written still goes out, then FIN; what
    /// comes is dropped. Does nothing if it was let go of before.
    pub fn release(&mut self, now: u64, id: ChannelId) {
        if let Ok(slot) = self.held(id) {
            self.give_up(now, slot);
        }
    }

    /// The application gives the channel up: the peer is told at once, nothing more is sent.
    pub fn abort(&mut self, now: u64, id: ChannelId) {
        if let Ok(slot) = self.held(id) {
            self.abort_slot(now, slot);
        }
    }
}
