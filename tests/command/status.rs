//! Whether and how the relay is reached.

use std::io::Read;
use std::net::TcpListener;

use serde_json::Value;

use crate::bus::Bus;
use crate::metrics::relay_with;
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
    assert!(!told.contains("router"), "{told}");
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

#[test]
fn status_tells_where_the_router_of_a_cluster_is() {
    let (cut_off, _) = relay_with(&["--cluster", "nats://127.0.0.1:1"]);
    let told = failed(["--relay", &cut_off.url], 4);
    assert_eq!(told["router"], "nowhere", "{told}");
    assert!(told["error"].as_str().is_some_and(|error| error.contains("no relay of the cluster")));
    let Some(bus) = Bus::start("the status of a cluster") else { return };
    let relays = bus.relays();
    for ((relay, _), router) in relays.iter().zip(["here", "elsewhere"]) {
        let mut status = Byway::start(["status", "--json", "--relay", &relay.url]);
        let told: Value = serde_json::from_str(&output(&mut status)).expect("one document");
        assert_eq!(told["router"], router, "{told}");
    }
}

/// The document of a status that ends with this code.
fn failed<const N: usize>(args: [&str; N], code: i32) -> Value {
    let mut status = Byway::start_args(&[&["status", "--json"][..], &args].concat());
    let told = serde_json::from_str(&output(&mut status)).expect("one document");
    status.end().expect_code(code);
    told
}

#[test]
fn document_has_the_error_that_ends_the_command() {
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let url = format!("http://{closed}");
    let told = failed(["--relay", &url], 4);
    assert_eq!((&told["relay"], &told["proxy"]), (&url.as_str().into(), &"none".into()), "{told}");
    let has = |told: &Value, part| told["error"].as_str().is_some_and(|error| error.contains(part));
    assert!(has(&told, "no connection"), "{told}");
    // A token that a client does not send is an error of the settings.
    let told = failed(["--relay", "http://relay.invalid", "--token", "a-secret"], 2);
    assert!(has(&told, "--token-over-http"), "{told}");
    let told = failed(["--relay", "ftp://relay"], 2);
    assert!(has(&told, "http://"), "{told}");
}
