//! The relay of a world: one router, or the routers of a cluster over a bus that has faults.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use byway::relay::RouterStats;
use byway::relay::cluster::{KEY_MS, KeyOrder, KeyQuestion, Node, Order, PipeId, Place, RelayId};
use byway::relay::router::{Answer, ExchangeId, ProofCheck, Router, RouterConfig};

use crate::rng::Rng;

/// How long a relay waits for an answer of a bus that is away, in ms.
const AWAY_MS: u64 = 1_500;

/// What serves the requests of a world.
#[derive(Debug)]
pub enum Relays {
    One(Box<Router>),
    Many(Box<Cluster>),
}

/// An exchange as the relay with its connection knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// No relay is known to have the router.
    Waits,
    Here(ExchangeId),
    There(PipeId),
}

#[derive(Debug)]
struct Member {
    node: Node,
    router: Router,
    /// Until then the bus brings and takes nothing.
    off_bus_until: u64,
    /// When the last message to it arrives: messages keep their order.
    arrives: u64,
    /// Times that it took the router, as far as they are counted.
    took: u64,
}

/// What the bus is to do at some time.
#[derive(Debug)]
enum Post {
    Message(RelayId, Bytes),
    Call(RelayId, Bytes),
    Question(RelayId, KeyQuestion),
    Answer(RelayId, u64, Option<u64>),
    Kill(RelayId),
}

/// The relays of a cluster, their bus, and what stands before them: requests go to one after the other.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    config: RouterConfig,
    rng: Rng,
    /// The exchanges by the numbers that the world knows.
    exchanges: BTreeMap<ExchangeId, (usize, At)>,
    next: ExchangeId,
    numbers: BTreeMap<(RelayId, At), ExchangeId>,
    wakes: VecDeque<ExchangeId>,
    queue: BTreeMap<(u64, u64), Post>,
    serial: u64,
    key: Option<(u64, u64)>,
    revision: u64,
    /// How many of a thousand messages the bus loses.
    pub loses: u64,
    /// Exchanges whose relay was killed.
    cut: Vec<ExchangeId>,
    /// The most routers that there were at once.
    pub most_holders: usize,
    /// Times that a relay took the router.
    pub moves: u64,
}

impl Relays {
    pub fn many(seed: u64, relays: usize, config: &RouterConfig, now: u64) -> Self {
        let mut cluster = Cluster {
            members: Vec::new(),
            config: config.clone(),
            rng: Rng::new(seed ^ 0xb05),
            exchanges: BTreeMap::new(),
            next: 0,
            numbers: BTreeMap::new(),
            wakes: VecDeque::new(),
            queue: BTreeMap::new(),
            serial: 0,
            key: None,
            revision: 0,
            loses: 0,
            cut: Vec::new(),
            most_holders: 0,
            moves: 0,
        };
        for _ in 0..relays {
            let member = cluster.fresh(now);
            cluster.members.push(member);
        }
        Self::Many(Box::new(cluster))
    }

    /// The cluster of a world that has one.
    pub fn cluster(&mut self) -> &mut Cluster {
        match self {
            Self::Many(cluster) => cluster,
            Self::One(_) => panic!("this world has one relay"),
        }
    }

    /// All relays end, and others begin.
    pub fn restart(&mut self, config: &RouterConfig, now: u64) {
        match self {
            Self::One(router) => **router = Router::new(config.clone(), now),
            Self::Many(cluster) => cluster.restart(now),
        }
    }

    pub fn handle_open(&mut self, now: u64) -> ExchangeId {
        match self {
            Self::One(router) => router.handle_open(now),
            Self::Many(cluster) => cluster.open(),
        }
    }

    pub fn handle_body(&mut self, now: u64, id: ExchangeId, chunk: &mut Bytes) {
        match self {
            Self::One(router) => router.handle_body(now, id, chunk),
            Self::Many(cluster) => cluster.at(now, id, |member, at| match at {
                At::Waits => {}
                At::Here(id) => member.router.handle_body(now, id, chunk),
                At::There(id) => member.node.handle_body(id, chunk),
            }),
        }
    }

    pub fn handle_body_end(&mut self, now: u64, id: ExchangeId) {
        match self {
            Self::One(router) => router.handle_body_end(now, id),
            Self::Many(cluster) => cluster.at(now, id, |member, at| match at {
                At::Waits => {}
                At::Here(id) => member.router.handle_body_end(now, id),
                At::There(id) => member.node.handle_body_end(now, id),
            }),
        }
    }

    pub fn handle_behind(&mut self, now: u64, id: ExchangeId) {
        match self {
            Self::One(router) => router.handle_behind(now, id),
            Self::Many(cluster) => cluster.at(now, id, |member, at| match at {
                At::Waits => {}
                At::Here(id) => member.router.handle_behind(now, id),
                At::There(id) => member.node.handle_behind(id),
            }),
        }
    }

    pub fn handle_gone(&mut self, now: u64, id: ExchangeId) {
        match self {
            Self::One(router) => router.handle_gone(now, id),
            Self::Many(cluster) => {
                cluster.at(now, id, |member, at| match at {
                    At::Waits => {}
                    At::Here(id) => member.router.handle_gone(now, id),
                    At::There(id) => member.node.handle_gone(now, id),
                });
                cluster.forget(id);
            }
        }
    }

    /// `None`: the way between two relays broke.
    pub fn poll_response(&mut self, now: u64, id: ExchangeId) -> Option<Answer> {
        match self {
            Self::One(router) => Some(router.poll_response(now, id)),
            Self::Many(cluster) => {
                let mut answer = Some(Answer::Pending);
                cluster.at(now, id, |member, at| {
                    answer = match at {
                        At::Waits => Some(Answer::Pending),
                        At::Here(id) => Some(member.router.poll_response(now, id)),
                        At::There(id) if member.node.is_broken(id) => {
                            member.node.handle_gone(now, id);
                            None
                        }
                        At::There(id) => Some(member.node.poll_response(now, id)),
                    };
                });
                if !matches!(answer, Some(Answer::Pending | Answer::Bytes(_))) {
                    cluster.forget(id);
                }
                answer
            }
        }
    }

    pub fn poll_wake(&mut self) -> Option<ExchangeId> {
        match self {
            Self::One(router) => router.poll_wake(),
            Self::Many(cluster) => cluster.wakes.pop_front(),
        }
    }

    pub fn poll_proof(&mut self) -> Option<ProofCheck> {
        match self {
            Self::One(router) => router.poll_proof(),
            Self::Many(_) => None,
        }
    }

    pub fn handle_proof(&mut self, now: u64, proof: &byway::relay::router::CheckedProof) {
        if let Self::One(router) = self {
            router.handle_proof(now, proof);
        }
    }

    pub fn poll_timeout(&self) -> Option<u64> {
        match self {
            Self::One(router) => router.poll_timeout(),
            Self::Many(cluster) => cluster.poll_timeout(),
        }
    }

    pub fn handle_timeout(&mut self, now: u64) {
        match self {
            Self::One(router) => router.handle_timeout(now),
            Self::Many(cluster) => cluster.handle_timeout(now),
        }
    }

    /// Of a cluster, those of the router that most sessions know.
    pub fn stats(&self) -> RouterStats {
        match self {
            Self::One(router) => router.stats(),
            Self::Many(cluster) => {
                let stats = cluster.members.iter().map(|member| member.router.stats());
                stats.max_by_key(|stats| stats.sessions).unwrap_or_default()
            }
        }
    }

    /// Exchanges that ended because their relay was killed.
    pub fn take_cut(&mut self) -> Vec<ExchangeId> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Many(cluster) => std::mem::take(&mut cluster.cut),
        }
    }
}

impl Cluster {
    fn fresh(&mut self, now: u64) -> Member {
        let id = RelayId(self.rng.below(u64::MAX));
        Member {
            node: Node::new(id, now),
            router: Router::new(self.config.clone(), now),
            off_bus_until: 0,
            arrives: 0,
            took: 0,
        }
    }

    fn restart(&mut self, now: u64) {
        (0..self.members.len()).for_each(|n| self.kill(now, n));
        self.cut.clear();
    }

    /// A relay is killed, and another is started in its place.
    pub fn kill(&mut self, now: u64, n: usize) {
        let fresh = self.fresh(now);
        self.members[n] = fresh;
        let gone: Vec<_> = self
            .exchanges
            .iter()
            .filter(|(_, (member, _))| *member == n)
            .map(|(id, _)| *id)
            .collect();
        gone.iter().for_each(|id| self.forget(*id));
        self.cut.extend(gone);
    }

    /// A relay lets go, its clients leave within `spread` ms, and then it is killed.
    pub fn stop(&mut self, now: u64, n: usize, spread: u64) {
        let member = &mut self.members[n];
        member.node.leave(now, spread);
        member.router.drain(now, spread);
        let id = member.node.id();
        self.post(now + spread + 100, Post::Kill(id));
        self.pump(now, n);
    }

    /// The bus brings nothing to a relay and takes nothing from it.
    pub fn part(&mut self, n: usize, until: u64) {
        self.members[n].off_bus_until = until;
    }

    /// The bus forgets the key.
    pub fn forget_key(&mut self) {
        self.key = None;
    }

    /// The relay that has the router.
    pub fn holder(&self, now: u64) -> Option<usize> {
        self.members.iter().position(|member| member.node.stats(now).holds())
    }

    fn open(&mut self) -> ExchangeId {
        let id = self.next;
        self.next += 1;
        let member = id as usize % self.members.len();
        self.exchanges.insert(id, (member, At::Waits));
        id
    }

    fn forget(&mut self, id: ExchangeId) {
        if let Some((member, at)) = self.exchanges.remove(&id) {
            let relay = self.members[member].node.id();
            self.numbers.remove(&(relay, at));
        }
    }

    /// Calls the relay of an exchange, which is opened if it was not and can be.
    fn at(&mut self, now: u64, id: ExchangeId, call: impl FnOnce(&mut Member, At)) {
        let Some((n, at)) = self.exchanges.get_mut(&id) else { return };
        let n = *n;
        let member = &mut self.members[n];
        if *at == At::Waits {
            *at = match member.node.place(now) {
                Place::Here => At::Here(member.router.handle_open(now)),
                Place::There(relay, term) => At::There(member.node.open(now, (relay, term))),
                Place::Nowhere => At::Waits,
            };
            if *at != At::Waits {
                self.numbers.insert((member.node.id(), *at), id);
            }
        }
        call(member, *at);
        self.pump(now, n);
    }

    /// Does what follows from a call of a relay.
    fn pump(&mut self, now: u64, n: usize) {
        let member = &mut self.members[n];
        let relay = member.node.id();
        loop {
            let mut is_quiet = true;
            while let Some(check) = member.router.poll_proof() {
                member.router.handle_proof(now, &check.run());
            }
            while let Some(id) = member.router.poll_wake() {
                is_quiet = false;
                if !member.node.serve(now, &mut member.router, id) {
                    self.wakes.extend(self.numbers.get(&(relay, At::Here(id))));
                }
            }
            while let Some(id) = member.node.poll_wake() {
                self.wakes.extend(self.numbers.get(&(relay, At::There(id))));
            }
            if is_quiet {
                break;
            }
        }
        let mut orders = Vec::new();
        while let Some(order) = member.node.poll_order(now) {
            orders.push(order);
        }
        let is_off = now < member.off_bus_until;
        for order in orders {
            match order {
                Order::Key(question) if is_off => {
                    self.post(now + AWAY_MS, Post::Answer(relay, question.serial, None));
                }
                Order::Key(question) => {
                    let at = now + self.rng.below(3);
                    self.post(at, Post::Question(relay, question));
                }
                Order::Call(_) | Order::Message(..) if is_off => {}
                Order::Call(octets) => {
                    let others: Vec<_> = self
                        .members
                        .iter()
                        .map(|m| m.node.id())
                        .filter(|id| *id != relay)
                        .collect();
                    for to in others {
                        self.send(now, to, Post::Call(to, octets.clone()));
                    }
                }
                Order::Message(to, octets) => self.send(now, to, Post::Message(to, octets)),
            }
        }
        let holders = self.members.iter().filter(|m| m.node.stats(now).holds()).count();
        self.most_holders = self.most_holders.max(holders);
        let took = self.members[n].node.stats(now).took;
        self.moves += took - std::mem::replace(&mut self.members[n].took, took);
    }

    fn send(&mut self, now: u64, to: RelayId, post: Post) {
        if self.rng.chance(self.loses) {
            return;
        }
        let way = self.rng.below(3);
        let Some(member) = self.members.iter_mut().find(|m| m.node.id() == to) else { return };
        member.arrives = member.arrives.max(now + way);
        let at = member.arrives;
        self.post(at, post);
    }

    fn post(&mut self, at: u64, post: Post) {
        self.serial += 1;
        self.queue.insert((at, self.serial), post);
    }

    fn poll_timeout(&self) -> Option<u64> {
        let posts = self.queue.first_key_value().map(|((at, _), _)| *at);
        let members =
            self.members.iter().flat_map(|m| [m.node.poll_timeout(), m.router.poll_timeout()]);
        members.flatten().chain(posts).min()
    }

    fn handle_timeout(&mut self, now: u64) {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= now
        {
            let post = entry.remove();
            self.deliver(now, post);
        }
        for n in 0..self.members.len() {
            let member = &mut self.members[n];
            if member.router.poll_timeout().is_some_and(|at| at <= now) {
                member.router.handle_timeout(now);
            }
            if member.node.poll_timeout().is_some_and(|at| at <= now) {
                member.node.handle_timeout(now, &mut member.router);
            }
            self.pump(now, n);
        }
        // Exchanges that wait look again.
        let waiting = self.exchanges.iter().filter(|(_, (n, at))| {
            *at == At::Waits && self.members[*n].node.place(now) != Place::Nowhere
        });
        self.wakes.extend(waiting.map(|(id, _)| *id));
    }

    fn deliver(&mut self, now: u64, post: Post) {
        let (Post::Message(to, _)
        | Post::Call(to, _)
        | Post::Question(to, _)
        | Post::Answer(to, ..)
        | Post::Kill(to)) = post;
        let Some(n) = self.members.iter().position(|m| m.node.id() == to) else { return };
        let member = &mut self.members[n];
        let is_off = now < member.off_bus_until;
        match post {
            Post::Message(_, octets) if !is_off => {
                let admit = &mut |_: Option<&[u8]>, _: &_| Ok(None);
                member.node.handle_message(now, &mut member.router, &octets, admit);
            }
            Post::Call(_, octets) if !is_off => {
                member.node.handle_call(now, &mut member.router, &octets);
            }
            Post::Message(..) | Post::Call(..) => {}
            Post::Question(_, question) => {
                let revision = self.ask(now, question.order);
                let at = now + self.rng.below(3);
                return self.post(at, Post::Answer(to, question.serial, revision));
            }
            // An answer that a relay off its bus does not get is what it is told at the end of its patience.
            Post::Answer(_, serial, Some(_)) if is_off => {
                return self.post(now + AWAY_MS, Post::Answer(to, serial, None));
            }
            Post::Answer(_, serial, revision) => {
                member.node.handle_answer(now, &mut member.router, serial, revision);
            }
            Post::Kill(_) => return self.kill(now, n),
        }
        self.pump(now, n);
    }

    /// What the bus does with its key.
    fn ask(&mut self, now: u64, order: KeyOrder) -> Option<u64> {
        self.key = self.key.filter(|(_, written)| now < written + KEY_MS);
        match (order, self.key) {
            (KeyOrder::Make | KeyOrder::Renew(_), None) => {}
            (KeyOrder::Renew(revision), Some((last, _))) if revision == last => {}
            (KeyOrder::Delete(revision), Some((last, _))) if revision == last => {
                self.key = None;
                return Some(revision);
            }
            _ => return None,
        }
        self.revision += 1;
        self.key = Some((self.revision, now));
        Some(self.revision)
    }
}
