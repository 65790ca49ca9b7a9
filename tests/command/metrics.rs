//! What is served at `--metrics`, and to whom.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::process::{Byway, DEADLINE, Relay};

/// The pause between two looks at numbers, whose changes cause no event.
const LOOK: Duration = Duration::from_millis(20);

/// An answer of HTTP.
pub struct Answer {
    pub status: u16,
    /// The head, in small letters.
    pub head: String,
    pub text: String,
}

/// What a process serves to those that watch it.
pub struct Watch {
    address: String,
}

impl Watch {
    /// Of a process, which tells where.
    pub fn of(line: &str) -> Self {
        let url = line.split(' ').find_map(|word| word.strip_prefix("http://"));
        let url = url.unwrap_or_else(|| panic!("no URL in {line}"));
        Self { address: url.split('/').next().unwrap_or_default().to_owned() }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Asks for a path, with these more lines in the head.
    pub fn ask(&self, path: &str, lines: &str) -> Answer {
        let host = if lines.contains("Host:") { "" } else { "Host: 127.0.0.1\r\n" };
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\n{host}{lines}Connection: close\r\n\r\n")
            .expect("asked");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, text) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect("a status");
        Answer { status, head: head.to_ascii_lowercase(), text: text.to_owned() }
    }

    /// The value of a sample, as its name and labels stand in the text.
    pub fn value(&self, sample: &str) -> f64 {
        let text = self.ask("/metrics", "").text;
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        let value = line.and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {sample} in {text}"))
    }

    /// Waits until `/readyz` gives this status; gives its text.
    pub fn wait_ready(&self, status: u16) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let answer = self.ask("/readyz", "");
            if answer.status == status {
                return answer.text;
            }
            assert!(Instant::now() < until, "{}: {}", answer.status, answer.text);
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until a sample has a value that is right.
    pub fn wait(&self, sample: &str, is_right: impl Fn(f64) -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is_right(self.value(sample)) {
            assert!(Instant::now() < until, "{sample} stays {}", self.value(sample));
            std::thread::sleep(LOOK);
        }
    }
}

impl Watch {
    /// Waits until a counter stays as it is for a second.
    pub fn wait_quiet(&self, sample: &str) {
        let until = Instant::now() + DEADLINE;
        let (mut value, mut since) = (self.value(sample), Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            assert!(Instant::now() < until, "{sample} grows on and on");
            std::thread::sleep(LOOK);
            let now = self.value(sample);
            if now != value {
                (value, since) = (now, Instant::now());
            }
        }
    }
}

/// A relay that is watched.
pub fn relay() -> (Relay, Watch) {
    relay_with(&[])
}

/// A relay that is watched, with these more options.
pub fn relay_with(options: &[&str]) -> (Relay, Watch) {
    let args = ["relay", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"];
    let mut relay = Relay::of(Byway::start_args(&[&args, options].concat()));
    let watch = Watch::of(&relay.told("metrics at"));
    (relay, watch)
}

/// Each line of the text is a sample of a family that was described before, and the last one says that it is whole.
fn check_openmetrics(text: &str) {
    let mut families: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# ") {
            let mut words = described.split(' ');
            if let (Some("TYPE"), Some(name)) = (words.next(), words.next()) {
                assert!(!families.contains(&name), "{name} twice");
                families.push(name);
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        value.parse::<f64>().unwrap_or_else(|_| panic!("{line:?}"));
        let name = sample.split('{').next().unwrap_or_default();
        let family = families.last().copied().unwrap_or_default();
        assert!(name.starts_with(family), "{line:?} stands below {family}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(families.len() > 20, "{families:?}");
}

#[test]
fn metrics_tell_of_sessions_messages_and_octets() {
    let (relay, watch) = relay();
    let metrics = watch.ask("/metrics", "");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    check_openmetrics(&metrics.text);
    assert_eq!(watch.value("byway_relay_sessions"), 0.0);

    let mut listen = Byway::start(["listen", "count:1", "--relay", &relay.url]);
    listen.wait_told("listening on count:1");
    watch.wait("byway_relay_parked", |parked| parked == 1.0);
    assert_eq!(watch.value("byway_relay_names"), 1.0);
    let mut connect = Byway::start(["connect", "count:1", "--relay", &relay.url]);
    connect.stdin().write_all(&[b'x'; 100_000]).expect("written");
    drop(listen.stdin());
    let received = std::io::read_to_string(listen.stdout()).expect("text");
    assert_eq!(received.len(), 100_000);
    connect.end().expect_code(0);
    assert!(watch.value("byway_relay_forwarded_bytes_total") >= 100_000.0);
    assert!(watch.value("byway_relay_socket_bytes_total{direction=\"in\"}") >= 100_000.0);
    assert!(watch.value("byway_relay_socket_bytes_total{direction=\"out\"}") >= 100_000.0);
    let messages = watch.value("byway_relay_messages_total{direction=\"in\"}");
    let handed = watch.value("byway_relay_handover_seconds_count");
    assert!(0.0 < handed && handed <= messages, "{handed} of {messages}");
    let buckets = watch.value("byway_relay_handover_seconds_bucket{le=\"+Inf\"}");
    assert!(buckets >= handed);
    assert!(watch.value("byway_relay_responses_total{status=\"200\"}") > 0.0);

    let mut nobody = Byway::start(["connect", "nobody:1", "--timeout", "1", "--relay", &relay.url]);
    drop(nobody.stdin());
    nobody.end();
    let told = watch.value("byway_relay_verdicts_total{verdict=\"refused\"}")
        + watch.value("byway_relay_verdicts_total{verdict=\"retry\"}");
    assert!(told > 0.0);
    check_openmetrics(&watch.ask("/metrics", "").text);
}

#[test]
fn metrics_without_a_token_are_for_this_machine_alone() {
    let (_relay, watch) = relay();
    for path in ["/", "/metrics"] {
        assert_eq!(watch.ask(path, "").status, 200);
        // As a page of the web asks whose name leads here all of a sudden.
        assert_eq!(watch.ask(path, "Host: evil.example\r\n").status, 403);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(watch.ask(path, "Host: balancer.example\r\n").status, 200);
    }
    assert_eq!(watch.ask("/nothing", "").status, 404);
    let args = ["relay", "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0"];
    let ended = Byway::start(args).end();
    ended.expect_code(2).expect_line(&["0.0.0.0:", "open to everybody", "--metrics-token"]);
}

#[test]
fn metrics_beyond_this_machine_take_the_token() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let path = file.to_str().expect("UTF-8");
    let args =
        ["relay", "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0", "--metrics-token", path];
    for wrong in ["", "short", "with blanks in the midst of it"] {
        std::fs::write(&file, wrong).expect("written");
        Byway::start(args).end().expect_code(2).expect_line(&["no token", "openssl rand"]);
    }
    std::fs::write(&file, "a-token-that-nobody-guesses\n").expect("written");
    let mut relay = Relay::of(Byway::start(args));
    let watch = Watch::of(&relay.told("metrics at").replace("0.0.0.0", "127.0.0.1"));
    for path in ["/", "/metrics"] {
        let refused = watch.ask(path, "");
        assert_eq!(refused.status, 401);
        assert!(refused.head.contains("www-authenticate: basic realm="), "{}", refused.head);
        assert!(!refused.text.contains("byway_relay"));
        assert_eq!(
            watch.ask(path, "Authorization: Bearer a-token-that-nobody-guesser\r\n").status,
            401
        );
        let right = "Authorization: Bearer a-token-that-nobody-guesses\r\nHost: relay.example\r\n";
        assert_eq!(watch.ask(path, right).status, 200);
        // me:a-token-that-nobody-guesses
        let password = "Authorization: Basic bWU6YS10b2tlbi10aGF0LW5vYm9keS1ndWVzc2Vz\r\n";
        assert_eq!(watch.ask(path, password).status, 200);
    }
    assert_eq!(watch.ask("/readyz", "").text, "ready\n");
    assert_eq!(watch.ask("/healthz", "").text, "alive\n");
}

#[test]
fn address_of_metrics_that_is_in_use_is_told_before_the_relay_starts() {
    let (_relay, watch) = relay();
    let address = watch.url().replace("http://", "").replace('/', "");
    let ended = Byway::start(["relay", "--listen", "127.0.0.1:0", "--metrics", &address]).end();
    ended.expect_code(3).expect_line(&["cannot listen on", &address, "--metrics"]);
}

#[test]
fn forward_tells_what_its_client_carries() {
    let relay = Relay::start();
    let args =
        ["listen", "echo:1", "--exec", "cat", "--metrics", "127.0.0.1:0", "--relay", &relay.url];
    let mut listen = Byway::start(args);
    let watch = Watch::of(&listen.told("metrics at"));
    listen.wait_told("listening on echo:1");
    let mut connect = Byway::start(["connect", "echo:1", "--relay", &relay.url]);
    connect.stdin().write_all(&[b'x'; 50_000]).expect("written");
    let back = std::io::read_to_string(connect.stdout()).expect("text");
    assert_eq!(back.len(), 50_000);
    connect.end().expect_code(0);
    for direction in ["sent", "received"] {
        let sample = format!("byway_client_payload_bytes_total{{direction=\"{direction}\"}}");
        // With what the encryption adds.
        assert!((50_000.0..60_000.0).contains(&watch.value(&sample)), "{direction}");
    }
    assert!(watch.value("byway_client_exchanges_total{kind=\"park\"}") > 0.0);
    assert!(watch.value("byway_client_memory_bytes") > 1_000_000.0);
    assert_eq!(watch.ask("/readyz", "").status, 200);
}

#[test]
fn forward_is_ready_while_its_relay_is_reached_and_its_name_granted() {
    let relay = Relay::start();
    let (url, at) = (relay.url.clone(), relay.address().to_owned());
    let forward = |args: [&str; 4]| {
        let more = ["--metrics", "127.0.0.1:0", "--relay", &url];
        let mut process = Byway::start_args(&[&args[..], &more].concat());
        let watch = Watch::of(&process.told("metrics at"));
        (process, watch)
    };
    relay.signal("KILL");
    relay.end();
    let (mut listen, listener) = forward(["listen", "web:80", "--to", "127.0.0.1:9"]);
    let (_connect, connector) = forward(["connect", "web:80", "--from", "127.0.0.1:0"]);
    for watch in [&listener, &connector] {
        assert_eq!(watch.wait_ready(503), "the relay is not reached\n");
        assert_eq!(watch.ask("/healthz", "").status, 200);
    }
    listen.wait_told("trying until it is there");
    let relay = Relay::start_on(&at);
    listen.wait_told("listening on web:80");
    for watch in [&listener, &connector] {
        assert_eq!(watch.wait_ready(200), "ready\n");
    }
    relay.signal("KILL");
    relay.end();
    // The other asks its relay nothing before a connection comes.
    assert_eq!(listener.wait_ready(503), "the relay is not reached\n");
    let _relay = Relay::start_on(&at);
    listener.wait_ready(200);
    let (mut other, watch) = forward(["listen", "web:80", "--to", "127.0.0.1:9"]);
    other.wait_told("is held by another client");
    assert_eq!(watch.wait_ready(503), "the relay has not granted the name\n");
    listen.kill();
    watch.wait_ready(200);
}
