//! Claims of key names, and what proves them.

use super::mode::Mode;
use super::view::Session;
use crate::error::{Error, KeyNameFault};
use crate::secure::PublicKey;
use crate::wire::{Message, Name};

impl<M: Mode> Session<'_, M> {
    /// Checks a name that is to be connected to.
    pub(super) fn check_dialled(&self, name: &Name) -> Result<(), Error> {
        if !name.is_key_name() {
            return Ok(());
        }
        match PublicKey::from_name(name) {
            Err(_) => Err(KeyNameFault::Damaged.into()),
            Ok(_) if !self.encrypts() => Err(KeyNameFault::Plain.into()),
            Ok(_) => Ok(()),
        }
    }

    /// Checks a name that is to be listened on.
    pub(super) fn check_claimed(&self, name: &Name) -> Result<(), Error> {
        if !name.is_key_name() {
            return Ok(());
        }
        self.check_dialled(name)?;
        let key = PublicKey::from_name(name).map_err(|_| KeyNameFault::Damaged)?;
        match &self.core.settings.key_proof {
            Some(proof) if proof.key() == key.as_bytes() => Ok(()),
            Some(_) | None => Err(KeyNameFault::Foreign.into()),
        }
    }

    /// The proof that a park is to tell before its claims: one of them is of a key name, and the relay has
    /// said nothing of it, or asks for the proof.
    pub(super) fn owed_proof(&self) -> Option<Message<'_>> {
        if !M::LISTENS || !self.claims().iter().any(|claim| claim.owes_proof()) {
            return None;
        }
        self.core.settings.key_proof.as_ref().map(|proof| Message::Proof(proof.message()))
    }
}
