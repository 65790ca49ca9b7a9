//! Proves that the core needs neither std nor alloc: this program defines the panic handler, which
//! std would define too, and no global allocator, without which alloc does not link. It opens a
//! session in static memory, which `tests/run` finds in .bss, and reads its first request.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use byway::session::{Lane, Settings, Storage};
use byway::wire::{Decoder, Message, Piece};
use byway::{Endpoint, Kind};

// The C library, for main's caller and memcpy.
#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
}

struct Static(UnsafeCell<Storage<2, 1024, 1>>);

// SAFETY: the program has one thread.
unsafe impl Sync for Static {}

/// The test looks at where this lies in the program.
#[unsafe(no_mangle)]
static GUARD_STORAGE: Static = Static(UnsafeCell::new(Storage::new()));

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: abort takes no argument and never returns.
    unsafe { abort() }
}

/// Exit code 0 if the session makes the requests that it should.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    // SAFETY: the only reference, made once in the only thread.
    let storage = unsafe { &mut *GUARD_STORAGE.0.get() };
    let mut session = storage.session();
    session.open(0, &Settings::new([7; 16], 7));
    let Ok(endpoint) = "camera:1".parse::<Endpoint>() else { return 1 };
    if session.listen(0, endpoint, Kind::Stream, 1).is_err() {
        return 2;
    }
    let Some(park) = session.poll_exchange(0, Lane::Park) else { return 3 };
    let mut body = [0; 256];
    let mut len = 0;
    // Seven octets at a time, as a slow socket would.
    while len < park.len {
        len += session.poll_body(0, Lane::Park, &mut body[len..(len + 7).min(park.len)]);
    }
    let mut decoder = Decoder::new();
    let mut input = &body[..len];
    let hello = matches!(decoder.next(&mut input), Ok(Some(Piece::Message(Message::Hello(_)))));
    let claim = matches!(
        decoder.next(&mut input),
        Ok(Some(Piece::Message(Message::ListenReq(req)))) if req.port == 1
    );
    if hello && claim && input.is_empty() { 0 } else { 4 }
}
