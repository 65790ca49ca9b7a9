//! The keys of the router's tables of sessions.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use crate::wire::Address;

/// The key of a session: its address with a hash of that. A request looks its sessions up many times, and
/// computes the hash once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct SessionKey {
    address: Address,
    hash: u64,
}

impl SessionKey {
    pub fn address(&self) -> Address {
        self.address
    }
}

/// What is hashed with a secret already is only spread by the hasher of a table.
impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// Makes the keys of sessions. Addresses come from strangers: the secret of the hash keeps these from
/// choosing addresses that share a place in the tables.
#[derive(Debug, Default)]
pub(super) struct SessionKeys(RandomState);

impl SessionKeys {
    pub fn key(&self, address: Address) -> SessionKey {
        SessionKey { address, hash: self.0.hash_one(u128::from_ne_bytes(address.0)) }
    }
}
