//! The table in `tests/README.md`.

use std::fs;

use crate::Result;
use crate::table::Table;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/README.md");
/// The marks between which the programs' table is written.
const BEGIN: &str = "<!-- written by the programs: begin -->\n";
const END: &str = "<!-- written by the programs: end -->";

/// Replaces the table by this one.
pub fn write(table: &Table) -> Result<()> {
    let page = fs::read_to_string(PAGE)?;
    let (before, rest) = page.split_once(BEGIN).ok_or("its begin mark is missing")?;
    let (_, after) = rest.split_once(END).ok_or("its end mark is missing")?;
    let mut text = String::new();
    for (n, row) in table.rows().iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if n == 0 {
            text.push_str(&format!("{}|\n", "| --- ".repeat(row.len())));
        }
    }
    Ok(fs::write(PAGE, format!("{before}{BEGIN}{text}{END}{after}"))?)
}
