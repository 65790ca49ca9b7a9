//! Handles: numbers that are looked up in one table, so that a wrong one is an error and no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::byway_error;
use super::last::Failure;
use crate::client::{Client, DatagramChannel, Listener, PollFd, Stream};

/// Names a client, listener, stream or datagram channel. 0 is none.
pub type byway_handle = u64;

/// What a handle names.
#[derive(Debug)]
pub(super) enum Object {
    Client(Client),
    StreamListener(Listener<Stream>),
    DatagramListener(Listener<DatagramChannel>),
    Stream(Stream),
    Datagram(DatagramChannel),
}

impl Object {
    const fn kind(&self) -> u64 {
        match self {
            Self::Client(_) => 1,
            Self::StreamListener(_) | Self::DatagramListener(_) => 2,
            Self::Stream(_) => 3,
            Self::Datagram(_) => 4,
        }
    }
}

/// Who is in a call keeps the entry, also while another thread closes the handle.
#[derive(Debug)]
pub(super) struct Entry {
    pub object: Object,
    polls: Mutex<Polls>,
}

/// The descriptors that were asked for.
#[derive(Debug, Default)]
pub(super) struct Polls {
    pub first: Option<PollFd>,
    pub second: Option<PollFd>,
}

impl Entry {
    pub fn polls(&self) -> MutexGuard<'_, Polls> {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle: the slot's index in bits 0 to 23, its generation in 24 to 55, the kind from 56 on.
const INDEX_BITS: u32 = 24;
const KIND_SHIFT: u32 = 56;

#[derive(Debug)]
struct Slot {
    handle: byway_handle,
    generation: u32,
    entry: Option<Arc<Entry>>,
    /// A thread is in the call that closes it.
    closing: bool,
}

#[derive(Debug)]
struct Table {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

static TABLE: Mutex<Table> = Mutex::new(Table { slots: Vec::new(), free: Vec::new() });

fn table() -> MutexGuard<'static, Table> {
    // No call into anything else is made with the lock held, so a panic leaves it whole.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table {
    fn slot(&mut self, handle: byway_handle) -> Result<&mut Slot, Failure> {
        let index = handle & ((1 << INDEX_BITS) - 1);
        let slot = usize::try_from(index).ok().and_then(|index| self.slots.get_mut(index));
        slot.filter(|slot| slot.handle == handle && slot.entry.is_some()).ok_or_else(|| {
            let line = match handle {
                0 => "the handle is 0: check the result of the call that was to give it".into(),
                _ => format!("the handle {handle:#x} is not open: check who closed it"),
            };
            Failure::new(byway_error::Handle, line)
        })
    }
}

/// Gives an object a handle.
pub(super) fn insert(object: Object) -> Result<byway_handle, Failure> {
    let kind = object.kind() << KIND_SHIFT;
    let mut table = table();
    let index = match table.free.pop() {
        Some(index) => index,
        None if table.slots.len() < 1 << INDEX_BITS => {
            table.slots.push(Slot { handle: 0, generation: 0, entry: None, closing: false });
            table.slots.len() - 1
        }
        None => {
            drop(table);
            return Err(Failure::new(byway_error::Handles, "no handle is free: close some"));
        }
    };
    let slot = &mut table.slots[index];
    slot.generation += 1;
    slot.handle = kind | u64::from(slot.generation) << INDEX_BITS | index as u64;
    slot.entry = Some(Arc::new(Entry { object, polls: Mutex::default() }));
    slot.closing = false;
    Ok(slot.handle)
}

/// What a handle names, unless it is being closed.
pub(super) fn get(handle: byway_handle) -> Result<Arc<Entry>, Failure> {
    let mut table = table();
    let slot = table.slot(handle)?;
    match &slot.entry {
        Some(entry) if !slot.closing => Ok(Arc::clone(entry)),
        _ => Err(being_closed()),
    }
}

/// As [`get`], also while it is being closed: that wait can be cancelled.
pub(super) fn get_closing(handle: byway_handle) -> Result<Arc<Entry>, Failure> {
    let mut table = table();
    table.slot(handle)?.entry.clone().ok_or_else(being_closed)
}

fn being_closed() -> Failure {
    Failure::new(byway_error::Handle, "another thread is closing the handle: only one may")
}

/// Begins to close a handle: from now on it is only good for a cancel. It ends with the value that
/// is given.
pub(super) fn close(handle: byway_handle) -> Result<Closing, Failure> {
    let mut table = table();
    let slot = table.slot(handle)?;
    match &slot.entry {
        Some(entry) if !slot.closing => {
            slot.closing = true;
            Ok(Closing { handle, entry: Arc::clone(entry) })
        }
        _ => Err(being_closed()),
    }
}

/// A handle that is being closed, and is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Closing {
    handle: byway_handle,
    pub entry: Arc<Entry>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        let mut table = table();
        let index = (self.handle & ((1 << INDEX_BITS) - 1)) as usize;
        let Some(slot) = table.slots.get_mut(index) else { return };
        let entry = slot.entry.take();
        // A slot that is used up stays empty, so that no handle is ever given twice.
        if slot.generation < u32::MAX {
            table.free.push(index);
        }
        // Whatever dropping it does, the table is free.
        drop(table);
        drop(entry);
    }
}

pub(super) fn wrong_kind(wanted: &str) -> Failure {
    Failure::new(
        byway_error::Kind,
        format!("the handle is no {wanted}: check which one the call takes"),
    )
}

pub(super) fn client(handle: byway_handle) -> Result<Client, Failure> {
    match &get(handle)?.object {
        Object::Client(client) => Ok(client.clone()),
        _ => Err(wrong_kind("client")),
    }
}

pub(super) fn stream(handle: byway_handle) -> Result<Stream, Failure> {
    match &get(handle)?.object {
        Object::Stream(stream) => Ok(stream.clone()),
        _ => Err(wrong_kind("stream")),
    }
}

pub(super) fn datagram(handle: byway_handle) -> Result<DatagramChannel, Failure> {
    match &get(handle)?.object {
        Object::Datagram(channel) => Ok(channel.clone()),
        _ => Err(wrong_kind("datagram channel")),
    }
}
