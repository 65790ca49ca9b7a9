//! Progress: which messages the session sends next, behind verdicts, losses and windows.

use super::*;

/// Writes `n` bytes, and answers the send that carries them with this verdict.
fn send(
    bench: &mut Bench,
    id: ChannelId,
    n: usize,
    status: Status,
    delivered: u32,
) -> Vec<(u64, u32)> {
    let now = bench.now;
    assert_eq!(bench.session().write(now, id, &vec![1; n]), Ok(n));
    offsets(&bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, status, delivered)))
}

/// The offset and the length of each data message that is no PROBE.
fn offsets(request: &Request) -> Vec<(u64, u32)> {
    let data = request.data().into_iter().map(|(_, data)| data);
    data.filter(|d| !d.flags.has(DataFlags::PROBE)).map(|d| (d.offset, d.len)).collect()
}

#[test]
fn busy_sends_the_rest_again_once_the_peer_is_ready() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1000);
    assert_eq!(send(&mut bench, id, 250, Status::Busy, 100), [(0, 250)]);
    assert!(bench.begin(Lane::Send).is_none(), "nothing but PROBEs until then");
    bench.exchange(Lane::Park, |answer| answer.message(&Message::Ready(PEER)));
    let request = bench.exchange(Lane::Send, |answer| answer);
    assert_eq!(offsets(&request), [(100, 0), (100, 150)], "what it has is asked, patiently");
}

#[test]
fn failed_send_is_repeated_from_its_first_offset() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1000);
    let now = bench.now;
    bench.session().write(now, id, &[1; 200]).unwrap();
    for _ in 0..3 {
        let request = bench.begin(Lane::Send).expect("data");
        assert_eq!(offsets(&request), [(0, 200)]);
        bench.fail(Lane::Send, Blocked::Cut);
        bench.pass(3000);
    }
}

#[test]
fn loss_at_the_same_offset_is_told_again_behind_a_probe() {
    let (mut bench, _, local) = Bench::connected(Kind::Stream, 1000);
    let mut losses = Vec::new();
    for flags in [DataFlags::NONE, DataFlags::NONE, DataFlags::PROBE, DataFlags::PROBE] {
        let bytes: &[u8] = if flags == DataFlags::PROBE { b"" } else { b"xyz" };
        bench.exchange(Lane::Park, |answer| answer.from(PEER, local).data(50, flags, bytes));
        let request = bench.exchange(Lane::Park, |answer| answer);
        losses.extend(request.windows().iter().map(|w| w.losses));
    }
    assert_eq!(losses, [1, 1, 2, 3]);
}

#[test]
fn window_is_kept_to_the_octet_and_probed_when_closed() {
    let (mut bench, id, local) = Bench::connected(Kind::Stream, 100);
    assert_eq!(send(&mut bench, id, 250, Status::Delivered, 100), [(0, 100)]);
    assert!(bench.begin(Lane::Send).is_none());
    let told = Window { ack: 100, limit: 101, ..Window::default() };
    bench.exchange(Lane::Park, |answer| answer.from(PEER, local).window(told));
    let request = bench.exchange(Lane::Send, |answer| answer.verdict(FIRST, Status::Delivered, 1));
    assert_eq!(offsets(&request), [(100, 1)]);
    bench.pass(20_000);
    let request = bench.exchange(Lane::Send, |answer| answer);
    assert!(request.data().iter().any(|(_, data)| data.flags.has(DataFlags::PROBE)));
}

#[test]
fn lost_park_makes_a_sender_ask_at_once_for_acknowledgements() {
    let (mut bench, id, _) = Bench::connected(Kind::Stream, 1000);
    let park = bench.begin(Lane::Park);
    assert!(park.is_some());
    assert_eq!(send(&mut bench, id, 200, Status::Delivered, 200), [(0, 200)]);
    // The path is dark: the probes back off.
    let is_probe = |(_, data): &(usize, Data)| data.flags.has(DataFlags::PROBE);
    for _ in 0..4 {
        bench.pass(PAUSE);
        assert!(bench.exchange(Lane::Send, |answer| answer).data().iter().any(is_probe));
    }
    assert!(bench.begin(Lane::Send).is_none());
    bench.fail(Lane::Park, Blocked::Silence);
    let request = bench.begin(Lane::Send).expect("a question");
    assert!(request.data().iter().any(|(_, d)| d.len == 0 && d.flags.has(DataFlags::ACK_NOW)));
}
