//! Threads that wait are told.

use std::sync::Arc;

use super::*;
use crate::Kind;
use crate::error::ConfigError;
use crate::session::Settings;
use crate::transport::{HttpConfig, HttpTransport, Transport};
use crate::wire::{Address, MAX_CONTROL, Message, VERSION, Welcome};

/// The session tells its end to threads that wait for the session, not to those that wait for a
/// channel, listener or event: the client has to.
#[test]
fn end_of_the_session_ends_waits_for_channels_listeners_and_events() {
    let config = HttpConfig::new("http://relay.invalid/");
    let cancellers =
        [(); LANES].map(|()| HttpTransport::new(&config).expect("a client").canceller());
    let storage = HeapStorage::new(&Profile::TINY).expect("a valid profile");
    let monitor = Arc::new(Monitor::new(storage, &Profile::TINY, cancellers));
    let endpoint = "camera:1".parse().expect("an endpoint");
    let (channel, listener, exchange) = monitor.call(|session, now| {
        session.open(now, &Settings::new([1; 16], 1));
        (
            session.connect(now, endpoint, Kind::Stream, &[]).expect("a channel"),
            session.listen(now, endpoint, Kind::Stream, 1).expect("a listener"),
            session.poll_exchange(now, Lane::Send).expect("the first send"),
        )
    });
    let reader = Arc::clone(&monitor);
    let reading = std::thread::spawn(move || {
        let signal = reader.on_channel(channel).read();
        reader.wait(signal, signal, None, |session, now| session.read(now, channel, &mut [0]))
    });
    let accepter = Arc::clone(&monitor);
    let accepting = std::thread::spawn(move || {
        let signal = accepter.on_listener(listener);
        accepter.wait(signal, signal, None, |session, now| session.accept(now, listener))
    });
    let watcher = Arc::clone(&monitor);
    let watching = std::thread::spawn(move || {
        let (signal, scope) = (watcher.on_events(), watcher.on_session());
        watcher.wait_with(signal, scope, None, |state| state.is_open().map(|_| None::<()>))
    });
    let signals =
        [monitor.on_channel(channel).read(), monitor.on_listener(listener), monitor.on_events()];
    while signals.iter().any(|signal| !signal.is_waited_for()) {
        std::thread::yield_now();
    }
    let welcome =
        Welcome { version: VERSION + 1, seq: exchange.seq, address: Address([1; 16]), max_body: 1 };
    let mut answer = [0; MAX_CONTROL];
    let len = Message::Welcome(welcome).encode(&mut answer).expect("it fits");
    let refused =
        monitor.call(|session, now| session.handle_response(now, Lane::Send, &answer[..len]));
    assert!(refused.is_err());
    let error = Error::from(ConfigError::Version { relay: VERSION + 1 });
    assert_eq!(reading.join().expect("no panic"), Err(error));
    assert_eq!(accepting.join().expect("no panic"), Err(error));
    assert_eq!(watching.join().expect("no panic"), Err(error));
}
