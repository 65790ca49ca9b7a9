//! The table in `tests/README.md`.

use std::fs;
use std::process::Command;

use crate::parts::{self, Proxy};
use crate::report::HEAD;
use crate::{Result, parts::PATH};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/README.md");
/// The marks between which the lab writes.
const BEGIN: &str = "<!-- written by the lab: begin -->\n";
const END: &str = "<!-- written by the lab: end -->\n";

/// Replaces the table by these rows, with date and versions.
pub fn write(rows: &[[String; 9]], full: bool) -> Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).ok_or("its begin mark is missing")?;
    let (_, after) = rest.split_once(END).ok_or("its end mark is missing")?;
    let what = if full { "all cells" } else { "one cell of each kind" };
    let mut table = format!("{}; {what}\n\n", versions()?);
    let mut add = |row: &[&str]| table.push_str(&format!("| {} |\n", row.join(" | ")));
    add(&HEAD);
    add(&["---"; HEAD.len()]);
    for row in rows {
        add(&row.each_ref().map(String::as_str));
    }
    fs::write(PAGE, format!("{before}{BEGIN}{table}{END}{after}"))?;
    Ok(())
}

fn versions() -> Result<String> {
    let date = said("date", "-I")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut text =
        format!("{}: byway {}, Linux {}", date.trim(), env!("CARGO_PKG_VERSION"), kernel.trim());
    for proxy in [Proxy::Squid, Proxy::Tinyproxy, Proxy::Nginx, Proxy::Haproxy, Proxy::Varnish] {
        let (program, option) = proxy.program();
        if parts::is_there(program) {
            let said = said(program, option)?;
            let version = said
                .split(|c: char| c.is_whitespace() || "/-~+,()".contains(c))
                .find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
            text.push_str(&format!(", {} {}", proxy.name(), version.unwrap_or("?")));
        }
    }
    Ok(text)
}

/// The output of a program, on stdout and stderr.
fn said(program: &str, option: &str) -> Result<String> {
    let output = Command::new(program).arg(option).env("PATH", PATH).output()?;
    let both = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&both).into_owned())
}
