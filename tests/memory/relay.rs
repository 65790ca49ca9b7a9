//! The memory of the relay.

use byway::relay::RelayConfig;

use crate::page::{number, table};

#[test]
fn relay_has_the_limits_of_the_page() {
    let RelayConfig { max_connections, router, .. } = RelayConfig::default();
    let page = table("relay");
    for (what, limit) in [
        ("connections", max_connections),
        ("sessions", router.max_sessions),
        ("names a session", router.claims),
        ("wishes a session", router.wishes),
        ("connections asked for, a session", router.asked),
        ("acknowledgements a session", router.acks),
        ("sends a session", router.sends as usize),
        ("undrained a response", router.undrained),
        ("held", router.max_held),
    ] {
        assert_eq!(limit as u64, number(&page[what], "at most"), "{what}");
    }
}
