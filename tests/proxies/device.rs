//! Firmware's front behind proxies: in absolute form, and behind nginx that stands for the relay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::device::{Device, Link, LinkFault, RelayAddress, Sockets};
use byway::error::Blocked;
use byway::relay::Relay;
use byway::secure::{Identity, Secret};
use byway::session::{Anything, ChannelId, Half, Security, Settings, Single, Storage};
use byway::{Endpoint, Kind};
use embedded_io::{Read, Write};

use crate::daemon::Daemon;
use crate::tcp::{Tcp, Watch};
use crate::tls::Tls;
use crate::tunnel::tls_front;
use crate::{DEADLINE, pattern, relay};

/// What the device encrypts with.
fn security() -> Security {
    Security::new(&Identity::from_seed([9; 32]), Secret::new([8; 32]))
}

/// Octets that go each way.
const LEN: usize = 64 << 10;

/// Octets of the device's ring, which are those of firmware.
const RING: usize = 2_048;

type Front<'s, L = Tcp> = Sockets<'s, L, Watch, Anything>;

/// Runs `test` with a device that is connected by `link` to a client that echoes.
fn with_device<L: Link>(
    relay: &Relay,
    link: L,
    place: RelayAddress<'_>,
    test: impl FnOnce(&mut Front<'_, L>, ChannelId),
) {
    let peer = Client::open(Config::new(relay.url())).expect("opens");
    let listener = peer.listen("there:1").expect("listens");
    std::thread::scope(|scope| {
        scope.spawn(|| mirror(listener.accept_timeout(DEADLINE).expect("accepts")));
        let mut memory: Storage<1, RING, 1, Single> = Storage::new();
        let mut head = [0; 512];
        let device = Device::new(memory.session(), link, place, &mut head);
        let mut front = Sockets::new(device, Watch::new());
        front.set_timeout(DEADLINE.as_millis() as u32);
        front.open(&Settings::new([9; 16], 9));
        front.encrypt(security());
        let endpoint = Endpoint::try_from("there:1").expect("an endpoint");
        let id = front.connect(endpoint, Kind::Stream, b"").expect("connects");
        test(&mut front, id);
        front.release(id);
        front.close(DEADLINE.as_millis() as u32).expect("closes");
    });
}

/// Echoes every octet.
fn mirror(stream: Stream) {
    let mut octets = [0; 4_096];
    loop {
        match std::io::Read::read(&mut &stream, &mut octets).expect("reads") {
            0 => break,
            n => std::io::Write::write_all(&mut &stream, &octets[..n]).expect("writes"),
        }
    }
    stream.shutdown(std::net::Shutdown::Write).expect("is open");
    stream.wait_acked(DEADLINE).expect("acknowledged");
}

/// Sends and receives all octets, by turns as the ring has room.
fn carry(front: &mut Front<'_>, id: ChannelId) {
    let said = pattern(3, 0, LEN);
    let (mut sent, mut heard) = (0, Vec::new());
    let mut some = [0; 1_024];
    loop {
        let now = front.now();
        let session = front.device().session();
        if sent < LEN {
            sent += session.write(now, id, &said[sent..]).expect("writes");
            if sent == LEN {
                session.shutdown(now, id, Half::Write).expect("is open");
            }
        }
        match session.read(now, id, &mut some).expect("reads") {
            Some(0) => break,
            Some(n) => heard.extend_from_slice(&some[..n]),
            None => {}
        }
        front.poll();
        byway::device::Clock::wait(&mut Watch::new(), 0);
    }
    assert!(heard == said);
}

fn by_proxy(proxy: &Daemon, fields: &str) {
    let relay = relay();
    let authority = relay.local_addr().to_string();
    let place = RelayAddress { by_proxy: true, fields, ..RelayAddress::new(&authority) };
    with_device(&relay, Tcp::new(([127, 0, 0, 1], proxy.port).into()), place, carry);
    let access = proxy.access();
    assert!(access.contains("/v1?n="), "{access}");
    assert!(!access.contains("CONNECT 127."), "{access}");
}

#[test]
fn device_works_through_squid() {
    by_proxy(&Daemon::squid(443, &[]), "");
}

#[test]
fn device_gives_squid_its_password() {
    let squid = Daemon::squid(443, &[("ann", "secret")]);
    by_proxy(&squid, "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n");
    assert!(!squid.access().contains("/407"), "{}", squid.access());
}

#[test]
fn device_works_through_tinyproxy() {
    by_proxy(&Daemon::tinyproxy(None), "");
}

/// The round trips of a device by `link`, each begun once `ready`: the sorted times, and how often
/// the device had dialled by then, as `dialled` tells.
pub fn round_trips<L: Link>(
    relay: &Relay,
    link: L,
    ready: impl Fn(&mut Front<'_, L>, &Relay),
    dialled: impl Fn(&L) -> usize,
) -> (Vec<Duration>, usize) {
    const TURNS: u8 = 200;
    let (mut times, mut connections) = (Vec::new(), 0);
    with_device(relay, link, RelayAddress::new("localhost"), |front, id| {
        for turn in 0..TURNS {
            ready(front, relay);
            let began = Instant::now();
            front.stream(id).write_all(&[turn]).expect("writes");
            let mut octet = [0];
            assert_eq!(front.stream(id).read(&mut octet), Ok(1));
            assert_eq!(octet, [turn]);
            times.push(began.elapsed());
        }
        connections = dialled(front.device().link());
        front.stream(id).shutdown(Half::Write).expect("is open");
        assert_eq!(front.stream(id).read(&mut [0]), Ok(0));
    });
    times.sort_unstable();
    (times, connections)
}

/// Waits until the device's park is at the relay, beside the peer's.
pub fn parked<L: Link>(front: &mut Front<'_, L>, relay: &Relay) {
    while relay.stats().parked < 2 {
        front.poll();
    }
}

/// nginx with its defaults before a relay.
fn nginx(relay: &Relay) -> (Daemon, Tcp) {
    let origin = relay.local_addr();
    let nginx = Daemon::nginx(|_, port| {
        format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{origin}; }} }}"
        )
    });
    let to = SocketAddr::from(([127, 0, 0, 1], nginx.port));
    (nginx, Tcp::new(to))
}

/// The most connections of a device until it knows that octets are held back: its first, and one
/// behind each of the two attempts without an answer. Two more, since a busy machine may look like
/// that.
pub const FOUND_OUT: usize = 5;

/// nginx before the relay keeps back octets behind a request. The device finds that out once, and
/// then sends at the end of short requests, on the connection that it has.
#[test]
fn device_that_speaks_while_it_waits_keeps_its_connection_behind_nginx() {
    let relay = relay();
    let (_nginx, link) = nginx(&relay);
    let (times, dialled) = round_trips(&relay, link, parked, |link| link.dialled);
    let median = times[times.len() / 2];
    println!("speaking while parked, behind nginx: {dialled} connections, median {median:?}");
    assert!(dialled <= FOUND_OUT, "{dialled} connections");
    // The shortest hold is 250 ms.
    assert!(median.as_millis() < 500, "{median:?}");
}

#[test]
fn device_behind_nginx_is_answered_without_a_wait() {
    let relay = relay();
    let (_nginx, link) = nginx(&relay);
    let (times, dialled) = round_trips(&relay, link, |_, _| {}, |link| link.dialled);
    let median = times[times.len() / 2];
    println!("taking turns, behind nginx: {dialled} connections, median {median:?}");
    assert!(dialled <= FOUND_OUT, "{dialled} connections");
    assert!(median.as_millis() < 100, "{median:?}");
}

/// The link's own error tells what is wrong with a certificate, and the device makes few
/// handshakes.
#[test]
fn untrusted_certificate_is_told_and_seldom_tried() {
    let relay = relay();
    let (nginx, _) = tls_front(relay.local_addr().port());
    let (_, other) = tls_front(relay.local_addr().port());
    let mut memory: Storage<1, RING, 1, Single> = Storage::new();
    let mut head = [0; 512];
    let link = Tls::new(nginx.port, &other);
    let place = RelayAddress::new("localhost");
    let device = Device::new(memory.session(), link, place, &mut head);
    let mut front = Sockets::new(device, Watch::new());
    front.set_timeout(10_000);
    front.open(&Settings::new([9; 16], 9));
    front.encrypt(security());
    let endpoint = Endpoint::try_from("there:1").expect("an endpoint");
    front.connect(endpoint, Kind::Stream, b"").expect_err("no relay");
    assert_eq!(front.device().session().blocked(), Some(Blocked::Connect));
    let Some(LinkFault::Dial(error)) = front.device().fault() else {
        panic!("no fault of the link: {:?}", front.device().fault());
    };
    let cause = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    assert!(matches!(cause, Some(rustls::Error::InvalidCertificate(_))), "{error:?}");
    let dialled = front.device().link().dialled;
    println!("a certificate that is not trusted: {dialled} handshakes in 10 s");
    // Tries are made at 0, soon after, and 2 s and 6 s later.
    assert!((2..=4).contains(&dialled), "{dialled} handshakes in 10 s");
}
