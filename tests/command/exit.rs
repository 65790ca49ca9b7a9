//! Exit codes, the line that tells why, and that stdout has nothing that does not belong there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::bytes::read_all;
use crate::process::{Byway, Relay};

/// Runs it to its end: the code, and a line with `parts`; nothing on stdout.
fn fails<const N: usize>(args: [&str; N], code: i32, parts: &[&str]) {
    let mut process = Byway::start(args);
    drop(process.stdin());
    assert_eq!(read_all(process.stdout(), |_| {}).expect("stdout").0, 0);
    process.end().expect_code(code).expect_line(parts);
}

/// A server that answers any request with `response`.
fn answering(response: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            // The client's first request comes in one piece; if not, it sees a reset and retries.
            let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(response));
        }
    });
    address
}

#[test]
fn nobody_listens() {
    let relay = Relay::start();
    let args = ["connect", "nobody:1", "--relay", &relay.url];
    fails(args, 3, &["refused: nobody listens", "check the name"]);
}

#[test]
fn endpoint_in_use() {
    let relay = Relay::start();
    let mut first = Byway::start(["listen", "one:1", "--relay", &relay.url]);
    first.wait_told("listening");
    fails(["listen", "one:1", "--relay", &relay.url], 3, &["endpoint in use", "choose another"]);
}

/// The peer of a process that was killed and started anew is told so within two seconds, with the
/// default linger of three minutes and nothing to say.
#[test]
fn an_idle_peer_of_a_restarted_process_is_told_within_two_seconds() {
    let relay = Relay::start();
    let listen = ["listen", "one:1", "--owner", "me", "--relay", &relay.url];
    let mut listener = Byway::start(listen);
    listener.wait_told("listening");
    let mut connector = Byway::start(["connect", "one:1", "--relay", &relay.url]);
    let mut stdin = connector.stdin();
    stdin.write_all(b"hello").expect("taken");
    let mut heard = [0; 5];
    listener.stdout().read_exact(&mut heard).expect("it came");
    listener.kill();
    let began = Instant::now();
    let mut again = Byway::start(listen);
    let ended = connector.end();
    let took = began.elapsed();
    println!("told {took:?} after the restart");
    ended.expect_code(1).expect_line(&["ended or was restarted"]);
    // The relay's word comes 1.5 s after the claim of the new process.
    assert!(took < Duration::from_secs(30), "{took:?}");
    again.wait_told("listening");
    drop(stdin);
}

#[test]
fn the_same_owner_takes_over() {
    let relay = Relay::start();
    let (server, url) = ("127.0.0.1:9", relay.url.as_str());
    let args = ["listen", "one:1", "--to", server, "--owner", "me", "--relay", url];
    let mut first = Byway::start(args);
    first.wait_told("listening");
    let mut second = Byway::start(args);
    second.wait_told("listening");
    let ended = first.end();
    ended.expect_code(3);
    assert!(ended.told[1].contains("a newer process of the same owner"), "{:?}", ended.told);
}

#[test]
fn relay_unreachable() {
    let relay = Relay::start();
    let url = relay.url.clone();
    relay.signal("KILL");
    relay.end();
    let args = ["connect", "camera:1", "--timeout", "1", "--relay", &url];
    fails(args, 4, &["path to the relay blocked: no connection", "check that the relay runs"]);
}

#[test]
fn portal_page() {
    let portal = answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>Log in!</html>",
    );
    let url = format!("http://{portal}");
    let args = ["connect", "camera:1", "--timeout", "2", "--relay", &url];
    fails(args, 4, &["a foreign page", "log in to the network's portal"]);
}

#[test]
fn gateway_error() {
    let gateway = answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://{gateway}");
    let args = ["listen", "camera:1", "--timeout", "2", "--relay", &url];
    fails(args, 4, &["HTTP status 502"]);
}

#[test]
fn silence() {
    // Connects, since the kernel accepts, and answers nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let mut process = Byway::start(["connect", "camera:1", "--timeout", "1", "--relay", &url]);
    drop(process.stdin());
    let start = Instant::now();
    let ended = process.end();
    assert!(matches!(ended.status.code(), Some(4 | 5)), "{:?}", ended.told);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn usage() {
    let relay = "http://127.0.0.1:9";
    fails(["connect", "camera", "--relay", relay], 2, &["name:port", "--help"]);
    fails(["listen", "a b:1", "--relay", relay], 2, &["letters, digits"]);
    fails(["connect", "camera:1"], 2, &["--relay <URL>"]);
    fails(["connect", "camera:1", "--relay", "camera"], 2, &["relay URL", "write http://"]);
    fails(["connect", "camera:1", "--relay", relay, "--from", "8080"], 2, &["host:port"]);
    fails(["connect", "camera:1", "--relay", relay, "--header", "x"], 2, &["Name: value"]);
    fails(["connect", "camera:1", "--relay", relay, "--header", "Host: x"], 2, &["header"]);
    fails(["connect", "camera:1", "--relay", relay, "--proxy", "socks5://x"], 2, &["http://"]);
    fails(["connect", "camera:1", "--relay", relay, "--linger", "0"], 2, &["--linger"]);
    fails(["relay", "--listen", "here"], 2, &["--listen"]);
    for flag in
        ["--max-connections", "--max-connections-per-address", "--max-sessions", "--workers"]
    {
        fails(["relay", flag, "0"], 2, &[flag]);
    }
}

#[test]
fn address_in_use() {
    let relay = Relay::start();
    let address = relay.address();
    fails(["relay", "--listen", address], 3, &["cannot listen", "in use", "--listen"]);
    let args = ["connect", "camera:1", "--from", address, "--relay", &relay.url];
    fails(args, 3, &["cannot listen", "in use", "--from"]);
}

#[test]
fn the_relay_stops_on_a_signal() {
    for signal in ["TERM", "INT", "HUP"] {
        let relay = Relay::start();
        let mut listen = Byway::start(["listen", "parked:1", "--relay", &relay.url]);
        listen.wait_told("listening");
        relay.signal(signal);
        let (ended, printed) = relay.end();
        ended.expect_code(0).expect_nothing_told();
        assert!(printed.is_empty(), "{printed:?}");
    }
}

#[test]
fn the_relay_serves_below_a_path() {
    let mut relay = Byway::start(["relay", "--listen", "127.0.0.1:0", "--base", "/by/way"]);
    let (url, _stdout) = relay.announced();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/by/way"), "{url}");
    let mut listen = Byway::start(["listen", "camera:1", "--relay", &url]);
    listen.wait_told("listening on camera:1");
    let root = url.strip_suffix("/by/way").expect("a path");
    fails(["listen", "camera:2", "--timeout", "1", "--relay", root], 4, &["HTTP status 404"]);
}

#[test]
fn help_and_version_go_to_stdout() {
    for arg in ["--help", "--version"] {
        let mut process = Byway::start([arg]);
        let mut text = String::new();
        process.stdout().read_to_string(&mut text).expect("stdout");
        assert!(text.contains("byway"), "{text}");
        process.end().expect_code(0).expect_nothing_told();
    }
}
