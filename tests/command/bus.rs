//! A NATS server, the bus of a cluster, which Debian's package nats-server has.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::metrics::{Watch, relay_with};
use crate::process::{DEADLINE, Relay, not_run};

/// The pause between two looks at the file in which the server tells its port.
const LOOK: Duration = Duration::from_millis(20);

pub struct Bus {
    server: Child,
    directory: TempDir,
}

impl Bus {
    /// Starts a server at a port that is free. `None`: this machine has none, which is said of the test.
    pub fn start(test: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let server = Command::new("nats-server")
            .args(["-js", "-a", "127.0.0.1", "-p", "-1", "-sd"])
            .arg(directory.path())
            .arg("--ports_file_dir")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(server) = server else {
            not_run(&format!("{test}: there is no nats-server (Debian's package)"));
            return None;
        };
        Some(Self { server, directory })
    }

    /// Two relays that are one: that with the router, and one that carries to it.
    pub fn relays(&self) -> [(Relay, Watch); 2] {
        let url = self.url();
        let start = || relay_with(&["--cluster", &url]);
        let (holder, holds) = start();
        holds.wait("byway_relay_cluster_router", |holds| holds == 1.0);
        let (follower, carries) = start();
        carries.wait_ready(200);
        [(holder, holds), (follower, carries)]
    }

    /// Where the server listens.
    fn url(&self) -> String {
        let path = self.directory.path().join(format!("nats-server_{}.ports", self.server.id()));
        let until = Instant::now() + DEADLINE;
        loop {
            let told = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if let Some(url) = told.as_ref().and_then(|told: &Value| told["nats"][0].as_str()) {
                return url.to_owned();
            }
            assert!(Instant::now() < until, "the server does not tell its port");
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
