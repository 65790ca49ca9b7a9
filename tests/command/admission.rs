//! Who may use the relay: policies, tokens, and what the log says of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use crate::bytes::{Noise, read_all};
use crate::process::{Byway, Relay};
use crate::web::curl;

/// A policy and the file of its token.
pub struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().expect("a directory") };
        this.make_token("first");
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn policy(&self) -> String {
        self.path("policy").to_str().expect("UTF-8").to_owned()
    }

    pub fn token(&self) -> String {
        self.path("token").to_str().expect("UTF-8").to_owned()
    }

    fn secret(&self) -> String {
        std::fs::read_to_string(self.path("token")).expect("its file").trim().to_owned()
    }

    /// Has the command make a token, which takes the place of the one before in its file and in the policy.
    fn make_token(&self, name: &str) {
        let new = self.path("new");
        let out = new.to_str().expect("UTF-8");
        let mut made = Byway::start(["token", "new", name, "--out", out]);
        let (_, lines) = (drop(made.stdin()), made.stdout());
        let lines = std::io::read_to_string(lines).expect("the policy's lines");
        made.end().expect_code(0).expect_line(&["the token is in", out]);
        std::fs::rename(new, self.path("token")).expect("renamed");
        self.write_policy(&lines);
    }

    pub fn write_policy(&self, text: &str) {
        std::fs::write(self.path("policy"), text).expect("written");
    }
}

#[test]
fn token_is_shown_under_quiet_since_it_is_shown_but_once() {
    let mut made = Byway::start(["-q", "token", "new", "somebody"]);
    let (_, lines) = (drop(made.stdin()), made.stdout());
    let lines = std::io::read_to_string(lines).expect("the policy's lines");
    let ended = made.end();
    ended.expect_code(0);
    assert_eq!(ended.told.len(), 1, "{:?}", ended.told);
    let token = ended.told[0].as_str();
    assert!(token.len() >= 16 && !token.contains(' ') && !lines.contains(token), "{token}");
}

/// A relay with this policy, and what it tells.
fn relay(policy: &str) -> Relay {
    Relay::of(Byway::start(["relay", "--listen", "127.0.0.1:0", "--policy", policy, "-vvv"]))
}

fn refusal(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_byway"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("byway runs");
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(told.lines().count(), 1, "{told}");
    format!("{} {told}", out.status.code().expect("an end by itself"))
}

#[test]
fn relay_beyond_loopback_does_not_start_without_policy_or_open() {
    let told = refusal(&["relay", "--listen", "0.0.0.0:0"]);
    for part in ["2 ", "0.0.0.0:", "--policy", "byway token new", "--open"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let files = Files::new();
    for args in [
        ["relay", "--listen", "0.0.0.0:0", "--open", "-v"].map(str::to_owned),
        ["relay", "--listen", "0.0.0.0:0", &format!("--policy={}", files.policy()), "-v"]
            .map(str::to_owned),
    ] {
        let relay = Relay::of(Byway::start(args.each_ref().map(String::as_str)));
        assert!(relay.url.starts_with("http://0.0.0.0:"));
    }
    let told = refusal(&["relay", "--policy", "/nowhere/at/all"]);
    assert!(told.starts_with("2 ") && told.contains("--policy"), "{told}");
}

#[test]
fn relay_at_all_addresses_tells_what_clients_dial() {
    let mut relay = Relay::of(Byway::start(["relay", "--listen", "0.0.0.0:0", "--open"]));
    let (_, port) = relay.url.rsplit_once(':').expect("a port");
    let line = format!("clients dial it by one of them, or by its name, at port {port}");
    relay.wait_told(&line);
}

#[test]
fn bearers_of_a_new_token_may_do_all_which_is_told_with_where_to_read_how_to_change_that() {
    let mut made = Byway::start(["token", "new", "somebody"]);
    made.announced();
    let ended = made.end();
    ended.expect_lines(&[&["every name and port", "byway help policy"], &[]]);
    let mut help = Byway::start(["help", "policy"]);
    let text = std::io::read_to_string(help.stdout()).expect("text");
    assert!(text.contains("[[token]]") && text.contains("\"*:22\""), "{text}");
}

#[test]
fn document_of_a_token_has_the_policy_and_the_token_unless_a_file_has_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("token");
    let out = out.to_str().expect("UTF-8");
    let new = |args: &[&str]| -> serde_json::Value {
        let mut made = Byway::start_args(&[&["token", "new", "cameras", "--json"], args].concat());
        let document = std::io::read_to_string(made.stdout()).expect("stdout");
        made.end().expect_code(0);
        serde_json::from_str(&document).expect("one document")
    };
    let (shown, kept) = (new(&[]), new(&["--out", out]));
    for document in [&shown, &kept] {
        assert_eq!(document["name"], "cameras");
        let policy = document["policy"].as_str().expect("lines");
        assert!(policy.contains("[[token]]") && policy.contains("sha256 = "), "{policy}");
    }
    assert_eq!(shown["token"].as_str().map(str::len), Some(49));
    assert!(shown["file"].is_null() && kept["token"].is_null());
    assert_eq!(kept["file"], out);
    let secret = std::fs::read_to_string(out).expect("the token");
    let mut lines = Byway::start(["token", "lines", "cameras"]);
    lines.stdin().write_all(secret.as_bytes()).expect("taken");
    let lines = std::io::read_to_string(lines.stdout()).expect("lines");
    assert_eq!(kept["policy"].as_str().map(str::trim_end), Some(lines.trim_end()));
}

#[test]
fn token_is_readable_by_its_owner_alone_and_never_written_over() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::new();
    let mode = std::fs::metadata(files.path("token")).expect("its file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = refusal(&["token", "new", "x", "--out", &files.token()]);
    assert!(told.starts_with("2 ") && told.contains("--out a new file"), "{told}");
    assert_eq!(files.secret().len(), 49);
    let mut lines = Byway::start(["token", "lines", "first"]);
    lines.stdin().write_all(format!("{}\n", files.secret()).as_bytes()).expect("taken");
    let told = std::io::read_to_string(lines.stdout()).expect("lines");
    assert_eq!(told, std::fs::read_to_string(files.path("policy")).expect("the policy"));
}

/// The head of the answer to a POST with these header fields.
fn head(url: &str, fields: &[&str]) -> String {
    let mut curl = curl();
    curl.args(["-i", "-X", "POST", "-H", "Content-Type: application/octet-stream"]);
    for field in fields {
        curl.args(["-H", field]);
    }
    let out = curl.args(["--data-binary", "no HELLO", &format!("{url}/v1")]).output();
    String::from_utf8_lossy(&out.expect("curl runs").stdout).to_lowercase()
}

#[test]
fn curl_is_asked_for_a_token_and_told_of_a_wrong_one() {
    let files = Files::new();
    let relay = relay(&files.policy());
    let without = head(&relay.url, &[]);
    assert!(without.starts_with("http/1.1 401"), "{without}");
    assert!(without.contains("www-authenticate: bearer realm=\"byway\"\r\n"), "{without}");
    for field in ["Authorization: Bearer nothing", "Byway-Token: nothing"] {
        let wrong = head(&relay.url, &[field]);
        assert!(wrong.contains("realm=\"byway\", error=\"invalid_token\"\r\n"), "{wrong}");
    }
    for field in ["Authorization: Bearer", "Byway-Token:"] {
        let right = head(&relay.url, &[&format!("{field} {}", files.secret())]);
        assert!(right.starts_with("http/1.1 400") && right.contains("no hello"), "{right}");
    }
    let here = curl().args(["-i", &relay.url]).output().expect("curl runs").stdout;
    assert!(here.starts_with(b"HTTP/1.1 200"), "load balancers need no token");
}

/// Carries octets from one process to another, calls `midway` when a third came, and gives what both told.
fn transfer(url: &str, files: &Files, midway: impl FnOnce()) -> [Vec<String>; 2] {
    const LEN: usize = 30_000_000;
    let token = &files.token();
    let mut listen =
        Byway::start(["listen", "bulk:1", "--relay", url, "--token-file", token, "-vvv"]);
    listen.wait_told("listening on bulk:1");
    let mut connect =
        Byway::start(["connect", "bulk:1", "--relay", url, "--token-file", token, "-vvv"]);
    drop(listen.stdin());
    let stdin = connect.stdin();
    let sender = thread::spawn(move || Noise::new(1).write(stdin, LEN).expect("stdin takes all"));
    let mut midway = Some(midway);
    let stdout = listen.stdout();
    let received = read_all(stdout, |n| {
        if n > LEN / 3
            && let Some(midway) = midway.take()
        {
            midway();
        }
    });
    let (len, received) = received.expect("stdout to its end");
    assert_eq!((len, received), (LEN, sender.join().expect("sent")));
    [connect, listen].map(|end| {
        let end = end.end();
        end.expect_code(0);
        end.told.clone()
    })
}

#[test]
fn sighup_reads_the_policy_again_during_a_transfer() {
    let files = Files::new();
    let mut relay = relay(&files.policy());
    let url = relay.url.clone();
    let told = transfer(&url, &files, || {
        let good = std::fs::read_to_string(files.path("policy")).expect("the policy");
        files.write_policy("[[token]]\nname = 1\n");
        relay.signal("HUP");
        relay.wait_told("cannot use the policy");
        files.write_policy(&format!("{good}sessions = 5\n"));
        relay.signal("HUP");
        relay.wait_told("read again");
    });
    let all = told.concat().join("\n");
    assert!(!all.contains("refuses") && !all.contains("blocked"), "{all}");
    relay.signal("TERM");
    let (ended, _) = relay.end();
    ended.expect_code(0);
    let broken = ended.told.iter().filter(|line| line.contains("cannot use the policy"));
    let broken: Vec<_> = broken.collect();
    assert!(broken.len() == 1 && broken[0].contains("line 2"), "{broken:?}");
}

#[test]
fn tokens_are_replaced_during_a_transfer_and_stand_in_no_log() {
    let files = Files::new();
    let mut relay = relay(&files.policy());
    let (url, old) = (relay.url.clone(), files.secret());
    let told = transfer(&url, &files, || {
        files.make_token("second");
        relay.signal("HUP");
        relay.wait_told("read again");
    });
    relay.signal("TERM");
    let (ended, _) = relay.end();
    let mut all = ended.told;
    all.extend(told.concat());
    let all = all.join("\n");
    assert!(all.contains("refuses the token, whose file has another"), "it was replaced");
    for secret in [old, files.secret()] {
        assert!(!all.contains(&secret) && !all.contains(&secret[6..]), "a token stands in a log");
    }
}

#[test]
fn environment_gives_the_token_and_help_does_not_show_it() {
    let files = Files::new();
    let relay = relay(&files.policy());
    let run = |args: &[&str]| {
        let mut byway = Command::new(env!("CARGO_BIN_EXE_byway"));
        byway.args(args).env("BYWAY_TOKEN", files.secret()).stdin(Stdio::null());
        byway.output().expect("byway runs")
    };
    let help = run(&["connect", "--help"]).stdout;
    let help = String::from_utf8_lossy(&help);
    assert!(help.contains("BYWAY_TOKEN") && !help.contains(&files.secret()), "{help}");
    let out = run(&["connect", "nobody:1", "--relay", &relay.url, "--timeout", "7"]);
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("nobody listens"));
}

/// Runs a shell script in a directory.
fn shell(dir: &Path, script: &str) -> String {
    let out = Command::new("sh").args(["-euc", script]).current_dir(dir).output().expect("sh runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Keys and signatures are openssl's.
#[test]
fn jwts_that_openssl_signed_are_let_in() {
    const JWT: &str = r#"
        b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
        now=$(date +%s)
        openssl genpkey -algorithm ed25519 -out key.pem
        openssl pkey -in key.pem -pubout -out public.pem
        claims() { printf '{"iss":"https://id.example","aud":"byway","sub":"camera-7","exp":%s}' "$1" | b64; }
        sign() {
            printf '%s.%s' "$(printf '{"alg":"EdDSA"}' | b64)" "$(claims "$1")" >message
            openssl pkeyutl -sign -rawin -inkey key.pem -in message -out signature
            printf '%s.%s\n' "$(cat message)" "$(b64 <signature)"
        }
        sign $((now + 3600)) >token
        sign $((now - 3600)) >expired
    "#;
    let files = Files { dir: tempfile::tempdir().expect("a directory") };
    shell(files.dir.path(), JWT);
    let key = std::fs::read_to_string(files.path("public.pem")).expect("the public key");
    files.write_policy(&format!(
        "[[issuer]]\nissuer = \"https://id.example\"\naudience = \"byway\"\nkeys = [\"\"\"\n{key}\"\"\"]\nlisten = [\"{{sub}}:*\"]\n"
    ));
    let relay = relay(&files.policy());
    let mut listen = Byway::start([
        "listen",
        "camera-7:1",
        "--relay",
        &relay.url,
        "--token-file",
        &files.token(),
    ]);
    listen.wait_told("listening on camera-7:1");
    let other = ["listen", "camera-8:1", "--relay", &relay.url, "--token-file", &files.token()];
    let told = refusal(&other);
    assert!(told.starts_with("3 ") && told.contains("endpoint forbidden"), "{told}");
    let expired = files.path("expired");
    let expired = ["--token-file", expired.to_str().expect("UTF-8")];
    let told = refusal(&[&["listen", "camera-7:2", "--relay", &relay.url], &expired[..]].concat());
    assert!(told.starts_with("3 ") && told.contains("refuses this client's token"), "{told}");
}
