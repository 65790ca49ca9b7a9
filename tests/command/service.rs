//! What a service manager is told.

use std::io::{Read, Write};
use std::net::TcpStream;
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

    /// Starts the command for a service manager that wants to hear once a second that it does not hang.
    fn start_watched<const N: usize>(&self, args: [&str; N]) -> Byway {
        let path = self.directory.path().join("notify");
        let script = format!("export NOTIFY_SOCKET={} WATCHDOG_USEC=1000000", path.display());
        Byway::start_by(&format!("{script}; exec \"$@\""), args)
    }

    /// Takes messages up to the first, of which a line begins so, and gives how many said before that it does not hang.
    fn take_past_watchdog(&self, beginning: &str) -> usize {
        let mut count = 0;
        loop {
            let text = self.message();
            if text.lines().any(|line| line.starts_with(beginning)) {
                return count;
            }
            assert_eq!(text.trim(), "WATCHDOG=1", "before {beginning}");
            count += 1;
        }
    }

    fn message(&self) -> String {
        let mut buffer = [0; 1024];
        let n = self.socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    /// Takes the next message, of which a line begins so.
    fn take(&self, beginning: &str) {
        let text = self.message();
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

/// More often than once while nothing happens, and also while the command waits for something.
#[test]
fn service_manager_hears_again_and_again_that_nothing_hangs() {
    let [of_relay, of_listen, of_connect] = [(); 3].map(|()| Manager::new());
    let hears = |manager: &Manager| (0..3).for_each(|_| manager.take("WATCHDOG=1"));
    let relay = Relay::start();
    let (at, url) = (relay.address().to_owned(), relay.url.clone());
    relay.signal("KILL");
    relay.end();
    let once = ["--once", "--timeout", "100", "--relay", &url];
    let [once, timeout, most, option, value] = once;
    let args = ["listen", "web:80", "--exec", "cat", once, timeout, most, option, value];
    let _listen = of_listen.start_watched(args);
    let args = ["connect", "web:80", "--from", "127.0.0.1:0", "--relay", &url];
    let mut connect = of_connect.start_watched(args);
    of_connect.take("READY=1");
    hears(&of_connect);
    let relay = Relay::of(of_relay.start_watched(["relay", "--listen", &at]));
    of_relay.take("READY=1");
    hears(&of_relay);
    of_connect.take_past_watchdog("READY=1");
    hears(&of_connect);
    of_listen.take("READY=1");
    hears(&of_listen);
    // The one connection that it serves.
    let mut program = TcpStream::connect(connect.announced().0).expect("connects");
    program.write_all(b"a").expect("written");
    program.read_exact(&mut [0]).expect("it comes back");
    hears(&of_listen);
    hears(&of_connect);
    relay.signal("TERM");
    assert!(of_relay.take_past_watchdog("STOPPING=1") < 1000);
}
