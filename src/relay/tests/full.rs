//! Who has a place when there are more connections than places, and who is shown the door.

use std::pin::pin;
use std::task::{Context, Waker};

use super::*;
use crate::relay::places::LEAVING;

/// A relay with so many places.
fn places(max_connections: usize) -> Relay {
    Relay::bind(RelayConfig { max_connections, ..RelayConfig::default() }).unwrap()
}

/// Parks of the sessions 1 to `n`.
fn parks(relay: &Relay, n: u8) -> Vec<TcpStream> {
    (1..=n).map(|n| park(relay, Body::park(n, 1, 20_000))).collect()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let ended = stream.read(&mut [0]);
    matches!(ended, Ok(0)) || ended.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
}

fn assert_full(reply: &Reply) {
    assert_eq!(reply.status, 503);
    for header in ["retry-after: 5", "connection: close", "byway-status: full"] {
        assert!(reply.head.contains(header), "{header} in {}", reply.head);
    }
}

#[test]
fn newcomers_are_refused_while_known_sessions_are_served() {
    let relay = places(16);
    let mut parked = parks(&relay, 14);
    for n in [20, 21] {
        for body in [Body::send(n), Body::park(n, 1, 20_000), Body::single(n, 1)] {
            let mut stream = dial(&relay);
            post(&mut stream, &body.done());
            assert_full(&reply(&mut stream));
            assert!(is_closed(&mut stream));
        }
    }
    let seen = send(&relay, Body::send(1).to(2, 7).stream(0, b"hello"));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 5)]);
    assert_eq!(parse(&reply(&mut parked[1]).body).stream(), b"hello");
    assert_eq!(relay.connections().refused, 6);
    // The place is free.
    drop(parked);
    while relay.stats().parked > 0 {
        std::thread::yield_now();
    }
    assert_eq!(send(&relay, Body::send(20)).end(), Status::Ok);
}

#[test]
fn a_newcomer_reads_the_refusal_while_its_body_is_on_its_way() {
    let relay = places(8);
    let _parked = parks(&relay, 7);
    let mut stream = dial(&relay);
    let body = Body::send(20).to(1, 7).stream(0, &vec![1; 200_000]);
    post(&mut stream, &body.done());
    assert_full(&reply(&mut stream));
}

#[test]
fn a_connection_without_a_place_is_refused_before_it_says_anything() {
    let relay = places(8);
    let _parked = parks(&relay, 7);
    // The last place is a known session's, whose upload is under way.
    let half = request(Body::send(1).to(2, 7).stream(0, b"hello"));
    let mut last = dial(&relay);
    last.write_all(&half[..half.len() - 1]).unwrap();
    while relay.connections().served < 8 {
        std::thread::yield_now();
    }
    let mut stream = dial(&relay);
    assert_full(&reply(&mut stream));
    assert!(is_closed(&mut stream));
    last.write_all(&half[half.len() - 1..]).unwrap();
    assert_eq!(parse(&reply(&mut last).body).verdicts(), [(2, Status::Delivered, 5)]);
}

#[test]
fn idle_connections_give_way_to_new_ones_the_longest_idle_first() {
    let relay = places(4);
    let mut idle: Vec<_> = (1..=4)
        .map(|n| {
            let mut stream = dial(&relay);
            post(&mut stream, &Body::send(n).done());
            assert_eq!(parse(&reply(&mut stream).body).end(), Status::Ok);
            stream
        })
        .collect();
    assert_eq!(send(&relay, Body::send(5)).end(), Status::Ok);
    assert!(is_closed(&mut idle[0]));
    post(&mut idle[1], &Body::send(2).done());
    assert_eq!(parse(&reply(&mut idle[1]).body).end(), Status::Ok);
    assert_eq!(relay.connections().refused, 0);
}

#[test]
fn half_requests_keep_nobody_out() {
    let relay = places(8);
    let request = request(Body::send(1));
    let mut halves = Vec::new();
    for n in [1, 40, request.len() - 1] {
        for _ in 0..20 {
            let mut half = dial(&relay);
            half.write_all(&request[..n]).unwrap();
            halves.push(half);
        }
        assert_eq!(send(&relay, Body::send(2)).end(), Status::Ok);
    }
    assert_eq!(relay.connections().refused, 0);
}

#[test]
fn an_address_beyond_its_share_closes_its_own_connections() {
    let limits = Limits { connections: 16, per_address: 3 };
    let places = Arc::new(ConnectionPlaces::new(limits));
    let take = |address: &str| {
        let connection = places.take(format!("{address}:9").parse().unwrap()).unwrap();
        Arc::new(connection)
    };
    let other = take("192.0.2.1");
    let own: Vec<_> = (0..3).map(|_| take("192.0.2.2")).collect();
    assert!(own[0].is_open_to_all());
    let _answering: Vec<_> = own
        .iter()
        .map(|connection| {
            let answering = connection.begin();
            connection.serve();
            answering
        })
        .collect();
    // None of its own gives way: it is served only to sessions that are known.
    let beyond = take("192.0.2.2");
    assert!(!beyond.is_open_to_all());
    assert_eq!(places.stats().evicted, 0);
    let later = take("192.0.2.2");
    assert_eq!(places.stats().evicted, 1);
    assert!(!later.is_open_to_all());
    // Others do not feel it, and this machine is not counted.
    assert!(other.is_open_to_all() && take("192.0.2.1").is_open_to_all());
    let here: Vec<_> = (0..6).map(|_| take("127.0.0.1")).collect();
    assert!(here.iter().all(|connection| connection.is_open_to_all()));
    assert_eq!(places.stats().evicted, 1);
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let limits = Limits { connections: 16, per_address: 2 };
    let places = Arc::new(ConnectionPlaces::new(limits));
    let take = |address: &str| places.take(format!("[{address}]:9").parse().unwrap()).unwrap();
    let _open = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:192.0.2.1"].map(take);
    assert_eq!(places.stats().evicted, 0);
    let _beyond = take("2001:db8::3:1");
    assert_eq!(places.stats().evicted, 1);
}

#[test]
fn a_crowded_address_finds_a_place_while_others_are_idle() {
    let places = Arc::new(ConnectionPlaces::new(Limits { connections: 4, per_address: 2 }));
    let take = |address: &str| places.take(format!("{address}:9").parse().unwrap()).map(Arc::new);
    let own = [(); 2].map(|()| take("192.0.2.2").unwrap());
    let _answering = own.each_ref().map(|connection| {
        let answering = connection.begin();
        connection.serve();
        answering
    });
    let _idle = [(); 2].map(|()| take("192.0.2.1").unwrap());
    // A session that the relay knows may be behind it.
    assert!(take("192.0.2.2").is_some());
}

#[test]
fn many_connections_that_gave_way_are_closed_before_others_are_accepted() {
    let places = Arc::new(ConnectionPlaces::new(Limits { connections: 1, per_address: 1 }));
    // Each has the one before it give way.
    let take = || places.take("127.0.0.1:9".parse().unwrap()).unwrap();
    let mut open: Vec<_> = (0..LEAVING).map(|_| take()).collect();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(places.wait_left()).poll(&mut context).is_ready());
    open.push(take());
    let mut left = pin!(places.wait_left());
    assert!(left.as_mut().poll(&mut context).is_pending());
    drop(open.remove(0));
    assert!(left.as_mut().poll(&mut context).is_ready());
}
