//! What a client neither says nor hears.

use super::layout::kind::*;
use super::*;

#[test]
fn clients_say_and_hear_what_they_are_made_for() {
    for bits in 0..8 {
        let [listens, connects, streams] = [1, 2, 4].map(|bit| bits & bit != 0);
        let role = Role::Client { listens, connects, streams };
        for (name, message) in samples(6, 3) {
            let kind = message.kind();
            let says = match kind {
                LISTEN_REQ | ACCEPT_RSP => listens,
                CONNECT_REQ => connects,
                CONFIRM => connects && cfg!(feature = "secure"),
                PROOF => listens && cfg!(feature = "secure"),
                HELLO | ROUTE | RECEIVE_REQ | CLOSE_REQ | CLOSE_RSP | PAD => true,
                // Both are data.
                SEND_REQ | RECEIVE_RSP => true,
                _ => false,
            };
            let mut octets = [0; MAX_CONTROL];
            let said = message.encode_as(role, &mut octets);
            assert_eq!(said.is_some(), says, "{name} by {role:?}");

            let octets = encoded(&message);
            let mut decoder = Decoder::new();
            let heard = decoder.next_as(role, &mut &octets[..]);
            match kind {
                HELLO | ROUTE | PROOF | LISTEN_REQ | CONNECT_REQ | ACCEPT_RSP | RECEIVE_REQ => {
                    assert_eq!(heard, Err(WireError::Unknown { kind }), "{name} to {role:?}");
                }
                CONFIRM if !listens || !cfg!(feature = "secure") => {
                    assert_eq!(heard, Ok(None), "{name}")
                }
                LISTEN_RSP | ACCEPT_REQ if !listens => {
                    assert_eq!(heard, Ok(None), "{name}")
                }
                TICK if !streams => assert_eq!(heard, Ok(None), "{name}"),
                CONNECT_RSP if !connects => assert_eq!(heard, Ok(None), "{name}"),
                _ => assert_eq!(heard, Ok(Some(Piece::Message(message))), "{name} to {role:?}"),
            }
            assert_eq!(role.skips(kind), heard == Ok(None), "{name} to {role:?}");
        }
    }
}
