//! Reading a request: each message is handled as soon as it is there.

use std::collections::BTreeSet;

use bytes::{Buf, Bytes, BytesMut};

use super::exchange::{Admission, Current, State, Upload, What};
use super::{ExchangeId, Router};
use crate::wire::{
    Address, Channel, Connect, Data, DataFlags, End, Hello, HelloFlags, MAX_CONTROL,
    MAX_SINGLE_BODY, Message, Piece, Place, Route, Status, VERSION, Window,
};

/// Why a request ends before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Answered with this END.
    End(Status),
    /// There is no HELLO to answer.
    NoHello,
    /// There is no room for a session that is not known.
    Stranger,
}

/// Connections that are remembered of a session before its first park, which follows its first send.
const ASKED_AT_FIRST: usize = 4;

pub(super) const MALFORMED: Failure = Failure::End(Status::Malformed);

/// Claims that a park may list beyond the limit, to be told LIMITED.
pub(super) const EXCESS_CLAIMS: usize = 64;

impl Router {
    /// Reads from `chunk` until it is empty or a message has to wait. True: all is done.
    pub(super) fn read(
        &mut self,
        now: u64,
        id: ExchangeId,
        upload: &mut Upload,
        chunk: &mut Bytes,
    ) -> Result<bool, Failure> {
        let before = chunk.len();
        if upload.state.hello.is_none() {
            upload.state.start.see(chunk);
        }
        let result = self.messages(now, id, upload, chunk);
        let state = &mut upload.state;
        state.octets += before - chunk.len();
        if before > chunk.len() {
            state.last_byte = now;
        }
        if result.is_err_and(|failure| failure != Failure::Stranger) && state.hello.is_none() {
            self.answer_stranger(now, id, state);
            return Err(Failure::NoHello);
        }
        result?;
        if state.octets > self.config.max_body as usize {
            return Err(Failure::End(Status::Limited));
        }
        if state.is_single() && state.octets > MAX_SINGLE_BODY {
            return Err(MALFORMED);
        }
        // Only a carrier's chunk is more than was taken of it when the body has ended.
        if !state.ended || !chunk.is_empty() {
            return Ok(false);
        }
        match &state.current {
            Some(current) if current.what.unread() == 0 => Ok(false),
            None if upload.decoder.at_boundary() && state.hello.is_some() => Ok(true),
            _ if state.hello.is_none() => Err(Failure::NoHello),
            _ => Err(MALFORMED),
        }
    }

    fn messages(
        &mut self,
        now: u64,
        id: ExchangeId,
        upload: &mut Upload,
        chunk: &mut Bytes,
    ) -> Result<(), Failure> {
        let Upload { decoder, state } = upload;
        loop {
            if state.current.is_some() {
                if !self.advance(now, id, decoder, state, chunk) {
                    return Ok(());
                }
                continue;
            }
            if state.is_single() {
                state.gather(chunk);
                return Ok(());
            }
            if chunk.is_empty() {
                return Ok(());
            }
            let mut input = &chunk[..];
            let result = match decoder.next(&mut input) {
                Ok(Some(Piece::Message(message))) => self.message(now, id, state, message),
                Ok(Some(Piece::Bytes(..))) | Err(_) => Err(MALFORMED),
                Ok(None) => Ok(()),
            };
            let used = chunk.len() - input.len();
            chunk.advance(used);
            result?;
        }
    }

    fn message(
        &mut self,
        now: u64,
        id: ExchangeId,
        state: &mut State,
        message: Message<'_>,
    ) -> Result<(), Failure> {
        let index = state.messages;
        state.messages += 1;
        if index == 0 {
            let Message::Hello(hello) = message else { return Err(Failure::NoHello) };
            return self.hello(now, id, state, hello);
        }
        let index = match u16::try_from(index) {
            Ok(index) if index <= self.config.max_messages => index,
            _ => return Err(Failure::End(Status::Limited)),
        };
        if !is_sound(&message) {
            return Err(MALFORMED);
        }
        match message {
            Message::Route(route) => state.route = Some((route.peer, route.channel)),
            Message::Pad(_) => {}
            Message::ListenReq(claim) if state.is_park() => {
                if state.listens.len() >= self.config.claims + EXCESS_CLAIMS {
                    return Err(MALFORMED);
                }
                state.listens.push(claim);
            }
            // The park had it.
            Message::ListenReq(_) if state.park.is_some() => {}
            Message::ConnectReq(connect) => self.connect(now, id, state, index, connect),
            Message::AcceptRsp(accept) => {
                let (peer, channel) = state.route.ok_or(MALFORMED)?;
                let source = self.source_of(id);
                if self.sessions.get(&peer).is_none_or(|s| s.asked.admits(channel, source)) {
                    let what = control(&Message::ConnectRsp(accept));
                    begin(state, index, (peer, channel), what);
                } else {
                    // A stranger, with a token from somewhere.
                    state.speaks = true;
                    self.verdict(state, index, Status::NoListener, 0);
                }
            }
            Message::CloseReq(_) | Message::CloseRsp(_) => {
                let to = state.route.ok_or(MALFORMED)?;
                begin(state, index, to, control(&message));
            }
            Message::ReceiveReq(window) => self.receive(now, id, state, index, window)?,
            Message::SendReq(data) => {
                let to = state.route.ok_or(MALFORMED)?;
                begin(state, index, to, payload(state.is_park(), data)?);
            }
            _ => return Err(MALFORMED),
        }
        Ok(())
    }

    fn hello(
        &mut self,
        now: u64,
        id: ExchangeId,
        state: &mut State,
        hello: Hello,
    ) -> Result<(), Failure> {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.seq = hello.seq;
            exchange.response.limit(hello.max_response);
        }
        if hello.version != VERSION {
            return Err(Failure::End(Status::Version));
        }
        let peer = super::address(&hello.secret);
        let known = self.is_known(&peer);
        if let Some(exchange) = self.exchanges.get_mut(&id)
            && exchange.admission == Admission::Known
            && !known
        {
            exchange.admission = Admission::Refused;
            return Err(Failure::Stranger);
        }
        state.hello = Some(hello);
        if !flags_fit(&hello) {
            return Err(MALFORMED);
        }
        let Some(session) = self.enter(now, peer) else {
            return Err(Failure::End(Status::Limited));
        };
        session.exchanges += 1;
        let mut before = BTreeSet::new();
        if state.is_send() {
            before.clone_from(&session.sends);
            session.sends.insert(id);
        }
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.session = Some(peer);
        }
        self.heard_of(now, peer);
        if self.down {
            return Err(Failure::End(Status::Shutdown));
        }
        match state.is_park() {
            true => self.stats.parks += 1,
            false => self.stats.sends += 1,
        }
        if !state.is_send() {
            return Ok(());
        }
        let sends = self.supersede(now, before, state, hello.seq) + 1;
        if sends > self.config.sends as usize {
            return Err(Failure::End(Status::Limited));
        }
        if state.is_single() {
            self.reserve(state)?;
        }
        if hello.flags.has(HelloFlags::WAKE) {
            self.wake_session(now, peer, hello.seq);
        }
        Ok(())
    }

    /// A client sends one body after the other: those that began before it had given up, if they
    /// are still under way. How many of `sends` stay: repeats, what comes late, and parks if the new
    /// one is none, or the other way round: their numbers need not go together.
    fn supersede(&mut self, now: u64, sends: BTreeSet<ExchangeId>, new: &State, seq: u64) -> usize {
        let mut stay = 0;
        for id in sends {
            let exchange = self.exchanges.get_mut(&id).filter(|exchange| exchange.seq < seq);
            let alike = |upload: &mut Box<Upload>| upload.state.is_park() == new.is_park();
            match exchange.and_then(|exchange| exchange.upload.take_if(alike)) {
                Some(upload) => self.fail(now, id, upload, Failure::End(Status::Stale)),
                None => stay += 1,
            }
        }
        stay
    }

    /// Answers a body that begins with the HELLO of another version; anything else gets no answer.
    fn answer_stranger(&mut self, now: u64, id: ExchangeId, state: &State) {
        if state.start.version().is_none_or(|version| version == VERSION) {
            return;
        }
        let seq = self.exchanges.get(&id).map_or(0, |exchange| exchange.seq);
        self.write_welcome(now, id, Address::RELAY, seq);
        self.write(now, id, |response| {
            response.put(&Message::End(End { status: Status::Version, highest: 0 }));
        });
    }

    fn connect(
        &mut self,
        now: u64,
        id: ExchangeId,
        state: &mut State,
        index: u16,
        connect: Connect<'_>,
    ) {
        match self.listener(now, &connect) {
            Ok(peer) => {
                let source = self.source_of(id);
                if let Some(session) = self.sessions.get_mut(&source) {
                    // A session that never parks hears no answer.
                    let most = match session.highest {
                        Some(_) => self.config.asked,
                        None => self.config.asked.min(ASKED_AT_FIRST),
                    };
                    session.asked.note(connect.channel, peer, most);
                }
                let message = Message::AcceptReq(connect);
                begin(state, index, (peer, Channel::NONE), control(&message));
            }
            Err(status) => {
                state.speaks = true;
                self.verdict(state, index, status, 0);
            }
        }
    }

    /// RECEIVE_REQ does not wait for a park: the newest is kept.
    fn receive(
        &mut self,
        now: u64,
        id: ExchangeId,
        state: &mut State,
        index: u16,
        window: Window,
    ) -> Result<(), Failure> {
        let (peer, channel) = state.route.ok_or(MALFORMED)?;
        let source = self.source_of(id);
        let status = match self.absent(now, &peer) {
            Some(status) => {
                self.wish(now, source, peer);
                status
            }
            None => {
                self.keep_ack(now, peer, Route { peer: source, channel }, window);
                Status::Delivered
            }
        };
        self.verdict(state, index, status, 0);
        Ok(())
    }

    pub(super) fn verdict(&mut self, state: &mut State, index: u16, status: Status, bytes: u32) {
        self.stats.verdict(status);
        state.verdict(index, status, bytes);
    }
}

/// Whether HELLO's flags are those of a send or of a park, as it is one or both.
fn flags_fit(hello: &Hello) -> bool {
    let (is_park, flags) = (hello.hold_ms > 0, hello.flags);
    let is_send = !is_park || flags.has(HelloFlags::SINGLE);
    let (wakes, leaves) = (flags.has(HelloFlags::WAKE), flags.has(HelloFlags::BYE));
    (is_park || !flags.has(HelloFlags::STREAM)) && (is_send || !wakes && !leaves)
}

/// Whether a message of a client has only what it may have there.
pub(super) fn is_sound(message: &Message<'_>) -> bool {
    match message {
        Message::ListenReq(m) => {
            let heard = m.heard.is_none_or(|status| status.fits(Place::ListenRsp));
            m.claim != 0 && m.backlog > 0 && heard
        }
        Message::ConnectReq(m) => m.channel.id != 0,
        Message::AcceptRsp(m) => {
            let has_end = m.channel.id != 0;
            m.status.fits(Place::AcceptRsp) && (m.status == Status::Ok) == has_end
        }
        Message::CloseReq(m) => m.status.fits(Place::CloseReq),
        Message::CloseRsp(m) => m.status.fits(Place::CloseRsp),
        _ => true,
    }
}

fn payload(is_park: bool, data: Data) -> Result<What, Failure> {
    let probe = data.flags.has(DataFlags::PROBE) && !data.flags.has(DataFlags::FIN);
    // Only a probe carries nothing that would have to be said again if the park's answer is lost.
    if is_park && !probe {
        return Err(MALFORMED);
    }
    Ok(match data.flags.has(DataFlags::DATAGRAM) {
        true => What::Datagram { data, have: BytesMut::new() },
        false => What::Stream { data, done: 0 },
    })
}

/// Makes a message the current one, unless its peer gets no more of this upload.
fn begin(state: &mut State, index: u16, (peer, channel): (Address, Channel), what: What) {
    let what = match state.refused.get(&peer) {
        Some(&status) => What::Drop { status, left: what.unread(), done: 0 },
        None => what,
    };
    state.current = Some(Current { index, peer, channel, what });
    state.speaks = true;
}

fn control(message: &Message<'_>) -> What {
    let mut encoded = [0; MAX_CONTROL];
    // Every control message fits; were it not so, nothing would be written.
    let len = message.encode(&mut encoded).unwrap_or(0);
    What::Control { encoded, len }
}
