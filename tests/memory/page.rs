//! The tables of `memory-budget.md`.

use std::collections::HashMap;

/// The table whose first column is headed `name`: rows by their first cell, cells by column.
pub fn table(name: &str) -> HashMap<String, HashMap<String, String>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/memory-budget.md");
    let page = std::fs::read_to_string(path).expect("memory-budget.md");
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with(&format!("| {name} |")));
    let head = cells(lines.next().unwrap_or_else(|| panic!("no table of {name} on the page")));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    rows.map(|row| (row[0].clone(), head.iter().cloned().zip(row).collect())).collect()
}

/// The number in a cell: digits with commas between thousands, then perhaps a unit.
pub fn number(row: &HashMap<String, String>, column: &str) -> u64 {
    let cell = row.get(column).unwrap_or_else(|| panic!("no column {column} on the page"));
    let digits: String = cell.split(' ').next().unwrap_or_default().replace(',', "");
    digits.parse().unwrap_or_else(|_| panic!("{column}: {cell} is no number"))
}
