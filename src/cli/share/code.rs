//! The code of a transfer, as in `7-crane-lamp-river`: a number, which the relay sees in the endpoint's name, and
//! words, which only the two ends know.

use std::fmt;
use std::str::FromStr;

use bip39::Language;
use byway::Endpoint;

/// Words of a code: 33 bits, of which a stranger has one guess.
const WORDS: usize = 3;

/// Numbers that are tried first, so that they are short to say.
const FEW: u32 = 100;

/// The greatest number; with as many transfers at once the shorter ones may all be taken.
const MOST: u32 = 999_999;

/// Most octets of a code that is typed: far more than the longest has.
const LONGEST: usize = 200;

/// Least letters of the words of a code that the user chose, without what stands between them.
const LEAST_CHOSEN: usize = 8;

/// The code of a transfer.
#[derive(Clone, PartialEq, Eq)]
pub struct Code {
    number: u32,
    words: String,
}

/// Shows the number alone: the words are secret.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Code").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What the user types at the other side.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.words)
    }
}

impl Code {
    /// A new code; after `taken` numbers that others had, the numbers are longer.
    pub fn random(taken: u32) -> Result<Self, getrandom::Error> {
        let range = if taken < 3 { FEW } else { MOST };
        // Of 2^32 values so few are beyond the last whole range that the difference is nothing.
        let number = 1 + getrandom::u32()? % range;
        let list = Language::English.word_list();
        let mut words = Vec::with_capacity(WORDS);
        for _ in 0..WORDS {
            words.push(list[getrandom::u32()? as usize % list.len()]);
        }
        Ok(Self { number, words: words.join("-") })
    }

    /// A code that the user chose for a new transfer.
    ///
    /// # Errors
    /// It is none, or so short that it is guessed soon.
    pub fn chosen(text: &str) -> Result<Self, String> {
        let code: Self = text.parse()?;
        let letters = code.words.chars().filter(|c| *c != '-').count();
        if letters < LEAST_CHOSEN {
            return Err(format!("its words have {letters} letters; take {LEAST_CHOSEN} or more"));
        }
        Ok(code)
    }

    /// What the relay sees of it.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where the sender listens. Nothing of the words is in it.
    pub fn endpoint(&self) -> Result<Endpoint, byway::Error> {
        Ok(format!("send-{}:1", self.number).parse::<Endpoint>()?)
    }

    /// What both ends have to know the same.
    pub fn password(&self) -> &[u8] {
        self.words.as_bytes()
    }
}

/// Whatever stands between the words, and however they are written: of a word of the list the first four letters
/// are enough.
impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |cause: &str| format!("{cause}; a code is as in 7-crane-lamp-river");
        if text.len() > LONGEST {
            return Err(wrong("it is too long"));
        }
        let lower = text.to_lowercase();
        let mut parts = lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
        let number = parts.next().ok_or_else(|| wrong("it is empty"))?;
        let number = number.parse().ok().filter(|number| (1..=MOST).contains(number));
        let number = number.ok_or_else(|| wrong("it does not begin with a number from 1"))?;
        let words: Vec<_> = parts.map(word).collect();
        if words.is_empty() {
            return Err(wrong("it has no words"));
        }
        Ok(Self { number, words: words.join("-") })
    }
}

/// The word of the list that begins so, if exactly one does; else the text itself.
fn word(text: &str) -> &str {
    let mut begun = Language::English.words_by_prefix_iter(text);
    begun.next().filter(|_| text.len() >= 4 && begun.next().is_none()).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn code_is_understood_as_people_type_it() {
        let code: Code = "7-crane-lamp-river".parse().unwrap();
        for text in [" 7 Crane lamp RIVER ", "7_crane.lamp--river", "7-cran-lamp-rive"] {
            assert_eq!(text.parse::<Code>().unwrap(), code, "{text}");
        }
        assert_eq!(code.to_string(), "7-crane-lamp-river");
        assert_eq!(code.endpoint().unwrap().to_string(), "send-7:1");
        for text in ["", "-", "crane-lamp", "0-crane", "7", "7-", "1000000-a", "99999999999-a"] {
            assert!(text.parse::<Code>().is_err(), "{text}");
        }
    }

    #[test]
    fn chosen_code_that_is_guessed_soon_is_refused() {
        assert!(Code::chosen("7-abc-def").is_err());
        assert!(Code::chosen("7-abcd-efgh").is_ok());
    }

    #[test]
    fn random_code_is_typed_back_and_its_words_are_not_shown_by_debug() {
        for taken in 0..50 {
            let code = Code::random(taken).unwrap();
            assert_eq!(code.to_string().parse::<Code>().unwrap(), code);
            assert!(!format!("{code:?}").contains(&code.words));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_an_error(text in ".*") {
            if let Ok(code) = text.parse::<Code>() {
                prop_assert_eq!(code.to_string().parse::<Code>(), Ok(code));
            }
        }
    }
}
