//! A socket whose reads and writes have an end together.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A connection. What is read and written fails at a time that is set, however many octets trickle before.
#[derive(Debug)]
pub struct ProbeSocket {
    stream: TcpStream,
    end: Instant,
}

impl ProbeSocket {
    pub(super) fn new(stream: TcpStream, end: Instant) -> Self {
        Self { stream, end }
    }

    /// Sets when reads and writes fail from now on.
    pub(super) fn set_end(&mut self, end: Instant) {
        self.end = end;
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        // To a socket none would be for ever.
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for ProbeSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(into)
    }
}

impl Write for ProbeSocket {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn trickle_does_not_put_off_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("its address"));
        let mut peer = listener.accept().expect("accepted").0;
        let trickle = thread::spawn(move || {
            while peer.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let end = Instant::now() + Duration::from_millis(200);
        let mut socket = ProbeSocket::new(stream.expect("connected"), end);
        let failed = socket.read_exact(&mut [0; 1 << 20]).expect_err("the end comes first");
        assert!(matches!(failed.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{failed}");
        assert!(Instant::now() >= end - Duration::from_millis(1));
        assert!(socket.write_all(b"x").is_err());
        drop(socket);
        trickle.join().expect("the peer ends");
    }
}
