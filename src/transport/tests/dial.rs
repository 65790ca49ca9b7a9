//! Dialling: several addresses of a host, of which some answer nothing, and the program's hooks.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::*;

/// Longer than anything here takes on a slow machine.
const LONG: Duration = Duration::from_secs(60);

/// An address that drops what asks to connect, as a dead route does: a listener on loopback whose
/// backlog is full.
struct Dead {
    _listener: Socket,
    _backlog: Vec<TcpStream>,
    addr: SocketAddr,
}

impl Dead {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let mut backlog = Vec::new();
        // On loopback a connection is made within the call, or not at all.
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
            backlog.push(stream);
            assert!(backlog.len() < 100, "a backlog of 0 that is never full");
        }
        Self { _listener: listener, _backlog: backlog, addr }
    }
}

/// A transport to a host of these addresses, and how many sockets it has opened.
fn to_addresses(
    addrs: impl IntoIterator<Item = SocketAddr>,
    connect_timeout: Duration,
) -> (HttpTransport, Arc<AtomicUsize>) {
    let addrs: Vec<_> = addrs.into_iter().collect();
    let sockets = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sockets);
    let hooks = Hooks::default().on_resolve(move |_, _| Ok(addrs.clone())).on_socket(move |_| {
        count.fetch_add(1, SeqCst);
        Ok(())
    });
    (with_hooks(hooks, connect_timeout), sockets)
}

fn with_hooks(hooks: Hooks, connect_timeout: Duration) -> HttpTransport {
    let config = HttpConfig { hooks, connect_timeout, ..HttpConfig::new("http://relay.test:81") };
    HttpTransport::new(&config).unwrap()
}

fn answering() -> SocketAddr {
    let script: Script = |peer| {
        peer.request();
        peer.ok("there");
        // Until the client hangs up.
        let _ = peer.stream.read(&mut [0; 16]);
        None
    };
    let (url, _) = serve([script; 3]);
    url["http://".len()..].parse().unwrap()
}

/// An address of which nobody takes a connection, and that says so.
fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn dead_addresses_are_passed_by_and_the_one_that_worked_comes_first() {
    let dead: Vec<_> = (0..5).map(|_| Dead::new()).collect();
    let addrs = dead.iter().map(|dead| dead.addr).chain([answering()]);
    let (mut transport, sockets) = to_addresses(addrs, LONG);
    assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"there");
    assert_eq!(sockets.swap(0, SeqCst), 6);
    transport.canceller().disconnect();
    assert_eq!(exchange(&mut transport, 2, b"x").unwrap(), b"there");
    // One, unless this machine stands still for so long.
    assert!(sockets.swap(0, SeqCst) < 6);
    transport.canceller().forget_addresses();
    transport.canceller().disconnect();
    assert_eq!(exchange(&mut transport, 3, b"x").unwrap(), b"there");
    assert_eq!(sockets.load(SeqCst), 6, "another network, of which nothing is known");
}

#[test]
fn time_to_connect_is_that_of_all_addresses_together() {
    let dead: Vec<_> = (0..3).map(|_| Dead::new()).collect();
    let timeout = Duration::from_millis(600);
    let (mut transport, sockets) = to_addresses(dead.iter().map(|dead| dead.addr), timeout);
    let begun = Instant::now();
    let failure = exchange(&mut transport, 1, b"x").unwrap_err();
    assert!(begun.elapsed() >= timeout && begun.elapsed() < LONG, "{:?}", begun.elapsed());
    assert_eq!((failure.cause, failure.sent), (Blocked::Connect, false), "{failure:?}");
    assert!(failure.seen.contains(&format!("{}: timed out", dead[0].addr)), "{failure:?}");
    assert_eq!(sockets.load(SeqCst), 3);
}

#[test]
fn address_that_refuses_costs_no_wait() {
    let refusing: Vec<_> = (0..60).map(|_| refusing()).collect();
    let (mut transport, _) = to_addresses(refusing.into_iter().chain([answering()]), LONG);
    let begun = Instant::now();
    assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"there");
    // With a wait before each it would take 15 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn connections_that_are_being_made_end_when_cancelled() {
    let dead = [Dead::new(), Dead::new()];
    let addrs: Vec<_> = dead.iter().map(|dead| dead.addr).collect();
    let (tx, rx) = channel();
    let sockets = AtomicUsize::new(0);
    let hooks = Hooks::default().on_resolve(move |_, _| Ok(addrs.clone())).on_socket(move |_| {
        if sockets.fetch_add(1, SeqCst) == 1 {
            tx.send(()).unwrap();
        }
        Ok(())
    });
    let mut transport = with_hooks(hooks, LONG);
    let canceller = transport.canceller();
    let breaker = thread::spawn(move || {
        rx.recv().unwrap();
        canceller.cancel();
        Instant::now()
    });
    let failure = exchange(&mut transport, 1, b"x").unwrap_err();
    let since = breaker.join().unwrap().elapsed();
    assert_eq!((failure.cause, failure.sent), (Blocked::Cut, false), "{failure:?}");
    assert!(since < Duration::from_secs(5), "{since:?}");
}

#[test]
fn socket_hook_binds_the_socket_that_connects() {
    let (url, seen) = serve([|peer| {
        let from = peer.stream.peer_addr().unwrap().to_string();
        peer.request();
        peer.ok("there");
        Some(Seen { head: from, body: Vec::new(), first: 0 })
    }]);
    let hooks = Hooks::default().on_socket(|socket| {
        SockRef::from(&socket)
            .bind(&"127.0.0.77:0".parse::<SocketAddr>().expect("an address").into())
    });
    let mut transport = HttpTransport::new(&HttpConfig { hooks, ..HttpConfig::new(url) }).unwrap();
    assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"there");
    let from: SocketAddr = seen.recv().unwrap().head.parse().unwrap();
    assert_eq!(from.ip(), std::net::Ipv4Addr::new(127, 0, 0, 77));
}

#[test]
fn socket_hook_sees_the_very_socket() {
    let addr = answering();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let hooks = Hooks::default().on_socket(move |socket| {
        SockRef::from(&socket).set_recv_buffer_size(10_000)?;
        keep.lock().unwrap().push(socket.try_clone_to_owned()?);
        Ok(())
    });
    let config = HttpConfig { hooks, ..HttpConfig::new(format!("http://{addr}")) };
    let mut transport = HttpTransport::new(&config).unwrap();
    assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"there");
    let sockets = kept.lock().unwrap();
    let [socket] = &sockets[..] else { panic!("{} sockets", sockets.len()) };
    let socket = socket.as_fd();
    let socket = SockRef::from(&socket);
    assert_eq!(socket.peer_addr().unwrap().as_socket(), Some(addr));
    // Linux doubles what is asked for.
    assert_eq!(socket.recv_buffer_size().unwrap(), 20_000);
}

#[test]
fn socket_hook_that_fails_is_named_and_other_addresses_are_tried() {
    let refuse = |first: usize| {
        let (addrs, sockets) = (vec![refusing(), answering()], AtomicUsize::new(0));
        let hooks =
            Hooks::default().on_resolve(move |_, _| Ok(addrs.clone())).on_socket(move |_| {
                match sockets.fetch_add(1, SeqCst) < first {
                    true => Err(io::Error::other("no such network")),
                    false => Ok(()),
                }
            });
        exchange(&mut with_hooks(hooks, LONG), 1, b"x")
    };
    assert_eq!(refuse(1).unwrap(), b"there");
    let failure = refuse(2).unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Hook, false), "{failure:?}");
    assert!(failure.seen.ends_with("the hook on_socket: no such network"), "{failure:?}");
}

#[test]
fn resolve_hook_gets_host_and_port_and_stands_in_for_the_system() {
    let addr = answering();
    let (tx, asked) = channel();
    let hooks = Hooks::default().on_resolve(move |host, port| {
        tx.send((host.to_owned(), port)).unwrap();
        Ok(vec![addr])
    });
    let mut transport = with_hooks(hooks, LONG);
    assert_eq!(exchange(&mut transport, 1, b"x").unwrap(), b"there");
    assert_eq!(asked.recv().unwrap(), ("relay.test".to_owned(), 81));

    let hooks = Hooks::default().on_resolve(|_, _| Err(io::Error::other("no network is bound")));
    let failure = exchange(&mut with_hooks(hooks, LONG), 1, b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Dns, false), "{failure:?}");
    assert!(failure.seen.ends_with("the hook on_resolve: no network is bound"), "{failure:?}");

    let hooks = Hooks::default().on_resolve(|_, _| Ok(Vec::new()));
    let failure = exchange(&mut with_hooks(hooks, LONG), 1, b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Dns, false), "{failure:?}");

    let hooks = Hooks::default().on_resolve(|_, _| panic!("a fault of the program"));
    let failure = exchange(&mut with_hooks(hooks, LONG), 1, b"x").unwrap_err();
    assert_eq!((failure.cause, failure.sent), (Blocked::Dns, false), "{failure:?}");
}

#[test]
fn resolve_hook_is_not_called_for_numeric_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for host in ["127.0.0.1", "[::1]", "[::1%251]", "[fe80::1%251]", "[fe80::1%25lo]"] {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let hooks = Hooks::default().on_resolve(move |_, _| {
            count.fetch_add(1, SeqCst);
            Err(io::Error::other("called"))
        });
        let url = format!("http://{host}:{port}");
        let connect_timeout = Duration::from_secs(1);
        let config = HttpConfig { hooks, connect_timeout, ..HttpConfig::new(url) };
        let failure = exchange(&mut HttpTransport::new(&config).unwrap(), 1, b"x").unwrap_err();
        assert_eq!(calls.load(SeqCst), 0, "{host}: {failure:?}");
        // The loopback has this name on one system and another on others.
        if !host.ends_with("lo]") {
            assert_eq!(failure.cause, Blocked::Connect, "{host}: {failure:?}");
        }
    }
}

#[test]
fn answer_to_a_question_of_an_earlier_network_counts_no_more() {
    let (addr, elsewhere) = (answering(), refusing());
    let (tx, asked) = channel();
    let (answer, rx) = channel::<()>();
    let (questions, rx) = (AtomicUsize::new(0), Mutex::new(rx));
    let (end, ended) = channel();
    let hooks = Hooks::default()
        .on_resolve(move |_, _| {
            if questions.fetch_add(1, SeqCst) > 0 {
                return Ok(vec![addr]);
            }
            tx.send(()).unwrap();
            rx.lock().unwrap().recv().unwrap();
            Ok(vec![elsewhere])
        })
        .on_thread_end(move || end.send(()).unwrap());
    let mut transport = with_hooks(hooks, LONG);
    let canceller = transport.canceller();
    let breaker = canceller.clone();
    let roaming = thread::spawn(move || {
        asked.recv().unwrap();
        breaker.forget_addresses();
        breaker.cancel();
    });
    let failure = exchange(&mut transport, 1, b"x").unwrap_err();
    assert_eq!(failure.cause, Blocked::Cut);
    roaming.join().unwrap();
    canceller.reset();
    assert_eq!(exchange(&mut transport, 2, b"x").unwrap(), b"there");
    ended.recv().unwrap();
    answer.send(()).unwrap();
    ended.recv().unwrap();
    canceller.disconnect();
    assert_eq!(exchange(&mut transport, 3, b"x").unwrap(), b"there");
}

#[test]
fn exchange_after_a_redirect_goes_the_other_way() {
    let script: Script = |peer| {
        let seen = peer.request();
        peer.ok("by way");
        let _ = peer.stream.read(&mut [0; 16]);
        Some(seen)
    };
    let ((direct, straight), (proxy, by_proxy)) = (serve([script; 2]), serve([script]));
    let mut transport = transport(&direct);
    let canceller = transport.canceller();
    let way = Arc::clone(transport.way());
    for (seq, change, seen, line) in [
        (1, None, &straight, "POST /v1?n=1 HTTP/1.1".to_owned()),
        (2, Some(Proxy::Url(proxy)), &by_proxy, format!("POST {direct}/v1?n=2 HTTP/1.1")),
        (3, Some(Proxy::Direct), &straight, "POST /v1?n=3 HTTP/1.1".to_owned()),
    ] {
        if let Some(proxy) = change {
            canceller.redirect(Arc::new(way.by(proxy).unwrap()));
            canceller.disconnect();
        }
        assert_eq!(exchange(&mut transport, seq, b"x").unwrap(), b"by way");
        canceller.disconnect();
        let head = seen.recv().unwrap().head;
        assert!(head.starts_with(&line), "{head}");
    }
}
