//! What the lines of a trace say, and how they are chained.

use serde::{Deserialize, Serialize};

use crate::{
    decide::{Choice, Label},
    rung::Rung,
    seen::{Bound, Violation},
};

/// The format's version: rises when a line changes its meaning.
pub const VERSION: u32 = 1;

/// A trace's first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// See [`VERSION`].
    pub version: u32,
    /// `theme/name`.
    pub scenario: String,
    /// BLAKE3 of the scenario as it was read: a changed scenario is another one.
    pub scenario_hash: String,
    /// The seed, if the run came from one.
    pub seed: Option<u64>,
    /// Which rung.
    pub rung: Rung,
    /// Hash of the contract artifacts.
    pub artifacts: String,
    /// Whether it holds more than decisions and digests.
    pub full: bool,
}

/// A trace's last line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    /// Engine steps.
    pub steps: u64,
    /// Simulated time in microseconds.
    pub micros: u64,
    /// All state digests, folded.
    pub digest: String,
    /// What must not have been.
    pub violations: Vec<Violation>,
    /// Probes that were hit.
    pub probes: Vec<(String, u64)>,
    /// Bounds with what was observed.
    pub bounds: Vec<Bound>,
    /// Who holds what at the end.
    pub ledger: Vec<(String, String)>,
}

/// A line, as a reader needs it: what it does not need it does not look into.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// The first line.
    Head(Head),
    /// Choices, in order: a letter for the label, the value in base 36, a space.
    Choices(String),
    /// Something that happened; only compared.
    Seen(serde::de::IgnoredAny),
    /// Digests so far, folded: after how many steps, and the hash.
    Digest(serde::de::IgnoredAny),
    /// The last line.
    Tail(Tail),
}

/// Choices as text: short, and readable enough to shrink by hand.
pub fn choices_to_text(choices: &[Choice], out: &mut String) {
    for choice in choices {
        out.push(letter(choice.label));
        base36(choice.value, out);
        out.push(' ');
    }
}

/// Choices from text; `None` where it is none.
pub fn choices_from_text(text: &str) -> Option<Vec<Choice>> {
    text.split_ascii_whitespace()
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next()?;
            let label = Label::ALL.iter().copied().find(|label| letter(*label) == first)?;
            let value = u64::from_str_radix(letters.as_str(), 36).ok()?;
            Some(Choice { label, value })
        })
        .collect()
}

fn letter(label: Label) -> char {
    char::from(b'A' + label as u8)
}

fn base36(mut value: u64, out: &mut String) {
    let mut digits = [0; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(value % 36) as usize];
        value /= 36;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().copied().map(char::from));
}

/// The chain of hashes over a trace's lines.
#[derive(Clone, Debug)]
pub struct Chained {
    last: [u8; 32],
}

/// What stands before a line's hash, between hash and body, and after the body.
const FRAME: [&str; 3] = ["{\"h\":\"", "\",\"e\":", "}"];
/// Hex digits of a line's hash.
const HASH_DIGITS: usize = 16;
/// Where a line's body begins.
pub const BODY_AT: usize = FRAME[0].len() + HASH_DIGITS + FRAME[1].len();

impl Chained {
    /// Before the first line.
    pub fn new() -> Self {
        Self { last: blake3::derive_key("decdn-sim 2026 trace", b"") }
    }

    fn hash(&mut self, body: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.last);
        hasher.update(body.as_bytes());
        let hash = hasher.finalize();
        self.last = *hash.as_bytes();
        hash.to_hex()[..HASH_DIGITS].to_owned()
    }

    /// A line with its hash, and the line feed.
    pub fn wrap(&mut self, body: &str) -> String {
        let hash = self.hash(body);
        format!("{}{hash}{}{body}{}\n", FRAME[0], FRAME[1], FRAME[2])
    }

    /// A line's body, if its hash is the right one here.
    pub fn unwrap<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let rest = line.strip_prefix(FRAME[0])?;
        let (hash, rest) = rest.split_at_checked(HASH_DIGITS)?;
        let body = rest.strip_prefix(FRAME[1])?.strip_suffix(FRAME[2])?;
        (self.hash(body) == hash).then_some(body)
    }
}

impl Default for Chained {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_survive_text() {
        let choices: Vec<Choice> = Label::ALL
            .iter()
            .flat_map(|&label| [0, 35, 36, u64::MAX].map(|value| Choice { label, value }))
            .collect();
        let mut text = String::new();
        choices_to_text(&choices, &mut text);
        assert_eq!(choices_from_text(&text), Some(choices));
        assert_eq!(choices_from_text("zz"), None);
        assert_eq!(choices_from_text("A"), None);
    }

    #[test]
    fn a_line_out_of_place_has_the_wrong_hash() {
        let mut chained = Chained::new();
        let lines = [chained.wrap("1"), chained.wrap("2")];
        let mut reading = Chained::new();
        assert_eq!(reading.clone().unwrap(lines[1].trim_end()), None);
        assert_eq!(reading.unwrap(lines[0].trim_end()), Some("1"));
        assert_eq!(reading.unwrap(lines[1].trim_end()), Some("2"));
    }
}
