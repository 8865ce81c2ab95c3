//! Is there a configuration, a receipt or a key file that makes its reader panic, is refused in anything but one sentence
//! with its place, or is read as something else than what is written when it is written again?

use decdn_files::{
    config::{File, TokenFile, Tokens, in_tokens},
    receipt::Receipt,
    secrets::Secrets,
};
use decdn_testkit::tell;

/// What a file is called in its sentences.
const NAME: &str = "fuzzed";

/// Any text as a configuration.
pub fn config(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let file = match File::parse(NAME, text) {
        Ok(file) => file,
        Err(wrong) => return one_sentence(&wrong.0, text),
    };
    let written = toml::to_string(&file).expect("a configuration is a table of tables");
    tell(|| written.clone());
    assert_eq!(File::parse(NAME, &written).expect("what was read and written"), file, "{written}");
    let sums = [&file.client.deposit, &file.client.max_spend, &file.client.max_rate];
    let of_token = |it: &TokenFile| {
        let TokenFile { rate, least_deposit, soft_cap, claim_above, coin } = it.clone();
        [rate, least_deposit, soft_cap, claim_above, coin].into_iter().flatten()
    };
    sums.into_iter().flatten().for_each(exact);
    file.node.tokens.values().flat_map(of_token).for_each(|sum| exact(&sum));
}

/// Money that is read, counted, shown and read again is the same.
fn exact(tokens: &Tokens) {
    assert_eq!(tokens.to_string().parse::<Tokens>().as_ref(), Ok(tokens));
    for decimals in [0, 6, 18, u8::MAX] {
        let Some(units) = tokens.in_units(decimals) else { continue };
        let again: Tokens = in_tokens(units, decimals).parse().expect("what is shown is an amount");
        assert_eq!(again.in_units(decimals), Some(units), "{tokens} with {decimals} decimals");
    }
}

/// Any text as a receipt.
pub fn receipt(input: &[u8]) {
    let receipt = match Receipt::parse(NAME, input) {
        Ok(receipt) => receipt,
        Err(wrong) => return one_sentence(&wrong, &String::from_utf8_lossy(input)),
    };
    let written = serde_json::to_vec(&receipt).expect("plain data");
    assert_eq!(Receipt::parse(NAME, &written).as_ref(), Ok(&receipt));
    receipt.price();
    if let Err(flaw) = receipt.verify() {
        let flaw = flaw.to_string();
        tell(|| flaw.clone());
        assert!(!flaw.is_empty() && !flaw.chars().any(char::is_control), "{flaw:?}");
    }
}

/// Any text as a key file.
pub fn key_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    // What is wrong is one of a few constant sentences: none can hold a secret.
    let Ok(secrets) = Secrets::parse(text) else { return };
    let again = Secrets::parse(&secrets.lines()).expect("what was read and written");
    assert_eq!((again.network, again.account), (secrets.network, secrets.account));
    assert_eq!(again.eth().address(), secrets.eth().address());
}

/// One sentence for a terminal, with a place that is in the text.
fn one_sentence(wrong: &str, text: &str) {
    tell(|| wrong.to_owned());
    assert!(!wrong.chars().any(char::is_control), "one line: {wrong:?}");
    let place = wrong.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(':'));
    let mut place = place.expect("the file is named").splitn(3, ':');
    let mut number = || -> usize { place.next().and_then(|n| n.parse().ok()).expect("line and column") };
    let (line, column) = (number(), number());
    assert!(line <= text.split('\n').count() && column <= text.len() + 1, "{wrong:?}");
}
