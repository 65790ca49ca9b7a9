//! Names of files that another machine said: which of them stay in the folder, and how they are shown.

use std::fmt::{self, Display};

/// Most octets of a part of a path, as Linux and most of its file systems have it.
const LONGEST_PART: usize = 255;

/// Most octets of a path, as Linux has it.
pub const LONGEST: usize = 4096;

/// Most folders within each other: each takes a file descriptor of the sender.
pub const DEEPEST: usize = 100;

/// The end of the names of hidden parts.
pub const PART: &[u8] = b".byway-part";

/// Whether an item may not have this name, since the hidden part of another may.
pub fn is_reserved(name: &[u8]) -> bool {
    // Small letters and capitals are one on some file systems.
    let end = name.len().checked_sub(PART.len()).map(|at| &name[at..]);
    end.is_some_and(|end| end.eq_ignore_ascii_case(PART))
}

/// The parts of a path, each of which names something in the folder of the part before; `None` if a part
/// could lead elsewhere, or the path is too long or too deep. Names are octets, as on Unix.
pub fn parts(path: &[u8]) -> Option<Vec<&[u8]>> {
    let parts: Vec<_> = path.split(|octet| *octet == b'/').collect();
    let fits = path.len() <= LONGEST && parts.len() <= DEEPEST;
    (fits && parts.iter().all(|part| is_name(part))).then_some(parts)
}

/// Whether this names something in a folder, and neither the folder itself nor anything elsewhere.
pub fn is_name(part: &[u8]) -> bool {
    let is_elsewhere = matches!(part, b"" | b"." | b"..");
    !is_elsewhere && part.len() <= LONGEST_PART && !part.contains(&b'/') && !part.contains(&0)
}

/// The first octets of a name, at most so many, without a piece of a character.
pub fn beginning(name: &[u8], most: usize) -> &[u8] {
    if name.len() <= most {
        return name;
    }
    let is_within = |at: &usize| name[*at] & 0b1100_0000 == 0b1000_0000;
    // A character has four octets at most; what has more such octets in a row is no text.
    let end = (most.saturating_sub(3)..=most).rev().find(|at| !is_within(at)).unwrap_or(most);
    &name[..end]
}

/// A name for people: control characters, and characters that change how others are shown, are escaped.
pub struct Shown<'a>(pub &'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                        write!(f, "{}", c.escape_unicode())?;
                    }
                    c if c.is_control() => write!(f, "{}", c.escape_default())?,
                    c => write!(f, "{c}")?,
                }
            }
            for octet in chunk.invalid() {
                write!(f, "\\x{octet:02x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Component, Path};

    proptest! {
        #[test]
        fn path_leaves_no_folder(path in prop::collection::vec(prop::sample::select(&b"/..ab\0\\\xff"[..]), 0..30)) {
            if let Some(parts) = parts(&path) {
                prop_assert!(!parts.is_empty());
                let path = Path::new(std::ffi::OsStr::from_bytes(&path));
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(path.components().count(), parts.len());
            }
        }

        #[test]
        fn name_is_shown_without_control_characters(name in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(!Shown(&name).to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn beginning_of_a_name_ends_with_a_whole_character() {
        for (name, most, first) in [
            ("abc", 3, "abc"),
            ("abc", 2, "ab"),
            ("aä", 2, "a"),
            ("aäb", 3, "aä"),
            ("😀😀", 7, "😀"),
        ] {
            assert_eq!(beginning(name.as_bytes(), most), first.as_bytes(), "{name} {most}");
        }
        assert_eq!(beginning(&[0x80; 9], 5), [0x80; 5], "no text");
    }

    #[test]
    fn name_of_a_hidden_part_is_reserved() {
        assert!(is_reserved(b".a.01234567.byway-part") && is_reserved(b".BYWAY-Part"));
        assert!(!is_reserved(b"byway-part") && !is_reserved(b".byway-part.1"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let long = [b'a'; 256];
        let deep = b"a/".repeat(DEEPEST);
        for path in [
            b"" as &[u8],
            b"/",
            b"/a",
            b"a/",
            b"a//b",
            b".",
            b"..",
            b"a/../b",
            b"a/.",
            b"a\0",
            &long,
            &deep,
        ] {
            assert!(parts(path).is_none(), "{}", Shown(path));
        }
        assert_eq!(parts(b"a/...b"), Some(vec![&b"a"[..], b"...b"]));
        assert_eq!(parts(b"\xff\\"), Some(vec![&b"\xff\\"[..]]));
    }
}
