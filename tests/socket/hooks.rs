//! The program's own functions below a client: threads, sockets, names.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use byway::client::{Client, Config};
use byway::error::{Blocked, Error, TransportError};
use byway::transport::Hooks;

use super::{LONG, client, config, pattern, relay};

/// Notes when the last of a client's hooks is dropped.
struct Released(std::sync::mpsc::Sender<()>);

impl Drop for Released {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn every_thread_begins_and_ends_with_its_hook_and_others_run_between() {
    let relay = relay();
    let (tx, released) = channel();
    let token = Arc::new(Released(tx));
    let threads: Arc<Mutex<Vec<ThreadId>>> = Arc::default();
    let (starts, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let inside = {
        let threads = Arc::clone(&threads);
        move || threads.lock().unwrap().contains(&thread::current().id())
    };
    let addr = relay.local_addr();
    let hooks = {
        let (begun, all, counted) =
            (Arc::clone(&threads), Arc::clone(&threads), Arc::clone(&starts));
        let (ended, was_inside, is_inside) = (Arc::clone(&ends), inside.clone(), inside.clone());
        Hooks::default()
            .on_thread_start(move || {
                let _ = &token;
                let name = thread::current().name().unwrap_or_default().to_owned();
                assert!(name.starts_with("byway-"), "{name}");
                counted.fetch_add(1, SeqCst);
                begun.lock().unwrap().push(thread::current().id());
            })
            .on_thread_end(move || {
                all.lock().unwrap().retain(|id| *id != thread::current().id());
                ended.fetch_add(1, SeqCst);
            })
            .on_socket(move |_| {
                assert!(was_inside());
                Ok(())
            })
            .on_resolve(move |host, port| {
                assert!(is_inside());
                assert_eq!((host, port), ("relay.test", addr.port()));
                Ok(vec![addr])
            })
    };
    let url = format!("http://relay.test:{}", addr.port());
    let phone = Client::open(Config { url, hooks, ..config(&relay) }).unwrap();
    let listener = phone.listen("camera:1").unwrap();
    let mut sent = client(&relay).connect("camera:1").unwrap();
    let mut stream = listener.accept().unwrap();
    sent.write_all(&pattern(10_000)).unwrap();
    let mut got = vec![0; 10_000];
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.read_exact(&mut got).unwrap();
    assert!(got == pattern(10_000));
    assert!(starts.load(SeqCst) >= 3 && threads.lock().unwrap().len() >= 2);
    drop((sent, stream, listener));
    phone.close(LONG).unwrap();
    drop(phone);
    released.recv_timeout(LONG).expect("the hooks are let go of");
    assert_eq!(starts.load(SeqCst), ends.load(SeqCst));
    assert!(threads.lock().unwrap().is_empty());
}

#[test]
fn hook_that_refuses_all_sockets_is_why_the_client_cannot_open() {
    let relay = relay();
    let hooks = Hooks::default().on_socket(|_| Err(std::io::ErrorKind::PermissionDenied.into()));
    let open_timeout = std::time::Duration::from_millis(500);
    let error = Client::open(Config { hooks, open_timeout, ..config(&relay) }).unwrap_err();
    assert_eq!(error, Error::Transport(TransportError::Blocked(Blocked::Hook)));
    assert!(error.to_string().contains("the program's hook for sockets failed"), "{error}");
}
