//! The work of the two peers.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, DatagramChannel, Stream};
use indicatif::ProgressBar;

use crate::floor::Floor;
use crate::posts::PING;

/// Round trips measured in turn: a block with the floor, then a block with byway.
const BLOCK: usize = 200;
/// The number of blocks: enough for a 99th percentile.
const BLOCKS: usize = 10;
/// After this time an unanswered datagram is lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

/// The measurements of the peers.
pub struct Outcome {
    /// The file as it arrived at the camera, and as it came back to the viewer.
    pub there: File,
    pub back: File,
    pub there_in: Duration,
    pub back_in: Duration,
    pub quiet: Quiet,
    /// The round trips of datagrams beside the file.
    pub loaded: Vec<Duration>,
    pub pings_lost: u64,
}

/// The times measured by turns, with no other traffic.
#[derive(Default)]
pub struct Quiet {
    /// The round trips of a message on a stream.
    pub stream: Vec<Duration>,
    /// Two plain POSTs by ureq, and by a bare socket.
    pub posts: Vec<Duration>,
    pub bare: Vec<Duration>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The camera listens, the viewer connects; the file goes to the camera and back.
pub fn run(
    camera: &Client,
    viewer: &Client,
    file: &mut File,
    len: u64,
    bar: &ProgressBar,
) -> Result<Outcome> {
    let files = camera.listen("camera:1")?;
    let pings = camera.listen_datagram("camera:2")?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let camera = scope.spawn(|| serve_file(&files.accept()?, len, bar));
        let echo = scope.spawn(|| serve_pings(&pings.accept()?));
        let stream = viewer.connect("camera:1")?;
        let quiet = measure_quiet(&stream)?;

        let datagrams = viewer.connect_datagram("camera:2")?;
        let pinger = scope.spawn(|| ping(datagrams, &over));
        bar.set_message("there");
        copy(file, &mut &stream, bar)?;
        stream.shutdown(Shutdown::Write)?;
        let mut back = tempfile::tempfile()?;
        let mut first = [0; 1];
        (&stream).read_exact(&mut first[..len.min(1) as usize])?;
        let began = Instant::now();
        bar.set_message("back");
        back.write_all(&first[..len.min(1) as usize])?;
        copy(&mut &stream, &mut back, bar)?;
        let back_in = began.elapsed();

        over.store(true, Ordering::Relaxed);
        let (loaded, pings_lost) = join(pinger)?;
        join(echo)?;
        let (there, there_in) = join(camera)?;
        stream.close()?;
        Ok(Outcome { there, back, there_in, back_in, quiet, loaded, pings_lost })
    })
}

/// Answers the first pings, takes the whole file, and sends it back.
fn serve_file(stream: &Stream, len: u64, bar: &ProgressBar) -> Result<(File, Duration)> {
    let mut ping = [0; PING];
    for _ in 0..BLOCK * BLOCKS {
        (&*stream).read_exact(&mut ping)?;
        (&*stream).write_all(&ping)?;
    }
    let mut spool = tempfile::tempfile()?;
    let first = len.min(1) as usize;
    (&*stream).read_exact(&mut ping[..first])?;
    let began = Instant::now();
    spool.write_all(&ping[..first])?;
    copy(&mut &*stream, &mut spool, &ProgressBar::hidden())?;
    let elapsed = began.elapsed();
    io::Seek::rewind(&mut spool)?;
    copy(&mut spool, &mut &*stream, &ProgressBar::hidden())?;
    stream.shutdown(Shutdown::Write)?;
    stream.wait_acked(Duration::from_secs(60))?;
    bar.tick();
    Ok((spool, elapsed))
}

fn serve_pings(datagrams: &DatagramChannel) -> Result<()> {
    let mut ping = [0; PING];
    loop {
        let n = datagrams.recv(&mut ping)?;
        datagrams.send(&ping[..n])?;
        // The last ping is empty.
        if n == 0 {
            return Ok(());
        }
    }
}

/// Measures round trips on a stream without other data, and the floor, by turns.
fn measure_quiet(stream: &Stream) -> Result<Quiet> {
    let mut floor = Floor::start()?;
    let mut quiet = Quiet::default();
    let mut stream = stream;
    let mut ping = [0; PING];
    for _ in 0..BLOCKS {
        for _ in 0..BLOCK {
            quiet.bare.push(timed(|| floor.two_bare_posts())?);
        }
        for _ in 0..BLOCK {
            quiet.posts.push(timed(|| floor.two_posts())?);
        }
        for _ in 0..BLOCK {
            quiet.stream.push(timed(|| {
                stream.write_all(&ping)?;
                stream.read_exact(&mut ping)
            })?);
        }
    }
    Ok(quiet)
}

fn timed<E>(run: impl FnOnce() -> std::result::Result<(), E>) -> std::result::Result<Duration, E> {
    let began = Instant::now();
    run().map(|()| began.elapsed())
}

/// Sends pings until the file is over; gives the round trips, and the number of pings without an
/// answer.
fn ping(datagrams: DatagramChannel, over: &AtomicBool) -> Result<(Vec<Duration>, u64)> {
    let mut round_trips = Vec::new();
    let mut lost = 0;
    let mut answer = [0; PING];
    datagrams.set_read_timeout(Some(LOST_AFTER))?;
    for number in 0u64.. {
        let last = over.load(Ordering::Relaxed);
        let mut question = [0; PING];
        question[..8].copy_from_slice(&number.to_be_bytes());
        let began = Instant::now();
        datagrams.send(if last { &[] } else { &question })?;
        loop {
            match datagrams.recv(&mut answer) {
                Ok(0) if last => return Ok((round_trips, lost)),
                Ok(PING) if answer == question => round_trips.push(began.elapsed()),
                // This answer is later than it may be.
                Ok(_) => continue,
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    lost += 1;
                }
                Err(e) => return Err(e.into()),
            }
            break;
        }
    }
    Ok((round_trips, lost))
}

fn copy(from: &mut impl Read, to: &mut impl Write, bar: &ProgressBar) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => {
                to.write_all(&buffer[..n])?;
                bar.inc(n as u64);
            }
        }
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| "a peer's thread panicked")?
}
