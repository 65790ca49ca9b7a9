//! A device of this machine that talks by TLS: `talk PORT PIN COUNT` connects to `there:1` by the relay at
//! `localhost:PORT`, whose key has the pin of 64 hexadecimal digits, sends COUNT octets and expects them
//! back. Exits with 0 if they came; else says why not.

use std::cell::RefCell;
use std::process::ExitCode;

use byway::device::{Clock, Device, RelayAddress, Sockets};
use byway::session::{Anything, Half, Settings, Single, Storage};
use byway::{Endpoint, Kind};
use device_tls::{Lower, READ_BUFFER, TlsLink, WRITE_BUFFER};
use tcp::{Tcp, Watch};

#[path = "../../../tests/device/tcp.rs"]
mod tcp;

/// The system's randomness.
struct Random;

impl rand_core::RngCore for Random {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, octets: &mut [u8]) {
        getrandom::fill(octets).expect("the system has randomness");
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(octets);
        Ok(())
    }
}

impl rand_core::CryptoRng for Random {}

/// How long to wait for anything, in ms.
const PATIENCE_MS: u32 = 15_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [port, pin, count] => port.parse().ok().zip(digest(pin)).zip(count.parse().ok()),
        _ => None,
    };
    let Some(((port, pin), count)) = parsed else {
        eprintln!("usage: talk PORT PIN COUNT");
        return ExitCode::from(2);
    };
    match talk(port, pin, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("talk: {why}");
            ExitCode::FAILURE
        }
    }
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let octet = |i: usize| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok();
    let octets: Option<Vec<u8>> = (0..32).map(octet).collect();
    octets?.try_into().ok()
}

fn talk(port: u16, pin: [u8; 32], count: usize) -> Result<(), String> {
    let lower = RefCell::new(Lower::new(Tcp::new(([127, 0, 0, 1], port).into())));
    let (mut read, mut write) = ([0; READ_BUFFER], [0; WRITE_BUFFER]);
    let link = TlsLink::new(&lower, &mut read, &mut write, Random, pin);
    let mut memory: Storage<1, 2_048, 1, Single> = Storage::new();
    let (mut head, authority) = ([0; 512], format!("localhost:{port}"));
    let device = Device::new(memory.session(), link, RelayAddress::new(&authority), &mut head);
    let mut front: Sockets<'_, _, Watch, Anything> = Sockets::new(device, Watch::new());
    front.set_timeout(PATIENCE_MS);
    let mut secret = [0; 16];
    getrandom::fill(&mut secret).map_err(|error| error.to_string())?;
    front.open(&Settings::new(secret, 1));
    let endpoint = Endpoint::try_from("there:1").map_err(|error| error.to_string())?;
    let id = front.connect(endpoint, Kind::Stream, b"").map_err(|error| {
        match front.device().fault() {
            Some(fault) => format!("{:?}: {fault:?}", fault.kind()),
            None => error.to_string(),
        }
    })?;
    let said: Vec<u8> = (0..count).map(|i| (i * 7 + (i >> 8)) as u8).collect();
    let (mut sent, mut heard, mut some) = (0, Vec::new(), [0; 1_024]);
    loop {
        let now = front.now();
        let session = front.device().session();
        if sent < count {
            sent += session.write(now, id, &said[sent..]).map_err(|error| error.to_string())?;
            if sent == count {
                session.shutdown(now, id, Half::Write).map_err(|error| error.to_string())?;
            }
        }
        match session.read(now, id, &mut some).map_err(|error| error.to_string())? {
            Some(0) => break,
            Some(n) => heard.extend_from_slice(&some[..n]),
            None => {}
        }
        front.poll();
        Watch::new().wait(0);
    }
    front.release(id);
    front.close(PATIENCE_MS).map_err(|error| error.to_string())?;
    if heard == said { Ok(()) } else { Err("not the octets that were sent".into()) }
}
