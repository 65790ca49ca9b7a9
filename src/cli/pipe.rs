//! Stdin and stdout, joined to a channel.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use byway::client::{Client, Stream};

use super::LAST_WORD;
use super::failure::Failure;
use super::places::Places;

/// Octets read and written at once: what a pipe of the system holds.
const BUFFER: usize = 64 * 1024;

/// How long a peer that may be waiting for our end is waited for, if our stdin was empty: the time
/// that a reply to nothing is late.
const QUIET: Duration = Duration::from_secs(1);

/// How a direction ended well.
enum End {
    /// Everything is through.
    Eof,
    /// Nobody reads our stdout any more.
    Unread,
}

/// How far what the peer sends is written to stdout. Our end waits for that, because a peer that has
/// it and the acknowledgement of its own end is done and exits with 0: it would never hear that the
/// rest could not be written.
#[derive(Debug)]
struct Received {
    progress: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    /// All that came is written, the last of it then.
    Written(Instant),
    /// Something is being written, or could not be.
    Writing,
    /// All is written, and the peer has ended.
    Ended,
}

impl Received {
    fn new() -> Arc<Self> {
        let progress = Mutex::new(Progress::Written(Instant::now()));
        Arc::new(Self { progress, changed: Condvar::new() })
    }

    fn is(&self, progress: Progress) {
        *self.lock() = progress;
        self.changed.notify_all();
    }

    /// Waits until our end may be sent. Behind a request that is as soon as nothing is being
    /// written: the reply may wait for it. Where there was nothing to send, as from `/dev/null`, the
    /// peer is most likely one that only sends, and its end is waited for; but it may be waiting
    /// for ours, too, so not when it was silent for [`QUIET`].
    fn wait_for_end(&self, sent_nothing: bool) {
        let mut progress = self.lock();
        loop {
            let left = match *progress {
                Progress::Ended => return,
                Progress::Writing => None,
                Progress::Written(_) if !sent_nothing => return,
                Progress::Written(at) => match QUIET.checked_sub(at.elapsed()) {
                    None | Some(Duration::ZERO) => return,
                    left => left,
                },
            };
            let poisoned = PoisonError::into_inner;
            progress = match left {
                None => self.changed.wait(progress).unwrap_or_else(poisoned),
                Some(left) => {
                    let waited = self.changed.wait_timeout(progress, left);
                    waited.unwrap_or_else(|poison| poison.into_inner()).0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries stdin and stdout over `stream` until both directions have ended and the peer has
/// acknowledged what was sent.
pub fn join(client: &Client, stream: &Stream, places: &Arc<Places>) -> Result<(), Failure> {
    let mut place = places.take();
    place.hold(stream);
    let stdout = take_stdout().map_err(|e| Failure::failed(format_args!("stdout: {e}")))?;
    let (ends, ended) = mpsc::channel();
    let received = Received::new();
    let (up, up_ends, written) = (stream.clone(), ends.clone(), Arc::clone(&received));
    thread::Builder::new().spawn(move || up_ends.send(send(&up, &written)))?;
    let down = stream.clone();
    thread::Builder::new().spawn(move || ends.send(receive(&down, stdout, &received)))?;
    // Stdin may never end by itself, so nobody waits for its thread once the other is at a loss.
    for _ in 0..2 {
        let end = ended.recv().unwrap_or_else(|_| Err(Failure::failed("a thread has ended")));
        match end {
            Ok(End::Eof) => {}
            Ok(End::Unread) => return stop(client, stream),
            Err(failure) => {
                stream.abort();
                let _ = client.close(LAST_WORD);
                return Err(failure);
            }
        }
    }
    stream.clone().close().map_err(Failure::failed)?;
    // All is acknowledged; this is for the peer to learn that as well.
    let _ = client.close(LAST_WORD);
    Ok(())
}

/// Ends without a reader of stdout: what was read from stdin is still delivered.
fn stop(client: &Client, stream: &Stream) -> Result<(), Failure> {
    stream.clone().close().map_err(Failure::failed)?;
    stream.abort();
    let _ = client.close(LAST_WORD);
    Ok(())
}

fn send(mut stream: &Stream, received: &Received) -> Result<End, Failure> {
    let mut stdin = io::stdin().lock();
    let (mut buffer, mut sent_nothing) = (vec![0; BUFFER], true);
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                stream.write_all(&buffer[..n]).map_err(Failure::failed)?;
                sent_nothing = false;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => {
                // What was read before is delivered before the peer is told.
                let _ = stream.wait_acked(LAST_WORD);
                return Err(Failure::failed(format_args!("cannot read stdin: {e}")));
            }
        }
    }
    received.wait_for_end(sent_nothing);
    stream.shutdown(Shutdown::Write).map_err(Failure::failed)?;
    Ok(End::Eof)
}

fn receive(mut stream: &Stream, mut stdout: File, received: &Received) -> Result<End, Failure> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = stream.read(&mut buffer).map_err(Failure::failed)?;
        if n == 0 {
            received.is(Progress::Ended);
            return Ok(End::Eof);
        }
        received.is(Progress::Writing);
        match stdout.write_all(&buffer[..n]) {
            Ok(()) => received.is(Progress::Written(Instant::now())),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(End::Unread),
            Err(e) => return Err(Failure::failed(format_args!("cannot write to stdout: {e}"))),
        }
    }
}

/// The only handle of what is stdout, so that dropping it closes that.
fn take_stdout() -> io::Result<File> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(stdout)
}
