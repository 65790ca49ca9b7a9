//! Proxies that the environment names, which counts only if the application asks for it.

use std::process::Command;

use byway::client::Config;
use byway::session::Pace;
use byway::transport::Proxy;

use crate::daemon::Daemon;
use crate::tunnel::tls_front;
use crate::{carry, client, join, relay};

/// What the child is told.
const URL: &str = "BYWAY_TEST_URL";
const PEM: &str = "BYWAY_TEST_PEM";
const ASKS: &str = "BYWAY_TEST_ASKS";

const VARIABLES: [&str; 8] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Two clients of a process with another environment.
#[test]
#[ignore = "the other tests here run it as a child"]
fn child() {
    let var = |name| std::env::var(name).expect("started by a test");
    let config = || Config {
        proxy: if var(ASKS) == "yes" { Proxy::Environment } else { Proxy::Direct },
        roots_pem: var(PEM).into(),
        ..Config::new(var(URL))
    };
    let (one, other) = (client(Pace::Streaming, config()), client(Pace::LongPoll, config()));
    let (a, b) = join(&one, &other);
    carry(&a, &b, 100_000);
}

fn run(url: &str, pem: &str, asks: bool, environment: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--ignored", "--exact", "environment::child"]);
    for name in VARIABLES {
        command.env_remove(name);
    }
    let asks = if asks { "yes" } else { "no" };
    command.env(URL, url).env(PEM, pem).env(ASKS, asks).envs(environment.iter().copied());
    let output = command.output().expect("this test starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{environment:?}: {told}");
}

#[test]
fn only_when_asked_and_only_what_counts() {
    let relay = relay();
    let squid = Daemon::squid(443, &[("ann", "secret")]);
    let proxy = squid.url_for("ann", "secret");
    let proxy = proxy.as_str();
    for (asks, environment) in [
        (false, &[("http_proxy", proxy), ("all_proxy", proxy)][..]),
        (true, &[]),
        // In capitals it is a header of a request to CGI programs.
        (true, &[("HTTP_PROXY", proxy), ("https_proxy", proxy)]),
        (true, &[("http_proxy", proxy), ("no_proxy", "example.org, 127.0.0.1")]),
    ] {
        run(relay.url(), "", asks, environment);
        assert_eq!(squid.access(), "", "{environment:?}");
    }
    run(relay.url(), "", true, &[("http_proxy", proxy), ("no_proxy", "example.org")]);
    let access = squid.access();
    assert!(
        access.contains("POST http://127.0.0.1:") && !access.contains("CONNECT 127."),
        "{access}"
    );
}

#[test]
fn a_tunnel_for_https() {
    let relay = relay();
    let (nginx, pem) = tls_front(relay.local_addr().port());
    let squid = Daemon::squid(nginx.port, &[]);
    let url = format!("https://localhost:{}", nginx.port);
    run(&url, &pem, true, &[("http_proxy", &squid.url())]);
    assert_eq!(squid.access(), "");
    run(&url, &pem, true, &[("https_proxy", &squid.url())]);
    let access = crate::daemon::wait_for("tunnel's end", || {
        Some(squid.access()).filter(|access| access.contains("CONNECT localhost:"))
    });
    assert!(!access.contains("POST"), "{access}");
}
