//! Identities and their proofs, made once, as that takes longer than most inputs.

use std::array;
use std::sync::OnceLock;

use byway::relay::router::Router;
use byway::secure::{HostDigest, Identity, KeyProof};
use byway::wire::Name;

/// The sessions that take part.
pub const SESSIONS: usize = 3;

/// The secret of a session.
pub fn secret(who: usize) -> [u8; 16] {
    [who as u8 + 1; 16]
}

/// The key name of a session.
pub fn key_name(of: usize) -> Name {
    keys()[of].0
}

/// The proof of a session's key, for a session.
pub fn proof(of: usize, made_for: usize) -> &'static KeyProof {
    &keys()[of].1[made_for]
}

fn keys() -> &'static [(Name, [KeyProof; SESSIONS]); SESSIONS] {
    static KEYS: OnceLock<[(Name, [KeyProof; SESSIONS]); SESSIONS]> = OnceLock::new();
    KEYS.get_or_init(|| {
        array::from_fn(|of| {
            let identity = Identity::from_seed([of as u8; 32]);
            let host = HostDigest::of("relay");
            let proofs = array::from_fn(|who| KeyProof::new(&identity, &secret(who), host));
            (identity.public_key().name(), proofs)
        })
    })
}

/// Checks the proofs that the router has for that.
pub fn check_proofs(router: &mut Router, now: u64) {
    while let Some(check) = router.poll_proof() {
        router.handle_proof(now, &check.run());
    }
}
