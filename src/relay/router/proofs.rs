//! Which session has proved which key, and the proofs that are still to be checked.

use tracing::debug;

use super::ExchangeId;
use super::accounts::Meter;
use super::key::SessionKey;
use super::rejection::{Limit, MALFORMED, Rejection};
use super::tables::Tables;
use crate::secure::{KeyError, KeyProof, PublicKey};
use crate::wire::{Address, ListenReq, Status};

/// The PROOF of a park.
///
/// ```text
///  Absent ── read ─▶ Read ── noted for the driver ─▶ Checking ── checked ─▶ Checked
///                      └──────── nothing to be checked ─────────────────────▲
/// ```
#[derive(Debug)]
pub(super) enum UploadProof {
    Absent,
    Read(Box<KeyProof>),
    Checking,
    Checked,
}

impl UploadProof {
    /// PROOF was read.
    pub fn note(&mut self, proof: KeyProof) -> Result<(), Rejection> {
        if !self.is_absent() {
            return Err(MALFORMED);
        }
        *self = Self::Read(Box::new(proof));
        Ok(())
    }

    /// Takes the proof, to be checked.
    pub fn take(&mut self) -> Option<KeyProof> {
        match std::mem::replace(self, Self::Checking) {
            Self::Read(proof) => Some(*proof),
            other => {
                *self = other;
                None
            }
        }
    }

    /// The proof needs no check any longer.
    pub fn checked(&mut self) {
        *self = Self::Checked;
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether there is no proof left to be checked.
    pub fn is_settled(&self) -> bool {
        match self {
            Self::Absent | Self::Checked => true,
            Self::Read(_) | Self::Checking => false,
        }
    }
}

/// What a session has proved.
///
/// ```text
///  Nothing ── PROOF that holds ──────────────────────────▶ Proved
///    │ └── PROOF that does not ─▶ Refused ── PROOF that holds ──▲
///    └── PROOF beyond the rate ─▶ PutOff ── its claims are answered ─▶ Nothing
/// ```
#[derive(Debug, Default)]
pub(super) enum Proven {
    /// No PROOF came.
    #[default]
    Nothing,
    /// The PROOF that came last was not checked: its origin had too many checked.
    PutOff,
    /// The PROOF that came last does not hold.
    Refused,
    /// The session holds the secret of this key, and proves no other: its claims are by this one.
    Proved(Box<PublicKey>),
}

/// What the router remembers of a session's proofs.
#[derive(Debug, Default)]
pub(super) struct SessionProof {
    proven: Proven,
    /// How many proofs were checked.
    checks: u8,
}

/// A proof to be checked: [`ProofCheck::run`] takes a tenth of a millisecond, and needs nothing of the
/// router, so that a driver runs it without the lock that guards the router.
#[derive(Debug)]
pub struct ProofCheck {
    exchange: ExchangeId,
    session: SessionKey,
    proof: KeyProof,
}

/// A proof that was checked, for [`Router::handle_proof`](super::Router::handle_proof).
#[derive(Debug)]
pub struct CheckedProof {
    pub(super) exchange: ExchangeId,
    session: SessionKey,
    result: Result<PublicKey, KeyError>,
}

impl ProofCheck {
    /// Checks the proof.
    pub fn run(self) -> CheckedProof {
        let Self { exchange, session, proof } = self;
        CheckedProof { exchange, session, result: proof.verify(&session.address()) }
    }

    /// The address of the session that is to be proved to hold the key.
    pub fn session(&self) -> Address {
        self.session.address()
    }
}

impl Tables {
    /// PROOF came with a park. True: there is nothing to be checked; else the check was noted.
    pub(super) fn prove(
        &mut self,
        now: u64,
        exchange: ExchangeId,
        session: SessionKey,
        proof: KeyProof,
    ) -> Result<bool, Rejection> {
        let Some(record) = self.sessions.get_mut(&session) else { return Ok(true) };
        let SessionProof { proven, checks } = &mut record.proof;
        match proven {
            Proven::Proved(key) if key.as_bytes() == proof.key() => return Ok(true),
            // A session is of one identity.
            Proven::Proved(_) => return Err(MALFORMED),
            Proven::Nothing | Proven::PutOff | Proven::Refused => {}
        }
        let hosts = &self.config.hosts;
        if !hosts.is_empty() && !hosts.contains(&proof.host()) {
            debug!(%session, "PROOF for another host: the relay was not given that name");
            *proven = Proven::Refused;
            self.stats.unproved += 1;
            return Ok(true);
        }
        if *checks >= self.config.proofs {
            return Err(Rejection::Limited(Limit::Proofs));
        }
        let account = record.account;
        if self.accounts.meter(now, &self.config, account, Meter::Proofs, 0).is_err() {
            *proven = Proven::PutOff;
            return Ok(true);
        }
        *checks += 1;
        self.proofs.push_back(ProofCheck { exchange, session, proof });
        Ok(false)
    }

    /// A proof was checked.
    pub(super) fn note_proof(&mut self, checked: &CheckedProof) {
        let session = checked.session;
        self.stats.proofs += 1;
        let Some(record) = self.sessions.get_mut(&session) else { return };
        match (&checked.result, &record.proof.proven) {
            // Another request was faster.
            (_, Proven::Proved(_)) => {}
            (Ok(key), _) => {
                debug!(%session, %key, "session has proved its key");
                record.proof.proven = Proven::Proved(Box::new(*key));
            }
            (Err(why), _) => {
                debug!(%session, %why, "PROOF does not hold");
                record.proof.proven = Proven::Refused;
                self.stats.unproved += 1;
            }
        }
    }

    /// The claims that came with a PROOF are answered: without another, the next are to have one.
    pub(super) fn forget_put_off(&mut self, session: &SessionKey) {
        if let Some(record) = self.sessions.get_mut(session)
            && let Proven::PutOff = record.proof.proven
        {
            record.proof.proven = Proven::Nothing;
        }
    }

    /// Who owns the name that a session claims: of a key name its key, whatever the session says.
    ///
    /// # Errors
    /// The session has not proved that key.
    pub(super) fn owner(
        &self,
        session: &SessionKey,
        request: &ListenReq,
    ) -> Result<[u8; 16], Status> {
        if !request.name.is_key_name() {
            return Ok(request.owner);
        }
        match self.sessions.get(session).map(|record| &record.proof.proven) {
            // Nobody else holds the name, so that the owner need not tell keys apart.
            Some(Proven::Proved(key)) if key.name() == request.name => Ok([0; 16]),
            Some(Proven::Refused) => Err(Status::Unproved),
            Some(Proven::PutOff) => Err(Status::Retry),
            None | Some(Proven::Nothing | Proven::Proved(_)) => Err(Status::Prove),
        }
    }
}
