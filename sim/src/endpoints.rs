//! Endpoints through which somebody reads the chain, and what is wrong with them. What they say together is for the engine's
//! [`quorum`] to find, as in the real port.

use decdn_engine::{
    chain::{BlockRef, ChainEvent, ChainUpdate, channel::EventKind, quorum},
    ids::{Address, BlockHash, ChannelId},
    money::{Amount, Nonce},
    time::{ChainTime, Span, Time},
};

use crate::decide::{Decisions, Label};

/// An answer of an endpoint that is no chain's: so it calls its blocks.
const OTHER: [u8; 32] = [0x0c; 32];
/// The highest number that another chain's head has.
const OTHER_MOST: u64 = 1 << 40;

/// What is wrong with an endpoint for a while. Of a million answers that many are so, each drawn by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// From when.
    pub from: Time,
    /// To when.
    pub until: Time,
    /// Its head is so many blocks behind.
    pub lag_blocks: u64,
    /// Its logs are so many blocks behind its head.
    pub logs_lag_blocks: u64,
    /// How many have a head far ahead.
    pub ahead: u32,
    /// In number, by so much.
    pub ahead_blocks: u64,
    /// In time, by so much.
    pub ahead_by: Span,
    /// How many are another chain's.
    pub other_chain: u32,
    /// Of a million events, how many it leaves out.
    pub omits: u32,
    /// How many have an event that never was, a safe head that is none, and a wait for the inbox that is none.
    pub forges: u32,
    /// How many are none, or an error.
    pub silent: u32,
    /// Of a million transactions, how many it takes and forgets.
    pub loses: u32,
}

/// An endpoint of somebody's.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// What is wrong with it, when.
    pub faults: Vec<Fault>,
}

/// What an endpoint says when it is asked.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The answer to the poll.
    pub view: ChainUpdate,
    /// Its blocks are another chain's.
    is_other: bool,
    /// The highest block that it has of the true chain.
    last: u64,
}

impl Answer {
    /// Its block of a number, where the true one is this.
    pub fn block(&self, true_one: BlockRef) -> Option<BlockRef> {
        if self.is_other {
            return Some(BlockRef { hash: BlockHash(OTHER), ..true_one });
        }
        (true_one.number <= self.last).then_some(true_one)
    }
}

/// Whom an endpoint lies to, and what there is to lie about.
#[derive(Clone, Debug)]
pub struct About {
    /// The account that asks.
    pub account: Address,
    /// Its channels.
    pub channels: Vec<ChannelId>,
    /// How long a close takes.
    pub window: Span,
}

impl Endpoint {
    /// Whether it answers truly just now.
    pub fn is_right(&self, now: Time) -> bool {
        self.active(now).next().is_none()
    }

    fn active(&self, now: Time) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(move |fault| fault.from <= now && now < fault.until)
    }

    /// How far behind it is.
    pub fn lag_blocks(&self, now: Time) -> u64 {
        self.active(now).map(|fault| fault.lag_blocks).max().unwrap_or(0)
    }

    /// Whether it takes a transaction and forgets it.
    pub fn loses(&self, now: Time, decide: &mut Decisions) -> bool {
        let mut active = self.active(now);
        active.any(|fault| decide.chance(Label::Endpoint, fault.loses))
    }

    /// What it makes of what it has; `None`: an error, or nothing.
    pub fn answer(
        &self,
        now: Time,
        mut view: ChainUpdate,
        about: &About,
        decide: &mut Decisions,
    ) -> Option<Answer> {
        let (last, mut is_other) = (view.head.number, false);
        for fault in self.active(now) {
            if decide.chance(Label::Endpoint, fault.silent) {
                return None;
            }
            let logged = last.saturating_sub(fault.logs_lag_blocks);
            view.events
                .retain(|event| event.block.number <= logged && !decide.chance(Label::Endpoint, fault.omits));
            if decide.chance(Label::Endpoint, fault.forges) {
                forge(&mut view, about, decide);
            }
            if decide.chance(Label::Endpoint, fault.ahead) {
                view.head.time = ChainTime(view.head.time.0.saturating_add(fault.ahead_by.0 / 1_000_000));
                if fault.ahead_blocks > 0 {
                    view.head.number = view.head.number.saturating_add(fault.ahead_blocks);
                    view.head.hash = BlockHash([0x0f; 32]);
                    (view.next, view.safe) = (view.head.number.saturating_add(1), view.head.number);
                }
            }
            if decide.chance(Label::Endpoint, fault.other_chain) {
                let number = decide.below(Label::Endpoint, OTHER_MOST);
                view.head = BlockRef { number, hash: BlockHash(OTHER), ..view.head };
                (view.next, view.safe) = (number.saturating_add(1), number);
                view.events.clear();
                is_other = true;
            }
        }
        Some(Answer { view, is_other, last })
    }
}

/// Something that never happened, in the newest block.
fn forge(view: &mut ChainUpdate, about: &About, decide: &mut Decisions) {
    let mut below = |options| decide.below(Label::Endpoint, options);
    view.safe = view.head.number;
    view.forced_inclusion = Span(view.forced_inclusion.0 * below(4));
    let stranger = Address::repeat_byte(0x5e);
    let opened = EventKind::Opened {
        client: about.account,
        node: stranger,
        token: stranger,
        deposit: Amount(1_000_000),
        window_secs: about.window.0 / 1_000_000,
    };
    let (channel, kind) = match about.channels.get(below(about.channels.len() as u64 + 1) as usize) {
        None => (ChannelId([0x5e; 32]), opened),
        Some(channel) => (*channel, forged(view.head, about, below(3))),
    };
    let block = decdn_engine::chain::Block { number: view.head.number, time: view.head.time };
    view.events.push(ChainEvent::of_channel(block, channel, kind));
    view.next = view.head.number.saturating_add(1);
}

fn forged(head: BlockRef, about: &About, which: u64) -> EventKind {
    let by = about.account;
    let (amount, nonce) = (Amount::ZERO, Nonce(1));
    match which {
        0 => {
            let deadline = ChainTime(head.time.0.saturating_add(about.window.0 / 1_000_000));
            EventKind::Closing { by, amount, nonce, deadline }
        }
        1 => EventKind::Disputed { by, amount: Amount(u128::from(u64::MAX)), nonce },
        _ => EventKind::Settled {
            ending: decdn_engine::chain::channel::Ending::Window,
            amount,
            paid: amount,
            refunded: amount,
        },
    }
}

/// What all of them say together; `None` where none answers. `named`: the true block of a number.
pub fn together(
    from_block: u64,
    answers: &[Option<Answer>],
    named: impl Fn(u64) -> BlockRef,
) -> Option<ChainUpdate> {
    if answers.iter().all(Option::is_none) {
        return None;
    }
    let heads = answers.iter().map(|answer| answer.as_ref().map(|answer| answer.view.head)).collect();
    let views: Vec<Option<ChainUpdate>> =
        answers.iter().map(|answer| answer.as_ref().map(|answer| answer.view.clone())).collect();
    let mut tips = quorum::Tips::new(heads);
    loop {
        match tips.look() {
            quorum::Look::Ask { endpoint, number } => {
                let block = answers[endpoint].as_ref().and_then(|answer| answer.block(named(number)));
                tips.tell(endpoint, number, block);
            }
            quorum::Look::Agreed { head, who } => {
                return Some(quorum::agree(from_block, Some((head, &who)), &views));
            }
            quorum::Look::Apart => return Some(quorum::agree(from_block, None, &views)),
        }
    }
}
