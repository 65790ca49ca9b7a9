//! In all orders of FIN and RST a forward behaves as a connection of the kernel: two programs see
//! the same through either.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::forward::{Forward, accept, server};
use crate::process::DEADLINE;
use Side::{Left, Right};
use Step::{Close, End, Fin, Notice, Refused, Reset, Send, Take};

/// The position of one of the two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A step of a program.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// The program writes this many octets.
    Send(Side, usize),
    /// The program reads this many octets.
    Take(Side, usize),
    /// The program waits for octets and leaves them unread.
    Notice(Side),
    /// The program shuts its sending direction down.
    Fin(Side),
    /// The program closes with a reset.
    Reset(Side),
    /// The program closes, with a reset if octets are unread.
    Close(Side),
    /// The program reads to the end, and notes how many octets it read and how the data ended.
    End(Side),
    /// The program writes until a write fails, and notes the error.
    Refused(Side),
}

/// A note of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Note {
    /// The end of the data behind this many octets.
    Eof(usize),
    /// An error behind this many octets.
    Broken(usize, ErrorKind),
    /// A write failed.
    Refused(ErrorKind),
}

const ORDERS: &[(&str, &[Step])] = &[
    (
        "end, then end",
        &[Send(Left, 3000), Fin(Left), End(Right), Send(Right, 2000), Fin(Right), End(Left)],
    ),
    (
        "both end at once",
        &[Send(Left, 9), Send(Right, 8), Fin(Left), Fin(Right), End(Left), End(Right)],
    ),
    ("reset alone", &[Reset(Left), End(Right)]),
    ("reset behind data", &[Send(Left, 2000), Reset(Left), End(Right)]),
    ("reset behind data taken", &[Send(Left, 2000), Take(Right, 2000), Reset(Left), End(Right)]),
    (
        "close with a banner unread",
        &[Send(Right, 100), Notice(Left), Send(Left, 2000), Close(Left), End(Right)],
    ),
    (
        "early answer with the request unread",
        &[
            Send(Left, 20_000),
            Take(Right, 1000),
            Send(Right, 500),
            Notice(Right),
            Close(Right),
            End(Left),
        ],
    ),
    (
        "reset behind the end",
        &[Send(Left, 2000), Fin(Left), End(Right), Reset(Left), Refused(Right)],
    ),
    (
        "reset at once behind the end",
        &[Send(Left, 2000), Fin(Left), Reset(Left), End(Right), Refused(Right)],
    ),
    ("close, and the other goes on", &[Send(Left, 2000), Close(Left), End(Right), Refused(Right)]),
    (
        "end, then the other resets behind data",
        &[Send(Left, 2000), Fin(Left), End(Right), Send(Right, 500), Reset(Right), End(Left)],
    ),
    (
        "end, and the other closes with that unread",
        &[Send(Left, 2000), Fin(Left), Notice(Right), Close(Right), End(Left)],
    ),
    (
        "end, and the other resets behind data, with that unread",
        &[Send(Left, 2000), Fin(Left), Send(Right, 500), Reset(Right), End(Left)],
    ),
    (
        "end, end, then reset",
        &[
            Send(Left, 2000),
            Fin(Left),
            End(Right),
            Send(Right, 500),
            Fin(Right),
            Reset(Right),
            End(Left),
        ],
    ),
    ("reset noticed by writing", &[Reset(Left), Refused(Right), End(Right)]),
    (
        "reset behind data noticed by writing",
        &[Send(Left, 700), Reset(Left), Refused(Right), End(Right)],
    ),
    ("both reset at once", &[Send(Left, 700), Send(Right, 700), Reset(Left), Reset(Right)]),
];

/// The programs, while they have their sockets.
struct Programs {
    left: Option<TcpStream>,
    right: Option<TcpStream>,
}

impl Programs {
    /// Two programs that have heard of each other; `left` is the one that dialled, or the other.
    fn new(client: TcpStream, server: TcpStream, dialled: Side) -> Self {
        for (mut from, mut to) in [(&client, &server), (&server, &client)] {
            from.write_all(b"!").expect("written");
            to.read_exact(&mut [0]).expect("the connection is open");
        }
        let (left, right) = match dialled {
            Left => (client, server),
            Right => (server, client),
        };
        Self { left: Some(left), right: Some(right) }
    }

    fn slot(&mut self, side: Side) -> &mut Option<TcpStream> {
        match side {
            Left => &mut self.left,
            Right => &mut self.right,
        }
    }

    fn socket(&mut self, side: Side) -> &mut TcpStream {
        self.slot(side).as_mut().expect("open")
    }

    /// Does a step, and gives the program's note, if the step has one.
    fn take(&mut self, step: Step) -> Option<Note> {
        match step {
            Send(side, len) => self.socket(side).write_all(&vec![7; len]).expect("written"),
            Take(side, len) => self.socket(side).read_exact(&mut vec![0; len]).expect("they come"),
            Notice(side) => assert!(self.socket(side).peek(&mut [0]).expect("they come") > 0),
            Fin(side) => self.socket(side).shutdown(Shutdown::Write).expect("shut down"),
            Reset(side) => reset(self.slot(side).take().expect("open")),
            Close(side) => drop(self.slot(side).take()),
            End(side) => return Some(to_the_end(self.socket(side))),
            Refused(side) => return Some(until_refused(self.socket(side))),
        }
        None
    }
}

fn to_the_end(tcp: &mut TcpStream) -> Note {
    let (mut len, mut buffer) = (0, [0; 4096]);
    loop {
        match tcp.read(&mut buffer) {
            Ok(0) => return Note::Eof(len),
            Ok(n) => len += n,
            Err(error) => return Note::Broken(len, error.kind()),
        }
    }
}

fn until_refused(tcp: &mut TcpStream) -> Note {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Err(error) = tcp.write(b"?") {
            return Note::Refused(error.kind());
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("writes go on");
}

/// Closes with a reset, as a close with unread data does.
pub fn reset(tcp: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO)).expect("no linger");
}

fn notes(steps: &[Step], mut programs: Programs) -> Vec<Note> {
    steps.iter().filter_map(|step| programs.take(*step)).collect()
}

/// Checks that the programs note the same through a forward as without one, in all orders.
fn compare(profile: &str) {
    let (address, listener) = server();
    let forward = Forward::with(address, profile);
    for (order, steps) in ORDERS {
        for dialled in [Left, Right] {
            let direct = TcpStream::connect(address).expect("connects");
            direct.set_read_timeout(Some(DEADLINE)).expect("a time-out");
            let direct = notes(steps, Programs::new(direct, accept(&listener), dialled));
            let client = forward.connect();
            let seen = notes(steps, Programs::new(client, accept(&listener), dialled));
            assert_eq!(seen, direct, "{order}, {dialled:?} dialled");
        }
    }
}

#[test]
fn orders_of_fin_and_rst_are_as_the_kernel_has_them() {
    compare("server");
}

/// With two channels, which no order may leave taken, and rings that are smaller than the data.
#[test]
fn orders_of_fin_and_rst_hold_with_rings_of_a_kilobyte() {
    compare("tiny");
}

/// A server that answers before it has read the request, and closes.
#[test]
fn early_answer_arrives_before_the_reset() {
    const ANSWER: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    let (address, listener) = server();
    let forward = Forward::to(address);
    let serve = thread::spawn(move || {
        for _ in 0..20 {
            let mut tcp = accept(&listener);
            tcp.read_exact(&mut [0; 100]).expect("the head");
            tcp.write_all(ANSWER).expect("written");
            // Without unread data the end would come in order.
            assert!(tcp.peek(&mut [0]).expect("more of it") > 0);
        }
    });
    for _ in 0..20 {
        let mut client = forward.connect();
        // The rest of the request may be refused on the way.
        let _ = client.write_all(&[7; 200_000]);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert_eq!(answer, ANSWER);
    }
    serve.join().expect("served");
}

#[test]
fn data_arrives_though_the_banner_stays_unread() {
    let (address, listener) = server();
    let forward = Forward::to(address);
    let from = forward.address;
    let clients = thread::spawn(move || {
        for _ in 0..20 {
            let mut client = TcpStream::connect(from).expect("connects");
            client.peek(&mut [0]).expect("the banner");
            client.write_all(&[7; 2000]).expect("written");
        }
    });
    for _ in 0..20 {
        let mut tcp = accept(&listener);
        tcp.write_all(b"220 hello").expect("written");
        assert_eq!(to_the_end(&mut tcp), Note::Broken(2000, ErrorKind::ConnectionReset));
    }
    clients.join().expect("connected");
}
