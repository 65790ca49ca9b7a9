//! Key names: held by proof, through faults, restarts and squatters.

use std::cell::RefCell;
use std::rc::Rc;

use byway::Kind;
use byway::error::{ConfigError, Error};
use byway::relay::router::{Answer, RouterConfig};
use byway::secure::{HostDigest, Identity, KeyProof, Secret};
use byway::session::{Lane, ListenerId, Pace, Profile, Security};
use byway::wire::{Decoder, Hello, HelloFlags, ListenReq, Message, Name, Piece, Status, VERSION};

use crate::app::{Plan, endpoint};
use crate::fate::{Fate, Fault, Faults};
use crate::seeds::spread;
use crate::world::World;

/// Time in ms within which a claim is granted where nothing stands in the way: an exchange, and no
/// other for the proof.
const ONE_EXCHANGE: u64 = 60;

/// Time in ms within which everything is done.
const PATIENCE: u64 = 1_800_000;

/// The host by which all clients know the relay.
const HOST: &str = "relay.example.org";

impl World {
    /// The secret of a client's session.
    pub fn secret(&self, peer: usize) -> [u8; 16] {
        let mut secret = [peer as u8 + 1; 16];
        secret[..8].copy_from_slice(&self.seed.to_be_bytes());
        secret
    }

    /// The identity of a client, which is made with it.
    pub fn identity(&self, peer: usize) -> Identity {
        let mut seed = [peer as u8 + 1; 32];
        seed[..8].copy_from_slice(&self.seed.to_be_bytes());
        Identity::from_seed(seed)
    }

    /// The key name at which a client can listen.
    pub fn key_name(&self, peer: usize) -> String {
        self.identity(peer).public_key().to_string()
    }

    /// The proof of a client's key, for a session with that secret.
    pub fn proof(&self, peer: usize, secret: &[u8; 16]) -> KeyProof {
        KeyProof::new(&self.identity(peer), secret, HostDigest::of(HOST))
    }
}

fn at(w: &World, peer: usize) -> String {
    format!("{}:1", w.key_name(peer))
}

fn listening(w: &mut World, peer: usize, id: ListenerId) -> Result<bool, Error> {
    w.with(peer, |s, _| s.listening(id))
}

/// A world with two clients: the first connects, the second listens at its key name.
fn pair(seed: u64, profile: Profile) -> (World, usize, usize, String) {
    let mut w = World::new(seed);
    let (a, b) = (w.peer(profile), w.peer(profile));
    let at = at(&w, b);
    (w, a, b, at)
}

#[test]
fn claim_of_a_key_name_takes_no_exchange_more_than_another() {
    let (mut w, a, b, at) = pair(60, Profile::TINY);
    let id = w.listen(b, &at, Kind::Stream);
    w.run_until(ONE_EXCHANGE, "claim", |w| listening(w, b, id) == Ok(true));
    let n = w.connect(a, &at, Kind::Stream, b, [Plan::bytes(10), Plan::bytes(10)]);
    w.run_until(2000, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
    w.check_chan(n);
    // Idle parks have no proof.
    let proofs = w.router.stats().proofs;
    w.run(200_000);
    assert_eq!((proofs, w.router.stats().proofs), (1, 1));
}

#[test]
fn client_of_one_connection_proves_its_key() {
    let mut w = World::new(61);
    w.single = vec![0, 1];
    let (a, b) = (w.peer(Profile::TINY), w.peer(Profile::TINY));
    let at = at(&w, b);
    let id = w.listen(b, &at, Kind::Stream);
    w.run_until(ONE_EXCHANGE, "claim", |w| listening(w, b, id) == Ok(true));
    let n = w.connect(a, &at, Kind::Stream, b, [Plan::bytes(1000), Plan::bytes(1000)]);
    w.run_until(20_000, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
    w.check_chan(n);
}

#[test]
fn restarted_holder_has_its_key_name_at_once() {
    let (mut w, a, ghost, at) = pair(62, Profile::TINY);
    w.listen(ghost, &at, Kind::Stream);
    w.run(500);
    // The process vanishes without a word, and its park still waits at the relay.
    w.roam(ghost, false);
    w.peers[ghost].dark_until = u64::MAX / 2;
    w.run(500);
    // The heir has the key, and another owner; its clock is behind.
    let identity = w.identity(ghost);
    let heir = w.peer_with(Profile::TINY, |settings| {
        settings.owner = [99; 16];
        settings.epoch = 3;
        let host = HostDigest::of(HOST);
        settings.key_proof = Some(KeyProof::new(&identity, &settings.secret, host));
    });
    let keys = Security::new(&identity, Secret::new([9; 32]));
    w.with(heir, |session, _| session.encrypt(keys));
    let id = w.listen(heir, &at, Kind::Stream);
    w.run_until(2 * ONE_EXCHANGE, "claim", |w| listening(w, heir, id) == Ok(true));
    let n = w.connect(a, &at, Kind::Stream, heir, [Plan::bytes(10), Plan::bytes(10)]);
    w.run_until(2000, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
    w.check_chan(n);
}

#[test]
fn of_two_processes_with_a_key_the_newer_holds_the_name_and_they_do_not_fight() {
    for epochs in [[1000, 2000], [2000, 1000], [u64::MAX, 5], [5, u64::MAX], [u64::MAX, u64::MAX]] {
        let (mut w, _, old, at) = pair(63, Profile::TINY);
        let identity = w.identity(old);
        let process = |w: &mut World, epoch| {
            w.peer_with(Profile::TINY, |settings| {
                settings.epoch = epoch;
                let host = HostDigest::of(HOST);
                settings.key_proof = Some(KeyProof::new(&identity, &settings.secret, host));
            })
        };
        let old = process(&mut w, epochs[0]);
        let first = w.listen(old, &at, Kind::Stream);
        w.run(500);
        let new = process(&mut w, epochs[1]);
        let second = w.listen(new, &at, Kind::Stream);
        w.run(500);
        assert_eq!(listening(&mut w, new, second), Ok(true), "{epochs:?}");
        assert_eq!(listening(&mut w, old, first), Err(ConfigError::Taken.into()));
        let parks = w.exchanges(new).0;
        w.run(60_000);
        assert_eq!(listening(&mut w, new, second), Ok(true));
        assert!(w.exchanges(new).0 - parks < 12, "they fight");
    }
}

#[test]
fn restarted_relay_asks_for_the_proof_and_channels_do_not_notice() {
    for pace in [Pace::LongPoll, Pace::Streaming] {
        let mut w = World::new(64);
        w.pace = pace;
        let (a, b) = (w.peer(Profile::PHONE), w.peer(Profile::PHONE));
        let at = at(&w, b);
        let id = w.listen(b, &at, Kind::Stream);
        let n = w.connect(a, &at, Kind::Stream, b, [Plan::bytes(2 << 20), Plan::bytes(2 << 20)]);
        for _ in 0..5 {
            w.run(700);
            w.restart_relay(100);
            w.run_until(5000, "proof", |w| w.router.stats().proofs == 1);
            assert_eq!(listening(&mut w, b, id), Ok(true));
        }
        w.run_until(PATIENCE, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
        w.check_chan(n);
        assert!(w.router.stats().proofs <= 1);
    }
}

/// Has a stranger make a request of his own; what the relay answers.
fn post(w: &mut World, messages: &[Message<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        let mut octets = [0; byway::wire::MAX_CONTROL];
        let len = message.encode(&mut octets).expect("it fits");
        body.extend_from_slice(&octets[..len]);
    }
    let now = w.now;
    let id = w.router.handle_open(now);
    let mut body = body.into();
    w.router.handle_body(now, id, &mut body);
    w.router.handle_body_end(now, id);
    while let Some(check) = w.router.poll_proof() {
        w.router.handle_proof(now, &check.run());
    }
    let mut answer = Vec::new();
    for _ in 0..100 {
        match w.router.poll_response(w.now, id).expect("one relay") {
            Answer::Bytes(piece) => answer.extend_from_slice(&piece),
            Answer::Pending => w.run(1),
            Answer::End => return answer,
        }
    }
    panic!("not answered");
}

/// The status of the only claim in an answer.
fn told(answer: &[u8]) -> Option<Status> {
    let (mut decoder, mut rest) = (Decoder::new(), answer);
    while let Some(piece) = decoder.next(&mut rest).expect("a relay's answer") {
        if let Piece::Message(Message::ListenRsp(rsp)) = piece {
            return Some(rsp.status);
        }
    }
    None
}

/// A squatter tries again and again, with what he recorded of the holder, while the relay is restarted and
/// the holder away: no connection ever reaches him.
fn squat(seed: u64) {
    let mut w = World::new(seed);
    let (a, b) = (w.peer(Profile::PHONE), w.peer(Profile::PHONE));
    let at = at(&w, b);
    let recorded: Rc<RefCell<Option<KeyProof>>> = Rc::default();
    let record = Rc::clone(&recorded);
    w.on_request = Some(Box::new(move |seen| {
        let (mut decoder, mut rest) = (Decoder::new(), seen.body);
        while let Ok(Some(piece)) = decoder.next(&mut rest) {
            if let Piece::Message(Message::Proof(proof)) = piece {
                assert_eq!((seen.peer, seen.lane), (b, Lane::Park));
                *record.borrow_mut() = Some(proof.into());
            }
        }
        Fate::Pass
    }));
    let id = w.listen(b, &at, Kind::Stream);
    w.run_until(ONE_EXCHANGE, "claim", |w| listening(w, b, id) == Ok(true));
    let proof = (*recorded.borrow()).expect("the holder proved its key");
    let name: Name = endpoint(&at).name;
    for round in 0..20_u64 {
        let mut secret = [0xee; 16];
        secret[..8].copy_from_slice(&(seed << 8 | round).to_be_bytes());
        let hello = Hello {
            version: VERSION,
            flags: HelloFlags::NONE,
            secret,
            seq: 1,
            hold_ms: 1,
            max_response: 4096,
        };
        let claim = ListenReq {
            claim: 1,
            kind: byway::wire::ChannelKind::plain(Kind::Stream),
            port: 1,
            owner: [2; 16],
            epoch: u64::MAX,
            backlog: 9,
            heard: None,
            name,
        };
        if w.rng.chance(300) {
            w.restart_relay(10);
            w.run(20);
        }
        if w.rng.chance(200) {
            w.peers[b].dark_until = w.now + 8000;
        }
        let with = w.rng.chance(700).then(|| Message::Proof(proof.message()));
        let expected = if with.is_some() { Status::Unproved } else { Status::Prove };
        let request: Vec<_> = [Message::Hello(hello)]
            .into_iter()
            .chain(with)
            .chain([Message::ListenReq(claim)])
            .collect();
        let answer = post(&mut w, &request);
        assert_eq!(told(&answer), Some(expected), "seed {seed}, round {round}");
        let pause = w.rng.below(3000);
        w.run(pause);
    }
    let n = w.connect(a, &at, Kind::Stream, b, [Plan::bytes(1000), Plan::bytes(1000)]);
    w.run_until(PATIENCE, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
    w.check_chan(n);
    assert_eq!(listening(&mut w, b, id), Ok(true));
}

#[test]
fn squatter_with_a_recorded_proof_never_holds_the_name() {
    spread((0..40).collect(), None, |&seed| squat(seed)).check();
}

#[test]
fn proof_survives_whatever_a_proxy_does_to_exchanges() {
    let run = |&seed: &u64| {
        let (mut w, a, b, at) = pair(seed, Profile::PHONE);
        let odds = Fault::ALL.map(|_| 20);
        w.faults = Faults { odds, until: w.now + 30_000, longest: 3000 };
        let id = w.listen(b, &at, Kind::Stream);
        let n = w.connect(a, &at, Kind::Stream, b, [Plan::bytes(50_000), Plan::bytes(50_000)]);
        w.run(10_000);
        w.restart_relay(1000);
        w.run_until(PATIENCE, "end", |w| w.chans[n].ends.iter().all(|end| end.done));
        w.check_chan(n);
        w.run_until(PATIENCE, "claim", |w| listening(w, b, id) == Ok(true));
        // A proof that is repeated is checked once.
        assert!(w.router.stats().proofs <= 2, "{:?}", w.router.stats());
        assert_eq!(w.router.stats().unproved, 0);
    };
    spread((0..60).collect(), None, run).check();
}

#[test]
fn relay_of_other_hosts_says_so() {
    let hosts = vec![HostDigest::of("other.example.org")];
    let mut w = World::with_relay(65, RouterConfig { hosts, ..RouterConfig::default() });
    let b = w.peer(Profile::TINY);
    let at = at(&w, b);
    let id = w.listen(b, &at, Kind::Stream);
    w.run(500);
    let error = listening(&mut w, b, id).expect_err("refused");
    assert!(error.to_string().contains("host"), "{error}");
}
