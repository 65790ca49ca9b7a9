//! What the session says next, after what it was told.

use super::super::{Event, Wake};
use super::*;
use crate::wire::Verdict;

/// Writes, and gives the request that carries it.
fn sent(rig: &mut Rig, id: ChannelId, bytes: &[u8], answer: &[Said<'_>]) -> Vec<(u64, u32)> {
    let now = rig.now;
    assert_eq!(rig.session().write(now, id, bytes), Ok(bytes.len()));
    data(&rig.exchange(Lane::Send, answer))
}

/// Offset and length of the data messages in a request.
fn data(body: &[u8]) -> Vec<(u64, u32)> {
    let mut found = Vec::new();
    messages(body, |message| {
        if let Message::SendReq(data) = message
            && !data.flags.has(DataFlags::PROBE)
        {
            found.push((data.offset, data.len));
        }
    });
    found
}

fn verdict(status: Status, bytes: u32) -> Said<'static> {
    Said::Plain(Message::Verdict(Verdict { index: 2, status, bytes }))
}

#[test]
fn delivered_is_flushed_but_kept_until_it_is_acknowledged() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    assert_eq!(sent(&mut rig, id, &[1; 1024], &[verdict(Status::Delivered, 1024)]), [(0, 1024)]);
    assert_eq!(rig.session().flushed(id), Ok(true));
    assert_eq!(rig.session().acked(id), Ok(false));
    let now = rig.now;
    assert_eq!(rig.session().write(now, id, b"more"), Ok(0), "the ring is full");
    rig.exchange(Lane::Park, &[from(route), Said::Plain(Message::SendRsp(window(1000)))]);
    assert_eq!(rig.session().write(now, id, b"more"), Ok(4));
    rig.exchange(Lane::Park, &[from(route), Said::Plain(Message::SendRsp(window(1024)))]);
    assert_eq!(rig.session().acked(id), Ok(false));
}

#[test]
fn busy_sends_the_rest_again_once_the_peer_is_ready() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, _) = rig.connect();
    sent(&mut rig, id, &[1; 500], &[verdict(Status::Busy, 200)]);
    assert!(rig.begin(Lane::Send).is_none(), "nothing but PROBEs until then");
    rig.exchange(Lane::Park, &[Said::Plain(Message::Ready(PEER))]);
    let body = rig.exchange(Lane::Send, &[]);
    assert_eq!(data(&body), [(200, 0), (200, 300)], "what it has is asked, and the rest follows");
}

#[test]
fn a_failed_send_is_said_again_from_where_it_began() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, _) = rig.connect();
    let now = rig.now;
    rig.session().write(now, id, &[1; 300]).expect("room");
    let (_, body) = rig.begin(Lane::Send).expect("data");
    assert_eq!(data(&body), [(0, 300)]);
    rig.session().handle_failure(now, Lane::Send, Blocked::Cut, true);
    rig.now += 5000;
    assert_eq!(data(&rig.exchange(Lane::Send, &[])), [(0, 300)]);
}

#[test]
fn losses_send_everything_again_that_is_not_acknowledged() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    sent(&mut rig, id, &[1; 300], &[verdict(Status::Delivered, 300)]);
    let told = Window { losses: 1, ..window(100) };
    for _ in 0..3 {
        rig.exchange(Lane::Park, &[from(route), Said::Plain(Message::SendRsp(told))]);
    }
    let delivered = [verdict(Status::Delivered, 200)];
    assert_eq!(data(&rig.exchange(Lane::Send, &delivered)), [(100, 200)]);
    assert!(rig.begin(Lane::Send).is_none(), "each loss once");
    assert_eq!(rig.session().stats().retransmitted, 200);
}

#[test]
fn an_overflow_is_reported_once() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    sent(&mut rig, id, &[1; 300], &[verdict(Status::Delivered, 300)]);
    let told = Window { overflow: 201, ..window(200) };
    for _ in 0..3 {
        rig.exchange(Lane::Park, &[from(route), Said::Plain(Message::SendRsp(told))]);
    }
    let mut overflows = 0;
    while let Some(event) = rig.session().poll_event() {
        overflows += u32::from(event == Event::Overflow { channel: id, offset: 200 });
    }
    assert_eq!(overflows, 1);
    assert_eq!(rig.session().take_overflow(id), Ok(Some(200)));
    assert_eq!(rig.session().take_overflow(id), Ok(None));
    assert_eq!(data(&rig.exchange(Lane::Send, &[])), [(200, 100)], "the stream goes on from there");
}

#[test]
fn numbers_only_rise() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    sent(&mut rig, id, &[1; 300], &[verdict(Status::Delivered, 300)]);
    let say = |w| [from(route), Said::Plain(Message::SendRsp(w))];
    rig.exchange(Lane::Park, &say(Window { ack: 300, limit: 5000, losses: 2, ..window(0) }));
    rig.exchange(Lane::Park, &say(Window { ack: 10, limit: 20, losses: 1, ..window(0) }));
    let stats = rig.session().channel_stats(id).expect("open");
    assert_eq!((stats.acked, stats.window), (300, 1 << 16));
}

#[test]
fn a_window_is_kept_to_the_octet() {
    let mut rig = Rig::new(&Profile::TINY);
    let now = rig.now;
    let (id, route) = rig.connect();
    rig.session().channels[0].tx.limit = 100;
    assert_eq!(sent(&mut rig, id, &[1; 300], &[verdict(Status::Delivered, 100)]), [(0, 100)]);
    assert!(rig.begin(Lane::Send).is_none());
    let told = Window { ack: 100, limit: 101, ..Window::default() };
    rig.exchange(Lane::Park, &[from(route), Said::Plain(Message::SendRsp(told))]);
    let delivered = [verdict(Status::Delivered, 1)];
    assert_eq!(data(&rig.exchange(Lane::Send, &delivered)), [(100, 1)]);
    // A window that is closed is asked after by the timer.
    rig.now += 20_000;
    rig.session().handle_timeout(now + 20_000);
    let mut probes = 0;
    messages(&rig.exchange(Lane::Send, &[]), |message| {
        probes += u32::from(matches!(
            message,
            Message::SendReq(data) if data.flags.has(DataFlags::PROBE)
        ));
    });
    assert_eq!(probes, 1);
}

#[test]
fn whoever_waits_is_woken_when_something_comes() {
    let mut rig = Rig::new(&Profile::TINY);
    let (id, route) = rig.connect();
    while rig.session().poll_wake().is_some() {}
    rig.exchange(Lane::Park, &[from(route), Said::Data(0, DataFlags::NONE, b"x")]);
    let mut woken = Vec::new();
    while let Some(wake) = rig.session().poll_wake() {
        woken.push(wake);
    }
    assert!(woken.contains(&Wake::Channel(id.slot())));
    assert!(woken.contains(&Wake::Park));
}
