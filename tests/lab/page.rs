//! The table in `tests/README.md`.

use std::fs;
use std::process::Command;

use crate::parts::{self, Proxy};
use crate::report::{HEAD, Verdict};
use crate::{Result, parts::PATH};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/README.md");

/// The table's head of what the doctor says.
const DOCTOR: [&str; 6] =
    ["in the way", "check", "verdict", "seen", "what byway does by itself", "remedy"];

/// Replaces the table by these rows, if there are any, and that of what the doctor says in each cell, with date and
/// versions.
pub fn write(
    what: &str,
    rows: Option<&[[String; 9]]>,
    obstacles: &[(String, Vec<Verdict>)],
) -> Result<()> {
    let mut page = fs::read_to_string(PAGE)?;
    if let Some(rows) = rows {
        page = replaced(&page, "the lab", what, &HEAD, rows.iter().map(|row| row.to_vec()))?;
    }
    if !obstacles.is_empty() {
        let rows = obstacles.iter().flat_map(|(name, found)| {
            found.iter().map(|verdict| {
                let Verdict { check, verdict, seen, byway, remedy } = verdict.clone();
                let name = name.trim_start_matches("doctor/").to_owned();
                vec![name, check, verdict, seen, byway, remedy]
            })
        });
        page = replaced(&page, "the lab of doctor", what, &DOCTOR, rows)?;
    }
    fs::write(PAGE, page)?;
    Ok(())
}

/// The page with another table between the marks of this writer.
fn replaced(
    page: &str,
    writer: &str,
    what: &str,
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<String> {
    let [begin, end] =
        ["begin", "end"].map(|mark| format!("<!-- written by {writer}: {mark} -->\n"));
    let (before, rest) = page.split_once(&begin).ok_or("a begin mark is missing")?;
    let (_, after) = rest.split_once(&end).ok_or("an end mark is missing")?;
    let mut table = format!("{}; {what}\n\n", versions()?);
    let mut add = |row: &[String]| table.push_str(&format!("| {} |\n", row.join(" | ")));
    add(&head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    add(&vec!["---".to_owned(); head.len()]);
    for row in rows {
        add(&row.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>());
    }
    Ok(format!("{before}{begin}{table}{end}{after}"))
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
