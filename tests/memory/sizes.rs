//! The memory of a session.

use byway::session::{HeapStorage, Profile, Storage};

use crate::page::{number, table};

const PROFILES: [(&str, Profile); 6] = [
    ("TINY", Profile::TINY),
    ("PHONE", Profile::PHONE),
    ("APP", Profile::APP),
    ("PC", Profile::PC),
    ("BULK", Profile::BULK),
    ("SERVER", Profile::SERVER),
];

#[test]
fn profiles_take_what_the_page_says() {
    let page = table("profile");
    let parts = table("part of the state");
    let secure = |channels: usize| {
        let [keys, seal] = ["keys", "seal"].map(|part| number(&parts[part], "octets"));
        keys + channels as u64 * seal
    };
    for (name, profile) in PROFILES {
        let row = &page[name];
        let bytes = profile.storage_bytes();
        let Profile { channels, ring, pool, listeners, .. } = profile;
        let state = bytes.state - secure(channels) as usize;
        let is = [channels, ring, pool, listeners, state, bytes.rings, bytes.pool];
        let columns = ["channels", "ring", "pool", "listeners", "state", "rings", "pool"];
        let said = columns.map(|column| number(row, column));
        assert_eq!(is.map(|n| n as u64), said, "{name}");
        let sum: u64 = ["state", "rings", "pool"].map(|column| number(row, column)).iter().sum();
        assert_eq!(sum, number(row, "total"), "{name}");
        assert!(HeapStorage::new(&profile).is_ok(), "{name}");
    }
    let total = number(&page["TINY"], "total");
    assert_eq!(size_of::<Storage<2, 1024, 1>>() as u64, total + secure(2), "nothing lies between");
}

#[test]
fn channels_and_listeners_take_what_the_page_says() {
    let state = |channels, listeners| {
        let profile = Profile { channels, listeners, ..Profile::TINY };
        profile.storage_bytes().state as u64
    };
    let page = table("part of the state");
    let said = |part: &str| number(&page[part], "octets");
    assert_eq!(state(2, 1) - state(1, 1), said("each channel") + said("seal"));
    assert_eq!(state(1, 2) - state(1, 1), said("each listener"));
    let parts = ["once", "keys", "each channel", "seal", "each listener"];
    assert_eq!(state(1, 1), parts.map(said).iter().sum::<u64>());
}
