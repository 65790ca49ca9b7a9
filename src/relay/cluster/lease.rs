//! Which relay has the router: at most one by the bus's key, for as long as it renews the key.
//!
//! ```text
//!            no relay is heard               the key was free
//!  Follows ────────────────────▶ Asks ──────────────────────▶ Holds ──▶ LetGo, for good
//!    ▲ ▲                          │                            │     the relay is to stop
//!    │ └──────── the key is taken ┘                            │
//!    └── the key was not renewed in time; a relay of a later term is heard
//! ```
//!
//! The key is gone [`TTL`] after it was renewed last, and a holder believes in it for [`LEASE`] from when it
//! asked for that: so the former holder has stopped when another begins. Where the bus forgets the key, or its
//! clock jumps, two may hold for a moment, both of them young or with peers that were there a moment ago: such
//! a router refuses nobody, and of the two the one of the earlier term stops when it hears the other.

use super::frame::{Call, RelayId, Term};

/// How often the holder renews the key and says that it is there, in milliseconds.
pub const BEAT: u64 = 500;

/// How long the holder believes in the key from when it asked for it, and how long after a call of the holder
/// another relay asks, in milliseconds: four beats may be lost. Shorter than a router's grace, so that a holder
/// that knows no better still counts sessions as there which have gone to the next one.
pub const LEASE: u64 = 2_500;

/// How long the bus keeps the key, in milliseconds: longer than the lease by what clocks and the way of a
/// request may be off.
pub const TTL: u64 = 4_000;

/// How long after a call of the holder requests go to it, in milliseconds: two calls may be lost. Beyond, they wait
/// for the next, or for another relay's.
const HEARD: u64 = 3 * BEAT + BEAT / 2;

/// How long a holder that is not heard any longer counts for more than one of an earlier term, in milliseconds: until
/// the key of a later one is gone.
const FORGET: u64 = TTL;

/// How long an answer of the bus is waited for, in milliseconds.
const ANSWER: u64 = 2_000;

/// How far apart relays ask for a key that is free, in milliseconds at most: asking takes a few.
const SPREAD: u64 = 100;

/// What is to be asked of the bus's key. The answer goes to [`Node::handle_answer`](super::Node::handle_answer)
/// with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrder {
    /// Make the key, which is not to be there, and keep it for [`TTL`].
    Make,
    /// Write the key again, whose last revision is this one.
    Renew(u64),
    /// Delete the key of this revision.
    Delete(u64),
}

/// A question to the bus, with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyQuestion {
    /// The question's number, for its answer.
    pub serial: u64,
    /// What is to be done.
    pub order: KeyOrder,
}

/// What a call changed for this relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// This relay has the router from now on.
    Took,
    /// This relay has it no longer.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Asks for the key at that time, unless the holder is heard.
    Follows {
        ask_at: u64,
    },
    /// Asked for the key.
    Asks {
        question: u64,
        until: u64,
    },
    Holds {
        term: Term,
        revision: u64,
        until: u64,
        beat_at: u64,
        renewal: Option<Renewal>,
    },
    /// Asks no more.
    LetGo(Leave),
}

/// How far a relay is that lets go: the others are told when the key is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// The answer to this question gives the key's revision. The term is that of a relay that had the router.
    Awaits {
        question: u64,
        term: Option<Term>,
    },
    Deletes {
        question: u64,
        term: Option<Term>,
    },
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Renewal {
    question: u64,
    asked: u64,
}

/// The relay that has the router, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    relay: RelayId,
    term: Term,
    heard: u64,
    /// It let go.
    leaves: bool,
}

/// A relay's part in who has the router.
#[derive(Debug)]
pub(super) struct Lease {
    id: RelayId,
    standing: Standing,
    /// The highest term known of.
    highest: Term,
    holder: Option<Holder>,
    serial: u64,
    questions: Vec<KeyQuestion>,
    calls: Vec<Call>,
    turn: Option<Turn>,
}

impl Lease {
    pub fn new(id: RelayId, now: u64) -> Self {
        Self {
            id,
            standing: Standing::Follows { ask_at: now },
            highest: 0,
            holder: None,
            serial: 0,
            questions: Vec::new(),
            calls: Vec::new(),
            turn: None,
        }
    }

    /// The relay that has the router and its term; `None`: none is known.
    pub fn holder(&self, now: u64) -> Option<(RelayId, Term)> {
        if let Some(term) = self.term(now) {
            return Some((self.id, term));
        }
        let holder = self.holder.filter(|holder| !holder.leaves && now < holder.heard + HEARD)?;
        Some((holder.relay, holder.term))
    }

    /// The term in which this relay has the router. What it may not have renewed in time it does not have, whether or
    /// not somebody looked at the clock meanwhile.
    pub fn term(&self, now: u64) -> Option<Term> {
        match self.standing {
            Standing::Holds { term, until, .. } if now < until => Some(term),
            Standing::Holds { .. }
            | Standing::Follows { .. }
            | Standing::Asks { .. }
            | Standing::LetGo(_) => None,
        }
    }

    pub fn poll_question(&mut self) -> Option<KeyQuestion> {
        (!self.questions.is_empty()).then(|| self.questions.remove(0))
    }

    pub fn poll_call(&mut self) -> Option<Call> {
        (!self.calls.is_empty()).then(|| self.calls.remove(0))
    }

    /// Whether something is to go to the bus.
    pub fn has_orders(&self) -> bool {
        !self.questions.is_empty() || !self.calls.is_empty()
    }

    pub fn poll_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    pub fn poll_timeout(&self) -> Option<u64> {
        match self.standing {
            Standing::Follows { ask_at } => Some(ask_at),
            Standing::Asks { until, .. } => Some(until),
            Standing::Holds { until, beat_at, .. } => Some(until.min(beat_at)),
            Standing::LetGo(_) => None,
        }
    }

    pub fn handle_timeout(&mut self, now: u64) {
        match self.standing {
            Standing::Follows { ask_at } if ask_at <= now => {
                let question = self.ask(KeyOrder::Make);
                self.standing = Standing::Asks { question, until: now + ANSWER };
            }
            Standing::Asks { until, .. } if until <= now => self.follow(now),
            Standing::Holds { until, .. } if until <= now => self.lose(now),
            Standing::Holds { term, revision, beat_at, mut renewal, until } if beat_at <= now => {
                self.calls.push(Call::Holds(self.id, term));
                // One question after the other: each needs the revision that the last one made.
                if renewal.is_none() {
                    let question = self.ask(KeyOrder::Renew(revision));
                    renewal = Some(Renewal { question, asked: now });
                }
                let beat_at = now + BEAT;
                self.standing = Standing::Holds { term, revision, beat_at, renewal, until };
            }
            _ => {}
        }
    }

    /// The bus answered a question: the key's revision, or none if the key was another relay's, or the bus was
    /// away.
    pub fn handle_answer(&mut self, now: u64, serial: u64, revision: Option<u64>) {
        match (self.standing, revision) {
            (Standing::Asks { question, until }, Some(revision)) if question == serial => {
                let asked = until - ANSWER;
                // Revisions go up by themselves, but for a bus that forgot.
                let term = revision.max(self.highest + 1);
                self.highest = term;
                self.holder = None;
                self.standing = Standing::Holds {
                    term,
                    revision,
                    until: asked + LEASE,
                    beat_at: now,
                    renewal: None,
                };
                self.turn = Some(Turn::Took);
                self.handle_timeout(now);
            }
            (Standing::Asks { question, .. }, None) if question == serial => self.follow(now),
            (
                Standing::Holds { term, until, beat_at, renewal: Some(renewal), revision: before },
                _,
            ) if renewal.question == serial => {
                // Without an answer the next beat asks again.
                let (revision, until) = match revision {
                    Some(revision) => (revision, until.max(renewal.asked + LEASE)),
                    None => (before, until),
                };
                self.standing = Standing::Holds { term, revision, until, beat_at, renewal: None };
            }
            (Standing::LetGo(leave), _) => self.leave_on(leave, serial, revision),
            _ => {}
        }
    }

    /// The bus answered a question of a relay that lets go.
    fn leave_on(&mut self, leave: Leave, serial: u64, revision: Option<u64>) {
        let next = match (leave, revision) {
            (Leave::Awaits { question, term }, Some(revision)) if question == serial => {
                Leave::Deletes { question: self.ask(KeyOrder::Delete(revision)), term }
            }
            (Leave::Awaits { question, term } | Leave::Deletes { question, term }, _)
                if question == serial =>
            {
                self.calls.extend(term.map(|term| Call::LetsGo(self.id, term)));
                Leave::Done
            }
            _ => leave,
        };
        self.standing = Standing::LetGo(next);
    }

    /// Another relay called.
    pub fn handle_call(&mut self, now: u64, call: Call) {
        let (Call::Holds(relay, term) | Call::LetsGo(relay, term)) = call;
        if relay == self.id {
            return;
        }
        if let (Standing::Holds { term: own, .. }, Call::Holds(..)) = (self.standing, call) {
            // Of two with one term, which a bus makes that forgot, one gives way.
            if (own, self.id) < (term, relay) {
                self.lose(now);
            } else {
                return;
            }
        }
        let known = self.holder.filter(|holder| now < holder.heard + FORGET);
        let is_known = known.is_some_and(|known| (term, relay) == (known.term, known.relay));
        match call {
            Call::LetsGo(..) if !is_known => return,
            _ if known.is_some_and(|known| (term, relay) < (known.term, known.relay)) => return,
            _ => {}
        }
        self.highest = self.highest.max(term);
        let leaves = matches!(call, Call::LetsGo(..))
            || self.holder.is_some_and(|h| (h.term, h.relay) == (term, relay) && h.leaves);
        self.holder = Some(Holder { relay, term, heard: now, leaves });
        if let Standing::Follows { .. } = self.standing {
            let ask_at = if leaves { now + self.delay() } else { now + LEASE + self.delay() };
            self.standing = Standing::Follows { ask_at };
        }
    }

    /// This relay is to stop: another may have the router at once.
    pub fn let_go(&mut self) {
        let leave = match self.standing {
            Standing::Holds { term, renewal: Some(Renewal { question, .. }), .. } => {
                Leave::Awaits { question, term: Some(term) }
            }
            Standing::Asks { question, .. } => Leave::Awaits { question, term: None },
            Standing::Holds { term, revision, .. } => {
                Leave::Deletes { question: self.ask(KeyOrder::Delete(revision)), term: Some(term) }
            }
            Standing::LetGo(leave) => leave,
            Standing::Follows { .. } => Leave::Done,
        };
        self.standing = Standing::LetGo(leave);
    }

    /// Whether a relay that lets go has said so.
    pub fn is_settled(&self) -> bool {
        !matches!(self.standing, Standing::LetGo(Leave::Awaits { .. } | Leave::Deletes { .. }))
    }

    fn ask(&mut self, order: KeyOrder) -> u64 {
        self.serial += 1;
        self.questions.push(KeyQuestion { serial: self.serial, order });
        self.serial
    }

    /// Waits for the holder's call; without one, asks when the key may be free.
    fn follow(&mut self, now: u64) {
        self.standing = Standing::Follows { ask_at: now + BEAT + self.delay() };
    }

    fn lose(&mut self, now: u64) {
        self.turn = Some(Turn::Lost);
        self.follow(now);
    }

    /// When this relay asks, so that not all do in the same moment: drawn from its number.
    fn delay(&self) -> u64 {
        self.id.0.rotate_left(self.serial as u32) % SPREAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: RelayId = RelayId(1);
    const OTHER: RelayId = RelayId(2);

    /// A relay that got the key at once, at 0.
    fn holder() -> Lease {
        let mut lease = Lease::new(ONE, 0);
        lease.handle_timeout(0);
        let question = lease.poll_question().expect("it asks");
        assert_eq!(question.order, KeyOrder::Make);
        lease.handle_answer(5, question.serial, Some(7));
        assert_eq!(lease.poll_turn(), Some(Turn::Took));
        assert_eq!(lease.holder(5), Some((ONE, 7)));
        lease
    }

    #[test]
    fn lease_ends_by_the_clock_from_when_it_was_asked_for() {
        let mut lease = holder();
        assert_eq!(lease.term(LEASE - 1), Some(7));
        assert_eq!(lease.term(LEASE), None, "although nobody looked at the clock");
        lease.handle_timeout(LEASE);
        assert_eq!(lease.poll_turn(), Some(Turn::Lost));
    }

    #[test]
    fn renewed_lease_counts_from_the_renewal_and_a_refused_one_does_not() {
        let mut lease = holder();
        let renewal = lease.poll_question().expect("it renews at once");
        assert_eq!(renewal.order, KeyOrder::Renew(7));
        lease.handle_answer(400, renewal.serial, Some(8));
        assert_eq!(lease.term(LEASE + 4), Some(7));
        lease.handle_timeout(505);
        let renewal = lease.poll_question().expect("a beat later");
        assert_eq!(renewal.order, KeyOrder::Renew(8));
        lease.handle_answer(600, renewal.serial, None);
        assert_eq!(lease.term(LEASE + 5), None);
    }

    #[test]
    fn follower_that_is_stopped_while_it_asks_says_nothing() {
        let mut lease = Lease::new(ONE, 0);
        lease.handle_timeout(0);
        let question = lease.poll_question().expect("it asks");
        lease.let_go();
        assert!(!lease.is_settled());
        lease.handle_answer(5, question.serial, None);
        assert!(lease.is_settled());
        assert_eq!(lease.poll_call(), None);
    }

    #[test]
    fn key_that_comes_to_a_relay_that_is_stopped_is_deleted() {
        let mut lease = Lease::new(ONE, 0);
        lease.handle_timeout(0);
        let question = lease.poll_question().expect("it asks");
        lease.let_go();
        lease.handle_answer(5, question.serial, Some(7));
        assert_eq!(lease.poll_turn(), None);
        assert_eq!(lease.poll_question().map(|question| question.order), Some(KeyOrder::Delete(7)));
    }

    #[test]
    fn holder_that_is_stopped_says_so_once_its_key_is_gone() {
        let mut lease = holder();
        let renewal = lease.poll_question().expect("it renews");
        while lease.poll_call().is_some() {}
        lease.let_go();
        assert_eq!(lease.holder(10), None);
        lease.handle_answer(10, renewal.serial, Some(8));
        let delete = lease.poll_question().expect("the key is deleted");
        assert_eq!(delete.order, KeyOrder::Delete(8));
        assert_eq!(lease.poll_call(), None);
        lease.handle_answer(11, delete.serial, Some(8));
        assert_eq!(lease.poll_call(), Some(Call::LetsGo(ONE, 7)));
    }

    #[test]
    fn letting_go_is_believed_of_the_holder_alone() {
        let mut lease = Lease::new(ONE, 0);
        lease.handle_call(0, Call::Holds(OTHER, 5));
        lease.handle_call(1, Call::LetsGo(RelayId(3), 9));
        assert_eq!(lease.holder(1), Some((OTHER, 5)));
        lease.handle_call(2, Call::LetsGo(OTHER, 5));
        assert_eq!(lease.holder(2), None);
        let mut holder = holder();
        holder.handle_call(6, Call::LetsGo(OTHER, 9));
        assert_eq!(holder.holder(6), Some((ONE, 7)));
    }

    #[test]
    fn of_two_holders_the_earlier_gives_way() {
        let mut lease = holder();
        lease.handle_call(10, Call::Holds(OTHER, 6));
        assert_eq!(lease.holder(10), Some((ONE, 7)));
        lease.handle_call(10, Call::Holds(OTHER, 8));
        assert_eq!(lease.poll_turn(), Some(Turn::Lost));
        assert_eq!(lease.holder(10), Some((OTHER, 8)));
    }

    #[test]
    fn holder_that_is_silent_for_long_does_not_keep_an_earlier_term_from_counting() {
        let mut lease = Lease::new(ONE, 0);
        lease.handle_call(0, Call::Holds(OTHER, 9));
        lease.handle_call(FORGET - 1, Call::Holds(RelayId(3), 1));
        assert_eq!(lease.holder(FORGET - 1), None);
        lease.handle_call(FORGET, Call::Holds(RelayId(3), 1));
        assert_eq!(lease.holder(FORGET), Some((RelayId(3), 1)));
    }
}
