//! The pipe: stdin and stdout, joined to a channel.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use byway::Error;
use byway::client::{Client, Stream};
use byway::error::PeerError;

use super::LAST_WORD;
use super::failure::CommandError;
use super::permits::Permits;

/// Octets read and written at once: what a pipe of the system holds.
const BUFFER: usize = 64 * 1024;

/// How long this end waits for the peer's end, if its own stdin was empty: the peer may be waiting for
/// ours, and its reply is that much late.
const QUIET: Duration = Duration::from_secs(1);

/// How a direction ended well.
enum HalfEnd {
    /// The direction has ended, and everything went through.
    Eof,
    /// The reader of our stdout went away.
    Unread,
}

/// How far the peer's bytes are written to stdout. This end sends its end only when they are: a peer
/// that has our end, and the acknowledgement of its own, exits with 0 and would never hear that the
/// rest could not be written.
#[derive(Debug)]
struct Received {
    progress: Mutex<CopyProgress>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
enum CopyProgress {
    /// All bytes received are written, the last of them at this time.
    Written(Instant),
    /// Bytes are being written, or could not be written.
    Writing,
    /// All bytes are written, and the peer has ended.
    Ended,
}

impl Received {
    fn new() -> Arc<Self> {
        let progress = Mutex::new(CopyProgress::Written(Instant::now()));
        Arc::new(Self { progress, changed: Condvar::new() })
    }

    fn is(&self, progress: CopyProgress) {
        *self.lock() = progress;
        self.changed.notify_all();
    }

    /// Waits until our end may be sent. Behind a request our end goes as soon as nothing is being
    /// written: the peer's reply may wait for it. Where there was nothing to send, as from
    /// `/dev/null`, the peer most likely only sends, and our end waits for the peer's; but the peer
    /// may be waiting for ours, so our end goes once the peer was silent for [`QUIET`].
    fn wait_for_end(&self, sent_nothing: bool) {
        let mut progress = self.lock();
        loop {
            let left = match *progress {
                CopyProgress::Ended => return,
                CopyProgress::Writing => None,
                CopyProgress::Written(_) if !sent_nothing => return,
                CopyProgress::Written(at) => match QUIET.checked_sub(at.elapsed()) {
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

    fn lock(&self) -> MutexGuard<'_, CopyProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries stdin and stdout over `stream` until both directions have ended and the peer has
/// acknowledged what was sent.
pub fn join(client: &Client, stream: &Stream, permits: &Arc<Permits>) -> Result<(), CommandError> {
    let mut permit = permits.take();
    permit.hold(stream);
    let stdout = take_stdout().map_err(|e| CommandError::failed(format_args!("stdout: {e}")))?;
    let (ends, ended) = mpsc::channel();
    let received = Received::new();
    let (up, up_ends, written) = (stream.clone(), ends.clone(), Arc::clone(&received));
    thread::Builder::new().spawn(move || up_ends.send(send(&up, &written)))?;
    let down = stream.clone();
    thread::Builder::new().spawn(move || ends.send(receive(&down, stdout, &received)))?;
    // Stdin may never end by itself: once the other direction has failed its thread is left alone.
    for _ in 0..2 {
        let end = ended.recv().unwrap_or_else(|_| Err(CommandError::failed("a thread has ended")));
        match end {
            Ok(HalfEnd::Eof) => {}
            Ok(HalfEnd::Unread) => return stop(client, stream),
            Err(failure) => {
                stream.abort();
                let _ = client.close(LAST_WORD);
                return Err(failure);
            }
        }
    }
    stream.clone().close().map_err(CommandError::failed)?;
    // All is acknowledged; the close tells the peer so.
    let _ = client.close(LAST_WORD);
    Ok(())
}

/// Ends without a reader of stdout: the bytes read from stdin are still delivered.
fn stop(client: &Client, stream: &Stream) -> Result<(), CommandError> {
    stream.clone().close().map_err(CommandError::failed)?;
    stream.abort();
    let _ = client.close(LAST_WORD);
    Ok(())
}

fn send(mut stream: &Stream, received: &Received) -> Result<HalfEnd, CommandError> {
    let mut stdin = io::stdin().lock();
    let (mut buffer, mut sent_nothing) = (vec![0; BUFFER], true);
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                stream.write_all(&buffer[..n]).map_err(CommandError::stream)?;
                sent_nothing = false;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => {
                // The bytes read before are delivered before the peer is told.
                let _ = stream.wait_acked(LAST_WORD);
                return Err(CommandError::failed(format_args!("cannot read stdin: {e}")));
            }
        }
    }
    received.wait_for_end(sent_nothing);
    match stream.shutdown(Shutdown::Write) {
        // Whether a peer that closed before misses something is told by the close of the stream.
        Err(Error::Peer(PeerError::Closed)) => Ok(HalfEnd::Eof),
        ended => ended.map(|()| HalfEnd::Eof).map_err(CommandError::failed),
    }
}

fn receive(
    mut stream: &Stream,
    mut stdout: File,
    received: &Received,
) -> Result<HalfEnd, CommandError> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = stream.read(&mut buffer).map_err(CommandError::stream)?;
        if n == 0 {
            received.is(CopyProgress::Ended);
            return Ok(HalfEnd::Eof);
        }
        received.is(CopyProgress::Writing);
        match stdout.write_all(&buffer[..n]) {
            Ok(()) => received.is(CopyProgress::Written(Instant::now())),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => return Ok(HalfEnd::Unread),
            Err(e) => {
                return Err(CommandError::failed(format_args!("cannot write to stdout: {e}")));
            }
        }
    }
}

/// Takes the only handle of stdout, so that dropping the handle closes stdout.
fn take_stdout() -> io::Result<File> {
    let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(stdout)
}
