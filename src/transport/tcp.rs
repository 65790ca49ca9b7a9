//! The TCP connection below ureq.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

use super::buffer::FixedBuffers;
use super::control::Control;

/// A TCP connection with deadlines on silence and buffers that do not grow.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: Arc<TcpStream>,
    control: Arc<Control>,
    /// Longest silence before the request goes out: TLS, tunnel.
    setup_ms: u32,
    buffers: FixedBuffers,
    /// Time-outs that the socket has, in milliseconds; 0: none yet.
    read_ms: u32,
    write_ms: u32,
    /// The other side takes no more. What is left of the request is dropped, and its answer read,
    /// which may say why.
    refused: bool,
    /// Not used since the last input.
    fresh: bool,
}

impl Tcp {
    /// Of a connection that was just made; `setup` is the longest silence before the request goes
    /// out, `buffer` the octets of each buffer.
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
            read_ms: 0,
            write_ms: 0,
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
        matches!(seen, Err(rustix::io::Errno::AGAIN))
    }
}

/// What a time-out of the socket looks like: WouldBlock on Unix, TimedOut elsewhere.
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
        let silence = self.silence_ms();
        if silence != self.write_ms {
            self.stream.set_write_timeout(Some(Duration::from_millis(silence.into())))?;
            self.write_ms = silence;
        }
        let output = &self.buffers.output()[..amount];
        match (&*self.stream).write_all(output) {
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
        if silence != self.read_ms {
            self.stream.set_read_timeout(Some(Duration::from_millis(silence.into())))?;
            self.read_ms = silence;
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

    /// Asked by ureq when it puts the connection away, right after input, and when it takes it out
    /// again; only then is it worth a system call.
    fn is_open(&mut self) -> bool {
        if self.refused || std::mem::take(&mut self.fresh) {
            return !self.refused;
        }
        self.quiet()
    }
}
