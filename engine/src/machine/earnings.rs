//! Earning channels: what was sent on each, the best voucher, and what of it is durable (D5, D8, V1, V3, V6).

mod aside;
mod check;
mod claims;
mod forgone;

use alloc::{collections::BTreeMap, vec, vec::Vec};

use aside::Aside;
use claims::Claims;
use forgone::Forgone;

use super::Cx;
use crate::{
    chain::UNSEEN,
    crypto::{SignedVoucher, VoucherTerms},
    delivery::{Meter, Tail},
    dispute::{Held, Watch},
    ids::{Address, ChannelId, StreamId},
    io::Lane,
    money::{Amount, Nonce},
    record::{Best, ChannelStatus, Earning, PersistSeq, Record},
    state::{Canon, Canonical, IdMap, Slot, TrackedSlab},
    time::{ChainTime, Time},
    wire::Voucher,
};

/// A channel that pays this role.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its id.
    pub id: ChannelId,
    /// Who pays.
    pub client: Address,
    /// In what.
    pub token: Address,
    /// What was paid in.
    pub deposit: Amount,
    /// L2 block of the opening.
    pub opened_at_block: u64,
    /// Where it stands.
    pub status: ChannelStatus,
    /// The best voucher, durable or about to be.
    pub best: Option<Best>,
    /// The amount of the best durable voucher: what the sending limit goes by (V3).
    pub durable: Amount,
    /// What was sent.
    pub meter: Meter,
    /// Streams on this channel, in the order of their requests.
    pub streams: Vec<StreamId>,
    /// Which of them is served first next time.
    pub turn: u32,
    /// What ended streams sent last and the channel has not paid (D8).
    pub tails: Vec<Tail>,
    /// Since when nothing is asked for on it, or it serves no more; `None` until it is looked at.
    pub quiet_since: Option<Time>,
    /// Whether the contract would not do what the node wanted by itself: it isn't asked again.
    pub is_left_alone: bool,
    /// Whether what its client keeps is counted already (X2).
    pub is_forgone: bool,
    /// Whether a consent is being signed.
    pub is_consenting: bool,
    /// Whether its deposit counts towards the soft cap (V6).
    is_soft: bool,
}

impl Channel {
    /// Takes up a channel. What it sent beyond its best voucher is forgotten: the fewest bytes count (D8).
    fn new(earning: Earning) -> Self {
        let (meter, durable) = match earning.best {
            None => (Meter::new(), Amount::ZERO),
            Some(best) => {
                let mut meter = best.meter;
                meter.lower_to(best.amount);
                (meter, best.amount)
            }
        };
        Self {
            id: earning.channel,
            client: earning.client,
            token: earning.token,
            deposit: earning.deposit,
            opened_at_block: earning.opened_at_block,
            status: earning.status,
            best: earning.best,
            durable,
            meter,
            streams: Vec::new(),
            turn: 0,
            tails: Vec::new(),
            quiet_since: None,
            is_left_alone: false,
            is_forgone: false,
            is_consenting: false,
            is_soft: false,
        }
    }

    /// Nonce and amount of the best voucher.
    pub fn best_pair(&self) -> (Nonce, Amount) {
        self.best.map_or((Nonce::NONE, Amount::ZERO), |best| (best.nonce, best.amount))
    }

    /// What is to be known of it after a restart.
    pub fn record(&self) -> Record {
        Record::Earning(Earning {
            channel: self.id,
            client: self.client,
            token: self.token,
            deposit: self.deposit,
            opened_at_block: self.opened_at_block,
            status: self.status,
            best: self.best,
        })
    }

    /// Whether some sent byte is not paid by a durable voucher.
    pub fn has_unpaid(&self) -> bool {
        self.meter.unpaid(self.durable) > 0
    }

    /// Whether some sent byte may have been lost, by all that the best durable voucher says. At a rate of a few base
    /// units per MB a voucher is rounded up over many groups, so a byte may be paid for and lost all the same.
    pub fn may_have_lost(&self) -> bool {
        self.meter.is_ahead_of(self.durable)
    }

    /// A stream has ended; what it sent last stays while something is unpaid (D8), for so many streams, the newest.
    pub fn end_stream(&mut self, id: StreamId, tail: Tail, tails_max: usize) {
        let before = self.streams.len();
        self.streams.retain(|other| *other != id);
        assert_eq!(self.streams.len() + 1, before, "a channel lists each of its streams, once");
        if self.may_have_lost() && !tail.is_empty() {
            if self.tails.len() >= tails_max {
                self.tails.remove(0);
            }
            self.tails.push(tail);
        }
    }

    /// What is held of it, should it be closing (X1): what is durable counts.
    pub fn held(&self) -> Held {
        Held {
            channel: self.id,
            deposit: self.deposit,
            amount: self.durable,
            voucher: self.best_voucher(),
            is_signing: false,
        }
    }

    /// The best voucher as it goes on chain.
    pub fn best_voucher(&self) -> Option<SignedVoucher> {
        let best = self.best?;
        let terms =
            VoucherTerms { channel: self.id, amount: best.amount, nonce: best.nonce, token: self.token };
        Some(SignedVoucher { terms, signature: best.signature })
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Earnings {
    /// Channels that have not settled.
    pub channels: TrackedSlab<Channel>,
    by_id: IdMap<Slot>,
    /// Write sets on their way that raise a channel's sending limit.
    raising: BTreeMap<PersistSeq, (Slot, Amount)>,
    /// Channels served before their opening was safe, with the block (V6).
    soft: Vec<(u64, Slot)>,
    /// Channels that are put aside.
    pub aside: Aside,
    /// What was claimed.
    pub claims: Claims,
    /// What was not worth defending.
    pub forgone: Forgone,
}

impl Earnings {
    /// Bytes of memory that an open, idle channel takes.
    pub const fn bytes_per_channel() -> usize {
        TrackedSlab::<Channel>::bytes_per_entry() + 32 + size_of::<Slot>() + 1
    }

    /// Takes up a channel.
    pub fn adopt(&mut self, earning: Earning) -> Slot {
        assert!(self.by_id.get(&earning.channel).is_none(), "a channel is taken up once");
        let slot = self.channels.insert(Channel::new(earning));
        self.by_id.insert(earning.channel, slot);
        slot
    }

    /// A channel has settled.
    pub fn remove(&mut self, slot: Slot) -> Channel {
        let gone = self.channels.remove(slot).expect("only a channel that is there goes");
        assert_eq!(self.by_id.get(&gone.id), Some(slot), "a channel is found by its id");
        self.by_id.remove(&gone.id);
        self.soft.retain(|(_, other)| *other != slot);
        gone
    }

    /// Puts a channel aside that is over for now: it has no place in the table. It is `status` from here on.
    pub fn put_aside(&mut self, slot: Slot, status: ChannelStatus, since: Option<ChainTime>) -> Record {
        let mut channel = self.remove(slot);
        assert!(channel.streams.is_empty(), "nothing is served on what is put aside");
        channel.status = status;
        channel.is_soft = false;
        let record = channel.record();
        self.aside.put(channel, since);
        record
    }

    /// Takes a channel up again that was put aside.
    pub fn take_back(&mut self, id: &ChannelId, status: ChannelStatus) -> Option<Slot> {
        let mut channel = self.aside.take(id)?;
        channel.is_forgone = channel.status == ChannelStatus::Forgone;
        channel.status = status;
        channel.quiet_since = None;
        let slot = self.channels.insert(channel);
        let earlier = self.by_id.get(id);
        assert!(earlier.is_none(), "what is put aside is not in the table");
        self.by_id.insert(*id, slot);
        Some(slot)
    }

    /// What a channel has earned durably beyond what was claimed.
    pub fn unclaimed(&self, slot: Slot) -> Amount {
        let channel = &self.channels[slot];
        channel.durable.min(channel.deposit).saturating_sub(self.claims.of(&channel.id))
    }

    /// The channel of an id.
    pub fn slot(&self, id: &ChannelId) -> Option<Slot> {
        self.by_id.get(id)
    }

    /// Write sets on their way that raise a limit, channels that count towards the soft cap, and the most tails of one.
    pub fn counts(&self) -> (usize, usize, usize) {
        let tails = self.channels.iter().map(|(_, channel)| channel.tails.len()).max().unwrap_or(0);
        (self.raising.len(), self.soft.len(), tails)
    }

    /// Write sets on their way that raise a limit.
    pub fn raising(&self) -> impl Iterator<Item = PersistSeq> {
        self.raising.keys().copied()
    }

    /// Whether a voucher of a channel is on its way to the disk.
    pub fn is_raising(&self, slot: Slot) -> bool {
        self.raising.values().any(|(other, _)| *other == slot)
    }

    /// Channels that count towards the soft cap, with the blocks of their openings.
    pub fn soft(&self) -> impl Iterator<Item = (u64, Slot)> {
        self.soft.iter().copied()
    }

    /// Stores a channel.
    pub fn persist(&self, slot: Slot, cx: &mut Cx<'_>) -> PersistSeq {
        let record = self.channels[slot].record();
        cx.tools.persist(Lane::Channel(slot.index), vec![record], cx.out)
    }

    /// Takes a voucher that is better than the best. It raises the sending limit once it is durable (V3).
    pub fn take(&mut self, slot: Slot, voucher: Voucher, cx: &mut Cx<'_>) {
        let Voucher { amount, nonce, signature } = voucher;
        let channel = &mut self.channels[slot];
        let (best_nonce, best_amount) = channel.best_pair();
        assert!(nonce > best_nonce && amount > best_amount, "only a better voucher is taken (V1)");
        channel.meter.raise_to(amount);
        channel.best = Some(Best { amount, nonce, signature, meter: channel.meter });
        let seq = self.persist(slot, cx);
        let earlier = self.raising.insert(seq, (slot, amount));
        assert!(earlier.is_none(), "a write set's number is given out once");
    }

    /// A write set is durable: whose sending limit it raises (V3).
    pub fn on_persisted(&mut self, seq: PersistSeq) -> Option<Slot> {
        let (slot, amount) = self.raising.remove(&seq)?;
        // It may have settled meanwhile.
        let channel = self.channels.get_mut(slot)?;
        assert!(channel.best_pair().1 >= amount, "no limit is raised above the best voucher (V3)");
        channel.durable = channel.durable.max(amount);
        if !channel.may_have_lost() {
            channel.tails.clear();
        }
        Some(slot)
    }

    /// V6: the safe head has the opening, or its token's soft cap has room for its whole deposit.
    pub fn is_final_enough(&mut self, slot: Slot, safe: u64, soft_cap: Amount) -> bool {
        let channel = &self.channels[slot];
        if channel.is_soft || channel.opened_at_block <= safe {
            return true;
        }
        let others = self
            .soft
            .iter()
            .map(|(_, other)| self.channels.get(*other).expect("what counts towards the soft cap is there"));
        let at_risk = others
            .filter(|other| other.token == channel.token)
            .fold(Amount::ZERO, |sum, other| sum.checked_add(other.deposit).unwrap_or(Amount::MAX));
        if at_risk.checked_add(channel.deposit).is_none_or(|sum| sum > soft_cap) {
            return false;
        }
        self.soft.push((channel.opened_at_block, slot));
        self.channels[slot].is_soft = true;
        true
    }

    /// The opening is not on the chain as far as anybody knows: no safe head makes it final.
    pub fn unsee(&mut self, slot: Slot) {
        self.move_opening(slot, UNSEEN);
    }

    /// The opening is on the chain again, in this block, with this deposit. `true` if that is another one: what was counted
    /// on it counts no more.
    pub fn see_again(&mut self, slot: Slot, block: u64, deposit: Amount) -> bool {
        self.move_opening(slot, block);
        let channel = &mut self.channels[slot];
        let is_other = core::mem::replace(&mut channel.deposit, deposit) != deposit;
        if is_other {
            channel.is_soft = false;
            self.soft.retain(|(_, other)| *other != slot);
        }
        is_other
    }

    fn move_opening(&mut self, slot: Slot, block: u64) {
        self.channels[slot].opened_at_block = block;
        if let Some((listed, _)) = self.soft.iter_mut().find(|(_, other)| *other == slot) {
            *listed = block;
        }
    }

    /// The safe head has moved: what it has counts towards the soft cap no more.
    pub fn release_soft(&mut self, safe: u64) {
        let Self { soft, channels, .. } = self;
        soft.retain(|(block, slot)| {
            let is_soft = *block > safe;
            if !is_soft {
                let channel = channels.get_mut(*slot).expect("what counts towards the soft cap is there");
                channel.is_soft = false;
            }
            is_soft
        });
    }
}

impl Canon for (&Channel, Option<&Watch>) {
    fn canon(&self, out: &mut Canonical) {
        let (channel, watch) = self;
        out.tag(b'c');
        out.bytes(&channel.id.0);
        out.tag(channel.status as u8 | u8::from(channel.is_soft) << 4 | u8::from(watch.is_some()) << 5);
        let (nonce, amount) = channel.best_pair();
        out.number(nonce.0);
        out.large(amount.0);
        out.large(channel.durable.0);
        out.large(channel.meter.owed_raw());
        out.number(channel.tails.len() as u64);
        channel.tails.iter().for_each(|tail| tail.canon(out));
        if let Some(watch) = watch {
            watch.canon(out);
        }
    }
}
