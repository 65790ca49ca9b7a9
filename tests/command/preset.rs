//! What a user sets once: the environment and a file; and what the command tells of itself.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::process::{Byway, Ended, Relay};

/// A home directory with a file of settings.
struct Home {
    at: TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { at: tempfile::tempdir().expect("a directory") };
        let file = home.file("config.toml");
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(&file, config).expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("changed");
        home
    }

    fn file(&self, name: &str) -> PathBuf {
        self.at.path().join(".config/byway").join(name)
    }

    /// Starts the command there, with variables as `NAME=VALUE`.
    fn start<const N: usize>(&self, variables: &str, args: [&str; N]) -> Byway {
        let home = self.at.path().display();
        let script = format!("export HOME='{home}' {variables}; exec \"$@\"");
        Byway::start_by(&script, args)
    }

    fn refused<const N: usize>(&self, variables: &str, args: [&str; N]) -> Ended {
        let mut process = self.start(variables, args);
        let _open = process.stdin();
        process.end()
    }
}

/// A port of this machine at which nobody listens.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    format!("http://{port}")
}

/// Whether a pipe through this relay carries, of ends that are started so.
fn carries(mut listen: Byway, connect: impl FnOnce() -> Byway) {
    listen.wait_told("listening on");
    let mut connect = connect();
    connect.stdin().write_all(b"hello").expect("taken");
    drop(listen.stdin());
    let mut got = String::new();
    listen.stdout().read_to_string(&mut got).expect("stdout");
    assert_eq!(got, "hello");
    listen.end().expect_code(0);
    connect.end().expect_code(0);
}

#[test]
fn options_win_over_the_environment_and_that_over_the_file() {
    let relay = Relay::start();
    let (right, wrong) = (format!("relay = {:?}", relay.url), format!("relay = {:?}", nobody()));
    let of_file = Home::new(&right);
    carries(of_file.start("", ["listen", "a:1"]), || of_file.start("", ["connect", "a:1"]));
    let of_environment = Home::new(&wrong);
    let variable = format!("BYWAY_RELAY={}", relay.url);
    carries(of_environment.start(&variable, ["listen", "b:1"]), || {
        of_environment.start(&variable, ["connect", "b:1"])
    });
    let variable = format!("BYWAY_RELAY={}", nobody());
    let listen = ["listen", "c:1", "--relay", &relay.url];
    let connect = ["connect", "c:1", "--relay", &relay.url];
    carries(of_environment.start(&variable, listen), || of_environment.start(&variable, connect));
}

#[test]
fn missing_relay_and_faults_of_the_file_are_told_with_the_remedy() {
    let listen = ["listen", "a:1"];
    let none = Home::new("");
    none.refused("", listen).expect_code(2).expect_line(&["no relay", "--relay", "BYWAY_RELAY"]);
    let odd = Home::new("relay = \"http://x\"\nrelais = \"http://y\"\n");
    odd.refused("", listen).expect_code(2).expect_line(&["config.toml", "line 2", "relais"]);
    // Another file, or none at all.
    odd.refused("BYWAY_CONFIG=", listen).expect_code(2).expect_line(&["no relay"]);
    odd.refused("BYWAY_CONFIG=/nowhere/x", listen).expect_code(2).expect_line(&["/nowhere/x"]);
    let secret = Home::new("relay = \"http://127.0.0.1:1\"\ntoken = \"hush-hush\"\n");
    let file = secret.file("config.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("changed");
    let ended = secret.refused("", listen);
    ended.expect_code(2).expect_line(&["it has a token", "mode 644", "chmod 600"]);
    assert!(!ended.told.concat().contains("hush-hush"));
    let owner = Home::new("owner = \"hush-hush\"\n");
    let file = owner.file("config.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("changed");
    owner.refused("", listen).expect_code(2).expect_line(&["it has an owner", "chmod 600"]);
    let both = Home::new("token = \"x\"\ntoken_file = \"y\"\n");
    both.refused("", listen).expect_code(2).expect_line(&["leave one of them"]);
}

#[test]
fn proxy_of_the_environment_is_used_unless_the_user_wants_none() {
    let relay = Relay::start();
    let home = Home::new(&format!("relay = {:?}\n", relay.url));
    let proxy = format!("http_proxy={}", nobody());
    let blocked = ["listen", "a:1", "--timeout", "1"];
    home.refused(&proxy, blocked).expect_code(4);
    let direct = |action| [action, "a:1", "--proxy", "none"];
    carries(home.start(&proxy, direct("listen")), || home.start(&proxy, direct("connect")));
    // As curl has it.
    let except = format!("{proxy} no_proxy=localhost,127.0.0.0/8");
    carries(home.start(&except, ["listen", "b:1"]), || home.start(&except, ["connect", "b:1"]));
    let set = format!("{proxy} BYWAY_PROXY=none");
    carries(home.start(&set, ["listen", "c:1"]), || home.start(&set, ["connect", "c:1"]));
}

#[test]
fn owner_that_is_set_takes_over_what_the_same_owner_listens_at() {
    let relay = Relay::start();
    let home = Home::new(&format!("relay = {:?}\nowner = \"of the file\"\n", relay.url));
    let listen = ["listen", "a:1", "--owner", "mine"];
    let mut of_option = home.start("", listen);
    of_option.wait_told("listening on");
    let mut of_environment = home.start("BYWAY_OWNER=mine", ["listen", "a:1"]);
    of_environment.wait_told("listening on");
    let ended = of_option.end();
    assert!(ended.expect_code(3).told.concat().contains("taken over"), "{:?}", ended.told);
    let mut of_file = home.start("", ["listen", "b:1"]);
    of_file.wait_told("listening on");
    let mut same = home.start("", ["listen", "b:1", "--owner", "of the file"]);
    same.wait_told("listening on");
    of_file.end().expect_code(3);
}

#[test]
fn quiet_command_tells_its_error_alone() {
    let relay = Relay::start();
    let home = Home::new(&format!("relay = {:?}\n", relay.url));
    let ended = home.refused("", ["connect", "nobody:1", "--timeout", "1", "-q"]);
    ended.expect_code(3);
    assert_eq!(ended.told.len(), 1, "{:?}", ended.told);
}

/// What a command prints, which ends with 0.
fn printed<const N: usize>(args: [&str; N]) -> String {
    let mut process = Byway::start(args);
    drop(process.stdin());
    let mut text = String::new();
    process.stdout().read_to_string(&mut text).expect("stdout");
    process.end().expect_code(0).expect_nothing_told();
    text
}

#[test]
fn help_is_there_for_commands_and_topics() {
    let all = printed(["help"]);
    for topic in ["config", "exit-codes", "names", "security"] {
        assert!(all.contains(topic), "{topic}");
        assert!(printed(["help", topic]).lines().count() > 5, "{topic}");
    }
    assert!(printed(["help", "id", "new"]).contains("--file"));
    assert!(!all.contains('\x1b'), "no colours but at a terminal");
    let mut wrong = Byway::start(["help", "nothing"]);
    drop(wrong.stdin());
    wrong.end().expect_code(2).expect_line(&["nothing", "byway help"]);
}

#[test]
fn completions_and_man_pages_name_every_command() {
    let commands = [
        "relay",
        "token",
        "listen",
        "id",
        "connect",
        "ssh",
        "send",
        "receive",
        "help",
        "completions",
        "man",
    ];
    for shell in ["bash", "zsh", "fish"] {
        let text = printed(["completions", shell]);
        assert!(commands.iter().all(|command| text.contains(command)), "{shell}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    printed(["man", directory.path().to_str().expect("UTF-8")]);
    for command in commands {
        let page = fs::read_to_string(directory.path().join(format!("byway-{command}.1")));
        assert!(page.expect("a page").contains(".TH"), "{command}");
    }
}

#[test]
fn headers_of_the_environment_go_with_each_request() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let home = Home::new("");
    let status = ["status", "--timeout", "1", "--relay", &url];
    let told = home.refused("BYWAY_HEADERS=nonsense", status);
    told.expect_code(2).expect_line(&["BYWAY_HEADERS", "Name: value"]);
    let _status = home.start("BYWAY_HEADERS='X-Key: one\nX-Other: two'", status);
    let (mut asked, _) = listener.accept().expect("a request");
    let (mut head, mut octets) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = asked.read(&mut octets).expect("more of the head");
        assert!(n > 0, "{}", String::from_utf8_lossy(&head));
        head.extend(&octets[..n]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.contains("x-key: one\r\n") && head.contains("x-other: two\r\n"), "{head}");
}
