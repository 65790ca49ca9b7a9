//! Certificates that OpenSSL makes and serves (`openssl req -x509`), and the causes of failed TLS.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use byway::client::{Client, Config};
use byway::error::{Blocked, Error, TlsFault, TransportError};
use byway::session::Pace;
use byway::transport::Roots;
use tempfile::TempDir;

use crate::daemon::{Daemon, free_port, wait_for, write};
use crate::{DEADLINE, carry, client, join, relay};

/// Runs `openssl` with these arguments, separated by blanks.
fn openssl(at: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(at).output();
    let output = output.expect("openssl; tests/run installs it");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A directory with `certificate` and `key`, as `openssl req -x509` makes them.
fn self_signed(more: &str) -> TempDir {
    let at = tempfile::tempdir().expect("a directory");
    let make = "req -x509 -newkey rsa:2048 -nodes -keyout key -out certificate";
    openssl(at.path(), &format!("{make} -subj /CN=localhost{more}"));
    at
}

/// A certificate of the last century, which `openssl req` does not make.
fn expired() -> TempDir {
    let at = tempfile::tempdir().expect("a directory");
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = ["localhost".to_owned()];
    let mut params = rcgen::CertificateParams::new(names).expect("a name");
    params.not_before = rcgen::date_time_ymd(1980, 1, 1);
    params.not_after = rcgen::date_time_ymd(1990, 1, 1);
    let certificate = params.self_signed(&key).expect("a certificate");
    write(at.path(), "certificate", &certificate.pem());
    write(at.path(), "key", &key.serialize_pem());
    at
}

fn roots(at: &Path) -> Roots {
    Roots::Pem(fs::read(at.join("certificate")).expect("a certificate"))
}

/// nginx with this certificate before a relay.
pub fn front(at: &Path, relay: u16) -> Daemon {
    let at: PathBuf = at.to_owned();
    Daemon::nginx(|_, port| {
        format!(
            "server {{\nlisten 127.0.0.1:{port} ssl;\nssl_certificate {0}/certificate;\n\
             ssl_certificate_key {0}/key;\nlocation / {{ proxy_pass http://127.0.0.1:{relay}; }}\n}}",
            at.display()
        )
    })
}

#[test]
fn self_signed_certificate_of_openssl_is_taken_as_root() {
    let relay = relay();
    for more in ["", " -addext subjectAltName=DNS:localhost", " -days 2 -sha512"] {
        let at = self_signed(more);
        let nginx = front(at.path(), relay.local_addr().port());
        let url = format!("https://localhost:{}", nginx.port);
        let config = || Config { roots: roots(at.path()), ..Config::new(url.as_str()) };
        let (one, other) = (client(Pace::Streaming, config()), client(Pace::LongPoll, config()));
        let (a, b) = join(&one, &other);
        carry(&a, &b, 100_000);
    }
}

/// `openssl s_server`, killed when dropped.
struct Server(Child);

impl Server {
    fn start(at: &Path, more: &str) -> (Self, u16) {
        let port = free_port();
        let serve = format!("s_server -accept 127.0.0.1:{port} -cert certificate -key key -quiet");
        let mut command = Command::new("openssl");
        command.args(format!("{serve}{more}").split(' ')).current_dir(at);
        // At the end of its input `openssl` would end.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().expect("openssl; tests/run installs it"));
        wait_for("s_server", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        (server, port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn causes_of_failed_tls_are_named_at_once() {
    let good = self_signed("");
    let old = expired();
    let other = self_signed(" -addext subjectAltName=DNS:elsewhere.example");
    let relay = relay();
    let plain = relay.local_addr().port();
    let mut servers = Vec::new();
    let mut served = |at: &TempDir, more: &str| {
        let (server, port) = Server::start(at.path(), more);
        servers.push(server);
        port
    };
    let ask = " -Verify 1 -verify_return_error";
    for (port, trusted, cause) in [
        (served(&old, ""), &old, TlsFault::Expired),
        (served(&other, ""), &other, TlsFault::WrongName),
        (served(&good, ""), &other, TlsFault::UnknownIssuer),
        (served(&good, ask), &good, TlsFault::ClientCertificate),
        (served(&good, &format!("{ask} -tls1_2")), &good, TlsFault::ClientCertificate),
        (served(&good, " -tls1_1 -cipher DEFAULT@SECLEVEL=0"), &good, TlsFault::Refused),
        (plain, &good, TlsFault::NotTls),
    ] {
        let begun = Instant::now();
        let config = Config {
            roots: roots(trusted.path()),
            open_timeout: DEADLINE,
            ..Config::new(format!("https://localhost:{port}"))
        };
        let error = Client::open(config).expect_err("no TLS");
        let named = Error::Transport(TransportError::Blocked(Blocked::Tls(cause)));
        assert_eq!(error, named, "{error}");
        assert!(begun.elapsed() < DEADLINE / 2, "{cause:?} after {:?}", begun.elapsed());
    }
    assert_eq!(relay.stats().sends, 0);
}

/// A client that was started tries on: a user may set the clock, or renew the certificate.
#[test]
fn client_in_the_background_outlives_an_untrusted_certificate() {
    let relay = relay();
    let at = self_signed("");
    let nginx = front(at.path(), relay.local_addr().port());
    let key = at.path().join("key");
    let make = format!("req -x509 -key {} -subj /CN=localhost -out renewed", key.display());
    openssl(at.path(), &make);
    let trusted = fs::read(at.path().join("renewed")).expect("a certificate");
    let config = Config {
        roots: Roots::Pem(trusted),
        ..Config::new(format!("https://localhost:{}", nginx.port))
    };
    let client = Client::start(config).expect("starts");
    let cause = Blocked::Tls(TlsFault::UnknownIssuer);
    assert_eq!(client.wait_open(DEADLINE), Err(cause.into()), "not the one that is trusted");
    fs::rename(at.path().join("renewed"), at.path().join("certificate")).expect("renamed");
    nginx.signal("HUP");
    let until = Instant::now() + DEADLINE;
    while client.wait_open(Duration::from_secs(1)).is_err() {
        assert!(Instant::now() < until, "it does not try again");
        thread::sleep(Duration::from_millis(20));
    }
}
