//! Forwards of datagrams.

use std::net::{SocketAddr, UdpSocket};

use crate::process::{Byway, DEADLINE, Relay};

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time-out");
    socket
}

fn take(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 65_535];
    let (n, from) = socket.recv_from(&mut buffer).expect("a datagram");
    (buffer[..n].to_vec(), from)
}

/// A forward of datagrams to a server.
struct Forward {
    server: UdpSocket,
    from: SocketAddr,
    connect: Byway,
    _far: (Relay, Byway),
}

impl Forward {
    fn new(more: [&str; 2], profile: &str) -> Self {
        let (relay, server) = (Relay::start(), socket());
        let to = server.local_addr().expect("an address").to_string();
        let url = relay.url.clone();
        let args = ["listen", "dns:53", "--udp", "--to", &to, "--relay", &url];
        let mut listen = Byway::start(args);
        listen.wait_told("listening on dns:53");
        let [option, value] = more;
        let mut connect = Byway::start([
            "connect",
            "dns:53",
            "--udp",
            "--from",
            "127.0.0.1:0",
            "--relay",
            &url,
            "--profile",
            profile,
            option,
            value,
        ]);
        let from = connect.announced().0.parse().expect("an address");
        Self { server, from, connect, _far: (relay, listen) }
    }

    fn client(&self) -> UdpSocket {
        let client = socket();
        client.connect(self.from).expect("connected");
        client
    }
}

#[test]
fn datagrams_of_each_address_have_a_socket_of_their_own_and_the_first_is_not_lost() {
    let forward = Forward::new(["--silence", "120"], "server");
    let clients = [forward.client(), forward.client()];
    let mut sources = Vec::new();
    for (octet, client) in (1..).zip(&clients) {
        for len in [1, 0, 1200, 9000] {
            client.send(&vec![octet; len]).expect("sent");
            let (got, source) = take(&forward.server);
            assert_eq!(got, vec![octet; len]);
            forward.server.send_to(&[octet, 9], source).expect("sent");
            assert_eq!(take(client).0, [octet, 9]);
            sources.push(source);
        }
    }
    sources.dedup();
    assert_eq!(sources.len(), 2, "{sources:?}");
}

#[test]
fn flow_ends_after_silence_and_the_next_datagram_begins_another() {
    let forward = Forward::new(["--silence", "1"], "server");
    let client = forward.client();
    client.send(b"a").expect("sent");
    let (_, first) = take(&forward.server);
    std::thread::sleep(std::time::Duration::from_secs(3));
    client.send(b"b").expect("sent");
    let (got, second) = take(&forward.server);
    assert_eq!(got, b"b");
    assert_ne!(first, second);
}

#[test]
fn forward_of_one_flow_ends_with_it_at_both_ends() {
    let (relay, server) = (Relay::start(), socket());
    let (to, url) = (server.local_addr().expect("an address").to_string(), relay.url.as_str());
    let args = ["listen", "dns:53", "--udp", "--once", "--to", &to, "--relay", url];
    let mut listen = Byway::start(args);
    listen.wait_told("listening on dns:53");
    let from = "127.0.0.1:0";
    let [udp, once, silence] = ["--udp", "--once", "--silence"];
    let args = ["connect", "dns:53", udp, once, silence, "3", "--from", from, "--relay", url];
    let mut connect = Byway::start(args);
    let from: SocketAddr = connect.announced().0.parse().expect("an address");
    let clients = [socket(), socket()];
    clients[0].send_to(b"first", from).expect("sent");
    let (got, source) = take(&server);
    assert_eq!(got, b"first");
    // Another address has no part in it.
    clients[1].send_to(b"other", from).expect("sent");
    clients[0].send_to(b"second", from).expect("sent");
    assert_eq!(take(&server), (b"second".to_vec(), source));
    server.send_to(b"answer", source).expect("sent");
    assert_eq!(take(&clients[0]).0, b"answer");
    connect.end().expect_code(0);
    listen.end().expect_code(0);
}

#[test]
fn least_recently_used_flow_gives_its_place_to_a_new_one() {
    // The profile has two channels.
    let forward = Forward::new(["--silence", "1000"], "tiny");
    let clients: Vec<_> = (0..4).map(|_| forward.client()).collect();
    for (octet, client) in (0..).zip(&clients) {
        client.send(&[octet]).expect("sent");
        assert_eq!(take(&forward.server).0, [octet]);
    }
    clients[0].send(b"again").expect("sent");
    assert_eq!(take(&forward.server).0, b"again");
}

#[test]
fn datagram_that_is_too_long_is_told_and_dropped() {
    let mut forward = Forward::new(["--silence", "120"], "tiny");
    let client = forward.client();
    client.send(b"first").expect("sent");
    assert_eq!(take(&forward.server).0, b"first");
    client.send(&[7; 60_000]).expect("sent");
    forward.connect.wait_told("dropped, 1 so far: datagrams of more than");
    client.send(b"next").expect("sent");
    assert_eq!(take(&forward.server).0, b"next");
}

#[test]
fn datagrams_have_no_unix_sockets() {
    let args = ["connect", "dns:53", "--udp", "--from", "unix:a", "--relay", "http://127.0.0.1:9"];
    Byway::start(args).end().expect_code(2).expect_line(&["--udp", "--from HOST:PORT"]);
}

/// One of the two ends is told to forward datagrams, and says which lacks that.
#[test]
fn end_without_udp_is_named_by_the_one_that_connects() {
    let relay = Relay::start();
    let url = relay.url.as_str();
    let to = "127.0.0.1:9";
    let mut udp = Byway::start(["listen", "dns:53", "--udp", "--to", to, "--relay", url]);
    let mut tcp = Byway::start(["listen", "web:80", "--to", to, "--relay", url]);
    udp.wait_told("listening on dns:53");
    tcp.wait_told("listening on web:80");
    let mut pipe = Byway::start(["connect", "dns:53", "--relay", url]);
    drop(pipe.stdin());
    pipe.end().expect_code(2).expect_line(&["its listener has --udp, and this end has not"]);
    let from = "127.0.0.1:0";
    let mut forward = Byway::start(["connect", "dns:53", "--from", from, "--relay", url]);
    let _client = std::net::TcpStream::connect(forward.announced().0).expect("connects");
    forward.wait_told("dns:53: its listener has --udp");
    let args = ["connect", "web:80", "--udp", "--from", from, "--relay", url];
    let mut forward = Byway::start(args);
    let client = socket();
    client.send_to(b"a", forward.announced().0).expect("sent");
    forward.wait_told("web:80: this end has --udp, and its listener has not");
}
