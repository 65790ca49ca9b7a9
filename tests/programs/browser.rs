//! Chromium, for which byway is a SOCKS server: a page of many scripts.

use std::fs;

use crate::pattern::Pattern;
use crate::stage::Stage;
use crate::table::Figure;
use crate::{Result, Size, web};

const PORT: u16 = 8001;
/// The octets that a script has, each as two digits; the browser fetches several scripts at once.
const OCTETS: usize = 512 << 10;
/// Where the picture of the page goes.
const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tests");

pub fn run(stage: &mut Stage, size: Size) -> Result<Vec<Figure>> {
    let count: usize = size.pick(16, 64);
    let root = stage.path("root");
    fs::create_dir(&root)?;
    for n in 0..count {
        fs::write(root.join(format!("{n}.js")), script(n))?;
    }
    fs::write(root.join("index.html"), page(count))?;
    web::serve(stage, PORT)?;
    let site = stage.socks(PORT)?;

    let chromium = |stage: &Stage, what: &str| {
        let mut command = stage.on_phone("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--disable-background-networking"]);
        command.arg("--user-data-dir=profile").arg(what);
        command.args(site.proxy.iter().map(|proxy| format!("--proxy-server={proxy}")));
        command.arg(format!("{}/", site.url));
        command
    };
    let octets = (count * OCTETS * 2) as u64;
    let done = stage.carry(&mut chromium(stage, "--dump-dom"), octets / 2)?;
    let says = format!("<p id=\"result\">{octets} digits of {count} scripts</p>");
    if !done.text.contains(&says) {
        return Err(format!("no {says} in {}", done.text).into());
    }
    fs::create_dir_all(PICTURES)?;
    let picture = format!("--screenshot={PICTURES}/programs-chromium.png");
    stage.run(&mut chromium(stage, &picture))?;
    Ok(vec![Figure::rate("a page of scripts, with the start", octets, done.seconds)])
}

/// A page whose text says in the end what the scripts brought. The browser prints it when all are there.
fn page(count: usize) -> String {
    let scripts: Vec<_> = (0..count).map(|n| format!("<script src=\"{n}.js\"></script>")).collect();
    format!(
        "<!DOCTYPE html>
<title>byway</title>
<h1>A page by way of a relay</h1>
<p id=\"result\">nothing</p>
<script>
let digits = 0, scripts = 0;
function bring(text) {{
  digits += text.length;
  scripts += 1;
  document.getElementById('result').textContent = `${{digits}} digits of ${{scripts}} scripts`;
}}
</script>
{}
",
        scripts.join("\n")
    )
}

/// A script that brings digits, which hardly compress.
fn script(n: usize) -> String {
    let mut octets = vec![0; OCTETS];
    Pattern::new(n as u64, 0, 0).fill(0, &mut octets);
    let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("bring('{digits}');\n")
}
