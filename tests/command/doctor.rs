//! What the doctor says of obstacles that a test can make by itself.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use tempfile::TempDir;

use crate::fronts::{answering, first_alone, front, proxy};
use crate::process::{Byway, Relay};

/// Runs the doctor with a short hold: its exit code and its document.
fn examine<const N: usize>(url: &str, more: [&str; N]) -> (Option<i32>, Value) {
    let mut args = vec!["doctor", "--json", "--hold", "1", "--relay", url];
    args.extend(more);
    read(Byway::start_args(&args))
}

fn read(mut doctor: Byway) -> (Option<i32>, Value) {
    let mut text = String::new();
    doctor.stdout().read_to_string(&mut text).expect("stdout");
    let ended = doctor.end();
    let report = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}: {:?}", ended.told));
    (ended.status.code(), report)
}

/// Whether what a check has in this field contains all parts.
fn has(report: &Value, name: &str, field: &str, parts: &[&str]) -> bool {
    let text = check(report, name)[field].as_str().unwrap_or_default();
    parts.iter().all(|part| text.contains(part))
}

/// A check of a report.
fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

/// Expects that this check is blocked, and so is the way.
fn expect_blocked(code: Option<i32>, report: &Value, name: &str) {
    let verdict = &check(report, name)["verdict"];
    assert_eq!((code, verdict), (Some(4), &"blocked".into()), "{report}");
}

/// A relay with a policy, which has a token that nobody knows.
fn relay_with_a_policy(dir: &TempDir) -> Relay {
    let policy = dir.path().join("policy.toml");
    let line = format!("[[token]]\nname = \"a\"\nsha256 = \"{}\"\n", "0".repeat(64));
    std::fs::write(&policy, line).expect("written");
    let path = policy.to_str().expect("UTF-8");
    Relay::of(Byway::start(["relay", "--listen", "127.0.0.1:0", "--policy", path]))
}

/// A relay that speaks TLS, and the file of its certificate, which `issuer` issues for `host`.
fn relay_with_tls(dir: &TempDir, host: &str, issuer: &str) -> (Relay, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new([host.to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, issuer);
    let pem = params.self_signed(&key).expect("signed").pem();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (own, secret) = (write("own.pem", &pem), write("key.pem", &key.serialize_pem()));
    let args = ["relay", "--listen", "127.0.0.1:0", "--tls-cert", &own, "--tls-key", &secret];
    (Relay::of(Byway::start(args)), own)
}

/// Where a relay is, whose URL has no path.
fn address(relay: &Relay) -> SocketAddr {
    let (_, address) = relay.url.split_once("://").expect("a URL");
    address.parse().expect("an address")
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
    expect_blocked(code, &report, "tcp");
}

#[test]
fn captive_portal_is_told_with_where_it_leads() {
    let portal = answering(
        "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\n\r\n",
    );
    let (code, report) = examine(&format!("http://{portal}"), []);
    expect_blocked(code, &report, "relay");
    assert!(has(&report, "relay", "seen", &["portal.example"]), "{report}");
}

#[test]
fn clock_that_is_far_off_is_told_by_a_foreign_answer() {
    let server = answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nDate: Thu, 01 Jan 2015 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nhi",
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
        "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
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
    let relay = relay_with_a_policy(&dir);
    let (code, report) = examine(&relay.url, []);
    expect_blocked(code, &report, "relay");
    assert!(has(&report, "relay", "seen", &["a token is wanted"]), "{report}");
    assert!(has(&report, "relay", "remedy", &["--token-file"]), "{report}");
}

#[test]
fn relay_that_knows_no_probes_is_tested_by_the_protocol() {
    // What an older relay says of that path; then its protocol is none, here.
    let server = answering(
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 47\r\n\r\nbyway relay: POST to the base path and /v1 ....",
    );
    let (code, report) = examine(&format!("http://{server}"), ["--timeout", "1"]);
    assert_eq!((code, &check(&report, "relay")["verdict"]), (Some(4), &"ok".into()), "{report}");
    assert_eq!(check(&report, "protocol")["verdict"], "blocked", "{report}");
    assert_eq!(check(&report, "the rest")["verdict"], "not tested", "{report}");
}

#[test]
fn plain_request_to_a_port_of_tls_ends_at_once() {
    let server = answering(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 41\r\n\r\nplain HTTP request was sent to HTTPS port",
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
    let (relay, own) = relay_with_tls(&dir, "127.0.0.1", "Inspection of Example Inc");
    for (roots, code, verdict) in [("web", 4, "blocked"), (&own[..], 0, "ok")] {
        let (ended, report) = examine(&relay.url, ["--roots", roots]);
        let tls = check(&report, "tls");
        assert_eq!((ended, &tls["verdict"]), (Some(code), &verdict.into()), "{report}");
        assert!(tls.to_string().contains("Inspection of Example Inc"), "{report}");
    }
}

#[test]
fn relay_with_tls_is_reached_by_a_tunnel_under_a_name_that_the_proxy_alone_knows() {
    let dir = tempfile::tempdir().expect("a directory");
    let (relay, own) = relay_with_tls(&dir, "relay.invalid", "Example");
    let proxy = format!("http://{}", proxy(address(&relay)));
    let url = "https://relay.invalid";
    let (code, report) = examine(url, ["--proxy", &proxy, "--roots", &own]);
    assert_eq!((code, &report["verdict"]), (Some(0), &"ok".into()), "{report}");
    assert_eq!(check(&report, "connect")["verdict"], "ok", "{report}");
    assert!(has(&report, "proxy", "seen", &["by CONNECT"]), "{report}");
    assert!(has(&report, "name", "seen", &["the proxy has 1", "relay.invalid"]), "{report}");
}

#[test]
fn relay_without_tls_is_reached_under_a_name_that_the_proxy_alone_knows() {
    let relay = Relay::start();
    let proxy = format!("http://{}", proxy(address(&relay)));
    let (code, report) = examine("http://relay.invalid", ["--proxy", &proxy]);
    assert_eq!((code, &report["verdict"]), (Some(0), &"ok".into()), "{report}");
    assert!(has(&report, "proxy", "seen", &["pass requests on"]), "{report}");
}

#[test]
fn proxy_that_grants_no_tunnel_is_told_with_the_port_that_most_grant() {
    let proxy = answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let proxy = format!("http://{proxy}");
    let (code, report) = examine("https://relay.invalid:8443", ["--proxy", &proxy]);
    expect_blocked(code, &report, "connect");
    assert!(has(&report, "connect", "remedy", &["CONNECT", "443"]), "{report}");
}

#[test]
fn name_that_does_not_resolve_is_told_at_once() {
    let began = std::time::Instant::now();
    let (code, report) = examine("http://relay.invalid", []);
    expect_blocked(code, &report, "name");
    assert!(began.elapsed() < std::time::Duration::from_secs(25), "before any hold: {report}");
}

#[test]
fn fields_that_are_added_and_changed_on_the_way_are_named() {
    let relay = Relay::start();
    let front = front(
        address(&relay),
        |head| {
            let head =
                head.replace("cache-control: no-store, no-transform", "cache-control: max-age=0");
            head.replacen("\r\n", "\r\nX-There: 1\r\n", 1)
        },
        |head| head.replacen("\r\n", "\r\nX-Back: 1\r\n", 1),
    );
    let (code, report) = examine(&format!("http://{front}"), []);
    assert_eq!((code, &report["verdict"]), (Some(0), &"limited".into()), "{report}");
    let parts = [
        "added to requests: x-there;",
        "changed: cache-control (max-age=0);",
        "added to answers: x-back",
    ];
    assert!(has(&report, "headers", "seen", &parts), "{report}");
}

#[test]
fn compression_on_the_way_is_told_with_what_to_leave_alone() {
    let relay = Relay::start();
    let front = front(address(&relay), str::to_owned, |head| {
        head.replacen("\r\n", "\r\nContent-Encoding: gzip\r\n", 1)
    });
    let (code, report) = examine(&format!("http://{front}"), []);
    expect_blocked(code, &report, "relay");
    assert!(has(&report, "relay", "seen", &["compressed on the way", "gzip"]), "{report}");
    assert!(has(&report, "relay", "remedy", &["application/octet-stream"]), "{report}");
}

#[test]
fn token_over_http_is_kept_back_and_told_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let (open, closed) = (Relay::start(), relay_with_a_policy(&dir));
    for (relay, rest) in [(&open, "hold"), (&closed, "the rest")] {
        // Behind a proxy the relay is not of this machine.
        let proxy = format!("http://{}", proxy(address(relay)));
        let args = ["--proxy", &proxy, "--token", "a-secret"];
        let (code, report) = examine("http://relay.invalid", args);
        assert_eq!(code, Some(4), "{report}");
        assert_eq!(check(&report, "token")["verdict"], "blocked", "{report}");
        assert!(has(&report, "token", "remedy", &["https://", "--token-over-http"]), "{report}");
        // To a token that it does not know a relay says another thing.
        assert_eq!(check(&report, "relay")["verdict"], "ok", "{report}");
        assert!(!check(&report, rest).is_null(), "{report}");
    }
}

#[test]
fn script_that_names_the_proxy_is_told_to_be_not_read() {
    let relay = Relay::start();
    let url = relay.url.as_str();
    let proxy = format!("http://{}", proxy(address(&relay)));
    for (way, verdict) in [("none", "limited"), (&proxy[..], "ok")] {
        let script = "export auto_proxy=http://pac.example/proxy.pac; exec \"$@\"";
        let args = ["doctor", "--json", "--hold", "1", "--relay", url, "--proxy", way];
        let (code, report) = read(Byway::start_by(script, args));
        let pac = check(&report, "pac");
        assert_eq!((code, &pac["verdict"]), (Some(0), &verdict.into()), "{report}");
        assert!(has(&report, "pac", "seen", &["pac.example", "not read"]), "{report}");
    }
}

#[test]
fn relay_for_its_own_machine_says_so_to_those_beyond() {
    let relay = Relay::start();
    // By this field the request is a front's.
    let via = ["--header", "Via: 1.1 front"];
    let (code, report) = examine(&relay.url, via);
    expect_blocked(code, &report, "relay");
    assert!(has(&report, "relay", "seen", &["403", "--trusted-proxy", "--policy"]), "{report}");
    let status = Byway::start(["status", "--relay", &relay.url, via[0], via[1]]);
    status.end().expect_code(4).expect_line(&["for its own machine", "--trusted-proxy"]);
}

#[test]
fn full_relay_is_blocked_in_its_own_words() {
    let relay = answering(
        "HTTP/1.1 503 No\r\nByway-Status: full\r\nRetry-After: 5\r\nContent-Length: 52\r\n\r\nbyway relay: full; come back later, or ask its opera",
    );
    let (code, report) = examine(&format!("http://{relay}"), []);
    expect_blocked(code, &report, "relay");
    assert!(has(&report, "relay", "seen", &["503", "come back later"]), "{report}");
}

#[test]
fn rows_are_printed_as_they_are_found() {
    let relay = Relay::start();
    let mut doctor = Byway::start(["doctor", "--hold", "200", "--relay", &relay.url]);
    let (first, rest) = doctor.announced();
    assert!(first.starts_with("proxy "), "{first}");
    // The hold, which is under way then, goes on for minutes.
    assert!(rest.iter().any(|line| line.starts_with("up ")));
    doctor.kill();
}

#[test]
fn settings_that_cannot_be_used_are_told_in_the_document() {
    let (code, report) = examine("ftp://relay", []);
    assert_eq!(code, Some(2));
    assert!(report["error"].as_str().is_some_and(|error| error.contains("http://")), "{report}");
}

#[test]
fn checks_without_time_are_told_where_the_way_falls_silent() {
    let relay = Relay::start();
    let front = first_alone(address(&relay));
    let (code, report) = examine(&format!("http://{front}"), []);
    expect_blocked(code, &report, "whole");
    // Each of the checks could wait for its answer for some ten seconds.
    for name in ["rate", "down", "up", "hold"] {
        assert_eq!(check(&report, name)["verdict"], "not tested", "{report}");
        assert!(has(&report, name, "seen", &["no time was left of the 31 s"]), "{report}");
    }
}
