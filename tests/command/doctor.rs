//! What the doctor says of obstacles that a test can make by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use serde_json::Value;

use crate::process::{Byway, Relay};

/// Runs the doctor with a short hold: its exit code and its document.
fn examine<const N: usize>(url: &str, more: [&str; N]) -> (Option<i32>, Value) {
    let mut args = vec!["doctor", "--json", "--hold", "1", "--relay", url];
    args.extend(more);
    let mut doctor = Byway::start_args(&args);
    let mut text = String::new();
    doctor.stdout().read_to_string(&mut text).expect("stdout");
    let ended = doctor.end();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}: {:?}", ended.told));
    (ended.status.code(), report)
}

/// A check of a report.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

/// A server that answers each connection's first request with this.
fn answering(response: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let response = response.clone();
            thread::spawn(move || {
                let _ =
                    stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(response.as_bytes()));
                // Until the client hangs up, so that it reads all.
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            });
        }
    });
    address
}

#[test]
fn way_without_obstacles_is_all_right() {
    let relay = Relay::start();
    let (code, report) = examine(&relay.url, []);
    assert_eq!((code, &report["verdict"]), (Some(0), &"ok".into()), "{report}");
    for name in [
        "proxy", "name", "tcp", "relay", "headers", "clock", "two", "whole", "size", "chunked",
        "reuse", "rate", "down", "up", "hold",
    ] {
        assert_eq!(check(&report, name)["verdict"], "ok", "{report}");
    }
}

#[test]
fn port_without_a_server_is_blocked() {
    let closed =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let (code, report) = examine(&format!("http://{closed}"), []);
    assert_eq!((code, &check(&report, "tcp")["verdict"]), (Some(4), &"blocked".into()), "{report}");
}

#[test]
fn captive_portal_is_told_with_where_it_leads() {
    let portal = answering(
        "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n"
            .into(),
    );
    let (code, report) = examine(&format!("http://{portal}"), []);
    let relay = check(&report, "relay");
    assert_eq!((code, &relay["verdict"]), (Some(4), &"blocked".into()), "{report}");
    assert!(relay["seen"].as_str().is_some_and(|seen| seen.contains("portal.example")), "{report}");
}

#[test]
fn clock_that_is_far_off_is_told_by_a_foreign_answer() {
    let server = answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nDate: Thu, 01 Jan 2015 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nhi"
            .into(),
    );
    let (code, report) = examine(&format!("http://{server}"), []);
    assert_eq!(code, Some(4));
    let clock = check(&report, "clock");
    assert_eq!(clock["verdict"], "limited", "{report}");
    assert!(clock["seen"].as_str().is_some_and(|seen| seen.contains("ahead of")), "{report}");
}

#[test]
fn proxy_that_wants_a_password_is_told() {
    let proxy = answering(
        "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n"
            .into(),
    );
    let (code, report) = examine("http://relay.example", ["--proxy", &format!("http://{proxy}")]);
    let relay = check(&report, "relay");
    assert_eq!(code, Some(4));
    assert!(
        relay["seen"].as_str().is_some_and(|seen| seen.contains("wants authentication")),
        "{report}"
    );
}

#[test]
fn relay_with_a_policy_wants_a_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let policy = dir.path().join("policy.toml");
    std::fs::write(&policy, "[[token]]\nname = \"a\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n")
        .expect("written");
    let path = policy.to_str().expect("UTF-8");
    let relay = Relay::of(Byway::start(["relay", "--listen", "127.0.0.1:0", "--policy", path]));
    let (code, report) = examine(&relay.url, []);
    let found = check(&report, "relay");
    assert_eq!((code, &found["verdict"]), (Some(4), &"blocked".into()), "{report}");
    assert!(
        found["seen"].as_str().is_some_and(|seen| seen.contains("a token is wanted")),
        "{report}"
    );
    assert!(
        found["remedy"].as_str().is_some_and(|remedy| remedy.contains("--token-file")),
        "{report}"
    );
}

#[test]
fn relay_that_knows_no_probes_is_tested_by_the_protocol() {
    // What an older relay says of that path; then its protocol is none, here.
    let server = answering(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 47\r\n\r\nbyway relay: POST to the base path and /v1 ....".into(),
    );
    let (code, report) = examine(&format!("http://{server}"), ["--timeout", "1"]);
    assert_eq!((code, &check(&report, "relay")["verdict"]), (Some(4), &"ok".into()), "{report}");
    assert_eq!(check(&report, "protocol")["verdict"], "blocked", "{report}");
    assert_eq!(check(&report, "the rest")["verdict"], "not tested", "{report}");
}

#[test]
fn plain_request_to_a_port_of_tls_ends_at_once() {
    let server = answering(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 41\r\n\r\nplain HTTP request was sent to HTTPS port".into(),
    );
    let url = format!("http://{server}");
    let (code, report) = examine(&url, []);
    assert_eq!(code, Some(4));
    let relay = check(&report, "relay");
    assert!(relay["remedy"].as_str().is_some_and(|it| it.contains("write https://")), "{report}");
    // A hundred seconds, of which none is waited for.
    let began = std::time::Instant::now();
    let connect = Byway::start(["connect", "a:1", "--timeout", "100", "--relay", &url]);
    connect.end().expect_code(4).expect_line(&["a port of https://"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(50));
}

#[test]
fn issuer_that_is_not_of_the_public_web_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, "Inspection of Example Inc");
    let pem = params.self_signed(&key).expect("signed").pem();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (own, secret) = (write("own.pem", &pem), write("key.pem", &key.serialize_pem()));
    let relay = Relay::of(Byway::start([
        "relay",
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        &own,
        "--tls-key",
        &secret,
    ]));
    for (roots, code, verdict) in [("web", 4, "blocked"), (&own[..], 0, "ok")] {
        let (ended, report) = examine(&relay.url, ["--roots", roots]);
        let tls = check(&report, "tls");
        assert_eq!((ended, &tls["verdict"]), (Some(code), &verdict.into()), "{report}");
        assert!(tls.to_string().contains("Inspection of Example Inc"), "{report}");
    }
}
