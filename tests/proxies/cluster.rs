//! Many relays as one: real relays, real NATS servers, and haproxy before them, as `examples/deploy` has them.
//! `tests/run` installs the latter.

mod parts;
mod stranger;
mod transfers;

use std::time::Instant;

use byway::client::{Client, Config};
use byway::session::Pace;
use byway::transport::Token;

use crate::daemon::wait_for;
use crate::{DEADLINE, carry, join};
use parts::{Bus, PASSWORD, ROUTE, Relays};
use stranger::{Line, Stranger};
use transfers::Transfers;

/// Clients at each end of the transfers, and channels of each.
const CLIENTS: usize = 10;
const CHANNELS: usize = 10;

#[test]
fn transfers_outlive_the_restart_of_all_relays_and_of_the_whole_bus_one_after_the_other() {
    let mut bus = Bus::start(3);
    let mut relays = Relays::start(3, &bus);
    let front = relays.front();
    let transfers = Transfers::begin(&front.url(), CLIENTS, CHANNELS);
    for turn in 0..3 {
        let begun = Instant::now();
        relays.restart(turn);
        relays.wait_ready();
        transfers.wait_for_all();
        println!("relay {turn} was restarted, all went on after {:.1?}", begun.elapsed());
    }
    for turn in 0..3 {
        let begun = Instant::now();
        bus.restart(turn);
        relays.wait_ready();
        transfers.wait_for_all();
        println!(
            "server {turn} of the bus was restarted, all went on after {:.1?}",
            begun.elapsed()
        );
    }
    transfers.end();
}

#[test]
fn clients_at_different_relays_meet_and_go_on_when_the_relay_with_the_router_is_killed() {
    let bus = Bus::start(1);
    let mut relays = Relays::start(3, &bus);
    for pace in [Pace::Streaming, Pace::LongPoll] {
        let holder = relays.holder();
        let others: Vec<_> = (0..3).filter(|n| *n != holder).collect();
        let open = |n: usize| {
            let config = Config { pace, ..Config::new(relays.url(others[n])) };
            Client::open(config).expect("the relay answers")
        };
        let (one, other) = (open(0), open(1));
        let (from, to) = join(&one, &other);
        carry(&from, &to, 1 << 20);
        relays.kill(holder);
        carry(&from, &to, 1 << 20);
        assert_ne!(relays.holder(), holder);
        relays.restart(holder);
        relays.wait_ready();
    }
}

#[test]
fn relay_without_its_bus_is_not_ready_and_says_so_to_clients_which_come_back() {
    let mut bus = Bus::start(1);
    let relays = Relays::start(1, &bus);
    let client = Client::open(Config::new(relays.url(0))).expect("the relay answers");
    let listening = client.listen("there:1").expect("listens");
    bus.stop(0);
    wait_for("a relay that is not ready", || (!relays.is_ready(0)).then_some(()));
    let refused = relays.post(0);
    assert!(refused.contains("503") && refused.contains("no relay of the cluster"), "{refused}");
    bus.restart(0);
    relays.wait_ready();
    let other = Client::open(Config::new(relays.url(0))).expect("the relay answers");
    let to = other.connect("there:1").expect("connects");
    let from = listening.accept_timeout(DEADLINE).expect("accepts");
    carry(&from, &to, 1 << 16);
}

#[test]
fn token_counts_at_the_relay_with_the_router_and_at_the_one_with_the_connection() {
    let bus = Bus::start(1);
    let relays = Relays::start_with_policy(2, &bus);
    let holder = relays.holder();
    let config = |n: usize, token: &str| Config {
        token: Some(Token::value(token)),
        ..Config::new(relays.url(n))
    };
    let listener = Client::open(config(holder, parts::LISTENS)).expect("the token is known");
    let listening = listener.listen("there:1").expect("the policy lets it");
    let other = Client::open(config(1 - holder, parts::CONNECTS)).expect("the token is known");
    let to = other.connect("there:1").expect("the policy lets it");
    let from = listening.accept_timeout(DEADLINE).expect("accepts");
    carry(&from, &to, 1 << 16);
    let refused = other.listen("here:1").expect_err("the policy does not let it");
    assert!(refused.to_string().contains("policy"), "{refused}");
}

#[test]
fn bus_of_the_page_takes_no_server_and_no_client_without_its_passwords() {
    let bus = Bus::start(2);
    let login = Some(("byway", PASSWORD));
    let mut one = Line::open(bus.ports[0], login).expect("the password of the page");
    let mut other = Line::open(bus.ports[1], login).expect("the password of the page");
    wait_for("servers that are one", || {
        other.publish("of the bus");
        other.turn().expect("it is let in");
        one.turn().expect("it is let in").iter().any(|text| text == "of the bus").then_some(())
    });
    for wrong in [None, Some(("byway", "a-guess")), Some(("route", PASSWORD))] {
        let refused = Line::open(bus.ports[0], wrong).map(drop).expect_err("no such login");
        assert!(refused.contains("Authorization Violation"), "{refused}");
    }
    for login in ["", "route:a-guess@", "byway:a-word-that-nobody-guesses@"] {
        let stranger = Stranger::start(bus.routes[0], login);
        let mut outside = Line::open(stranger.port, None).expect("it lets in everybody");
        wait_for("a refusal", || stranger.is_refused().then_some(()));
        outside.publish("of a stranger");
        outside.turn().expect("it is let in");
        one.publish("a secret");
        let heard = [&mut one, &mut other].map(|line| line.turn().expect("it is let in"));
        assert!(!heard.concat().iter().any(|text| text == "of a stranger"), "{heard:?}");
        let heard = outside.turn().expect("it is let in");
        assert!(!heard.iter().any(|text| text == "a secret"), "{heard:?}");
    }
    // With the password it is one of the bus: that is what keeps the others out.
    let friend = Stranger::start(bus.routes[0], ROUTE);
    let mut inside = Line::open(friend.port, None).expect("it lets in everybody");
    wait_for("a message of the other server", || {
        inside.publish("of a friend");
        inside.turn().expect("it is let in");
        one.turn().expect("it is let in").iter().any(|text| text == "of a friend").then_some(())
    });
}
