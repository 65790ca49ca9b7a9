//! What an origin may hold, and how often it may do what is limited.

use crate::Kind;
use crate::relay::router::testing::{Body, Lab, Request, secret};
use crate::relay::router::{Meter, Origin, Rate, RouterConfig};
use crate::wire::{
    Data, DataFlags, Hello, HelloFlags, MAX_DATAGRAM, MAX_SINGLE_BODY, Message, Status,
};

/// An address of an attacker, and one of somebody else.
pub fn origin(n: u8) -> Origin {
    Origin::of([203, 0, 113, n].into())
}

pub fn at(n: u8) -> Lab {
    with(n, RouterConfig::default())
}

fn with(n: u8, config: RouterConfig) -> Lab {
    Lab { origin: origin(n), ..Lab::with(config) }
}

/// HELLO of a session that no other test has.
pub fn hello(n: u32, seq: u64, hold_ms: u32, flags: HelloFlags) -> Hello {
    let mut key = secret(0xee);
    key[..4].copy_from_slice(&n.to_be_bytes());
    Hello { secret: key, seq, hold_ms, flags, ..Body::greeting(0) }
}

pub fn send(n: u32) -> Body {
    Body::hello(hello(n, 0, 0, HelloFlags::NONE))
}

/// A datagram for session 2 that lacks its last octet.
fn half_datagram(lab: &mut Lab, n: u32) -> Request {
    let data = Data { offset: 0, flags: DataFlags::DATAGRAM, len: MAX_DATAGRAM as u32 };
    let body = send(n).to(2, 7).message(&Message::SendReq(data)).raw(&[1; MAX_DATAGRAM - 1]);
    let mut request = lab.open(body);
    let all = request.rest.len();
    lab.give(&mut request, all);
    request
}

/// A stream for session 2 goes on, whose park is not answered yet.
fn assert_goes_on(lab: &mut Lab, park: &mut Request) {
    lab.origin = origin(200);
    let seen = lab.send(Body::send(1).to(2, 7).stream(0, &[9; 60_000]));
    assert_eq!(seen.verdicts(), [(2, Status::Delivered, 60_000)]);
    lab.pass(1_000);
    assert_eq!(lab.answer(park).stream(), [9; 60_000]);
}

#[test]
fn datagrams_that_lack_an_octet_do_not_stop_others() {
    let mut lab = at(200);
    let mut park = lab.post(Body::park(2, 1, 60_000));
    let config = RouterConfig::default();
    let mut open = Vec::new();
    for n in 0..6_000 {
        lab.origin = origin((n % 20) as u8);
        open.push(half_datagram(&mut lab, n));
    }
    assert!(lab.router.stats().held < config.max_held);
    assert!(lab.router.stats().over_share > 0);
    assert_goes_on(&mut lab, &mut park);
    for request in open {
        lab.drop(request);
    }
    assert_eq!(lab.router.stats().held, 0);
}

#[test]
fn single_hellos_do_not_stop_others() {
    let mut lab = at(200);
    let mut park = lab.post(Body::park(2, 1, 60_000));
    let share = RouterConfig::default().max_held_per_origin;
    lab.origin = origin(1);
    let mut limited = 0;
    let mut open = Vec::new();
    for n in 0..8_250 {
        let mut request =
            lab.open(Body::hello(hello(n, 1, 60_000, HelloFlags::SINGLE)).raw(&[0; 9]));
        let most = request.rest.len() - 9;
        lab.give(&mut request, most);
        limited +=
            u32::from(lab.response(&mut request).is_some_and(|a| a.end() == Status::Limited));
        open.push(request);
        // An address may have so many new sessions a second.
        lab.pass(2);
    }
    assert_eq!(lab.router.stats().held, share);
    assert_eq!(limited as usize, 8_250 - share / MAX_SINGLE_BODY);
    assert_goes_on(&mut lab, &mut park);
    lab.origin = origin(3);
    let mut newcomer = lab.post(Body::single(9, 1).to(2, 7).ack(1, true));
    lab.pass(5_000);
    assert_eq!(lab.answer(&mut newcomer).end(), Status::Ok);
}

#[test]
fn an_origin_may_hold_as_much_as_is_free_besides() {
    let max_held = 90 * MAX_SINGLE_BODY;
    let config = RouterConfig { max_held, max_held_per_origin: max_held, ..Default::default() };
    let mut lab = with(1, config);
    let mut take = |n: u8| {
        lab.origin = origin(n);
        let mut taken = 0;
        loop {
            let key = u32::from(n) << 16 | taken;
            // The HELLO alone is given: room for the whole body is held.
            let body = Body::hello(hello(key, 1, 60_000, HelloFlags::SINGLE)).raw(&[0; 9]);
            let mut request = lab.open(body);
            let most = request.rest.len() - 9;
            lab.give(&mut request, most);
            if lab.response(&mut request).is_some() {
                return taken;
            }
            taken += 1;
        }
    };
    // Half of all; then as much as is left for the others: half of what the first left.
    assert_eq!(take(1), 45);
    assert_eq!(take(2), 23);
    assert_eq!(take(3), 11);
}

/// Twenty acknowledgements from 1 to 2, which does not park.
fn acknowledgements_of_an_away_peer(lab: &mut Lab) -> Body {
    let mut park = lab.post(Body::park(2, 1, 1));
    lab.pass(1);
    lab.answer(&mut park);
    (0..20).fold(Body::send(1), |body, id| body.to(2, id + 1).ack(5, false))
}

#[test]
fn kept_acknowledgements_are_held_for_their_source_until_they_go() {
    let mut lab = at(1);
    let body = acknowledgements_of_an_away_peer(&mut lab);
    lab.send(body.clone());
    assert_eq!(lab.router.stats().acks_kept, 20);
    let mut park = lab.post(Body::park(2, 2, 60_000));
    lab.pass(1_000);
    assert_eq!(lab.answer(&mut park).acks().len(), 20);
    assert_eq!(lab.router.stats().acks_kept, 0);
    // A session that does not come back: they are dropped, long before it is forgotten.
    lab.send(body);
    assert_eq!(lab.router.stats().acks_kept, 20);
    lab.pass(3 * RouterConfig::default().ack_keep_ms);
    let stats = lab.router.stats();
    assert_eq!((stats.acks_kept, stats.acks_dropped, stats.held), (0, 20, 0));
}

#[test]
fn more_acknowledgements_than_an_origins_share_are_busy() {
    let config = RouterConfig { max_held_per_origin: 10 * 256, ..Default::default() };
    let mut lab = with(1, config);
    let body = acknowledgements_of_an_away_peer(&mut lab);
    let seen = lab.send(body);
    let kept = seen.verdicts().iter().filter(|(_, s, _)| *s == Status::Delivered).count();
    assert_eq!(kept, 10);
    assert_eq!(lab.router.stats().acks_kept, 10);
}

#[test]
fn body_that_drips_is_given_up() {
    let mut lab = at(1);
    lab.post(Body::park(2, 1, 300_000));
    let mut drip = lab.open(Body::send(1).to(2, 7).datagram(0, &[1; 9_000]));
    lab.give(&mut drip, 200);
    let mut answered = None;
    for _ in 0..20 {
        lab.pass(20_000);
        if let Some(seen) = lab.response(&mut drip) {
            answered = Some((lab.now, seen));
            break;
        }
        lab.give(&mut drip, 1);
    }
    let (when, seen) = answered.expect("it is given up");
    assert_eq!(seen.end(), Status::Limited);
    assert!(when <= 90_000, "{when}");
    assert_eq!(lab.router.stats().slow_bodies, 1);
}

#[test]
fn body_of_a_slow_line_is_taken() {
    let mut lab = at(1);
    let (flags, hold_ms) = (HelloFlags::STREAM, 300_000);
    let mut park = lab.post(Body::hello(Hello { seq: 1, flags, hold_ms, ..Body::greeting(2) }));
    let body = Body::send(1).to(2, 7).stream(0, &[1; 40_000]);
    let mut slow = lab.open(body);
    // 300 octets a second, as by GPRS.
    while !slow.rest.is_empty() {
        let n = slow.rest.len().min(300);
        lab.give(&mut slow, n);
        lab.pass(1_000);
        lab.response(&mut park);
    }
    lab.offer(&mut slow);
    assert_eq!(lab.answer(&mut slow).verdicts()[0].1, Status::Delivered);
}

#[test]
fn new_sessions_beyond_the_rate_are_refused_and_known_ones_go_on() {
    let config = RouterConfig { new_sessions: Some(Rate::new(1, 3)), ..Default::default() };
    let mut lab = with(1, config);
    lab.post(Body::park(1, 1, 60_000));
    for n in 2..4 {
        assert_eq!(lab.send(Body::send(n)).end(), Status::Ok);
    }
    let mut refused = lab.post(Body::send(9));
    assert!(lab.router.is_refused(refused.id));
    assert!(lab.unanswered(&mut refused));
    assert_eq!(lab.send(Body::send(1)).end(), Status::Ok);
    assert_eq!(lab.router.stats().sessions_refused, 1);
    lab.origin = origin(2);
    assert_eq!(lab.send(Body::send(10)).end(), Status::Ok);
    lab.origin = origin(1);
    lab.pass(1_000);
    assert_eq!(lab.send(Body::send(9)).end(), Status::Ok);
}

#[test]
fn requests_beyond_the_rate_wait_and_then_are_refused() {
    let config = RouterConfig { requests: Some(Rate::new(10, 5)), ..Default::default() };
    let mut lab = with(1, config);
    let from = origin(1);
    for _ in 0..5 {
        assert_eq!(lab.router.admit_request(lab.now, &from), Ok(0));
    }
    for n in 1..=10 {
        assert_eq!(lab.router.admit_request(lab.now, &from), Ok(n * 100));
    }
    assert_eq!(lab.router.admit_request(lab.now, &from), Err(1_100));
    assert_eq!(lab.router.admit_request(lab.now, &origin(2)), Ok(0));
    assert_eq!(lab.router.admit_request(lab.now, &Origin::Exempt), Ok(0));
    assert_eq!(lab.router.stats().requests_refused, 1);
}

#[test]
fn addresses_of_an_ipv6_network_are_one_origin() {
    let mut lab = Lab::with(RouterConfig { requests: Some(Rate::new(1, 1)), ..Default::default() });
    let of = |text: &str| Origin::of(text.parse().expect("an address"));
    let mut admit = |text| lab.router.admit(lab.now, &of(text), Meter::Requests, 0).is_ok();
    assert!(admit("2001:db8:0:1::1"));
    assert!(!admit("2001:db8:0:1:ffff::2"));
    assert!(admit("2001:db8:0:2::1"));
    assert!(admit("::ffff:192.0.2.1"));
    assert!(!admit("192.0.2.1"));
}

#[test]
fn accounts_that_nobody_uses_are_forgotten() {
    let mut lab = at(1);
    for n in 0..1_000_000_u32 {
        let origin = Origin::of(std::net::Ipv4Addr::from_bits(0x0100_0000 + n).into());
        assert_eq!(lab.router.admit_request(lab.now, &origin), Ok(0));
        if n % 1_000 == 0 {
            lab.pass(10);
        }
    }
    assert!(lab.router.stats().origins <= 4_096, "{}", lab.router.stats().origins);
}

#[test]
fn guesses_of_an_owner_are_retry_right_or_wrong_once_the_rate_is_used() {
    let config = RouterConfig { guesses: Some(Rate::new(1, 20)), ..Default::default() };
    let mut lab = with(200, config);
    lab.post(Body::park(1, 1, 60_000).claim(1, "camera", 77, 10, Some(Status::Ok)));
    lab.origin = origin(1);
    let mut told = Vec::new();
    for n in 0..200_u32 {
        let body = Body::hello(hello(n, 1, 1_000, HelloFlags::NONE));
        // The right owner is the last that is tried, with an epoch that does not take over.
        let mut park =
            lab.post(body.claim(1, "camera", if n == 199 { 77 } else { n as u8 % 77 }, 0, None));
        told.push(lab.answer(&mut park).listens()[0]);
    }
    let judged = told.iter().filter(|(_, status, _)| *status != Status::Retry).count();
    assert_eq!(judged, 20);
    assert!(told[20..].iter().all(|answer| *answer == (1, Status::Retry, 0)));
    assert_eq!(lab.router.stats().guesses_refused, 180);
    // The owner takes its name over meanwhile, from elsewhere.
    lab.origin = origin(200);
    let mut park = lab.post(Body::park(3, 1, 60_000).claim(1, "camera", 77, 11, None));
    assert_eq!(lab.answer(&mut park).listens(), [(1, Status::Ok, 11)]);
}

#[test]
fn a_session_has_its_own_rate_of_guesses_even_where_its_origin_is_exempt() {
    let config = RouterConfig { guesses_per_session: Some(Rate::new(1, 2)), ..Default::default() };
    let mut lab = Lab::with(config);
    lab.post(Body::park(1, 1, 60_000).claim(1, "camera", 77, 10, Some(Status::Ok)));
    let mut guess = |seq| {
        let mut park = lab.post(Body::park(2, seq, 5_000).claim(1, "camera", 3, 99, None));
        lab.answer(&mut park).listens()[0].1
    };
    assert_eq!([guess(1), guess(2), guess(3)], [Status::InUse, Status::InUse, Status::Retry]);
}

#[test]
fn highest_epoch_locks_no_owner_out() {
    let mut lab = Lab::new();
    let mut thief = lab.post(Body::park(1, 1, 60_000).claim(1, "camera", 7, u64::MAX, None));
    assert_eq!(lab.answer(&mut thief).listens(), [(1, Status::Ok, u64::MAX)]);
    lab.post(Body::park(1, 2, 60_000).claim(1, "camera", 7, u64::MAX, Some(Status::Ok)));
    let mut owner = lab.post(Body::park(2, 1, 60_000).claim(1, "camera", 7, 1_000, None));
    // The client asks again with an epoch above that.
    assert_eq!(lab.answer(&mut owner).listens(), [(1, Status::Taken, u64::MAX - 1)]);
    let mut owner = lab.post(Body::park(2, 2, 60_000).claim(1, "camera", 7, u64::MAX, None));
    assert_eq!(lab.answer(&mut owner).listens(), [(1, Status::Ok, u64::MAX)]);
}

#[test]
fn names_cannot_be_listed_beyond_a_rate() {
    let config = RouterConfig { misses: Some(Rate::new(1, 10)), ..Default::default() };
    let mut lab = with(200, config);
    lab.post(Body::park(1, 1, 60_000).claim(1, "camera", 7, 1, Some(Status::Ok)));
    lab.origin = origin(1);
    let mut ask = |name: &str| {
        let seen = lab.send(Body::send(9).connect(name, Kind::Datagram));
        seen.verdicts()[0].1
    };
    for _ in 0..5 {
        assert_eq!((ask("camera"), ask("nobody")), (Status::WrongKind, Status::NoListener));
    }
    for _ in 0..5 {
        assert_eq!((ask("camera"), ask("nobody")), (Status::Retry, Status::Retry));
    }
    // Connections that the listener sees go on.
    let seen = lab.send(Body::send(9).connect("camera", Kind::Stream));
    assert_eq!(seen.verdicts()[0].1, Status::Delivered);
}

#[test]
fn recorded_park_is_stale_after_bye_as_long_as_the_relay_lives() {
    let mut lab = Lab::new();
    let recorded = Body::park(1, 5, 60_000).claim(1, "camera", 7, 1, None);
    let mut park = lab.post(recorded.clone());
    let bye = Hello { seq: 6, flags: HelloFlags::BYE, ..Body::greeting(1) };
    lab.send(Body::hello(bye));
    lab.answer(&mut park);
    lab.pass(10 * RouterConfig::default().forget_ms);
    assert_eq!(lab.router.stats().sessions, 0);
    let mut park = lab.post(recorded);
    assert_eq!(lab.answer(&mut park).end(), Status::Stale);
    assert_eq!(lab.router.stats().names, 0);
}

#[test]
fn recorded_park_is_stale_after_its_session_made_room_for_others() {
    let mut lab = Lab::with(RouterConfig { max_sessions: 8, ..Default::default() });
    let recorded = Body::park(1, 5, 1).claim(1, "camera", 7, 1, None);
    let mut park = lab.post(recorded.clone());
    let bye = Hello { seq: 6, flags: HelloFlags::BYE, ..Body::greeting(1) };
    lab.send(Body::hello(bye));
    lab.answer(&mut park);
    for n in 100..120 {
        lab.send(Body::send(n));
    }
    let mut park = lab.post(recorded);
    assert_eq!(lab.answer(&mut park).end(), Status::Stale);
}

#[test]
fn upload_that_is_held_back_again_and_again_is_counted_once() {
    let mut lab = Lab::with(RouterConfig { max_held: 8_000, ..Default::default() });
    let mut park = lab.post(Body::park(2, 1, 60_000));
    let mut upload = lab.open(Body::send(1).to(2, 7).stream(0, &[1; 60_000]));
    let mut offers = 1;
    while !lab.offer(&mut upload) {
        assert!(lab.take(&mut park));
        offers += 1;
    }
    assert!(offers > 5, "{offers}");
    assert_eq!(lab.router.stats().limits.get("max_held"), 1);
}

#[test]
fn session_that_makes_room_for_another_is_counted_once() {
    let mut lab = Lab::with(RouterConfig { max_sessions: 8, ..Default::default() });
    for n in 1..=20 {
        lab.send(Body::send(n).to(100, 7).stream(0, b"x").stream(1, b"x"));
    }
    assert_eq!(lab.router.stats().limits.get("max_sessions"), 12);
}
