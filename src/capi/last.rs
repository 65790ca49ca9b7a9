//! The last failure of each thread.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

use super::byway_error;

/// A call that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub code: byway_error,
    pub detail: u64,
    pub text: Cow<'static, str>,
}

impl Failure {
    pub fn new(code: byway_error, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: 0, text: text.into() }
    }

    pub fn argument(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(byway_error::Argument, text)
    }

    pub fn with_detail(self, detail: u64) -> Self {
        Self { detail, ..self }
    }

    /// Keeps it as this thread's last and gives its code.
    pub fn keep(self) -> i32 {
        // A thread that is ending has no last failure any more.
        let _ = LAST.try_with(|last| {
            *last.borrow_mut() = Last { text: text(self.text.into_owned()), detail: self.detail };
        });
        self.code as i32
    }
}

struct Last {
    text: CString,
    detail: u64,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::new(Last { text: CString::default(), detail: 0 });
}

/// As a C string; octets 0 become spaces.
pub(super) fn text(text: String) -> CString {
    CString::new(text).unwrap_or_else(|nul| {
        let mut bytes = nul.into_vec();
        bytes.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        CString::new(bytes).unwrap_or_default()
    })
}

/// The text, which stays where it is until this thread's next failure.
pub(super) fn error() -> *const c_char {
    const NONE: &CStr = c"";
    LAST.try_with(|last| last.borrow().text.as_ptr()).unwrap_or(NONE.as_ptr())
}

pub(super) fn detail() -> u64 {
    LAST.try_with(|last| last.borrow().detail).unwrap_or(0)
}
