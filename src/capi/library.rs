//! Functions that take no handle: versions, and the texts of codes and failures.

use std::ffi::c_char;

use super::error::LINES;
use super::last;

/// Version of this header: major, minor and patch in 8 bits each.
pub const BYWAY_VERSION: u32 = 0x00_01_00;

/// Version of the library that runs, as BYWAY_VERSION is written. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn byway_version() -> u32 {
    BYWAY_VERSION
}

/// Version of the library that runs, as text: "0.1.0". The string is static. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn byway_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// What a code means and what to do about it, in one line. The string is static; an unknown code has
/// a line, too. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn byway_strerror(code: i32) -> *const c_char {
    let line = LINES.iter().find(|(known, _)| *known as i32 == code).map(|(_, line)| *line);
    line.unwrap_or(match code {
        super::BYWAY_OK => c"success",
        _ => c"unknown code: it is of another version of byway, or of something else",
    })
    .as_ptr()
}

/// What this thread's last failure was in detail: cause and remedy in one line, with names,
/// numbers and offsets. Empty if no call of this thread has failed. A call that succeeds leaves it.
///
/// The string belongs to the library. It is valid for as long as this thread lives, but the thread's next
/// failure overwrites it. At most 511 octets. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn byway_last_error() -> *const c_char {
    last::error()
}

/// The number that belongs to this thread's last failure, where enum byway_error says "detail"; else
/// 0. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn byway_last_detail() -> u64 {
    last::detail()
}
