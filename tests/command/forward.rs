//! TCP connections, forwarded.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use crate::bytes::{Noise, read_all};
use crate::orders::reset;
use crate::process::{Byway, DEADLINE, Relay};
use crate::web;

/// A TCP server, reached through a relay.
pub struct Forward {
    pub address: SocketAddr,
    _processes: (Relay, Byway, Byway),
}

impl Forward {
    pub fn to(server: SocketAddr) -> Self {
        Self::with(server, "server")
    }

    pub fn with(server: SocketAddr, profile: &str) -> Self {
        let relay = Relay::start();
        let url = relay.url.as_str();
        let to = server.to_string();
        let mut listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", url]);
        listen.wait_told("listening on web:80");
        let from = "127.0.0.1:0";
        let mut connect = Byway::start([
            "connect",
            "web:80",
            "--from",
            from,
            "--relay",
            url,
            "--profile",
            profile,
        ]);
        let address = connect.announced().0.parse().expect("an address");
        Self { address, _processes: (relay, listen, connect) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connect(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).expect("connects");
        tcp.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        tcp
    }
}

/// A server for one connection, and the means to be it.
pub fn server() -> (SocketAddr, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    (listener.local_addr().expect("its address"), listener)
}

pub fn accept(listener: &TcpListener) -> TcpStream {
    let (tcp, _) = listener.accept().expect("a connection");
    tcp.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    tcp
}

#[test]
fn curl_through_the_forward() {
    let forward = Forward::to(web::serve());
    let (page, code) = web::run(web::curl().arg(forward.url("/hello")));
    assert_eq!((page.as_slice(), code), (b"/hello".as_slice(), Some(0)));
    // Several over one connection.
    let paths = ["/a", "/b", "/c"].map(|path| forward.url(path));
    let (pages, code) = web::run(web::curl().args(paths));
    assert_eq!((pages.as_slice(), code), (b"/a/b/c".as_slice(), Some(0)));
    let (page, code) = web::run(web::curl().arg(forward.url("/until-closed")));
    assert_eq!((page.as_slice(), code), (b"to the end".as_slice(), Some(0)));
    let (_, code) = web::run(web::curl().arg("--fail").arg(forward.url("/missing")));
    assert_eq!(code, Some(22), "404");
}

#[test]
fn sixteen_curls_at_once() {
    let forward = Forward::to(web::serve());
    let expected = Noise::new(3).write(std::io::sink(), web::FILE).expect("hashed");
    let curls: Vec<_> = (0..16)
        .map(|_| web::curl().arg(forward.url("/file")).stdout(Stdio::piped()).spawn())
        .collect();
    let hashes: Vec<_> = curls
        .into_iter()
        .map(|curl| {
            thread::spawn(move || {
                let mut curl = curl.expect("curl runs: install the package curl");
                let read = read_all(curl.stdout.take().expect("piped"), |_| {});
                (read.expect("read"), curl.wait().expect("waited for").code())
            })
        })
        .collect();
    for hash in hashes {
        assert_eq!(hash.join().expect("joined"), ((web::FILE, expected), Some(0)));
    }
}

#[test]
fn more_connections_than_channels_wait() {
    // Two channels.
    let forward = Forward::with(web::serve(), "tiny");
    let curls: Vec<_> = (0..8)
        .map(|i| {
            let mut curl = web::curl();
            curl.arg(forward.url(&format!("/{i}")));
            thread::spawn(move || web::run(&mut curl))
        })
        .collect();
    for (i, curl) in curls.into_iter().enumerate() {
        assert_eq!(curl.join().expect("joined"), (format!("/{i}").into_bytes(), Some(0)));
    }
}

#[test]
fn each_direction_ends_by_itself() {
    let (address, listener) = server();
    let forward = Forward::to(address);
    let mut client = forward.connect();
    client.write_all(b"a request").expect("written");
    client.shutdown(Shutdown::Write).expect("shut down");
    let mut server = accept(&listener);
    let mut text = String::new();
    server.read_to_string(&mut text).expect("to the end");
    assert_eq!(text, "a request");
    server.write_all(b"a reply").expect("the other direction is open");
    drop(server);
    let mut text = String::new();
    client.read_to_string(&mut text).expect("to the end");
    assert_eq!(text, "a reply");
}

#[test]
fn a_server_that_speaks_first_and_ends_first() {
    let (address, listener) = server();
    let forward = Forward::to(address);
    let mut client = forward.connect();
    let mut server = accept(&listener);
    server.write_all(b"220 hello").expect("written");
    server.shutdown(Shutdown::Write).expect("shut down");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("to the end");
    assert_eq!(text, "220 hello");
    client.write_all(b"QUIT").expect("the other direction is open");
    drop(client);
    let mut text = String::new();
    server.read_to_string(&mut text).expect("to the end");
    assert_eq!(text, "QUIT");
}

#[test]
fn a_reset_is_carried_to_the_server() {
    let (address, listener) = server();
    let forward = Forward::to(address);
    let mut client = forward.connect();
    client.write_all(b"x").expect("written");
    let mut server = accept(&listener);
    server.read_exact(&mut [0]).expect("the channel is open");
    reset(client);
    let error = server.read(&mut [0]).expect_err("not the end of the data");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_is_carried_to_the_client() {
    let (address, listener) = server();
    let forward = Forward::to(address);
    let mut client = forward.connect();
    client.write_all(b"x").expect("written");
    let mut server = accept(&listener);
    server.read_exact(&mut [0]).expect("the channel is open");
    reset(server);
    let error = client.read(&mut [0]).expect_err("not the end of the data");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_failed_dial_resets_the_connection() {
    let (address, listener) = server();
    drop(listener);
    let forward = Forward::to(address);
    let error = forward.connect().read(&mut [0]).expect_err("not the end of the data");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let (relay, mut listen, _connect) = forward._processes;
    listen.wait_told(&format!("cannot connect to {address}: Connection refused"));
    drop(relay);
}
