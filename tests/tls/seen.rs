//! What somebody on the way sees.

use byway::client::{Client, Config, Security};
use byway::relay::{Relay, RelayConfig};
use byway::transport::Roots;

use crate::recorder::Recorder;
use crate::{Pair, carry, https, join, pattern};

/// What nobody on the way is to read.
const TOKEN: &str = "token-of-nobody-else-4711";
const LEN: usize = 10 << 20;

/// Carries octets between two clients, each by the recorder; gives what of them went by: token, name,
/// data.
fn seen(url: &str, recorder: &Recorder, roots: &Roots, security: Security) -> [bool; 3] {
    let config = || Config {
        roots: roots.clone(),
        security,
        headers: vec![("Authorization".into(), format!("Bearer {TOKEN}"))],
        ..Config::new(url)
    };
    let open = || Client::open(config()).expect("the relay answers");
    let (one, other) = (open(), open());
    let (a, b) = join(&one, &other);
    let octets = pattern(LEN);
    carry(&a, &b, &octets, || ());
    assert!(recorder.len() >= 2 * LEN);
    let data = octets.chunks(LEN / 64).any(|part| recorder.has(&part[..16]));
    [recorder.has(TOKEN.as_bytes()), recorder.has(b"there"), data]
}

/// A relay without TLS, behind a recorder, and its URL there.
fn plain_http() -> (Relay, Recorder, String) {
    let relay = Relay::bind(RelayConfig::default()).expect("a port");
    let recorder = Recorder::before(relay.local_addr());
    let url = format!("http://127.0.0.1:{}", recorder.port());
    (relay, recorder, url)
}

#[test]
fn nothing_can_be_read_on_the_way_to_a_relay_that_speaks_tls() {
    let pair = Pair::new();
    let relay = pair.relay();
    let recorder = Recorder::before(relay.local_addr());
    // TLS alone.
    let url = https(recorder.port());
    assert_eq!(seen(&url, &recorder, &pair.pinned(), Security::Plain), [false; 3]);
    // That the recorder would have seen it.
    let (_relay, recorder, url) = plain_http();
    assert_eq!(seen(&url, &recorder, &Roots::default(), Security::Plain), [true; 3]);
}

#[test]
fn data_cannot_be_read_on_the_way_without_tls() {
    let (_relay, recorder, url) = plain_http();
    let seen = seen(&url, &recorder, &Roots::default(), Security::default());
    assert_eq!(seen, [true, true, false]);
}
