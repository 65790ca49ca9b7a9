//! Compares the page's tables with the code.

use super::*;
use crate::session::{Settings, Timers};

/// The cells of the table that begins with the row `header`, without the rows of its head.
fn table(page: &'static str, header: &str) -> Vec<Vec<&'static str>> {
    let at = page.find(&format!("\n{header}\n")).unwrap_or_else(|| panic!("no table {header}"));
    let rows = page[at + 1..].lines().take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The page from a heading to the next.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n{heading}\n")).expect(heading);
    rest.split("\n#").next().unwrap_or_default()
}

fn number(cell: &str) -> u64 {
    let digits = cell.replace(',', "");
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    }
    .unwrap_or_else(|_| panic!("no number: {cell}"))
}

/// Compares a table of names and values with what the code has.
fn compare(header: &str, expected: &[(&str, u64)]) {
    let rows = table(PAGE, header);
    let rows: Vec<_> = rows.iter().map(|cells| (cells[0], number(cells[1]))).collect();
    assert_eq!(rows, expected, "{header}");
}

#[test]
fn statuses_are_those_of_the_page() {
    let rows = table(PAGE, "| Code | Name | Fault | Meaning |");
    let rows: Vec<_> = rows.iter().map(|r| (number(r[0]), r[1], r[2])).collect();
    let fault = |status: &Status| match status.fault() {
        Fault::Nobody => "nobody",
        Fault::Config => "config",
        Fault::Peer => "peer",
        Fault::Resource => "resource",
        Fault::Transport => "transport",
    };
    let all: Vec<_> = Status::ALL.iter().map(|s| (*s as u64, s.name(), fault(s))).collect();
    assert_eq!(rows, all);
    let codes = 0..=u8::MAX;
    let known: Vec<_> = codes.filter_map(Status::from_code).map(|s| s as u64).collect();
    assert_eq!(known, all.iter().map(|s| s.0).collect::<Vec<_>>());
}

#[test]
fn types_are_those_of_the_page() {
    let rows = table(PAGE, "| Type | Message | From → to | Where |");
    let rows: Vec<_> = rows.iter().map(|r| (number(r[0]), r[1])).collect();
    let mut all: Vec<_> = samples(1, 0).iter().map(|(n, m)| (u64::from(m.kind()), *n)).collect();
    all.sort_unstable();
    assert_eq!(rows, all);
}

/// Fields follow each other without a gap, and are together as long as the message.
#[test]
fn layouts_are_those_of_the_page() {
    for (n, g) in [(1, 0), (6, 3), (MAX_NAME, MAX_GREETING)] {
        for (name, message) in samples(n, g) {
            let name = match name {
                // Described where they are sent.
                "ACCEPT_REQ" => "CONNECT_REQ",
                "CONNECT_RSP" => "ACCEPT_RSP",
                "RECEIVE_RSP" => "SEND_REQ",
                "SEND_RSP" => "RECEIVE_REQ",
                name => name,
            };
            let text = section(&format!("### {name}"));
            let kind = format!("type {:#04x}", message.kind());
            assert!(text.contains(&kind), "{name}: {kind}");
            let (mut fixed, mut symbols, mut total) = (0, String::new(), 0);
            for row in table(text, "| Offset | Size | Field | Meaning |") {
                assert_eq!(row[0], format!("{fixed}{symbols}"), "{name}: {row:?}");
                total += match row[1] {
                    "n" => n,
                    "g" => g,
                    size => number(size) as usize,
                };
                match row[1] {
                    symbol @ ("n" | "g") => symbols = format!("{symbols}+{symbol}"),
                    size => fixed += number(size),
                }
            }
            assert_eq!(total, message.encoded_len(), "{name}");
        }
    }
}

#[test]
fn data_flags_are_those_of_the_page() {
    let rows = table(PAGE, "| Flag | Name | Meaning |");
    let rows: Vec<_> = rows.iter().map(|r| (number(r[0]) as u8, r[1])).collect();
    let all = [
        (DataFlags::FIN.bits(), "FIN"),
        (DataFlags::PROBE.bits(), "PROBE"),
        (DataFlags::ACK_NOW.bits(), "ACK_NOW"),
        (DataFlags::DATAGRAM.bits(), "DATAGRAM"),
        (DataFlags::HUNGRY.bits(), "HUNGRY"),
    ];
    assert_eq!(rows, all);
    let hello = section("### HELLO");
    assert!(hello.contains(&format!("{:#04x} WAKE", HelloFlags::WAKE.bits())));
    assert!(hello.contains(&format!("{:#04x} BYE", HelloFlags::BYE.bits())));
    assert!(hello.contains(&format!("{:#04x} STREAM", HelloFlags::STREAM.bits())));
    assert!(hello.contains(&format!("{:#04x} SINGLE", HelloFlags::SINGLE.bits())));
}

#[test]
fn limits_are_those_of_the_page() {
    compare(
        "| Constant | Value | Meaning |",
        &[
            ("VERSION", VERSION.into()),
            ("HEADER_LEN", HEADER_LEN as u64),
            ("DATA_HEADER_LEN", DATA_HEADER_LEN as u64),
            ("MAX_MESSAGE", MAX_MESSAGE as u64),
            ("MAX_CONTROL", MAX_CONTROL as u64),
            ("MAX_NAME", MAX_NAME as u64),
            ("MAX_GREETING", MAX_GREETING as u64),
            ("MAX_HANDSHAKE", MAX_HANDSHAKE as u64),
            ("MAX_DATAGRAM", MAX_DATAGRAM as u64),
            ("MAX_CLAIMS", MAX_CLAIMS as u64),
            ("MAX_SINGLE_BODY", MAX_SINGLE_BODY as u64),
        ],
    );
    let settings = Settings::new([0; 16], 0);
    compare(
        "| Client | Value | Meaning |",
        &[("max_body", settings.max_body.into()), ("max_response", settings.max_response.into())],
    );
    assert!(PAGE.contains(&format!("({} s unless configured)", settings.linger_ms / 1000)));
    assert_eq!(settings.keepalive_ms, 0, "the page says off");
}

#[test]
fn timers_are_those_of_the_page() {
    let t = Timers::DEFAULT;
    compare(
        "| Client | ms | Meaning |",
        &[
            ("hold_active_ms", t.hold_active_ms.into()),
            ("hold_idle_ms", t.hold_idle_ms.into()),
            ("hold_battery_ms", t.hold_battery_ms.into()),
            ("active_for_ms", t.active_for_ms.into()),
            ("park_grace_active_ms", t.park_grace_active_ms.into()),
            ("park_grace_idle_ms", t.park_grace_idle_ms.into()),
            ("send_silence_ms", t.send_silence_ms.into()),
            ("stream_late_ms", t.stream_late_ms.into()),
            ("ack_delay_ms", t.ack_delay_ms.into()),
            ("retry_min_ms", t.retry_min_ms.into()),
            ("retry_max_ms", t.retry_max_ms.into()),
            ("rto_first_ms", t.rto_first_ms.into()),
            ("rto_min_ms", t.rto_min_ms.into()),
            ("rto_max_ms", t.rto_max_ms.into()),
            ("accept_for_ms", t.accept_for_ms.into()),
            ("datagram_life_ms", t.datagram_life_ms.into()),
            ("abort_for_ms", t.abort_for_ms.into()),
        ],
    );
}

#[cfg(feature = "relay")]
#[test]
fn limits_of_the_relay_are_those_of_the_page() {
    let config = crate::relay::RelayConfig::default();
    let (stall, relay) = (config.stall, config.router);
    assert!(PAGE.contains(&format!("nothing of its response for {} s", stall.as_secs())));
    compare(
        "| Relay | Value | Meaning |",
        &[
            ("max_body", relay.max_body.into()),
            ("max_messages", relay.max_messages.into()),
            ("max_sessions", relay.max_sessions as u64),
            ("claims", relay.claims as u64),
            ("proofs", relay.proofs.into()),
            ("wishes", relay.wishes as u64),
            ("peers", relay.peers as u64),
            ("asked", relay.asked as u64),
            ("acks", relay.acks as u64),
            ("sends", relay.sends.into()),
            ("undrained", relay.undrained as u64),
            ("max_connections", config.max_connections as u64),
            ("max_held", relay.max_held as u64),
            ("max_held_per_origin", relay.max_held_per_origin as u64),
            ("body_rate", relay.body_rate.into()),
            ("drain_rate", config.drain_rate.into()),
        ],
    );
    let rates = [
        ("connections", relay.connections),
        ("requests", relay.requests),
        ("new_sessions", relay.new_sessions),
        ("guesses", relay.guesses),
        ("guesses_per_session", relay.guesses_per_session),
        ("misses", relay.misses),
        ("proof_checks", relay.proof_checks),
        ("wakes", relay.wakes),
        ("acks_unasked", relay.acks_unasked),
    ];
    let rates = rates.map(|(name, rate)| {
        let rate = rate.expect(name);
        (name, rate.per_second.get().into(), rate.burst.get().into())
    });
    let rows = table(PAGE, "| Rate | A second | At once | Meaning |");
    let rows: Vec<_> = rows.iter().map(|r| (r[0], number(r[1]), number(r[2]))).collect();
    assert_eq!(rows, rates);
    compare(
        "| Relay | ms | Meaning |",
        &[
            ("grace_ms", relay.grace_ms),
            ("doubt_ms", relay.doubt_ms),
            ("busy_wait_min_ms", relay.busy_wait_min_ms),
            ("busy_wait_max_ms", relay.busy_wait_max_ms),
            ("patience_ms", relay.patience_ms),
            ("max_hold_ms", relay.max_hold_ms),
            ("ack_delay_ms", relay.ack_delay_ms),
            ("first_tick_ms", relay.first_tick_ms.into()),
            ("tick_ms", relay.tick_ms.into()),
            ("silence_ms", relay.silence_ms),
            ("upload_idle_ms", relay.upload_idle_ms),
            ("body_ms", relay.body_ms),
            ("request_wait_ms", relay.request_wait_ms),
            ("ack_keep_ms", relay.ack_keep_ms),
            ("forget_ms", relay.forget_ms),
            ("head_timeout", config.head_timeout.as_millis() as u64),
        ],
    );
    // The relations that the page asks for.
    let client = Timers::DEFAULT;
    assert!(relay.busy_wait_max_ms <= relay.patience_ms);
    assert!(relay.patience_ms < client.send_silence_ms.into());
    assert!(relay.grace_ms >= client.rto_max_ms.into());
    assert!(relay.ack_delay_ms + u64::from(client.ack_delay_ms) < client.rto_min_ms.into());
    assert!(u64::from(client.hold_battery_ms) <= relay.max_hold_ms);
    assert!(relay.tick_ms <= client.hold_active_ms);
}
