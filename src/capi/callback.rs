//! Calls of the program's own functions.

use std::cell::Cell;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in a function of the program. Such a function may not call byway.
pub(super) fn is_inside() -> bool {
    INSIDE.try_with(Cell::get).unwrap_or(false)
}

/// Calls a function of the program.
pub(super) fn call<T>(f: impl FnOnce() -> T) -> T {
    // Without its place a thread that is ending is taken for one that is not inside.
    let outside = INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(false);
    let result = f();
    let _ = INSIDE.try_with(|inside| inside.set(outside));
    result
}
