//! Bounds as formulas over a run's symbols: whole numbers, `+ - * / ( )`, `max(a, b)`, `min(a, b)`. A quotient is
//! rounded up and a difference is at least zero, so that a limit errs on the side that it names.

use crate::names::{names, unknown};

names! {
    /// What formulas may name.
    Symbol, "symbol" {
        /// The highest rate of a node, base units per MB.
        Rate = "R",
        /// The largest agreed cadence in bytes: a node's offer.
        Cadence = "C",
        /// The dispute window in seconds.
        Window = "W",
        /// The forced-inclusion delay in seconds.
        Forced = "F",
        /// Bytes in the MB of a rate.
        Megabyte = "MB",
        /// Bytes in a chunk group.
        Group = "GROUP",
        /// The largest deposit.
        Deposit = "D",
        /// Bytes of all downloads together, widened to whole groups.
        Bytes = "B",
        /// Downloads.
        Downloads = "N",
        /// The longest round trip in microseconds.
        RoundTrip = "RTT",
        /// The narrowest link in bytes per second, 0 without one.
        Bandwidth = "BW",
        /// The longest ordinary durable write in microseconds.
        Disk = "DISK",
        /// The longest signature in microseconds.
        Signer = "SIGN",
        /// Channels between the coalition and honest parties: known at the end of a run, so only `profit` may name it (O14).
        Mixed = "K",
    }
}

/// What the symbols of a run stand for, as far as they are known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Symbols([Option<u128>; Symbol::ALL.len()]);

impl Symbols {
    /// A symbol stands for this.
    pub fn set(&mut self, symbol: Symbol, value: u128) {
        self.0[symbol as usize] = Some(value);
    }

    /// What it stands for.
    pub fn get(&self, symbol: Symbol) -> Option<u128> {
        self.0[symbol as usize]
    }

    fn known(&self) -> impl Iterator<Item = Symbol> {
        Symbol::ALL.iter().copied().filter(|symbol| self.get(*symbol).is_some())
    }
}

impl<const N: usize> From<[(Symbol, u128); N]> for Symbols {
    fn from(values: [(Symbol, u128); N]) -> Self {
        let mut symbols = Self::default();
        for (symbol, value) in values {
            symbols.set(symbol, value);
        }
        symbols
    }
}

/// The value of a formula.
///
/// # Errors
/// A clause that says what is wrong with it.
pub fn evaluate(text: &str, symbols: &Symbols) -> Result<u128, String> {
    let mut parser = Parser { rest: text, symbols };
    let value = parser.sum()?;
    parser.skip();
    if parser.rest.is_empty() { Ok(value) } else { Err(format!("`{}` is left over", parser.rest)) }
}

struct Parser<'a> {
    rest: &'a str,
    symbols: &'a Symbols,
}

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, token: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Result<u128, String> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value = value.checked_add(self.product()?).ok_or("a sum is too large")?;
            } else if self.take('-') {
                value = value.saturating_sub(self.product()?);
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<u128, String> {
        let mut value = self.atom()?;
        loop {
            if self.take('*') {
                value = value.checked_mul(self.atom()?).ok_or("a product is too large")?;
            } else if self.take('/') {
                let by = self.atom()?;
                if by == 0 {
                    return Err("a division by zero".to_owned());
                }
                value = value.div_ceil(by);
            } else {
                return Ok(value);
            }
        }
    }

    fn atom(&mut self) -> Result<u128, String> {
        if self.take('(') {
            let value = self.sum()?;
            return if self.take(')') { Ok(value) } else { Err("a `)` is missing".to_owned()) };
        }
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.replace('_', "").parse().map_err(|_| format!("`{word}` is no number"));
        }
        match word {
            "" => Err("a number or a symbol is missing".to_owned()),
            "max" => self.two().map(|(a, b)| a.max(b)),
            "min" => self.two().map(|(a, b)| a.min(b)),
            text => {
                let found = self.symbols.known().find(|symbol| symbol.name() == text);
                found
                    .and_then(|symbol| self.symbols.get(symbol))
                    .ok_or_else(|| unknown("symbol", text, self.symbols.known().map(Symbol::name)))
            }
        }
    }

    fn two(&mut self) -> Result<(u128, u128), String> {
        let open = self.take('(');
        let first = self.sum()?;
        let comma = self.take(',');
        let second = self.sum()?;
        if open && comma && self.take(')') {
            Ok((first, second))
        } else {
            Err("max and min take two values in brackets".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_err_on_the_side_they_name() {
        let symbols = [(Symbol::Rate, 7), (Symbol::Cadence, 10)].into();
        let value = |text| evaluate(text, &symbols);
        assert_eq!(value("C * R / 3 + 1"), Ok(25));
        assert_eq!(value("(R - C) * 5"), Ok(0));
        assert_eq!(value("max(R, C) + min(R, C)"), Ok(17));
        assert_eq!(value("1_000"), Ok(1000));
        for wrong in
            ["", "R +", "Q", "(R", "R / 0", "R R", "max(R)", "340282366920938463463374607431768211456"]
        {
            assert!(value(wrong).is_err(), "{wrong}");
        }
        let longest = "(".repeat(4);
        assert!(value(&longest).is_err());
    }
}
