//! What somebody on the way sees.

use byway::client::{Client, Config};
use byway::relay::{Relay, RelayConfig};
use byway::transport::Roots;

use crate::recorder::Recorder;
use crate::{Pair, carry, https, join, pattern};

/// What nobody on the way is to read.
const TOKEN: &str = "token-of-nobody-else-4711";
const LEN: usize = 10 << 20;

/// Carries octets between two clients, each by the recorder; gives what of them went by: token, name,
/// data.
fn seen(url: &str, recorder: &Recorder, roots: &Roots) -> [bool; 3] {
    let config = || Config {
        roots: roots.clone(),
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

#[test]
fn nothing_can_be_read_on_the_way_to_a_relay_that_speaks_tls() {
    let pair = Pair::new();
    let relay = pair.relay();
    let recorder = Recorder::before(relay.local_addr());
    assert_eq!(seen(&https(recorder.port()), &recorder, &pair.pinned()), [false; 3]);
    // That the recorder would have seen it.
    let relay = Relay::bind(RelayConfig::default()).expect("a port");
    let recorder = Recorder::before(relay.local_addr());
    let url = format!("http://127.0.0.1:{}", recorder.port());
    assert_eq!(seen(&url, &recorder, &Roots::default()), [true; 3]);
}
