//! Events of a client.

use std::ffi::c_char;

use super::args::{OutStruct, timeout};
use super::error::blocked;
use super::guard::entry;
use super::handle::{self, byway_handle};
use crate::client::ClientEvent;

/// Kinds of events. The program need not do anything about them: channels ride out what blocks the path until their
/// linger time is over. Later versions may add kinds.
#[repr(i32)]
pub enum byway_event_kind {
    /// The client dials its relay: at first, and after a change of the network.
    Connecting = 1,
    /// Exchanges with the relay fail; cause and seen say why. Told once until the cause changes.
    PathBlocked = 2,
    /// Exchanges succeed again.
    PathRestored = 3,
    /// The peer of channel id has not asked the relay for data lately.
    PeerAway = 4,
    /// The peer of channel id is back.
    PeerBack = 5,
    /// Octets sent on channel id found no room at the peer from offset detail on. They are sent again.
    Overflow = 6,
    /// Listener id lost its endpoint; byway_accept says why.
    ListenerLost = 7,
    /// The relay has answered for the first time: the client is open.
    Opened = 8,
}

/// Octets of byway_event.seen.
pub const BYWAY_SEEN_SIZE: usize = 128;

/// An event, with the numbers that belong to its kind.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct byway_event {
    /// Octets of this struct that were filled.
    pub size: u32,
    /// The kind of the event, one of enum byway_event_kind.
    pub kind: u32,
    /// The channel or listener, as byway_id gives it; else 0.
    pub id: u32,
    /// The path code with BYWAY_EVENT_KIND_PATH_BLOCKED, else 0.
    pub cause: i32,
    /// The first offset with BYWAY_EVENT_KIND_OVERFLOW, the HTTP status with cause BYWAY_ERROR_HTTP, the
    /// seconds until the relay is asked again with cause BYWAY_ERROR_RELAY_LIMIT; else 0.
    pub detail: u64,
    /// What was seen with BYWAY_EVENT_KIND_PATH_BLOCKED, such as the first characters of a page. Ends
    /// with a NUL.
    pub seen: [c_char; BYWAY_SEEN_SIZE],
}

const _: () = assert!(size_of::<byway_event>() == 4 * 4 + 8 + BYWAY_SEEN_SIZE);

impl byway_event {
    fn new(event: &ClientEvent, size: u32) -> Self {
        use byway_event_kind as Kind;
        let mut this =
            Self { size, kind: 0, id: 0, cause: 0, detail: 0, seen: [0; BYWAY_SEEN_SIZE] };
        let kind = match event {
            ClientEvent::Connecting => Kind::Connecting,
            ClientEvent::Opened => Kind::Opened,
            ClientEvent::PathBlocked { cause, seen } => {
                let (code, detail) = blocked(*cause);
                this.cause = code as i32;
                this.detail = detail;
                // The last octet stays 0, whatever the length; an octet 0 within would end the text.
                let octets = seen.bytes().take(BYWAY_SEEN_SIZE - 1).take_while(|octet| *octet != 0);
                this.seen
                    .iter_mut()
                    .zip(octets)
                    .for_each(|(place, octet)| *place = octet as c_char);
                Kind::PathBlocked
            }
            ClientEvent::PathRestored => Kind::PathRestored,
            ClientEvent::PeerAway(channel) => {
                this.id = channel.0;
                Kind::PeerAway
            }
            ClientEvent::PeerBack(channel) => {
                this.id = channel.0;
                Kind::PeerBack
            }
            ClientEvent::Overflow { channel, offset } => {
                this.id = channel.0;
                this.detail = *offset;
                Kind::Overflow
            }
            ClientEvent::ListenerLost(listener) => {
                this.id = listener.0;
                Kind::ListenerLost
            }
        };
        this.kind = kind as u32;
        this
    }
}

/// Takes the client's next event into *event. size is sizeof *event: only so much is filled, and what
/// this version does not know is set to zero. The newest 16 events are kept until the program takes them.
///
/// Blocks while there is none, at most for timeout_ms. Returns BYWAY_OK, BYWAY_ERROR_ARGUMENT,
/// BYWAY_ERROR_STRUCT, a handle code, a wait code, a fatal code once no event is left, or what every
/// call can.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn byway_next_event(
    client: byway_handle,
    event: *mut byway_event,
    size: usize,
    timeout_ms: i32,
) -> i32 {
    entry(|| {
        let client = handle::client(client)?;
        let out = OutStruct::new(event, size, "event")?;
        let event = byway_event::new(&client.wait_event(timeout(timeout_ms))?, out.known());
        // SAFETY: the caller gave a place of this size; the struct has no padding, as asserted.
        unsafe { out.set(&event) };
        Ok(())
    })
}
