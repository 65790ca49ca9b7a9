//! One symbol for each figure of `memory-budget.md` about a session, of the size in question.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use byway::session::{Profile, Storage, StorageBytes};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

const fn of(channels: usize, listeners: usize) -> StorageBytes {
    Profile { channels, listeners, ..Profile::TINY }.storage_bytes()
}

macro_rules! sizes {
    ($($name:ident = $size:expr;)+) => {
        $(static $name: [u8; $size] = [0; $size];)+

        /// The entry of the program, which keeps all symbols.
        // SAFETY: no other symbol has that name.
        #[unsafe(no_mangle)]
        fn run(each: &mut dyn FnMut(&'static [u8])) -> &'static Storage<2, 1024, 1> {
            $(each(&$name);)+
            &STORAGE_TINY
        }
    };
}

sizes! {
    STATE_TINY = Profile::TINY.storage_bytes().state;
    STATE_PHONE = Profile::PHONE.storage_bytes().state;
    STATE_PC = Profile::PC.storage_bytes().state;
    STATE_BULK = Profile::BULK.storage_bytes().state;
    STATE_SERVER = Profile::SERVER.storage_bytes().state;
    STATE_CHANNEL = of(2, 1).state - of(1, 1).state;
    STATE_LISTENER = of(1, 2).state - of(1, 1).state;
    STATE_BASE = 2 * of(1, 1).state - of(2, 2).state;
}

/// The memory of firmware: state and rings, with the padding between them.
static STORAGE_TINY: Storage<2, 1024, 1> = Storage::new();
