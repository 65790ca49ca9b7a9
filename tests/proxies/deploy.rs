//! `examples/deploy`: the site file with the real nginx, the front for devices with the real haproxy, the
//! service with the real relay.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use byway::client::Config;
use byway::transport::Roots;

use crate::daemon::{Daemon, free_port, write};
use crate::device::{FOUND_OUT, parked, round_trips};
use crate::tls::Tls;
use crate::tunnel::certificate;
use crate::{PACES, carry, client, join};

const SITE: &str = include_str!("../../examples/deploy/byway.conf");
const DEVICES: &str = include_str!("../../examples/deploy/byway-devices.cfg");
const SERVICE: &str = include_str!("../../examples/deploy/byway-relay.service");
/// Two relays that take each other's place, and their socket.
const TEMPLATE: &str = include_str!("../../examples/deploy/byway@.service");
const SOCKET: &str = include_str!("../../examples/deploy/byway.socket");

/// Two relays behind haproxy; the part of its configuration before that is the one for devices.
const TWO: &str = include_str!("../../examples/deploy/byway-two.cfg");

/// Octets each way: more than one of the client's bodies, which are the largest that go up.
const LEN: usize = 6 << 20;

/// Replaces a text in a file.
fn put(text: &mut String, there: &str, instead: &str) {
    assert!(text.contains(there), "no {there:?} to be replaced");
    *text = text.replace(there, instead);
}

/// The relay as the service starts it, on another port; killed when dropped.
pub struct Relay(Child);

impl Relay {
    pub fn start(port: u16) -> Self {
        let line = SERVICE.lines().find_map(|line| line.strip_prefix("ExecStart="));
        let mut line = line.expect("a command").to_owned();
        put(&mut line, "127.0.0.1:8080", &format!("127.0.0.1:{port}"));
        put(&mut line, "--metrics 127.0.0.1:9080", "--metrics 127.0.0.1:0");
        // These tests are of the fronts: their clients have no tokens.
        put(&mut line, "--policy /etc/byway/policy.toml", "--open");
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("/usr/local/bin/byway"));
        let (child, url) = serving(words);
        assert_eq!(url, crate::http(port));
        Self(child)
    }

    /// The octets of memory that the relay has now.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB");
        kib << 10
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn site(relay: u16) -> (Daemon, String) {
    let (pem, key) = certificate();
    let nginx = Daemon::nginx(|at, port| {
        let (certificate, key) = (write(at, "certificate", &pem), write(at, "key", &key));
        let mut site = SITE.to_owned();
        put(&mut site, "server 127.0.0.1:8080 ", &format!("server 127.0.0.1:{relay} "));
        put(&mut site, "listen 443 ssl", &format!("listen 127.0.0.1:{port} ssl"));
        // Not every machine has IPv6.
        put(&mut site, "    listen [::]:443 ssl;\n", "");
        put(&mut site, "server_name relay.example", "server_name localhost");
        let live = "/etc/letsencrypt/live/relay.example";
        put(&mut site, &format!("{live}/fullchain.pem"), &certificate.to_string_lossy());
        put(&mut site, &format!("{live}/privkey.pem"), &key.to_string_lossy());
        let log = at.join("access").to_string_lossy().into_owned();
        put(&mut site, "/var/log/nginx/byway.log", &log);
        format!("include {};", write(at, "site", &site).display())
    });
    (nginx, pem)
}

#[test]
fn data_both_ways_through_the_site_and_over_a_restart_of_the_relay() {
    let port = free_port();
    let relay = Relay::start(port);
    let (nginx, pem) = site(port);
    let config = || Config {
        roots: byway::transport::Roots::Pem(pem.clone().into()),
        ..Config::new(format!("https://localhost:{}", nginx.port))
    };
    let conf = nginx.path("conf");
    let checked = Command::new("nginx").arg("-t").arg("-c").arg(&conf).output().expect("nginx");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !told.contains("[warn]"), "{told}");

    carry_over_restarts(relay, port, config);
    // The log is written as `flush` says, or at the end.
    nginx.signal("USR1");
    let noted = crate::daemon::wait_for("note of a request", || {
        Some(nginx.access()).filter(|access| access.contains("POST /v1?n="))
    });
    assert!(!noted.contains("\" 413 "), "a body that is too long: {noted}");
}

/// Carries data both ways at each pace, and over a restart of the relay on this port.
fn carry_over_restarts(relay: Relay, port: u16, config: impl Fn() -> Config) {
    let mut relay = Some(relay);
    for pace in PACES {
        let (one, other) = (client(pace, config()), client(pace, config()));
        let (a, b) = join(&one, &other);
        carry(&a, &b, LEN);
        thread::scope(|scope| {
            scope.spawn(|| carry(&a, &b, LEN));
            drop(relay.take());
            relay = Some(Relay::start(port));
        });
    }
}

/// The front for devices as its page has it, before a relay on this port; and its certificate.
fn devices_front(relay: u16) -> (Daemon, String) {
    let (pem, key) = certificate();
    let haproxy = Daemon::haproxy_by(|at, port| {
        let both = write(at, "relay.pem", &format!("{pem}{key}"));
        let mut rules = DEVICES.to_owned();
        put(&mut rules, "server relay 127.0.0.1:8080", &format!("server relay 127.0.0.1:{relay}"));
        put(&mut rules, "bind :::8443 v4v6 ", &format!("bind 127.0.0.1:{port} "));
        put(&mut rules, "/etc/haproxy/relay.example.pem", &both.to_string_lossy());
        // Not every machine gives a test so many files.
        put(&mut rules, "maxconn 10000", "maxconn 200");
        // Tests may run as any user.
        put(&mut rules, "    user haproxy\n    group haproxy\n", "");
        rules
    });
    let conf = haproxy.path("conf");
    let checked = Command::new("haproxy").arg("-c").arg("-f").arg(&conf).output().expect("haproxy");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && !told.contains("WARNING"), "{told}");
    (haproxy, pem)
}

#[test]
fn data_both_ways_through_the_front_for_devices_and_over_a_restart_of_the_relay() {
    let port = free_port();
    let relay = Relay::start(port);
    let (haproxy, pem) = devices_front(port);
    let config = || Config {
        roots: Roots::Pem(pem.clone().into()),
        ..Config::new(format!("https://localhost:{}", haproxy.port))
    };
    carry_over_restarts(relay, port, config);
}

/// Starts the command with these arguments, and gives the URL at which it serves.
fn serving<'a>(args: impl IntoIterator<Item = &'a str>) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_byway"))
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("byway starts");
    let mut url = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut url).expect("its URL");
    (child, url.trim().to_owned())
}

/// A relay that a balancer asks whether it is ready.
fn relay_to_balance(port: u16, metrics: u16) -> Child {
    let [listen, metrics] = [port, metrics].map(|port| format!("127.0.0.1:{port}"));
    serving(["relay", "--listen", &listen, "--metrics", &metrics]).0
}

/// haproxy as the page has it before two relays, at these ports and those of their metrics.
fn front_of_two(ports: [u16; 4]) -> Daemon {
    Daemon::haproxy_by(|_, port| {
        let defaults = DEVICES.split_once("defaults\n").expect("its defaults").1;
        let defaults = defaults.split_once("\n\n").expect("behind them").0;
        let mut rules = format!("global\n    maxconn 200\n\ndefaults\n{defaults}\n\n{TWO}");
        for (there, here) in ["127.0.0.1:8081", "127.0.0.1:8082"].iter().zip(&ports[..2]) {
            put(&mut rules, &format!("{there} port"), &format!("127.0.0.1:{here} port"));
        }
        for (there, here) in ["port 9081", "port 9082"].iter().zip(&ports[2..]) {
            put(&mut rules, there, &format!("port {here}"));
        }
        let tls = "bind :::8443 v4v6 ssl crt /etc/haproxy/relay.example.pem alpn http/1.1";
        put(&mut rules, tls, &format!("bind 127.0.0.1:{port}"));
        rules
    })
}

#[test]
fn relay_takes_the_place_of_another_behind_haproxy_and_nothing_is_lost() {
    let ports: [u16; 4] = std::array::from_fn(|_| free_port());
    let start = |n: usize| relay_to_balance(ports[n], ports[2 + n]);
    let mut old = start(0);
    let haproxy = front_of_two(ports);
    let [one, other] = PACES.map(|pace| client(pace, Config::new(crate::http(haproxy.port))));
    let (a, b) = join(&one, &other);
    carry(&a, &b, LEN);
    let mut new = start(1);
    thread::scope(|scope| {
        scope.spawn(|| carry(&a, &b, LEN));
        let pid = rustix::process::Pid::from_child(&old);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
        assert!(old.wait().expect("a child").success());
    });
    // By the new one alone.
    carry(&a, &b, LEN);
    let _ = new.kill();
    let _ = new.wait();
}

/// A front in TCP mode passes octets behind a waiting request on at once.
#[test]
fn device_uses_one_handshake_through_the_front_for_devices() {
    let relay = crate::relay();
    let (haproxy, pem) = devices_front(relay.local_addr().port());
    let link = Tls::new(haproxy.port, &pem);
    let (times, handshakes) = round_trips(&relay, link, parked, |link| link.dialled);
    let median = times[times.len() / 2];
    println!("devices' front: {handshakes} handshakes, median {median:?}");
    assert_eq!(handshakes, 1);
    assert!(median.as_millis() < 100, "{median:?}");
}

#[test]
fn device_behind_the_site_makes_few_handshakes() {
    let relay = crate::relay();
    let (nginx, pem) = site(relay.local_addr().port());
    let link = Tls::new(nginx.port, &pem);
    let (times, handshakes) = round_trips(&relay, link, parked, |link| link.dialled);
    let median = times[times.len() / 2];
    println!("the site: {handshakes} handshakes, median {median:?}");
    assert!(handshakes <= FOUND_OUT, "{handshakes} handshakes");
    assert!(median.as_millis() < 500, "{median:?}");
}

#[test]
fn service_files_are_valid_for_systemd() {
    let directory = tempfile::tempdir().expect("a directory");
    let unit = |name: &str, text: &str| {
        let text = text.replace("/usr/local/bin/byway", env!("CARGO_BIN_EXE_byway"));
        write(directory.path(), name, &text)
    };
    let services = [
        ("byway-relay.service", SERVICE),
        ("byway@1.service", TEMPLATE),
        ("byway@2.service", TEMPLATE),
    ];
    let services = services.map(|(name, text)| unit(name, text));
    let socket = unit("byway.socket", SOCKET);
    let checked =
        Command::new("systemd-analyze").arg("verify").args(&services).arg(&socket).output();
    let checked = checked.expect("systemd-analyze; tests/run installs it");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && told.is_empty(), "{told}");

    for service in services {
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=15"])
            .arg(&service)
            .output()
            .expect("systemd-analyze");
        let told = String::from_utf8_lossy(&security.stdout);
        assert!(security.status.success(), "more exposed than 1.5 of 10: {told}");
    }
}
