//! Acts two and three: the client closes at zero and is gone, and the node disputes; once by the sequencer, once past it.

use std::{collections::BTreeSet, time::Duration};

use decdn_contracts::Policy;
use decdn_driver::Clock;
use decdn_engine::{
    chain::channel,
    dispute::Monitor,
    ids::{Address, BlobHash, ChannelId},
    io::Notice,
    record::Record,
    time::Span,
};
use indicatif::ProgressBar;

use super::{Before, ENCORE_BYTES, Heard, buy, import, patiently, say, statement};
use crate::{
    cli::{
        Failure, failed,
        source::Source,
        statement::{Close, Statement, units, usdc},
    },
    party::News,
    stage::Stage,
};

/// How often a state that nothing tells of is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What the act has bought, and how it goes on.
struct Scene {
    before: Before,
    source: Source,
    id: u64,
    blob: (BlobHash, u64),
    heard: Heard,
}

/// Act two: the node's monitor disputes within the window.
pub(super) async fn disputed(stage: &mut Stage, json: bool) -> Result<Statement, Failure> {
    let mut scene = Scene::cheat(stage, "encore", 2, BTreeSet::new(), json).await?;
    let disputed_to = scene.disputed(stage).await?;
    say(json, format_args!("the dispute stands at {}; {} h go by", usdc(disputed_to), hours(stage.window)));
    stage.clock.warp(after(stage));
    scene.settled(stage).await?;
    let close = Close::Disputed { closed_at: 0, disputed_to, window_secs: secs(stage.window) };
    scene.statement(stage, "Act 2: a close at zero, disputed", close).await
}

/// Act three: the sequencer takes nothing of the node's. Its dispute goes into the delayed inbox of the chain below, and is forced
/// in once it has waited there (X2, L2).
pub(super) async fn forced(stage: &mut Stage, json: bool) -> Result<Statement, Failure> {
    stage.restart_client().await.map_err(failed)?;
    let censored = BTreeSet::from([stage.node.signer.address()]);
    let mut scene = Scene::cheat(stage, "second encore", 3, censored, json).await?;
    let began = stage.clock.now().mono;
    say(json, "the sequencer takes nothing of the node's: its dispute waits");
    let forced_inclusion = stage.chain.forced_inclusion();
    let channel = scene.heard.channel.unwrap_or_default();
    // It trusts the sequencer for as long as the other way still fits into the window.
    let margin = Monitor::default().margin;
    let trusts = Span(stage.window.0 - forced_inclusion.0 - margin.0);
    stage.clock.warp(Span(trusts.0 + Span::from_secs(60).0));
    let starts = |notice: &Notice| matches!(notice, Notice::ForcingInclusion { .. }).then_some(());
    scene.until(stage, starts).await?;
    say(
        json,
        format_args!(
            "{} h have gone by: the node puts its dispute into the delayed inbox of the chain below",
            hours(stage.clock.now().mono.since(began))
        ),
    );
    patiently(is_queued(stage, channel)).await??;
    stage.clock.warp(Span(forced_inclusion.0 + Span::from_secs(60).0));
    let disputed_to = scene.disputed(stage).await?;
    let forced_after = stage.clock.now().mono.since(began);
    say(
        json,
        format_args!(
            "{} h later it is forced in, past the sequencer: the dispute stands at {}",
            hours(forced_inclusion),
            usdc(disputed_to)
        ),
    );
    stage.chain.set_policy(Policy::Honest);
    stage.clock.warp(after(stage));
    scene.settled(stage).await?;
    let close = Close::Forced {
        closed_at: 0,
        disputed_to,
        forced_after_secs: secs(forced_after),
        window_secs: secs(stage.window),
    };
    scene.statement(stage, "Act 3: a close at zero, the dispute censored and forced", close).await
}

/// Waits until the delayed inbox has the node's dispute, and the node's disk says so.
async fn is_queued(stage: &Stage, channel: ChannelId) -> Result<(), Failure> {
    let is_it = |record: &Record| matches!(record, Record::Dispute(dispute) if dispute.channel == channel && dispute.queued.is_some());
    while !stage.node.load().await.map_err(failed)?.iter().any(is_it) {
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Long enough for a window to be over and the node to settle.
fn after(stage: &Stage) -> Span {
    Span(stage.window.0 + stage.settle_grace.0 + Span::from_secs(60).0)
}

fn secs(span: Span) -> u64 {
    span.0 / 1_000_000
}

fn hours(span: Span) -> u64 {
    secs(span) / 3_600
}

impl Scene {
    /// The client buys, closes at zero, and is gone. The sequencer takes nothing of these accounts from then on.
    async fn cheat(
        stage: &mut Stage,
        name: &'static str,
        id: u64,
        censored: BTreeSet<Address>,
        json: bool,
    ) -> Result<Self, Failure> {
        let before = Before::note(stage);
        let source = Source::generated(name, ENCORE_BYTES);
        let blob = import(stage, &source, json).await?;
        let order = stage.order(id, blob.0, blob.1, true);
        let heard = buy(stage, order, blob.1, false, json).await?;
        let channel = heard.channel.ok_or_else(|| failed("no channel was opened"))?;
        // It takes what it verified with it, and its monitor, which would dispute even its own close.
        stage.client.stop().await;
        if !censored.is_empty() {
            stage.chain.censor(censored);
        }
        let close = channel::Call::Close { channel, voucher: None }.into();
        let (block, result) = stage.transact_as_client(close).await.map_err(failed)?;
        result.map_err(|why| failed(format!("the close at zero was refused: {why:?}")))?;
        say(json, format_args!("the client closes at {} in block {} and is gone", usdc(0), block.number));
        let mut scene = Self { before, source, id, blob, heard };
        let held = scene.until(stage, |notice| match notice {
            Notice::StaleClose { held, .. } => Some(units(*held)),
            _ => None,
        });
        let held = held.await?;
        say(json, format_args!("the node's monitor sees a close below the {} that it holds", usdc(held)));
        Ok(scene)
    }

    /// Waits for something that the node tells.
    async fn until<T>(
        &mut self,
        stage: &mut Stage,
        mut find: impl FnMut(&Notice) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            let news = patiently(stage.node.next()).await?.map_err(failed)?;
            self.heard.take(false, &news, stage.clock.now().mono, &ProgressBar::hidden())?;
            if let News::Notice(notice) = &news
                && let Some(found) = find(notice)
            {
                return Ok(found);
            }
        }
    }

    /// Waits for the dispute; to how much.
    async fn disputed(&mut self, stage: &mut Stage) -> Result<u64, Failure> {
        let landed = |notice: &Notice| match notice {
            Notice::Disputed { amount, .. } => Some(units(*amount)),
            _ => None,
        };
        self.until(stage, landed).await
    }

    async fn settled(&mut self, stage: &mut Stage) -> Result<(), Failure> {
        self.until(stage, |notice| matches!(notice, Notice::Settled { .. }).then_some(())).await
    }

    async fn statement(self, stage: &Stage, act: &'static str, close: Close) -> Result<Statement, Failure> {
        let Self { before, source, id, blob, heard } = self;
        statement(stage, act, &source, &[id], blob, &heard, &before, close).await
    }
}
