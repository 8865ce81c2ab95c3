//! Paid downloads over real QUIC on loopback, real files, and the compiled contracts on the embedded chain.

mod news;

use std::{fs, io::Write};

use decdn_driver::Clock;
use decdn_engine::{
    blob::Outboard,
    chain::channel,
    fault::{Fault, Proof, Rule},
    ids::{BlobHash, FetchId},
    io::{FetchFailure, Input, Notice},
    money::Nonce,
    time::Span,
};
use decdn_io::{
    party::News,
    stage::{Stage, price},
};
use news::{content, fetched, opened, settled, until};

async fn set() -> Stage {
    Stage::set().await.expect("loopback and a temporary folder")
}

async fn import(stage: &Stage, content: &[u8]) -> (BlobHash, u64) {
    let content = std::io::Cursor::new(content.to_vec());
    stage.import(content, |_| {}).await.expect("room on the disk")
}

fn delivered(stage: &Stage, id: u64) -> Vec<u8> {
    let to = stage.delivered(id);
    stage.client.blobs.finish(FetchId(id), &to).expect("whole");
    fs::read(to).expect("there")
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_download_is_whole_and_costs_its_price_to_the_unit() {
    let mut stage = set().await;
    // No multiple of a group, so that the price is rounded.
    let content = content((5 << 20) + 12_345);
    let (hash, bytes) = import(&stage, &content).await;
    let before = stage.chain.balance(stage.token, stage.client.signer.address());
    stage.client.order(Input::Fetch(stage.order(1, hash, bytes, false))).await;
    let (_, deposit) = until(&mut stage.client, opened).await;
    assert_eq!(until(&mut stage.client, fetched).await, bytes);
    let (paid, refunded, cooperative) = until(&mut stage.client, settled).await;
    assert!(cooperative, "both sign the end (C4)");
    assert_eq!(paid, price(bytes));
    assert_eq!(paid.checked_add(refunded), Some(deposit));
    assert_eq!(stage.chain.balance(stage.token, stage.node.signer.address()), paid);
    let after = stage.chain.balance(stage.token, stage.client.signer.address());
    assert_eq!(before.saturating_sub(after), paid);
    assert!(delivered(&stage, 1) == content, "every byte is the one that was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn x1_a_close_at_zero_is_disputed_within_the_window() {
    let mut stage = set().await;
    let (hash, bytes) = import(&stage, &content(3 << 20)).await;
    stage.client.order(Input::Fetch(stage.order(1, hash, bytes, true))).await;
    let (channel, deposit) = until(&mut stage.client, opened).await;
    until(&mut stage.client, fetched).await;
    stage.client.stop().await;

    let close = channel::Call::Close { channel, voucher: None }.into();
    let (_, result) = stage.transact_as_client(close).await.expect("a chain");
    result.expect("either party may close at zero (C1)");
    let disputed = until(&mut stage.node, |news| match news {
        News::Notice(Notice::Disputed { amount, .. }) => Some(*amount),
        _ => None,
    });
    assert_eq!(disputed.await, price(bytes));
    let window_ends = stage.clock.now().mono + stage.window;
    stage.clock.warp(Span(stage.window.0 + stage.settle_grace.0 + 60_000_000));
    let (paid, refunded, cooperative) = until(&mut stage.node, settled).await;
    assert!(!cooperative && stage.clock.now().mono > window_ends);
    assert_eq!(paid, price(bytes));
    assert_eq!(paid.checked_add(refunded), Some(deposit));
}

#[tokio::test(flavor = "multi_thread")]
async fn d14_a_client_that_stops_in_between_goes_on_where_it_was_and_pays_nothing_twice() {
    let mut stage = set().await;
    let content = content(48 << 20);
    let (hash, bytes) = import(&stage, &content).await;
    stage.client.order(Input::Fetch(stage.order(1, hash, bytes, false))).await;
    // The first voucher is out, so something is durable; most is still to come.
    until(&mut stage.client, |news| match news {
        News::Notice(Notice::Voucher { nonce: Nonce(1), .. }) => Some(()),
        _ => None,
    })
    .await;
    stage.restart_client().await.expect("its directory is free again");
    assert_eq!(until(&mut stage.client, fetched).await, bytes);
    let (paid, ..) = until(&mut stage.client, settled).await;
    // What was on its way at the stop was charged but not received: at most one offer of it goes out again (D8).
    assert!(paid >= price(bytes), "every verified byte is paid");
    assert!(
        paid <= price(bytes + decdn_io::stage::CADENCE),
        "nothing was paid twice but what was lost: {paid}"
    );
    assert!(delivered(&stage, 1) == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_a_bad_byte_ends_the_stream_and_nothing_of_its_group_is_paid() {
    let mut stage = set().await;
    let content = content(4 << 20);
    let (hash, bytes) = import(&stage, &content).await;
    let bad_at = 2 << 20;
    let mut file = fs::File::options().write(true).open(stage.content_of(hash)).expect("there");
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(bad_at)).expect("within");
    file.write_all(&[!content[bad_at as usize]]).expect("writable");

    stage.client.order(Input::Fetch(stage.order(1, hash, bytes, false))).await;
    let group = until(&mut stage.client, |news| match news {
        News::Fault(Fault::Peer { rule: Rule::D4, proof: Proof::Group { offset, .. }, .. }) => Some(*offset),
        _ => None,
    });
    assert_eq!(group.await, bad_at);
    let why = until(&mut stage.client, |news| match news {
        News::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    });
    assert_eq!(why.await, FetchFailure::NoCandidateLeft);
    let (paid, ..) = until(&mut stage.client, settled).await;
    assert_eq!(paid, price(bad_at), "what came before it is paid, nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn d4_an_encoding_of_ours_is_one_of_iroh_blobs() {
    use decdn_engine::blob::{Encoder, Part};

    let content = content((1 << 20) + 5_000);
    let outboard = Outboard::of(&content);
    let encoder = Encoder::new(outboard.total_bytes(), 0, outboard.total_bytes()).expect("the whole blob");
    // iroh-blobs puts the size in front; on our wire the signed response has it.
    let mut encoding = outboard.total_bytes().to_le_bytes().to_vec();
    for part in encoder {
        match part {
            Part::Proof(node) => encoding.extend_from_slice(outboard.pair(node).expect("of this tree")),
            Part::Content { offset, bytes } => {
                encoding.extend_from_slice(&content[offset as usize..(offset + bytes) as usize]);
            }
        }
    }
    let store = iroh_blobs::store::mem::MemStore::new();
    let hash = iroh_blobs::Hash::from_bytes(outboard.root().0);
    let ranges = iroh_blobs::protocol::ChunkRanges::all();
    store.blobs().import_bao_bytes(hash, ranges, encoding).await.expect("iroh-blobs verifies it");
    assert!(store.get_bytes(hash).await.expect("complete") == content);
}
