//! A link by TCP, and a clock.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use byway::device::{Clock, Link};
use embedded_io::{ErrorType, Read, ReadReady, Write};

pub struct Tcp {
    to: SocketAddr,
    stream: Option<TcpStream>,
    pub dialled: usize,
}

impl Tcp {
    pub fn new(to: SocketAddr) -> Self {
        Self { to, stream: None, dialled: 0 }
    }

    fn stream(&self) -> io::Result<&TcpStream> {
        self.stream.as_ref().ok_or(io::ErrorKind::NotConnected.into())
    }
}

impl ErrorType for Tcp {
    type Error = io::Error;
}

impl Read for Tcp {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream()?.read(out)
    }
}

impl Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream()?.flush()
    }
}

impl ReadReady for Tcp {
    fn read_ready(&mut self) -> io::Result<bool> {
        let stream = self.stream()?;
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        match peeked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            peeked => peeked.map(|_| true),
        }
    }
}

impl Link for Tcp {
    fn dial(&mut self) -> io::Result<()> {
        self.stream = None;
        self.dialled += 1;
        let stream = TcpStream::connect(self.to)?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        Ok(())
    }
}

/// The time since it was made. It looks again soon, since it does not see the link.
pub struct Watch(Instant);

impl Watch {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Watch {
    fn now_ms(&mut self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    fn wait(&mut self, _until: u64) {
        std::thread::sleep(Duration::from_micros(100));
    }
}
