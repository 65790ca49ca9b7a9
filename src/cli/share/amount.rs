//! How much a receiver agrees to, and what its sender may still announce of that.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// So many files and folders, with so many octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub files: u64,
    pub folders: u64,
    pub octets: u64,
}

impl Amount {
    pub const FOLDER: Self = Self { files: 0, folders: 1, octets: 0 };

    /// A file of so many octets.
    pub fn file(octets: u64) -> Self {
        Self { files: 1, folders: 0, octets }
    }

    /// Both together; sparse files can say more octets than there are numbers for.
    pub fn and(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_add(other.files),
            folders: self.folders.saturating_add(other.folders),
            octets: self.octets.saturating_add(other.octets),
        }
    }

    /// What remains of this without the other, if that is within it.
    pub fn without(self, other: Self) -> Option<Self> {
        Some(Self {
            files: self.files.checked_sub(other.files)?,
            folders: self.folders.checked_sub(other.folders)?,
            octets: self.octets.checked_sub(other.octets)?,
        })
    }
}

/// Something that an offer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thing {
    Folder,
    File {
        size: u64,
    },
    /// A file that could not be read when the offer was made.
    Unreadable,
}

impl Thing {
    fn amount(self) -> Amount {
        match self {
            Self::Folder => Amount::FOLDER,
            Self::File { size } => Amount::file(size),
            Self::Unreadable => Amount::default(),
        }
    }
}

/// What a sender may still announce. What is as it was offered has its room, however much of what comes before it has
/// grown or is new.
#[derive(Debug, Default)]
pub struct Budget {
    left: Amount,
    /// What was offered and has not turned up yet, 40 octets each.
    due: HashMap<Key, Thing>,
    /// How much that is.
    kept: Amount,
}

/// A hash of a path: no two are alike in practice, and a path is longer.
type Key = [u8; 16];

fn key(path: &[u8], is_folder: bool) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(if is_folder { b"folder" } else { b"file  " }).update(path);
    let mut key = Key::default();
    hasher.finalize_xof().fill(&mut key);
    key
}

impl Budget {
    /// This is offered.
    pub fn offer(&mut self, path: &[u8], thing: Thing) {
        self.left = self.left.and(thing.amount());
        self.kept = self.kept.and(thing.amount());
        let before = self.due.insert(key(path, thing == Thing::Folder), thing);
        self.release(before);
    }

    /// Whether something, as it is when its turn comes, may be announced.
    pub fn take(&mut self, path: &[u8], thing: Thing) -> bool {
        let offered = self.due.remove(&key(path, thing == Thing::Folder));
        self.release(offered);
        match self.left.without(thing.amount()) {
            Some(left) if left.without(self.kept).is_some() => {
                self.left = left;
                true
            }
            Some(_) | None => false,
        }
    }

    /// How many of the files that were offered have not turned up.
    pub fn gone(&self) -> u64 {
        self.due.values().filter(|thing| **thing != Thing::Folder).count() as u64
    }

    fn release(&mut self, thing: Option<Thing>) {
        let amount = thing.map(Thing::amount).unwrap_or_default();
        // Only where the octets were too many to be counted there are fewer than these.
        self.kept = self.kept.without(amount).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64) -> Thing {
        Thing::File { size }
    }

    #[test]
    fn file_that_grew_takes_no_room_of_one_that_did_not() {
        let mut budget = Budget::default();
        budget.offer(b"a", file(5));
        budget.offer(b"b", file(5));
        assert!(!budget.take(b"a", file(8)));
        assert!(budget.take(b"b", file(5)));
        assert_eq!(budget.gone(), 0);
    }

    #[test]
    fn file_that_grew_takes_the_room_that_others_left() {
        let mut budget = Budget::default();
        for path in [b"a", b"b", b"c"] {
            budget.offer(path, file(5));
        }
        assert!(budget.take(b"a", file(2)));
        assert!(!budget.take(b"b", file(9)));
        assert!(budget.take(b"c", file(13)), "what a and b left, and its own");
    }

    #[test]
    fn new_file_or_folder_takes_no_place_of_one_that_was_offered() {
        let mut budget = Budget::default();
        budget.offer(b"a", Thing::Folder);
        budget.offer(b"a/b", file(0));
        assert!(budget.take(b"a", Thing::Folder));
        assert!(!budget.take(b"a/new", file(0)));
        assert!(!budget.take(b"a/folder", Thing::Folder));
        assert!(budget.take(b"a/b", file(0)));
        assert!(!budget.take(b"a/b", file(0)), "one place for one file");
    }

    #[test]
    fn files_that_do_not_turn_up_are_gone_readable_or_not() {
        let mut budget = Budget::default();
        budget.offer(b"a", Thing::Unreadable);
        budget.offer(b"b", file(1));
        budget.offer(b"c", Thing::Folder);
        assert_eq!(budget.gone(), 2);
        assert!(budget.take(b"b", Thing::Unreadable));
        assert!(budget.take(b"a", file(1)), "the room of b, which is not needed");
        assert_eq!(budget.gone(), 0);
    }

    #[test]
    fn octets_beyond_all_numbers_leave_no_file_out() {
        let mut budget = Budget::default();
        for path in [b"a", b"b", b"c"] {
            budget.offer(path, file(u64::MAX));
        }
        assert!(budget.take(b"a", file(u64::MAX)));
    }
}
