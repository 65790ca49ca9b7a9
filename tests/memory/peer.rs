//! Relay and other peer, in one process.

use std::io::{Read, Write};
use std::thread;

use byway::client::{Client, Config, Stream};
use byway::relay::{Relay, RelayConfig};

use crate::process::{Helper, SAYS};
use crate::{proxy, tls};

/// The endpoint of the other peer, which echoes every octet.
pub const ECHO: &str = "echo:1";

const VARIABLE: &str = "BYWAY_MEMORY_PEER";

/// The relay and the peer, which run.
pub struct Peer {
    _helper: Helper,
    pub url: String,
    /// The relay over TLS, and the file with its certificate.
    pub tls_url: String,
    pub certificate: String,
    /// A plain proxy before the relay.
    pub proxy: String,
}

/// Starts relay and peer.
pub fn start() -> Peer {
    let mut helper = Helper::start("peer::helper", VARIABLE, "echo");
    let mut next = || helper.says().expect("where the relay is");
    let (url, tls_url, certificate, proxy) = (next(), next(), next(), next());
    Peer { _helper: helper, url, tls_url, certificate, proxy }
}

#[test]
#[ignore = "a helper of the other tests"]
fn helper() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let relay = Relay::bind(RelayConfig::default()).expect("a relay");
    let client = Client::open(Config::new(relay.url())).expect("a client");
    let listener = client.listen(ECHO).expect("a listener");
    let (port, pem) = tls::serve(relay.local_addr());
    let mut certificate = tempfile::NamedTempFile::new().expect("a file");
    certificate.write_all(pem.as_bytes()).expect("written");
    println!("{SAYS}{}", relay.url());
    println!("{SAYS}https://localhost:{port}");
    println!("{SAYS}{}", certificate.path().display());
    println!("{SAYS}{}", proxy::serve(relay.local_addr()));
    thread::spawn(move || {
        while let Ok(stream) = listener.accept() {
            thread::spawn(move || echo(stream));
        }
    });
    // The process that started this one closes stdin to end it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn echo(mut stream: Stream) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}
