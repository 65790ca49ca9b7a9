//! TLS of the relay itself: against openssl, curl, nginx, squid, and clients that mean no good.

#[path = "../proxies/daemon.rs"]
#[allow(dead_code)] // what proxies it does not use
mod daemon;
mod hostile;
mod known;
mod peers;
#[path = "../command/process.rs"]
#[allow(dead_code)] // what of processes it does not use
mod process;
mod reader;
#[path = "../recorder.rs"]
mod recorder;
mod reload;
mod seen;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use byway::client::{Client, Config, Stream};
use byway::relay::{Certificate, Relay, RelayConfig};
use byway::transport::Roots;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// Longer than any step takes on a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A URL of a server on loopback.
fn http(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn https(port: u16) -> String {
    format!("https://localhost:{port}")
}

/// A self-signed certificate and its key, as PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        Self::of("localhost", (2020, 4000))
    }

    /// For a host, within these years.
    fn of(name: &str, years: (i32, i32)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) =
            (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        Self { certificate, key: key.serialize_pem() }
    }

    fn load(&self) -> Certificate {
        Certificate::from_pem(self.certificate.as_bytes(), self.key.as_bytes()).expect("a pair")
    }

    fn roots(&self) -> Roots {
        Roots::Pem(self.certificate.clone().into())
    }

    fn pinned(&self) -> Roots {
        Roots::Pins(vec![self.load().pin()])
    }

    /// A relay in this process, with these settings.
    fn relay_with(&self, config: RelayConfig) -> Relay {
        Relay::bind(RelayConfig { tls: Some(self.load()), ..config }).expect("a port")
    }

    fn relay(&self) -> Relay {
        self.relay_with(RelayConfig::default())
    }
}

/// A pair in files.
struct Files {
    at: TempDir,
}

impl Files {
    fn new(pair: &Pair) -> Self {
        let this = Self { at: tempfile::tempdir().expect("a directory") };
        this.write(pair);
        this
    }

    fn write(&self, pair: &Pair) {
        daemon::write(self.at.path(), "certificate", &pair.certificate);
        daemon::write(self.at.path(), "key", &pair.key);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }
}

/// The command's relay with these files.
fn start(certificate: &str, key: &str) -> process::Byway {
    process::Byway::start([
        "relay",
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        certificate,
        "--tls-key",
        key,
    ])
}

/// The command's relay with the files `certificate` and `key` in `at`; its URL, its port.
fn command(at: &Path) -> (process::Byway, String, u16) {
    let (certificate, key) = (at.join("certificate"), at.join("key"));
    let mut relay = start(&certificate.to_string_lossy(), &key.to_string_lossy());
    let (url, _) = relay.announced();
    let port = url.strip_prefix("https://127.0.0.1:").expect("a URL of TLS").parse();
    relay.wait_told("clients may pin");
    (relay, url.clone(), port.expect("a port"))
}

/// A connection of TLS with nothing above it.
type Line = StreamOwned<ClientConnection, TcpStream>;

fn line(port: u16, trusted: &Pair) -> Line {
    line_by(port, Arc::new(trusting(&[trusted])))
}

/// A client's settings that trust these.
fn trusting(trusted: &[&Pair]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        let trusted = CertificateDer::from_pem_slice(pair.certificate.as_bytes());
        roots.add(trusted.expect("a certificate")).expect("a root");
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn line_by(port: u16, config: Arc<ClientConfig>) -> Line {
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(config, name).expect("a session");
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    socket.set_read_timeout(Some(DEADLINE)).expect("not zero");
    StreamOwned::new(session, socket)
}

/// Asks on a connection that stays; gives the answer's text.
fn ask(line: &mut (impl Read + Write)) -> String {
    line.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").expect("writes");
    let mut seen = Vec::new();
    while !seen.ends_with(b"here\n") {
        let mut octet = [0];
        line.read_exact(&mut octet).expect("an answer");
        seen.extend_from_slice(&octet);
    }
    String::from_utf8(seen).expect("text")
}

/// Bytes that show any shift or repeat.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect()
}

fn client(url: &str, roots: Roots) -> Client {
    Client::open(Config { roots, ..Config::new(url) }).expect("the relay answers")
}

/// Two clients, joined: the listener's stream, then the connector's.
fn join(listener: &Client, connector: &Client) -> (Stream, Stream) {
    let listening = listener.listen("there:1").expect("listens");
    let stream = connector.connect("there:1").expect("connects");
    (listening.accept_timeout(DEADLINE).expect("accepts"), stream)
}

/// Carries octets one way while `meanwhile` runs, and checks each.
fn carry(from: &Stream, to: &Stream, octets: &[u8], meanwhile: impl FnOnce()) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut from = from;
            from.write_all(octets).expect("writes");
            from.wait_acked(DEADLINE).expect("acknowledged");
        });
        scope.spawn(|| {
            let mut to = to;
            to.set_read_timeout(Some(DEADLINE)).expect("not zero");
            let mut got = vec![0; octets.len()];
            to.read_exact(&mut got).expect("reads");
            assert!(got == octets, "not the bytes that were written");
        });
        meanwhile();
    });
}
