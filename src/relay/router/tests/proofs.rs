//! Key names: only sessions that have proved the key hold them.

use crate::Kind;
use crate::relay::router::testing::{Body, Lab, Request, secret};
use crate::relay::router::{Origin, Rate, RouterConfig};
use crate::secure::{HostDigest, Identity, KeyProof};
use crate::wire::{HelloFlags, Message, Proof, Status};

const HOST: &str = "relay.example.org";
const OK: Option<Status> = Some(Status::Ok);

fn identity(n: u8) -> Identity {
    Identity::from_seed([n; 32])
}

fn key_name(n: u8) -> String {
    identity(n).public_key().to_string()
}

/// Session `n` parks with a claim of the key name of identity `of`, and with a proof if there is one.
fn body(n: u8, seq: u64, of: u8, epoch: u64, heard: Option<Status>, by: Option<u8>) -> Body {
    let park = Body::park(n, seq, 5_000);
    let park = match by {
        Some(by) => park.prove(n, &identity(by), HOST),
        None => park,
    };
    park.claim(u32::from(n), &key_name(of), n, epoch, heard)
}

/// What a park is told of its claim.
fn told(lab: &mut Lab, mut park: Request) -> (Status, u64) {
    let seen = lab.answer(&mut park);
    let [(_, status, epoch)] = seen.listens()[..] else { panic!("{seen:?}") };
    (status, epoch)
}

fn claim(lab: &mut Lab, body: Body) -> (Status, u64) {
    let park = lab.post(body);
    told(lab, park)
}

fn connect(lab: &mut Lab, of: u8) -> Status {
    lab.send(Body::send(99).connect(&key_name(of), Kind::Stream)).verdicts()[0].1
}

#[test]
fn key_name_is_held_by_proof() {
    let mut lab = Lab::new();
    assert_eq!(claim(&mut lab, body(1, 1, 1, 10, None, None)), (Status::Prove, 0));
    assert_eq!(connect(&mut lab, 1), Status::NoListener);
    let heard = Some(Status::Prove);
    assert_eq!(claim(&mut lab, body(1, 2, 1, 10, heard, Some(1))), (Status::Ok, 10));
    lab.post(body(1, 3, 1, 10, OK, None));
    assert_eq!(connect(&mut lab, 1), Status::Delivered);
    assert_eq!(lab.router.stats().proofs, 1);
}

#[test]
fn proof_with_the_first_claim_takes_no_round_trip_more() {
    let mut lab = Lab::new();
    assert_eq!(claim(&mut lab, body(1, 1, 1, 10, None, Some(1))), (Status::Ok, 10));
}

#[test]
fn idle_park_needs_no_proof() {
    let mut lab = Lab::new();
    claim(&mut lab, body(1, 1, 1, 10, None, Some(1)));
    for seq in 2..6 {
        let mut park = lab.post(body(1, seq, 1, 10, OK, None));
        lab.pass(4_999);
        assert!(lab.waits(&mut park));
    }
}

#[test]
fn squatter_without_the_key_never_holds_the_name() {
    let mut lab = Lab::new();
    for (seq, by) in [(1, None), (2, Some(2)), (3, Some(2))] {
        let seen = lab.post(body(9, seq, 1, u64::MAX, None, by));
        assert_eq!(told(&mut lab, seen), (Status::Prove, 0));
        assert_eq!(connect(&mut lab, 1), Status::NoListener);
    }
    // Nor does the squatter take the name from its owner, by whatever owner and epoch.
    claim(&mut lab, body(1, 1, 1, 10, None, Some(1)));
    let claimed = Body::park(9, 4, 5_000).claim(9, &key_name(1), 1, u64::MAX, None);
    assert_eq!(claim(&mut lab, claimed), (Status::Prove, 0));
    lab.post(body(1, 2, 1, 10, OK, None));
    assert_eq!(connect(&mut lab, 1), Status::Delivered);
}

#[test]
fn recorded_proof_is_refused_from_another_session() {
    let mut lab = Lab::new();
    let recorded = KeyProof::new(&identity(1), &secret(1), HostDigest::of(HOST));
    let park = Body::park(9, 1, 5_000).message(&Message::Proof(recorded.message()));
    let park = park.claim(9, &key_name(1), 1, u64::MAX, None);
    assert_eq!(claim(&mut lab, park), (Status::Unproved, 0));
    assert_eq!(connect(&mut lab, 1), Status::NoListener);
    assert_eq!(lab.router.stats().unproved, 1);
}

#[test]
fn recorded_park_works_only_for_the_session_that_was_recorded() {
    // After a restart of the relay, a park that was recorded is a park of the true session still: what
    // comes of it goes to whoever knows that session's secret, and the owner takes the name back.
    let mut lab = Lab::new();
    let recorded = body(1, 1, 1, 10, None, Some(1));
    claim(&mut lab, recorded.clone());
    let mut lab = Lab::new();
    claim(&mut lab, recorded);
    assert_eq!(claim(&mut lab, body(2, 1, 1, 11, None, Some(1))), (Status::Ok, 11));
}

#[test]
fn proof_of_another_key_holds_its_own_name_only() {
    let mut lab = Lab::new();
    assert_eq!(claim(&mut lab, body(1, 1, 2, 10, None, Some(1))), (Status::Prove, 0));
    assert_eq!(claim(&mut lab, body(1, 2, 1, 10, None, None)), (Status::Ok, 10));
}

#[test]
fn proof_of_a_second_key_is_malformed() {
    let mut lab = Lab::new();
    claim(&mut lab, body(1, 1, 1, 10, None, Some(1)));
    let mut park = lab.post(body(1, 2, 2, 10, None, Some(2)));
    assert_eq!(lab.answer(&mut park).end(), Status::Malformed);
    let twice = Body::park(2, 1, 5_000).prove(2, &identity(1), HOST).prove(2, &identity(1), HOST);
    let mut park = lab.post(twice);
    assert_eq!(lab.answer(&mut park).end(), Status::Malformed);
}

#[test]
fn proof_belongs_into_parks() {
    let mut lab = Lab::new();
    let seen = lab.send(Body::send(1).prove(1, &identity(1), HOST));
    assert_eq!(seen.end(), Status::Malformed);
    assert_eq!(lab.router.stats().proofs, 0);
}

#[test]
fn relay_that_knows_its_hosts_takes_proofs_for_these_alone() {
    let hosts = vec![HostDigest::of("other.example.org"), HostDigest::of("Relay.Example.Org.")];
    let mut lab = Lab::with(RouterConfig { hosts, ..RouterConfig::default() });
    assert_eq!(claim(&mut lab, body(1, 1, 1, 10, None, Some(1))), (Status::Ok, 10));
    let led = Body::park(2, 1, 5_000).prove(2, &identity(2), "evil.example.com");
    let park = led.claim(2, &key_name(2), 2, 10, None);
    assert_eq!(claim(&mut lab, park), (Status::Unproved, 0));
    // That costs no check, and the right one still counts.
    assert_eq!(lab.router.stats().proofs, 1);
    let heard = Some(Status::Unproved);
    assert_eq!(claim(&mut lab, body(2, 2, 2, 10, heard, Some(2))), (Status::Ok, 10));
}

#[test]
fn checks_of_a_session_are_limited() {
    let mut lab = Lab::new();
    let most = u64::from(RouterConfig::default().proofs);
    let forged = KeyProof::new(&identity(1), &secret(1), HostDigest::of(HOST));
    let Proof { key, host, .. } = forged.message();
    let forged = Proof { key, host, signature: &[0x11; 64] };
    for seq in 1..=most + 3 {
        let park = Body::park(1, seq, 5_000).message(&Message::Proof(forged));
        let mut park = lab.post(park.claim(1, &key_name(1), 1, 10, None));
        let expected = if seq <= most { Status::Ok } else { Status::Limited };
        assert_eq!(lab.answer(&mut park).end(), expected, "proof {seq}");
    }
    assert_eq!(lab.router.stats().proofs, most);
    // A session that proved its key repeats the proof for nothing.
    for seq in 1..=2 * most {
        claim(&mut lab, body(2, seq, 2, 10, None, Some(2)));
    }
    assert_eq!(lab.router.stats().proofs, most + 1);
}

#[test]
fn park_takes_its_place_when_its_proof_was_checked() {
    let mut lab = Lab::new();
    let mut park = lab.open(body(1, 1, 1, 10, None, Some(1)));
    lab.router.handle_body(lab.now, park.id, &mut park.rest);
    lab.router.handle_body_end(lab.now, park.id);
    assert!(lab.waits(&mut park));
    assert_eq!(lab.router.stats().parked, 0);
    assert_eq!(lab.check_proofs(), 1);
    assert!(lab.woken(&park));
    assert_eq!(told(&mut lab, park), (Status::Ok, 10));
}

#[test]
fn check_of_a_request_that_is_gone_does_no_harm() {
    let mut lab = Lab::new();
    let mut park = lab.open(body(1, 1, 1, 10, None, Some(1)));
    lab.router.handle_body(lab.now, park.id, &mut park.rest);
    lab.router.handle_body_end(lab.now, park.id);
    lab.drop(park);
    assert_eq!(lab.check_proofs(), 1);
    // What was proved is known.
    assert_eq!(claim(&mut lab, body(1, 2, 1, 10, None, None)), (Status::Ok, 10));
}

#[test]
fn park_that_is_a_send_as_well_proves_its_key() {
    let mut lab = Lab::new();
    let park = Body::single(1, 1).prove(1, &identity(1), HOST);
    let park = park.claim(1, &key_name(1), 1, 10, None);
    let park = park.to(7, 1).probe(0);
    let mut park = lab.post(park);
    let seen = lab.answer(&mut park);
    assert_eq!(seen.listens(), [(1, Status::Ok, 10)]);
    // PROOF counts as a message, and gets no verdict.
    assert_eq!(seen.verdicts(), [(4, Status::Away, 0)]);
    let bad = Body::single(2, 1).prove(1, &identity(1), HOST).claim(2, &key_name(1), 1, 10, None);
    let mut park = lab.post(bad);
    assert_eq!(lab.answer(&mut park).listens(), [(2, Status::Unproved, 0)]);
}

#[test]
fn restarted_holder_takes_over_from_its_own_ghost_at_once() {
    let mut lab = Lab::new();
    claim(&mut lab, body(1, 1, 1, 10, None, Some(1)));
    let mut ghost = lab.post(body(1, 2, 1, 10, OK, None));
    // Another session, whose owner value has nothing to do with the first one's.
    assert_eq!(claim(&mut lab, body(2, 1, 1, 11, None, Some(1))), (Status::Ok, 11));
    let seen = lab.answer(&mut ghost);
    assert_eq!(seen.listens(), [(1, Status::Taken, 11)], "the older is told");
    // A clock that is behind is told how far.
    assert_eq!(claim(&mut lab, body(3, 1, 1, 5, None, Some(1))), (Status::Taken, 11));
    assert_eq!(claim(&mut lab, body(3, 2, 1, 12, None, None)), (Status::Ok, 12));
}

#[test]
fn highest_epoch_locks_nobody_out() {
    let mut lab = Lab::new();
    assert_eq!(claim(&mut lab, body(1, 1, 1, u64::MAX, None, Some(1))), (Status::Ok, u64::MAX));
    let mut ghost = lab.post(body(1, 2, 1, u64::MAX, OK, None));
    assert_eq!(claim(&mut lab, body(2, 1, 1, 10, None, Some(1))), (Status::Taken, u64::MAX - 1));
    let heard = None;
    assert_eq!(claim(&mut lab, body(2, 2, 1, u64::MAX, heard, None)), (Status::Ok, u64::MAX));
    assert_eq!(lab.answer(&mut ghost).listens(), [(1, Status::Taken, u64::MAX)]);
}

#[test]
fn restarted_relay_asks_for_the_proof_again() {
    let mut lab = Lab::new();
    claim(&mut lab, body(1, 1, 1, 10, None, Some(1)));
    let mut lab = Lab::new();
    assert_eq!(claim(&mut lab, body(1, 2, 1, 10, OK, None)), (Status::Prove, 0));
    // Nobody else gets the name meanwhile.
    assert_eq!(claim(&mut lab, body(2, 1, 1, 99, None, Some(2))), (Status::Prove, 0));
    let heard = Some(Status::Prove);
    assert_eq!(claim(&mut lab, body(1, 3, 1, 10, heard, Some(1))), (Status::Ok, 10));
}

#[test]
fn damaged_key_name_is_held_by_nobody() {
    let mut lab = Lab::new();
    let name = &key_name(1)[..44];
    let park = Body::park(1, 1, 5_000).prove(1, &identity(1), HOST).claim(1, name, 1, 10, None);
    assert_eq!(claim(&mut lab, park), (Status::Prove, 0));
    assert_eq!(lab.router.stats().names, 0);
}

#[test]
fn session_that_says_bye_gives_its_key_name_back() {
    let mut lab = Lab::new();
    claim(&mut lab, body(1, 1, 1, 10, None, Some(1)));
    lab.send(Body::flagged(1, HelloFlags::BYE));
    assert_eq!(connect(&mut lab, 1), Status::NoListener);
    assert_eq!(lab.router.stats().names, 0);
}

#[test]
fn proofs_of_an_origin_beyond_the_rate_are_put_off_and_asked_for_again() {
    let proof_checks = Some(Rate::new(1, 2));
    let mut lab = Lab::with(RouterConfig { proof_checks, ..RouterConfig::default() });
    lab.origin = Origin::of([203, 0, 113, 7].into());
    for n in 1..3 {
        assert_eq!(claim(&mut lab, body(n, 1, n, 10, None, Some(n))), (Status::Ok, 10));
    }
    assert_eq!(claim(&mut lab, body(3, 1, 3, 10, None, Some(3))), (Status::Retry, 0));
    let stats = lab.router.stats();
    assert_eq!((stats.proofs, stats.proofs_refused), (2, 1), "{stats:?}");
    let heard = Some(Status::Retry);
    assert_eq!(claim(&mut lab, body(3, 2, 3, 10, heard, None)), (Status::Prove, 0));
    // Another origin has its own rate.
    lab.origin = Origin::of([203, 0, 113, 8].into());
    assert_eq!(claim(&mut lab, body(4, 1, 4, 10, None, Some(4))), (Status::Ok, 10));
    lab.origin = Origin::of([203, 0, 113, 7].into());
    lab.pass(1_000);
    let heard = Some(Status::Prove);
    assert_eq!(claim(&mut lab, body(3, 3, 3, 10, heard, Some(3))), (Status::Ok, 10));
}
