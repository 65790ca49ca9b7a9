//! The SOCKS server: a file by curl, and a page that Chromium shows.

use std::fs;
use std::path::Path;

use crate::files;
use crate::stage::{Stage, Way};
use crate::table::Figure;
use crate::{Result, Size, web};

const PORT: u16 = 8000;
/// Where the SOCKS server is on the phone.
const SOCKS: &str = "127.0.0.1:1080";

/// A large file by curl.
pub fn curl(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let octets: usize = size.pick(64 << 20, 256 << 20);
    let root = web::serve(stage, PORT)?;
    files::write(&root.join("large"), 2, octets)?;
    let host = stage.socks_server(SOCKS, PORT)?;
    let mut curl = stage.on_phone("curl");
    if stage.way() != Way::Direct {
        curl.args(["--socks5-hostname", SOCKS]);
    }
    curl.args(["-sS", "--fail", "-o", "fetched", &format!("http://{host}:{PORT}/large")]);
    let done = stage.carry(&mut curl, octets as u64 / 2)?;
    files::compare(&root.join("large"), &stage.path("fetched"))?;
    Ok(vec![Figure::rate("a large file by SOCKS", octets as u64, done.seconds)])
}

/// A page with a script that fetches a large file, and writes how it went into the page.
pub fn chromium(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let octets: usize = size.pick(16 << 20, 64 << 20);
    let root = web::serve(stage, PORT)?;
    files::write(&root.join("large"), 3, octets)?;
    fs::write(root.join("page.html"), PAGE)?;
    let host = stage.socks_server(SOCKS, PORT)?;
    let url = format!("http://{host}:{PORT}/page.html");
    let mut browser = stage.on_phone("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    browser.args(["--no-first-run", "--disable-background-networking", "--dump-dom"]);
    // The page is looked at once its load is over, for which the file is waited.
    browser.arg("--timeout=60000");
    browser.arg("--window-size=800,400").arg(format!("--user-data-dir={}", profile(stage)));
    let mut shot = stage.on_phone("chromium");
    shot.args(browser.get_args().filter(|arg| *arg != "--dump-dom"));
    if stage.way() != Way::Direct {
        let server = format!("--proxy-server=socks5://{SOCKS}");
        // Chromium goes to names of one word by itself.
        browser.arg(&server).arg("--proxy-bypass-list=<-loopback>");
        shot.arg(&server).arg("--proxy-bypass-list=<-loopback>");
    }
    let done = stage.carry(browser.arg(&url), octets as u64 / 2)?;
    let expected = format!("fetched {octets} octets");
    if !done.text.contains(&expected) {
        return Err(format!("the page does not say {expected:?}: {}", done.text).into());
    }
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chromium.png");
    stage.run(shot.arg(format!("--screenshot={}", picture.display())).arg(&url))?;
    if !fs::read(&picture)?.starts_with(b"\x89PNG") {
        return Err("the screenshot is no picture".into());
    }
    println!("    screenshot: {}", picture.display());
    Ok(vec![Figure::rate("a page and its file", octets as u64, done.seconds)])
}

/// The script holds the page's load until the file is there.
const PAGE: &str = "<!doctype html><title>byway</title><body style='font: 24px sans-serif'>
<h1>A page through byway</h1><p id=how>fetching</p><script>
const request = new XMLHttpRequest();
request.open('GET', 'large', false);
request.overrideMimeType('text/plain; charset=x-user-defined');
request.send();
document.getElementById('how').textContent =
  request.status === 200 ? `fetched ${request.responseText.length} octets` : `status ${request.status}`;
</script>
";

fn profile(stage: &Stage) -> String {
    stage.path("chromium").display().to_string()
}
