//! The claims of parks: which session listens where.

use tracing::debug;

use super::ExchangeId;
use super::accounts::Meter;
use super::key::SessionKey;
use super::names::{Holder, endpoint_of};
use super::rejection::Limit;
use super::tables::Tables;
use crate::wire::{ChannelKind, Endpoint, ListenReq, ListenRsp, Status, VERSION};

impl Tables {
    /// The session that listens at the endpoint, or why there is none.
    pub(super) fn listener(
        &self,
        now: u64,
        endpoint: &Endpoint,
        kind: ChannelKind,
    ) -> Result<SessionKey, Status> {
        match self.names.holder(endpoint) {
            Some(holder) if holder.kind == kind => Ok(holder.session),
            Some(holder) if holder.kind.kind == kind.kind => Err(Status::WrongSecurity),
            Some(_) => Err(Status::WrongKind),
            None if self.is_young(now) => Err(Status::Retry),
            None => Err(Status::NoListener),
        }
    }

    /// Makes the session's claims those of its newest park, and keeps the answers it has not heard.
    pub(super) fn claim(
        &mut self,
        now: u64,
        id: ExchangeId,
        session: SessionKey,
        requests: &[ListenReq],
    ) {
        // A claim that is listed beyond the limit ends, too, and one that the policy has come to forbid.
        let most = self.config.claims;
        let version = self.exchanges.get(id).map_or(VERSION, |exchange| exchange.version());
        let grant = self.grant_of(id);
        let is_given = |request: &ListenReq| {
            grant.as_ref().is_none_or(|grant| grant.may_listen(&endpoint_of(request)))
        };
        let looked_at: Vec<_> =
            requests.iter().take(most).filter(|r| is_given(r)).copied().collect();
        self.names.release_but(session, &looked_at, most);
        let mut held = Vec::new();
        let mut answers = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            let endpoint = endpoint_of(request);
            let (status, epoch) = match &grant {
                _ if place >= most => (Status::Limited, 0),
                Some(grant) if !grant.may_listen(&endpoint) => {
                    (self.forbid(now, grant, &endpoint, "listen"), 0)
                }
                Some(_) | None => self.judge(now, session, request),
            };
            match status {
                Status::Ok if held.contains(&(endpoint, request.claim)) => {}
                Status::Ok => held.push((endpoint, request.claim)),
                Status::Limited => {
                    self.stats.limits.note(Limit::Claims);
                    debug!(%session, %endpoint, limit = %Limit::Claims, "claim is LIMITED");
                }
                _ => debug!(%session, %endpoint, status = status.name(), "claim is refused"),
            }
            if request.heard != Some(status.known_to(version)) {
                self.stats.forbidden += u64::from(status == Status::Forbidden);
                answers.push(ListenRsp { claim: request.claim, status, epoch });
            }
        }
        self.forget_put_off(&session);
        self.names.set_claims(session, held);
        if let Some(record) = self.sessions.get_mut(&session) {
            record.stored.listens = answers;
        }
    }

    fn judge(&mut self, now: u64, session: SessionKey, request: &ListenReq) -> (Status, u64) {
        let endpoint = endpoint_of(request);
        let owner = match self.owner(&session, request) {
            Ok(owner) => owner,
            Err(status) => return (status, 0),
        };
        let is_newer = |holder: &Holder| request.epoch > holder.epoch;
        if let Some(holder) = self.names.holder(&endpoint) {
            let same = holder.is_of(&owner);
            let lives = self.absent(now, &holder.session).is_none();
            if lives && holder.session != session && !self.may_guess(now, session) {
                // Whether or not the owner is right.
                return (Status::Retry, 0);
            }
            if holder.session == session {
                if holder.claim != request.claim {
                    return (Status::InUse, holder.epoch);
                }
            } else if lives && !same {
                return (Status::InUse, holder.epoch);
            } else if lives && !is_newer(&holder) {
                return (Status::Taken, holder.epoch);
            } else {
                let told = (same && is_newer(&holder)).then_some(request.epoch);
                self.dispossess(now, &endpoint, &holder, told);
            }
        }
        if let Some(former) = self.names.former(&endpoint)
            && former.session != session
            && former.is_of(&owner)
            && is_newer(&former)
        {
            self.names.forget_former(&endpoint);
            self.succeed(now, former.session);
        }
        let ListenReq { claim, kind, epoch, .. } = *request;
        // The highest epoch is for none to hold: else a clock that is wrong, or a thief, would keep a
        // later process of the owner out for good.
        let held = epoch.min(u64::MAX - 1);
        self.names.hold(endpoint, Holder { session, claim, kind, owner, epoch: held });
        (Status::Ok, epoch)
    }

    /// Whether the session may claim a name that another holds.
    fn may_guess(&mut self, now: u64, session: SessionKey) -> bool {
        let Some(record) = self.sessions.get_mut(&session) else { return false };
        let account = record.account;
        let rate = self.config.guesses_per_session;
        if rate.is_some_and(|rate| record.guesses.take(now, rate, 1, 0).is_err()) {
            return false;
        }
        self.accounts.meter(now, &self.config, account, Meter::Guesses, 0).is_ok()
    }

    /// The holder loses its name; `taken` is the epoch of a newer process of the same owner, if it is to be
    /// told.
    fn dispossess(&mut self, now: u64, endpoint: &Endpoint, holder: &Holder, taken: Option<u64>) {
        self.names.lose(holder.session, endpoint);
        let Some(loser) = self.sessions.get_mut(&holder.session) else { return };
        if let Some(epoch) = taken {
            let answers = &mut loser.stored.listens;
            answers.retain(|answer| answer.claim != holder.claim);
            answers.push(ListenRsp { claim: holder.claim, status: Status::Taken, epoch });
            self.succeed(now, holder.session);
        }
    }
}
