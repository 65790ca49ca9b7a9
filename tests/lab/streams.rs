//! A stream between phone and PC that carries both ways at once; every byte is checked.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use byway::client::Stream;

use crate::Result;
use crate::pattern::Pattern;
use crate::watch::{State, Watch};

/// A read or write that takes longer has hung: longer than the longest darkness and the recovery
/// from it.
pub const HUNG: Duration = Duration::from_secs(150);

/// The most octets of a write, which is no multiple of a power of two.
const PIECE: usize = 50_021;

/// The directions, from the phone's point of view.
pub struct Ways {
    pub there: Watch,
    pub back: Watch,
}

impl Ways {
    pub fn new() -> Self {
        Self { there: Watch::new(), back: Watch::new() }
    }

    pub fn both(&self) -> [&Watch; 2] {
        [&self.there, &self.back]
    }

    /// Lets both senders go on to `octets` in all.
    pub fn allow(&self, octets: u64) {
        for way in self.both() {
            way.allow(octets, false);
        }
    }

    /// Lets both senders end.
    pub fn end(&self) {
        for way in self.both() {
            way.end();
        }
    }

    pub fn fail(&self) {
        for way in self.both() {
            way.fail();
        }
    }
}

/// Carries both ways as far as `script` allows, which runs meanwhile; then both ends end the
/// stream.
pub fn carry(
    seed: u64,
    phone: Stream,
    pc: Stream,
    ways: &Ways,
    script: impl FnOnce() -> Result<()> + Send,
) -> Result<()> {
    for stream in [&phone, &pc] {
        stream.set_read_timeout(Some(HUNG))?;
        stream.set_write_timeout(Some(HUNG))?;
    }
    // The first thread that fails ends all others, and its error is the result.
    let failure = Mutex::new(None);
    let run = |what: &str, job: &mut dyn FnMut() -> Result<()>| {
        if let Err(error) = job() {
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| format!("{what}: {error}"));
            ways.fail();
            phone.abort();
            pc.abort();
        }
    };
    let there = Pattern::new(seed, 0, 0);
    let back = Pattern::new(seed, 0, 1);
    let mut script = Some(script);
    thread::scope(|scope| {
        scope.spawn(|| run("phone sends", &mut || send(&phone, there, &ways.there)));
        scope.spawn(|| run("pc sends", &mut || send(&pc, back, &ways.back)));
        scope.spawn(|| run("pc receives", &mut || receive(&pc, there, &ways.there)));
        scope.spawn(|| run("phone receives", &mut || receive(&phone, back, &ways.back)));
        run("faults", &mut || script.take().map_or(Ok(()), |script| script()));
    });
    if let Some(failure) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure.into());
    }
    for (name, way) in [("there", &ways.there), ("back", &ways.back)] {
        let State { sent, received, .. } = way.figures();
        if sent != received {
            return Err(format!("{name}: {sent} sent, {received} received").into());
        }
    }
    phone.close()?;
    pc.close()?;
    Ok(())
}

fn send(mut stream: &Stream, pattern: Pattern, way: &Watch) -> Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut offset = 0;
    while let Some(n) = way.claim(PIECE) {
        pattern.fill(offset, &mut buffer[..n]);
        stream.write_all(&buffer[..n]).map_err(|error| format!("at {offset}: {error}"))?;
        offset += n as u64;
    }
    Ok(stream.shutdown(Shutdown::Write)?)
}

fn receive(mut stream: &Stream, pattern: Pattern, way: &Watch) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut offset = 0;
    loop {
        let n = stream.read(&mut buffer).map_err(|error| format!("at {offset}: {error}"))?;
        if n == 0 {
            return Ok(());
        }
        if let Some(wrong) = pattern.first_wrong(offset, &buffer[..n]) {
            return Err(format!("byte {wrong} is not what was sent").into());
        }
        offset += n as u64;
        way.received(n);
    }
}
