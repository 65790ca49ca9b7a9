//! Files to be carried, and whether they arrived.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::pattern::Pattern;

/// Writes a file of content that does not compress, and differs with `seed`.
pub fn write(path: &Path, seed: u64, octets: usize) -> Result<()> {
    let mut content = vec![0; octets];
    Pattern::new(seed, 0, 0).fill(0, &mut content);
    Ok(fs::write(path, content)?)
}

/// Fails unless two files have the same content.
pub fn compare(one: &Path, other: &Path) -> Result<()> {
    if fs::read(one)? == fs::read(other)? {
        return Ok(());
    }
    Err(format!("{} and {} differ", one.display(), other.display()).into())
}
