//! How much of the stack was ever used: painted at the start, looked at in the end.

/// Octets below the stack's top that are painted: far more than a program of this kind may use.
const PAINTED: usize = 16 << 10;
/// What it is painted with.
const PAINT: u32 = 0xa5a5_a5a5;

unsafe extern "C" {
    /// The stack's top, by cortex-m-rt's linker script.
    static mut _stack_start: u32;
}

/// The lowest painted word.
fn bottom() -> *mut u32 {
    let top = &raw mut _stack_start;
    top.wrapping_byte_sub(PAINTED)
}

/// Paints what lies below the stack pointer.
#[inline(never)]
pub fn paint() {
    let mut at = bottom();
    // What this function itself needs lies above its stack pointer.
    let end = cortex_m::register::msp::read() as *mut u32;
    while at < end {
        // SAFETY: these words are RAM between the end of the statics, far below, and the stack
        // pointer: nothing lives there.
        unsafe { at.write_volatile(PAINT) };
        at = at.wrapping_add(1);
    }
}

/// Octets from the stack's top down to the deepest word that was written.
pub fn used() -> u32 {
    let top = &raw mut _stack_start as usize;
    let mut at = bottom();
    // SAFETY: as in `paint`; what is in use lies above, and ends the search.
    while unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    (top - at as usize) as u32
}
