//! The log, given to a function of the program.

use std::ffi::{c_char, c_void};
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

use log::{LevelFilter, Log, Metadata, Record};

use super::byway_error;
use super::callback;
use super::guard::entry;
use super::last::{CallError, text};

/// How much is logged, and the level of a message.
#[repr(i32)]
pub enum byway_log_level {
    /// Nothing.
    Off = 0,
    /// Faults of byway itself.
    Error = 1,
    /// Faults of the system that byway gets around, such as a store of certificates that cannot be read.
    Warn = 2,
    /// Events, as byway_next_event gives them: of the path to the relay and of peers. Also why a session
    /// cannot go on, and what a client left undelivered when it closed.
    Info = 3,
    /// Every exchange that failed, and connections and listeners that were given up.
    Debug = 4,
    /// Every exchange that ended, with the time that it took.
    Trace = 5,
}

/// Gets a message: one line of UTF-8 without a line feed, which is valid during the call only, and a
/// level of enum byway_log_level. userdata is what byway_set_log was given.
pub type byway_log_callback =
    Option<unsafe extern "C" fn(userdata: *mut c_void, level: u32, message: *const c_char)>;

#[derive(Clone, Copy)]
struct LogSink {
    callback: unsafe extern "C" fn(*mut c_void, u32, *const c_char),
    userdata: *mut c_void,
}

// SAFETY: the program promises that callback may be called with userdata from any thread, also from
// several at once; byway itself never looks behind the pointer.
unsafe impl Send for LogSink {}
// SAFETY: as for Send.
unsafe impl Sync for LogSink {}

/// Read for the time of each call of the callback, so that byway_set_log waits for calls in progress.
static SINK: RwLock<Option<LogSink>> = RwLock::new(None);

struct Logger;

impl Logger {
    fn sink() -> RwLockReadGuard<'static, Option<LogSink>> {
        SINK.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        target == "byway" || target.starts_with("byway::")
    }

    fn log(&self, record: &Record<'_>) {
        // What byway's own code would log below the callback is not worth a loop without end.
        if callback::is_inside() || !self.enabled(record.metadata()) {
            return;
        }
        let line = text(record.args().to_string().replace('\n', " "));
        let sink = Self::sink();
        if let Some(LogSink { callback, userdata }) = *sink {
            let level = record.level() as u32;
            // SAFETY: the program promised that the two may be used so until byway_set_log has
            // returned, which waits for the lock that is held here. The line lives on.
            callback::call(|| unsafe { callback(userdata, level, line.as_ptr()) });
        }
    }

    fn flush(&self) {}
}

/// Has messages of at most this level given to callback, from now on; NULL: none. For all clients of
/// the process. At first there are none, and nothing is ever printed instead.
///
/// The callback is called from any thread that is in a call of byway and from byway's own, also from
/// several at once, with locks held: it must be quick, must not wait for a thread that is in a call of
/// byway, and must neither throw nor longjmp. Within it every function that returns int32_t gives
/// BYWAY_ERROR_CALLBACK.
///
/// Blocks only while the callback that was set before is being called: when this returns it is never
/// called again, so userdata may be freed. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT (no such level),
/// BYWAY_ERROR_UNSUPPORTED (byway is part of a Rust program that has a logger of its own), or what
/// every call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_set_log(
    callback: byway_log_callback,
    userdata: *mut c_void,
    level: u32,
) -> i32 {
    entry(|| {
        let filter = match level {
            0 => LevelFilter::Off,
            1 => LevelFilter::Error,
            2 => LevelFilter::Warn,
            3 => LevelFilter::Info,
            4 => LevelFilter::Debug,
            5 => LevelFilter::Trace,
            _ => return Err(CallError::argument("level must be one of enum byway_log_level")),
        };
        static OURS: OnceLock<bool> = OnceLock::new();
        if !OURS.get_or_init(|| log::set_logger(&Logger).is_ok()) {
            let line = "the program has a Rust logger already: take byway's messages from that";
            return Err(CallError::new(byway_error::Unsupported, line));
        }
        let sink = callback.map(|callback| LogSink { callback, userdata });
        log::set_max_level(if sink.is_some() { filter } else { LevelFilter::Off });
        *SINK.write().unwrap_or_else(PoisonError::into_inner) = sink;
        Ok(())
    })
}
