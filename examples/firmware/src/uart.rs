//! UART0, the serial line that leads to the relay.

use byway::device::Link;
use embedded_io::{ErrorType, Read, ReadReady, Write};

use crate::board;

/// Registers of the CMSDK APB UART (Arm DDI 0479, section 4.3) that is at this address.
const BASE: usize = 0x4000_4000;
const DATA: *mut u32 = BASE as *mut u32;
const STATE: *mut u32 = (BASE + 0x04) as *mut u32;
const CTRL: *mut u32 = (BASE + 0x08) as *mut u32;
const BAUDDIV: *mut u32 = (BASE + 0x10) as *mut u32;

/// Bits of STATE.
const TX_FULL: u32 = 1 << 0;
const RX_FULL: u32 = 1 << 1;
/// Bits of CTRL: transmitter and receiver on.
const ENABLE: u32 = 1 << 0 | 1 << 1;
/// The smallest divisor: the clock over 16 bauds.
const FASTEST: u32 = 16;

/// An answer that came to a stop for so long, in ms, is over: relays write theirs at once.
const QUIET_MS: u64 = 100;

/// The serial line. It is always connected, and never fails.
pub struct Uart(());

impl Uart {
    /// Turns it on. There is one: who makes two has them disturb each other, and nothing worse.
    pub fn new() -> Self {
        // SAFETY: these addresses are registers of a device that every AN386 image has; writing
        // them has no effect on memory.
        unsafe {
            BAUDDIV.write_volatile(FASTEST);
            CTRL.write_volatile(ENABLE);
        }
        Self(())
    }

    fn state(&self) -> u32 {
        // SAFETY: as in `new`; reading it has no effect at all.
        unsafe { STATE.read_volatile() }
    }
}

impl ErrorType for Uart {
    type Error = core::convert::Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Self::Error> {
        Ok(self.state() & RX_FULL != 0)
    }
}

impl Read for Uart {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        let mut n = 0;
        for to in out {
            while n == 0 && self.state() & RX_FULL == 0 {}
            if self.state() & RX_FULL == 0 {
                break;
            }
            // SAFETY: as in `new`; reading it takes the octet that came.
            *to = unsafe { DATA.read_volatile() } as u8;
            n += 1;
        }
        Ok(n)
    }
}

impl Write for Uart {
    fn write(&mut self, octets: &[u8]) -> Result<usize, Self::Error> {
        for octet in octets {
            while self.state() & TX_FULL != 0 {}
            // SAFETY: as in `new`; writing it sends the octet.
            unsafe { DATA.write_volatile((*octet).into()) };
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl Link for Uart {
    const HANGS_UP: bool = false;

    /// The line is always there. What is left of an answer that was given up is read away.
    fn dial(&mut self) -> Result<(), Self::Error> {
        let mut quiet_at = board::now() + QUIET_MS;
        while board::now() < quiet_at {
            if self.state() & RX_FULL != 0 {
                // SAFETY: as in `read`.
                unsafe { DATA.read_volatile() };
                quiet_at = board::now() + QUIET_MS;
            }
        }
        Ok(())
    }
}
