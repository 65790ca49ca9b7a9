//! The last failure of each thread.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CString, c_char};

use super::byway_error;

/// Why a call failed: its code, the number that belongs to it, and a line for people.
#[derive(Debug)]
pub(super) struct CallError {
    pub code: byway_error,
    pub detail: u64,
    pub text: Cow<'static, str>,
}

impl CallError {
    pub fn new(code: byway_error, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: 0, text: text.into() }
    }

    pub fn argument(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(byway_error::Argument, text)
    }

    pub fn with_detail(self, detail: u64) -> Self {
        Self { detail, ..self }
    }

    /// Keeps the error as this thread's last and gives its code.
    pub fn keep(self) -> i32 {
        // A thread that is ending still has the place: it needs no destructor.
        LAST.with(|last| {
            let mut last = last.borrow_mut();
            let mut end = self.text.len().min(TEXT - 1);
            while !self.text.is_char_boundary(end) {
                end -= 1;
            }
            for (place, octet) in last.text.iter_mut().zip(self.text[..end].bytes()) {
                *place = if octet == 0 { b' ' } else { octet };
            }
            last.text[end] = 0;
            last.detail = self.detail;
        });
        self.code as i32
    }
}

/// Octets of a text and its NUL. The longest text is that of a fault, with a file's name in it.
const TEXT: usize = 512;

struct Last {
    text: [u8; TEXT],
    detail: u64,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { text: [0; TEXT], detail: 0 }) };
}

/// Makes a text a C string: octets 0 become spaces.
pub(super) fn text(text: String) -> CString {
    CString::new(text).unwrap_or_else(|nul| {
        let mut bytes = nul.into_vec();
        bytes.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        CString::new(bytes).unwrap_or_default()
    })
}

/// The text of this thread's last error, at a place that is the thread's for as long as it lives.
pub(super) fn error() -> *const c_char {
    LAST.with(|last| last.borrow().text.as_ptr().cast())
}

pub(super) fn detail() -> u64 {
    LAST.with(|last| last.borrow().detail)
}
