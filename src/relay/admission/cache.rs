//! JWTs that were found good, so that a signature is verified once and not for every request.

use std::collections::HashMap;
use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;

use super::grant::Grant;
use super::tokens::Digest;

/// Most tokens kept: with their grants some 2 MB.
const MOST: usize = 10_000;

/// Tokens found good, by their SHA-256.
#[derive(Default)]
pub(super) struct VerifiedTokens {
    secret: RandomState,
    table: HashMap<u64, VerifiedToken>,
}

struct VerifiedToken {
    digest: Digest,
    grant: Arc<Grant>,
    /// In seconds since 1970.
    until: u64,
}

impl VerifiedTokens {
    /// What the token's bearer may do, unless the token has expired by `now`.
    pub fn get(&self, digest: &Digest, now: u64) -> Option<Arc<Grant>> {
        let token = self.table.get(&digest.bucket(&self.secret))?;
        (token.digest.is(digest) && now < token.until).then(|| Arc::clone(&token.grant))
    }

    /// Keeps a token. For want of room those that have expired are forgotten, or else any other.
    pub fn insert(&mut self, digest: Digest, grant: Arc<Grant>, until: u64, now: u64) {
        if self.table.len() >= MOST {
            self.table.retain(|_, token| now < token.until);
        }
        if self.table.len() >= MOST
            && let Some(any) = self.table.keys().next().copied()
        {
            self.table.remove(&any);
        }
        self.table.insert(digest.bucket(&self.secret), VerifiedToken { digest, grant, until });
    }

    /// Forgets the tokens of issuers that the policy has no longer.
    pub fn forget_revoked(&mut self) {
        self.table.retain(|_, token| !token.grant.is_revoked());
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.table.len()
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedTokens({})", self.table.len())
    }
}
