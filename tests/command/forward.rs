//! Forwards of TCP connections.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;

use crate::bytes::{Noise, read_all};
use crate::exit::reachable;
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

/// A server for one connection, with what it needs to live.
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
fn forward_carries_a_download_of_curl() {
    let forward = Forward::to(web::serve());
    let (page, code) = web::run(web::curl().arg(forward.url("/hello")));
    assert_eq!((page.as_slice(), code), (b"/hello".as_slice(), Some(0)));
    // Several requests over one connection.
    let paths = ["/a", "/b", "/c"].map(|path| forward.url(path));
    let (pages, code) = web::run(web::curl().args(paths));
    assert_eq!((pages.as_slice(), code), (b"/a/b/c".as_slice(), Some(0)));
    let (page, code) = web::run(web::curl().arg(forward.url("/until-closed")));
    assert_eq!((page.as_slice(), code), (b"to the end".as_slice(), Some(0)));
    let (_, code) = web::run(web::curl().arg("--fail").arg(forward.url("/missing")));
    assert_eq!(code, Some(22), "404");
}

#[test]
fn forward_carries_sixteen_downloads_at_once() {
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
    // The profile has two channels.
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

/// A client may connect before the listener is there, which a tunnel of `ssh -L` would refuse.
#[test]
fn forwarded_connection_waits_for_the_listener() {
    let relay = Relay::start();
    let (url, from) = (relay.url.as_str(), "127.0.0.1:0");
    let mut connect =
        Byway::start(["connect", "late:1", "--from", from, "--timeout", "100", "--relay", url]);
    let mut client = TcpStream::connect(connect.announced().0).expect("connects");
    client.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    client.write_all(b"?").expect("written");
    connect.wait_told("nobody listens at that endpoint");
    let (address, listener) = server();
    let to = address.to_string();
    let _listen = Byway::start(["listen", "late:1", "--to", &to, "--relay", url]);
    let mut server = accept(&listener);
    server.read_exact(&mut [0]).expect("it came");
    assert_eq!(connect.times_told("nobody listens"), 1);
}

#[test]
fn forward_listens_at_all_addresses_of_a_name() {
    let relay = Relay::start();
    let (address, listener) = server();
    let (to, url) = (address.to_string(), relay.url.as_str());
    let _listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", url]);
    let args = ["connect", "web:80", "--from", "localhost:0", "--relay", url];
    let mut connect = Byway::start(args);
    let (first, more) = connect.announced();
    let port = first.parse::<SocketAddr>().expect("an address").port();
    let hosts = reachable();
    for _ in &hosts[1..] {
        let announced = more.recv_timeout(DEADLINE).expect("an address for each");
        assert_eq!(announced.parse::<SocketAddr>().expect("an address").port(), port);
    }
    for host in hosts {
        let mut client = TcpStream::connect(format!("{host}:{port}")).expect("connects");
        client.write_all(b"?").expect("written");
        accept(&listener).read_exact(&mut [0]).expect("it came");
    }
}

#[test]
fn connections_beyond_the_channels_are_told_once_and_counted() {
    let (address, listener) = server();
    // The profile has two channels.
    let mut forward = Forward::with(address, "tiny");
    let open = |n: usize| (0..n).map(|_| forward.connect()).collect::<Vec<_>>();
    let serve = |n: usize| (0..n).map(|_| accept(&listener)).collect::<Vec<_>>();
    let (first, served) = (open(2), serve(2));
    let waiting = open(3);
    let connect = &mut forward._processes.2;
    connect.wait_told("all 2 places are taken");
    drop((first, served));
    let served = serve(2);
    drop((waiting, served));
    drop(serve(1));
    connect.wait_told("too many connections: over");
    assert_eq!(connect.times_told("waited: 3"), 1);
    assert_eq!(connect.times_told("places are taken"), 1);
}

#[test]
fn client_that_resets_while_the_listener_is_away_frees_its_place() {
    let relay = Relay::start();
    let (url, from) = (relay.url.as_str(), "127.0.0.1:0");
    // Two channels, taken for far longer than the test lasts.
    let mut connect = Byway::start([
        "connect",
        "late:1",
        "--from",
        from,
        "--timeout",
        "1000",
        "--profile",
        "tiny",
        "--relay",
        url,
    ]);
    let from: SocketAddr = connect.announced().0.parse().expect("an address");
    let client = |octet: u8| {
        let mut client = TcpStream::connect(from).expect("connects");
        client.write_all(&[octet]).expect("written");
        client
    };
    let early = [client(1), client(2)];
    connect.wait_told("late:1 takes no connections: ");
    let _late = client(3);
    connect.wait_told("all 2 places are taken");
    early.into_iter().for_each(reset);
    connect.wait_told("too many connections: over");

    let (address, listener) = server();
    let to = address.to_string();
    let _listen = Byway::start(["listen", "late:1", "--to", &to, "--relay", url]);
    let mut first = [0];
    accept(&listener).read_exact(&mut first).expect("it came");
    assert_eq!(first, [3], "of a client that has gone nothing is served");
}

#[test]
fn connections_refused_without_a_listener_are_told_once_and_counted() {
    let relay = Relay::start();
    let (url, from) = (relay.url.as_str(), "127.0.0.1:0");
    let mut connect =
        Byway::start(["connect", "nobody:1", "--from", from, "--timeout", "3", "--relay", url]);
    let from: SocketAddr = connect.announced().0.parse().expect("an address");
    for mut client in [(); 3].map(|()| TcpStream::connect(from).expect("connects")) {
        client.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let end = client.read(&mut [0]);
        assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    connect.wait_told("nobody:1 takes no connections: over");
    assert_eq!(connect.times_told("waited: 3, refused: 3"), 1);
    assert_eq!(connect.times_told("nobody listens"), 1);
}

#[test]
fn forward_keeps_file_descriptors_for_the_relay() {
    let relay = Relay::start();
    let (address, listener) = server();
    let (to, url, from) = (address.to_string(), relay.url.as_str(), "127.0.0.1:0");
    let _listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", url]);
    let args = ["connect", "web:80", "--from", from, "--relay", url];
    let mut connect = Byway::start_with_descriptors(38, args);
    connect.wait_told("at most 2 connections at once, not 256");
    let from: SocketAddr = connect.announced().0.parse().expect("an address");
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut client = TcpStream::connect(from).expect("connects");
            client.write_all(b"?").expect("written");
            client
        })
        .collect();
    connect.wait_told("all 2 places are taken");
    drop(clients);
    for _ in 0..40 {
        accept(&listener).read_exact(&mut [0]).expect("it came");
    }
    assert_eq!(connect.times_told("no file descriptors"), 0);
}

#[test]
fn shortage_of_file_descriptors_is_told_once_and_connections_wait() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let relay = Relay::start();
    let (address, listener) = server();
    let (to, url, from) = (address.to_string(), relay.url.as_str(), "127.0.0.1:0");
    let _listen = Byway::start(["listen", "web:80", "--to", &to, "--relay", url]);
    let mut connect = Byway::start(["connect", "web:80", "--from", from, "--relay", url]);
    let from: SocketAddr = connect.announced().0.parse().expect("an address");
    let pid = Pid::from_raw(connect.id() as i32).expect("a process");
    // The hard limit of the process is that of its parent, which the test knows.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| {
        let limit = Rlimit { current: Some(current), maximum };
        prlimit(Some(pid), Resource::Nofile, limit).expect("the limit is set");
    };
    limit(3);
    let mut client = TcpStream::connect(from).expect("connects");
    client.write_all(b"?").expect("written");
    connect.wait_told("no file descriptors: Too many open files");
    // Time for ten more attempts.
    thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(connect.times_told("Too many open files"), 1);
    limit(100);
    accept(&listener).read_exact(&mut [0]).expect("it came");
    connect.wait_told("no file descriptors: over");
    assert_eq!(connect.times_told("waited: 1"), 1);
}

#[test]
fn directions_end_independently() {
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
fn server_may_speak_and_end_first() {
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
fn reset_is_carried_to_the_server() {
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
fn reset_is_carried_to_the_client() {
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
fn failed_dial_resets_the_connection() {
    let (address, listener) = server();
    drop(listener);
    let forward = Forward::to(address);
    let error = forward.connect().read(&mut [0]).expect_err("not the end of the data");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let (relay, mut listen, _connect) = forward._processes;
    listen.wait_told(&format!("cannot connect to {address}: Connection refused"));
    drop(relay);
}
