//! Who listens where.

use super::Router;
use crate::Kind;
use crate::wire::{Address, Connect, Endpoint, ListenReq, ListenRsp, Status};

/// The claim that holds a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder {
    session: Address,
    claim: u32,
    kind: Kind,
    owner: [u8; 16],
    epoch: u64,
}

impl Router {
    /// The session that listens at the endpoint, or why there is none.
    pub(super) fn listener(&self, now: u64, connect: &Connect<'_>) -> Result<Address, Status> {
        let endpoint = Endpoint { name: connect.name, port: connect.port };
        match self.names.get(&endpoint) {
            Some(holder) if holder.kind == connect.kind => Ok(holder.session),
            Some(_) => Err(Status::WrongKind),
            None if self.is_young(now) => Err(Status::Retry),
            None => Err(Status::NoListener),
        }
    }

    /// Makes the session's claims those of its newest park, and keeps the answers it has not heard.
    pub(super) fn claim(&mut self, now: u64, session: Address, requests: &[ListenReq]) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let held = std::mem::take(&mut state.claims);
        // One that is listed beyond the limit ends, too.
        let looked_at = &requests[..requests.len().min(self.config.claims)];
        for (endpoint, claim) in held {
            if !looked_at.iter().any(|r| endpoint_of(r) == endpoint && r.claim == claim)
                && let Some(holder) = self.names.remove(&endpoint)
            {
                self.note_former(endpoint, holder);
            }
        }
        let mut held = Vec::new();
        let mut answers = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            let (status, epoch) = if place < self.config.claims {
                self.judge(now, session, request)
            } else {
                (Status::Limited, 0)
            };
            let endpoint = endpoint_of(request);
            if status == Status::Ok && !held.contains(&(endpoint, request.claim)) {
                held.push((endpoint, request.claim));
            }
            if request.heard != Some(status) {
                answers.push(ListenRsp { claim: request.claim, status, epoch });
            }
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            state.claims = held;
            state.stored.listens = answers;
        }
    }

    fn judge(&mut self, now: u64, session: Address, request: &ListenReq) -> (Status, u64) {
        let endpoint = endpoint_of(request);
        if let Some(holder) = self.names.get(&endpoint).copied() {
            let same = holder.owner == request.owner;
            let lives = self.absent(now, &holder.session).is_none();
            if holder.session == session {
                if holder.claim != request.claim {
                    return (Status::InUse, holder.epoch);
                }
            } else if lives && !same {
                return (Status::InUse, holder.epoch);
            } else if lives && request.epoch <= holder.epoch {
                return (Status::Taken, holder.epoch);
            } else {
                let told = (same && request.epoch > holder.epoch).then_some(request.epoch);
                self.dispossess(now, &endpoint, &holder, told);
            }
        }
        if let Some(former) = self.former.get(&endpoint).copied()
            && former.session != session
            && former.owner == request.owner
            && former.epoch < request.epoch
        {
            self.former.remove(&endpoint);
            self.succeed(now, former.session);
        }
        let ListenReq { claim, kind, owner, epoch, .. } = *request;
        self.names.insert(endpoint, Holder { session, claim, kind, owner, epoch });
        (Status::Ok, epoch)
    }

    /// A claim lost its name; `taken` is the epoch of a newer process of the same owner.
    fn dispossess(&mut self, now: u64, endpoint: &Endpoint, holder: &Holder, taken: Option<u64>) {
        let Some(loser) = self.sessions.get_mut(&holder.session) else { return };
        loser.claims.retain(|(held, _)| held != endpoint);
        if let Some(epoch) = taken {
            let answers = &mut loser.stored.listens;
            answers.retain(|answer| answer.claim != holder.claim);
            answers.push(ListenRsp { claim: holder.claim, status: Status::Taken, epoch });
            self.succeed(now, holder.session);
        }
    }
}

impl Router {
    /// A session gave a name back, with which its successor may be known.
    fn note_former(&mut self, endpoint: Endpoint, holder: Holder) {
        let Some(session) = self.sessions.get_mut(&holder.session) else { return };
        session.former.retain(|before| *before != endpoint);
        session.former.push_back(endpoint);
        let oldest = if session.former.len() > self.config.claims {
            session.former.pop_front()
        } else {
            None
        };
        self.former.insert(endpoint, holder);
        oldest.into_iter().for_each(|endpoint| self.forget_former(holder.session, &endpoint));
    }

    /// Forgets that the session had a name.
    pub(super) fn forget_former(&mut self, session: Address, endpoint: &Endpoint) {
        if self.former.get(endpoint).is_some_and(|former| former.session == session) {
            self.former.remove(endpoint);
        }
    }
}

fn endpoint_of(request: &ListenReq) -> Endpoint {
    Endpoint { name: request.name, port: request.port }
}
