//! The answer on its way to the client.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use crate::carry::{After, Carry, PIECE};
use crate::fate::Fate;
use crate::http::{self, Framing, Told};
use crate::tamper::Tampering;

/// How long the relay may say nothing, unless something else is to be done before.
const LONG: Duration = Duration::from_secs(60);

/// What the relay says.
pub enum Heard {
    Head(Told),
    Part(Vec<u8>),
    End,
    Broken,
}

/// Hears the relay's answer to its end, or until nobody wants it; waits for so long before each part,
/// so that more of it is there.
pub fn listen(relay: &TcpStream, says: SyncSender<Heard>, gather: Option<Duration>) {
    let mut reader = BufReader::with_capacity(PIECE, relay);
    let Ok(told) = http::read_answer(&mut reader) else {
        let _ = says.send(Heard::Broken);
        return;
    };
    let mut heard = Heard::Head(told);
    let mut piece = [0; PIECE];
    loop {
        let is_last = matches!(heard, Heard::End | Heard::Broken);
        if says.send(heard).is_err() || is_last {
            return;
        }
        gather.into_iter().for_each(thread::sleep);
        heard = match reader.read(&mut piece) {
            Ok(0) => Heard::End,
            Ok(got) => Heard::Part(piece[..got].to_vec()),
            Err(_) => Heard::Broken,
        };
    }
}

/// Tells the client.
pub struct Telling<'a> {
    client: &'a TcpStream,
    fate: Fate,
    hostile: Option<&'a Tampering>,
    begun: Instant,
    framing: Framing,
    /// What is not to be told yet, or never.
    head: Option<Told>,
    whole: Vec<u8>,
    told: usize,
}

impl<'a> Telling<'a> {
    pub fn new(carry: &Carry<'a>) -> Self {
        let framing = match carry.fate {
            Fate::Http10(_) => Framing::Close,
            _ => Framing::Chunked,
        };
        let (client, fate) = (carry.client, carry.fate);
        Self {
            client,
            fate,
            hostile: carry.hostile,
            begun: Instant::now(),
            framing,
            head: None,
            whole: Vec::new(),
            told: 0,
        }
    }

    /// Tells each part when it is due.
    pub fn tell(&mut self, hears: Receiver<Heard>) -> io::Result<After> {
        let reset_at = match self.fate {
            Fate::Reset(after) => Some(self.begun + Duration::from_millis(after)),
            _ => None,
        };
        let mut held = VecDeque::new();
        loop {
            let now = Instant::now();
            if reset_at.is_some_and(|at| at <= now) {
                return Ok(After::Reset);
            }
            while held.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, heard)) = held.pop_front()
                    && let Some(after) = self.pass(heard)?
                {
                    return Ok(after);
                }
            }
            let next = held.front().map(|(at, _)| *at).into_iter().chain(reset_at).min();
            let wait = next.map_or(LONG, |at| at.saturating_duration_since(now));
            match hears.recv_timeout(wait) {
                Ok(heard) => held.push_back((self.due(), heard)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if held.is_empty() => return Ok(After::Close),
                // All was heard, but not all of it told.
                Err(RecvTimeoutError::Disconnected) => thread::sleep(wait),
            }
        }
    }

    /// When what is heard now is to be told.
    fn due(&self) -> Instant {
        let now = Instant::now();
        match self.fate {
            Fate::LateDown(by) => now + Duration::from_millis(by),
            Fate::HoldDown(every) => {
                let since = (now - self.begun).as_millis() as u64;
                self.begun + Duration::from_millis(since.next_multiple_of(every))
            }
            _ => now,
        }
    }

    /// Tells what was heard, and the end of it.
    fn pass(&mut self, heard: Heard) -> io::Result<Option<After>> {
        let withheld = matches!(
            self.fate,
            Fate::Mute | Fate::StatusAfter(_) | Fate::BufferDown | Fate::CutDown(0)
        );
        match heard {
            Heard::Head(told) if withheld => self.head = Some(told),
            Heard::Head(told) => self.client.write_all(self.framing.head(&told).as_bytes())?,
            Heard::Part(part) if withheld => self.whole.extend(part),
            Heard::Part(part) => match self.hostile {
                Some(hostile) => {
                    self.whole.extend(part);
                    let part = hostile.change(&mut self.whole);
                    if !part.is_empty() {
                        return self.part(&part);
                    }
                }
                None => return self.part(&part),
            },
            Heard::End => return self.end().map(Some),
            Heard::Broken if matches!(self.fate, Fate::Reset(_)) => return Ok(Some(After::Reset)),
            Heard::Broken => return Ok(Some(After::Close)),
        }
        Ok(None)
    }

    fn part(&mut self, part: &[u8]) -> io::Result<Option<After>> {
        if let Fate::CutDown(at) | Fate::Http10(Some(at)) = self.fate
            && self.told + part.len() > at
        {
            let rest = &part[..at - self.told];
            if !rest.is_empty() {
                self.framing.write(self.client, rest)?;
            }
            return Ok(Some(After::Close));
        }
        self.told += part.len();
        self.framing.write(self.client, part)?;
        Ok(None)
    }

    fn end(&mut self) -> io::Result<After> {
        match (self.fate, self.head.take()) {
            (Fate::Mute, _) => return Ok(After::Silent),
            (Fate::StatusAfter(code), _) => http::page(self.client, code, "instead")?,
            (Fate::BufferDown, Some(told)) => {
                let framing = Framing::Length(self.whole.len());
                self.client.write_all(framing.head(&told).as_bytes())?;
                framing.write(self.client, &self.whole)?;
            }
            (Fate::CutDown(at), _) if at == self.told => return Ok(After::Close),
            (Fate::Http10(_), _) => return Ok(After::Close),
            _ => {
                // What is no whole message was not changed.
                if self.hostile.is_some() && !self.whole.is_empty() {
                    self.framing.write(self.client, &self.whole)?;
                }
                self.framing.finish(self.client)?;
            }
        }
        Ok(After::Keep)
    }
}
