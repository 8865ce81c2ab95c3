//! News where several endpoints are configured: each is asked by itself, and the engine's [`quorum`] says what they agree on (L4).

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use alloy_eips::BlockNumberOrTag;
use decdn_engine::{
    chain::{BlockRef, ChainUpdate, Interest, quorum},
    ids::BlockHash,
    time::Span,
};
use futures::future::join_all;
use tokio::time::timeout;

use super::{ChainError, alloy::Shared, reader::Reader};

/// How long one of several endpoints may take for a block, and for all that a poll asks beyond: whoever takes longer says nothing this
/// time. Whoever took too long the last time is asked, and hardly waited for.
const BLOCK: Duration = Duration::from_secs(5);
const SLOW: Duration = Duration::from_millis(250);
const EVENTS: Duration = Duration::from_secs(60);
/// Two make a hash that of a block.
const AGREE: usize = 2;

impl Shared {
    /// What the endpoints say together.
    pub(super) async fn news_of_all(
        &self,
        from_block: u64,
        interests: &[Interest],
        forced_inclusion: Span,
    ) -> Result<ChainUpdate, ChainError> {
        let heads =
            join_all(self.readers.iter().map(|reader| self.block_of(reader, BlockNumberOrTag::Latest))).await;
        if heads.iter().all(Option::is_none) {
            return Err(ChainError::Endpoint("none of them answers".to_owned()));
        }
        let found = self.agreed_head(&heads).await;
        let who = found.as_ref().map_or(&[][..], |(_, who)| who);
        let forked_at = match &found {
            Some((head, who)) => self.forked_at(*head, who).await?,
            None => None,
        };
        let from_block = from_block.min(forked_at.unwrap_or(u64::MAX));
        let last = found.as_ref().map_or(u64::MAX, |(head, _)| head.number);
        let asked = self.readers.iter().zip(heads);
        let views = asked.map(|(reader, head)| async move {
            let reading = reader.read(head?, last, from_block, interests, forced_inclusion);
            match timeout(EVENTS, reading).await {
                Ok(Ok(view)) => Some(view),
                Ok(Err(why)) => self.pass_over(reader, &why),
                Err(_) => self.pass_over(reader, &ChainError::Endpoint("no answer in time".to_owned())),
            }
        });
        let views = join_all(views).await;
        let agreed = found.as_ref().map(|(head, _)| (*head, who));
        let update = quorum::agree(from_block, agreed, &views);
        self.note_told(update.is_agreed().then_some(&update), forked_at);
        Ok(ChainUpdate { forked_at, ..update })
    }

    /// The highest block that two have, and who has it.
    async fn agreed_head(&self, heads: &[Option<BlockRef>]) -> Option<(BlockRef, Vec<usize>)> {
        let mut tips = quorum::Tips::new(heads.to_vec());
        loop {
            match tips.look() {
                quorum::Look::Ask { endpoint, number } => {
                    let block =
                        self.block_of(&self.readers[endpoint], BlockNumberOrTag::Number(number)).await;
                    tips.tell(endpoint, number, block);
                }
                quorum::Look::Agreed { head, who } => {
                    for (place, other) in heads.iter().enumerate() {
                        let is_apart = other.is_some_and(|other| other.number >= head.number);
                        if is_apart && !who.contains(&place) {
                            let endpoint = self.readers[place].shown();
                            tracing::warn!(
                                endpoint,
                                block = head.number,
                                "an RPC endpoint has another block than two others"
                            );
                        }
                    }
                    return Some((head, who));
                }
                quorum::Look::Apart => {
                    tracing::warn!(
                        "no two RPC endpoints agree on a block: nothing is opened, and soon no credit given"
                    );
                    return None;
                }
            }
        }
    }

    /// What a block is called by those who have the head.
    pub(super) async fn agreed_hash(&self, number: u64, who: &[usize]) -> Result<BlockHash, ChainError> {
        if let [reader] = self.readers.as_slice() {
            return Ok(reader.block(BlockNumberOrTag::Number(number)).await?.hash);
        }
        let those =
            who.iter().map(|place| self.block_of(&self.readers[*place], BlockNumberOrTag::Number(number)));
        let mut votes: BTreeMap<BlockHash, usize> = BTreeMap::new();
        for block in join_all(those).await.into_iter().flatten() {
            *votes.entry(block.hash).or_default() += 1;
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count).filter(|(_, count)| *count >= AGREE);
        most.map(|(hash, _)| hash).ok_or(ChainError::Nonsense("a block that no other endpoint has"))
    }

    async fn block_of(&self, reader: &Reader, tag: BlockNumberOrTag) -> Option<BlockRef> {
        let patience = if reader.is_slow.load(Ordering::Relaxed) { SLOW } else { BLOCK };
        let answer = timeout(patience, reader.block(tag)).await;
        reader.is_slow.store(answer.is_err(), Ordering::Relaxed);
        match answer {
            Ok(Ok(block)) => Some(block),
            Ok(Err(why)) => self.pass_over(reader, &why),
            Err(_) => self.pass_over(reader, &ChainError::Endpoint("no answer in time".to_owned())),
        }
    }

    fn pass_over<T>(&self, reader: &Reader, why: &ChainError) -> Option<T> {
        tracing::warn!(endpoint = reader.shown(), %why, "an RPC endpoint is passed over");
        None
    }
}
