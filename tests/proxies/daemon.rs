//! Proxies as child processes, each with a directory of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use tempfile::TempDir;

use crate::DEADLINE;

/// The pause between two looks at a port or a log, whose changes cause no event.
const LOOK: Duration = Duration::from_millis(20);

/// How often a start is tried, as another process may take a port that was free a moment ago.
const TRIES: usize = 5;

/// A running proxy, killed when dropped.
pub struct Daemon {
    child: Child,
    directory: TempDir,
    pub port: u16,
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// Waits until `look` gives a value.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "no {what} within {DEADLINE:?}");
        thread::sleep(LOOK);
    }
}

impl Daemon {
    /// Starts the proxy that `make` describes for a directory and a free port.
    fn start(make: impl Fn(&Path, u16) -> Command) -> Self {
        for _ in 0..TRIES {
            let directory = tempfile::tempdir().expect("a directory");
            // squid drops root's rights.
            let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(directory.path(), open).expect("its owner");
            let port = free_port();
            let mut command = make(directory.path(), port);
            let out = fs::File::create(directory.path().join("out")).expect("a file");
            let errors = out.try_clone().expect("a second handle");
            let name = command.get_program().to_string_lossy().into_owned();
            let mut child = command
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(errors)
                .spawn()
                .unwrap_or_else(|error| panic!("{name}: {error}; tests/run installs it"));
            let up = wait_for(&name, || match TcpStream::connect(("127.0.0.1", port)) {
                Ok(_) => Some(true),
                Err(_) => child.try_wait().expect("a child").map(|_| false),
            });
            if up {
                return Self { child, directory, port };
            }
            let out = fs::read_to_string(directory.path().join("out")).unwrap_or_default();
            eprintln!("{name} ended: {out}");
        }
        panic!("it does not start");
    }

    /// squid with Debian's rules, except that CONNECT is allowed to `tls_port` in the place of 443,
    /// and that only `users`, if there are any, may use it.
    pub fn squid(tls_port: u16, users: &[(&str, &str)]) -> Self {
        Self::squid_that_asks(tls_port, |at| {
            if users.is_empty() {
                return String::new();
            }
            let known = write(at, "users", &users.iter().map(password).collect::<String>());
            format!("auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\n", known.display())
        })
    }

    /// squid for the users that these lines of its configuration know; for all if there are none.
    pub fn squid_that_asks(tls_port: u16, users: impl Fn(&Path) -> String) -> Self {
        Self::squid_with(tls_port, users, "")
    }

    /// squid with these rules in addition.
    pub fn squid_that_scans(rules: &str) -> Self {
        Self::squid_with(443, |_| String::new(), rules)
    }

    fn squid_with(tls_port: u16, users: impl Fn(&Path) -> String, more: &str) -> Self {
        Self::start(|at, port| {
            let mut allow = "http_access allow localhost\n".to_owned();
            let users = users(at);
            if !users.is_empty() {
                allow = format!("{users}acl known proxy_auth REQUIRED\nhttp_access allow known\n");
            }
            let at_path = at.display();
            let rules = format!(
                "acl SSL_ports port {tls_port}\nacl Safe_ports port 80\n\
                 acl Safe_ports port 443\nacl Safe_ports port 1025-65535\n\
                 http_access deny !Safe_ports\nhttp_access deny CONNECT !SSL_ports\n\
                 {allow}http_access deny all\nhttp_port 127.0.0.1:{port}\n\
                 strip_query_terms off\naccess_log stdio:{at_path}/access\n\
                 cache_log {at_path}/log\npid_filename {at_path}/pid\ncoredump_dir {at_path}\n\
                 shutdown_lifetime 0 seconds\nvisible_hostname squid\n{more}"
            );
            let mut command = Command::new("squid");
            command.arg("-N").arg("-f").arg(write(at, "conf", &rules));
            command
        })
    }

    /// tinyproxy with Debian's rules; with a user, for that user alone.
    pub fn tinyproxy(user: Option<(&str, &str)>) -> Self {
        Self::start(|at, port| {
            let auth = user.map(|(name, word)| format!("BasicAuth {name} {word}\n"));
            let rules = format!(
                "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nAllow 127.0.0.1\n\
                 ViaProxyName \"tinyproxy\"\nConnectPort 443\nConnectPort 563\n\
                 LogLevel Connect\nLogFile \"{}\"\n{}",
                at.join("access").display(),
                auth.unwrap_or_default()
            );
            let mut command = Command::new("tinyproxy");
            command.arg("-d").arg("-c").arg(write(at, "conf", &rules));
            command
        })
    }

    /// nginx with these lines in its block `http`, of which `site` gets a directory and a port.
    pub fn nginx(site: impl Fn(&Path, u16) -> String) -> Self {
        Self::start(|at, port| {
            let all = format!(
                "daemon off;\npid {0}/pid;\nerror_log {0}/log;\nevents {{}}\nhttp {{\n\
                 client_body_temp_path {0}/body;\nproxy_temp_path {0}/proxy;\n\
                 fastcgi_temp_path {0}/fastcgi;\nuwsgi_temp_path {0}/uwsgi;\n\
                 scgi_temp_path {0}/scgi;\naccess_log {0}/access;\n{1}\n}}\n",
                at.display(),
                site(at, port)
            );
            let mut command = Command::new("nginx");
            command.arg("-e").arg(at.join("log")).arg("-c").arg(write(at, "conf", &all));
            command
        })
    }

    /// haproxy before a server, with Debian's rules.
    pub fn haproxy(server: SocketAddr) -> Self {
        Self::haproxy_with("", server, "")
    }

    /// haproxy before a server, with Debian's rules, these lines before them and these options of
    /// the server.
    pub fn haproxy_with(front: &str, server: SocketAddr, options: &str) -> Self {
        Self::haproxy_by(|_, port| {
            format!(
                "defaults\nmode http\ntimeout connect 5000\ntimeout client 50000\n\
                 timeout server 50000\nfrontend all\nbind 127.0.0.1:{port}\n{front}\
                 default_backend relay\nbackend relay\nserver relay {server} {options}\n"
            )
        })
    }

    /// haproxy with these rules, which get a directory and a port.
    pub fn haproxy_by(rules: impl Fn(&Path, u16) -> String) -> Self {
        Self::start(|at, port| {
            let rules = rules(at, port);
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(write(at, "conf", &rules));
            command
        })
    }

    /// varnish before a server, told to pass answers on when they are whole.
    pub fn varnish_that_holds(server: SocketAddr) -> Self {
        Self::start(|at, port| {
            let rules = format!(
                "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n\
                 sub vcl_backend_response {{ set beresp.do_stream = false; }}\n",
                server.ip(),
                server.port()
            );
            let mut command = Command::new("varnishd");
            command.arg("-F").arg("-a").arg(format!("127.0.0.1:{port}"));
            command.arg("-n").arg(at.join("varnish")).arg("-f").arg(write(at, "conf", &rules));
            command
        })
    }

    pub fn url(&self) -> String {
        crate::http(self.port)
    }

    /// This proxy's URL with a user and password.
    pub fn url_for(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@127.0.0.1:{}", self.port)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The proxy's log of requests; squid also logs the connection by which `start` found it up.
    pub fn access(&self) -> String {
        let access = fs::read_to_string(self.path("access")).unwrap_or_default();
        let ours = |line: &&str| !line.contains("transaction-end-before-headers");
        access.split_inclusive('\n').filter(ours).collect()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // nginx and squid have child processes, which a SIGKILL would leave behind.
        signal(self.child.id(), "TERM");
        let until = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if Instant::now() > until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {name} {process}");
}

pub fn write(at: &Path, name: &str, text: &str) -> PathBuf {
    let path = at.join(name);
    fs::write(&path, text).expect("a file in a directory of our own");
    path
}

/// A line of a file of users, as htpasswd writes it.
fn password((user, word): &(&str, &str)) -> String {
    let hash = Command::new("openssl").args(["passwd", "-apr1", word]).output();
    let hash = hash.expect("openssl; tests/run installs it");
    format!("{user}:{}", String::from_utf8_lossy(&hash.stdout))
}
