//! Handshakes, against another implementation of Noise.

use proptest::prelude::*;
use snow::{Builder, HandshakeState};

use crate::secure::Secret;
use crate::secure::noise::{Common, FIRST, SECOND, Side, State, confirm};

const PATTERN: &str = "Noise_XXpsk2_25519_ChaChaPoly_SHA256";

const PROLOGUE: &[u8] = b"what both know";

fn common(secret: &Secret) -> Common<'_> {
    Common { secret, context: b"and what they know later" }
}

/// The other implementation, with that static key.
fn other(secret: &Secret, psk: &Secret, is_connector: bool) -> HandshakeState {
    let builder = Builder::new(PATTERN.parse().unwrap())
        .prologue(PROLOGUE)
        .unwrap()
        .local_private_key(secret.octets())
        .unwrap()
        .psk(2, psk.octets())
        .unwrap();
    if is_connector { builder.build_initiator() } else { builder.build_responder() }.unwrap()
}

fn public(secret: &Secret) -> [u8; 32] {
    curve25519_dalek::MontgomeryPoint::mul_base_clamped(*secret.octets()).to_bytes()
}

fn secrets() -> [Secret; 4] {
    [1, 2, 3, 4].map(|octet| Secret::new([octet; 32]))
}

#[test]
fn connector_agrees_with_another_implementation() {
    let [identity, ephemeral, theirs, shared] = secrets();
    let side = Side { identity: &identity, ephemeral: &ephemeral, prologue: PROLOGUE };
    let common = common(&shared);
    let mut listener = other(&theirs, &common.psk(), false);
    let (mut first, mut second, mut third) = ([0; FIRST], [0; 256], [0; 256]);
    side.ask(&mut first).unwrap();
    let mut payload = [0; 256];
    assert_eq!(listener.read_message(&first, &mut payload), Ok(0));
    let n = listener.write_message(b"welcome", &mut second).unwrap();
    let mut greeting = [0; 96];
    let mut state = State::new();
    assert_eq!(side.hear(&mut state, &second[..n], &common, &mut greeting), Some(n - SECOND));
    assert_eq!((*state.peer(), &greeting[..n - SECOND]), (public(&theirs), &b"welcome"[..]));
    let n = confirm(&mut state, &identity, b"it is me", &mut third).unwrap();
    let keys = state.keys();
    let m = listener.read_message(&third[..n], &mut payload).unwrap();
    assert_eq!(&payload[..m], b"it is me");
    assert_eq!(listener.get_remote_static(), Some(&public(&identity)[..]));
    let (connector, listener) = listener.dangerously_get_raw_split();
    assert_eq!((*keys.connector.octets(), *keys.listener.octets()), (connector, listener));
}

#[test]
fn listener_agrees_with_another_implementation() {
    let [identity, ephemeral, theirs, shared] = secrets();
    let side = Side { identity: &identity, ephemeral: &ephemeral, prologue: PROLOGUE };
    let common = common(&shared);
    let mut connector = other(&theirs, &common.psk(), true);
    let (mut first, mut second, mut third) = ([0; FIRST], [0; 256], [0; 256]);
    assert_eq!(connector.write_message(&[], &mut first), Ok(FIRST));
    let n = side.answer([&first, b"welcome"], &common, &mut second).unwrap();
    let mut payload = [0; 256];
    let m = connector.read_message(&second[..n], &mut payload).unwrap();
    assert_eq!(&payload[..m], b"welcome");
    let n = connector.write_message(b"it is me", &mut third).unwrap();
    let mut greeting = [0; 96];
    let mut state = State::new();
    let messages = [&first[..], b"welcome", &third[..n]];
    let m = side.conclude(&mut state, messages, &mut second, &common, &mut greeting).unwrap();
    let keys = state.keys();
    assert_eq!((keys.peer, &greeting[..m]), (public(&theirs), &b"it is me"[..]));
    let (connector, listener) = connector.dangerously_get_raw_split();
    assert_eq!((*keys.connector.octets(), *keys.listener.octets()), (connector, listener));
}

/// A handshake of which a message is changed on the way; whether both ends have keys afterwards.
fn succeeds(change: impl Fn(usize, &mut [u8]), prologues: [&[u8]; 2], shared: [u8; 2]) -> bool {
    let [a, b, c, d] = secrets();
    let connector = Side { identity: &a, ephemeral: &b, prologue: prologues[0] };
    let listener = Side { identity: &c, ephemeral: &d, prologue: prologues[1] };
    let shared = shared.map(|octet| Secret::new([octet; 32]));
    let run = || {
        let (mut first, mut second, mut third) = ([0; FIRST], [0; 200], [0; 200]);
        connector.ask(&mut first)?;
        change(0, &mut first);
        let [our_common, their_common] = [common(&shared[0]), common(&shared[1])];
        let n = listener.answer([&first, b"welcome"], &their_common, &mut second)?;
        change(1, &mut second[..n]);
        let mut greeting = [0; 96];
        let (mut ours, mut theirs) = (State::new(), State::new());
        connector.hear(&mut ours, &second[..n], &our_common, &mut greeting)?;
        let n = confirm(&mut ours, &a, b"it is me", &mut third)?;
        change(2, &mut third[..n]);
        let messages = [&first[..], b"welcome", &third[..n]];
        listener.conclude(&mut theirs, messages, &mut second, &their_common, &mut greeting)?;
        let (ours, theirs) = (ours.keys(), theirs.keys());
        Some(ours.connector == theirs.connector && ours.listener == theirs.listener)
    };
    run() == Some(true)
}

#[test]
fn greeting_of_the_listener_is_for_ends_with_the_shared_secret_alone() {
    let [identity, ephemeral, theirs, shared] = secrets();
    let connector = Side { identity: &identity, ephemeral: &ephemeral, prologue: PROLOGUE };
    let listener = Side { identity: &theirs, ephemeral: &shared, prologue: PROLOGUE };
    let (mut first, mut second, mut greeting) = ([0; FIRST], [0; 200], [0; 96]);
    connector.ask(&mut first).unwrap();
    let n = listener.answer([&first, b"for friends"], &common(&shared), &mut second).unwrap();
    for (secret, len) in [(&Secret::NONE, None), (&shared, Some(11))] {
        let common = common(secret);
        let heard = connector.hear(&mut State::new(), &second[..n], &common, &mut greeting);
        assert_eq!(heard, len);
    }
}

#[test]
fn ends_with_another_prologue_or_shared_secret_have_no_keys() {
    assert!(succeeds(|_, _| {}, [PROLOGUE; 2], [7; 2]));
    assert!(!succeeds(|_, _| {}, [PROLOGUE, b"what both know?"], [7; 2]));
    assert!(!succeeds(|_, _| {}, [PROLOGUE; 2], [7, 8]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn handshakes_that_are_changed_anywhere_give_no_keys(message in 0..3_usize, at: usize, bit in 0..8_u8) {
        let change = |n: usize, octets: &mut [u8]| {
            if n == message {
                let at = at % octets.len();
                octets[at] ^= 1_u8 << bit;
            }
        };
        prop_assert!(!succeeds(change, [PROLOGUE; 2], [7; 2]));
    }

    #[test]
    fn any_octets_are_no_message_of_a_handshake(
        octets in proptest::collection::vec(any::<u8>(), 0..260),
    ) {
        let [identity, ephemeral, _, shared] = secrets();
        let side = Side { identity: &identity, ephemeral: &ephemeral, prologue: PROLOGUE };
        let (mut out, mut greeting) = ([0; 200], [0; 96]);
        let common = common(&shared);
        prop_assert_eq!(side.answer([&octets, b""], &common, &mut out), None);
        prop_assert_eq!(side.hear(&mut State::new(), &octets, &common, &mut greeting), None);
        let mut first = [0; FIRST];
        side.ask(&mut first).unwrap();
        let (mut state, messages) = (State::new(), [&first[..], b"", &octets]);
        let len = side.conclude(&mut state, messages, &mut out, &common, &mut greeting);
        prop_assert_eq!(len, None);
    }
}
