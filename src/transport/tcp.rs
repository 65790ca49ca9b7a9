//! The TCP connection below ureq.

use std::io::{self, Read};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

use super::buffer::FixedBuffers;
use super::control::Control;

/// Writing does not wait, nor end the process where the other side is gone: on Apple's systems the
/// socket was told so.
#[cfg(not(target_vendor = "apple"))]
const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);
#[cfg(target_vendor = "apple")]
const AT_ONCE: SendFlags = SendFlags::DONTWAIT;

/// A TCP connection with deadlines on silence and buffers that do not grow.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: Arc<TcpStream>,
    control: Arc<Control>,
    /// Longest silence before the request goes out, while TLS and a tunnel are set up, in milliseconds.
    setup_ms: u32,
    buffers: FixedBuffers,
    /// The time-out of reading that was set on the socket, in milliseconds.
    read_ms: Option<u32>,
    /// Whether the other side takes no more. The rest of the request is dropped then, and the answer
    /// read, which may say why.
    refused: bool,
    /// Whether nothing was asked of the connection since the last input.
    fresh: bool,
}

impl Tcp {
    /// Wraps a connection that was just made. `setup` is the longest silence before the request goes out,
    /// `buffer` the octets of each buffer.
    pub fn new(
        stream: Arc<TcpStream>,
        control: Arc<Control>,
        setup: Duration,
        buffer: usize,
    ) -> Self {
        Self {
            stream,
            control,
            setup_ms: u32::try_from(setup.as_millis()).unwrap_or(u32::MAX),
            buffers: FixedBuffers::new(buffer),
            read_ms: None,
            refused: false,
            fresh: true,
        }
    }

    fn silence_ms(&self) -> u32 {
        let silence = self.control.silence_ms();
        if self.control.sent() { silence } else { silence.min(self.setup_ms).max(1) }
    }

    /// Whether there is nothing to read: no octet, no end, no error.
    fn quiet(&self) -> bool {
        let mut octet = [0_u8; 1];
        let seen = recv(&*self.stream, &mut octet, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(seen, Err(Errno::AGAIN))
    }
}

/// Writes all of `output`. Each wait for room is a silence of its own: a write that waits would take
/// what there is room for, and return that as progress when its time is over.
fn write_all(stream: &TcpStream, mut output: &[u8], silence_ms: u32) -> io::Result<()> {
    while !output.is_empty() {
        match send(stream, output, AT_ONCE) {
            Ok(amount) => output = &output[amount..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => await_room(stream, silence_ms)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Waits until there is something to do for a writer, be it for an error of the connection.
fn await_room(stream: &TcpStream, silence_ms: u32) -> io::Result<()> {
    let silence = Timespec::try_from(Duration::from_millis(silence_ms.into())).ok();
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], silence.as_ref()) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether an error is a time-out of the socket: WouldBlock on Unix, TimedOut elsewhere.
fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        if self.refused {
            return Ok(());
        }
        let silence_ms = self.silence_ms();
        match write_all(&self.stream, &self.buffers.output()[..amount], silence_ms) {
            Ok(()) => Ok(()),
            // An answer may be there already, from a server that reads no further.
            Err(error) if timed_out(&error) && self.quiet() => {
                Err(Error::Timeout(Timeout::PerWrite))
            }
            Err(error) if self.control.sent() && !self.control.cancelled() => {
                log::debug!("request refused half way: {error}");
                self.refused = true;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let silence = self.control.patience_ms(self.silence_ms())?;
        if self.read_ms != Some(silence) {
            self.stream.set_read_timeout(Some(Duration::from_millis(silence.into())))?;
            self.read_ms = Some(silence);
        }
        self.fresh = true;
        let input = self.buffers.input_append_buf();
        loop {
            match (&*self.stream).read(input) {
                Ok(amount) => {
                    self.control.received(amount);
                    self.buffers.input_appended(amount);
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => return Err(Error::Timeout(Timeout::PerRead)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether the connection can be used again. ureq asks when it puts the connection away, right after
    /// input, and when it takes the connection out again; only the latter is worth a system call.
    fn is_open(&mut self) -> bool {
        if self.refused || std::mem::take(&mut self.fresh) {
            return !self.refused;
        }
        self.quiet()
    }
}
