//! The true chain: what is in its blocks, which of them can still be taken back, and what waits in its delayed inbox. Its contract
//! is restated as far as a dispute needs it.

use decdn_engine::{
    chain::{
        Block, BlockRef, Call, ChainEvent, Revert,
        channel::{self, Ending, EventKind, Revert as Why},
    },
    crypto::SignedVoucher,
    ids::{Address, BlockHash, ChannelId, TxTicket},
    money::Amount,
    time::{ChainTime, Span, Time},
};

use super::{DEPOSIT, Party};

/// From when on what the inbox has can be forced (L2).
pub(super) const FORCED_INCLUSION: Span = Span::from_hours(24);
/// How long a close can be answered.
pub(super) const WINDOW: Span = Span::from_hours(48);
/// The fewest blocks that are not safe: twenty minutes, in which a role reads each block twice (L4).
pub(super) const UNSAFE_BLOCKS: u64 = 4_800;
/// Blocks in a second (L1).
const BLOCKS_A_SECOND: u64 = 4;
/// From so many events on nobody but the role makes more: a role remembers a few more for reading their blocks twice (L4).
const EVENTS_MAX: usize = 16;

/// Where a channel stands on the true chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stands {
    Open,
    /// Since this block, until this time.
    Closing(u64, ChainTime),
    /// In this block.
    Settled(u64),
}

/// A channel as the true contract has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) recorded: Amount,
    pub(super) stands: Stands,
}

/// An event, and when an answer first kept it back.
#[derive(Clone, Copy, Debug)]
struct Logged {
    event: ChainEvent,
    omitted: Option<Time>,
}

/// A dispute in the delayed inbox.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter {
    pub(super) ticket: TxTicket,
    pub(super) voucher: SignedVoucher,
    pub(super) at: ChainTime,
    /// The role was told that it is there, and nothing else since.
    pub(super) is_told: bool,
    /// The block that has it.
    included: Option<u64>,
}

impl Letter {
    pub(super) fn forcible(&self) -> ChainTime {
        self.at.after(FORCED_INCLUSION)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.included.is_none()
    }
}

pub(super) struct Truth {
    number: u64,
    time: ChainTime,
    /// Microseconds that no second has counted.
    rest: u64,
    pub(super) safe: u64,
    /// From which block on which branch stands; rising.
    branches: Vec<(u64, u8)>,
    /// The first block that is another one than was told.
    forked: Option<u64>,
    log: Vec<Logged>,
    pub(super) inbox: Vec<Letter>,
}

impl Truth {
    /// With these channels, whose openings are safe.
    pub(super) fn new(party: &Party, channels: &[ChannelId], time: ChainTime) -> Self {
        let opened = EventKind::Opened {
            client: party.client,
            node: party.node,
            token: party.token,
            deposit: DEPOSIT,
            window_secs: WINDOW.0 / 1_000_000,
        };
        let block = Block { number: 1, time };
        let log = channels
            .iter()
            .map(|id| Logged { event: ChainEvent::of_channel(block, *id, opened), omitted: None })
            .collect();
        Self {
            number: 10,
            time,
            rest: 0,
            safe: 9,
            branches: vec![(0, 0)],
            forked: None,
            log,
            inbox: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> BlockRef {
        BlockRef::new(self.block(), self.hash(self.number))
    }

    fn block(&self) -> Block {
        Block { number: self.number, time: self.time }
    }

    pub(super) fn hash(&self, number: u64) -> BlockHash {
        let branch = self.branches.iter().rev().find(|(first, _)| *first <= number).expect("the first is 0");
        let mut hash = [branch.1; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        BlockHash(hash)
    }

    /// Time passes, and blocks with it.
    pub(super) fn pass(&mut self, span: Span) {
        let whole = self.rest + span.0;
        self.rest = whole % 1_000_000;
        self.time = ChainTime(self.time.0 + whole / 1_000_000);
        self.number += whole / 1_000_000 * BLOCKS_A_SECOND;
    }

    /// The safe head follows, up to so many blocks behind the soft one.
    pub(super) fn post(&mut self, behind: u64) {
        self.safe = self.safe.max(self.number.saturating_sub(behind));
    }

    /// Blocks that are not safe are others now, from somewhere between the safe head and the soft one on. Of what was in them every
    /// second event comes again.
    pub(super) fn fork(&mut self, place: u64, comes_again: bool) {
        let first = self.safe + 1 + place % (self.number - self.safe).max(1);
        let branch = self.branches.last().expect("the first stays").1.wrapping_add(1);
        self.branches.retain(|(from, _)| *from < first);
        self.branches.push((first, branch));
        self.forked = Some(self.forked.unwrap_or(first).min(first));
        let place = self.log.partition_point(|logged| logged.event.block.number < first);
        let undone = self.log.split_off(place);
        for letter in &mut self.inbox {
            letter.included = letter.included.filter(|block| *block < first);
        }
        self.number = self.number.max(first) + 1;
        if comes_again {
            // The same transactions in blocks of the new branch, as far as they still do what they did.
            for Logged { event, .. } in undone.into_iter().step_by(2) {
                let happened = event.as_channel().expect("only channels are logged");
                if self.follows(happened.channel, &happened.kind) {
                    self.say(happened.channel, happened.kind);
                }
            }
        }
    }

    /// Whether an event can come next.
    fn follows(&self, channel: ChannelId, kind: &EventKind) -> bool {
        let State { recorded, stands } = self.state(channel);
        match (*kind, stands) {
            (EventKind::Closing { amount, .. } | EventKind::Claimed { amount, .. }, Stands::Open) => {
                amount >= recorded
            }
            (EventKind::Disputed { amount, .. }, Stands::Closing(..)) => amount > recorded,
            _ => false,
        }
    }

    /// What the port says of forks with its next answer.
    pub(super) fn take_fork(&mut self) -> Option<u64> {
        self.forked.take()
    }

    /// Events from this block on up to that one. `omits` chooses among them; one that was kept back half a minute ago is told.
    pub(super) fn tell(
        &mut self,
        now: Time,
        (from, to): (u64, u64),
        mut omits: impl FnMut() -> bool,
    ) -> Vec<ChainEvent> {
        let mut told = Vec::new();
        for logged in &mut self.log {
            if !(from..=to).contains(&logged.event.block.number) {
                continue;
            }
            let may_omit = logged.omitted.is_none_or(|at| now.since(at) < Span::from_secs(30));
            if may_omit && omits() {
                logged.omitted.get_or_insert(now);
            } else {
                told.push(logged.event);
            }
        }
        told
    }

    pub(super) fn state(&self, channel: ChannelId) -> State {
        let mut state = State { recorded: Amount::ZERO, stands: Stands::Open };
        for logged in &self.log {
            let happened = logged.event.as_channel().expect("only channels are logged");
            if happened.channel != channel {
                continue;
            }
            let block = logged.event.block.number;
            match happened.kind {
                EventKind::Opened { .. } => {}
                EventKind::Closing { amount, deadline, .. } => {
                    state.stands = Stands::Closing(block, deadline);
                    state.recorded = amount;
                }
                EventKind::Disputed { amount, .. } | EventKind::Claimed { amount, .. } => {
                    state.recorded = amount;
                }
                EventKind::Settled { amount, .. } => {
                    state.stands = Stands::Settled(block);
                    state.recorded = amount;
                }
            }
        }
        state
    }

    /// An event in a block of its own.
    fn say(&mut self, channel: ChannelId, kind: EventKind) -> Block {
        self.number += 1;
        let block = self.block();
        self.log.push(Logged { event: ChainEvent::of_channel(block, channel, kind), omitted: None });
        block
    }

    /// Whether others may make events still.
    pub(super) fn has_room(&self) -> bool {
        self.log.len() < EVENTS_MAX
    }

    /// A call is in a block, from this account; what it does there.
    pub(super) fn execute(&mut self, from: Address, call: &Call) -> (Block, Result<(), Revert>) {
        match self.effect(from, call) {
            Ok((channel, kind)) => (self.say(channel, kind), Ok(())),
            Err(reason) => {
                self.number += 1;
                (self.block(), Err(reason))
            }
        }
    }

    fn effect(&self, by: Address, call: &Call) -> Result<(ChannelId, EventKind), Revert> {
        let Call::Channel(call) = call else { return Err(Revert::Other) };
        let voucher = match *call {
            channel::Call::Close { voucher, .. } | channel::Call::Finish { voucher, .. } => voucher,
            channel::Call::Dispute { voucher } | channel::Call::Claim { voucher } => Some(voucher),
            _ => None,
        };
        let channel = call.channel().ok_or(Revert::Other)?;
        let State { recorded, stands } = self.state(channel);
        let nonce = voucher.map_or_else(Default::default, |voucher| voucher.terms.nonce);
        let claims = voucher.map_or(Amount::ZERO, |voucher| voucher.terms.amount.min(DEPOSIT));
        let amount = claims.max(recorded);
        let is_over = matches!(stands, Stands::Closing(_, deadline) if self.time >= deadline);
        let settled = |ending| EventKind::Settled {
            ending,
            amount,
            paid: amount,
            refunded: Amount(DEPOSIT.0 - amount.0),
        };
        let deadline = self.time.after(WINDOW);
        let kind = match (*call, stands) {
            (channel::Call::Close { .. }, Stands::Open) => EventKind::Closing { by, amount, nonce, deadline },
            (channel::Call::Dispute { .. } | channel::Call::Close { .. }, Stands::Closing(..)) => {
                match claims {
                    _ if is_over => return Err(Why::WindowOver.into()),
                    more if more > recorded => EventKind::Disputed { by, amount, nonce },
                    _ => return Err(Why::AmountNotHigher.into()),
                }
            }
            (channel::Call::Dispute { .. }, _) => return Err(Why::NotClosing.into()),
            (channel::Call::Settle { .. }, Stands::Closing(..)) if is_over => settled(Ending::Window),
            (channel::Call::Settle { .. }, Stands::Closing(..)) => return Err(Why::WindowOpen.into()),
            (channel::Call::Settle { .. }, _) => return Err(Why::NotClosing.into()),
            (channel::Call::Finish { .. }, Stands::Open | Stands::Closing(..)) if !is_over => {
                settled(Ending::Finish)
            }
            (channel::Call::Claim { .. }, Stands::Open) if claims > recorded => {
                EventKind::Claimed { amount, nonce, paid: amount }
            }
            (channel::Call::Claim { .. }, Stands::Open) => return Err(Why::AmountNotHigher.into()),
            (channel::Call::ForceClose { .. }, _) => return Err(Why::TokenStillAllowed.into()),
            _ => return Err(Why::NotOpen.into()),
        };
        Ok((channel, kind))
    }

    /// The inbox takes a dispute.
    pub(super) fn post_letter(&mut self, ticket: TxTicket, voucher: SignedVoucher) {
        self.inbox.push(Letter { ticket, voucher, at: self.time, is_told: false, included: None });
    }

    /// What has waited for long enough, up to this letter, is in a block.
    pub(super) fn force(&mut self, from: Address, ticket: TxTicket) -> Option<(Block, Result<(), Revert>)> {
        let last = self.inbox.iter().rposition(|letter| letter.ticket == ticket && letter.is_waiting())?;
        if self.inbox[last].forcible() > self.time {
            return None;
        }
        let mut outcome = None;
        for place in 0..=last {
            if self.inbox[place].is_waiting() {
                let call = channel::Call::Dispute { voucher: self.inbox[place].voucher };
                let (block, result) = self.execute(from, &call.into());
                self.inbox[place].included = Some(block.number);
                outcome = Some((block, result));
            }
        }
        outcome
    }
}
