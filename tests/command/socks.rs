//! SOCKS5, to byway names and to targets that the far end dials.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::forward::{accept, server};
use crate::process::{Byway, DEADLINE, Relay};
use crate::web;

const HELLO: &[u8] = &[5, 1, 0];

/// A CONNECT to a name.
fn to_name(name: &str, port: u16) -> Vec<u8> {
    let len = u8::try_from(name.len()).expect("short");
    [&[5, 1, 0, 3, len], name.as_bytes(), &port.to_be_bytes()].concat()
}

fn to_address(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => [&[5, 1, 0, 1], &v4.ip().octets()[..], &port].concat(),
        SocketAddr::V6(v6) => [&[5, 1, 0, 4], &v6.ip().octets()[..], &port].concat(),
    }
}

fn open(from: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(from).expect("connects");
    tcp.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    tcp
}

/// Sends a request and gives the connection and the reply's code.
fn request(from: SocketAddr, request: &[u8]) -> (TcpStream, u8) {
    let mut tcp = open(from);
    tcp.write_all(HELLO).expect("written");
    let mut method = [0; 2];
    tcp.read_exact(&mut method).expect("a method");
    assert_eq!(method, [5, 0]);
    tcp.write_all(request).expect("written");
    let mut reply = [0; 10];
    tcp.read_exact(&mut reply).expect("a reply");
    assert_eq!((reply[0], reply[3]), (5, 1));
    (tcp, reply[1])
}

fn socks<const N: usize>(args: [&str; N]) -> (SocketAddr, Byway) {
    let mut process = Byway::start(args);
    (process.announced().0.parse().expect("an address"), process)
}

/// The address of a SOCKS server whose targets the far end dials if they match `pattern`.
fn any(relay: &Relay, pattern: &str) -> (SocketAddr, [Byway; 2]) {
    let url = relay.url.as_str();
    let mut listen =
        Byway::start(["listen", "out:1", "--to-any", "--allow", pattern, "--relay", url]);
    listen.wait_told("listening on out:1");
    let args = ["connect", "out:1", "--socks", "127.0.0.1:0", "--relay", url];
    let (from, connect) = socks(args);
    (from, [listen, connect])
}

#[test]
fn socks_connects_to_byway_names() {
    let relay = Relay::start();
    let (to, url) = (web::serve().to_string(), relay.url.as_str());
    let mut listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", url]);
    listen.wait_told("listening on web:80");
    let args = ["connect", "--socks", "127.0.0.1:0", "--timeout", "2", "--relay", url];
    let (from, _connect) = socks(args);
    for name in ["web", "web.byway"] {
        let proxy = format!("socks5h://{from}");
        let mut curl = web::curl();
        curl.args(["--noproxy", "", "--proxy", &proxy, &format!("http://{name}/hello")]);
        assert_eq!(web::run(&mut curl), (b"/hello".to_vec(), Some(0)), "{name}");
    }
    assert_eq!(request(from, &to_name("nobody", 80)).1, 5, "no listener");
    assert_eq!(request(from, &to_name("no name", 80)).1, 4, "no name");
    assert_eq!(request(from, &to_address(from)).1, 8, "an address");
}

#[test]
fn socks_dials_at_the_far_end_what_is_allowed() {
    let relay = Relay::start();
    let (address, listener) = server();
    let (from, _processes) = any(&relay, &format!("127.0.0.1:{}", address.port()));
    let (mut client, code) = request(from, &to_address(address));
    assert_eq!(code, 0);
    let mut served = accept(&listener);
    client.write_all(b"to").expect("written");
    served.read_exact(&mut [0; 2]).expect("it came");
    served.write_all(b"fro").expect("written");
    drop(served);
    let mut got = Vec::new();
    client.read_to_end(&mut got).expect("to the end");
    assert_eq!(got, b"fro");
    // By a name, too, that resolves to what is allowed.
    assert_eq!(request(from, &to_name("localhost", address.port())).1, 0);
    let mut other = address;
    other.set_port(address.port() ^ 1);
    assert_eq!(request(from, &to_address(other)).1, 2, "another port");
    drop(listener);
    assert_eq!(request(from, &to_address(address)).1, 5, "refused");
}

#[test]
fn socks_dials_an_ipv6_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        eprintln!("socks_dials_an_ipv6_address is skipped: this machine has no ::1");
        return;
    };
    let (relay, address) = (Relay::start(), listener.local_addr().expect("an address"));
    let (from, _processes) = any(&relay, &address.to_string());
    let (mut client, code) = request(from, &to_address(address));
    assert_eq!(code, 0);
    let (mut served, _) = listener.accept().expect("a connection");
    client.write_all(b"to").expect("written");
    served.read_exact(&mut [0; 2]).expect("it came");
}

#[test]
fn name_that_resolves_to_this_machine_is_not_dialled_for_a_wildcard() {
    let relay = Relay::start();
    let (address, _listener) = server();
    let (from, [mut listen, _connect]) = any(&relay, "*:*");
    assert_eq!(request(from, &to_name("localhost", address.port())).1, 2);
    assert_eq!(request(from, &to_address(address)).1, 2);
    listen.wait_told("is not dialled: no --allow has it");
    drop((listen, _connect));
    let (from, _processes) = any(&relay, &format!("localhost:{}", address.port()));
    assert_eq!(request(from, &to_name("localhost", address.port())).1, 0);
    assert_eq!(request(from, &to_address(address)).1, 2, "the name alone is allowed");
}

#[test]
fn request_of_another_kind_is_refused_by_its_code() {
    let relay = Relay::start();
    let args = ["connect", "--socks", "127.0.0.1:0", "--relay", &relay.url];
    let (from, _connect) = socks(args);
    assert_eq!(request(from, &[5, 2, 0, 1, 127, 0, 0, 1, 0, 80]).1, 7, "BIND");
    assert_eq!(request(from, &[5, 3, 0, 1, 127, 0, 0, 1, 0, 80]).1, 7, "UDP ASSOCIATE");
    assert_eq!(request(from, &[5, 1, 0, 2, 0, 0]).1, 8, "no kind of address");
    let mut tcp = open(from);
    tcp.write_all(&[5, 1, 2]).expect("written");
    let mut method = Vec::new();
    tcp.read_to_end(&mut method).expect("to the end");
    assert_eq!(method, [5, 0xff], "a password");
    let mut tcp = open(from);
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("written");
    assert!(matches!(tcp.read(&mut [0]), Ok(0) | Err(_)), "something else");
    // Silence is bounded.
    let mut tcp = open(from);
    tcp.write_all(HELLO).expect("written");
    tcp.read_exact(&mut [0; 2]).expect("a method");
    assert!(matches!(tcp.read(&mut [0]), Ok(0) | Err(_)), "silence");
}

#[test]
fn targets_without_a_pattern_are_a_wrong_usage() {
    let args = ["listen", "out:1", "--to-any", "--relay", "http://127.0.0.1:9"];
    Byway::start(args).end().expect_code(2).expect_line(&["--allow"]);
}

/// Each name is told by itself, and another one as well while the first is still waited for.
#[test]
fn names_that_nobody_listens_at_are_told_each() {
    let relay = Relay::start();
    let args = ["connect", "--socks", "127.0.0.1:0", "--timeout", "100", "--relay", &relay.url];
    let (from, mut connect) = socks(args);
    let mut waiting = Vec::new();
    for name in ["first", "second"] {
        let mut tcp = open(from);
        tcp.write_all(&[HELLO, &to_name(name, 80)].concat()).expect("written");
        connect.wait_told(&format!("{name}:80 takes no connections: "));
        waiting.push(tcp);
    }
}
