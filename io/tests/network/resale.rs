//! A node that buys while it sells (D12), over iroh: a client buys a blob from it, and meanwhile it buys another one from a
//! source, with one account, one network key, one directory, one driver and one endpoint.

use std::{fs, io::Cursor, sync::Arc, time::Duration};

use decdn_engine::{
    crypto::Deployment,
    ids::{BlobHash, FetchId},
    io::{Input, Notice},
    money::{Amount, MB},
    order::FetchOrder,
    record::Record,
    roles::{config::NodeConfig, node::Node},
    time::Span,
};
use decdn_io::{
    party::{News, Party},
    stage::{Stage, price},
};
use iroh::PublicKey;

use crate::{
    memory::{Done, Faults, Line, Memory},
    news::{content, fetched, settled, until},
};

const CADENCE: u64 = 256 << 10;
/// No multiples of a group, and of different sizes: no payment for one is right for the other.
const SOLD: usize = (3 << 20) + 12_345;
const BOUGHT: usize = (2 << 20) + 54_321;
/// A connection on which nothing moves is gone after this.
const IDLE: Duration = Duration::from_millis(1_500);
/// Far enough apart that no download is over before a test has done its harm.
const APART: Faults = Faults { lost: 0, doubled: 0, delay_ms: (10, 20), cuts: 0, cut_ms: 0 };

/// Three parties, and what each of them began with.
struct Trade {
    stage: Stage,
    source: Party,
    sold: Vec<u8>,
    bought: Vec<u8>,
    purses: [Amount; 3],
}

impl Trade {
    /// Both downloads begin.
    async fn begin(network: &Memory) -> Self {
        let line = Arc::new(Line { memory: network.clone(), idle: IDLE });
        let (stage, source) = Stage::resale_on(line).await.expect("a temporary folder");
        let (sold, bought) = (content(SOLD), content(BOUGHT).into_iter().rev().collect::<Vec<u8>>());
        let at_node = import(&stage.node, &sold).await;
        let at_source = import(&source, &bought).await;
        let mut trade = Self { stage, source, sold, bought, purses: [Amount::ZERO; 3] };
        trade.purses = trade.balances();
        let Self { stage, source, .. } = &trade;
        let order = |seller, (hash, bytes)| FetchOrder {
            cadence_bytes: CADENCE,
            ..stage.order_from(seller, 1, hash, bytes, false)
        };
        stage.client.order(Input::Fetch(order(&stage.node, at_node))).await;
        stage.node.order(Input::Fetch(order(source, at_source))).await;
        trade
    }

    /// What client, node and source hold of the token.
    fn balances(&self) -> [Amount; 3] {
        let Self { stage, source, .. } = self;
        [&stage.client, &stage.node, source].map(|who| stage.chain.balance(stage.token, who.signer.address()))
    }

    /// Both downloads are whole and both channels are settled; what was paid for the one and for the other.
    async fn end(&mut self) -> [Amount; 2] {
        let Self { stage, source, sold, bought, purses } = self;
        assert_eq!(until(&mut stage.client, fetched).await, sold.len() as u64);
        assert!(until(&mut stage.client, settled).await.2, "both are there to sign the end");
        // Its purchase, and the ends of the channels on either side, in whatever order.
        let (mut got, mut ends) = (None, Vec::new());
        let all = |news: &News| {
            got = got.or_else(|| fetched(news));
            ends.extend(settled(news));
            (got.is_some() && ends.len() == 2).then(|| (got, ends.clone()))
        };
        let (got, ends) = until(&mut stage.node, all).await;
        assert_eq!(got, Some(bought.len() as u64));
        assert!(ends.iter().all(|(_, _, is_cooperative)| *is_cooperative), "{ends:?}");
        until(source, settled).await;

        assert!(delivered(stage, &stage.client, 1) == *sold, "every byte that was sold is right");
        assert!(delivered(stage, &stage.node, 2) == *bought, "every byte that was bought is right");
        let (deployment, token) = (stage.chain.deployment(), stage.token);
        // What has settled is erased once that is safe.
        stage.clock.warp(Span::from_hours(2));
        for party in [&stage.client, &stage.node, source] {
            forgotten(party, deployment).await;
        }
        let [client, node, source] = [0, 1, 2].map(|who| purses[who].0);
        let now = self.balances().map(|amount| amount.0);
        assert_eq!(now.iter().sum::<u128>(), client + node + source, "nothing of {token} is lost");
        let (earned, spent) = (client - now[0], now[2] - source);
        assert_eq!(now[1] + spent, node + earned, "what the node has follows from both hops");
        let mut paid: Vec<u128> = ends.iter().map(|(paid, ..)| paid.0).collect();
        paid.sort_unstable();
        assert_eq!(
            paid,
            [earned.min(spent), earned.max(spent)],
            "each channel ended with what was paid on it"
        );
        [Amount(earned), Amount(spent)]
    }

    async fn ends_exactly(mut self) {
        let paid = self.end().await;
        let prices = [self.sold.len(), self.bought.len()].map(|bytes| price(bytes as u64));
        assert_eq!(paid, prices, "every byte is paid once, on either hop");
    }

    /// Both downloads are in the middle: most of either is still to come.
    async fn both_under_way(&mut self) {
        let is_second = |news: &News| match news {
            News::Notice(Notice::Voucher { nonce, .. }) => (nonce.0 >= 2).then_some(()),
            News::Notice(Notice::Fetched { .. }) => panic!("over too soon"),
            _ => None,
        };
        until(&mut self.stage.client, is_second).await;
        until(&mut self.source, is_second).await;
    }
}

async fn import(node: &Party, content: &[u8]) -> (BlobHash, u64) {
    Stage::import_at(node, Cursor::new(content.to_vec()), |_| {}).await.expect("room on the disk")
}

fn delivered(stage: &Stage, buyer: &Party, file: u64) -> Vec<u8> {
    let to = stage.delivered(file);
    buyer.blobs.finish(FetchId(1), &to).expect("its folder is there");
    fs::read(to).expect("there")
}

/// Nothing is left but where to read the chain from, on the disk and in a role that starts from it.
async fn forgotten(party: &Party, deployment: Deployment) {
    let mut records = Vec::new();
    // The last write follows the news of a safe head.
    for _ in 0..500 {
        records = party.load().await.expect("readable");
        if records.iter().all(|record| matches!(record, Record::Cursor(_))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let config = NodeConfig::new(deployment, party.node, party.signer.address());
    let node = Node::recover(config, records.clone().into_iter());
    for (table, count) in node.tables().into_iter().chain(node.buyer().tables()) {
        // The chain is read again.
        let rest = usize::from(table == "alarms");
        assert_eq!(count, rest, "{table} after {records:?}");
    }
}

async fn exact_under(faults: Faults, has_happened: impl Fn(Done) -> u64) {
    let network = Memory::new(11, faults);
    Trade::begin(&network).await.ends_exactly().await;
    assert!(has_happened(network.done()) >= 10, "nothing went wrong: {:?}", network.done());
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_a_node_buys_while_it_sells_and_both_are_paid_to_the_unit_where_datagrams_get_lost() {
    exact_under(Faults { lost: 20, ..Faults::default() }, |done| done.lost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_a_node_buys_while_it_sells_and_both_are_paid_to_the_unit_where_everything_goes_wrong() {
    let faults = Faults { lost: 10, doubled: 50, delay_ms: (1, 8), cuts: 1, cut_ms: 60 };
    exact_under(faults, |done| done.lost.min(done.doubled).min(done.overtaken).min(done.cut_off)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_after_a_partition_that_ends_connections_both_downloads_go_on_and_no_byte_is_paid_twice() {
    let network = Memory::new(12, APART);
    let mut trade = Trade::begin(&network).await;
    trade.both_under_way().await;
    network.cut(true);
    tokio::time::sleep(2 * IDLE).await;
    network.cut(false);
    trade.ends_exactly().await;
    assert!(network.done().cut_off > 0);
}

/// What was on its way at a kill was charged but not received: at most one offer of it goes out again (D8).
#[tokio::test(flavor = "multi_thread")]
async fn d12_a_node_that_is_killed_in_between_goes_on_with_what_it_buys_and_what_it_sells() {
    let network = Memory::new(13, APART);
    let mut trade = Trade::begin(&network).await;
    trade.both_under_way().await;
    let Trade { stage, source, .. } = &mut trade;
    network.unplug(PublicKey::from_bytes(&stage.node.node.0).expect("a key"));
    stage.kill_and_restart_node(source).await.expect("its directory is free again");
    let records = stage.node.load().await.expect("readable");
    let has = |is_it: fn(&Record) -> bool| records.iter().any(is_it);
    assert!(has(|record| matches!(record, Record::Earning(_))), "{records:?}");
    assert!(has(|record| matches!(record, Record::Paying(_))), "{records:?}");
    assert!(has(|record| matches!(record, Record::Fetch(fetch) if fetch.verified_bytes > 0)), "{records:?}");
    let paid = trade.end().await;
    for (paid, bytes) in paid.into_iter().zip([SOLD, BOUGHT]) {
        let (least, most) = (price(bytes as u64), price(bytes as u64 + CADENCE.min(MB)));
        assert!(least <= paid && paid <= most, "{paid} for {bytes} bytes, worth {least}");
    }
}
