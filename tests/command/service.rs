//! What a service manager is told.

use std::os::unix::net::UnixDatagram;

use crate::admission::Files;
use crate::process::{Byway, DEADLINE, Relay};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    directory: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join("notify")).expect("bound");
        socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        Self { socket, directory }
    }

    fn start<const N: usize>(&self, args: [&str; N]) -> Byway {
        let path = self.directory.path().join("notify");
        Byway::start_by(&format!("export NOTIFY_SOCKET={}; exec \"$@\"", path.display()), args)
    }

    /// Takes the next message, of which a line begins so.
    fn take(&self, beginning: &str) {
        let mut buffer = [0; 1024];
        let n = self.socket.recv(&mut buffer).expect("a message");
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        assert!(text.lines().any(|line| line.starts_with(beginning)), "{beginning} in {text:?}");
    }
}

#[test]
fn service_manager_is_told_when_the_relay_reads_its_files_again_and_has_done_so() {
    let (manager, files) = (Manager::new(), Files::new());
    let args = ["relay", "--listen", "127.0.0.1:0", "--policy", &files.policy()];
    let relay = Relay::of(manager.start(args));
    manager.take("READY=1");
    relay.signal("HUP");
    manager.take("RELOADING=1");
    manager.take("READY=1");
}

#[test]
fn service_manager_is_told_when_relay_and_forwards_are_ready_and_when_they_end() {
    let manager = Manager::new();
    let relay = Relay::of(manager.start(["relay", "--listen", "127.0.0.1:0"]));
    manager.take("READY=1");
    let args = ["listen", "web:80", "--to", "127.0.0.1:9", "--relay", &relay.url];
    let listen = manager.start(args);
    manager.take("READY=1");
    listen.signal("TERM");
    manager.take("STOPPING=1");
    listen.end().expect_code(143);
    let args = ["connect", "web:80", "--from", "127.0.0.1:0", "--relay", &relay.url];
    let _connect = manager.start(args);
    manager.take("READY=1");
    relay.signal("TERM");
    manager.take("STOPPING=1");
}

#[test]
fn service_manager_is_told_when_the_relay_is_away_and_when_it_is_back() {
    let (manager, relay) = (Manager::new(), Relay::start());
    let (at, url) = (relay.address().to_owned(), relay.url.clone());
    let listen = manager.start(["listen", "web:80", "--to", "127.0.0.1:9", "--relay", &url]);
    manager.take("READY=1");
    relay.signal("KILL");
    relay.end();
    manager.take("STATUS=path to the relay blocked: ");
    let _relay = Relay::start_on(&at);
    manager.take("STATUS=the relay is reached");
    listen.signal("TERM");
    manager.take("STOPPING=1");
}
