//! Programs of others: openssl, curl, and the proxies on the way.

use std::process::{Command, Stdio};

use byway::client::{Client, Config};
use byway::transport::Proxy;

use crate::daemon::{Daemon, wait_for};
use crate::process::Byway;
use crate::{DEADLINE, Files, Pair, carry, client, command, http, https, join, pattern};

/// Runs a program with these arguments, separated by blanks; gives what it wrote.
fn told(program: &str, arguments: &str, input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    let stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut &stdin, input.as_bytes()).expect("writes");
    let output = child.wait_with_output().expect("ends");
    drop(stdin);
    let all = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// As `openssl req -x509` makes it, with a key of RSA.
fn rsa() -> Pair {
    let at = tempfile::tempdir().expect("a directory");
    let (certificate, key) = (at.path().join("certificate"), at.path().join("key"));
    let made = told(
        "openssl",
        &format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {} -out {} -subj /CN=localhost -addext subjectAltName=DNS:localhost",
            key.display(),
            certificate.display()
        ),
        "",
    );
    let read = |path| std::fs::read_to_string(path).unwrap_or_else(|_| panic!("{made}"));
    Pair { certificate: read(certificate), key: read(key) }
}

#[test]
fn openssl_and_curl_speak_tls_to_the_relay() {
    for pair in [Pair::new(), rsa()] {
        let files = Files::new(&pair);
        let (_relay, _, port) = command(files.at.path());
        let trusted = files.path("certificate");
        let trusted = trusted.display();
        for version in ["tls1_2", "tls1_3"] {
            let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let seen = told(
                "openssl",
                &format!(
                    "s_client -connect 127.0.0.1:{port} -servername localhost -verify_return_error \
                     -verify_hostname localhost -CAfile {trusted} -alpn http/1.1 -{version} -ign_eof"
                ),
                request,
            );
            assert!(seen.contains("ALPN protocol: http/1.1"), "{version}: {seen}");
            assert!(seen.contains("byway relay: here"), "{version}: {seen}");
        }
        let seen = told("openssl", &format!("s_client -connect 127.0.0.1:{port} -tls1_1"), "");
        assert!(!seen.contains("Cipher is ECDHE"), "{seen}");
        let curl = |more: &str| told("curl", &format!("-sS -m 60 {more}"), "");
        let seen = curl(&format!("--cacert {trusted} {}", https(port)));
        assert_eq!(seen, "byway relay: here\n");
        // What curl calls a pin is the relay's, with one more slash.
        let pin = pair.load().pin().to_string().replacen('/', "//", 1);
        let seen = curl(&format!("-k --pinnedpubkey {pin} {}", https(port)));
        assert_eq!(seen, "byway relay: here\n");
        let other = Pair::new().load().pin().to_string().replacen('/', "//", 1);
        let seen = curl(&format!("-k --pinnedpubkey {other} {}", https(port)));
        assert!(seen.contains("public key"), "{seen}");
    }
}

#[test]
fn plain_request_at_a_port_of_tls_is_told_the_remedy() {
    let pair = Pair::new();
    let files = Files::new(&pair);
    let (_relay, _, port) = command(files.at.path());
    let seen = told("curl", &format!("-sSi -m 60 {}", http(port)), "");
    assert!(seen.starts_with("HTTP/1.1 400 "), "{seen}");
    assert!(seen.contains("this port speaks TLS; write https:// in the URL"), "{seen}");
    // A body that comes meanwhile does not destroy the answer.
    let body = files.path("body");
    std::fs::write(&body, vec![b'x'; 1 << 20]).expect("a file");
    let post = format!("-sSi -m 60 -H Expect: --data-binary @{} {}/v1", body.display(), http(port));
    let seen = told("curl", &post, "");
    assert!(seen.starts_with("HTTP/1.1 400 "), "{seen}");
    let connecting = Byway::start(["connect", "x:1", "--relay", &http(port), "--timeout", "1"]);
    connecting.end().expect_code(4).expect_line(&["that is a port of https://; write https://"]);
}

#[test]
fn tls_at_a_plain_port_is_told_the_remedy() {
    let relay = crate::process::Relay::start();
    let url = relay.url.replacen("http://127.0.0.1", "https://localhost", 1);
    let connecting = Byway::start(["connect", "x:1", "--relay", &url, "--timeout", "1"]);
    connecting.end().expect_code(4).expect_line(&["no TLS at that port; write http://"]);
}

#[test]
fn squid_carries_a_tunnel_to_a_relay_that_speaks_tls() {
    let pair = Pair::new();
    let relay = pair.relay();
    let port = relay.local_addr().port();
    let squid = Daemon::squid(port, &[]);
    let config =
        Config { roots: pair.pinned(), proxy: Proxy::Url(squid.url()), ..Config::new(https(port)) };
    let behind = Client::open(config).expect("the relay answers");
    let direct = client(&https(port), pair.roots());
    let (a, b) = join(&behind, &direct);
    carry(&a, &b, &pattern(1 << 20), || ());
    carry(&b, &a, &pattern(1 << 20), || ());
    drop((a, b));
    behind.close(DEADLINE).expect("closes");
    // squid notes a tunnel when it has ended.
    wait_for("note of a tunnel", || squid.access().contains("CONNECT localhost:").then_some(()));
}

#[test]
fn nginx_stands_before_a_relay_that_speaks_tls() {
    let (inner, outer) = (Pair::new(), Pair::new());
    let relay = inner.relay();
    let port = relay.local_addr().port();
    let nginx = Daemon::nginx(|at, front| {
        let files = [
            crate::daemon::write(at, "trusted", &inner.certificate),
            crate::daemon::write(at, "certificate", &outer.certificate),
            crate::daemon::write(at, "key", &outer.key),
        ];
        let [trusted, certificate, key] = files.map(|file| file.display().to_string());
        format!(
            "server {{\nlisten 127.0.0.1:{front} ssl;\nssl_certificate {certificate};\n\
             ssl_certificate_key {key};\nlocation / {{\nproxy_pass https://127.0.0.1:{port};\n\
             proxy_http_version 1.1;\nproxy_ssl_verify on;\nproxy_ssl_name localhost;\n\
             proxy_ssl_trusted_certificate {trusted};\nproxy_request_buffering off;\n}}\n}}"
        )
    });
    let behind = client(&https(nginx.port), outer.roots());
    let direct = client(&https(port), inner.pinned());
    let (a, b) = join(&behind, &direct);
    carry(&a, &b, &pattern(1 << 20), || ());
    carry(&b, &a, &pattern(1 << 20), || ());
    drop((a, b));
    behind.close(DEADLINE).expect("closes");
}
