//! What several endpoints make of the chain together (L4): which head two of them have, and what two of them say happened below it.
//! The port asks them all, and puts their answers together here; what comes out is one update, so that a recording replays it.
//!
//! A block counts where two have it by hash. What happened in it counts where two tell the very same. Of two such tales the longer
//! one counts: an endpoint leaves out sooner than it makes up. Of what one alone says, nothing is kept but closes: to dispute one
//! suffices, for all else it takes two.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{BlockRef, ChainEvent, ChainUpdate, channel::EventKind};
use crate::{ids::BlockHash, time::Span};

/// So many endpoints may be configured.
pub const ENDPOINTS: usize = 5;
/// So many have to agree.
const AGREE: usize = 2;
/// So many closes are kept of what an endpoint alone says: with one that makes them up, another's are not crowded out.
const DOUBTED: usize = 64;

/// What several endpoints make of an update, where several are configured.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Quorum {
    /// Two of them have the head, and tell the events up to `next`. If not, the update has no events and its head does not count.
    pub is_agreed: bool,
    /// Closes that one of them alone tells of. From `next` on nobody has denied them yet; below, two do.
    pub doubted: Vec<ChainEvent>,
}

/// The heads of several endpoints, and what else is known of the blocks that they have.
#[derive(Clone, Debug)]
pub struct Tips {
    heads: Vec<Option<BlockRef>>,
    /// By number and endpoint; `None`: it has none, or did not say.
    known: BTreeMap<(u64, usize), Option<BlockRef>>,
}

/// What comes next of looking for a head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    /// Ask this endpoint for its block of this number, and look again.
    Ask {
        /// Its place in the configuration.
        endpoint: usize,
        /// The block's number.
        number: u64,
    },
    /// The highest block that two have, and who has it.
    Agreed {
        /// The block.
        head: BlockRef,
        /// Places in the configuration, rising.
        who: Vec<usize>,
    },
    /// No two have the same block.
    Apart,
}

impl Tips {
    /// The heads of all endpoints that are configured; `None` for one that does not answer.
    pub fn new(heads: Vec<Option<BlockRef>>) -> Self {
        let known = heads
            .iter()
            .enumerate()
            .filter_map(|(endpoint, head)| head.map(|head| ((head.number, endpoint), Some(head))))
            .collect();
        Self { heads, known }
    }

    /// What an endpoint answers to [`Look::Ask`].
    pub fn tell(&mut self, endpoint: usize, number: u64, block: Option<BlockRef>) {
        self.known.insert((number, endpoint), block.filter(|block| block.number == number));
    }

    /// How many endpoints answer at all.
    pub fn answering(&self) -> usize {
        self.heads.iter().flatten().count()
    }

    /// Looks for the highest head that another endpoint has as well. Each head is looked for at most once at each endpoint.
    pub fn look(&self) -> Look {
        let mut numbers: Vec<u64> = self.heads.iter().flatten().map(|head| head.number).collect();
        numbers.sort_unstable_by(|one, other| other.cmp(one));
        numbers.dedup();
        for number in numbers {
            let reach = |head: &Option<BlockRef>| head.is_some_and(|head| head.number >= number);
            let those: Vec<usize> =
                (0..self.heads.len()).filter(|endpoint| reach(&self.heads[*endpoint])).collect();
            if those.len() < AGREE {
                continue;
            }
            if let Some(endpoint) =
                those.iter().find(|endpoint| !self.known.contains_key(&(number, **endpoint)))
            {
                return Look::Ask { endpoint: *endpoint, number };
            }
            let mut votes: BTreeMap<BlockHash, Vec<(usize, BlockRef)>> = BTreeMap::new();
            for endpoint in those {
                if let Some(Some(block)) = self.known.get(&(number, endpoint)) {
                    votes.entry(block.hash).or_default().push((endpoint, *block));
                }
            }
            // With four there may be two of each; then it is whoever most have, and of equals the first.
            let most = votes.into_values().rev().max_by_key(Vec::len).filter(|votes| votes.len() >= AGREE);
            if let Some(head) = most.as_ref().and_then(|votes| same_time(votes)) {
                let who = most.into_iter().flatten().map(|(endpoint, _)| endpoint).collect();
                return Look::Agreed { head, who };
            }
        }
        Look::Apart
    }
}

/// A hash covers the timestamp, but nobody checks that here: two have to say the same one.
fn same_time(votes: &[(usize, BlockRef)]) -> Option<BlockRef> {
    let is_twice =
        |block: &BlockRef| votes.iter().filter(|(_, other)| other.time == block.time).count() >= AGREE;
    votes.iter().map(|(_, block)| *block).find(is_twice)
}

/// One update of what each endpoint answers to the same question, with the head that was found: by [`Tips::look`], and whoever has it.
/// `None` as a head where no two have one. Whoever has not reached the head speaks for what it has.
pub fn agree(
    from_block: u64,
    found: Option<(BlockRef, &[usize])>,
    views: &[Option<ChainUpdate>],
) -> ChainUpdate {
    let forced_inclusion = median(views.iter().flatten().map(|view| view.forced_inclusion));
    // Who lies about it must not hold back what is worth its gas (X2).
    let prices = views.iter().flatten().map(|view| view.gas_price);
    let gas_price = prices.filter(|price| !price.is_unknown()).min().unwrap_or_default();
    let Some((head, who)) = found else {
        return ChainUpdate {
            head: views.iter().flatten().map(|view| view.head).next().unwrap_or_default(),
            next: from_block,
            forced_inclusion,
            gas_price,
            quorum: Some(Quorum { is_agreed: false, doubted: doubted(views, |_| false) }),
            ..ChainUpdate::default()
        };
    };
    let speaks =
        |(place, view): &(usize, &ChainUpdate)| view.head.number < head.number || who.contains(place);
    let all = || views.iter().enumerate().filter_map(|(place, view)| Some((place, view.as_ref()?)));
    let voices: Vec<Voice<'_>> =
        all().filter(speaks).map(|(_, view)| Voice::of(view, from_block, head.number)).collect();
    let safe = second(voices.iter().map(|voice| voice.safe)).unwrap_or(0);
    let mut next = second(voices.iter().map(|voice| voice.end)).unwrap_or(from_block).max(from_block);
    let mut events: Vec<ChainEvent> = Vec::new();
    let blocks: BTreeSet<u64> = voices.iter().flat_map(|voice| voice.blocks.keys().copied()).collect();
    for block in blocks.into_iter().take_while(|block| *block < next) {
        match tale(block, &voices) {
            Some(tale) => events.extend(tale),
            None => {
                next = block;
                break;
            }
        }
    }
    let taken: BTreeSet<ChainEvent> = events.iter().copied().collect();
    let doubted = doubted(views, |event| taken.contains(event));
    let quorum = Some(Quorum { is_agreed: true, doubted });
    ChainUpdate {
        head,
        safe,
        forked_at: None,
        events,
        next,
        forced_inclusion,
        gas_price,
        endpoint: 0,
        quorum,
    }
}

/// What one endpoint says, as far as it can know.
struct Voice<'a> {
    safe: u64,
    /// The first block that it says nothing of.
    end: u64,
    blocks: BTreeMap<u64, Vec<&'a ChainEvent>>,
}

impl<'a> Voice<'a> {
    fn of(view: &'a ChainUpdate, from_block: u64, head: u64) -> Self {
        let last = view.head.number.min(head);
        let end = view.next.min(last.saturating_add(1));
        let mut blocks: BTreeMap<u64, Vec<&ChainEvent>> = BTreeMap::new();
        for event in view.events.iter().filter(|event| (from_block..end).contains(&event.block.number)) {
            blocks.entry(event.block.number).or_default().push(event);
        }
        Self { safe: view.safe.min(last), end, blocks }
    }
}

/// What happened in a block, where two tell the same.
fn tale(block: u64, voices: &[Voice<'_>]) -> Option<Vec<ChainEvent>> {
    let mut tales: BTreeMap<Vec<&ChainEvent>, usize> = BTreeMap::new();
    for voice in voices.iter().filter(|voice| voice.end > block) {
        *tales.entry(voice.blocks.get(&block).cloned().unwrap_or_default()).or_default() += 1;
    }
    let agreed = tales.into_iter().filter(|(_, votes)| *votes >= AGREE).map(|(tale, _)| tale);
    agreed.max_by_key(Vec::len).map(|tale| tale.into_iter().copied().collect())
}

/// The closes that are not among what counts, each once.
fn doubted(views: &[Option<ChainUpdate>], counts: impl Fn(&ChainEvent) -> bool) -> Vec<ChainEvent> {
    let is_close = |event: &&ChainEvent| {
        event.as_channel().is_some_and(|event| matches!(event.kind, EventKind::Closing { .. }))
            && !counts(event)
    };
    let each = views.iter().flatten().flat_map(|view| view.events.iter().filter(is_close).take(DOUBTED));
    each.copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The highest number that two reach.
fn second(numbers: impl Iterator<Item = u64>) -> Option<u64> {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    numbers.get(AGREE - 1).copied()
}

/// Of several the one in the middle, of two the longer one: a wait that is believed to be too short loses a dispute.
fn median(spans: impl Iterator<Item = Span>) -> Span {
    let mut spans: Vec<Span> = spans.collect();
    spans.sort_unstable();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{
        chain::Block,
        ids::{Address, ChannelId},
        money::{Amount, Nonce},
        time::ChainTime,
    };

    fn block(number: u64, branch: u8) -> BlockRef {
        BlockRef { number, hash: BlockHash([branch; 32]), time: ChainTime(number) }
    }

    fn close(number: u64, amount: u128) -> ChainEvent {
        let kind = EventKind::Closing {
            by: Address::ZERO,
            amount: Amount(amount),
            nonce: Nonce(1),
            deadline: ChainTime(9),
        };
        ChainEvent::of_channel(Block { number, time: ChainTime(1) }, ChannelId([1; 32]), kind)
    }

    fn view(head: BlockRef, events: &[ChainEvent]) -> Option<ChainUpdate> {
        let (events, next) = (events.to_vec(), head.number + 1);
        Some(ChainUpdate { head, safe: head.number - 5, events, next, ..ChainUpdate::default() })
    }

    /// Looks to the end; each endpoint's blocks are all of its head's branch.
    fn look(heads: &[Option<BlockRef>]) -> Look {
        let mut tips = Tips::new(heads.to_vec());
        for _ in 0..ENDPOINTS * ENDPOINTS {
            match tips.look() {
                Look::Ask { endpoint, number } => {
                    let known = heads[endpoint].filter(|head| head.number >= number);
                    tips.tell(endpoint, number, known.map(|head| block(number, head.hash.0[0])));
                }
                found => return found,
            }
        }
        panic!("it asks for ever");
    }

    #[test]
    fn l4_the_highest_block_that_two_have_is_the_head_whatever_a_third_says() {
        for liar in [block(300_000_000, 9), block(1_000, 9), block(1, 9), block(999, 7)] {
            let found = look(&[Some(liar), Some(block(1_000, 7)), Some(block(998, 7))]);
            let Look::Agreed { head, who } = found else { panic!("two agree: {found:?}") };
            // One that lags by a block is right, and says so.
            let (number, those) = if liar.hash.0[0] == 7 { (999, vec![0, 1]) } else { (998, vec![1, 2]) };
            assert_eq!((head, who), (block(number, 7), those), "{liar:?}");
        }
        assert_eq!(look(&[Some(block(5, 1)), Some(block(5, 2))]), Look::Apart);
        assert_eq!(look(&[None, Some(block(5, 2)), None]), Look::Apart, "nobody agrees with itself");
        assert_eq!(look(&[]), Look::Apart);
    }

    #[test]
    fn l4_a_time_that_one_alone_says_is_nobodys() {
        let other = BlockRef { time: ChainTime(77), ..block(5, 1) };
        let found = look(&[Some(other), Some(block(5, 1)), Some(block(5, 1))]);
        assert_eq!(found, Look::Agreed { head: block(5, 1), who: vec![0, 1, 2] });
        assert_eq!(look(&[Some(other), Some(block(5, 1))]), Look::Apart);
    }

    #[test]
    fn l4_what_two_tell_counts_and_of_what_one_tells_the_closes_are_kept() {
        let head = block(20, 1);
        let (true_one, made_up) = (close(12, 5), close(13, 0));
        let views = [view(head, &[true_one]), view(head, &[made_up]), view(head, &[true_one])];
        let update = agree(10, Some((head, &[0, 1, 2])), &views);
        assert_eq!((update.events.as_slice(), update.next, update.safe), (&[true_one][..], 21, 15));
        assert_eq!(update.doubted().collect::<Vec<_>>(), [(&made_up, true)], "two deny it");
        assert!(update.is_agreed());
    }

    #[test]
    fn l4_where_two_of_two_differ_the_block_and_all_after_it_wait() {
        let head = block(20, 1);
        let views = [view(head, &[close(11, 1), close(12, 5)]), view(head, &[close(11, 1)])];
        let update = agree(10, Some((head, &[0, 1])), &views);
        assert_eq!((update.events.len(), update.next), (1, 12));
        assert_eq!(update.doubted().collect::<Vec<_>>(), [(&close(12, 5), false)], "nobody denies it yet");
    }

    #[test]
    fn l4_nobody_agrees_with_whoever_has_not_come_so_far() {
        let (head, behind) = (block(20, 1), block(11, 1));
        let views = [view(head, &[close(15, 1)]), view(behind, &[]), view(head, &[])];
        let update = agree(10, Some((head, &[0, 2])), &views);
        assert_eq!((update.events.len(), update.next), (0, 15));
        // A head that counts on another branch speaks for nothing here.
        let views = [view(head, &[close(15, 1)]), view(block(25, 2), &[]), view(head, &[close(15, 1)])];
        let update = agree(10, Some((head, &[0, 2])), &views);
        assert_eq!((update.events.len(), update.next), (1, 21));
    }

    #[test]
    fn l4_two_who_leave_something_out_yield_to_two_who_tell_it() {
        let head = block(20, 1);
        let views: Vec<_> =
            [&[close(12, 5)][..], &[], &[], &[close(12, 5)]].map(|events| view(head, events)).into();
        let update = agree(10, Some((head, &[0, 1, 2, 3])), &views);
        assert_eq!((update.events.as_slice(), update.next), (&[close(12, 5)][..], 21));
    }

    #[test]
    fn l4_one_alone_moves_nothing_and_its_closes_are_kept() {
        let update = agree(10, None, &[None, view(block(20, 1), &[close(12, 5)])]);
        assert!(!update.is_agreed() && update.events.is_empty());
        assert_eq!((update.next, update.safe), (10, 0));
        assert_eq!(update.doubted().collect::<Vec<_>>(), [(&close(12, 5), false)]);
    }

    #[test]
    fn o11_one_who_makes_closes_up_does_not_crowd_out_another() {
        let head = block(2_000, 1);
        let many: Vec<_> = (0..1_000).map(|n| close(11 + n, 0)).collect();
        let update = agree(10, None, &[view(head, &many), view(head, &[close(1_500, 5)])]);
        let doubted = update.quorum.expect("there are two").doubted;
        assert!(doubted.contains(&close(1_500, 5)) && doubted.len() <= 2 * DOUBTED);
    }

    #[test]
    fn l2_a_wait_for_the_inbox_that_one_makes_up_is_neither_shorter_nor_longer() {
        let waits = |waits: &[u64]| median(waits.iter().map(|hours| Span::from_hours(*hours)));
        assert_eq!(waits(&[24, 0, 24]), Span::from_hours(24));
        assert_eq!(waits(&[24, 900, 24]), Span::from_hours(24));
        assert_eq!(waits(&[0, 24]), Span::from_hours(24), "too early costs gas, too late the channel");
    }
}
