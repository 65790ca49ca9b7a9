//! Firmware's front behind proxies: in absolute form, and before a relay that nginx stands for.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use byway::client::{Client, Config, Stream};
use byway::device::{Device, Relay as Place, Sockets};
use byway::relay::Relay;
use byway::session::{Anything, ChannelId, Half, Settings, Single, Storage};
use byway::{Endpoint, Kind};
use embedded_io::{Read, Write};

use crate::daemon::Daemon;
use crate::tcp::{Tcp, Watch};
use crate::{DEADLINE, pattern, relay};

/// What goes each way.
const LEN: usize = 64 << 10;

/// Octets of the device's ring: firmware's.
const RING: usize = 2_048;

type Front<'s> = Sockets<'s, Tcp, Watch, Anything>;

/// Runs `test` with a device that is connected, by a link to `to`, to a client that mirrors.
fn with_device(
    relay: &Relay,
    to: SocketAddr,
    place: Place<'_>,
    test: impl FnOnce(&mut Front<'_>, ChannelId),
) {
    let peer = Client::open(Config::new(relay.url())).expect("opens");
    let listener = peer.listen("there:1").expect("listens");
    std::thread::scope(|scope| {
        scope.spawn(|| mirror(listener.accept_timeout(DEADLINE).expect("accepts")));
        let mut memory: Storage<1, RING, 1, Single> = Storage::new();
        let mut head = [0; 512];
        let device = Device::new(memory.session(), Tcp::new(to), place, &mut head);
        let mut front = Sockets::new(device, Watch::new());
        front.set_timeout(DEADLINE.as_millis() as u32);
        front.open(&Settings::new([9; 16], 9));
        let endpoint = Endpoint::try_from("there:1").expect("an endpoint");
        let id = front.connect(endpoint, Kind::Stream, b"").expect("connects");
        test(&mut front, id);
        front.release(id);
        front.close(DEADLINE.as_millis() as u32).expect("closes");
    });
}

/// Says whatever it hears.
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

/// Sends and hears everything, by turns of what fits.
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
    let place = Place { by_proxy: true, fields, ..Place::new(&authority) };
    with_device(&relay, ([127, 0, 0, 1], proxy.port).into(), place, carry);
    let access = proxy.access();
    assert!(access.contains("/v1?n="), "{access}");
    assert!(!access.contains("CONNECT 127."), "{access}");
}

#[test]
fn by_squid() {
    by_proxy(&Daemon::squid(443, &[]), "");
}

#[test]
fn by_squid_for_its_users() {
    let squid = Daemon::squid(443, &[("ann", "secret")]);
    by_proxy(&squid, "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n");
    assert!(!squid.access().contains("/407"), "{}", squid.access());
}

#[test]
fn by_tinyproxy() {
    by_proxy(&Daemon::tinyproxy(None), "");
}

/// Round trips through nginx before the relay, with its defaults, each begun once `ready`: how long they
/// took, sorted, and how many connections there were.
fn round_trips(ready: impl Fn(&mut Front<'_>, &Relay)) -> (Vec<Duration>, usize) {
    const TURNS: u8 = 200;
    let relay = relay();
    let origin = relay.local_addr();
    let nginx = Daemon::nginx(|_, port| {
        format!(
            "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{origin}; }} }}"
        )
    });
    let to = SocketAddr::from(([127, 0, 0, 1], nginx.port));
    let authority = to.to_string();
    let mut times = Vec::new();
    let mut dialled = 0;
    with_device(&relay, to, Place::new(&authority), |front, id| {
        for turn in 0..TURNS {
            ready(front, &relay);
            let began = Instant::now();
            front.stream(id).write_all(&[turn]).expect("writes");
            let mut octet = [0];
            assert_eq!(front.stream(id).read(&mut octet), Ok(1));
            assert_eq!(octet, [turn]);
            times.push(began.elapsed());
        }
        dialled = front.device().link().dialled;
        front.stream(id).shutdown(Half::Write).expect("is open");
        assert_eq!(front.stream(id).read(&mut [0]), Ok(0));
    });
    times.sort_unstable();
    (times, dialled)
}

/// Connections that a device makes until it knows that words are held back: its first, and one behind
/// each of the two words that brought no answer. Two more, since a busy machine may look like that.
const FOUND_OUT: usize = 5;

/// nginx before the relay keeps back what comes behind a request. The device finds that out once, and
/// says what it has to say at the end of requests that are short, on the connection that it has.
#[test]
fn a_device_that_speaks_while_it_waits_behind_nginx_keeps_its_connection() {
    let (times, dialled) = round_trips(|front, relay| {
        // Once its request waits at the relay, beside the peer's.
        while relay.stats().parked < 2 {
            front.poll();
        }
    });
    let median = times[times.len() / 2];
    println!("speaking while parked, behind nginx: {dialled} connections, median {median:?}");
    assert!(dialled <= FOUND_OUT, "{dialled} connections");
    // The shortest hold is 250 ms.
    assert!(median.as_millis() < 500, "{median:?}");
}

#[test]
fn a_device_that_asks_and_hears_behind_nginx_waits_for_nothing() {
    let (times, dialled) = round_trips(|_, _| {});
    let median = times[times.len() / 2];
    println!("taking turns, behind nginx: {dialled} connections, median {median:?}");
    assert!(dialled <= FOUND_OUT, "{dialled} connections");
    assert!(median.as_millis() < 100, "{median:?}");
}
