//! Exit codes, the line that tells the cause, and a stdout without anything else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::bytes::read_all;
use crate::process::{Byway, Relay};

/// Runs the command to its end: expects the code, a line with `parts`, and nothing on stdout.
fn fails<const N: usize>(args: [&str; N], code: i32, parts: &[&str]) {
    let mut process = Byway::start(args);
    drop(process.stdin());
    assert_eq!(read_all(process.stdout(), |_| {}).expect("stdout").0, 0);
    process.end().expect_code(code).expect_line(parts);
}

/// Runs a command whose path is blocked for two seconds: expects code 4, and `cause` told soon and
/// at the end.
fn is_blocked<const N: usize>(args: [&str; N], cause: &[&str]) {
    let mut process = Byway::start(args);
    drop(process.stdin());
    assert_eq!(read_all(process.stdout(), |_| {}).expect("stdout").0, 0);
    let soon = [cause, &["trying for 2 s (--timeout)"]].concat();
    process.end().expect_code(4).expect_lines(&[&soon, cause]);
}

/// A server that answers any request with `response`.
fn answering(response: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("accepts");
            // The client's first request comes in one piece; if not, the client sees a reset and
            // retries.
            let _ = stream.read(&mut [0; 4096]).and_then(|_| stream.write_all(response));
        }
    });
    address
}

#[test]
fn missing_listener_is_refused() {
    let relay = Relay::start();
    let mut connect =
        Byway::start(["connect", "nobody:1", "--timeout", "1", "--relay", &relay.url]);
    drop(connect.stdin());
    connect.end().expect_code(3).expect_lines(&[
        &["nobody:1 has no listener yet", "waiting up to 1 s"],
        &["refused: nobody listens", "check the name"],
    ]);
}

#[test]
fn endpoint_in_use_is_refused() {
    let relay = Relay::start();
    let mut first = Byway::start(["listen", "one:1", "--relay", &relay.url]);
    first.wait_told("listening");
    let mut second = Byway::start(["listen", "one:1", "--timeout", "1", "--relay", &relay.url]);
    drop(second.stdin());
    second.end().expect_code(3).expect_lines(&[
        &["one:1 is held by another client", "waiting up to 1 s"],
        &["endpoint in use", "choose another"],
    ]);
}

/// The relay tells the peer of a process that was killed and started anew, within two seconds, with
/// the default linger of three minutes and no data outstanding.
#[test]
fn idle_peer_of_a_restarted_process_is_told_within_two_seconds() {
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
    // The relay tells it 1.5 s after the claim of the new process.
    assert!(took < Duration::from_secs(30), "{took:?}");
    again.wait_told("listening");
    drop(stdin);
}

#[test]
fn newer_process_of_the_same_owner_takes_over() {
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
fn unreachable_relay_is_blocked() {
    let relay = Relay::start();
    let url = relay.url.clone();
    relay.signal("KILL");
    relay.end();
    let args = ["connect", "camera:1", "--timeout", "1", "--relay", &url];
    fails(args, 4, &["path to the relay blocked: no connection", "check that the relay runs"]);
}

#[test]
fn portal_page_is_blocked() {
    let portal = answering(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>Log in!</html>",
    );
    let url = format!("http://{portal}");
    let args = ["connect", "camera:1", "--timeout", "2", "--relay", &url];
    is_blocked(args, &["a foreign page", "log in to the network's portal"]);
}

#[test]
fn gateway_error_is_blocked() {
    let gateway = answering(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://{gateway}");
    let args = ["listen", "camera:1", "--timeout", "2", "--relay", &url];
    is_blocked(args, &["HTTP status 502"]);
}

#[test]
fn silent_relay_is_blocked() {
    // The kernel accepts the connection, and no answer comes.
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
fn wrong_usage_is_told_in_one_line() {
    let relay = "http://127.0.0.1:9";
    fails(["connect", "camera", "--relay", relay], 2, &["name:port", "byway help connect"]);
    fails(["listen", "a b:1", "--relay", relay], 2, &["letters, digits"]);
    fails(["connect", "camera:1"], 2, &["--relay"]);
    fails(["connect", "camera:1", "--relay", "camera"], 2, &["relay URL", "write http://"]);
    fails(["connect", "camera:1", "--relay", relay, "--from", "8080"], 2, &["host:port"]);
    let to = |address: &str, why: &str| {
        let args = ["listen", "camera:1", "--relay", relay, "--to", address];
        fails(args, 2, &["--to", why, "write it as host:port"]);
    };
    to("http://host", "not a URL");
    to("http://host:80", "not a URL");
    to("host", "no port");
    fails(["listen", "camera:1", "--relay", relay, "--to", "host:0"], 2, &["--to", "port 0"]);
    fails(["connect", "camera:1", "--relay", relay, "--header", "x"], 2, &["Name: value"]);
    fails(["connect", "camera:1", "--relay", relay, "--header", "Host: x"], 2, &["header"]);
    fails(["connect", "camera:1", "--relay", relay, "--proxy", "socks5://x"], 2, &["http://"]);
    for bad in ["0", "x", "-1", "1.5", "4233601"] {
        let linger = format!("--linger={bad}");
        let args = ["connect", "camera:1", "--relay", relay, &linger];
        fails(args, 2, &["--linger", "whole number from 1 to 4233600"]);
    }
    for (pace, linger, least) in [("streaming", "65", "66"), ("battery", "180", "250")] {
        let args = ["connect", "camera:1", "--relay", relay, "--pace", pace, "--linger", linger];
        fails(args, 2, &["--linger", "too short", &format!("write {least} or more")]);
    }
    fails(["relay", "--listen", "here"], 2, &["--listen", "host:port"]);
    fails(["relay", "--base", "/a/../b"], 2, &["--base", "'..'"]);
    for (flag, bad, why) in [
        ("--max-connections", "0", "from 4 to"),
        ("--max-connections", "3", "a client needs two"),
        ("--max-connections-per-address", "1", "a client needs two"),
        ("--max-sessions", "1", "from 2 to"),
        ("--workers", "0", "from 1 to"),
        ("--workers", "x", "from 1 to"),
    ] {
        fails(["relay", flag, bad], 2, &[flag, "whole number", why]);
    }
}

#[test]
fn address_in_use_is_refused() {
    let relay = Relay::start();
    let address = relay.address();
    fails(["relay", "--listen", address], 3, &["cannot listen", "in use", "--listen"]);
    let args = ["connect", "camera:1", "--from", address, "--relay", &relay.url];
    fails(args, 3, &["cannot listen", "in use", "--from"]);
}

#[test]
fn relay_stops_on_a_signal() {
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
fn relay_serves_below_a_path() {
    let mut relay = Byway::start(["relay", "--listen", "127.0.0.1:0", "--base", "/by/way"]);
    let (url, _stdout) = relay.announced();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/by/way"), "{url}");
    let mut listen = Byway::start(["listen", "camera:1", "--relay", &url]);
    listen.wait_told("listening on camera:1");
    let root = url.strip_suffix("/by/way").expect("a path");
    fails(["listen", "camera:2", "--timeout", "1", "--relay", root], 4, &["HTTP status 404"]);
}

#[test]
fn base_path_that_needs_encoding_is_reachable() {
    let mut relay = Byway::start(["relay", "--listen", "127.0.0.1:0", "--base", "/a b/ü"]);
    let (url, _stdout) = relay.announced();
    assert!(url.ends_with("/a%20b/%C3%BC"), "{url}");
    let mut listen = Byway::start(["listen", "camera:1", "--relay", &url]);
    listen.wait_told("listening on camera:1");
}

#[test]
fn relay_at_a_name_is_reached_at_all_its_addresses() {
    let relay = Relay::start_on("localhost:0");
    let (host, port) = relay.address().rsplit_once(':').expect("a port");
    assert_eq!(host, "127.0.0.1");
    for host in reachable() {
        let url = format!("http://{host}:{port}");
        // Programs read the first line; the other addresses listen before it is written.
        if url != relay.url {
            assert_eq!(relay.next_line(), url);
        }
        let mut listen = Byway::start(["listen", "camera:1", "--relay", &url]);
        listen.wait_told("listening on camera:1");
        listen.signal("TERM");
        listen.end().expect_code(143);
    }
}

/// The addresses of `localhost` on this machine.
pub fn reachable() -> Vec<&'static str> {
    let is_bound = |host: &&str| TcpListener::bind(format!("{host}:0")).is_ok();
    ["127.0.0.1", "[::1]"].into_iter().filter(is_bound).collect()
}

#[test]
fn commands_raise_their_limit_of_file_descriptors() {
    let script = "ulimit -S -n 100; exec \"$@\"";
    let args = ["relay", "--listen", "127.0.0.1:0"];
    let relay = Byway::start_by(script, args);
    let id = relay.id();
    let relay = Relay::of(relay);
    let mut listen = Byway::start_by(script, ["listen", "few:1", "--relay", &relay.url]);
    listen.wait_told("listening on few:1");
    let from = "127.0.0.1:0";
    let mut connect =
        Byway::start_by(script, ["connect", "few:1", "--from", from, "--relay", &relay.url]);
    connect.announced();
    for id in [id, listen.id(), connect.id()] {
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits")).expect("limits");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a line");
        let columns: Vec<_> = line.split_whitespace().collect();
        assert_eq!(columns[3], columns[4], "{line}");
    }
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

#[test]
fn document_that_stdout_does_not_take_is_a_failure() {
    let relay = Relay::start();
    let full = |args: &[&str]| {
        let mut command = crate::process::command();
        let full = std::fs::File::create("/dev/full").expect("the device");
        let output =
            command.args(args).stdin(Stdio::null()).stdout(full).output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("stdout cannot be written"), "{told}");
    };
    full(&["status", "--json", "--relay", &relay.url]);
    full(&["doctor", "--json", "--hold", "1", "--relay", &relay.url]);
    full(&["token", "new", "somebody", "--json"]);
    full(&["token", "new", "somebody"]);
}
