//! Stdin and stdout, joined to a channel.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread;

use byway::client::{Client, Stream};

use super::LAST_WORD;
use super::failure::Failure;
use super::places::Places;

/// Octets read and written at once: what a pipe of the system holds.
const BUFFER: usize = 64 * 1024;

/// How a direction ended well.
enum End {
    /// Everything is through.
    Eof,
    /// Nobody reads our stdout any more.
    Unread,
}

/// Carries stdin and stdout over `stream` until both directions have ended and the peer has
/// acknowledged what was sent.
pub fn join(client: &Client, stream: &Stream, places: &Arc<Places>) -> Result<(), Failure> {
    let mut place = places.take();
    place.hold(stream);
    let stdout = take_stdout().map_err(|e| Failure::failed(format_args!("stdout: {e}")))?;
    let (ends, ended) = mpsc::channel();
    let (up, up_ends) = (stream.clone(), ends.clone());
    thread::Builder::new().spawn(move || up_ends.send(send(&up)))?;
    let down = stream.clone();
    thread::Builder::new().spawn(move || ends.send(receive(&down, stdout)))?;
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

fn send(mut stream: &Stream) -> Result<End, Failure> {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; BUFFER];
    loop {
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => stream.write_all(&buffer[..n]).map_err(Failure::failed)?,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => {
                // What was read before is delivered before the peer is told.
                let _ = stream.wait_acked(LAST_WORD);
                return Err(Failure::failed(format_args!("cannot read stdin: {e}")));
            }
        }
    }
    stream.shutdown(Shutdown::Write).map_err(Failure::failed)?;
    Ok(End::Eof)
}

fn receive(mut stream: &Stream, mut stdout: File) -> Result<End, Failure> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = stream.read(&mut buffer).map_err(Failure::failed)?;
        if n == 0 {
            return Ok(End::Eof);
        }
        match stdout.write_all(&buffer[..n]) {
            Ok(()) => {}
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
