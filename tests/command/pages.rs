//! The blocks of commands on the project's pages: each is run by a test, so that no page tells what does not work.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use crate::process::{Byway, Relay};

/// The pages with blocks of commands.
const PAGES: [&str; 11] = [
    "README.md",
    "examples/bench/README.md",
    "examples/c/README.md",
    "examples/deploy/README.md",
    "examples/deploy/cluster.md",
    "examples/firmware/README.md",
    "examples/load/README.md",
    "examples/package/README.md",
    "src/capi/README.md",
    "src/secure/README.md",
    "tests/README.md",
];

/// What runs a block.
enum Run {
    /// A test of this file does, with the block as it stands on the page.
    Here,
    /// This file does, and has these words.
    In(&'static str, &'static str),
    /// Nothing does, for this reason.
    Never(&'static str),
}

/// What runs each block, which its page and the beginning of its first line tell.
#[rustfmt::skip]
const BLOCKS: [(&str, &str, Run); 33] = [
    ("README.md", "byway relay --listen 0.0.0.0:8080 --open", Run::Here),
    ("README.md", "export BYWAY_RELAY=", Run::Here),
    ("README.md", "byway send holiday.jpg", Run::Here),
    ("README.md", "byway receive CODE", Run::Here),
    ("README.md", "byway listen board:22", Run::In("tests/command/ssh.rs", "board:22")),
    ("README.md", "byway ssh root@board", Run::In("tests/command/ssh.rs", "\"ssh\"")),
    ("README.md", "byway listen site:80", Run::Here),
    ("README.md", "byway connect site:80", Run::Here),
    ("README.md", "byway doctor", Run::In("tests/command/doctor.rs", "\"doctor\"")),
    ("README.md", "cargo run --release --example demo", Run::In("tests/run", "cargo run --release --example demo")),
    ("README.md", "tests/run", Run::In(".ci/run", "tests/run")),
    ("README.md", "make -C examples/c install", Run::In("tests/c/install", "pkg-config --cflags --libs byway")),
    ("README.md", "byway token new cameras", Run::In("tests/command/admission.rs", "\"token\", \"new\"")),
    ("examples/bench/README.md", "cargo run --release --example bench", Run::In("tests/run", "cargo run --release --example bench")),
    ("examples/c/README.md", "make ", Run::In("tests/c/run", "make -C examples/c")),
    ("examples/c/README.md", "cc program.c", Run::In("tests/c/install", "pkg-config --static --cflags --libs byway")),
    ("examples/c/README.md", "chat listen", Run::In("tests/c/install", "chat send-file")),
    ("examples/deploy/README.md", "install -d /etc/byway", Run::In("examples/package/test-deb", "token new everybody --out")),
    ("examples/deploy/README.md", "cat > /etc/letsencrypt", Run::Never("certbot wants a name in the public DNS")),
    ("examples/deploy/README.md", "byway relay --listen 0.0.0.0:8080 --policy", Run::In("tests/command/admission.rs", "\"--policy\"")),
    ("examples/deploy/README.md", "systemctl start byway@2", Run::In("tests/command/drain.rs", "relay_takes_the_place_of_another")),
    ("examples/deploy/README.md", "(umask 077; openssl rand", Run::In("tests/command/metrics.rs", "\"--metrics-token\"")),
    ("examples/deploy/cluster.md", "byway relay --listen 0.0.0.0:8080 --policy", Run::In("tests/proxies/cluster/parts.rs", "\"--cluster\"")),
    ("examples/firmware/README.md", "examples/firmware/run", Run::In("tests/run", "examples/firmware/run")),
    ("examples/load/README.md", "cargo run --release --example load -- pairs  ", Run::In("tests/run", "cargo run --release --example load")),
    ("examples/load/README.md", "cargo run --release --example load -- pairs 10 1000", Run::In("tests/run", "cargo run --release --example load")),
    ("examples/package/README.md", "examples/package/deb", Run::In("tests/run", "examples/package/deb")),
    ("examples/package/README.md", "byway token new everybody", Run::In("examples/package/test-deb", "token new everybody --out")),
    ("src/capi/README.md", "BYWAY_RENEW_HEADER=1 cargo test", Run::In("tests/run", "cargo test --tests --features capi")),
    ("src/capi/README.md", "cargo rustc --profile small", Run::In("examples/c/Makefile", "--profile $(PROFILE)")),
    ("tests/README.md", "tests/run", Run::In(".ci/run", "tests/run")),
    ("tests/README.md", "cargo test --release --test lab", Run::In("tests/run", "cargo test --release --test lab")),
    ("tests/README.md", "cargo test --release --test programs", Run::In("tests/run", "cargo test --release --test programs")),
];

/// The blocks of commands of a page.
fn blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while lines.any(|line| line == "```sh") {
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

#[test]
fn every_block_of_commands_is_run_by_a_test() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for page in PAGES {
        for block in blocks(page) {
            let of_block = |(at, begins, _): &(&str, &str, Run)| {
                *at == page && format!("{block} ").starts_with(begins)
            };
            let Some(at) = BLOCKS.iter().position(of_block) else {
                panic!("no test runs this block of {page}: {block}");
            };
            found.push(at);
            match BLOCKS[at].2 {
                Run::Here => {}
                Run::In(file, words) => {
                    let text = fs::read_to_string(project.join(file)).unwrap_or_default();
                    assert!(text.contains(words), "{file} does not run {words:?} for {page}");
                }
                Run::Never(why) => assert!(!why.is_empty()),
            }
        }
    }
    for (at, (page, begins, _)) in BLOCKS.iter().enumerate() {
        assert!(found.contains(&at), "{page} has no block that begins with {begins}");
    }
}

/// The block of the README that begins so.
fn of_readme(begins: &str) -> String {
    let block = blocks("README.md").into_iter().find(|block| block.starts_with(begins));
    block.unwrap_or_else(|| panic!("no block begins with {begins}"))
}

/// What a shell is told before a block: where `byway` is, where to be, and the block of the settings.
fn prepared(folder: &Path, settings: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_byway")).parent().expect("in a folder");
    format!(
        "PATH='{}':$PATH\ncd '{}' || exit\n{settings}\nexec ",
        programs.display(),
        folder.display()
    )
}

#[test]
fn readme_in_one_minute_works_as_it_stands() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let block = of_readme("byway relay --listen").replace("0.0.0.0:8080", "127.0.0.1:0");
    let relay = Relay::of(Byway::start_by(&(prepared(here.path(), "") + &block), []));
    let settings = of_readme("export BYWAY_RELAY=").replace("relay.example:8080", relay.address());
    let [here_with, there_with] = [&here, &there].map(|dir| prepared(dir.path(), &settings));

    let picture: Vec<u8> = (0..300_000_u64).map(|n| ((n * n) >> 7) as u8).collect();
    fs::write(here.path().join("holiday.jpg"), &picture).expect("written");
    let mut send = Byway::start_by(&(here_with.clone() + &of_readme("byway send")), []);
    let (line, _) = send.announced();
    let words = of_readme("byway receive").replace("CODE", "");
    assert!(line.starts_with(words.trim()), "{line}");
    Byway::start_by(&(there_with.clone() + &line), []).end().expect_code(0);
    send.end().expect_code(0);
    assert!(fs::read(there.path().join("holiday.jpg")).is_ok_and(|got| got == picture));

    let server = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = server.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let block = of_readme("byway listen site:80").replace("127.0.0.1:80", &address);
    let mut listen = Byway::start_by(&(here_with + &block), []);
    listen.wait_told("listening on site:80");
    let block = of_readme("byway connect site:80").replace("127.0.0.1:8000", "127.0.0.1:0");
    let mut connect = Byway::start_by(&(there_with + &block), []);
    let (at, _) = connect.announced();
    let mut browser = TcpStream::connect(at).expect("connected");
    browser.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("asked");
    let mut page = String::new();
    browser.read_to_string(&mut page).expect("answered");
    assert!(page.ends_with("\r\n\r\nhello"), "{page}");
}
