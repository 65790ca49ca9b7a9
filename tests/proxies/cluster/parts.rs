//! NATS servers, relays, and the front before them.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{Daemon, free_port, wait_for};

const FRONT: &str = include_str!("../../../examples/deploy/byway-cluster.cfg");
const SERVER: &str = include_str!("../../../examples/deploy/byway-nats.conf");

/// The word of the servers' configuration.
pub const PASSWORD: &str = "a-word-that-nobody-guesses";

/// How a server of the configuration shows itself to another.
pub const ROUTE: &str = "route:another-word-that-nobody-guesses@";

/// Tokens of the policy.
pub const LISTENS: &str = "byway-token-that-listens-0123456789";
pub const CONNECTS: &str = "byway-token-that-connects-0123456789";

/// Replaces a text in a file.
fn put(text: &mut String, there: &str, instead: &str) {
    assert!(text.contains(there), "no {there:?} to be replaced");
    *text = text.replace(there, instead);
}

fn end(child: &mut Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {signal}");
    child.wait().expect("a child");
}

/// Starts a NATS server of this configuration, which listens at that port.
pub fn server(conf: &Path, out: &Path, port: u16) -> Child {
    let out = fs::File::create(out).expect("a file");
    let errors = out.try_clone().expect("a second handle");
    let server = Command::new("nats-server")
        .arg("-c")
        .arg(conf)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|error| panic!("nats-server: {error}; tests/run installs it"));
    wait_for("server of the bus", || TcpStream::connect(("127.0.0.1", port)).ok());
    server
}

/// NATS servers that are one.
pub struct Bus {
    directory: TempDir,
    pub ports: Vec<u16>,
    /// Where the servers talk to each other.
    pub routes: Vec<u16>,
    servers: Vec<Option<Child>>,
}

impl Bus {
    pub fn start(servers: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ports: Vec<_> = (0..servers).map(|_| free_port()).collect();
        let routes: Vec<_> = (0..servers).map(|_| free_port()).collect();
        for n in 0..servers {
            let at = directory.path();
            let mut rules = SERVER.to_owned();
            put(&mut rules, "bus-1\n", &format!("bus-{n}\n"));
            put(&mut rules, "0.0.0.0:4222", &format!("127.0.0.1:{}", ports[n]));
            put(&mut rules, "/var/lib/nats", &format!("{}/store-{n}", at.display()));
            let tls = rules.find("tls {").expect("TLS");
            let behind = rules.find("# The servers trust").expect("a cluster");
            rules.replace_range(tls..behind, "");
            if servers == 1 {
                rules.truncate(tls);
            } else {
                put(&mut rules, "0.0.0.0:6222", &format!("127.0.0.1:{}", routes[n]));
                let tls = rules.rfind("    tls {").expect("TLS of routes");
                let behind = rules.find("    routes: [").expect("routes");
                rules.replace_range(tls..behind, "");
                for (name, port) in ["bus-1", "bus-2", "bus-3"].into_iter().zip(&routes) {
                    put(&mut rules, &format!("{name}.example:6222"), &format!("127.0.0.1:{port}"));
                }
            }
            fs::write(at.join(format!("conf-{n}")), rules).expect("a file");
        }
        let mut bus =
            Self { directory, ports, routes, servers: (0..servers).map(|_| None).collect() };
        for n in 0..servers {
            bus.run(n);
        }
        bus
    }

    fn run(&mut self, n: usize) {
        let at = self.directory.path();
        let (conf, out) = (at.join(format!("conf-{n}")), at.join(format!("out-{n}")));
        self.servers[n] = Some(server(&conf, &out, self.ports[n]));
    }

    pub fn stop(&mut self, n: usize) {
        if let Some(mut server) = self.servers[n].take() {
            end(&mut server, "TERM");
        }
    }

    pub fn restart(&mut self, n: usize) {
        self.stop(n);
        self.run(n);
    }

    fn urls(&self) -> String {
        let urls =
            self.ports.iter().map(|port| format!("nats://byway:{PASSWORD}@127.0.0.1:{port}"));
        urls.collect::<Vec<_>>().join(",")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        for server in self.servers.iter_mut().flatten() {
            let _ = server.kill();
            let _ = server.wait();
        }
        if thread::panicking() {
            for n in 0..self.servers.len() {
                let out = self.directory.path().join(format!("out-{n}"));
                eprintln!("{}", fs::read_to_string(out).unwrap_or_default());
            }
        }
    }
}

struct Relay {
    child: Option<Child>,
    port: u16,
    metrics: u16,
}

/// Relays of a cluster.
pub struct Relays {
    directory: TempDir,
    relays: Vec<Relay>,
    options: Vec<String>,
}

impl Relays {
    pub fn start(relays: usize, bus: &Bus) -> Self {
        Self::start_with(relays, bus, |_| vec!["--open".into()])
    }

    /// Relays with a policy of two tokens: one may listen, the other connect.
    pub fn start_with_policy(relays: usize, bus: &Bus) -> Self {
        Self::start_with(relays, bus, |at| {
            let entry = |token: &str, name: &str, rules: &str| {
                let digest = sha2::Digest::finalize(sha2::Digest::chain_update(
                    <sha2::Sha256 as sha2::Digest>::new(),
                    token,
                ));
                let digest: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
                format!("[[token]]\nname = \"{name}\"\nsha256 = \"{digest}\"\n{rules}\n")
            };
            let policy = at.join("policy.toml");
            let text = entry(LISTENS, "listens", "listen = [\"*\"]\nconnect = []")
                + &entry(CONNECTS, "connects", "listen = []\nconnect = [\"*\"]");
            fs::write(&policy, text).expect("a file");
            vec!["--policy".into(), policy.display().to_string()]
        })
    }

    fn start_with(relays: usize, bus: &Bus, options: impl Fn(&Path) -> Vec<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut all = options(directory.path());
        all.extend(["--cluster".into(), bus.urls(), "--drain".into(), "1".into()]);
        let relays = (0..relays)
            .map(|_| Relay { child: None, port: free_port(), metrics: free_port() })
            .collect();
        let mut relays = Self { directory, relays, options: all };
        (0..relays.relays.len()).for_each(|n| relays.run(n));
        relays.wait_ready();
        relays
    }

    fn run(&mut self, n: usize) {
        let mut options = fs::OpenOptions::new();
        let log = options.create(true).append(true).open(self.log(n)).expect("a file");
        let relay = &mut self.relays[n];
        let mut child = Command::new(env!("CARGO_BIN_EXE_byway"))
            .args(["-v", "relay", "--listen", &format!("127.0.0.1:{}", relay.port)])
            .args(["--metrics", &format!("127.0.0.1:{}", relay.metrics)])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the command");
        let mut url = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut url).expect("a line");
        assert_eq!(url.trim(), crate::http(relay.port));
        relay.child = Some(child);
    }

    fn log(&self, n: usize) -> std::path::PathBuf {
        self.directory.path().join(format!("log-{n}"))
    }

    pub fn url(&self, n: usize) -> String {
        crate::http(self.relays[n].port)
    }

    /// Ends a relay in order, and starts it again.
    pub fn restart(&mut self, n: usize) {
        if let Some(mut child) = self.relays[n].child.take() {
            end(&mut child, "TERM");
        }
        self.run(n);
    }

    pub fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.relays[n].child.take() {
            end(&mut child, "KILL");
        }
    }

    pub fn is_ready(&self, n: usize) -> bool {
        get(self.relays[n].metrics, "/readyz").is_some_and(|answer| answer.contains(" 200 "))
    }

    pub fn wait_ready(&self) {
        for n in 0..self.relays.len() {
            wait_for("a relay that is ready", || self.is_ready(n).then_some(()));
        }
    }

    /// The relay with the router.
    pub fn holder(&self) -> usize {
        wait_for("a relay with the router", || {
            (0..self.relays.len()).find(|n| {
                get(self.relays[*n].metrics, "/metrics")
                    .is_some_and(|text| text.contains("\nbyway_relay_cluster_router 1"))
            })
        })
    }

    /// A request with no session in it, and its answer.
    pub fn post(&self, n: usize) -> String {
        let head = "POST /v1 HTTP/1.1\r\nHost: relay\r\nContent-Type: application/octet-stream\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        ask(self.relays[n].port, head).expect("an answer")
    }

    /// haproxy before the relays, as its page has it, without TLS.
    pub fn front(&self) -> Daemon {
        Daemon::haproxy_by(|_, port| {
            let mut rules = FRONT.to_owned();
            put(
                &mut rules,
                "bind :::443 v4v6 ssl crt /etc/haproxy/relay.example.pem alpn http/1.1",
                &format!("bind 127.0.0.1:{port}"),
            );
            let names = ["one 10.0.0.1:8080", "two 10.0.0.2:8080", "three 10.0.0.3:8080"];
            for (there, relay) in names.into_iter().zip(&self.relays) {
                let name = there.split(' ').next().unwrap_or_default();
                put(
                    &mut rules,
                    &format!("{there} port 9080"),
                    &format!("{name} 127.0.0.1:{} port {}", relay.port, relay.metrics),
                );
            }
            // Not every machine gives a test so many files.
            put(&mut rules, "maxconn 10000", "maxconn 1000");
            // Tests may run as any user.
            put(&mut rules, "    user haproxy\n    group haproxy\n", "");
            rules
        })
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        for n in 0..self.relays.len() {
            self.kill(n);
            if thread::panicking() {
                eprintln!("relay {n}:\n{}", fs::read_to_string(self.log(n)).unwrap_or_default());
            }
        }
    }
}

fn get(port: u16, path: &str) -> Option<String> {
    ask(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"),
    )
}

fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
