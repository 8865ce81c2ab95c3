//! What the lines of a trace say, and how they are chained.

use decdn_recording::Chained;
use serde::{Deserialize, Serialize};

use crate::{
    decide::{Choice, Label},
    report::{Bound, Violation},
    rung::Rung,
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
    /// What was set beside the file, as `KEY=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
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
pub fn chained() -> Chained {
    Chained::new("decdn-sim 2026 trace")
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
}
