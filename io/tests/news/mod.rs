//! Waiting for what a party tells its owner.

#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use decdn_engine::{chain::channel::Ending, ids::ChannelId, io::Notice, money::Amount};
use decdn_io::party::{News, Party};

/// Content of this size, always the same.
pub fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// Waits for news that `pick` takes.
pub async fn until<T>(party: &mut Party, mut pick: impl FnMut(&News) -> Option<T>) -> T {
    let wait = async {
        loop {
            let news = party.next().await.expect("the party runs");
            if let Some(found) = pick(&news) {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it happens within a minute")
}

pub fn settled(news: &News) -> Option<(Amount, Amount, bool)> {
    match news {
        News::Notice(Notice::Settled { ending, paid, refunded, .. }) => {
            Some((*paid, *refunded, *ending == Ending::Consent))
        }
        _ => None,
    }
}

pub fn fetched(news: &News) -> Option<u64> {
    match news {
        News::Notice(Notice::Fetched { bytes, .. }) => Some(*bytes),
        News::Notice(Notice::FetchFailed { why, .. }) => panic!("the download failed: {why:?}"),
        _ => None,
    }
}

pub fn opened(news: &News) -> Option<(ChannelId, Amount)> {
    match news {
        News::Notice(Notice::ChannelOpened { channel, deposit }) => Some((*channel, *deposit)),
        _ => None,
    }
}
