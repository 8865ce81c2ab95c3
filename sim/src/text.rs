//! Amounts and tables as people read them.

/// An amount as people read it, in groups of three digits.
pub fn grouped(amount: u128) -> String {
    let digits = amount.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Rows as lines, with every column as wide as its widest field: numbers to the right.
pub fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|f| f.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|at| width(at).unwrap_or(0)).collect();
    let is_number = |at: usize| {
        let mut fields = rows.iter().skip(1).filter_map(|row| row.get(at));
        fields.all(|field| field.chars().all(|c| c.is_ascii_digit() || ",+-".contains(c)))
    };
    let line = |row: &Vec<String>| {
        let pad = |(at, field): (usize, &String)| {
            let width = widths[at];
            if is_number(at) { format!("{field:>width$}") } else { format!("{field:<width$}") }
        };
        row.iter().enumerate().map(pad).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_and_columns_aligned() {
        for (amount, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(amount), shown);
        }
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        let rows = [row("who", "paid"), row("node-1", "12"), row("x", "1,234")];
        assert_eq!(columns(&rows), ["who      paid", "node-1     12", "x       1,234"]);
    }
}
