//! What is heard of a purchase while it runs, and what it means in the end.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    crypto::StreamError,
    fault::{Fault, Proof, Rule},
    ids::{ChannelId, FetchId, NodeId},
    io::{FetchFailure, Input, Notice},
    money::{Amount, MB, Rate},
};
use serde_json::json;

use super::super::{
    Failure, failed,
    node::{head_confirmed, log_fault, settled, taken_back},
    settings::{Peer, shown},
    talk::{Bar, Ear},
};
use crate::{
    chain::{Spending, Token},
    party::News,
};

/// Why a node could not deliver, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    WrongPeer,
    Silent,
    BadBytes,
    Refused(StreamError),
    Broke(Rule),
}

/// What was heard so far.
pub(super) struct Heard {
    fetch: FetchId,
    pub(super) ear: Ear,
    token: Token,
    cap: Amount,
    max_rate: Rate,
    pub(super) bar: Bar,
    /// Channels that this purchase uses.
    pub(super) used: BTreeSet<ChannelId>,
    /// What each has paid.
    paid: BTreeMap<ChannelId, Amount>,
    /// What each had paid before.
    before: BTreeMap<ChannelId, Amount>,
    pub(super) total_bytes: Option<u64>,
    pub(super) verified_bytes: u64,
    /// An earlier run has left a part of the content.
    pub(super) is_resumed: bool,
    /// The price of each node as it was shown last, per MB.
    priced: BTreeMap<NodeId, Rate>,
    troubles: BTreeMap<NodeId, Trouble>,
    pub(super) fetched: bool,
    pub(super) failed: Option<FetchFailure>,
}

impl Heard {
    pub(super) fn new(
        fetch: FetchId,
        ear: Ear,
        token: Token,
        (cap, max_rate): (Amount, Rate),
        before: BTreeMap<ChannelId, Amount>,
    ) -> Self {
        Self {
            fetch,
            ear,
            token,
            cap,
            max_rate,
            bar: ear.bar("download"),
            used: BTreeSet::new(),
            paid: BTreeMap::new(),
            before,
            total_bytes: None,
            verified_bytes: 0,
            is_resumed: false,
            priced: BTreeMap::new(),
            troubles: BTreeMap::new(),
            fetched: false,
            failed: None,
        }
    }

    /// What this purchase has paid so far.
    pub(super) fn spent(&self) -> Amount {
        let of = |(channel, paid): (&ChannelId, &Amount)| {
            paid.saturating_sub(self.before.get(channel).copied().unwrap_or_default()).0
        };
        Amount(self.paid.iter().filter(|(channel, _)| self.used.contains(channel)).map(of).sum())
    }

    pub(super) fn before(&self, channel: ChannelId) -> Amount {
        self.before.get(&channel).copied().unwrap_or_default()
    }

    /// Takes news in; the answer, if it is a question.
    pub(super) fn take(&mut self, news: &News, spending: &Spending) -> Option<Input> {
        match news {
            News::Notice(notice) => {
                self.notice(notice, spending);
                self.answer(notice, spending)
            }
            News::Fault(fault) => {
                self.fault(fault);
                None
            }
        }
    }

    /// Whoever named a highest rate and a cap has agreed to what is within them. It is said once the price has been shown.
    fn answer(&self, notice: &Notice, spending: &Spending) -> Option<Input> {
        let Notice::Quoted { fetch, node, rate, deposit: Some(deposit), .. } = *notice else { return None };
        if fetch != self.fetch || rate > self.max_rate {
            return Some(Input::Declined { fetch, node });
        }
        // What is above the cap the purse cuts off; it opens as soon as the price has been shown.
        spending.shown();
        Some(Input::Agreed { fetch, node, rate, deposit })
    }

    fn notice(&mut self, notice: &Notice, spending: &Spending) {
        match *notice {
            Notice::ChannelOpened { channel, deposit } => {
                tracing::info!(%channel, %deposit, "channel open");
                spending.opened(channel, deposit);
                self.ear.tell(&json!({
                    "event": "channel_opened", "channel": channel.to_string(), "deposit": deposit.to_string(),
                }));
            }
            Notice::ChannelFound { channel, deposit } => {
                tracing::info!(%channel, %deposit, "a channel without a record is closed, and not paid on");
                self.ear.tell(&json!({
                    "event": "channel_found", "channel": channel.to_string(), "deposit": deposit.to_string(),
                }));
            }
            Notice::Quoted { fetch, node, rate, total_bytes, deposit } if fetch == self.fetch => {
                tracing::info!(peer = %node, rate = rate.0, ?total_bytes, "quoted");
                let cost = total_bytes.map(|total| self.left_to_pay(total, rate));
                let deposit = deposit.map(|deposit| deposit.min(self.cap));
                self.show_price("quote", rate, cost);
                if let Some(deposit) = deposit {
                    let deposit = shown(deposit, &self.token);
                    self.say(format_args!(
                        "  deposit   {deposit} into a channel; what is not spent comes back"
                    ));
                }
                self.ear.tell(&json!({
                    "event": "quote", "node": node.to_string(), "rate_per_mb": rate.0, "total_bytes": total_bytes,
                    "expected_cost": cost.map(|cost| cost.to_string()), "deposit": deposit.map(|deposit| deposit.to_string()),
                }));
                self.priced.insert(node, rate);
            }
            Notice::StreamStarted { fetch, channel, node, rate, offer_bytes, total_bytes }
                if fetch == self.fetch =>
            {
                if self.priced.insert(node, rate) != Some(rate) {
                    // On a channel that was there already nobody had to be asked before.
                    let cost = self.left_to_pay(total_bytes, rate);
                    self.show_price("price", rate, Some(cost));
                }
                tracing::info!(%channel, peer = %node, rate = rate.0, total_bytes, "stream started");
                self.used.insert(channel);
                self.total_bytes = Some(total_bytes);
                self.bar.bar.set_length(total_bytes);
                self.bar.bar.reset_elapsed();
                self.bar.bar.reset_eta();
                self.ear.tell(&json!({
                    "event": "stream_started", "channel": channel.to_string(), "node": node.to_string(),
                    "rate_per_mb": rate.0, "offer_bytes": offer_bytes, "total_bytes": total_bytes,
                }));
            }
            Notice::Progress { fetch, verified_bytes } if fetch == self.fetch => {
                self.verified_bytes = verified_bytes;
                self.bar.at(verified_bytes, self.total_bytes);
            }
            Notice::Voucher { channel, amount, nonce } => {
                tracing::debug!(%channel, %amount, nonce = nonce.0, "voucher signed");
                self.paid.insert(channel, amount);
                let spent = self.spent();
                let text = format!("{} of {}", shown(spent, &self.token), shown(self.cap, &self.token));
                self.bar.bar.set_message(text);
                self.ear.tell(&json!({
                    "event": "voucher", "channel": channel.to_string(), "amount": amount.to_string(),
                    "nonce": nonce.0, "spent": spent.to_string(),
                }));
            }
            Notice::Fetched { fetch, bytes } if fetch == self.fetch => {
                self.bar.at(bytes, Some(bytes));
                self.bar.bar.finish_and_clear();
                self.fetched = true;
            }
            Notice::FetchFailed { fetch, why } | Notice::OrderRefused { fetch, why }
                if fetch == self.fetch =>
            {
                self.bar.bar.finish_and_clear();
                self.failed = Some(why);
            }
            Notice::FailedOver { fetch, from } if fetch == self.fetch => {
                tracing::info!(peer = %from, "going on with another node");
                self.ear.tell(&json!({ "event": "failed_over", "from": from.to_string() }));
            }
            Notice::Refused { fetch, node, error } if fetch == self.fetch => {
                tracing::info!(peer = %node, ?error, "refused");
                self.troubles.insert(node, Trouble::Refused(error));
            }
            Notice::Settled { channel, ending, paid, refunded } => {
                spending.settled(channel, refunded);
                settled(self.ear, channel, ending, paid, refunded);
            }
            Notice::HeadConfirmed { block, time } => head_confirmed(block, time),
            Notice::TakenBack { channel, what } => taken_back(self.ear, channel, what),
            notice => tracing::debug!(?notice, "notice"),
        }
    }

    /// What is still to be paid for a blob of this size, as far as is known.
    fn left_to_pay(&self, total_bytes: u64, rate: Rate) -> Amount {
        let left = u128::from(total_bytes.saturating_sub(self.verified_bytes));
        Amount(left.saturating_mul(u128::from(rate.0)).div_ceil(u128::from(MB)))
    }

    fn show_price(&self, what: &str, rate: Rate, cost: Option<Amount>) {
        let rate = shown(Amount(rate.0.into()), &self.token);
        let cost =
            cost.map(|cost| format!(", about {} in all", shown(cost, &self.token))).unwrap_or_default();
        self.say(format_args!("  {what:<9} {rate} per MB{cost}"));
    }

    /// A line above the bar.
    fn say(&self, text: impl std::fmt::Display) {
        self.bar.bar.suspend(|| self.ear.say(text));
    }

    fn fault(&mut self, fault: &Fault) {
        log_fault(fault);
        let (peer, trouble) = match fault {
            Fault::Peer { peer, proof: Proof::Group { .. }, .. } => (*peer, Trouble::BadBytes),
            Fault::Peer { peer, rule, .. } => (*peer, Trouble::Broke(*rule)),
            Fault::Unattributed { peer, rule: Rule::I3 } => (*peer, Trouble::WrongPeer),
            Fault::Unattributed { peer, rule: Rule::D10 } => (*peer, Trouble::Silent),
            _ => return,
        };
        // What a node did says more than its silence afterwards.
        if trouble != Trouble::Silent {
            self.troubles.insert(peer, trouble);
        } else {
            self.troubles.entry(peer).or_insert(trouble);
        }
    }

    /// The sentence and the code of a download that was given up.
    pub(super) fn verdict(
        &self,
        why: FetchFailure,
        peers: &[Peer],
        is_refused: bool,
        chain: Option<String>,
    ) -> Failure {
        match why {
            _ if is_refused => Failure::Failed(format!(
                "the spending cap of {} is reached and the file is not whole; what was bought is kept: raise --max-spend \
                 and run it again",
                shown(self.cap, &self.token)
            )),
            FetchFailure::OpenFailed => {
                let why = chain.unwrap_or_else(|| "a transaction was reverted".to_owned());
                Failure::Again(format!(
                    "no channel could be opened: {why}; check that the account has ether and {}, then try again",
                    self.token.symbol
                ))
            }
            FetchFailure::TooMany => {
                failed("too many channels are open; close some with `decdn client close`")
            }
            FetchFailure::BadOrder => {
                failed("the order can't be carried out; name one to 64 peers and a rate")
            }
            FetchFailure::Cancelled => failed("the download was cancelled"),
            FetchFailure::NotAgreed => {
                failed("no node's price is within --max-rate and --max-spend; raise them")
            }
            FetchFailure::NoCandidateLeft => self.of_nodes(peers),
        }
    }

    fn of_nodes(&self, peers: &[Peer]) -> Failure {
        let mut is_later = false;
        let parts: Vec<String> = peers
            .iter()
            .map(|peer| {
                let trouble = self.troubles.get(&peer.node).copied().unwrap_or(Trouble::Silent);
                let (text, later) = words(trouble);
                is_later |= later;
                format!("node {} at {} {text}", peer.node, peer.addr)
            })
            .collect();
        let sentence =
            format!("nobody delivered: {}; what was bought is kept, run it again to go on", parts.join("; "));
        if is_later { Failure::Again(sentence) } else { Failure::Failed(sentence) }
    }
}

/// What to say of a trouble, and whether it may be over later.
fn words(trouble: Trouble) -> (String, bool) {
    match trouble {
        Trouble::WrongPeer => ("is somebody else: check the NodeId".into(), false),
        Trouble::Silent => ("fell silent or would not serve now".into(), true),
        Trouble::BadBytes => ("sent bytes that don't match the hash: they were not paid for".into(), false),
        Trouble::Broke(rule) => (format!("broke rule {rule} of the protocol"), false),
        Trouble::Refused(StreamError::Unavailable) => {
            ("does not have this blob, or does not sell it: check --hash".into(), true)
        }
        Trouble::Refused(StreamError::RateExceeded) => ("asks for more than --max-rate".into(), false),
        Trouble::Refused(StreamError::BlobTooLarge) => ("serves no blob as large as this".into(), false),
        Trouble::Refused(StreamError::Blacklisted) => ("may not serve this blob".into(), false),
        Trouble::Refused(StreamError::ChannelInsufficient) => {
            ("wants a larger deposit: raise --deposit".into(), false)
        }
    }
}

/// Why a node can't be used at all, found out before any money moves.
pub(super) fn unreached(peer: &Peer, is_stranger: bool) -> Failure {
    if is_stranger {
        return Failure::Input(format!(
            "whoever answers at {} is not node {}; correct the NodeId or the address in --peer",
            peer.addr, peer.node
        ));
    }
    Failure::Again(format!(
        "node {} can't be reached at {}; check that it runs and the address in --peer, then try again (no money has \
         moved)",
        peer.node, peer.addr
    ))
}
