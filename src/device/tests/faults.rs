//! Connections that end, stay dark, or never are.

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
fn one_that_was_idle_for_long_is_not_used() {
    for (pause, dialled) in [(50_000, 1), (50_001, 2)] {
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
fn who_cannot_be_dialled_is_tried_after_pauses() {
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
fn silence_is_a_failure_when_it_is_due() {
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
