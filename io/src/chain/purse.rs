//! A chain port with a purse: no more than what is in it goes into channels, whatever the engine asks for. It is a second lock: the
//! engine itself opens nothing before its owner has agreed (D16), and this one has to be told as well that the price was shown.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use decdn_driver::Chain;
use decdn_engine::{
    chain::{Call, ChainUpdate, Interest, Route, TxOutcome, channel, token},
    ids::{ChannelId, TxTicket},
    money::Amount,
};
use futures::{Stream, StreamExt, stream};

/// How long an opening waits for what another channel may give back.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);

/// What is left, shared with whoever shows it.
#[derive(Clone, Debug)]
pub struct Spending(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The smallest deposit that is worth its gas.
    least: Amount,
    left: Amount,
    /// On their way into channels.
    under_way: Vec<Amount>,
    /// In channels that were opened from this purse and have not settled.
    out: BTreeMap<ChannelId, Amount>,
    approved: Amount,
    /// An opening was lost, and what it would take is kept for it.
    is_lost: bool,
    is_refused: bool,
    /// The owner has been shown what the next deposit is for.
    is_shown: bool,
}

impl Spending {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a deposit was refused because too little was left for it.
    pub fn is_refused(&self) -> bool {
        self.state().is_refused
    }

    /// The owner has been shown the price and the deposit of the next opening: now money may move.
    pub fn shown(&self) {
        self.state().is_shown = true;
    }

    /// A channel is open. It is one of ours if a deposit like its own is under way; what the chain tells of the past
    /// comes before anything is opened.
    pub fn opened(&self, channel: ChannelId, deposit: Amount) {
        let mut state = self.state();
        if let Some(place) = state.under_way.iter().position(|amount| *amount == deposit) {
            state.under_way.remove(place);
            state.out.insert(channel, deposit);
        }
    }

    /// A channel has settled: what one of ours gave back may go into another.
    pub fn settled(&self, channel: ChannelId, refunded: Amount) {
        let mut state = self.state();
        if let Some(deposit) = state.out.remove(&channel) {
            state.left = Amount(state.left.0.saturating_add(refunded.min(deposit).0));
        }
    }

    /// What may be approved of a wish: waits until the owner knows its price, and while another channel may still give
    /// something back.
    async fn grant(&self, wish: Amount, patience: Duration) -> Option<Amount> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            {
                let mut state = self.state();
                let is_enough = state.left >= wish.min(state.least) && wish > Amount::ZERO;
                if is_enough && state.is_shown {
                    state.is_shown = false;
                    state.approved = wish.min(state.left);
                    return Some(state.approved);
                }
                let is_all_back = !is_enough && state.out.is_empty() && state.under_way.is_empty();
                if is_all_back || tokio::time::Instant::now() >= until {
                    // What is kept for a lost opening is not spent: raising the cap is no help.
                    state.is_refused |= !is_enough && !state.is_lost;
                    return None;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What was approved goes out.
    fn take(&self, wish: Amount) -> Amount {
        let mut state = self.state();
        let deposit = wish.min(state.approved).min(state.left);
        state.left = state.left.saturating_sub(deposit);
        state.under_way.push(deposit);
        deposit
    }

    fn give_back(&self, deposit: Amount) {
        let mut state = self.state();
        state.left = Amount(state.left.0.saturating_add(deposit.0));
        if let Some(place) = state.under_way.iter().position(|amount| *amount == deposit) {
            state.under_way.remove(place);
        }
    }
}

/// See the module. A deposit above what is left is cut down to it; where too little is left there is none.
#[derive(Debug)]
pub struct Purse<H> {
    chain: H,
    spending: Spending,
    patience: Duration,
}

impl<H> Purse<H> {
    /// A purse with so much in it. Once less than `least` is left, nothing more is opened: the engine would go on
    /// opening channels that pay for nothing.
    pub fn new(chain: H, cap: Amount, least: Amount) -> Self {
        let state = State {
            least: least.min(cap),
            left: cap,
            under_way: Vec::new(),
            out: BTreeMap::new(),
            approved: Amount::ZERO,
            is_lost: false,
            is_refused: false,
            is_shown: false,
        };
        Self { chain, spending: Spending(Arc::new(Mutex::new(state))), patience: PATIENCE }
    }

    /// What is left of it.
    pub fn spending(&self) -> Spending {
        self.spending.clone()
    }
}

impl<H: Chain + Clone + 'static> Chain for Purse<H> {
    fn submit(
        &mut self,
        ticket: TxTicket,
        call: Call,
        route: Route,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<H> {
        let (spending, mut chain) = (self.spending.clone(), self.chain.clone());
        match call {
            Call::Token(token::Call::Approve { token, amount }) => {
                let patience = self.patience;
                let granted = async move { spending.grant(amount, patience).await };
                let approve = move |granted: Option<Amount>| match granted {
                    Some(amount) => {
                        chain.submit(ticket, token::Call::Approve { token, amount }.into(), route).boxed()
                    }
                    None => stream::iter([TxOutcome::Lost]).boxed(),
                };
                stream::once(granted).flat_map(approve).boxed()
            }
            Call::Channel(channel::Call::Open { node, token, deposit }) => {
                let deposit = spending.take(deposit);
                // One that is lost may still turn up: what it would take stays taken.
                let watch = move |outcome: &TxOutcome| match outcome {
                    TxOutcome::Included { result: Err(_), .. } => spending.give_back(deposit),
                    TxOutcome::Lost => spending.state().is_lost = true,
                    _ => {}
                };
                let call = channel::Call::Open { node, token, deposit }.into();
                chain.submit(ticket, call, route).inspect(watch).boxed()
            }
            other => chain.submit(ticket, other, route).boxed(),
        }
    }

    fn force_include(&mut self, ticket: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<H> {
        self.chain.force_include(ticket)
    }

    fn poll(
        &mut self,
        from_block: u64,
        interests: Vec<Interest>,
    ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<H> {
        self.chain.poll(from_block, interests)
    }
}

#[cfg(test)]
mod tests {
    use decdn_engine::{
        chain::{Block, Revert},
        ids::Address,
        time::ChainTime,
    };

    use super::*;

    /// Includes everything, with one result, and notes the deposits.
    #[derive(Clone)]
    struct Notes(Arc<Mutex<Vec<Amount>>>, Result<(), Revert>);

    impl Chain for Notes {
        fn submit(
            &mut self,
            _: TxTicket,
            call: Call,
            _: Route,
        ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<> {
            if let Call::Channel(channel::Call::Open { deposit, .. }) = call {
                self.0.lock().expect("one thread").push(deposit);
            }
            let block = Block { number: 1, time: ChainTime(1) };
            stream::iter([TxOutcome::Included { block, result: self.1 }])
        }

        fn force_include(&mut self, _: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<> {
            std::future::ready(())
        }

        fn poll(
            &mut self,
            _: u64,
            _: Vec<Interest>,
        ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<> {
            std::future::ready(None)
        }
    }

    async fn open(purse: &mut Purse<Notes>, deposit: u128) -> Vec<TxOutcome> {
        purse.patience = Duration::from_millis(1);
        purse.spending().shown();
        let (node, token) = (Address::ZERO, Address::ZERO);
        let approve = token::Call::Approve { token, amount: Amount(deposit) }.into();
        let approved: Vec<_> = purse.submit(TxTicket(1), approve, Route::Sequencer).collect().await;
        if approved == [TxOutcome::Lost] {
            return approved;
        }
        let call = channel::Call::Open { node, token, deposit: Amount(deposit) }.into();
        purse.submit(TxTicket(2), call, Route::Sequencer).collect().await
    }

    fn purse(result: Result<(), Revert>) -> (Purse<Notes>, Arc<Mutex<Vec<Amount>>>) {
        let opened = Arc::new(Mutex::new(Vec::new()));
        (Purse::new(Notes(opened.clone(), result), Amount(100), Amount(20)), opened)
    }

    #[tokio::test]
    async fn d9_deposits_stop_where_the_purse_is_empty() {
        let (mut purse, opened) = purse(Ok(()));
        let spending = purse.spending();
        open(&mut purse, 70).await;
        open(&mut purse, 70).await;
        assert!(!spending.is_refused());
        assert_eq!(open(&mut purse, 70).await, [TxOutcome::Lost]);
        assert!(spending.is_refused());
        assert_eq!(*opened.lock().expect("one thread"), [Amount(70), Amount(30)]);
        // Scraps are no deposit; a real refund is.
        let id = |n| ChannelId([n; 32]);
        spending.opened(id(1), Amount(70));
        spending.opened(id(2), Amount(30));
        spending.settled(id(1), Amount(10));
        assert_eq!(open(&mut purse, 70).await, [TxOutcome::Lost]);
        spending.settled(id(2), Amount(25));
        open(&mut purse, 70).await;
        assert_eq!(opened.lock().expect("one thread")[2], Amount(35));
        // What older channels hold and give back is not this purse's.
        spending.opened(id(3), Amount(1_000));
        spending.settled(id(3), Amount(1_000));
        assert_eq!(open(&mut purse, 1_000).await, [TxOutcome::Lost]);
    }

    #[tokio::test]
    async fn a_deposit_that_was_reverted_is_in_the_purse_again() {
        let (mut purse, opened) = purse(Err(Revert::Other));
        // The approval is included as well, and reverted; the engine would stop there.
        let (node, token, deposit) = (Address::ZERO, Address::ZERO, Amount(100));
        let call = channel::Call::Open { node, token, deposit }.into();
        for _ in 0..2 {
            purse.spending().shown();
            purse.spending().grant(Amount(100), Duration::ZERO).await.expect("it is all there");
            let _: Vec<_> = purse.submit(TxTicket(2), call, Route::Sequencer).collect().await;
        }
        assert_eq!(*opened.lock().expect("one thread"), [Amount(100), Amount(100)]);
    }

    #[tokio::test]
    async fn an_opening_waits_for_what_another_channel_gives_back() {
        let (mut purse, opened) = purse(Ok(()));
        open(&mut purse, 100).await;
        purse.patience = PATIENCE;
        let spending = purse.spending();
        spending.opened(ChannelId([1; 32]), Amount(100));
        spending.shown();
        let wait = spending.grant(Amount(50), PATIENCE);
        let refund = async {
            tokio::task::yield_now().await;
            spending.settled(ChannelId([1; 32]), Amount(100));
        };
        let (granted, ()) = tokio::join!(wait, refund);
        assert_eq!(granted, Some(Amount(50)));
        assert_eq!(opened.lock().expect("one thread").len(), 1);
    }
    #[tokio::test]
    async fn d1_nothing_goes_out_before_its_price_was_shown() {
        let (purse, _) = purse(Ok(()));
        let spending = purse.spending();
        assert_eq!(spending.grant(Amount(50), Duration::ZERO).await, None);
        let wait = spending.grant(Amount(50), PATIENCE);
        let show = async {
            tokio::task::yield_now().await;
            spending.shown();
        };
        assert_eq!(tokio::join!(wait, show).0, Some(Amount(50)));
        assert_eq!(spending.grant(Amount(50), Duration::ZERO).await, None, "and the next one anew");
    }
}
