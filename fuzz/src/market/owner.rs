//! The owner of a role that asks before it buys: it answers what the input says, and notes what it has agreed to (D16).

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{Call, channel, token},
    ids::{Address, ChannelId, FetchId, NodeId},
    io::{Input, Notice},
    money::{Amount, Rate},
    order::Order,
};

use super::{Parties, TOKENS};

/// Questions that it remembers.
const QUESTIONS: usize = 8;

/// What a question or a yes is about.
type About = (FetchId, NodeId);

#[derive(Debug, Default)]
pub(super) struct Owner {
    questions: Vec<(About, Rate, Amount)>,
    /// What it has agreed to since the start, and no allowance has used up. A later yes takes none back.
    yes: BTreeMap<About, Vec<(Rate, Amount)>>,
    /// The lowest price that each node has quoted since the start.
    lowest: BTreeMap<NodeId, Rate>,
    /// What the last allowance may be for.
    meant: Vec<About>,
}

impl Owner {
    pub(super) fn hear(&mut self, notice: &Notice) {
        if let Notice::Quoted { fetch, node, rate, deposit: Some(deposit), .. } = *notice {
            if self.questions.len() == QUESTIONS {
                self.questions.remove(0);
            }
            self.questions.push(((fetch, node), rate, deposit));
        }
    }

    pub(super) fn quoted(&mut self, node: NodeId, rate: Rate) {
        let lowest = self.lowest.entry(node).or_insert(rate);
        *lowest = rate.min(*lowest);
    }

    /// An answer to one of the questions, to a stranger's, or again to one that was answered.
    pub(super) fn answer(&mut self, how: u8) -> Option<Input> {
        let place = usize::from(how & 7).checked_rem(self.questions.len())?;
        let ((mut fetch, node), rate, deposit) = self.questions[place];
        let (rate, deposit) = match how >> 3 & 15 {
            0..=5 => (rate, deposit),
            6 => (Rate(u64::MAX), Amount::MAX),
            7 => (rate, Amount(deposit.0 / 2)),
            8 => (Rate(rate.0 / 2), deposit),
            9 => (Rate(0), Amount::ZERO),
            10 | 11 => {
                self.yes.remove(&(fetch, node));
                return Some(Input::Declined { fetch, node });
            }
            12 => {
                fetch = FetchId(fetch.0 ^ 1);
                (rate, deposit)
            }
            _ => (Rate(rate.0.saturating_mul(2)), Amount(deposit.0.saturating_mul(2))),
        };
        self.yes.entry((fetch, node)).or_default().push((rate, deposit));
        Some(Input::Agreed { fetch, node, rate, deposit })
    }

    /// Yes to the oldest question.
    pub(super) fn agree(&mut self) -> Option<Input> {
        let answer = self.answer(0);
        if answer.is_some() {
            self.questions.remove(0);
        }
        answer
    }

    /// An allowance needs a yes that no other has used up, an opening one with its node.
    pub(super) fn check(&mut self, parties: &Parties, call: &Call) {
        match *call {
            Call::Token(token::Call::Approve { amount, .. }) => {
                let covers = |(about, yes): &(&About, &Vec<(Rate, Amount)>)| {
                    let lowest = self.lowest.get(&about.1);
                    yes.iter().any(|(rate, deposit)| {
                        *deposit >= amount && lowest.is_some_and(|lowest| rate >= lowest)
                    })
                };
                self.meant = self.yes.iter().filter(covers).map(|(about, _)| *about).collect();
            }
            Call::Channel(channel::Call::Open { node, .. }) => {
                let is_with = |about: &About| {
                    parties.sellers.iter().any(|(id, operator, _)| (*id, *operator) == (about.1, node))
                };
                self.meant.retain(is_with);
            }
            _ => return,
        }
        assert!(!self.meant.is_empty(), "D16: {call:?} leaves before its owner has agreed");
        if let [about] = self.meant[..] {
            self.yes.remove(&about);
        }
    }
}

/// An order about money: of this channel, or of anything else.
pub(crate) fn money_order(how: u8, channel: ChannelId) -> Order {
    match how & 7 {
        0 => Order::Close(channel),
        1 => Order::Claim(channel),
        2 => Order::Close(ChannelId([how | 0xf0; 32])),
        3 | 4 => Order::Withdraw { token: TOKENS[usize::from(how & 1)] },
        5 => Order::Withdraw { token: Address::repeat_byte(how) },
        6 => Order::ForceClose(channel),
        _ => Order::ForceClose(ChannelId([how | 0xf0; 32])),
    }
}
