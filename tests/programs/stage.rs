//! The stage of a program: a server on the PC, its client on the phone, and the way between them.

use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;
use crate::net::{Host, Net, PROXY, RELAY};
use crate::parts::{self, ASK, Proxy, Relay, Running, START};

/// Longer than any program takes on a slow and busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// How often octets are counted: some MiB pass meanwhile on a fast machine.
const COUNT: Duration = Duration::from_millis(5);

/// The PC's address for connections without byway: its NAT's.
const PC: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 12);

/// Where byway is a SOCKS server, on the phone.
const SOCKS: &str = "127.0.0.1:1080";

/// The ways from a program to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Without byway: the NATs let everything through.
    Direct,
    /// By byway, without a proxy.
    Relay,
    /// By byway, both ends through squid, which is all that their networks reach.
    Proxy,
    /// The same, and the relay is killed and restarted in the middle.
    Restart,
}

impl Way {
    pub const ALL: [Self; 4] = [Self::Direct, Self::Relay, Self::Proxy, Self::Restart];

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "byway",
            Self::Proxy => "byway, squid",
            Self::Restart => "byway, squid, restart",
        }
    }

    fn is_proxied(self) -> bool {
        matches!(self, Self::Proxy | Self::Restart)
    }
}

/// What a forward carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carries {
    Streams,
    Datagrams,
}

impl Carries {
    fn option(self) -> Option<&'static str> {
        (self == Self::Datagrams).then_some("--udp")
    }
}

/// Where a browser finds a site, and by which proxy.
pub struct Site {
    pub url: String,
    pub proxy: Option<String>,
}

/// A stage, whose parts are dropped in this order, the hosts last.
pub struct Stage {
    way: Way,
    /// The servers, and byway's processes.
    processes: Vec<Process>,
    relay: Relay,
    _proxy: Option<Running>,
    _net: Net,
    dir: TempDir,
}

impl Stage {
    /// Starts the hosts, the relay and, if it is in the way, the proxy.
    pub fn set(way: Way) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("byway-programs-")
            // Servers of other users read the folder.
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?;
        let net = Net::build()?;
        match way {
            Way::Direct => open()?,
            Way::Relay => {}
            Way::Proxy | Way::Restart => close()?,
        }
        let relay = Relay::start()?;
        let proxy = way.is_proxied().then(|| Proxy::Squid.start()).transpose()?;
        for home in ["phone", "pc"] {
            fs::create_dir(dir.path().join(home))?;
        }
        Ok(Self { way, processes: Vec::new(), relay, _proxy: proxy, _net: net, dir })
    }

    pub fn way(&self) -> Way {
        self.way
    }

    /// A path in the stage's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command on the phone, where byway knows its way.
    pub fn on_phone(&self, program: &str) -> Command {
        self.command(Host::Phone, "phone", program)
    }

    /// A command on the PC, where byway knows its way.
    pub fn on_pc(&self, program: &str) -> Command {
        self.command(Host::Pc, "pc", program)
    }

    fn command(&self, host: Host, home: &str, program: &str) -> Command {
        let proxy =
            if self.way.is_proxied() { format!("http://{PROXY}:8080") } else { "none".into() };
        let mut command = host.command(program);
        command.current_dir(self.dir.path());
        command.env("HOME", self.path(home)).env_remove("XDG_CONFIG_HOME");
        command.env("LC_ALL", "C").env_remove("BYWAY_LOG");
        command.env("BYWAY_RELAY", format!("http://{RELAY}:80")).env("BYWAY_PROXY", proxy);
        command
    }

    /// Starts a server on the PC, and waits until it takes connections at the port.
    pub fn serve(&mut self, name: &str, mut command: Command, port: u16) -> Result<()> {
        let mut server = Process::start(&mut command, self.path(&format!("{name}.log")))?;
        wait(|| {
            server.check()?;
            Ok(Host::Pc.enter(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)))?.is_ok())
        })?;
        self.processes.push(server);
        Ok(())
    }

    /// Opens the way to the server at a port of the PC, and gives the address where the phone's programs
    /// reach it.
    pub fn door(&mut self, port: u16, carries: Carries) -> Result<SocketAddr> {
        if self.way == Way::Direct {
            return Ok((PC, port).into());
        }
        self.listen(port, carries)?;
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let mut connect = self.on_phone(&parts::byway());
        connect.args(["connect", &format!("pc:{port}"), "--from", &from.to_string()]);
        connect.args(carries.option());
        self.start_byway("connect", connect, &from.to_string())?;
        Ok(from)
    }

    /// Opens the way to the web server at a port of the PC, for a browser to which byway is a SOCKS server.
    pub fn socks(&mut self, port: u16) -> Result<Site> {
        if self.way == Way::Direct {
            return Ok(Site { url: format!("http://{PC}:{port}"), proxy: None });
        }
        self.listen(port, Carries::Streams)?;
        let mut connect = self.on_phone(&parts::byway());
        connect.args(["connect", "--socks", SOCKS]);
        self.start_byway("socks", connect, SOCKS)?;
        let proxy = Some(format!("socks5://{SOCKS}"));
        Ok(Site { url: format!("http://pc.byway:{port}"), proxy })
    }

    /// Starts the PC's end of a forward to a server there: the name is `pc`.
    fn listen(&mut self, port: u16, carries: Carries) -> Result<()> {
        let mut listen = self.on_pc(&parts::byway());
        listen.args(["listen", &format!("pc:{port}"), "--to", &format!("127.0.0.1:{port}")]);
        listen.args(carries.option());
        self.start_byway("listen", listen, "listening on")
    }

    /// Starts a process of the command, and waits until it says that it is ready.
    fn start_byway(&mut self, name: &str, mut command: Command, ready: &str) -> Result<()> {
        let log = self.path(&format!("{name}-{}.log", self.processes.len()));
        let mut process = Process::start(&mut command, log.clone())?;
        wait(|| {
            process.check()?;
            Ok(fs::read_to_string(&log)?.contains(ready))
        })?;
        self.processes.push(process);
        Ok(())
    }

    /// Runs a command to its end, and gives what it printed on stdout.
    pub fn run(&mut self, command: &mut Command) -> Result<String> {
        Ok(self.attend(command, None)?.text)
    }

    /// Runs a command that carries octets to its end. If the relay is to be restarted in the middle, that is
    /// when `middle` octets passed the phone; a command that ends before fails.
    pub fn carry(&mut self, command: &mut Command, middle: u64) -> Result<Done> {
        self.attend(command, (self.way == Way::Restart).then_some(middle))
    }

    fn attend(&mut self, command: &mut Command, mut middle: Option<u64>) -> Result<Done> {
        let program = format!("{command:?}");
        let (out, err) = (self.path("stdout"), self.path("stderr"));
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&err)?);
        let said = || Ok::<_, crate::Error>((text_of(&out)?, text_of(&err)?));
        let before = passed_phone()?;
        let began = Instant::now();
        let mut process = Attended(command.spawn()?);
        let status = loop {
            if let Some(status) = process.0.try_wait()? {
                break status;
            }
            let passed = passed_phone()? - before;
            if middle.is_some_and(|octets| passed >= octets) {
                middle = None;
                self.relay.kill_and_restart()?;
                if process.0.try_wait()?.is_some_and(|status| status.success()) {
                    return Err(format!("{program} ended while the relay was restarted").into());
                }
            }
            if began.elapsed() > LIMIT {
                let (out, err) = said()?;
                return Err(format!("{program} hangs after {passed} octets: {out}{err}").into());
            }
            thread::sleep(COUNT);
        };
        let seconds = began.elapsed().as_secs_f64();
        let passed = passed_phone()? - before;
        let (text, err) = said()?;
        if !status.success() {
            return Err(format!("{program}: {status} after {passed} octets: {text}{err}").into());
        }
        match middle {
            Some(octets) => {
                let cause =
                    format!("{passed} octets passed the phone, and {octets} are the middle");
                Err(format!("{program} ended before the relay was restarted: {cause}").into())
            }
            None => Ok(Done { text, seconds }),
        }
    }

    /// What byway's processes said, each line behind a line's end.
    pub fn said(&self) -> String {
        let mut text = String::new();
        for process in &self.processes {
            let log = text_of(&process.log).unwrap_or_default();
            let name = process.log.file_name().unwrap_or_default().to_string_lossy();
            let lines: Vec<_> = log.lines().collect();
            for line in &lines[lines.len().saturating_sub(10)..] {
                text.push_str(&format!("\n      {name}: {line}"));
            }
        }
        text
    }
}

/// A command that ended well.
pub struct Done {
    /// What it printed on stdout.
    pub text: String,
    pub seconds: f64,
}

/// A child that does not outlive its wait.
struct Attended(Child);

impl Drop for Attended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that runs beside the programs, and its log.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(Self { child: command.spawn()?, log })
    }

    /// Fails if the process has ended.
    fn check(&mut self) -> Result<()> {
        let ended: Option<ExitStatus> = self.child.try_wait()?;
        match ended {
            None => Ok(()),
            Some(status) => {
                Err(format!("{} ended: {status}: {}", self.log.display(), text_of(&self.log)?)
                    .into())
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until a part that starts is ready.
fn wait(mut is_ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_ready()? {
        if began.elapsed() > START {
            return Err(format!("not ready within {} s", START.as_secs()).into());
        }
        thread::sleep(ASK);
    }
    Ok(())
}

/// The text of a file, whatever is in it.
fn text_of(path: &Path) -> Result<String> {
    let mut octets = Vec::new();
    File::open(path)?.read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// The octets that went by the phone's network, both ways.
fn passed_phone() -> Result<u64> {
    let table = Host::Phone.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))??;
    let line = table.lines().find_map(|line| line.trim().strip_prefix("outside:"));
    let mut fields = line.ok_or("the phone has no network")?.split_whitespace();
    // Eight fields of what was received stand before those of what was sent.
    let octets = [fields.next(), fields.nth(7)].map(|field| field.map(str::parse::<u64>));
    match octets {
        [Some(Ok(received)), Some(Ok(sent))] => Ok(received + sent),
        _ => Err(format!("the kernel's table of devices reads {table}").into()),
    }
}

/// Has both NATs let everything through, the PC's from outside, too.
fn open() -> Result<()> {
    let outwards = "chain outwards {
        type nat hook postrouting priority srcnat;
        oifname outside masquerade
    }";
    let inwards = "chain inwards {
        type nat hook prerouting priority dstnat;
        iifname outside dnat to 10.2.0.2
    }";
    Host::PhoneNat.nft(&format!("delete table ip lab\ntable ip lab {{\n{outwards}\n}}"))?;
    Host::PcNat.nft(&format!("delete table ip lab\ntable ip lab {{\n{outwards}\n{inwards}\n}}"))
}

/// Has both NATs let nothing through but connections to the proxy.
fn close() -> Result<()> {
    for nat in [Host::PhoneNat, Host::PcNat] {
        nat.nft(&format!(
            "table ip proxied {{
                chain forward {{
                    type filter hook forward priority -1; policy drop;
                    ct state established,related accept
                    iifname inside ip daddr {PROXY} tcp dport 8080 accept
                }}
            }}"
        ))?;
    }
    Ok(())
}
