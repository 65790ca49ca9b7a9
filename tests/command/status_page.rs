//! The status page in a real browser, which Debian's package chromium has.

use std::process::Command;

use crate::bus::Bus;
use crate::metrics::{Watch, relay, relay_with};
use crate::process::{Byway, Relay, not_run};

/// Where the pictures of the page go.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tests");

/// Lets the page read the metrics some times, by a clock that goes faster than ours, and gives what `what` asks for.
fn browse(url: &str, what: &str, more: &[&str]) -> String {
    let profile = tempfile::tempdir().expect("a directory");
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--virtual-time-budget=20000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(more)
        .args([what, url])
        .output()
        .expect("chromium");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether there is a browser. If not, that is said.
fn has_chromium(what: &str) -> bool {
    let has = Command::new("chromium").arg("--version").output().is_ok();
    if !has {
        not_run(&format!("{what}: there is no chromium (Debian's package)"));
    }
    has
}

#[test]
fn status_page_is_shown_to_bearers_of_the_token() {
    if !has_chromium("the status page with a token") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, "a-token-that-nobody-guesses\n").expect("written");
    let path = file.to_str().expect("UTF-8");
    let args =
        ["relay", "--listen", "127.0.0.1:0", "--metrics", "0.0.0.0:0", "--metrics-token", path];
    let mut relay = Relay::of(Byway::start(args));
    let watch = Watch::of(&relay.told("metrics at").replace("0.0.0.0", "127.0.0.1"));
    let with_token = watch.url().replace("http://", "http://me:a-token-that-nobody-guesses@");
    let page = browse(&with_token, "--dump-dom", &[]);
    assert!(page.contains(">relay ready</span>"), "{page}");
    let page = browse(&watch.url(), "--dump-dom", &[]);
    assert!(!page.contains("relay"), "{page}");
}

#[test]
fn status_page_shows_what_the_metrics_tell_on_screens_of_each_kind() {
    if !has_chromium("the status page in a browser") {
        return;
    }
    let (relay, watch) = relay();
    let mut listens = ["one:1", "two:1"]
        .map(|name| Byway::start(["listen", name, "--exec", "cat", "--relay", &relay.url]));
    listens.iter_mut().for_each(|listen| listen.wait_told("listening on"));
    watch.wait("byway_relay_parked", |parked| parked == 2.0);
    let page = browse(&watch.url(), "--dump-dom", &[]);
    for shown in [
        ">relay ready</span>",
        "version 0.1.0",
        ">Clients here</h2>",
        ">2<small>",
        "nothing so far",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    // The line of a chart has points, which the script drew: no policy forbade it.
    assert!(page.contains("class=\"line\" d=\"M"), "{page}");
    picture(&watch, "status");
}

/// Takes pictures of a page on screens of each kind.
fn picture(watch: &Watch, name: &str) {
    std::fs::create_dir_all(PICTURES).expect("a directory");
    for (screen, size, dark) in [
        ("desktop-light", "1280,800", false),
        ("desktop-dark", "1280,800", true),
        ("phone-light", "390,1600", false),
        ("phone-dark", "390,1600", true),
    ] {
        let path = format!("{PICTURES}/{name}-{screen}.png");
        let _ = std::fs::remove_file(&path);
        let mut more = vec![format!("--window-size={size}")];
        if dark {
            more.push("--blink-settings=preferredColorScheme=0".into());
        }
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        browse(&watch.url(), &format!("--screenshot={path}"), &more);
        let size = std::fs::metadata(&path).map_or(0, |file| file.len());
        assert!(size > 10_000, "{path} has {size} octets");
    }
}

#[test]
fn status_page_shows_the_part_in_a_cluster_if_there_is_one() {
    if !has_chromium("the status page of a cluster in a browser") {
        return;
    }
    let (_alone, watch) = relay();
    let page = browse(&watch.url(), "--dump-dom", &[]);
    assert!(!page.contains("its part</td>"), "{page}");
    let (_cut_off, watch) = relay_with(&["--cluster", "nats://127.0.0.1:1"]);
    let page = browse(&watch.url(), "--dump-dom", &[]);
    assert!(page.contains("relay not ready: no relay of the cluster is in charge"), "{page}");
    assert!(page.contains("waits: no relay is known to have the router"), "{page}");
    let Some(bus) = Bus::start("the status page of a cluster") else { return };
    let [(_holder, holds), (follower, carries)] = bus.relays();
    let mut listen = Byway::start(["listen", "one:1", "--exec", "cat", "--relay", &follower.url]);
    listen.wait_told("listening on");
    carries.wait("byway_relay_cluster_pipes", |pipes| pipes == 1.0);
    let page = browse(&holds.url(), "--dump-dom", &[]);
    for shown in [">has the router</td>", "requests from others</td><td>1</td>"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let page = browse(&carries.url(), "--dump-dom", &[]);
    for shown in [">relay ready</span>", ">carries to ", "requests carried</td><td>1</td>"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    picture(&holds, "cluster");
}
