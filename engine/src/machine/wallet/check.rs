//! What holds of paying channels between two steps.

use super::{Channel, Closing, Wallet};
use crate::{
    money::Nonce,
    record::ChannelStatus,
    state::{Broken, Checked, Invariant, holds},
};

impl Wallet {
    /// Of channels, vouchers and signatures.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie("a channel is found by its id", Self::are_found_by_id),
        Invariant::tie("an id leads to a channel", Self::are_ids_live),
        Invariant::tie("a channel is listed with its node", Self::are_listed_with_nodes),
        Invariant::tie("a node's list holds its channels, each once", Self::are_lists_true),
        Invariant::of("a voucher is within the deposit", Self::are_vouchers_covered),
        Invariant::tie("a voucher pays for verified bytes only", Self::are_vouchers_owed),
        Invariant::of("no voucher is acknowledged that was not promised", Self::are_acks_of_vouchers),
        Invariant::of("a signature is of a voucher, and at hand or asked for", Self::are_signatures_sane),
        Invariant::of("a close that was asked for has its voucher's signature", Self::are_closes_signed),
        Invariant::tie("a voucher's signature is asked for by its ticket", Self::are_signatures_asked_for),
        Invariant::tie(
            "a channel waits for each signature that is asked for it",
            Self::are_signatures_awaited,
        ),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold, or of what does of its tables.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        self.channels.check()?;
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn are_found_by_id(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let id = channel.paying.channel;
            holds!(self.by_id.get(&id) == Some(slot), "{id:?}, {slot:?}");
        }
        Ok(())
    }

    fn are_ids_live(&self) -> Checked {
        let (ids, channels) = (self.by_id.len(), self.channels.len());
        holds!(ids == channels, "{ids} ids, {channels} channels");
        Ok(())
    }

    fn are_listed_with_nodes(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let node = channel.paying.node;
            holds!(self.with(node).contains(&slot), "{slot:?}, {node:?}");
        }
        Ok(())
    }

    fn are_lists_true(&self) -> Checked {
        let mut listed = 0;
        for (node, slots) in &self.by_node {
            for slot in slots {
                let is_with_it = self.channels.get(*slot).is_some_and(|channel| channel.paying.node == *node);
                holds!(is_with_it, "{node:?}, {slot:?}");
            }
            holds!(!slots.is_empty(), "{node:?}: an empty list");
            listed += slots.len();
        }
        holds!(listed == self.channels.len(), "{listed} listed, {} there", self.channels.len());
        Ok(())
    }

    /// Where an opening came back with another deposit it is paid on no more, and what was signed is what it was (V6).
    fn are_vouchers_covered(&self) -> Checked {
        let is_open = |channel: &Channel| channel.paying.status == ChannelStatus::Open;
        for (slot, channel) in self.channels.iter().filter(|(_, channel)| is_open(channel)) {
            let (amount, deposit) = (channel.paying.amount, channel.paying.deposit);
            holds!(amount <= deposit, "{slot:?}: {amount:?} of {deposit:?}");
        }
        Ok(())
    }

    fn are_vouchers_owed(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let (amount, owed) = (channel.paying.amount, channel.paying.meter.owed());
            holds!(amount <= owed, "{slot:?}: {amount:?}, owed {owed:?}");
        }
        Ok(())
    }

    fn are_acks_of_vouchers(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            holds!(channel.acked <= channel.paying.nonce, "{slot:?}: {:?}", channel.acked);
        }
        Ok(())
    }

    fn are_signatures_sane(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let (is_at_hand, is_asked_for) = (channel.signature.is_some(), channel.signing.is_some());
            let is_of_one = channel.paying.nonce != Nonce::NONE || !(is_at_hand || is_asked_for);
            holds!(is_of_one && !(is_at_hand && is_asked_for), "{slot:?}");
        }
        Ok(())
    }

    fn are_closes_signed(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let is_asked_for = !matches!(channel.closing, Closing::No | Closing::Wanted);
            holds!(!is_asked_for || !channel.needs_signature(), "{slot:?}: {:?}", channel.closing);
        }
        Ok(())
    }

    fn are_signatures_asked_for(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let is_its = |ticket| self.signing.get(&ticket) == Some(&slot);
            holds!(channel.signing.is_none_or(is_its), "{slot:?}, {:?}", channel.signing);
        }
        Ok(())
    }

    /// A channel may be gone by the time that its signature comes.
    fn are_signatures_awaited(&self) -> Checked {
        for (ticket, slot) in &self.signing {
            let awaited = self.channels.get(*slot).map(|channel| channel.signing);
            holds!(awaited.is_none_or(|awaited| awaited == Some(*ticket)), "{slot:?}, {ticket:?}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Channel, Cx, Running},
        *,
    };
    use crate::{
        crypto::Signature,
        delivery::Meter,
        ids::{Address, ChannelId, NodeId, SignTicket},
        io::Outputs,
        machine::Tools,
        money::{Amount, MB, Rate},
        record::{ChannelStatus, Paying},
        state::{Case, Slot, each_fails},
        time::{Now, Span},
    };

    /// A voucher over all of one channel is promised; with a signature, if the signer has answered.
    fn promised(is_signed: bool) -> Wallet {
        let (mut tools, mut out) = (Tools::default(), Outputs::new());
        let cx = &mut Cx { now: Now::default(), tools: &mut tools, out: &mut out };
        let mut wallet = Wallet::default();
        let mut meter = Meter::new();
        meter.set_rate(Rate(5));
        meter.add(MB);
        let slot = wallet.adopt(Paying {
            channel: ChannelId([1; 32]),
            node: NodeId([1; 32]),
            operator: Address::ZERO,
            token: Address::ZERO,
            deposit: Amount(9),
            opened_at_block: 1,
            status: ChannelStatus::Open,
            is_kept: false,
            nonce: Nonce::NONE,
            amount: Amount::ZERO,
            meter,
        });
        wallet.promise(slot, true, Running::default(), cx).expect("it is owed");
        wallet.sign(slot, cx);
        if is_signed {
            wallet.on_signed(SignTicket(1), Some(Signature([1; 65])), Span(1), cx);
        }
        wallet
    }

    fn signing() -> Wallet {
        promised(false)
    }

    fn signed() -> Wallet {
        promised(true)
    }

    fn slot(wallet: &Wallet) -> Slot {
        wallet.slot(&ChannelId([1; 32])).expect("the channel")
    }

    fn channel(wallet: &mut Wallet) -> &mut Channel {
        let slot = slot(wallet);
        &mut wallet.channels[slot]
    }

    #[test]
    fn each_invariant_of_paying_channels_can_fail() {
        let cases: [Case<Wallet>; 11] = [
            ("a channel is found by its id", signed, |it| it.by_id.remove(&ChannelId([1; 32]))),
            ("an id leads to a channel", signed, |it| it.by_id.insert(ChannelId([2; 32]), slot(it))),
            ("a channel is listed with its node", signed, |it| it.by_node.clear()),
            ("a node's list holds its channels, each once", signed, |it| {
                let slot = slot(it);
                it.by_node.values_mut().for_each(|slots| slots.push(slot));
            }),
            ("a voucher is within the deposit", signed, |it| channel(it).paying.deposit = Amount(1)),
            ("a voucher pays for verified bytes only", signed, |it| channel(it).paying.amount = Amount(6)),
            ("no voucher is acknowledged that was not promised", signed, |it| channel(it).acked = Nonce(2)),
            ("a signature is of a voucher, and at hand or asked for", signed, |it| {
                channel(it).signing = Some(SignTicket(1));
            }),
            ("a close that was asked for has its voucher's signature", signing, |it| {
                channel(it).closing = Closing::PutOff;
            }),
            ("a voucher's signature is asked for by its ticket", signing, |it| it.signing.clear()),
            ("a channel waits for each signature that is asked for it", signing, |it| {
                channel(it).signing = None
            }),
        ];
        each_fails(Wallet::INVARIANTS, &cases, |wallet| assert!(wallet.check().is_err()));
    }
}
