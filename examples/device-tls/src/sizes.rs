//! What TLS takes of firmware: a link that dials, reads and writes by TLS, and nothing else. It is linked
//! and not run.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::panic::PanicInfo;

use byway::device::Link;
use device_tls::{Fault, Lower, READ_BUFFER, TlsLink, WRITE_BUFFER};
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// The surroundings, which have no implementation here, so that no call is optimised away.
pub trait Board {
    /// Makes a connection.
    fn dial(&mut self) -> bool;
    /// Whether there is something to read.
    fn ready(&mut self) -> bool;
    /// Reads.
    fn get(&mut self, out: &mut [u8]) -> usize;
    /// Writes.
    fn put(&mut self, octets: &[u8]) -> usize;
    /// Gives randomness.
    fn random(&mut self) -> u32;
}

struct Wire<'b>(&'b mut dyn Board);

impl ErrorType for Wire<'_> {
    type Error = ErrorKind;
}

impl Read for Wire<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(self.0.get(out))
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, octets: &[u8]) -> Result<usize, ErrorKind> {
        Ok(self.0.put(octets))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl ReadReady for Wire<'_> {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Ok(self.0.ready())
    }
}

impl Link for Wire<'_> {
    fn dial(&mut self) -> Result<(), ErrorKind> {
        if self.0.dial() { Ok(()) } else { Err(ErrorKind::NotConnected) }
    }
}

struct Random<'b>(&'b mut dyn Board);

impl rand_core::RngCore for Random<'_> {
    fn next_u32(&mut self) -> u32 {
        self.0.random()
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_u32(self)
    }

    fn fill_bytes(&mut self, octets: &mut [u8]) {
        rand_core::impls::fill_bytes_via_next(self, octets);
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(octets);
        Ok(())
    }
}

impl rand_core::CryptoRng for Random<'_> {}

/// The entry of the program.
///
/// # Errors
/// What the link says.
// SAFETY: no other symbol has that name.
#[unsafe(no_mangle)]
fn run(
    board: &mut dyn Board,
    random: &mut dyn Board,
    read: &mut [u8; READ_BUFFER],
    write: &mut [u8; WRITE_BUFFER],
    pin: &[u8; 32],
) -> Result<usize, Fault<ErrorKind>> {
    let lower = RefCell::new(Lower::new(Wire(board)));
    let mut link = TlsLink::new(&lower, read, write, Random(random), *pin);
    let mut octets = [0; 64];
    link.dial()?;
    while !link.read_ready()? {}
    let n = link.read(&mut octets)?;
    link.write(&octets[..n])?;
    link.flush()?;
    Ok(size_of_val(&link) + size_of_val(&lower))
}
