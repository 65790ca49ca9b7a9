//! Whether and how the relay is reached.

use std::io::Read;
use std::net::TcpListener;

use serde_json::Value;

use crate::process::{Byway, Relay};

fn output(process: &mut Byway) -> String {
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).expect("stdout");
    text
}

#[test]
fn status_tells_how_the_relay_is_reached() {
    let relay = Relay::start();
    let mut status = Byway::start(["status", "--relay", &relay.url]);
    let told = output(&mut status);
    status.end().expect_code(0).expect_nothing_told();
    for part in [&relay.url[..], relay.address(), "none", "open", "streaming", "at least"] {
        assert!(told.contains(part), "{part:?} in {told}");
    }
    let mut status = Byway::start(["status", "--json", "--relay", &relay.url]);
    let told: Value = serde_json::from_str(&output(&mut status)).expect("one document");
    assert_eq!(told["answers"], "streaming", "{told}");
    assert!(told["exchange_ms"]["min"].is_f64(), "{told}");
}

#[test]
fn status_of_no_relay_is_blocked() {
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let url = format!("http://{closed}");
    let mut status = Byway::start(["status", "--relay", &url]);
    assert!(output(&mut status).contains(&url));
    status.end().expect_code(4).expect_line(&["no connection"]);
}
