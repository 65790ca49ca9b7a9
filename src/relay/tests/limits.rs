//! What an address may do, over sockets: a named proxy tells whose request it is.

use std::time::Instant;

use super::*;
use crate::relay::admission::tests::jwts::{Key, claims};
use crate::relay::{Access, NewToken, Policy, Rate};
use crate::wire::HelloFlags;

/// A relay behind a proxy on this machine, so that each request says where it comes from.
fn behind_proxy(router: RouterConfig) -> Relay {
    admitting(router, Access::Open)
}

fn admitting(router: RouterConfig, access: Access) -> Relay {
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    Relay::bind(RelayConfig { router, trusted_proxies, access, ..RelayConfig::default() }).unwrap()
}

fn policy(text: &str) -> Access {
    Access::Policy(Arc::new(Policy::parse(text).unwrap()))
}

fn ask_with(relay: &Relay, from: &str, fields: &str, body: Body) -> Reply {
    let mut stream = dial(relay);
    let body = body.done();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {from}\r\n{fields}Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
    reply(&mut stream)
}

fn ask_from(relay: &Relay, from: &str, body: Body) -> Reply {
    ask_with(relay, from, "", body)
}

fn ask_as(relay: &Relay, from: &str, token: &str, body: Body) -> Reply {
    ask_with(relay, from, &format!("Authorization: Bearer {token}\r\n"), body)
}

fn assert_told_to_come_back(reply: &Reply, after: u32) {
    assert_eq!(reply.status, 503);
    let retry_after = format!("retry-after: {after}\n");
    for header in [&retry_after, "byway-status: full\n", "connection: close\n"] {
        assert!(reply.head.contains(header), "{header} in {}", reply.head);
    }
}

#[test]
fn too_many_requests_of_an_address_are_told_to_come_back() {
    let requests = Some(Rate::new(1, 3));
    let relay =
        behind_proxy(RouterConfig { requests, request_wait_ms: 0, ..RouterConfig::default() });
    for _ in 0..3 {
        assert_eq!(ask_from(&relay, "203.0.113.7", Body::send(1)).status, 200);
    }
    assert_told_to_come_back(&ask_from(&relay, "203.0.113.7", Body::send(1)), 1);
    // What a client writes there itself stands further left.
    assert_told_to_come_back(&ask_from(&relay, "1.1.1.1, 203.0.113.7", Body::send(1)), 1);
    assert_eq!(ask_from(&relay, "203.0.113.8", Body::send(2)).status, 200);
    assert_eq!(relay.stats().requests_refused, 2);
}

#[test]
fn request_beyond_the_rate_waits_for_its_turn() {
    let relay = behind_proxy(RouterConfig {
        requests: Some(Rate::new(10, 1)),
        request_wait_ms: 60_000,
        ..RouterConfig::default()
    });
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(ask_from(&relay, "203.0.113.7", Body::send(1)).status, 200);
    }
    assert!(began.elapsed() >= Duration::from_millis(290), "{:?}", began.elapsed());
}

#[test]
fn new_sessions_of_an_address_are_refused_and_known_ones_served() {
    let new_sessions = Some(Rate::new(1, 2));
    let relay = behind_proxy(RouterConfig { new_sessions, ..RouterConfig::default() });
    for n in [1, 2] {
        assert_eq!(ask_from(&relay, "2001:db8::1", Body::send(n)).status, 200);
    }
    // Another address of the same network.
    assert_told_to_come_back(&ask_from(&relay, "2001:db8::2", Body::send(3)), 5);
    assert_eq!(ask_from(&relay, "2001:db8::2", Body::send(1)).status, 200);
    assert_eq!(ask_from(&relay, "2001:db8:0:1::1", Body::send(4)).status, 200);
}

#[test]
fn limits_count_by_the_bearer_of_a_token_whatever_the_address() {
    let router = RouterConfig {
        requests: Some(Rate::new(1, 50)),
        new_sessions: Some(Rate::new(1, 2)),
        request_wait_ms: 0,
        ..RouterConfig::default()
    };
    let [cameras, viewers] =
        [("cameras", 1), ("viewers", 2)].map(|(name, seed)| NewToken::new(name, &[seed; 32]));
    let relay = admitting(router, policy(&[cameras.policy(), viewers.policy()].join("\n")));
    let ask = |n: u8, token: &NewToken| {
        ask_as(&relay, &format!("203.0.113.{n}"), token.token(), Body::send(n))
    };
    // Each session and request of the bearer comes from another address.
    let refused = (1..=100).map(|n| ask(n, &cameras)).find(|reply| reply.status != 200);
    assert_told_to_come_back(&refused.expect("a session beyond the rate"), 5);
    assert_eq!(ask(1, &cameras).status, 200, "a known session goes on");
    let refused = (0..1_000).map(|_| ask(1, &cameras)).find(|reply| reply.status != 200);
    assert_told_to_come_back(&refused.expect("a request beyond the rate"), 1);
    // Another bearer at the same address has its own limits.
    assert_eq!(ask(1, &viewers).status, 200);
    let stats = relay.stats();
    assert_eq!((stats.sessions_refused, stats.requests_refused), (1, 1));
}

#[test]
fn policy_gives_a_bearer_a_rate_of_requests() {
    let relay_wide = Some(Rate::new(1, 1));
    let router =
        RouterConfig { requests: relay_wide, request_wait_ms: 0, ..RouterConfig::default() };
    let [few, many] =
        [("few", 1), ("many", 2)].map(|(name, seed)| NewToken::new(name, &[seed; 32]));
    let lines = format!("{}\n{}requests_per_second = 500\n", few.policy(), many.policy());
    let relay = admitting(router, policy(&lines));
    let refused = |token: &NewToken, times: usize| {
        let ask = |_| ask_as(&relay, "203.0.113.7", token.token(), Body::send(1));
        (0..times).map(ask).find(|reply| reply.status != 200)
    };
    assert!(refused(&many, 100).is_none());
    assert_told_to_come_back(&refused(&few, 1_000).expect("a request beyond the rate"), 1);
    assert_eq!(relay.stats().requests_refused, 1);
}

#[test]
fn guesses_of_tokens_count_for_the_address_that_a_named_proxy_tells() {
    let key = Key::ed(1);
    let relay = admitting(RouterConfig::default(), policy(&key.issuer("")));
    let good = key.token(&claims("good", 3_600, ""));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let mut guesses = 0;
    let mut guess = |from: &str| {
        guesses += 1;
        let forged = format!("{signed}.{guesses:08}{}", &signature[8..]);
        ask_as(&relay, from, &forged, Body::send(1)).status
    };
    let began = Instant::now();
    let slowed = (0..10_000).any(|_| guess("203.0.113.7") == 503);
    // A thousand may come at once, and 500 in each second: as many as a slow machine makes.
    let most = 1_000 + 500 * (began.elapsed().as_secs() + 1);
    assert!(slowed || most >= 10_000, "each of 10,000 guesses was looked at, and {most} may be");
    assert_eq!(guess("203.0.113.8"), 401, "another address behind the proxy did not guess");
    let stats = relay.admission();
    assert!(stats.verified <= most + 1 && (stats.slowed > 0) == slowed, "{stats:?}");
    assert_eq!(ask_as(&relay, "203.0.113.8", &good, Body::send(1)).status, 200);
}

#[test]
fn forwarded_address_counts_for_nothing_without_a_named_proxy() {
    let requests = Some(Rate::new(1, 1));
    let config = RelayConfig::default();
    let router = RouterConfig { requests, request_wait_ms: 0, ..config.router.clone() };
    let relay = Relay::bind(RelayConfig { router, access: Access::Open, ..config }).unwrap();
    // All that a front brings which nobody named counts for the front.
    assert_eq!(ask_from(&relay, "203.0.113.7", Body::send(1)).status, 200);
    assert_told_to_come_back(&ask_from(&relay, "203.0.113.8", Body::send(2)), 1);
    for _ in 0..5 {
        assert_eq!(send(&relay, Body::send(3)).end(), Status::Ok, "this machine's own are exempt");
    }
}

#[test]
fn requests_that_a_front_passes_on_are_refused_where_nobody_beyond_is_let_in() {
    let relay = bound();
    let octets = "Content-Type: application/octet-stream\r\nContent-Length: 0";
    for field in ["X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", "Via: 1.1 front"] {
        let refused =
            raw(&relay, &format!("POST /v1 HTTP/1.1\r\nHost: x\r\n{field}\r\n{octets}\r\n\r\n"));
        assert_eq!(refused.status, 403, "{field}");
        let text = String::from_utf8(refused.body).unwrap();
        for remedy in ["--trusted-proxy", "--policy", "--open"] {
            assert!(text.contains(remedy), "{text}");
        }
    }
    assert_eq!(relay.admission().from_beyond, 3);
    assert_eq!(send(&relay, Body::send(1)).end(), Status::Ok);
    // A front that is named brings requests from beyond as well.
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let relay = Relay::bind(RelayConfig { trusted_proxies, ..RelayConfig::default() }).unwrap();
    assert_eq!(ask_from(&relay, "203.0.113.7", Body::send(1)).status, 403);
    assert_eq!(send(&relay, Body::send(1)).end(), Status::Ok);
}

#[test]
fn reader_slower_than_the_least_rate_is_given_up_although_it_takes_something() {
    // Each second brings some of the 4 MB that it is to take.
    let (stall, drain_rate) = (Duration::from_secs(1), 4_000_000);
    let config = RelayConfig { stall, drain_rate, ..RelayConfig::default() };
    let relay = Relay::bind(config).unwrap();
    let hello = Hello {
        seq: 1,
        hold_ms: 300_000,
        flags: HelloFlags::STREAM,
        max_response: u32::MAX,
        ..Body::greeting(2)
    };
    let mut reader = park(&relay, Body::hello(hello));
    let mut sender = dial(&relay);
    let body = Body::send(1).to(2, 7).stream(0, &vec![1; 4_000_000]).done();
    let sending = std::thread::spawn(move || {
        // More than the kernels take on the way; it ends when the relay is gone, at the latest.
        for _ in 0..8 {
            let head = format!(
                "POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            if sender.write_all(&[head.as_bytes(), &body].concat()).is_err() {
                return;
            }
            let _ = sender.read(&mut [0; 4096]);
        }
    });
    let began = Instant::now();
    while relay.stats().parked > 0 {
        assert!(began.elapsed() < 3 * DEADLINE, "it is served still");
        let _ = reader.read(&mut [0; 40_000]);
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(relay);
    sending.join().unwrap();
}

#[test]
fn requests_under_way_end_when_their_token_is_revoked() {
    let [stays, goes] = [("stays", 1), ("goes", 2)].map(|(name, n)| NewToken::new(name, &[n; 32]));
    let policy = |text: &str| Arc::new(Policy::parse(text).unwrap());
    let relay = bound();
    let ask = |token: Option<&NewToken>, body: Body, less: usize| {
        let mut stream = dial(&relay);
        let (body, token) =
            (body.done(), token.map(|token| format!("Byway-Token: {}\r\n", token.token())));
        let head = format!(
            "POST /v1 HTTP/1.1\r\nHost: x\r\n{}Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            token.unwrap_or_default(),
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body[..body.len() - less]].concat()).unwrap();
        stream
    };
    let stand = |parks: usize, sends: u64| {
        while relay.stats().parked < parks || relay.stats().sends < sends {
            std::thread::yield_now();
        }
    };
    let open = ask(None, Body::park(1, 1, 300_000), 0);
    stand(1, 0);
    relay.set_policy(policy(&[stays.policy(), goes.policy()].concat()));
    assert_eq!(parse(&reply(&mut { open }).body).end(), Status::Ok, "there was no policy");
    let kept = ask(Some(&stays), Body::park(2, 1, 300_000), 0);
    let revoked = ask(Some(&goes), Body::park(3, 1, 300_000), 0);
    let half = ask(Some(&goes), Body::send(3).to(2, 7).stream(0, &[1; 1_000]), 900);
    let no_hello = ask(Some(&goes), Body::send(3), 1);
    stand(2, 1);
    while relay.stats().exchanges < 4 {
        std::thread::yield_now();
    }
    relay.set_policy(policy(stays.policy()));
    assert_eq!(parse(&reply(&mut { revoked }).body).end(), Status::Ok);
    assert_eq!(parse(&reply(&mut { half }).body).end(), Status::Shutdown);
    let last = Body::send(3).done();
    let mut no_hello = no_hello;
    no_hello.write_all(&last[last.len() - 1..]).unwrap();
    assert_eq!(parse(&reply(&mut no_hello).body).end(), Status::Shutdown);
    assert_eq!(reply(&mut ask(Some(&goes), Body::send(3), 0)).status, 401);
    let seen = parse(&reply(&mut { kept }).body);
    assert_eq!((seen.end(), seen.stream().len()), (Status::Ok, 100), "it has what came");
}
