//! What holds of earning channels between two steps.

use super::{Channel, Earnings};
use crate::{
    record::ChannelStatus,
    state::{Broken, Checked, Invariant, Slot, holds},
};

impl Earnings {
    /// Of channels, vouchers, the disk, and what is soft.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie("a channel is found by its id", Self::are_found_by_id),
        Invariant::tie("an id leads to a channel", Self::are_ids_live),
        Invariant::of("a voucher is within the deposit", Self::are_vouchers_covered),
        Invariant::tie("the meter has counted what the best voucher pays for", Self::are_vouchers_counted),
        Invariant::tie("no more goes out than the deposit pays for", Self::is_sending_covered),
        Invariant::tie("a voucher that is not durable is on its way to the disk", Self::are_vouchers_stored),
        Invariant::tie("no limit is raised above the best voucher", Self::are_raises_of_vouchers),
        Invariant::of("no consent is given on an open channel", Self::are_consents_final),
        Invariant::tie("a soft channel is listed as one", Self::are_soft_listed),
        Invariant::tie("the list of soft channels holds soft ones, with their blocks", Self::are_listed_soft),
        Invariant::tie("tails are kept while something may be lost", Self::are_tails_needed),
        Invariant::of("a channel that is not open serves nobody", Self::is_service_open),
        Invariant::of("what is put aside says so, and serves nobody", |earnings| earnings.aside.is_quiet()),
        Invariant::tie("what is put aside is not in the table", Self::are_aside_apart),
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
            holds!(self.by_id.get(&channel.id) == Some(slot), "{:?}, {slot:?}", channel.id);
        }
        Ok(())
    }

    fn are_ids_live(&self) -> Checked {
        let (ids, channels) = (self.by_id.len(), self.channels.len());
        holds!(ids == channels, "{ids} ids, {channels} channels");
        Ok(())
    }

    /// Where an opening came back with another deposit, nothing new is served, and what is held is what it was (V6).
    fn open(&self) -> impl Iterator<Item = (Slot, &Channel)> {
        self.channels.iter().filter(|(_, channel)| channel.status == ChannelStatus::Open)
    }

    fn are_vouchers_covered(&self) -> Checked {
        for (slot, channel) in self.open() {
            let (_, amount) = channel.best_pair();
            holds!(amount <= channel.deposit, "{slot:?}: {amount:?} of {:?}", channel.deposit);
        }
        Ok(())
    }

    fn are_vouchers_counted(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let ((_, amount), owed) = (channel.best_pair(), channel.meter.owed());
            holds!(owed >= amount, "{slot:?}: {owed:?} for {amount:?}");
        }
        Ok(())
    }

    fn is_sending_covered(&self) -> Checked {
        for (slot, channel) in self.open() {
            let owed = channel.meter.owed();
            holds!(owed <= channel.deposit, "{slot:?}: {owed:?} of {:?}", channel.deposit);
        }
        Ok(())
    }

    fn are_vouchers_stored(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let (_, best) = channel.best_pair();
            let is_on_its_way = || self.raising.values().any(|raise| *raise == (slot, best));
            holds!(best == channel.durable || is_on_its_way(), "{slot:?}: {best:?}, {:?}", channel.durable);
        }
        Ok(())
    }

    /// A channel may be gone by the time that its write set is durable.
    fn are_raises_of_vouchers(&self) -> Checked {
        for (seq, (slot, amount)) in &self.raising {
            let best = self.channels.get(*slot).map(|channel| channel.best_pair().1);
            holds!(best.is_none_or(|best| *amount <= best), "{seq:?}, {slot:?}: {amount:?} of {best:?}");
        }
        Ok(())
    }

    fn are_consents_final(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            holds!(!channel.is_consenting || channel.status != ChannelStatus::Open, "{slot:?}");
        }
        Ok(())
    }

    fn are_soft_listed(&self) -> Checked {
        let count = self.channels.iter().filter(|(_, channel)| channel.is_soft).count();
        holds!(count == self.soft.len(), "{count} soft, {} listed", self.soft.len());
        Ok(())
    }

    fn are_listed_soft(&self) -> Checked {
        for (place, (block, slot)) in self.soft.iter().enumerate() {
            let is_it = |channel: &Channel| channel.is_soft && channel.opened_at_block == *block;
            let is_first = !self.soft[..place].iter().any(|(_, other)| other == slot);
            holds!(is_first && self.channels.get(*slot).is_some_and(is_it), "{slot:?}, block {block}");
        }
        Ok(())
    }

    fn are_tails_needed(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let is_whole = channel.tails.iter().all(|tail| !tail.is_empty());
            let is_needed = channel.tails.is_empty() || channel.may_have_lost();
            holds!(is_whole && is_needed, "{slot:?}: {} tails", channel.tails.len());
        }
        Ok(())
    }

    fn are_aside_apart(&self) -> Checked {
        for id in self.aside.ids() {
            holds!(self.by_id.get(id).is_none(), "{id:?}");
        }
        Ok(())
    }

    fn is_service_open(&self) -> Checked {
        for (slot, channel) in self.channels.iter() {
            let is_open = channel.status == ChannelStatus::Open;
            holds!(is_open || channel.streams.is_empty(), "{slot:?}: {:?}", channel.status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{super::Cx, *};
    use crate::{
        crypto::Signature,
        delivery::{Meter, Tail},
        ids::{Address, BlobHash, ChannelId, StreamId},
        io::Outputs,
        limits::GROUP,
        machine::Tools,
        money::{Amount, MB, Nonce, Rate},
        record::{Earning, PersistSeq},
        state::{Case, Slot, each_fails},
        time::Now,
        wire::Voucher,
    };

    fn earning() -> Earning {
        Earning {
            channel: ChannelId([1; 32]),
            client: Address::ZERO,
            token: Address::ZERO,
            deposit: Amount(20),
            opened_at_block: 10,
            status: ChannelStatus::Open,
            best: None,
        }
    }

    /// A soft channel on which a stream sent two MB and lost some; a voucher for one was taken, and is not durable yet.
    fn taking() -> Earnings {
        let (mut tools, mut out) = (Tools::default(), Outputs::new());
        let cx = &mut Cx { now: Now::default(), tools: &mut tools, out: &mut out };
        let mut earnings = Earnings::default();
        let slot = earnings.adopt(earning());
        assert!(earnings.is_final_enough(slot, 9, Amount(20)));
        let channel = &mut earnings.channels[slot];
        channel.meter.set_rate(Rate(5));
        channel.meter.add(2 * MB);
        let mut tail = Tail::new(BlobHash([7; 32]));
        tail.sent(0, GROUP, GROUP);
        channel.streams.push(StreamId::default());
        channel.end_stream(StreamId::default(), tail, 8);
        earnings.take(
            slot,
            Voucher { amount: Amount(5), nonce: Nonce(1), signature: Signature([1; 65]) },
            cx,
        );
        earnings
    }

    /// The same channel, with all of it on the disk, put aside.
    fn resting() -> Earnings {
        let mut earnings = taking();
        earnings.on_persisted(PersistSeq(0));
        let slot = slot(&earnings);
        earnings.put_aside(slot, ChannelStatus::Idle, None);
        earnings
    }

    fn slot(earnings: &Earnings) -> Slot {
        earnings.slot(&ChannelId([1; 32])).expect("the channel")
    }

    fn channel(earnings: &mut Earnings) -> &mut Channel {
        let slot = slot(earnings);
        &mut earnings.channels[slot]
    }

    #[test]
    fn each_invariant_of_earning_channels_can_fail() {
        let cases: [Case<Earnings>; 14] = [
            ("a channel is found by its id", taking, |it| it.by_id.remove(&ChannelId([1; 32]))),
            ("an id leads to a channel", taking, |it| it.by_id.insert(ChannelId([2; 32]), slot(it))),
            ("a voucher is within the deposit", taking, |it| channel(it).deposit = Amount(4)),
            ("the meter has counted what the best voucher pays for", taking, |it| {
                channel(it).meter = Meter::new();
            }),
            ("no more goes out than the deposit pays for", taking, |it| channel(it).meter.add(9 * MB)),
            ("a voucher that is not durable is on its way to the disk", taking, |it| it.raising.clear()),
            ("no limit is raised above the best voucher", taking, |it| {
                it.raising.insert(PersistSeq(9), (slot(it), Amount(6)));
            }),
            ("no consent is given on an open channel", taking, |it| channel(it).is_consenting = true),
            ("a soft channel is listed as one", taking, |it| it.soft.clear()),
            ("the list of soft channels holds soft ones, with their blocks", taking, |it| it.soft[0].0 = 9),
            ("tails are kept while something may be lost", taking, |it| {
                channel(it).tails.push(Tail::new(BlobHash([7; 32])));
            }),
            ("a channel that is not open serves nobody", taking, |it| {
                channel(it).status = ChannelStatus::Final;
                channel(it).streams = vec![StreamId::default()];
            }),
            ("what is put aside says so, and serves nobody", resting, |it| it.aside.open()),
            ("what is put aside is not in the table", resting, |it| {
                it.adopt(earning());
            }),
        ];
        each_fails(Earnings::INVARIANTS, &cases, |earnings| assert!(earnings.check().is_err()));
    }
}
