//! The main job at work: a relay, two clients, a file there and back, datagrams beside it.
//!
//! `cargo run --release --example demo -- [FILE] [--relay URL]`

mod floor;
mod peers;
#[path = "../bench/posts.rs"]
mod posts;
mod report;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use byway::client::{Client, Config};
use byway::relay::{Relay, RelayConfig};
use byway::session::Profile;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use peak_alloc::PeakAlloc;
use sha2::{Digest, Sha256};

use report::Report;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// How long the close may take: longer than any retransmission.
const CLOSE: Duration = Duration::from_secs(30);

/// Sends FILE from one peer to the other and back, through a relay, over nothing but HTTP requests.
#[derive(Debug, Parser)]
struct Args {
    /// The file to send; this program itself if left out.
    file: Option<PathBuf>,
    /// Use the relay at this URL rather than one in this process.
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("demo: what came back is not what was sent");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let path = args.file.clone().map_or_else(std::env::current_exe, Ok)?;
    let mut file = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let sha256 = sha256(&mut file)?;
    let len = file.metadata()?.len();

    let (relay, url) = match &args.relay {
        Some(url) => (None, url.clone()),
        None => {
            let relay = Relay::bind(RelayConfig::default())?;
            let url = relay.url().to_owned();
            (Some(relay), url)
        }
    };
    println!("relay   {url}{}", if relay.is_some() { " (in this process)" } else { "" });
    println!("file    {} ({len} bytes)", path.display());

    let config = Config { profile: Profile::PC, ..Config::new(&url) };
    HEAP.reset_peak_usage();
    let camera = Client::open(config.clone())?;
    let viewer = Client::open(config)?;

    let bar = ProgressBar::new(2 * len);
    let style = "{msg:8}{bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec}";
    bar.set_style(ProgressStyle::with_template(style)?);
    let outcome = peers::run(&camera, &viewer, &mut file, len, &bar)?;
    bar.finish_and_clear();

    let mut spool = outcome.there;
    let mut back = outcome.back;
    let report = Report {
        len,
        sent: sha256,
        there: self::sha256(&mut spool)?,
        back: self::sha256(&mut back)?,
        there_in: outcome.there_in,
        back_in: outcome.back_in,
        quiet: outcome.quiet,
        loaded: outcome.loaded,
        pings_lost: outcome.pings_lost,
        clients: [camera.stats(), viewer.stats()],
        memory: camera.memory(),
        heap_peak: HEAP.peak_usage(),
        relay_here: relay.is_some(),
    };
    viewer.close(CLOSE)?;
    camera.close(CLOSE)?;
    if let Some(relay) = relay {
        relay.shutdown(CLOSE);
    }
    println!("{report}");
    Ok(report.is_equal())
}

fn sha256(file: &mut File) -> io::Result<[u8; 32]> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    file.rewind()?;
    Ok(hash.finalize().into())
}
