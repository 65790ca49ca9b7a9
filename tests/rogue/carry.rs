//! How an exchange is carried, as its fate has it.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::fate::Fate;
use crate::http::{self, Asked};
use crate::tamper::Tampering;
use crate::tell::{Telling, listen};

/// Octets passed on at once.
pub const PIECE: usize = 8 << 10;

/// So many of an answer are on their way through the proxy at most.
const PIECES: usize = 8;

/// A repeat that nobody waits for is given up then.
const FORGET: Duration = Duration::from_secs(20);

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Keep,
    Close,
    /// With what was not sent yet, and so that both others see an error.
    Reset,
    /// The client is to find out by itself.
    Silent,
}

/// An exchange.
pub struct Carry<'a> {
    pub client: &'a TcpStream,
    pub relay: SocketAddr,
    pub asked: Asked,
    pub fate: Fate,
    pub hostile: Option<&'a Tampering>,
}

impl Carry<'_> {
    pub fn run(&self, reader: &mut BufReader<&TcpStream>) -> io::Result<After> {
        let client = self.client;
        match self.fate {
            Fate::Status(code) => {
                // With the body still to come, or behind it.
                if code % 2 == 0 {
                    http::page(client, code, "refused")?;
                    return Ok(After::Close);
                }
                self.body(reader)?;
                http::page(client, code, "refused")?;
                Ok(After::Keep)
            }
            Fate::Portal => {
                self.body(reader)?;
                http::page(client, 200, "<!DOCTYPE html><title>Log in</title>")?;
                Ok(After::Keep)
            }
            Fate::Lost => self.body(reader).map(|_| After::Close),
            Fate::Swallowed => {
                self.body(reader)?;
                hung_up(client);
                Ok(After::Close)
            }
            Fate::Repeat { times, after, last } => {
                let body = self.body(reader)?;
                let others = if last { 0..times } else { 1..times + 1 };
                for n in others {
                    self.again(body.clone(), Duration::from_millis(n * after));
                }
                if last {
                    thread::sleep(Duration::from_millis(times * after));
                }
                self.pass(&mut &body[..])
            }
            Fate::LateUp(by) => {
                let body = self.body(reader)?;
                thread::sleep(Duration::from_millis(by));
                self.pass(&mut &body[..])
            }
            Fate::BufferUp => {
                let body = self.body(reader)?;
                self.pass(&mut &body[..])
            }
            Fate::Refused | Fate::Cached | Fate::Truncated(_) => unreachable!("no proxy's fault"),
            _ => self.pass(reader),
        }
    }

    fn body(&self, reader: &mut BufReader<&TcpStream>) -> io::Result<Vec<u8>> {
        let mut body = vec![0; self.asked.len];
        reader.read_exact(&mut body)?;
        Ok(body)
    }

    /// Asks the relay once more; nobody hears what it says.
    fn again(&self, body: Vec<u8>, after: Duration) {
        let (relay, head) = (self.relay, self.asked.head());
        thread::spawn(move || -> io::Result<u64> {
            thread::sleep(after);
            let mut relay = TcpStream::connect(relay)?;
            relay.set_read_timeout(Some(FORGET))?;
            relay.write_all(head.as_bytes())?;
            relay.write_all(&body)?;
            io::copy(&mut relay, &mut io::sink())
        });
    }

    /// The request goes to the relay, and the answer to the client, at the same time.
    fn pass(&self, body: &mut (impl Read + Send)) -> io::Result<After> {
        let client = self.client;
        let Ok(relay) = TcpStream::connect(self.relay) else {
            http::page(client, 502, "no relay")?;
            return Ok(After::Close);
        };
        relay.set_nodelay(true)?;
        if let Fate::Reset(after) = self.fate {
            // Nobody may wait for either connection when both are reset.
            let patience = Some(Duration::from_millis(after.max(1)));
            client.set_read_timeout(patience)?;
            relay.set_read_timeout(patience)?;
        }
        let after = thread::scope(|scope| {
            let (says, hears) = mpsc::sync_channel(PIECES);
            let gather = self.hostile.and_then(Tampering::gathers);
            let relays = &relay;
            let listening = scope.spawn(move || listen(relays, says, gather));
            let asking = scope.spawn(|| self.ask(body, &relay));
            let mut after = Telling::new(self).tell(hears).unwrap_or(After::Close);
            if after == After::Close {
                // Whoever still reads from it learns of it.
                let _ = client.shutdown(Shutdown::Both);
            }
            let whole = asking.join().expect("joins").is_ok();
            listening.join().expect("joins");
            if !whole && after == After::Keep {
                after = After::Close;
            }
            after
        });
        if after == After::Reset {
            for end in [client, &relay] {
                rustix::net::sockopt::set_socket_linger(end, Some(Duration::ZERO))?;
            }
        }
        Ok(after)
    }

    /// Passes the request on, then looks whether the client is still there.
    fn ask(&self, body: &mut impl Read, relay: &TcpStream) -> io::Result<()> {
        let passed = self.ask_whole(body, relay);
        let resets = matches!(self.fate, Fate::Reset(_));
        if !resets && (passed.is_err() || hung_up(self.client)) {
            let _ = relay.shutdown(Shutdown::Both);
        }
        passed
    }

    fn ask_whole(&self, body: &mut impl Read, mut relay: &TcpStream) -> io::Result<()> {
        relay.write_all(self.asked.head().as_bytes())?;
        let cut = match self.fate {
            Fate::CutUp(at) => Some(at),
            _ => None,
        };
        let mut left = cut.unwrap_or(self.asked.len);
        let mut piece = [0; PIECE];
        while left > 0 {
            let room = PIECE.min(left);
            let got = body.read(&mut piece[..room])?;
            if got == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            relay.write_all(&piece[..got])?;
            left -= got;
        }
        if cut.is_some() { Err(ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

/// Waits until the client hangs up; false if it speaks instead.
fn hung_up(client: &TcpStream) -> bool {
    !matches!(client.peek(&mut [0]), Ok(1..))
}
