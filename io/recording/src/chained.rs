//! The chain of hashes over the lines of a text.

/// What stands before a line's hash, between hash and body, and after the body.
const FRAME: [&str; 3] = ["{\"h\":\"", "\",\"e\":", "}"];
/// Hex digits of a line's hash.
const HASH_DIGITS: usize = 16;
/// Where a line's body begins.
pub const BODY_AT: usize = FRAME[0].len() + HASH_DIGITS + FRAME[1].len();

/// Puts a hash over itself and everything before into each line, and checks it.
#[derive(Clone, Debug)]
pub struct Chained {
    last: [u8; 32],
}

impl Chained {
    /// Before the first line of a text of this kind.
    pub fn new(kind: &'static str) -> Self {
        Self { last: blake3::derive_key(kind, b"") }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_out_of_place_has_the_wrong_hash() {
        let mut chained = Chained::new("decdn test");
        let lines = [chained.wrap("1"), chained.wrap("2")];
        let mut reading = Chained::new("decdn test");
        assert_eq!(reading.clone().unwrap(lines[1].trim_end()), None);
        assert_eq!(reading.unwrap(lines[0].trim_end()), Some("1"));
        assert_eq!(reading.unwrap(lines[1].trim_end()), Some("2"));
        assert_eq!(Chained::new("decdn other").unwrap(lines[0].trim_end()), None);
    }
}
