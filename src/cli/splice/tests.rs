//! Cases that programs cannot show: data that the system holds, and peers that take nothing.

use std::net::{TcpListener, TcpStream};

use byway::client::{Client, Config};
use byway::error::PeerError;
use byway::relay::{Relay, RelayConfig};
use byway::session::Profile;

use super::*;

/// Far more than the rings of a channel hold, and than a socket with a small buffer takes.
const MUCH: usize = 1_000_000;

/// A program's socket and its other end, which is to be joined to a channel, whose far end is here.
struct Rig {
    program: TcpStream,
    tcp: LocalSocket,
    stream: Stream,
    far: Stream,
    _relay: Relay,
}

impl Rig {
    fn new() -> Self {
        let relay = Relay::bind(RelayConfig::default()).expect("a relay");
        let open = || {
            let config = Config { profile: Profile::PHONE, ..Config::new(relay.url()) };
            Client::open(config).expect("opens")
        };
        let listener = open().listen("far:1").expect("listens");
        let stream = open().connect("far:1").expect("connects");
        let far = listener.accept().expect("a connection");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // Set before the connection is made, so that its window is small.
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, 16 * 1024).expect("small");
        let tcp = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
        let (program, _) = listener.accept().expect("a connection");
        let tcp = LocalSocket::Tcp(tcp);
        tcp.reset_at_end();
        Self { program, tcp, stream, far, _relay: relay }
    }

    /// Joins the connection and the channel on a thread, which closes the connection at the end.
    fn join(&self, patience: Duration) -> thread::JoinHandle<io::Result<()>> {
        let LocalSocket::Tcp(tcp) = &self.tcp else { panic!("made so") };
        let (tcp, stream) = (tcp.try_clone().expect("cloned"), self.stream.clone());
        let tcp = LocalSocket::Tcp(tcp);
        thread::spawn(move || join_for(&tcp, &stream, patience))
    }
}

#[test]
fn octets_that_the_system_holds_are_sent_before_the_reset() {
    let Rig { mut program, tcp, stream, far, _relay } = Rig::new();
    let joined = thread::spawn(move || {
        let ended = join_for(&tcp, &stream, PATIENCE);
        drop(tcp);
        ended
    });
    { &far }.write_all(&vec![7; MUCH]).expect("written");
    far.wait_acked(None).expect("the other client has all");
    far.abort();
    // The program has not begun to read: all octets are in buffers on the way, the reset behind them.
    let mut fds = [PollFd::new(&program, GONE)];
    let second = time(Duration::from_secs(1));
    assert_eq!(poll(&mut fds, Some(&second)), Ok(0), "the reset overtakes the octets");
    let mut read = Vec::new();
    let error = program.read_to_end(&mut read).expect_err("no end in order");
    assert_eq!((read.len(), error.kind()), (MUCH, ErrorKind::ConnectionReset));
    joined.join().expect("joined").expect_err("the channel was aborted");
}

#[test]
fn program_that_reads_nothing_does_not_block_the_splice_for_ever() {
    let rig = Rig::new();
    let joined = rig.join(Duration::from_secs(2));
    let mut octets = 0;
    // Until all buffers are full.
    while let Ok(n) = rig.far.send_timeout(&[7; 4096], Some(Duration::from_secs(1))) {
        octets += n;
    }
    assert!(octets > 0);
    rig.far.abort();
    joined.join().expect("joined").expect_err("the channel was aborted");
}

#[test]
fn peer_that_reads_nothing_does_not_block_the_splice_for_ever() {
    let rig = Rig::new();
    let joined = rig.join(Duration::from_secs(2));
    let mut program = &rig.program;
    program.set_write_timeout(Some(Duration::from_secs(1))).expect("a time-out");
    while program.write(&[7; 4096]).is_ok() {}
    rustix::net::sockopt::set_socket_linger(program, Some(Duration::ZERO)).expect("no linger");
    let Rig { program, far, .. } = rig;
    drop(program);
    joined.join().expect("joined").expect_err("the connection was reset");
    // The far end reads the acknowledged bytes, and then hears of the abort.
    let mut read = Vec::new();
    let error = { &far }.read_to_end(&mut read).expect_err("no end in order");
    assert!(!read.is_empty());
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<Error>());
    assert!(matches!(cause, Some(Error::Peer(PeerError::Aborted { .. }))), "{cause:?}");
}
