//! What transactions cost: the table that the model quotes, and how it is measured from the bytecode.
//!
//! Execution gas. On an L2 the transaction's data is paid for on top.

use crate::{
    backend::Call,
    bindings::{Setup, typical_gas},
    channel::WITH_PERMIT_GAS,
};

/// What the model says a transaction used. The bytecode's figures vary with zero bytes, cold slots and first
/// balances; a test keeps these within a twentieth of what `measure` finds.
pub(crate) fn quoted(call: &Call, succeeded: bool) -> u64 {
    match call {
        Call::Role(call) if succeeded => typical_gas(call),
        Call::Role(_) => REFUSED,
        Call::Setup(Setup::OpenWithPermit(_)) if succeeded => WITH_PERMIT_GAS,
        Call::Setup(_) => 50_000,
    }
}

/// A call that the contract refuses.
const REFUSED: u64 = 30_000;

/// A line of the gas table.
#[cfg(feature = "l2")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measured {
    /// What was done.
    pub what: &'static str,
    /// The call.
    pub call: Call,
    /// Execution gas that the bytecode used.
    pub gas: u64,
}

/// Runs each call on the bytecode and reports what it used: for accounts that held the token before, on
/// channels whose vouchers are signed over six-digit amounts.
#[cfg(feature = "l2")]
pub fn measure() -> Vec<Measured> {
    let mut lab = lab::Lab::new();
    // The first round warms the accounts: an account's first balance costs more than its second.
    lab.round();
    lab.round()
}

#[cfg(feature = "l2")]
mod lab {
    use decdn_engine::{
        chain::{
            self, Block, ChainEvent,
            channel::{Call, EventKind},
            token,
        },
        crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
        ids::{Address, ChannelId, NodeId},
        money::{Amount, Nonce},
        time::ChainTime,
    };

    use super::Measured;
    use crate::{
        Backend, Curves, EthKey, Evm, Genesis,
        backend::{self, Machine, Tx},
        channel, registry, token as test_token,
    };

    const DEPOSIT: Amount = Amount(900_000);
    const WINDOW_SECS: u64 = 48 * 3_600;

    /// A client, a node, and the chain between them.
    pub(super) struct Lab {
        evm: Evm,
        genesis: Genesis,
        curves: Curves,
        client: EthKey,
        node: EthKey,
        token: Address,
        block: Block,
        table: Vec<Measured>,
    }

    impl Lab {
        pub(super) fn new() -> Self {
            let genesis = Genesis::standard();
            let key = |n| EthKey::from_secret([n; 32]).expect("in range");
            let mut lab = Self {
                evm: Evm::new(&genesis),
                curves: Curves::new(),
                client: key(1),
                node: key(2),
                token: genesis.token(0).expect("the standard chain has a token"),
                block: Block { number: 1, time: ChainTime(1_800_000_000) },
                table: Vec::new(),
                genesis,
            };
            let (operator, to, token) = (lab.node.address(), lab.client.address(), lab.token);
            let node = registry::Setup::SetNode { operator, node: NodeId([7; 32]), active: true };
            lab.execute(lab.genesis.owner, backend::Call::Setup(node.into()));
            let mint = test_token::Setup::Mint { token, to, amount: Amount(1 << 60) };
            lab.execute(to, backend::Call::Setup(mint.into()));
            lab
        }

        /// Seven channels, one for each end: dispute, silence, consent, none but a claim, two that the node finishes, force.
        pub(super) fn round(&mut self) -> Vec<Measured> {
            let (client, node) = (self.client.address(), self.node.address());
            let id = self.open();
            self.call("close with the empty voucher", client, Call::Close { channel: id, voucher: None });
            self.call("dispute", node, Call::Dispute { voucher: self.voucher(id, 654_321) });
            self.block.time.0 += WINDOW_SECS;
            self.call("settle", node, Call::Settle { channel: id });

            let id = self.open();
            let voucher = Some(self.voucher(id, 654_321));
            self.call("close with a voucher", client, Call::Close { channel: id, voucher });

            let id = self.open();
            let voucher = self.voucher(id, 654_321);
            let node_signature = self.sign(&self.node, Typed::CooperativeClose(voucher.terms));
            let call = Call::CloseCooperatively { channel: id, voucher: Some(voucher), node_signature };
            self.call("close cooperatively", client, call);

            let id = self.open();
            self.call("claim", node, Call::Claim { voucher: self.voucher(id, 321_654) });

            let id = self.open_with_permit();
            self.call("finish with nothing", node, Call::Finish { channel: id, voucher: None });
            let id = self.open();
            let voucher = Some(self.voucher(id, 654_321));
            self.call("finish with a voucher", node, Call::Finish { channel: id, voucher });

            let id = self.open();
            self.allow(false);
            self.call("force close", node, Call::ForceClose { channel: id });
            self.allow(true);
            std::mem::take(&mut self.table)
        }

        fn allow(&mut self, allowed: bool) {
            let token = self.token;
            let setup = channel::Setup::AllowToken { token, allowed };
            self.execute(self.genesis.owner, backend::Call::Setup(setup.into()));
        }

        fn open(&mut self) -> ChannelId {
            let (client, node, token) = (self.client.address(), self.node.address(), self.token);
            self.call("approve", client, token::Call::Approve { token, amount: DEPOSIT });
            self.call("open", client, Call::Open { node, token, deposit: DEPOSIT })
        }

        fn open_with_permit(&mut self) -> ChannelId {
            let (owner, node, token) = (self.client.address(), self.node.address(), self.token);
            let (_, domain) = self.genesis.token_domains().next().expect("it has a token");
            let nonce = self.evm.ask(&test_token::Query::Permits { token, who: owner }.into()).number();
            let (amount, deadline, signature) = (DEPOSIT, ChainTime(u64::MAX), Signature([0; 65]));
            let mut permit = test_token::Permit { token, owner, amount, deadline, signature };
            let digest = permit.digest(domain, nonce, &self.genesis.deployment());
            permit.signature = self.client.sign_digest(digest);
            let opening = channel::OpenWithPermit { node, permit };
            self.note("open with a permit", owner, backend::Call::Setup(opening.into()))
        }

        fn voucher(&self, channel: ChannelId, amount: u128) -> SignedVoucher {
            let terms = VoucherTerms { channel, amount: Amount(amount), nonce: Nonce(9), token: self.token };
            SignedVoucher { terms, signature: self.sign(&self.client, Typed::Voucher(terms)) }
        }

        fn sign(&self, key: &EthKey, what: Typed) -> Signature {
            key.sign(&what, &self.genesis.deployment())
        }

        /// Makes a call that succeeds, and says which channel it opened.
        fn call(&mut self, what: &'static str, from: Address, call: impl Into<chain::Call>) -> ChannelId {
            self.note(what, from, backend::Call::Role(call.into()))
        }

        fn note(&mut self, what: &'static str, from: Address, call: backend::Call) -> ChannelId {
            let (gas, opened) = self.execute(from, call);
            if self.table.iter().all(|line| line.what != what) {
                self.table.push(Measured { what, call, gas });
            }
            opened
        }

        fn execute(&mut self, from: Address, call: backend::Call) -> (u64, ChannelId) {
            self.block.number += 1;
            self.block.time.0 += 1;
            let receipt = self.evm.execute(self.block, &Tx { from, call }, &self.curves);
            assert_eq!(receipt.result, Ok(()), "the lab makes no mistakes: {call:?}");
            let event = receipt.events.first().and_then(ChainEvent::as_channel);
            let opened = event.filter(|event| matches!(event.kind, EventKind::Opened { .. }));
            (receipt.gas, opened.map_or(ChannelId::default(), |event| event.channel))
        }
    }
}

#[cfg(all(test, feature = "l2"))]
mod tests {
    use super::*;

    #[test]
    fn the_model_quotes_gas_within_a_twentieth_of_the_bytecode() {
        let is_off = |line: &Measured| quoted(&line.call, true).abs_diff(line.gas) * 20 > line.gas;
        let told = |line: Measured| (line.what, quoted(&line.call, true), line.gas);
        let table = measure();
        // For docs/performance.md.
        table.iter().for_each(|line| println!("{:<44} {:>7}", line.what, line.gas));
        let off: Vec<_> = table.into_iter().filter(is_off).map(told).collect();
        assert_eq!(off, [], "what, quoted, measured");
    }

    #[test]
    fn x2_the_engine_reckons_with_what_calls_cost_and_an_eighth_more_at_most() {
        use decdn_engine::{
            chain::channel::Call,
            worth::{CLAIM_GAS, DISPUTE_GAS, FINISH_GAS, SETTLE_GAS},
        };
        let table = measure();
        let most = |is_it: fn(&Call) -> bool| {
            let is_it = |line: &&Measured| match &line.call {
                crate::backend::Call::Role(call) => call.as_channel().is_some_and(is_it),
                crate::backend::Call::Setup(_) => false,
            };
            let calls = table.iter().filter(is_it);
            calls.map(|line| line.gas).max().expect("it was measured")
        };
        for (what, reckoned, measured) in [
            ("dispute", DISPUTE_GAS, most(|call| matches!(call, Call::Dispute { .. }))),
            ("settle", SETTLE_GAS, most(|call| matches!(call, Call::Settle { .. }))),
            ("finish", FINISH_GAS, most(|call| matches!(call, Call::Finish { .. }))),
            ("claim", CLAIM_GAS, most(|call| matches!(call, Call::Claim { .. }))),
        ] {
            assert!(
                (measured..=measured * 9 / 8).contains(&reckoned),
                "{what}: reckoned {reckoned}, measured {measured}"
            );
        }
    }
}
