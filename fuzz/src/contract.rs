//! Is there a sequence of openings, vouchers, closes, disputes, settlements and time on which the engine's prediction, the
//! model and the compiled contracts part (O9), or a voucher that the engine takes and the contract does not (V1)?

use std::sync::OnceLock;

use decdn_contracts::differential::{
    By, Consent, Content, Ink, Owner, PARTIES, Paper, Run, Step, Sum, TOKENS, Terms,
};
use decdn_testkit::tell;

use crate::Bytes;

/// Steps of one run: what goes wrong goes wrong within a few.
const STEPS_MAX: usize = 48;

/// A run of the steps that `input` describes, on a scene with three channels.
pub fn contract(input: &[u8]) {
    static SCENE: OnceLock<Run> = OnceLock::new();
    let mut run = SCENE.get_or_init(Run::new).clone();
    let mut input = Bytes::new(input);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            return;
        }
        let step = step(&mut input);
        tell(|| format!("{step:?}"));
        let taken = run.take(&step);
        tell(|| format!("    {taken:?}"));
    }
}

fn step(input: &mut Bytes<'_>) -> Step {
    let what = input.byte();
    let choice = usize::from(what >> 5);
    match what % 32 {
        0..=2 => Step::Pay { voucher: paper(input) },
        3..=6 => Step::Close { by: by(choice), voucher: paper(input) },
        7..=10 => Step::Dispute { by: by(choice), voucher: paper(input) },
        11 | 12 => Step::Settle { by: by(choice), channel: channel(input) },
        13..=15 => {
            Step::CloseCooperatively { by: by(choice), voucher: paper(input), consent: consent(input) }
        }
        16 if choice < 5 => Step::Finish { by: by(choice ^ 3), voucher: paper(input) },
        16 => Step::ForceClose { by: By::Client, channel: channel(input) },
        17..=19 => Step::WaitForDeadline {
            channel: channel(input),
            off_secs: [0, -1, 1, 0, -1, 1, 600, -600][choice],
        },
        20 => Step::Wait { secs: input.below(300_000) },
        22 if choice > 3 => Step::OpenWithPermit {
            by: choice % PARTIES,
            node: usize::from(input.byte()) % PARTIES,
            token: usize::from(input.byte()) % TOKENS,
            deposit: money(input),
            off_secs: [1_000, 0, 1, -1][choice % 4],
            permit: ink(input),
        },
        21 | 22 => {
            let (node, token) = (usize::from(input.byte()) % PARTIES, [0, 0, 0, 0, 1, 2][choice % 6]);
            Step::Open { by: choice % PARTIES, node, token, deposit: money(input) }
        }
        23 => Step::Delegate { by: choice % PARTIES, trusted: usize::from(input.byte()) % (PARTIES + 1) },
        24 if choice < 6 => {
            Step::Claim { by: if choice == 0 { By::Client } else { By::Node }, voucher: paper(input) }
        }
        24 => {
            let how = usize::from(input.byte());
            Step::Withdraw { by: choice % PARTIES, token: how % TOKENS, to: how / TOKENS % (PARTIES + 2) }
        }
        25 => Step::Approve {
            by: choice % PARTIES,
            token: usize::from(input.byte()) % TOKENS,
            amount: money(input),
        },
        26 => Step::Mint {
            token: usize::from(input.byte()) % TOKENS,
            to: choice % (PARTIES + 1),
            amount: money(input),
        },
        27 => {
            let how = input.byte();
            let (token, to) = (usize::from(how) % TOKENS, usize::from(how >> 4) % (PARTIES + 1));
            Step::Transfer { by: choice % PARTIES, token, to, amount: money(input) }
        }
        28 => {
            let how = input.byte();
            Step::SetNode {
                by: owner(choice),
                who: usize::from(how >> 1) % (PARTIES + 1),
                active: how % 2 == 1,
            }
        }
        29 => {
            let how = input.byte();
            Step::AllowToken {
                by: owner(choice),
                token: usize::from(how >> 1) % TOKENS,
                allowed: how % 2 == 1,
            }
        }
        30 => {
            let secs = [43_200, 259_200, 43_199, 259_201, u64::MAX, input.below(300_000)];
            Step::SetWindow { by: owner(choice), secs: secs[usize::from(input.byte()) % secs.len()] }
        }
        _ => Step::Pause { by: owner(choice), paused: input.byte() % 2 == 1 },
    }
}

/// One of the first channels, mostly.
fn channel(input: &mut Bytes<'_>) -> usize {
    usize::from(input.byte())
}

fn by(choice: usize) -> By {
    match choice {
        0..=2 => By::Client,
        3 | 4 => By::Node,
        party => By::Party(party),
    }
}

fn owner(choice: usize) -> Owner {
    if choice < 7 { Owner::Real } else { Owner::Pretender(0) }
}

fn paper(input: &mut Bytes<'_>) -> Paper {
    let (how, channel) = (input.byte(), channel(input));
    let content = match how % 8 {
        0 => Content::Empty,
        1 | 2 => Content::Held(usize::from(how >> 4)),
        _ => Content::Written(terms(how, input)),
    };
    Paper { channel, is_lost: how >> 3 == 31, content }
}

fn terms(how: u8, input: &mut Bytes<'_>) -> Terms {
    let number = input.byte();
    let amount = match how >> 5 {
        0..=3 => Sum::Part(number),
        4 => Sum::Recorded((number % 3) as i8 - 1),
        5 => Sum::Deposit((number % 3) as i8 - 1),
        _ => Sum::Any(wide(input)),
    };
    let nonce = input.byte();
    let nonce = if nonce < 250 { u64::from(nonce % 8) } else { u64::MAX - u64::from(nonce - 250) };
    let token = (how & 0x18 == 0x18).then(|| usize::from(number) % TOKENS);
    Terms { amount, nonce, token, signature: ink(input) }
}

fn ink(input: &mut Bytes<'_>) -> Ink {
    match input.byte() {
        how @ 160..=191 => Ink::By(usize::from(how)),
        192..=207 => Ink::HighS,
        208..=223 => Ink::V(input.byte()),
        224..=239 => Ink::Noise(input.byte()),
        240..=255 => Ink::OtherAmount,
        _ => Ink::Right,
    }
}

fn consent(input: &mut Bytes<'_>) -> Consent {
    match input.byte() {
        250..=252 => Consent::Capped,
        253..=255 => Consent::AsVoucher,
        _ => Consent::Same(ink(input)),
    }
}

fn money(input: &mut Bytes<'_>) -> u128 {
    match input.byte() {
        0 => 0,
        1 => u128::MAX,
        2 => wide(input),
        how => u128::from(how) * 8,
    }
}

fn wide(input: &mut Bytes<'_>) -> u128 {
    let bytes = input.take(16);
    bytes.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}
