//! Claims of key names, and what proves them.

use super::mode::Mode;
use super::view::Session;
use crate::error::{Error, KeyNameFault};
use crate::wire::{Message, Name};

#[cfg(feature = "secure")]
use crate::secure::PublicKey;

impl<M: Mode> Session<'_, M> {
    /// Checks a name that is to be connected to.
    pub(super) fn check_dialled(&self, name: &Name) -> Result<(), Error> {
        if !name.is_key_name() {
            return Ok(());
        }
        #[cfg(feature = "secure")]
        let fault = match PublicKey::from_name(name) {
            Err(_) => Err(KeyNameFault::Damaged),
            Ok(_) if !self.encrypts() => Err(KeyNameFault::Plain),
            Ok(_) => Ok(()),
        };
        #[cfg(not(feature = "secure"))]
        let fault = Err(KeyNameFault::Unsupported);
        fault.map_err(Error::from)
    }

    /// Checks a name that is to be listened on.
    pub(super) fn check_claimed(&self, name: &Name) -> Result<(), Error> {
        self.check_dialled(name)?;
        #[cfg(feature = "secure")]
        if name.is_key_name() {
            let key = PublicKey::from_name(name).ok();
            let own = self.core.settings.key_proof.as_ref().map(|proof| proof.key());
            if key.as_ref().map(PublicKey::as_bytes) != own {
                return Err(KeyNameFault::Foreign.into());
            }
        }
        Ok(())
    }

    /// The proof that a park is to tell before its claims: one of them is of a key name, and the relay has
    /// said nothing of it, or asks for the proof.
    pub(super) fn owed_proof(&self) -> Option<Message<'_>> {
        #[cfg(feature = "secure")]
        if M::LISTENS && self.claims().iter().any(|claim| claim.owes_proof()) {
            return self
                .core
                .settings
                .key_proof
                .as_ref()
                .map(|proof| Message::Proof(proof.message()));
        }
        None
    }
}
