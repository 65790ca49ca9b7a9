//! The firmware's peer, on this machine: a relay and a client in this process, and the firmware in an
//! emulated Cortex-M4 whose serial line is wired to the relay's port.
//!
//! `firmware-peer connects|listens plain|encrypted ELF`: what the firmware in ELF does. Exits with 0 if 64 KiB
//! went each way and the firmware says so, too. What the firmware says comes to stdout. Encrypted, each of both
//! knows the other's key from before, and has nothing to do with another.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Security, Stream};
use byway::relay::{Relay, RelayConfig};
use byway::secure::Identity;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Octets that go each way, as the firmware has it.
const TOTAL: u32 = 64 << 10;
/// How long everything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the firmware looks for its randomness, 24 octets and 32 more, and behind it for what was burned in:
/// its seed, and the public key of its peer.
const PROVISION: u32 = 0x2010_0000;
/// Octets of its randomness.
const RANDOMNESS: usize = 24 + 32;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, how, elf] = args.as_slice() else {
        eprintln!("usage: firmware-peer connects|listens plain|encrypted ELF");
        return ExitCode::from(2);
    };
    let security = if how == "plain" { Security::Plain } else { Security::Encrypted };
    match run(what == "listens", security, elf) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("firmware-peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(firmware_listens: bool, security: Security, elf: &str) -> Outcome<()> {
    let relay = Relay::bind(RelayConfig::default())?;
    let (here, there) = (Identity::from_seed(random()?), Identity::from_seed(random()?));
    let mut config = Config { connect_timeout: PATIENCE, security, ..Config::new(relay.url()) };
    config.identity = (security == Security::Encrypted).then(|| here.clone());
    let client = Client::open(config)?;
    // Listens before the firmware connects.
    let listener = if firmware_listens { None } else { Some(client.listen("peer:1")?) };
    let mut firmware = Firmware::start(elf, relay.url(), &there, &here)?;
    let stream = match (listener, security) {
        (Some(listener), _) => listener.accept_timeout(PATIENCE)?,
        (None, Security::Plain) => client.connect("device:1")?,
        (None, Security::Encrypted) => {
            client.connect_to_key("device:1", &there.public_key(), &[], PATIENCE)?
        }
    };
    let expected = (security == Security::Encrypted).then(|| there.public_key());
    if stream.peer_key()? != expected {
        return Err("the firmware has another key".into());
    }
    let began = Instant::now();
    exchange(&stream)?;
    let (took, stats) = (began.elapsed().as_millis(), client.stats());
    let (parks, again) = (stats.parks, stats.retransmitted);
    println!("64 KiB each way in {took} ms; {parks} parks here, {again} octets sent again");
    stream.close()?;
    firmware.finish()?;
    client.close(PATIENCE)?;
    relay.shutdown(PATIENCE);
    Ok(())
}

/// Random octets.
fn random<const N: usize>() -> Outcome<[u8; N]> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| "this system has no randomness")?;
    Ok(octets)
}

/// An emulated board; it does not outlive this value.
struct Firmware(Child);

impl Firmware {
    /// Starts it with an identity, and knowing its peer's key.
    fn start(elf: &str, url: &str, identity: &Identity, peer: &Identity) -> Outcome<Self> {
        let port = url.rsplit(':').next().unwrap_or_default().trim_end_matches('/');
        let mut command = Command::new("qemu-system-arm");
        command.args(["-M", "mps2-an386", "-display", "none", "-monitor", "none"]);
        command.args(["-semihosting-config", "enable=on,target=native", "-kernel", elf]);
        command.arg("-serial").arg(format!("tcp:127.0.0.1:{port}"));
        let mut provision = random::<RANDOMNESS>()?.to_vec();
        provision.extend_from_slice(identity.seed());
        provision.extend_from_slice(peer.public_key().as_bytes());
        for (i, octets) in provision.chunks_exact(8).enumerate() {
            // As a little-endian processor has them.
            let data = octets.iter().rfold(0_u64, |word, octet| word << 8 | u64::from(*octet));
            let at = PROVISION + 8 * i as u32;
            command.arg("-device").arg(format!("loader,addr={at:#x},data={data:#x},data-len=8"));
        }
        let child = command.spawn().map_err(|e| format!("qemu-system-arm: {e}"))?;
        Ok(Self(child))
    }

    /// Waits until the firmware ends, and takes its word for it.
    fn finish(&mut self) -> Outcome<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            match self.0.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the firmware failed: {status}").into()),
                None => thread::sleep(Duration::from_millis(20)),
            }
        }
        Err("the firmware did not end".into())
    }
}

impl Drop for Firmware {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The octet at a place; 0: of what the device sends, 1: of what it gets.
fn octet(count: u32, direction: u32) -> u8 {
    ((count * 2 + direction).wrapping_mul(0x9e37_79b9) >> 24) as u8
}

/// Sends and receives at once, until both directions are closed.
fn exchange(stream: &Stream) -> Outcome<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut output = stream.clone();
    let writer = thread::spawn(move || -> Outcome<()> {
        let octets: Vec<u8> = (0..TOTAL).map(|count| octet(count, 1)).collect();
        output.write_all(&octets)?;
        output.shutdown(Shutdown::Write)?;
        Ok(())
    });
    let mut came = Vec::new();
    stream.clone().read_to_end(&mut came)?;
    if came.len() != TOTAL as usize {
        return Err(format!("{} octets came, not {TOTAL}", came.len()).into());
    }
    if let Some(at) = came.iter().zip(0..).position(|(got, at)| *got != octet(at, 0)) {
        return Err(format!("octet {at} is not the one that was sent").into());
    }
    writer.join().map_err(|_| "the writer panicked")?
}
