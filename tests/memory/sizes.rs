//! The memory of a session.

use byway::session::{HeapStorage, Profile, Storage};

use crate::page::{number, table};

const PROFILES: [(&str, Profile); 5] = [
    ("TINY", Profile::TINY),
    ("PHONE", Profile::PHONE),
    ("PC", Profile::PC),
    ("BULK", Profile::BULK),
    ("SERVER", Profile::SERVER),
];

#[test]
fn profiles_take_what_the_page_says() {
    let page = table("profile");
    for (name, profile) in PROFILES {
        let row = &page[name];
        let bytes = profile.storage_bytes();
        let is = [profile.channels, profile.ring, profile.listeners, bytes.state, bytes.rings];
        let said = ["channels", "ring", "listeners", "state", "rings"].map(|c| number(row, c));
        assert_eq!(is.map(|n| n as u64), said, "{name}");
        assert_eq!(number(row, "state") + number(row, "rings"), number(row, "total"), "{name}");
        assert!(HeapStorage::new(&profile).is_ok(), "{name}");
    }
    let total = number(&page["TINY"], "total");
    assert_eq!(size_of::<Storage<2, 1024, 1>>() as u64, total, "nothing lies between");
}

#[test]
fn channels_and_listeners_take_what_the_page_says() {
    let state = |channels, listeners| {
        let profile = Profile { channels, listeners, ..Profile::TINY };
        profile.storage_bytes().state as u64
    };
    let page = table("part of the state");
    let said = |part: &str| number(&page[part], "octets");
    assert_eq!(state(2, 1) - state(1, 1), said("each channel"));
    assert_eq!(state(1, 2) - state(1, 1), said("each listener"));
    assert_eq!(state(1, 1), said("once") + said("each channel") + said("each listener"));
}
