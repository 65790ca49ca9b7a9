//! Key names: who may claim them, and when the proof goes along.

use super::*;
use crate::error::{ConfigError, Error, KeyNameFault};
use crate::secure::{HostDigest, Identity, KeyProof, Secret};
use crate::session::{ListenerId, Security};
use crate::wire::{Endpoint, ListenReq, ListenRsp};

const SECRET: [u8; 16] = [1; 16];

fn identity() -> Identity {
    Identity::from_seed([5; 32])
}

fn key_proof() -> KeyProof {
    KeyProof::new(&identity(), &SECRET, HostDigest::of("relay.example.org"))
}

fn own() -> Endpoint {
    Endpoint { name: identity().public_key().name(), port: 1 }
}

fn bench() -> Bench {
    let mut settings = Settings::new(SECRET, 5);
    settings.key_proof = Some(key_proof());
    encrypting(Bench::with(&settings).reach())
}

/// Key names are for sessions that encrypt.
fn encrypting(mut bench: Bench) -> Bench {
    bench.session().encrypt(Security::new(&identity(), Secret::new([6; 32])));
    bench
}

fn listen(bench: &mut Bench, at: Endpoint) -> Result<ListenerId, Error> {
    let now = bench.now;
    bench.session().listen(now, at, Kind::Stream, 1)
}

/// A park, answered with that status of the claim; its LISTEN_REQ, and whether PROOF stood before it.
fn park(bench: &mut Bench, id: ListenerId, status: Status, epoch: u64) -> (ListenReq, bool) {
    let rsp = Message::ListenRsp(ListenRsp { claim: id.0, status, epoch });
    let park = bench.exchange(Lane::Park, |answer| answer.message(&rsp));
    let own = key_proof();
    let Proof { key, host, signature } = own.message();
    for proof in &park.proofs {
        assert_eq!(*proof, [key.to_vec(), host.to_vec(), signature.to_vec()]);
    }
    let places: Vec<_> = park.messages.iter().map(|message| message.kind()).collect();
    match park.messages[..] {
        [_, Message::Proof(_), Message::ListenReq(req)] => (req, true),
        [_, Message::ListenReq(req)] => (req, false),
        _ => panic!("{places:?}"),
    }
}

#[test]
fn proof_goes_with_the_first_claim_and_when_the_relay_asks() {
    let mut bench = bench();
    let id = listen(&mut bench, own()).unwrap();
    assert!(park(&mut bench, id, Status::Ok, 0).1);
    assert_eq!(bench.session().listening(id), Ok(true));
    assert!(!park(&mut bench, id, Status::Ok, 0).1);
    // The relay was restarted.
    assert!(!park(&mut bench, id, Status::Prove, 0).1);
    assert_eq!(bench.session().listening(id), Ok(true));
    let (req, is_proved) = park(&mut bench, id, Status::Ok, 0);
    assert!(is_proved);
    assert_eq!(req.heard, Some(Status::Prove));
    assert!(!park(&mut bench, id, Status::Ok, 0).1);
    assert_eq!(bench.events(), []);
}

#[test]
fn proof_of_a_lost_park_goes_again() {
    let mut bench = bench();
    let id = listen(&mut bench, own()).unwrap();
    assert_eq!(bench.begin(Lane::Park).expect("a park").proofs.len(), 1);
    bench.fail(Lane::Park, Blocked::Cut);
    bench.pass(PAUSE);
    assert!(park(&mut bench, id, Status::Ok, 0).1);
}

#[test]
fn proof_goes_once_for_all_claims() {
    let mut bench = bench();
    listen(&mut bench, own()).unwrap();
    listen(&mut bench, Endpoint { port: 2, ..own() }).unwrap();
    let request = bench.begin(Lane::Park).expect("a park");
    assert_eq!(request.proofs.len(), 1);
    assert!(matches!(request.messages[1], Message::Proof(_)));
    assert_eq!(request.messages.len(), 4);
}

#[test]
fn other_names_go_without_proof() {
    let mut bench = bench();
    let id = listen(&mut bench, endpoint()).unwrap();
    assert!(!park(&mut bench, id, Status::Ok, 0).1);
    // A relay that asks for it nevertheless gets none.
    park(&mut bench, id, Status::Prove, 0);
    bench.pass(PAUSE);
    assert!(!park(&mut bench, id, Status::Prove, 0).1);
}

#[test]
fn refused_proof_loses_the_claim() {
    for before in [None, Some(Status::Ok)] {
        let mut bench = bench();
        let id = listen(&mut bench, own()).unwrap();
        if let Some(status) = before {
            park(&mut bench, id, status, 0);
        }
        park(&mut bench, id, Status::Unproved, 0);
        let error = Err(KeyNameFault::Unproved.into());
        assert_eq!(bench.session().listening(id), error);
        assert_eq!(bench.events(), [Event::ListenerLost(id)]);
        assert!(bench.begin(Lane::Park).is_none(), "it is claimed no more");
    }
}

#[test]
fn only_the_own_key_name_is_listened_on() {
    let other = Identity::from_seed([6; 32]).public_key().name();
    let foreign = Err(KeyNameFault::Foreign.into());
    assert_eq!(listen(&mut bench(), Endpoint { name: other, port: 1 }), foreign);
    // Without an identity no key name is the own one.
    assert_eq!(listen(&mut encrypting(Bench::reached()), own()), foreign);
    let plain = Err(KeyNameFault::Plain.into());
    assert_eq!(listen(&mut Bench::reached(), own()), plain);
    assert_eq!(bench().connects(&own()), Ok(()));
}

#[test]
fn damaged_key_name_is_refused() {
    let text = own().to_string();
    for damaged in
        ["k.:1", "k.camera:1", &text.replacen("k.", "k..", 1), &text.replacen(':', "A:", 1)]
    {
        let damaged: Endpoint = damaged.parse().unwrap();
        let fault = KeyNameFault::Damaged;
        assert_eq!(listen(&mut bench(), damaged), Err(fault.into()));
        assert_eq!(bench().connects(&damaged), Err(fault.into()));
        let error = Error::from(ConfigError::KeyName(fault)).to_string();
        assert!(error.contains("copy"), "{error}");
    }
    // Other names that have a k are ordinary ones.
    assert_eq!(Bench::reached().connects(&"K.camera:1".parse().unwrap()), Ok(()));
}

#[test]
fn highest_epoch_is_claimed_before_the_claim_is_given_up() {
    let mut bench = bench();
    let id = listen(&mut bench, own()).unwrap();
    park(&mut bench, id, Status::Taken, u64::MAX);
    assert_eq!(bench.session().listening(id), Ok(false));
    let (req, _) = park(&mut bench, id, Status::Taken, u64::MAX);
    assert_eq!((req.epoch, req.heard), (u64::MAX, None));
    // Only a relay that does not know the rule says so.
    assert_eq!(bench.session().listening(id), Err(ConfigError::Taken.into()));
}

impl Bench {
    fn connects(&mut self, at: &Endpoint) -> Result<(), Error> {
        let now = self.now;
        self.session().connect(now, *at, Kind::Stream, &[]).map(drop)
    }
}
