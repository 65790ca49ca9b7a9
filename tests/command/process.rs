//! Processes of the command.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// What names proxies in the environment.
const NO_PROXIES: [&str; 7] =
    ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// Longer than any step takes on a slow and busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A running `byway`, killed when dropped.
pub struct Byway {
    child: Child,
    stderr: Receiver<String>,
    told: Vec<String>,
}

/// The end of a process.
pub struct Ended {
    pub status: ExitStatus,
    /// The lines of stderr.
    pub told: Vec<String>,
}

impl Byway {
    pub fn start<const N: usize>(args: [&str; N]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_byway")).args(args))
    }

    /// Starts the command with arguments whose number is not known before.
    pub fn start_args(args: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_byway")).args(args))
    }

    /// Starts the command with this many file descriptors.
    pub fn start_with_descriptors<const N: usize>(most: u32, args: [&str; N]) -> Self {
        Self::start_by(&format!("ulimit -n {most}; exec \"$@\""), args)
    }

    /// Starts the command by a shell, for which `script` has it and its arguments as `"$@"`.
    pub fn start_by<const N: usize>(script: &str, args: [&str; N]) -> Self {
        Self::start_args_by(script, &args)
    }

    fn start_args_by(script: &str, args: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        Self::spawn(shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_byway")]).args(args))
    }

    /// Starts the command so that permissions of files are kept to by it, as by any user's, also where root runs the tests.
    pub fn start_without_privilege(args: &[&str]) -> Self {
        let script = "\
            test $(id -u) = 0 && exec setpriv --inh-caps=-all --bounding-set=-all \"$@\"
            exec \"$@\"";
        Self::start_args_by(script, args)
    }

    /// Starts the command as a service manager does that passes a listener on.
    pub fn start_with_listener<const N: usize>(listener: &TcpListener, args: [&str; N]) -> Self {
        let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" 3<&0 </dev/null";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_byway")]).args(args);
        let listener = listener.try_clone().expect("a descriptor");
        Self::spawn_with(&mut shell, OwnedFd::from(listener).into())
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The number of lines of stderr so far that contain `text`.
    pub fn times_told(&mut self, text: &str) -> usize {
        self.told.extend(self.stderr.try_iter());
        self.told.iter().filter(|line| line.contains(text)).count()
    }

    fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, Stdio::piped())
    }

    fn spawn_with(command: &mut Command, stdin: Stdio) -> Self {
        let mut child = without_settings(command)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("byway starts");
        let stderr = lines(child.stderr.take().expect("piped"));
        Self { child, stderr, told: Vec::new() }
    }

    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("taken once")
    }

    pub fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("taken once")
    }

    /// The first line of stdout, and the rest of stdout once the process has ended.
    pub fn announced(&mut self) -> (String, Receiver<String>) {
        let lines = lines(self.stdout());
        let Ok(line) = lines.recv_timeout(DEADLINE) else {
            panic!("nothing on stdout; stderr: {:?}", self.stderr.iter().collect::<Vec<_>>());
        };
        (line, lines)
    }

    /// Waits for the first line of stderr that contains `text`.
    pub fn told(&mut self, text: &str) -> String {
        self.wait_told(text);
        self.told.iter().find(|line| line.contains(text)).cloned().unwrap_or_default()
    }

    /// Waits until a line of stderr contains `text`.
    pub fn wait_told(&mut self, text: &str) {
        while !self.told.iter().any(|line| line.contains(text)) {
            match self.stderr.recv_timeout(DEADLINE) {
                Ok(line) => self.told.push(line),
                Err(error) => panic!("{error} on stderr before {text:?}: {:?}", self.told),
            }
        }
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -s {name} {pid}");
    }

    /// Kills the process by SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }

    /// Waits for the end of the process, which closes its stderr.
    pub fn end(mut self) -> Ended {
        loop {
            match self.stderr.recv_timeout(DEADLINE) {
                Ok(line) => self.told.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("does not end: {:?}", self.told),
            }
        }
        let status = self.child.wait().expect("waited for");
        Ended { status, told: std::mem::take(&mut self.told) }
    }
}

impl Drop for Byway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{}: {:?}", self.status, self.told);
        self
    }

    pub fn expect_nothing_told(&self) -> &Self {
        assert!(self.told.is_empty(), "{:?}", self.told);
        self
    }

    /// Expects exactly one line on stderr, with these parts.
    pub fn expect_line(&self, parts: &[&str]) -> &Self {
        self.expect_lines(&[parts])
    }

    /// Expects exactly these lines on stderr, each with its parts.
    pub fn expect_lines(&self, lines: &[&[&str]]) -> &Self {
        assert_eq!(self.told.len(), lines.len(), "so many lines: {:?}", self.told);
        for (told, parts) in self.told.iter().zip(lines) {
            for part in *parts {
                assert!(told.contains(part), "{part:?} in {told:?}");
            }
        }
        self
    }
}

/// The command, to be started otherwise than by [`Byway`].
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_byway"));
    without_settings(&mut command);
    command
}

/// Without the settings of the user that runs the tests.
fn without_settings(command: &mut Command) -> &mut Command {
    command
        .env_remove("BYWAY_RELAY")
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_STATE_HOME")
        .env("HOME", home())
        .env_remove("BYWAY_LOG")
        .env_remove("BYWAY_LOG_FORMAT")
        .env_remove("BYWAY_TOKEN")
        .env_remove("BYWAY_TOKEN_FILE")
        .env_remove("BYWAY_CONFIG")
        .env_remove("BYWAY_IDENTITY")
        .env_remove("BYWAY_KNOWN_PEERS")
        .env_remove("BYWAY_CODE")
        .env_remove("BYWAY_OWNER")
        .env_remove("BYWAY_PROXY")
        .env_remove("BYWAY_ROOTS")
        .env_remove("BYWAY_HEADERS")
        .envs(NO_PROXIES.map(|name| (name, "")))
}

/// The home directory of all processes: none that is anybody's, and the same for all, so that each test sees what
/// a user does from the second start on.
fn home() -> &'static Path {
    static HOME: LazyLock<PathBuf> = LazyLock::new(|| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
        std::fs::create_dir_all(&home).expect("a home directory");
        home
    });
    &HOME
}

/// A relay process.
pub struct Relay {
    process: Byway,
    pub url: String,
    stdout: Receiver<String>,
}

impl Relay {
    pub fn start() -> Self {
        Self::start_on("127.0.0.1:0")
    }

    pub fn start_on(address: &str) -> Self {
        Self::of(Byway::start(["relay", "--listen", address]))
    }

    /// A relay that was started in another way.
    pub fn of(mut process: Byway) -> Self {
        let (url, stdout) = process.announced();
        Self { process, url, stdout }
    }

    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("a URL")
    }

    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until a line of stderr contains `text`.
    pub fn wait_told(&mut self, text: &str) {
        self.process.wait_told(text);
    }

    /// Waits for the first line of stderr that contains `text`.
    pub fn told(&mut self, text: &str) -> String {
        self.process.told(text)
    }

    /// Kills the relay, and starts another one on the same address.
    pub fn replace(self) -> Self {
        let address = self.address().to_owned();
        self.process.kill();
        Self::start_on(&address)
    }

    /// The line that the relay prints next behind the URL.
    pub fn next_line(&self) -> String {
        self.stdout.recv_timeout(DEADLINE).expect("a line on stdout")
    }

    /// The relay's end, and the lines that it printed behind the URL.
    pub fn end(self) -> (Ended, Vec<String>) {
        (self.process.end(), self.stdout.iter().collect())
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (give, take) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if give.send(line).is_err() {
                break;
            }
        }
    });
    take
}

/// Says that something is not run, and why, where tests/run reads it: past what the test runner keeps to itself.
pub fn not_run(what: &str) {
    let _ = writeln!(std::io::stdout(), "\nnot run: {what}");
}
