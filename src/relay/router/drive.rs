//! Reading uploads: HELLO, the messages behind it, and the end of a body.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tracing::debug;

use super::accounts::Meter;
use super::demand::{Demand, flags_fit};
use super::exchange::{RequestKind, Shortage, is_spoken};
use super::key::SessionKey;
use super::rejection::{Limit, MALFORMED, Rejection};
use super::tables::{Tables, Work};
use super::{ExchangeId, Router};
use crate::wire::{Address, End, Hello, HelloFlags, MAX_SINGLE_BODY, Message, Status, VERSION};

impl Router {
    /// Reads on in an upload, and deals with its end.
    pub(super) fn drive(&mut self, now: u64, id: ExchangeId) {
        match self.read(now, id) {
            Ok(false) => {}
            Ok(true) => self.complete(now, id),
            Err(why) => self.fail(now, id, why),
        }
    }

    /// Lets an upload try again: with what the router has of it now, with the rest by its driver.
    pub(super) fn resume(&mut self, now: u64, id: ExchangeId) {
        let Some(upload) = self.uploads.get(&id) else { return };
        if !upload.is_carried() {
            self.drive(now, id);
            self.tables.exchanges.wake(id);
        } else if self.tables.stands(id) {
            // The messages of a park that ended go nowhere: they are about to be given up.
            self.drive(now, id);
        }
    }

    /// Does to uploads what was noted for later.
    pub(super) fn work(&mut self, now: u64) {
        while let Some(work) = self.tables.take_work() {
            match work {
                Work::Serve(peer) => {
                    for id in self.tables.targets.waiters(peer) {
                        self.resume(now, id);
                    }
                }
                Work::GiveUp(id) => self.release(now, id),
            }
        }
    }

    /// Gives an upload up, without an answer.
    pub(super) fn release(&mut self, now: u64, id: ExchangeId) {
        if let Some(mut upload) = self.uploads.remove(&id) {
            self.tables.release(now, &mut upload);
            self.tables.accounts.leave(upload.account);
        }
    }

    /// Reads until nothing is there or a message has to wait. True: all is done.
    fn read(&mut self, now: u64, id: ExchangeId) -> Result<bool, Rejection> {
        let Some(upload) = self.uploads.get_mut(&id) else { return Ok(false) };
        // What is held of messages that are carried does not keep these from going.
        let account = upload.account;
        let Tables { budget, accounts, .. } = &mut self.tables;
        budget.give(accounts, account, upload.input_held());
        let before = upload.look();
        let result = self.read_messages(now, id);
        let Some(upload) = self.uploads.get_mut(&id) else { return Ok(false) };
        upload.note_read(now, before);
        let Tables { budget, accounts, .. } = &mut self.tables;
        budget.take(accounts, account, upload.input_held());
        match result {
            Ok(()) => upload.is_done(&self.tables.config),
            Err(Rejection::Stranger) => Err(Rejection::Stranger),
            Err(_) if upload.hello().is_none() => {
                if let Some(version) = upload.other_version() {
                    self.answer_version(now, id, version);
                }
                Err(Rejection::NoHello)
            }
            Err(why) => Err(why),
        }
    }

    fn read_messages(&mut self, now: u64, id: ExchangeId) -> Result<(), Rejection> {
        loop {
            let Some(upload) = self.uploads.get_mut(&id) else { return Ok(()) };
            if upload.in_hand().is_some() {
                if !self.tables.bring_on(now, upload)? {
                    return Ok(());
                }
                continue;
            }
            match upload.next(&self.tables.config, &self.tables.sessions)? {
                None => return Ok(()),
                Some((_, Demand::Hello(hello))) => self.hello(now, id, &hello)?,
                Some((index, demand)) => self.tables.meet(now, upload, index, demand)?,
            }
        }
    }

    fn hello(&mut self, now: u64, id: ExchangeId, hello: &Hello) -> Result<(), Rejection> {
        let tables = &mut self.tables;
        let Some(exchange) = tables.exchanges.get_mut(id) else { return Ok(()) };
        exchange.greet(hello);
        if !is_spoken(hello.version) {
            return Err(Rejection::End(Status::Version));
        }
        let peer = tables.sessions.key(address(&hello.secret));
        let is_known = tables.sessions.is_known(&peer);
        let account = exchange.account();
        if !is_known
            && tables.sessions.get(&peer).is_none()
            && tables.accounts.meter(now, &tables.config, account, Meter::Sessions, 0).is_err()
        {
            exchange.admit_known_only(Shortage::Rate);
        }
        if !exchange.claim(peer, is_known) {
            return Err(Rejection::Stranger);
        }
        if let Some(upload) = self.uploads.get_mut(&id) {
            upload.greet(*hello);
        }
        if !flags_fit(hello) {
            return Err(MALFORMED);
        }
        if !tables.charge(now, id, peer) {
            return Err(Rejection::Limited(Limit::PolicySessions));
        }
        if !tables.enter(now, peer, account) {
            tables.bearers.leave(peer);
            return Err(Rejection::Limited(Limit::MaxSessions));
        }
        if let Some(exchange) = tables.exchanges.get_mut(id) {
            exchange.admit(peer);
        }
        tables.sessions.prolong_doubt(peer, now + tables.config.doubt_ms);
        let kind = RequestKind::of(hello);
        let mut before = Vec::new();
        if kind.is_send()
            && let Some(session) = tables.sessions.get_mut(&peer)
        {
            before.clone_from(&session.sends);
            session.sends.push(id);
        }
        if tables.is_down || tables.is_revoked(id) {
            return Err(Rejection::End(Status::Shutdown));
        }
        match kind {
            RequestKind::Send => tables.stats.sends += 1,
            RequestKind::Park | RequestKind::Single => tables.stats.parks += 1,
        }
        if kind.is_send() {
            self.admit_send(now, id, peer, hello, before)?;
        }
        Ok(())
    }

    /// A request that counts among its session's sends was greeted, while those of `before` are under way.
    fn admit_send(
        &mut self,
        now: u64,
        id: ExchangeId,
        peer: SessionKey,
        hello: &Hello,
        before: Vec<ExchangeId>,
    ) -> Result<(), Rejection> {
        let kind = RequestKind::of(hello);
        let sends = self.supersede(now, before, kind, hello.seq) + 1;
        if sends > self.tables.config.sends as usize {
            return Err(Rejection::Limited(Limit::Sends));
        }
        if kind == RequestKind::Single {
            // Room for a whole body is kept: were it made as the body comes, those half there could
            // fill what may be held, and wait for each other.
            let Some(upload) = self.uploads.get_mut(&id) else { return Ok(()) };
            let Tables { budget, accounts, stats, .. } = &mut self.tables;
            if budget.free_beside(accounts, upload.account, 0) < MAX_SINGLE_BODY {
                stats.over_share += 1;
                return Err(Rejection::Limited(Limit::MaxHeld));
            }
            budget.take(accounts, upload.account, MAX_SINGLE_BODY);
            upload.gather();
        }
        if hello.flags.has(HelloFlags::WAKE) {
            self.tables.wake_session(now, peer, hello.seq);
        }
        Ok(())
    }

    /// A client sends one body after the other: those that began before it had given up, if they
    /// are still under way. How many of `sends` stay: repeats, what comes late, and parks if the new
    /// request is none, or the other way round: their numbers need not go together.
    fn supersede(
        &mut self,
        now: u64,
        sends: Vec<ExchangeId>,
        kind: RequestKind,
        seq: u64,
    ) -> usize {
        let mut stay = 0;
        for id in sends {
            let is_older = self.tables.exchanges.get(id).is_some_and(|e| e.seq() < seq);
            let is_alike = self.uploads.get(&id).is_some_and(|upload| upload.kind() == Some(kind));
            match is_older && is_alike {
                true => self.fail(now, id, Rejection::End(Status::Stale)),
                false => stay += 1,
            }
        }
        stay
    }

    /// Answers a body that begins with the HELLO of another version; anything else gets no answer.
    fn answer_version(&mut self, now: u64, id: ExchangeId, theirs: u8) {
        debug!(exchange = id, theirs, ours = VERSION, "HELLO of another version");
        let tables = &mut self.tables;
        let seq = tables.exchanges.get(id).map_or(0, |exchange| exchange.seq());
        tables.write_welcome(now, id, Address::RELAY, seq);
        tables.write(now, id, |response| {
            response.put(&Message::End(End { status: Status::Version, highest: 0 }));
        });
    }

    /// The whole body was dealt with.
    fn complete(&mut self, now: u64, id: ExchangeId) {
        let Some(upload) = self.uploads.get_mut(&id) else { return };
        let Some(&hello) = upload.hello() else { return };
        if upload.is_carried() {
            let speaks = upload.speaks();
            self.release(now, id);
            return self.tables.end_messages(now, id, speaks, None);
        }
        match RequestKind::of(&hello) {
            RequestKind::Send => {
                self.release(now, id);
                if hello.flags.has(HelloFlags::BYE)
                    && let Some(peer) = self.tables.session_of(id)
                {
                    self.tables.bye(now, peer, hello.seq);
                }
                self.tables.answer(now, id, Status::Ok);
            }
            RequestKind::Park => {
                match self.check_proof(now, id) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(why) => return self.fail(now, id, why),
                }
                let Some(upload) = self.uploads.get_mut(&id) else { return };
                let claims = upload.take_claims();
                self.release(now, id);
                self.tables.arrive(now, id, &hello, &claims);
                self.work(now);
            }
            RequestKind::Single => self.complete_single(now, id, &hello),
        }
    }

    /// The whole body of a park is there: whether there is no proof left to be checked before the park takes
    /// its place.
    fn check_proof(&mut self, now: u64, id: ExchangeId) -> Result<bool, Rejection> {
        let peer = self.tables.session_of(id);
        let (Some(upload), Some(peer)) = (self.uploads.get_mut(&id), peer) else { return Ok(true) };
        if let Some(proof) = upload.proof.take()
            && self.tables.prove(now, id, peer, proof)?
        {
            upload.proof.checked();
        }
        Ok(upload.proof.is_settled())
    }

    /// The whole body of a park with SINGLE is there: the park takes its place, then its messages go.
    fn complete_single(&mut self, now: u64, id: ExchangeId, hello: &Hello) {
        let Some(upload) = self.uploads.get_mut(&id) else { return };
        let listed = upload.list_claims(&self.tables.config);
        match listed.and_then(|()| self.check_proof(now, id)) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => return self.fail(now, id, why),
        }
        let Some(upload) = self.uploads.get_mut(&id) else { return };
        let claims = upload.take_claims();
        self.tables.release(now, upload);
        let held = upload.carry();
        let Tables { budget, accounts, .. } = &mut self.tables;
        budget.take(accounts, upload.account, held);
        let stands = self.tables.arrive(now, id, hello, &claims);
        self.work(now);
        // An upload that waited may have filled the answer.
        if stands && self.tables.stands(id) {
            if let Some(exchange) = self.tables.exchanges.get_mut(id) {
                exchange.begin_speaking(hello.flags.has(HelloFlags::BYE));
            }
            self.drive(now, id);
        } else {
            self.release(now, id);
        }
    }

    /// Ends an upload before its time, with an answer if there was a HELLO.
    pub(super) fn fail(&mut self, now: u64, id: ExchangeId, why: Rejection) {
        let Some(mut upload) = self.uploads.remove(&id) else { return };
        let tables = &mut self.tables;
        tables.release(now, &mut upload);
        tables.accounts.leave(upload.account);
        let session = tables.exchanges.get(id).and_then(|exchange| exchange.claimant());
        let session = session.unwrap_or_default();
        match why {
            Rejection::Limited(limit) => {
                if limit != Limit::MaxHeld || upload.hold_back() {
                    tables.stats.limits.note(limit);
                }
                debug!(%session, exchange = id, %limit, "request is LIMITED: a limit is reached");
            }
            _ => debug!(%session, exchange = id, ?why, "request is rejected"),
        }
        match why.status().filter(|_| upload.hello().is_some()) {
            Some(status) if upload.is_carried() => {
                tables.end_messages(now, id, upload.speaks(), Some(status));
            }
            Some(status) => tables.answer(now, id, status),
            None => {
                if why != Rejection::Stranger {
                    tables.stats.ended(Status::Malformed);
                }
                tables.close(id);
            }
        }
    }

    /// Takes more of a body; gives back what has to wait.
    pub(super) fn take_body(&mut self, now: u64, id: ExchangeId, chunk: Bytes) -> Bytes {
        let Some(upload) = self.uploads.get_mut(&id) else { return Bytes::new() };
        upload.give(chunk);
        self.drive(now, id);
        self.uploads.get_mut(&id).map(|upload| upload.take_back()).unwrap_or_default()
    }
}

/// The address of the session with this secret.
pub(super) fn address(secret: &[u8; 16]) -> Address {
    let mut address = Address::RELAY;
    for (to, from) in address.0.iter_mut().zip(Sha256::digest(secret)) {
        *to = from;
    }
    address
}
