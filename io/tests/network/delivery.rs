//! Paid downloads over real iroh while the network loses, delays, doubles and cuts off datagrams.

use std::{fs, sync::Arc, time::Duration};

use decdn_engine::{
    ids::FetchId,
    io::{FetchFailure, Input, Notice},
    money::{Amount, Nonce},
    order::FetchOrder,
    record::Record,
    time::Span,
};
use decdn_io::{
    party::News,
    stage::{Stage, price},
};

use crate::{
    memory::{Done, Faults, Line, Memory},
    news::{content, fetched, opened, settled, until},
};

/// Several vouchers for a download that takes a second.
const CADENCE: u64 = 256 << 10;
/// No multiple of a group, so that the price is rounded.
const BYTES: usize = (3 << 20) + 12_345;
/// A connection on which nothing moves is gone after this.
const IDLE: Duration = Duration::from_millis(1_500);
/// Far enough apart that a download is not over before a test has cut its network.
const APART: Faults = Faults { lost: 0, doubled: 0, delay_ms: (10, 20), cuts: 0, cut_ms: 0 };

/// A client and a node on this network, and a download of this content that begins; with the channel's deposit.
async fn begin(network: &Memory, content: &[u8]) -> (Stage, Amount) {
    let mut stage = Stage::set_on(Arc::new(Line { memory: network.clone(), idle: IDLE }))
        .await
        .expect("a temporary folder");
    let (hash, bytes) =
        stage.import(std::io::Cursor::new(content.to_vec()), |_| {}).await.expect("room on the disk");
    let order = FetchOrder { cadence_bytes: CADENCE, ..stage.order(1, hash, bytes, false) };
    stage.client.order(Input::Fetch(order)).await;
    let (_, deposit) = until(&mut stage.client, opened).await;
    (stage, deposit)
}

/// The download ends whole, and everybody has what is his to the unit.
async fn ends_well((mut stage, deposit): (Stage, Amount), content: &[u8]) {
    let bytes = content.len() as u64;
    assert_eq!(until(&mut stage.client, fetched).await, bytes);
    let (paid, refunded, cooperative) = until(&mut stage.client, settled).await;
    assert!(cooperative, "both are there to sign the end");
    assert_eq!(paid, price(bytes), "every byte is paid once");
    assert_eq!(paid.checked_add(refunded), Some(deposit));
    assert_eq!(stage.chain.balance(stage.token, stage.node.signer.address()), paid);
    assert!(delivered(&stage) == content, "every byte is the one that was asked for");
}

fn delivered(stage: &Stage) -> Vec<u8> {
    let to = stage.delivered(1);
    stage.client.blobs.finish(FetchId(1), &to).expect("its folder is there");
    fs::read(to).expect("there")
}

fn voucher(news: &News) -> Option<(Nonce, Amount)> {
    match news {
        News::Notice(Notice::Voucher { nonce, amount, .. }) => Some((*nonce, *amount)),
        _ => None,
    }
}

/// The second voucher is out: most is still to come.
fn second(news: &News) -> Option<()> {
    voucher(news).filter(|(nonce, _)| *nonce >= Nonce(2)).map(drop)
}

async fn whole_and_paid_under(faults: Faults, has_happened: impl Fn(Done) -> u64) {
    let network = Memory::new(7, faults);
    let content = content(BYTES);
    let stage = begin(&network, &content).await;
    ends_well(stage, &content).await;
    assert!(has_happened(network.done()) >= 10, "nothing went wrong: {:?}", network.done());
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_download_is_whole_and_paid_to_the_unit_where_datagrams_get_lost() {
    whole_and_paid_under(Faults { lost: 20, ..Faults::default() }, |done| done.lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_download_is_whole_and_paid_to_the_unit_where_datagrams_overtake_each_other() {
    whole_and_paid_under(Faults { delay_ms: (2, 12), ..Faults::default() }, |done| done.overtaken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_download_is_whole_and_paid_to_the_unit_where_datagrams_come_twice() {
    whole_and_paid_under(Faults { doubled: 300, ..Faults::default() }, |done| done.doubled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_download_is_whole_and_paid_to_the_unit_where_everything_goes_wrong_at_once() {
    let faults = Faults { lost: 10, doubled: 50, delay_ms: (1, 8), cuts: 1, cut_ms: 60 };
    whole_and_paid_under(faults, |done| done.lost.min(done.doubled).min(done.overtaken).min(done.cut_off))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_partition_that_connections_outlive_costs_time_and_nothing_else() {
    let network = Memory::new(1, APART);
    let content = content(BYTES);
    let (mut stage, deposit) = begin(&network, &content).await;
    until(&mut stage.client, second).await;
    network.cut(true);
    tokio::time::sleep(IDLE / 3).await;
    network.cut(false);
    ends_well((stage, deposit), &content).await;
    assert!(network.done().cut_off > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn d10_after_a_partition_that_ends_connections_the_download_goes_on_and_no_byte_is_paid_twice() {
    let network = Memory::new(2, APART);
    let content = content(BYTES);
    let (mut stage, deposit) = begin(&network, &content).await;
    until(&mut stage.client, second).await;
    network.cut(true);
    tokio::time::sleep(2 * IDLE).await;
    network.cut(false);
    ends_well((stage, deposit), &content).await;
    assert!(network.done().cut_off > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn d9_a_partition_that_never_heals_ends_the_download_and_pays_for_what_was_verified() {
    let network = Memory::new(3, APART);
    let content = content(BYTES);
    let (mut stage, deposit) = begin(&network, &content).await;
    until(&mut stage.client, second).await;
    network.cut(true);
    let why = until(&mut stage.client, |news| match news {
        News::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    });
    assert_eq!(why.await, FetchFailure::NoCandidateLeft);

    // Everything that was verified is on the disk as it should be, and is what the newest voucher pays for.
    let (paying, fetch) = match &stage.client.load().await.expect("readable")[..] {
        [Record::Paying(paying), Record::Fetch(fetch), ..] => (*paying, fetch.clone()),
        other => panic!("a channel and a download that is not over: {other:?}"),
    };
    let verified = usize::try_from(fetch.verified_bytes).expect("in memory");
    assert!(0 < verified && verified < BYTES);
    let file = fs::read(stage.client.blobs.download_path(FetchId(1))).expect("there");
    assert!(file[..verified] == content[..verified]);
    assert!(paying.nonce >= Nonce(2));
    assert_eq!(paying.amount, price(fetch.verified_bytes));

    // The chain is still there: it ends the channel, with the newest voucher though the node may never have seen it.
    let (paid, refunded, cooperative) = loop {
        tokio::select! {
            end = until(&mut stage.client, settled) => break end,
            // The client asks the node first, then closes, then waits for the window to end.
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                stage.clock.warp(Span(stage.window.0 + stage.settle_grace.0));
            }
        }
    };
    assert!(!cooperative, "the node could not be asked");
    assert_eq!(paid, paying.amount);
    assert_eq!(paid.checked_add(refunded), Some(deposit));
    assert_eq!(stage.chain.balance(stage.token, stage.node.signer.address()), paid);
}
