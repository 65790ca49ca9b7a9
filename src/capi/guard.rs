//! The guard that every call passes through: no panic leaves it, and none is printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;
use std::thread;

use super::byway_error;
use super::callback;
use super::last::CallError;

thread_local! {
    /// Whether this thread is in a call.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of this thread was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes a call: its result as a code. A panic within it becomes [`byway_error::Panic`].
///
/// What a panic may leave half done is guarded by byway's own locks, which go on with the state
/// between two calls of the session; so the closure is taken for unwind safe.
pub(super) fn entry(f: impl FnOnce() -> Result<(), CallError>) -> i32 {
    if callback::is_inside() {
        let line = "called from within a callback: note what it told, call from elsewhere";
        return CallError::new(byway_error::Callback, line).keep();
    }
    install_hook();
    let outside = INSIDE.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        #[cfg(all(test, feature = "relay"))]
        inject::strike();
        f()
    }));
    INSIDE.set(outside);
    match result {
        Ok(Ok(())) => super::BYWAY_OK,
        Ok(Err(failure)) => failure.keep(),
        Err(payload) => {
            // A thread's destructors may call after its place was destroyed.
            let place = PLACE.try_with(RefCell::take).unwrap_or_default();
            let line = format!("a fault of byway itself: {} at {place}", message(&*payload));
            CallError::new(byway_error::Panic, line).keep()
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("panic")
}

/// The hook that Rust calls before it unwinds prints to stderr. This one tells the log of panics in
/// byway's calls and threads, and leaves all others to the hook that was there. A C program has none:
/// the runtime in the library is its own.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let ours = INSIDE.try_with(Cell::get).unwrap_or(true)
                || thread::current().name().is_some_and(|name| name.starts_with("byway-"));
            if ours { note(info) } else { others(info) }
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    ::log::error!("a fault of byway itself: {} at {place}", message(info.payload()));
    let _ = PLACE.try_with(|last| last.replace(place));
}

/// Panics in the middle of calls.
#[cfg(all(test, feature = "relay"))]
pub(super) mod inject {
    use std::cell::Cell;

    thread_local! {
        static ARMED: Cell<bool> = const { Cell::new(false) };
    }

    /// The next call of this thread panics.
    pub fn arm() {
        ARMED.set(true);
    }

    pub fn strike() {
        assert!(!ARMED.replace(false), "injected");
    }
}
