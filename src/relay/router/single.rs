//! Parks of clients with one socket, which are their sends as well: what they carry goes by an
//! exchange of its own, the *carrier*, which has no connection and gives its verdicts to the park.

use bytes::Bytes;

use super::exchange::{Exchange, Role, State, Upload};
use super::response::Phase;
use super::upload::{EXCESS_CLAIMS, Failure, MALFORMED, is_sound};
use super::{ExchangeId, Router};
use crate::wire::{Decoder, Hello, HelloFlags, ListenReq, MAX_SINGLE_BODY, Message, Piece, Status};

impl Router {
    /// Octets that the client has sent behind its request: it has something to say, and its park is
    /// to be answered. Does nothing to parks that are not sends as well: what comes behind those may
    /// be a proxy's next request.
    pub fn handle_behind(&mut self, now: u64, id: ExchangeId) {
        if self.exchanges.get(&id).is_some_and(|exchange| exchange.role == Role::Single) {
            self.end_park(now, id, Status::Ok);
            self.settle(now);
        }
    }

    /// Keeps room for a whole body: were it made as the body comes, those half there could fill what
    /// may be held, and wait for each other.
    pub(super) fn reserve(&mut self, state: &mut State) -> Result<(), Failure> {
        if self.held + MAX_SINGLE_BODY > self.config.max_held {
            return Err(Failure::End(Status::Limited));
        }
        state.reserved = MAX_SINGLE_BODY;
        self.held += state.reserved;
        Ok(())
    }

    /// The claims of a whole body: they are to stand as soon as the park does, whatever waits.
    pub(super) fn claims_of(&self, body: &[u8]) -> Result<Vec<ListenReq>, Failure> {
        let (mut decoder, mut input, mut listens) = (Decoder::new(), body, Vec::new());
        while let Some(piece) = decoder.next(&mut input).map_err(|_| MALFORMED)? {
            let Piece::Message(message) = piece else { continue };
            if !is_sound(&message) {
                return Err(MALFORMED);
            }
            if let Message::ListenReq(claim) = message {
                listens.push(claim);
            }
        }
        let whole = decoder.at_boundary() && listens.len() <= self.config.claims + EXCESS_CLAIMS;
        whole.then_some(listens).ok_or(MALFORMED)
    }

    /// Sends what a park carries, now that it stands.
    pub(super) fn carry(&mut self, now: u64, park: ExchangeId, hello: Hello, rest: Bytes) {
        let peer = self.source_of(park);
        let id = self.next;
        self.next += 1;
        let mut upload = Upload::new(now, self.config.patience_ms);
        upload.state = State {
            hello: Some(Hello { hold_ms: 0, ..hello }),
            messages: 1,
            ended: true,
            park: Some(park),
            rest,
            ..upload.state
        };
        let mut exchange = Exchange::new(now, 0);
        exchange.session = Some(peer);
        exchange.seq = hello.seq;
        exchange.role = Role::Carrier;
        exchange.upload = Some(Box::new(upload));
        self.exchanges.insert(id, exchange);
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.exchanges += 1;
        }
        if let Some(exchange) = self.exchanges.get_mut(&park) {
            exchange.carrier = Some(id);
            exchange.role = Role::Single;
        }
        self.drive(now, id, &mut Bytes::new());
    }

    /// A carrier is done: its park has the verdicts, and ends if any of them is to end it.
    pub(super) fn carried(
        &mut self,
        now: u64,
        id: ExchangeId,
        park: ExchangeId,
        state: &mut State,
        status: Status,
    ) {
        let peer = self.source_of(id);
        self.remove(now, id);
        let Some(exchange) = self.exchanges.get_mut(&park) else { return };
        exchange.carrier = None;
        self.tell_park(now, park, state);
        let hello = state.hello.filter(|hello| hello.flags.has(HelloFlags::BYE));
        if status != Status::Ok {
            self.open(now, park);
            self.end_park(now, park, status);
        } else if let Some(hello) = hello {
            self.bye(now, peer, hello.seq);
        } else if state.speaks {
            // It ends as soon as nothing for it is under way: not before the answer of a peer that
            // just got these messages, and speaks at the same time.
            self.open(now, park);
            self.touched.push(peer);
        }
    }

    /// A park ends before its carrier: what was not dealt with gets no verdict. The number of a BYE
    /// that came with it.
    pub(super) fn recall(&mut self, now: u64, park: ExchangeId) -> Option<u64> {
        let id = self.exchanges.get_mut(&park)?.carrier.take()?;
        let upload = self.exchanges.get_mut(&id).and_then(|carrier| carrier.upload.take());
        let hello = upload.and_then(|mut upload| {
            self.release(now, id, &mut upload.state);
            self.tell_park(now, park, &mut upload.state);
            upload.state.hello
        });
        self.remove(now, id);
        hello.filter(|hello| hello.flags.has(HelloFlags::BYE)).map(|hello| hello.seq)
    }

    /// The verdicts so far go into the answer, or are kept for it.
    fn tell_park(&mut self, now: u64, park: ExchangeId, state: &mut State) {
        let verdicts = std::mem::take(&mut state.verdicts);
        let Some(exchange) = self.exchanges.get_mut(&park) else { return };
        match exchange.response.phase {
            Phase::Closed => exchange.verdicts.extend_from_slice(&verdicts),
            Phase::Open => self.write(now, park, |response| response.raw(&verdicts)),
            Phase::Ended => {}
        }
    }
}
