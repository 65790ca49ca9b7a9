//! Proxies of the environment, which count only if the application asks for them.

use std::process::Command;

use byway::client::Config;
use byway::session::Pace;
use byway::transport::{Proxy, Roots};

use crate::daemon::Daemon;
use crate::tunnel::tls_front;
use crate::{carry, client, join, relay};

/// The variables by which the child gets its orders.
const URL: &str = "BYWAY_TEST_URL";
const PEM: &str = "BYWAY_TEST_PEM";
const ASKS: &str = "BYWAY_TEST_ASKS";

const VARIABLES: [&str; 10] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
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
        roots: match var(PEM).as_str() {
            "" => Roots::default(),
            pem => Roots::Pem(pem.into()),
        },
        ..Config::new(var(URL))
    };
    let (one, other) = (client(Pace::Streaming, config()), client(Pace::LongPoll, config()));
    let (a, b) = join(&one, &other);
    carry(&a, &b, 100_000);
}

fn run(url: &str, pem: &str, asks: bool, environment: &[(&str, &str)]) {
    let (works, told) = tried(url, pem, asks, environment);
    assert!(works, "{environment:?}: {told}");
}

/// Whether the child's clients work with this environment, and what the child prints.
fn tried(url: &str, pem: &str, asks: bool, environment: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args(["--ignored", "--exact", "environment::child"]);
    for name in VARIABLES {
        command.env_remove(name);
    }
    let asks = if asks { "yes" } else { "no" };
    command.env(URL, url).env(PEM, pem).env(ASKS, asks).envs(environment.iter().copied());
    let output = command.output().expect("this test starts");
    let told = String::from_utf8_lossy(&output.stdout);
    (output.status.success() && told.contains("1 passed"), told.into_owned())
}

#[test]
fn environment_counts_only_when_asked_for() {
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
        (true, &[("http_proxy", proxy), ("no_proxy", "example.org 127.0.0.0/8")]),
        // A variable that is not asked for need not be valid.
        (true, &[("http_proxy", "socks5://nowhere:x/"), ("no_proxy", "*")]),
    ] {
        run(relay.url(), "", asks, environment);
        assert_eq!(squid.access(), "", "{environment:?}");
    }
    run(relay.url(), "", true, &[("http_proxy", proxy), ("no_proxy", "example.org")]);
    let bad = [("http_proxy", "socks5://nowhere:x/"), ("no_proxy", "example.org")];
    let (works, told) = tried(relay.url(), "", true, &bad);
    assert!(!works && told.contains("only http:// proxies"), "{told}");
    let access = squid.access();
    assert!(
        access.contains("POST http://127.0.0.1:") && !access.contains("CONNECT 127."),
        "{access}"
    );
}

/// A client looks at the variables that OpenSSL knows, as curl and git do.
#[test]
fn roots_of_the_system_are_those_of_ssl_cert_file() {
    let relay = relay();
    let at = tempfile::tempdir().expect("a directory");
    let (certificate, key) = crate::tunnel::certificate();
    let file = crate::daemon::write(at.path(), "certificate", &certificate);
    crate::daemon::write(at.path(), "key", &key);
    let nginx = crate::certificates::front(at.path(), relay.local_addr().port());
    let url = format!("https://localhost:{}", nginx.port);
    run(&url, "", false, &[("SSL_CERT_FILE", &file.display().to_string())]);
    // Roots that cannot be read are not replaced by others.
    let none = at.path().join("none").display().to_string();
    let (works, told) = tried(&url, "", false, &[("SSL_CERT_FILE", &none)]);
    assert!(!works && told.contains("SSL_CERT_FILE"), "{told}");
}

#[test]
fn https_proxy_of_the_environment_is_used_for_https() {
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
