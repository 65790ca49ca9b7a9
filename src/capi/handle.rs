//! Handles: numbers that are looked up in one table, so that a wrong one is an error and no more.

use std::any::Any;
use std::mem;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::byway_error;
use super::last::CallError;
use super::object::{Object, wrong_kind};
use crate::client::{Client, DatagramChannel, PollFd, Stream};

/// Names a client, listener, stream or datagram channel. 0 is none.
pub type byway_handle = u64;

/// An object that has a handle. Each call that is in progress holds it, also while another thread
/// closes the handle.
#[derive(Debug)]
pub(super) struct HandledObject {
    object: Box<dyn Object>,
    polls: Mutex<Polls>,
}

impl Deref for HandledObject {
    type Target = dyn Object;

    fn deref(&self) -> &dyn Object {
        &*self.object
    }
}

/// The descriptors that the program asked for.
#[derive(Debug, Default)]
pub(super) struct Polls {
    pub first: Option<PollFd>,
    pub second: Option<PollFd>,
}

impl HandledObject {
    pub fn polls(&self) -> MutexGuard<'_, Polls> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle: the slot's index in bits 0 to 23, its generation in 24 to 55, the kind from 56 on.
const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const KIND_SHIFT: u32 = 56;

/// A place in the table.
///
/// ```text
///          insert            close             drop of Closing
///  Free ──────────▶ Open ──────────▶ Closing ──────────────────▶ Free, by another handle
/// ```
#[derive(Debug)]
enum SlotState {
    Free,
    Open(Arc<HandledObject>),
    /// A thread is in the call that closes it: the handle is good for a cancel and no more.
    Closing(Arc<HandledObject>),
}

#[derive(Debug)]
struct HandleSlot {
    /// The handle that the slot has, or had last.
    handle: byway_handle,
    generation: u32,
    state: SlotState,
}

#[derive(Debug)]
struct HandleTable {
    slots: Vec<HandleSlot>,
    free: Vec<usize>,
}

static TABLE: Mutex<HandleTable> = Mutex::new(HandleTable { slots: Vec::new(), free: Vec::new() });

fn table() -> MutexGuard<'static, HandleTable> {
    // No call into anything else is made with the lock held, so a panic leaves it whole.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HandleTable {
    /// The state of a handle's slot, which is not [`SlotState::Free`].
    fn state(&mut self, handle: byway_handle) -> Result<&mut SlotState, CallError> {
        let index = usize::try_from(handle & INDEX_MASK).ok();
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(HandleSlot { state: SlotState::Free, .. }) | None => Err(not_open(handle)),
            Some(slot) if slot.handle == handle => Ok(&mut slot.state),
            Some(_) => Err(not_open(handle)),
        }
    }
}

fn not_open(handle: byway_handle) -> CallError {
    let line = match handle {
        0 => "the handle is 0: check the result of the call that was to give it".into(),
        _ => format!("the handle {handle:#x} is not open: check who closed it"),
    };
    CallError::new(byway_error::Handle, line)
}

fn being_closed() -> CallError {
    CallError::new(byway_error::Handle, "another thread is closing the handle: only one may")
}

/// Gives an object a handle.
pub(super) fn insert(object: Box<dyn Object>) -> Result<byway_handle, CallError> {
    let kind = (object.kind() as u64) << KIND_SHIFT;
    let mut table = table();
    let index = match table.free.pop() {
        Some(index) => index,
        None if table.slots.len() < 1 << INDEX_BITS => {
            table.slots.push(HandleSlot { handle: 0, generation: 0, state: SlotState::Free });
            table.slots.len() - 1
        }
        None => {
            drop(table);
            return Err(CallError::new(byway_error::Handles, "no handle is free: close some"));
        }
    };
    let slot = &mut table.slots[index];
    slot.generation += 1;
    slot.handle = kind | u64::from(slot.generation) << INDEX_BITS | index as u64;
    slot.state = SlotState::Open(Arc::new(HandledObject { object, polls: Mutex::default() }));
    Ok(slot.handle)
}

/// The object of a handle, unless that is being closed.
pub(super) fn get(handle: byway_handle) -> Result<Arc<HandledObject>, CallError> {
    match table().state(handle)? {
        SlotState::Open(object) => Ok(Arc::clone(object)),
        SlotState::Closing(_) => Err(being_closed()),
        SlotState::Free => Err(not_open(handle)),
    }
}

/// The object of a handle, also while that is being closed: the wait for that can be cancelled.
pub(super) fn get_closing(handle: byway_handle) -> Result<Arc<HandledObject>, CallError> {
    match table().state(handle)? {
        SlotState::Open(object) | SlotState::Closing(object) => Ok(Arc::clone(object)),
        SlotState::Free => Err(not_open(handle)),
    }
}

/// Begins to close a handle: from now on it is only good for a cancel. It ends with the value that
/// is given.
pub(super) fn close(handle: byway_handle) -> Result<Closing, CallError> {
    let mut table = table();
    let state = table.state(handle)?;
    match state {
        SlotState::Open(object) => {
            let object = Arc::clone(object);
            *state = SlotState::Closing(Arc::clone(&object));
            Ok(Closing { handle, object })
        }
        SlotState::Closing(_) => Err(being_closed()),
        SlotState::Free => Err(not_open(handle)),
    }
}

/// A handle that is being closed, and is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Closing {
    handle: byway_handle,
    pub object: Arc<HandledObject>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut table = table();
        let index = (self.handle & INDEX_MASK) as usize;
        let Some(slot) = table.slots.get_mut(index) else { return };
        let state = mem::replace(&mut slot.state, SlotState::Free);
        // A slot that is used up stays empty, so that no handle is ever given twice.
        if slot.generation < u32::MAX {
            table.free.push(index);
        }
        // Whatever dropping the object does, the table is free.
        drop(table);
        drop(state);
    }
}

/// The object of a handle, which has to be a `T`, or `wanted` in words.
fn typed<T: Object + Clone>(handle: byway_handle, wanted: &str) -> Result<T, CallError> {
    let object = get(handle)?;
    let any: &dyn Any = &**object;
    any.downcast_ref().cloned().ok_or_else(|| wrong_kind(wanted))
}

pub(super) fn client(handle: byway_handle) -> Result<Client, CallError> {
    typed(handle, "client")
}

pub(super) fn stream(handle: byway_handle) -> Result<Stream, CallError> {
    typed(handle, "stream")
}

pub(super) fn datagram(handle: byway_handle) -> Result<DatagramChannel, CallError> {
    typed(handle, "datagram channel")
}
