//! Pointers and lengths that come from C.

use std::ffi::{CStr, c_char};
use std::time::Duration;

use super::last::CallError;

/// Most octets that a struct of this interface will ever have, so that a size that is garbage is
/// found out.
const MAX_STRUCT: usize = 4096;

/// A pointer to a place for one result, checked before anything is done.
pub(super) struct OutPointer<T>(*mut T);

impl<T> OutPointer<T> {
    pub fn new(place: *mut T, name: &str) -> Result<Self, CallError> {
        match place.is_null() || !place.is_aligned() {
            true => Err(CallError::argument(format!(
                "{name} is NULL or not aligned: give a place for the result"
            ))),
            false => Ok(Self(place)),
        }
    }

    pub fn into_ptr(self) -> *mut T {
        self.0
    }

    /// # Safety
    /// The pointer that was given is valid for writes of a `T`.
    pub unsafe fn set(self, value: T) {
        // SAFETY: not NULL and aligned, as checked by `new`; valid, as the caller of this says.
        unsafe { self.0.write(value) }
    }
}

/// # Safety
/// `text` is NULL or points to a string that ends with NUL and does not change during `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, CallError> {
    // SAFETY: the same is asked of the caller.
    unsafe { optional_text(text, name) }?
        .ok_or_else(|| CallError::argument(format!("{name} is NULL: give a text")))
}

/// The text that C gives; `None` for NULL.
///
/// # Safety
/// The same as for [`text`].
pub(super) unsafe fn optional_text<'a>(
    text: *const c_char,
    name: &str,
) -> Result<Option<&'a str>, CallError> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller says that it ends with NUL and stays.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str()
        .map(Some)
        .map_err(|_| CallError::argument(format!("{name} is not UTF-8: encode it so")))
}

fn check<T>(data: *const T, len: usize, name: &str) -> Result<(), CallError> {
    if len.checked_mul(size_of::<T>()).is_none_or(|octets| octets > isize::MAX as usize) {
        return Err(CallError::argument(format!(
            "the length of {name} is over half the address space"
        )));
    }
    if len > 0 && (data.is_null() || !data.is_aligned()) {
        return Err(CallError::argument(format!(
            "{name} is NULL or not aligned, and its length is not 0: give a valid pointer"
        )));
    }
    Ok(())
}

/// # Safety
/// Unless `len` is 0, `data` is NULL or points to `len` valid values that do not change during `'a`.
pub(super) unsafe fn slice<'a, T>(
    data: *const T,
    len: usize,
    name: &str,
) -> Result<&'a [T], CallError> {
    check(data, len, name)?;
    if len == 0 {
        return Ok(&[]);
    }
    // SAFETY: neither NULL nor misaligned nor longer than a slice may be, as checked; what it
    // points to is valid and stays, as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// # Safety
/// Unless `len` is 0, `data` is NULL or points to `len` octets that may be written and that no
/// other code touches during `'a`. They may be uninitialized if they are only written.
pub(super) unsafe fn slice_mut<'a>(
    data: *mut u8,
    len: usize,
    name: &str,
) -> Result<&'a mut [u8], CallError> {
    check(data, len, name)?;
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: neither NULL nor longer than a slice may be, as checked; writable and ours alone,
    // as the caller says. The memory is C's, of which the compiler assumes no contents; any
    // octet is a valid u8, and byway only writes there.
    Ok(unsafe { std::slice::from_raw_parts_mut(data, len) })
}

/// Checks the size that the caller says its struct has. It is a multiple of 8, as that of all versions
/// of all structs, so that no field is cut in two.
pub(super) fn struct_size(size: usize, least: usize, name: &str) -> Result<usize, CallError> {
    match (least..=MAX_STRUCT).contains(&size) && size.is_multiple_of(8) {
        true => Ok(size),
        false => Err(CallError::new(
            super::byway_error::Struct,
            format!(
                "{size} is no size of {name}: give sizeof, and fill what has a size by its function"
            ),
        )),
    }
}

/// A struct of the caller that is to be filled. The caller may know more or fewer fields than we do.
pub(super) struct OutStruct<T> {
    place: *mut T,
    size: usize,
}

impl<T: Copy> OutStruct<T> {
    pub fn new(place: *mut T, size: usize, name: &str) -> Result<Self, CallError> {
        let place = OutPointer::new(place, name)?.into_ptr();
        Ok(Self { place, size: struct_size(size, 8, name)? })
    }

    /// How many octets the caller gets of what we know.
    pub fn known(&self) -> u32 {
        self.size.min(size_of::<T>()) as u32
    }

    /// # Safety
    /// The pointer that was given is valid for writes of the size that was given. `T` has no
    /// padding.
    pub unsafe fn set(self, value: &T) {
        let known = self.known() as usize;
        // SAFETY: `known` octets can be read, since T has at least so many, all initialized, and
        // `size` can be written, as the caller says; ours and the caller's memory do not overlap.
        unsafe {
            let place = self.place.cast::<u8>();
            std::ptr::copy_nonoverlapping(std::ptr::from_ref(value).cast(), place, known);
            place.add(known).write_bytes(0, self.size - known);
        }
    }
}

/// The time-out that C gives as `timeout_ms`; `None` for ever.
pub(super) fn timeout(ms: i32) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// Puts a text and its NUL into a buffer of C.
///
/// # Safety
/// `buffer` is NULL or points to `len` octets that may be written.
pub(super) unsafe fn put_text(
    buffer: *mut c_char,
    len: usize,
    text: &str,
) -> Result<(), CallError> {
    // SAFETY: the same is asked of the caller; the octets are only written.
    let buffer = unsafe { slice_mut(buffer.cast(), len, "buffer") }?;
    let need = text.len() + 1;
    let Some(buffer) = buffer.get_mut(..need) else {
        return Err(buffer_too_small(need));
    };
    buffer[..text.len()].copy_from_slice(text.as_bytes());
    buffer[text.len()] = 0;
    Ok(())
}

pub(super) fn buffer_too_small(need: usize) -> CallError {
    let line = format!("buffer too small: {need} octets are needed; give a larger buffer");
    CallError::new(super::byway_error::BufferTooSmall, line).with_detail(need as u64)
}
