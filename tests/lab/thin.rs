//! A TCP forward of the command with its defaults over a long line, beside plain TCP over the same line:
//! a bulk upload by itself, and then round trips of another connection beside one.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::line::{Line, Way};
use crate::net::{Host, Net, RELAY};
use crate::parts::{self, ASK, PATH, Relay, START};
use crate::pattern::Pattern;
use crate::report::{Carried, Figures};
use crate::streams::HUNG;

/// The endpoint of the forward.
const ENDPOINT: &str = "thin:1";
/// Where the forward takes connections on the phone, and its server on the PC.
const FORWARD: &str = "127.0.0.1:7001";
const SERVER: &str = "127.0.0.1:7002";
/// The server without byway, past what the NATs let through.
const PLAIN: (&str, u16) = (RELAY, 8080);

/// First octet of a connection: an upload, whose end is answered by an octet, or round trips.
const UPLOAD: u8 = b'u';
const ECHO: u8 = b'e';

/// Octets of a message that goes there and back.
const MESSAGE: usize = 64;
/// Time between an answer and the next message: no multiple of what the line takes.
const THINKS: Duration = Duration::from_millis(70);
/// Round trips that are measured.
const ROUND_TRIPS: usize = 25;

/// The lines of which there are figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 300 ms there and back, 2 Mbit/s up, and five packets of a thousand lost.
    Thin,
    /// 300 ms there and back, 40 MB/s, nothing lost.
    Fat,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Thin => "thin",
            Self::Fat => "fat",
        }
    }

    /// A queue holds about what is under way in a round trip, as of a sensible router.
    fn line(self) -> Line {
        match self {
            Self::Thin => Line {
                delay_ms: 150,
                mtu: 1_500,
                up: Way { rate: 250_000, queue: 75_000, lost: 5 },
                down: Way { rate: 2_000_000, queue: 600_000, lost: 5 },
            },
            Self::Fat => {
                let way = Way { rate: 40_000_000, queue: 12_000_000, lost: 0 };
                Line { delay_ms: 150, mtu: 9_000, up: way, down: way }
            }
        }
    }

    /// Octets of an upload.
    fn volume(self) -> u64 {
        match self {
            Self::Thin => 6 << 20,
            Self::Fat => 128 << 20,
        }
    }
}

/// Runs all, and prints the figures. Wrong or missing octets are errors, and a slow byway is none.
pub fn run(kind: Kind, seed: u64, figures: &mut Figures) -> Result<()> {
    let _net = Net::build_with(Some((kind.line(), seed)))?;
    let mut relay = Relay::start()?;
    let pattern = Pattern::new(seed, 0, 0);
    Host::Relay.enter(|| serve(PLAIN, pattern))??;
    Host::Pc.enter(|| serve(SERVER, pattern))??;
    let url = format!("http://{RELAY}:80");
    let command = |host, args: [&str; 4]| Forward::start(host, &url, args);
    let _listen = command(Host::Pc, ["listen", ENDPOINT, "--to", SERVER])?;
    let _connect = command(Host::Phone, ["connect", ENDPOINT, "--from", FORWARD])?;
    let forward = || dial(FORWARD);
    let plain = || dial(PLAIN);
    Host::Phone.enter(|| {
        let began = Instant::now();
        // Until the other end listens, connections end at once.
        while round_trip(&mut forward()?, ECHO).is_err() {
            if began.elapsed() > START {
                return Err("the forward does not begin to work".into());
            }
            thread::sleep(ASK);
        }
        let volume = kind.volume();
        let rate = |way: &dyn Fn() -> Result<TcpStream>| -> Result<f64> {
            Ok(volume as f64 / 1e3 / upload(way()?, pattern, volume)?.as_secs_f64())
        };
        let (raw, byway) = (rate(&plain)?, rate(&forward)?);
        let ratio = byway / raw;
        println!("    upload: TCP {raw:.0} kB/s, byway {byway:.0} kB/s, ratio {ratio:.2}");
        let (raw, byway) = (beside(&plain, pattern)?, beside(&forward, pattern)?);
        println!("    round trip beside an upload, median and longest of {ROUND_TRIPS}: TCP {raw}, byway {byway}");
        figures.carried = Carried::Octets(volume, 0);
        Ok::<(), crate::Error>(())
    })??;
    if relay.lives()? { Ok(()) } else { Err("the relay died".into()) }
}

/// A process of the command that forwards.
struct Forward(Child);

impl Forward {
    fn start(host: Host, url: &str, args: [&str; 4]) -> Result<Self> {
        let mut command = host.command(&parts::byway());
        command.args(args).args(["--relay", url]).stdin(Stdio::null()).stdout(Stdio::null());
        // No home: the command would make an identity there.
        command.env_remove("HOME").env_remove("XDG_CONFIG_HOME");
        Ok(Self(command.env("PATH", PATH).spawn()?))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dial(address: impl std::net::ToSocketAddrs) -> Result<TcpStream> {
    let began = Instant::now();
    loop {
        match TcpStream::connect(&address) {
            Ok(stream) => {
                stream.set_read_timeout(Some(HUNG))?;
                stream.set_write_timeout(Some(HUNG))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            // A process that starts does not listen yet.
            Err(error) if began.elapsed() > START => return Err(error.into()),
            Err(_) => thread::sleep(ASK),
        }
    }
}

/// Serves all connections on threads of their own, until the process ends.
fn serve(address: impl std::net::ToSocketAddrs, pattern: Pattern) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The other end sees the end of the connection.
            thread::spawn(move || answer(stream, pattern));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, pattern: Pattern) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.read_exact(&mut first)?;
    if first == [ECHO] {
        let mut message = [0; MESSAGE];
        loop {
            stream.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
    }
    let mut buffer = vec![0; 64 << 10];
    let mut offset = 0;
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            // The sender compares.
            return stream.write_all(&u64::to_le_bytes(offset));
        }
        if pattern.first_wrong(offset, &buffer[..n]).is_some() {
            return stream.shutdown(Shutdown::Both);
        }
        offset += n as u64;
    }
}

/// Uploads `volume` octets, and gives the time until the server has them.
fn upload(mut stream: TcpStream, pattern: Pattern, volume: u64) -> Result<Duration> {
    let began = Instant::now();
    stream.write_all(&[UPLOAD])?;
    let mut buffer = vec![0; 64 << 10];
    let mut offset = 0;
    while offset < volume {
        let n = buffer.len().min((volume - offset) as usize);
        pattern.fill(offset, &mut buffer[..n]);
        stream.write_all(&buffer[..n])?;
        offset += n as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut arrived = [0; 8];
    stream.read_exact(&mut arrived)?;
    match u64::from_le_bytes(arrived) {
        arrived if arrived == offset => Ok(began.elapsed()),
        arrived => Err(format!("{arrived} octets of {offset} arrived").into()),
    }
}

/// Measures round trips beside an upload.
fn beside(way: &dyn Fn() -> Result<TcpStream>, pattern: Pattern) -> Result<String> {
    let bulk = way()?;
    let sender = bulk.try_clone()?;
    // It goes on until the connection is shut down, which is its error.
    let bulk_ends = thread::spawn(move || drop(upload(sender, pattern, u64::MAX)));
    let mut stream = way()?;
    stream.write_all(&[ECHO])?;
    // The upload is under way before the first one counts.
    let begins = Instant::now() + Duration::from_secs(8);
    let mut times = Vec::new();
    while times.len() < ROUND_TRIPS {
        let took = exchange(&mut stream)?;
        if Instant::now() > begins {
            times.push(took);
        }
        thread::sleep(THINKS);
    }
    if bulk_ends.is_finished() {
        return Err("the upload beside the round trips ended early".into());
    }
    bulk.shutdown(Shutdown::Both)?;
    bulk_ends.join().map_err(|_| "the upload panicked")?;
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("{} and {} ms", median.as_millis(), longest.as_millis()))
}

fn round_trip(stream: &mut TcpStream, kind: u8) -> Result<Duration> {
    stream.write_all(&[kind])?;
    exchange(stream)
}

fn exchange(stream: &mut TcpStream) -> Result<Duration> {
    let began = Instant::now();
    let (message, mut back) = ([7; MESSAGE], [0; MESSAGE]);
    stream.write_all(&message)?;
    stream.read_exact(&mut back)?;
    if back == message { Ok(began.elapsed()) } else { Err("a message came back damaged".into()) }
}
