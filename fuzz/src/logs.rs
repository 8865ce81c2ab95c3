//! Can an endpoint's logs or answers make their decoder panic, or be read as anything but the words they hold (L4)?

use alloy_primitives::B256;
use alloy_sol_types::SolEvent;
use decdn_contracts::{
    bindings::sol::PaymentChannel,
    channel::bindings::{event, revert, state},
};
use decdn_engine::{
    chain::channel::{Ending, Event, EventKind, Status},
    ids::ChannelId,
};
use decdn_testkit::tell;

use crate::Bytes;

/// A log, what `channel(id)` returns, or the output of a call that reverted.
pub fn logs(input: &[u8]) {
    let mut input = Bytes::new(input);
    match input.byte() % 8 {
        6 => {
            let words = words(&mut input);
            view(&cut(words.concat(), &mut input));
        }
        7 => {
            tell(|| format!("{:?}", revert(input.take(usize::MAX))));
        }
        kind => {
            let known = [
                PaymentChannel::ChannelOpened::SIGNATURE_HASH,
                PaymentChannel::ChannelClosing::SIGNATURE_HASH,
                PaymentChannel::ChannelDisputed::SIGNATURE_HASH,
                PaymentChannel::ChannelSettled::SIGNATURE_HASH,
                PaymentChannel::ChannelClaimed::SIGNATURE_HASH,
            ];
            let count = usize::from(input.byte() % 5);
            let words = words(&mut input);
            let (indexed, data) = words.split_at(count.min(words.len()));
            let signature = known.get(usize::from(kind)).copied();
            let topics: Vec<B256> =
                signature.into_iter().chain(indexed.iter().copied().map(B256::from)).collect();
            log(&topics, &cut(data.concat(), &mut input));
        }
    }
}

/// Words that are numbers or accounts, or anything.
fn words(input: &mut Bytes<'_>) -> Vec<[u8; 32]> {
    let mut words = Vec::new();
    for _ in 0..input.byte() % 12 {
        let how = input.byte();
        let wide = match how % 4 {
            0 => 1,
            1 => 8,
            2 => 20,
            _ => 32,
        };
        let mut word = [0; 32];
        let bytes = input.take(wide);
        word[32 - bytes.len()..].copy_from_slice(bytes);
        words.push(word);
    }
    words
}

/// Sometimes some bytes too few, or more.
fn cut(mut data: Vec<u8>, input: &mut Bytes<'_>) -> Vec<u8> {
    match input.byte() {
        off @ 1..=64 => data.truncate(data.len().saturating_sub(off.into())),
        65..=80 => data.extend_from_slice(input.take(64)),
        _ => {}
    }
    data
}

fn log(topics: &[B256], data: &[u8]) {
    let found = event(topics, data);
    tell(|| format!("{found:?}"));
    let Ok(Some(Event { channel, kind })) = found else { return };
    assert_eq!(topics[1], channel.0, "the channel is the first indexed word");
    // Client and node, which are the opening's to tell.
    let parties = topics[2..].iter().map(|topic| topic.0).collect();
    let (indexed, words): (Vec<[u8; 32]>, Vec<[u8; 32]>) = match kind {
        EventKind::Opened { client, node, token, deposit, window_secs } => {
            let mut words = vec![account(token.as_slice()), number(deposit.0)];
            // The counter, which no role follows, is 64 bits wide.
            words.push(number(u64::from_be_bytes(last(data, 2)).into()));
            words.push(number(window_secs.into()));
            (vec![account(client.as_slice()), account(node.as_slice())], words)
        }
        EventKind::Closing { by, amount, nonce, deadline } => {
            let terms = [number(amount.0), number(nonce.0.into()), number(deadline.0.into())];
            (parties, [&[account(by.as_slice())][..], &terms].concat())
        }
        EventKind::Disputed { by, amount, nonce } => {
            (parties, vec![account(by.as_slice()), number(amount.0), number(nonce.0.into())])
        }
        EventKind::Claimed { amount, nonce, paid } => {
            (parties, vec![number(amount.0), number(nonce.0.into()), number(paid.0)])
        }
        EventKind::Settled { ending, amount, paid, refunded } => {
            let ending = match ending {
                Ending::Window => 0,
                Ending::Consent => 1,
                Ending::Finish => 2,
            };
            (parties, vec![number(ending), number(amount.0), number(paid.0), number(refunded.0)])
        }
    };
    let given: Vec<[u8; 32]> = topics[2..].iter().map(|topic| topic.0).collect();
    assert_eq!(given, indexed);
    assert_eq!(data.get(..words.len() * 32), Some(words.concat().as_slice()));
}

fn view(output: &[u8]) {
    let found = state(ChannelId::default(), output);
    tell(|| format!("{found:?}"));
    let Ok(found) = found else { return };
    let Some(c) = found else {
        return assert_eq!(output.get(288..320), Some(&[0; 32][..]), "C8: none is status 0");
    };
    let status = match c.status {
        Status::Open => 1,
        Status::Closing => 2,
        Status::Settled => 3,
    };
    let words = [
        account(c.client.as_slice()),
        account(c.node.as_slice()),
        account(c.token.as_slice()),
        number(c.deposit.0),
        number(c.amount.0),
        number(c.claimed.0),
        number(c.nonce.0.into()),
        number(c.deadline.0.into()),
        number(c.window_secs.into()),
        number(status),
    ];
    assert_eq!(output.get(..320), Some(words.concat().as_slice()));
}

fn number(n: u128) -> [u8; 32] {
    let mut word = [0; 32];
    word[16..].copy_from_slice(&n.to_be_bytes());
    word
}

fn account(bytes: &[u8]) -> [u8; 32] {
    let mut word = [0; 32];
    word[12..].copy_from_slice(bytes);
    word
}

/// The last bytes of a word of the data.
fn last(data: &[u8], word: usize) -> [u8; 8] {
    data[word * 32 + 24..][..8].try_into().expect("eight")
}
