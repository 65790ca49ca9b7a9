//! The processes between the peers: the relay and the proxies, each on its host.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use byway::client::Config;
use byway::transport::Roots;
use tempfile::TempDir;

use crate::net::{Host, PROXY, RELAY};
use crate::{Result, scanner};

/// Longer than any part takes to start on a slow and busy machine.
pub const START: Duration = Duration::from_secs(30);
/// How often a starting proxy is asked whether it is up: no proxy tells so by itself.
pub const ASK: Duration = Duration::from_millis(20);

/// The folders of programs, with those for the system's administrator.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether there is a program of that name.
pub fn is_there(program: &str) -> bool {
    PATH.split(':').any(|dir| Path::new(dir).join(program).is_file())
}

/// The command: this build's, or the one that the environment names, so that builds can be compared.
pub fn byway() -> String {
    std::env::var("BYWAY_LAB_COMMAND").unwrap_or_else(|_| env!("CARGO_BIN_EXE_byway").to_owned())
}

/// The relay's process.
pub struct Relay(Option<Child>);

impl Relay {
    pub fn start() -> Result<Self> {
        let mut relay = Self(None);
        relay.run()?;
        Ok(relay)
    }

    fn run(&mut self) -> Result<()> {
        let mut child = Host::Relay
            .command(&byway())
            .args(["relay", "--listen", &format!("{RELAY}:80"), "--open"])
            .env_remove("BYWAY_LOG")
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        self.0 = Some(child);
        let (give, take) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            // A receiver that has given up makes this fail, which is no error.
            let _ = give.send(BufReader::new(stdout).read_line(&mut line).map(|_| line));
        });
        match take.recv_timeout(START)?? {
            line if line.is_empty() => Err("the relay ended before it listened".into()),
            _ => Ok(()),
        }
    }

    /// Kills the relay by SIGKILL, and starts another one in its place.
    pub fn kill_and_restart(&mut self) -> Result<()> {
        if let Some(mut child) = self.0.take() {
            child.kill()?;
            child.wait()?;
        }
        self.run()
    }

    /// Whether the relay still runs.
    pub fn lives(&mut self) -> Result<bool> {
        Ok(self.0.as_mut().map(Child::try_wait).transpose()?.is_some_and(|end| end.is_none()))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The program between the peers and the relay, on the host [`Host::Proxy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    Squid,
    /// Squid with a content scanner, for which it sends bodies in chunks.
    SquidIcap,
    Tinyproxy,
    Nginx,
    NginxUnbuffered,
    Haproxy,
    /// Haproxy that closes a second connection of an address at once.
    HaproxyOneConnection,
    /// Haproxy that lets all requests but one wait until that one is answered.
    HaproxyOneRequest,
    /// Haproxy that speaks TLS, and passes the octets in it on as they are.
    HaproxyTls,
    Varnish,
}

impl Proxy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Squid => "squid",
            Self::SquidIcap => "squid-icap",
            Self::Tinyproxy => "tinyproxy",
            Self::Nginx => "nginx",
            Self::NginxUnbuffered => "nginx-unbuffered",
            Self::Haproxy => "haproxy",
            Self::HaproxyOneConnection => "haproxy-one-connection",
            Self::HaproxyOneRequest => "haproxy-one-request",
            Self::HaproxyTls => "haproxy-tls-tcp",
            Self::Varnish => "varnish",
        }
    }

    /// The program, and the option by which it tells its version.
    pub fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Squid | Self::SquidIcap => ("squid", "-v"),
            Self::Tinyproxy => ("tinyproxy", "-v"),
            Self::Nginx | Self::NginxUnbuffered => ("nginx", "-v"),
            Self::Haproxy
            | Self::HaproxyOneConnection
            | Self::HaproxyOneRequest
            | Self::HaproxyTls => ("haproxy", "-v"),
            Self::Varnish => ("varnishd", "-V"),
        }
    }

    /// Whether clients must be told of the proxy; the others pose as the relay.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Squid | Self::SquidIcap | Self::Tinyproxy)
    }

    /// Whether the PC goes through the proxy, too. Two clients would share the one request.
    pub fn is_before_the_relay(self) -> bool {
        !self.is_forward() && self != Self::HaproxyOneRequest
    }

    /// How a client goes through the proxy.
    pub fn way(self, running: &Running) -> Config {
        let (http, https) = (format!("http://{PROXY}:8080"), format!("https://{PROXY}:8080"));
        match &running.certificate {
            Some(pem) => Config { roots: Roots::Pem(pem.clone().into()), ..Config::new(https) },
            None if self.is_forward() => Config {
                proxy: byway::transport::Proxy::Url(http),
                ..Config::new(format!("http://{RELAY}:80"))
            },
            None => Config::new(http),
        }
    }

    /// Starts the proxy, and waits until it takes connections.
    pub fn start(self) -> Result<Running> {
        let dir = tempfile::Builder::new()
            .prefix("byway-lab-")
            // Workers of other users read the folder.
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let mut command = Host::Proxy.command(self.program().0);
        let certificate = match self {
            Self::HaproxyTls => Some(certify(dir.path())?),
            _ => None,
        };
        self.configure(&mut command, dir.path())?;
        let log = fs::File::create(dir.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut running = Running { child: command.spawn()?, dir, certificate };
        let began = Instant::now();
        while Host::Proxy.enter(|| TcpStream::connect((PROXY, 8080)))?.is_err() {
            if running.child.try_wait()?.is_some() || began.elapsed() > START {
                let log = fs::read_to_string(running.dir.path().join("log"))?;
                return Err(format!("{} does not start: {log}", self.name()).into());
            }
            thread::sleep(ASK);
        }
        Ok(running)
    }

    /// The settings that Debian ships, as far as they affect requests, in the foreground.
    fn configure(self, command: &mut Command, dir: &Path) -> Result<()> {
        let path = dir.join("conf");
        let place = dir.display();
        let text = match self {
            Self::Squid | Self::SquidIcap => {
                let mut scans = String::new();
                if self == Self::SquidIcap {
                    scans = scanner::squid_rules(start_scanner()?);
                }
                command.args(["-N", "-f"]).arg(&path);
                format!(
                    "acl localnet src 10.0.0.0/8\n\
                     acl SSL_ports port 443\n\
                     acl Safe_ports port 80 443 1025-65535\n\
                     http_access deny !Safe_ports\n\
                     http_access deny CONNECT !SSL_ports\n\
                     http_access allow localnet\n\
                     http_access deny all\n\
                     http_port {PROXY}:8080\n\
                     pid_filename none\n\
                     access_log none\n\
                     cache_log stdio:/dev/stderr\n\
                     coredump_dir {place}\n\
                     pinger_enable off\n\
                     shutdown_lifetime 0 seconds\n\
                     {scans}"
                )
            }
            Self::Tinyproxy => {
                command.args(["-d", "-c"]).arg(&path);
                format!(
                    "User nobody\nGroup nogroup\nListen {PROXY}\nPort 8080\nTimeout 600\n\
                     LogLevel Warning\nMaxClients 100\nAllow 10.0.0.0/8\n\
                     ViaProxyName \"tinyproxy\"\n"
                )
            }
            Self::Nginx | Self::NginxUnbuffered => {
                command.arg("-p").arg(dir).arg("-c").arg(&path).args(["-e", "stderr"]);
                let unbuffered = "proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
                     proxy_request_buffering off; proxy_buffering off;\n";
                format!(
                    "daemon off;\npid {place}/pid;\nerror_log stderr;\n\
                     events {{ worker_connections 768; }}\n\
                     http {{\n\
                       access_log off;\n\
                       client_body_temp_path {place}/body;\nproxy_temp_path {place}/proxy;\n\
                       fastcgi_temp_path {place}/fastcgi;\nuwsgi_temp_path {place}/uwsgi;\n\
                       scgi_temp_path {place}/scgi;\n\
                       server {{\n\
                         listen {PROXY}:8080;\n\
                         location / {{ proxy_pass http://{RELAY}:80;\n{} }}\n\
                       }}\n\
                     }}\n",
                    if self == Self::NginxUnbuffered { unbuffered } else { "" },
                )
            }
            Self::Haproxy
            | Self::HaproxyOneConnection
            | Self::HaproxyOneRequest
            | Self::HaproxyTls => {
                command.args(["-db", "-f"]).arg(&path);
                let tls = format!(" ssl crt {place}/certificate");
                let (mode, bind) = match self {
                    Self::HaproxyTls => ("mode tcp\n  option tcplog", tls.as_str()),
                    _ => ("mode http\n  option httplog", ""),
                };
                let one_connection = "  stick-table type ip size 100 expire 1h store conn_cur\n  \
                     tcp-request connection track-sc0 src\n  \
                     tcp-request connection reject if { sc0_conn_cur gt 1 }\n";
                let (rules, options) = match self {
                    Self::HaproxyOneConnection => (one_connection, ""),
                    Self::HaproxyOneRequest => ("", " maxconn 1"),
                    _ => ("", ""),
                };
                format!(
                    "global\n  log stderr format raw local0 err\n\
                     defaults\n  log global\n  {mode}\n  option dontlognull\n  \
                     timeout connect 5000\n  timeout client 50000\n  timeout server 50000\n\
                     frontend web\n  bind {PROXY}:8080{bind}\n{rules}  default_backend relay\n\
                     backend relay\n  server relay {RELAY}:80{options}\n"
                )
            }
            Self::Varnish => {
                command.args(["-F", "-j", "none", "-s", "malloc,64m", "-a"]);
                command.arg(format!("{PROXY}:8080")).arg("-n").arg(dir.join("varnish"));
                command.arg("-f").arg(&path);
                format!("vcl 4.1;\nbackend default {{ .host = \"{RELAY}\"; .port = \"80\"; }}\n")
            }
        };
        Ok(fs::write(&path, text)?)
    }
}

/// Makes a certificate for the proxy, beside its key in a file `certificate`.
fn certify(dir: &Path) -> Result<String> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new([PROXY.to_owned()])?.self_signed(&key)?.pem();
    fs::write(dir.join("certificate"), certificate.clone() + &key.serialize_pem())?;
    Ok(certificate)
}

/// Starts a content scanner beside the proxy, and gives its port.
fn start_scanner() -> Result<u16> {
    Host::Proxy.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        scanner::scan(listener);
        Ok(port)
    })?
}

/// A proxy that runs.
pub struct Running {
    child: Child,
    dir: TempDir,
    /// The proxy's certificate in PEM, if it speaks TLS.
    certificate: Option<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A proxy ends its workers by itself; the rest end with the namespace.
        let id = self.child.id().to_string();
        let told = Command::new("kill").arg(&id).status();
        let began = Instant::now();
        while told.is_ok() && began.elapsed() < START {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(ASK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
