//! What a service manager is told.

use std::os::unix::net::UnixDatagram;

use crate::process::{Byway, DEADLINE, Relay};

#[test]
fn service_manager_is_told_when_relay_and_forwards_are_ready_and_when_they_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("bound");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    let take = |part: &str| {
        let mut buffer = [0; 1024];
        let n = socket.recv(&mut buffer).expect("a message");
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        assert!(text.lines().any(|line| line == part), "{part} in {text:?}");
    };
    let script = format!("export NOTIFY_SOCKET={}; exec \"$@\"", path.display());
    let relay = Relay::of(Byway::start_by(&script, ["relay", "--listen", "127.0.0.1:0"]));
    take("READY=1");
    let args = ["listen", "web:80", "--to", "127.0.0.1:9", "--relay", &relay.url];
    let listen = Byway::start_by(&script, args);
    take("READY=1");
    listen.signal("TERM");
    take("STOPPING=1");
    listen.end().expect_code(143);
    let args = ["connect", "web:80", "--from", "127.0.0.1:0", "--relay", &relay.url];
    let _connect = Byway::start_by(&script, args);
    take("READY=1");
    relay.signal("TERM");
    take("STOPPING=1");
}
