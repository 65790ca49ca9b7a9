//! A NATS server and clients that the bus does not know, by the text protocol of NATS.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Child;

use serde_json::json;
use tempfile::TempDir;

use crate::DEADLINE;
use crate::daemon::free_port;

use super::parts::server;

/// A server of the same name that would be one of the bus.
pub struct Stranger {
    directory: TempDir,
    server: Child,
    pub port: u16,
}

impl Stranger {
    /// Starts the server, with a route to that port. `login`: `USER:PASSWORD@`, or nothing.
    pub fn start(route: u16, login: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, own) = (free_port(), free_port());
        let rules = format!(
            "server_name: stranger\nlisten: 127.0.0.1:{port}\n\
             cluster {{\n  name: byway\n  listen: 127.0.0.1:{own}\n  routes: [ \"nats://{login}127.0.0.1:{route}\" ]\n}}\n"
        );
        let path = directory.path().join("conf");
        fs::write(&path, rules).expect("a file");
        let server = server(&path, &directory.path().join("out"), port);
        Self { directory, server, port }
    }

    /// Whether the server was refused, as it says itself.
    pub fn is_refused(&self) -> bool {
        let told = fs::read_to_string(self.directory.path().join("out")).unwrap_or_default();
        told.contains("Authorization Violation")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A client of a server.
pub struct Line(BufReader<TcpStream>);

impl Line {
    /// Connects with a user and a password, or without, asks for all messages of byway and sends some; or the error
    /// that the server answers.
    pub fn open(port: u16, login: Option<(&str, &str)>) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out");
        let mut line = Self(BufReader::new(stream));
        assert!(line.next().starts_with("INFO "));
        let mut told = json!({ "verbose": false });
        if let Some((user, password)) = login {
            told["user"] = user.into();
            told["pass"] = password.into();
        }
        line.send(&format!("CONNECT {told}\r\nSUB byway.> 1\r\n"));
        line.publish("at once");
        line.turn().map(|_| line)
    }

    fn send(&mut self, text: &str) {
        // A server that refuses may have closed: its answer tells why.
        let _ = self.0.get_mut().write_all(text.as_bytes());
    }

    fn next(&mut self) -> String {
        let mut text = String::new();
        self.0.read_line(&mut text).expect("a line of the server");
        text
    }

    pub fn publish(&mut self, text: &str) {
        self.send(&format!("PUB byway.byway.all {}\r\n{text}\r\n", text.len()));
    }

    /// Waits until the server did what it was told; the messages that it brought meanwhile.
    pub fn turn(&mut self) -> Result<Vec<String>, String> {
        self.send("PING\r\n");
        let mut messages = Vec::new();
        loop {
            let line = self.next();
            if line.starts_with("PONG") {
                return Ok(messages);
            } else if line.starts_with("MSG ") {
                messages.push(self.next().trim().to_owned());
            } else if line.starts_with("PING") {
                self.send("PONG\r\n");
            } else if line.starts_with("-ERR") || line.is_empty() {
                return Err(line);
            }
        }
    }
}
