//! The rest of the board: its clock, its randomness, and a way to say something.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m_rt::exception;

/// The processor's clock, in Hz.
const CLOCK: u32 = 25_000_000;

/// Milliseconds since the start; they wrap after 49 days, which is beyond what this program lives.
static MILLIS: AtomicU32 = AtomicU32::new(0);

/// No interrupts but the core's own. The linker script asks for one vector at least.
#[unsafe(link_section = ".vector_table.interrupts")]
// SAFETY: cortex-m-rt takes the vectors from this symbol, and what never interrupts is not called.
#[unsafe(no_mangle)]
pub static __INTERRUPTS: [usize; 1] = [0];

/// Counts milliseconds from now on.
pub fn start_clock() {
    // SAFETY: nobody else in this program touches the timer.
    let timer = unsafe { &*SYST::PTR };
    // SAFETY: any values may be written here; the interrupt only adds to an atomic.
    unsafe {
        timer.rvr.write(CLOCK / 1_000 - 1);
        timer.cvr.write(0);
        // On, with its interrupt, by the processor's clock (Armv7-M, B3.3.3).
        timer.csr.write(0b111);
    }
}

#[exception]
fn SysTick() {
    MILLIS.fetch_add(1, Ordering::Relaxed);
}

/// Milliseconds since the start.
pub fn now() -> u64 {
    MILLIS.load(Ordering::Relaxed).into()
}

/// Where the emulator puts randomness before the start: it has no generator to ask. On a real board
/// this is a read of its generator.
const RANDOMNESS: *const [u32; 6] = 0x2010_0000 as *const [u32; 6];

/// A secret and a seed.
pub fn randomness() -> ([u8; 16], u64) {
    // SAFETY: RAM of the board that no static and no stack reaches, aligned; all its bits are valid.
    let [a, b, c, d, low, high] = unsafe { RANDOMNESS.read_volatile() };
    let mut secret = [0; 16];
    secret.copy_from_slice([a, b, c, d].map(u32::to_ne_bytes).as_flattened());
    (secret, u64::from(high) << 32 | u64::from(low))
}

/// What the keys of channels take.
#[cfg(feature = "secure")]
pub struct Provision {
    /// Randomness as above, for this start.
    pub entropy: [u8; 32],
    /// The seed of this board's identity. On a real board it is burned in when the board is made.
    pub seed: [u8; 32],
    /// The public key of the peer that the board talks to, burned in with it.
    pub peer: [u8; 32],
}

/// Where the emulator puts it.
#[cfg(feature = "secure")]
const PROVISION: *const [[u8; 32]; 3] = 0x2010_0018 as *const [[u8; 32]; 3];

/// What was burned in, and more randomness.
#[cfg(feature = "secure")]
pub fn provision() -> Provision {
    // SAFETY: as in `randomness`.
    let [entropy, seed, peer] = unsafe { PROVISION.read_volatile() };
    Provision { entropy, seed, peer }
}

/// Asks the emulator, or a debugger, for something (Arm semihosting, release 2).
fn semihosting(what: u32, with: *const u8) {
    // SAFETY: the operations used here read at most the text at `with`, which lives long enough,
    // and change no register but r0.
    unsafe {
        asm!("bkpt 0xab", inout("r0") what => _, in("r1") with, options(nostack, readonly));
    }
}

/// Says a text; it has no NUL inside.
pub fn say(text: &str) {
    for octet in text.as_bytes() {
        // SYS_WRITEC
        semihosting(0x03, octet);
    }
}

/// Says a number.
pub fn say_number(number: u32) {
    if number >= 10 {
        say_number(number / 10);
    }
    // SYS_WRITEC
    semihosting(0x03, &(b'0' + (number % 10) as u8));
}

/// Ends the emulator; its exit code is 0 if all is `well`, else 1.
pub fn exit(well: bool) -> ! {
    // SYS_EXIT, because of ADP_Stopped_ApplicationExit or ADP_Stopped_RunTimeErrorUnknown
    let reason: usize = if well { 0x2_0026 } else { 0x2_0023 };
    semihosting(0x18, reason as *const u8);
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say("FAILED: panic\n");
    exit(false)
}
