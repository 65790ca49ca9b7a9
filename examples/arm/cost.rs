//! What encryption costs a client, by turns with a client that does not encrypt.
//!
//! `cost URL` connects to `plain:1` and `encrypted:1` at the relay, which are to send back what comes, and prints
//! medians and their ratio. It is meant to be built for another machine than its peers:
//!
//! ```sh
//! byway relay --listen 127.0.0.1:8080 --open &
//! socat TCP-LISTEN:8081,fork,reuseaddr,bind=127.0.0.1 EXEC:cat &
//! byway listen --profile server --plain --relay http://127.0.0.1:8080 --to 127.0.0.1:8081 plain:1 &
//! byway listen --profile server --relay http://127.0.0.1:8080 --to 127.0.0.1:8081 encrypted:1 &
//! target/cross/armv7-unknown-linux-gnueabihf/cargo run --release --no-default-features \
//!   --features client,tls --example cost -- http://127.0.0.1:8080
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Security};
use byway::session::Profile;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Octets that go each way at once.
const TOTAL: usize = 8 << 20;
/// Octets of a write and a read.
const PIECE: usize = 16 << 10;
/// Transfers of each kind.
const TRANSFERS: usize = 9;
/// Connections of each kind for a transfer of each.
const CONNECTIONS: usize = 10;
/// How long everything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The two kinds, by the endpoints of their peers.
const KINDS: [(&str, Security); 2] =
    [("plain:1", Security::Plain), ("encrypted:1", Security::Encrypted)];

fn main() -> Outcome<()> {
    let url = std::env::args().nth(1).ok_or("usage: cost URL")?;
    let mut kinds = Vec::new();
    for (endpoint, security) in KINDS {
        let config = Config { profile: Profile::APP, security, ..Config::new(&url) };
        let client = Client::open(Config { connect_timeout: PATIENCE, ..config })?;
        kinds.push(Times { client, endpoint, connections: Vec::new(), transfers: Vec::new() });
    }
    for _ in 0..TRANSFERS {
        for kind in &mut kinds {
            for _ in 0..CONNECTIONS {
                kind.connect()?;
            }
            kind.transfer()?;
        }
    }
    let connect = [0, 1].map(|i: usize| median(&mut kinds[i].connections));
    let carry = [0, 1].map(|i: usize| median(&mut kinds[i].transfers));
    println!("connect, ms: plain {:.2}, encrypted {:.2}", connect[0], connect[1]);
    let ratio = carry[1] / carry[0];
    println!("MB/s each way: plain {:.1}, encrypted {:.1}, ratio {ratio:.2}", carry[0], carry[1]);
    Ok(())
}

/// Times of one kind.
struct Times {
    client: Client,
    endpoint: &'static str,
    connections: Vec<f64>,
    transfers: Vec<f64>,
}

impl Times {
    /// Connects, and says an octet that comes back.
    fn connect(&mut self) -> Outcome<()> {
        let began = Instant::now();
        let mut stream = self.client.connect(self.endpoint)?;
        self.connections.push(began.elapsed().as_secs_f64() * 1e3);
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
        Ok(stream.close()?)
    }

    fn transfer(&mut self) -> Outcome<()> {
        let stream = self.client.connect(self.endpoint)?;
        let mut output = stream.clone();
        let began = Instant::now();
        let writer = thread::spawn(move || -> Outcome<()> {
            for i in 0..TOTAL / PIECE {
                output.write_all(&[i as u8; PIECE])?;
            }
            Ok(output.shutdown(Shutdown::Write)?)
        });
        let (mut input, mut piece) = (stream.clone(), vec![0; PIECE]);
        for i in 0..TOTAL / PIECE {
            input.read_exact(&mut piece)?;
            if piece.iter().any(|octet| *octet != i as u8) {
                return Err("wrong octets came back".into());
            }
        }
        self.transfers.push(TOTAL as f64 / 1e6 / began.elapsed().as_secs_f64());
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(stream.close()?)
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
