//! Connections that end, fall silent, or cannot be made.

use super::super::{Clock, IDLE_MS, Sockets};
use super::*;
use crate::error::Blocked;

#[test]
fn an_answer_cut_anywhere_is_cut_and_tried_again() {
    let chunks = chunked(&nothing(1), 10, "", "A: b\r\n");
    // Behind END nothing is missed.
    let needed = |answer: &[u8]| {
        let end = nothing(1);
        let last = &end[end.len() - 3..];
        answer.windows(3).rposition(|w| w == last).map_or(answer.len(), |at| at + 3)
    };
    for answer in [counted(&nothing(1)), chunks] {
        for cut in 0..answer.len() {
            with_device(DIRECT, |device, line| {
                device.poll(1);
                line.borrow_mut().hello();
                line.borrow_mut().down.extend(&answer[..cut]);
                device.poll(10);
                line.borrow_mut().closed = true;
                device.poll(11);
                let came = cut >= needed(&answer);
                let blocked = (!came).then_some(Blocked::Cut);
                assert_eq!(device.session().blocked(), blocked, "{cut}");
                connect(device, 5_000);
                device.poll(5_000);
                line.borrow_mut().answer();
                device.poll(5_010);
                assert_eq!(device.session().is_open(), Ok(true), "{cut}");
                assert_eq!(line.borrow().dialled, 2, "{cut}");
            });
        }
    }
}

#[test]
fn a_connection_found_dead_is_replaced_at_once() {
    for late in [false, true] {
        with_device(DIRECT, |device, line| {
            device.poll(1);
            line.borrow_mut().answer();
            device.poll(10);
            // While idle, or under the next request.
            line.borrow_mut().closed = !late;
            connect(device, 20);
            device.poll(20);
            if late {
                assert_eq!(line.borrow().dialled, 1);
                line.borrow_mut().closed = true;
                device.poll(21);
            }
            assert_eq!(line.borrow().dialled, 2, "in the same moment");
            assert_eq!(device.session().blocked(), None);
            line.borrow_mut().answer();
            device.poll(30);
            assert_eq!(device.session().blocked(), None);
        });
    }
}

#[test]
fn connection_that_was_idle_for_too_long_is_replaced() {
    let longest = u64::from(IDLE_MS);
    for (pause, dialled) in [(longest, 1), (longest + 1, 2)] {
        with_device(DIRECT, |device, line| {
            device.poll(1);
            line.borrow_mut().answer();
            device.poll(10);
            connect(device, 10 + pause);
            device.poll(10 + pause);
            assert_eq!(line.borrow().dialled, dialled);
        });
    }
}

#[test]
fn failed_dials_are_repeated_after_pauses() {
    with_device(DIRECT, |device, line| {
        line.borrow_mut().dark = true;
        let mut now = 1;
        for tries in 1..10 {
            let due = device.poll(now).expect("another try");
            assert_eq!(line.borrow().dialled, tries);
            assert_eq!(device.session().blocked(), Some(Blocked::Connect));
            assert!((now + 1..=now + 2_000).contains(&due), "{due} at {now}");
            now = due;
        }
        line.borrow_mut().dark = false;
        device.poll(now);
        line.borrow_mut().answer();
        device.poll(now + 10);
        assert_eq!(device.session().blocked(), None);
    });
}

#[test]
fn silence_fails_the_exchange_at_its_deadline() {
    with_device(DIRECT, |device, line| {
        connect(device, 1);
        let due = device.poll(1).expect("a deadline");
        line.borrow_mut().hello();
        let mut at = due;
        // Channels have deadlines, too.
        while device.session().blocked().is_none() {
            assert_eq!(line.borrow().dialled, 1);
            at = device.poll(at).expect("a deadline");
        }
        assert_eq!(device.session().blocked(), Some(Blocked::Silence));
        assert!((4_001..=6_100).contains(&at), "a question without hold, and a pause: {at}");
    });
}

#[test]
fn a_new_network_is_dialled_at_once() {
    with_device(DIRECT, |device, line| {
        connect(device, 1);
        device.poll(1);
        line.borrow_mut().hello();
        device.network_changed(100);
        device.poll(100);
        assert_eq!(line.borrow().dialled, 2);
        assert_eq!(device.session().blocked(), None);
        line.borrow_mut().answer();
        device.poll(110);
        assert_eq!(device.session().is_open(), Ok(true));
    });
}

/// Kinds of faults: of the network, of the link itself, such as an untrusted certificate, or unknown.
const KINDS: [ErrorKind; 3] =
    [ErrorKind::ConnectionReset, ErrorKind::InvalidData, ErrorKind::Other];

#[test]
fn the_links_error_is_told_until_an_answer_comes() {
    let steps: [fn(ErrorKind) -> LinkFault<ErrorKind>; 3] =
        [LinkFault::Dial, LinkFault::Write, LinkFault::Read];
    for fault in steps.into_iter().flat_map(|step| KINDS.map(step)) {
        with_device(DIRECT, |device, line| {
            assert_eq!(device.fault(), None);
            line.borrow_mut().fault = Some(fault);
            device.poll(1);
            device.poll(2);
            assert_eq!(device.fault(), Some(&fault));
            let cause =
                if matches!(fault, LinkFault::Dial(_)) { Blocked::Connect } else { Blocked::Cut };
            assert_eq!(device.session().blocked(), Some(cause), "{fault:?}");
            line.borrow_mut().fault = None;
            device.poll(5_000);
            assert_eq!(device.fault(), Some(&fault), "no answer yet");
            line.borrow_mut().answer();
            device.poll(5_010);
            assert_eq!(device.fault(), None);
            assert_eq!(device.session().blocked(), None);
        });
    }
}

/// Faults while the next request begins behind the one that waits, and while a connection is idle.
#[test]
fn an_error_behind_the_first_answer_is_told_too() {
    for fault in [LinkFault::Write(ErrorKind::InvalidData), LinkFault::Read(ErrorKind::InvalidData)]
    {
        with_device(DIRECT, |device, line| {
            device.poll(1);
            line.borrow_mut().answer();
            device.poll(10);
            assert_eq!(device.fault(), None);
            line.borrow_mut().fault = Some(fault);
            connect(device, 20);
            device.poll(20);
            device.poll(20);
            assert_eq!(device.fault(), Some(&fault));
        });
    }
}

/// When the device dials within ten minutes, while its link fails by `fault`.
fn dials(fault: LinkFault<ErrorKind>) -> Vec<u64> {
    let mut dials = Vec::new();
    with_device(DIRECT, |device, line| {
        line.borrow_mut().fault = Some(fault);
        let mut now = 1;
        while now < 600_000 {
            let due = device.poll(now).expect("another try");
            let dialled = line.borrow().dialled;
            dials.resize(dialled, now);
            // The link has something to read at any time: its error.
            now = due.clamp(now + 1, now + 100);
        }
    });
    dials
}

#[test]
fn a_link_that_fails_for_its_own_reason_is_dialled_ever_more_seldom() {
    let steps: [fn(ErrorKind) -> LinkFault<ErrorKind>; 3] =
        [LinkFault::Dial, LinkFault::Write, LinkFault::Read];
    for step in steps {
        let network = dials(step(ErrorKind::ConnectionRefused));
        let certificate = dials(step(ErrorKind::InvalidData));
        assert!(network.len() > 300, "{}", network.len());
        assert!((15..=25).contains(&certificate.len()), "{certificate:?}");
        assert!(certificate[1] < 500, "a first one may be anything: {certificate:?}");
        let last = &certificate[certificate.len() - 2..];
        assert!((32_000..=35_000).contains(&(last[1] - last[0])), "{certificate:?}");
    }
}

/// embedded-io has the kind `Other` for all of these faults.
#[test]
fn dead_networks_are_dialled_as_soon_as_other_faults_of_networks() {
    use std::net::ToSocketAddrs;

    use rustix::io::Errno;

    // A name that is none, for which no server is asked.
    let name = ("byway..invalid", 80).to_socket_addrs().expect_err("an empty label");
    let errors = [
        Errno::NETUNREACH.into(),
        Errno::HOSTUNREACH.into(),
        Errno::NETDOWN.into(),
        Errno::AGAIN.into(),
        name,
    ];
    let often = dials(LinkFault::Dial(ErrorKind::ConnectionRefused));
    for error in errors {
        let kind = embedded_io::Error::kind(&error);
        assert_eq!(kind, ErrorKind::Other, "{error}");
        for step in [LinkFault::Dial, LinkFault::Write, LinkFault::Read] {
            let tries = dials(step(kind));
            let gaps = tries.windows(2).map(|pair| pair[1] - pair[0]);
            // 2 s, and a step of the test's clock.
            assert!(gaps.max().is_some_and(|gap| gap <= 2_100), "{error}: {tries:?}");
        }
        assert_eq!(dials(LinkFault::Dial(kind)), often, "{error}");
    }
}

#[test]
fn kinds_that_do_not_pass_by_themselves_are_dialled_ever_more_seldom() {
    for kind in [
        ErrorKind::InvalidData,
        ErrorKind::InvalidInput,
        ErrorKind::PermissionDenied,
        ErrorKind::Unsupported,
    ] {
        let tries = dials(LinkFault::Dial(kind));
        assert!((15..=25).contains(&tries.len()), "{kind:?}: {tries:?}");
    }
}

#[test]
fn a_link_given_up_is_dialled_again_in_another_network() {
    with_device(DIRECT, |device, line| {
        let fault = LinkFault::Dial(ErrorKind::InvalidData);
        line.borrow_mut().fault = Some(fault);
        line.borrow_mut().gives_up = true;
        let mut now = 1;
        while now < 600_000 {
            now = device.poll(now).expect("deadlines of the session").max(now + 1);
            assert!(device.is_given_up());
            assert_eq!(line.borrow().dialled, 1);
        }
        assert_eq!(device.fault(), Some(&fault));
        line.borrow_mut().fault = None;
        device.network_changed(now);
        assert!(!device.is_given_up());
        device.poll(now + 2_000);
        line.borrow_mut().answer();
        device.poll(now + 2_010);
        assert_eq!(device.session().is_open(), Ok(true));
    });
}

/// A clock that stands still except while a call waits.
struct Patient(u64);

impl Clock for Patient {
    fn now_ms(&mut self) -> u64 {
        self.0
    }

    fn wait(&mut self, until: u64) {
        self.0 = until.max(self.0 + 1);
    }
}

/// The call has no time-out, which is the default.
#[test]
fn a_blocking_call_ends_when_the_link_is_given_up() {
    let wire = TestLink::default();
    wire.0.borrow_mut().fault = Some(LinkFault::Dial(ErrorKind::InvalidData));
    wire.0.borrow_mut().gives_up = true;
    let mut memory = Memory::new();
    let mut head = [0; 512];
    let device: Front<'_> = Device::new(memory.session(), wire, DIRECT, &mut head);
    let mut sockets = Sockets::new(device, Patient(1));
    sockets.open(&Settings::new([7; 16], 7));
    let endpoint = Endpoint::try_from("camera:1").expect("an endpoint");
    let result = sockets.connect(endpoint, Kind::Stream, b"");
    assert_eq!(result, Err(Blocked::Connect.into()));
    let fault = sockets.device().fault().copied();
    assert_eq!(fault, Some(LinkFault::Dial(ErrorKind::InvalidData)));
}
