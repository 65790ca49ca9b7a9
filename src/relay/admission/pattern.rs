//! Patterns of endpoints. They are looked at for each connection that is begun, under the router's lock: without
//! an allocation, and in a time that grows with their length.

use crate::wire::Endpoint;

/// What stands for the subject of a JWT in a pattern.
const SUBJECT: &str = "{sub}";

/// A pattern of endpoints: a name and a port, in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamePattern {
    name: Vec<Part>,
    port: Vec<Part>,
}

/// A piece of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Octet(u8),
    /// Any octets, or none.
    Any,
    /// All octets of the subject. These stand for themselves, whatever they are.
    Subject,
}

/// A place in a pattern.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    part: usize,
    /// Octets of the subject before it.
    within: usize,
}

/// What stands at a place of a pattern.
enum Symbol {
    Octet(u8),
    Any,
}

impl NamePattern {
    pub fn parse(text: &str, has_subject: bool) -> Result<Self, String> {
        let (name, port) = text.split_once(':').unwrap_or((text, "*"));
        let plain = if has_subject { name.replace(SUBJECT, "") } else { name.to_owned() };
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*');
        let in_port = |c: char| c.is_ascii_digit() || c == '*';
        if name.is_empty() || !plain.chars().all(in_name) {
            let place = if has_subject { ", and {sub} for a token's subject" } else { "" };
            return Err(format!(
                "the pattern {text:?} is none: a name of A-Z a-z 0-9 . _ - and * for any text{place}, then : and a port or *"
            ));
        }
        if port.is_empty() || !port.chars().all(in_port) {
            return Err(format!("the pattern {text:?} is none: its port is a number or *"));
        }
        let mut parts = Vec::new();
        for (n, between) in name.split(SUBJECT).enumerate() {
            if n > 0 {
                parts.push(Part::Subject);
            }
            parts.extend(between.bytes().map(Part::of));
        }
        Ok(Self { name: parts, port: port.bytes().map(Part::of).collect() })
    }

    /// Whether the endpoint is one of the pattern's, for a token of this subject.
    pub fn fits(&self, endpoint: &Endpoint, subject: &str) -> bool {
        let mut digits = [0; 5];
        matches(&self.name, subject.as_bytes(), endpoint.name.as_bytes())
            && matches(&self.port, b"", decimal(endpoint.port, &mut digits))
    }
}

impl Part {
    fn of(octet: u8) -> Self {
        if octet == b'*' { Self::Any } else { Self::Octet(octet) }
    }
}

/// Writes a port as text.
fn decimal(mut port: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (port % 10) as u8;
        port /= 10;
        if port == 0 {
            return &digits[at..];
        }
    }
}

/// What stands at a place, and the place behind it; `None` at the end.
fn symbol(pattern: &[Part], subject: &[u8], mut at: Place) -> Option<(Symbol, Place)> {
    loop {
        let behind = Place { part: at.part + 1, within: 0 };
        match *pattern.get(at.part)? {
            Part::Any => return Some((Symbol::Any, behind)),
            Part::Octet(octet) => return Some((Symbol::Octet(octet), behind)),
            Part::Subject => match subject.get(at.within) {
                Some(octet) => {
                    return Some((Symbol::Octet(*octet), Place { within: at.within + 1, ..at }));
                }
                None => at = behind,
            },
        }
    }
}

/// Whether the text is one of the pattern's: goes back to the last `*` only, so that no pattern takes long.
fn matches(pattern: &[Part], subject: &[u8], text: &[u8]) -> bool {
    let (mut at, mut t) = (Place::default(), 0);
    let mut back = None;
    while t < text.len() {
        match symbol(pattern, subject, at) {
            Some((Symbol::Any, behind)) => {
                back = Some((behind, t));
                at = behind;
            }
            Some((Symbol::Octet(octet), behind)) if octet == text[t] => {
                at = behind;
                t += 1;
            }
            Some((Symbol::Octet(_), _)) | None => {
                let Some((star, from)) = back else { return false };
                back = Some((star, from + 1));
                at = star;
                t = from + 1;
            }
        }
    }
    while let Some((Symbol::Any, behind)) = symbol(pattern, subject, at) {
        at = behind;
    }
    symbol(pattern, subject, at).is_none()
}
