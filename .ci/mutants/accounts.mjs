// Accounts and purses: nonces, gas and fees of transactions (L2 accounts in section 17 of docs/protocol.md).
export default [
  {
    name: 'refused-leaves-a-gap', rule: 'L2', breaks: 'a transaction that was refused keeps its nonce, and all after it wait for it',
    oracle: ['O8', 'O10', 'O14', 'bound'],
    edits: [{ file: 'sim/src/chain/purse.rs', from: 'let Some(better) = better else { self.purse(tx.from).nonces.free(nonce);', to: 'let Some(better) = better else {' }],
  },
  {
    name: 'gas-not-doubled', rule: 'L2', breaks: 'what ran out of gas is sent again with as much',
    oracle: ['O8', 'O10', 'O14', 'bound'],
    edits: [{ file: 'engine/src/bid.rs', from: 'self.gas_limit.saturating_mul(2).min(GAS_MOST)', to: 'self.gas_limit.min(GAS_MOST)' }],
  },
  {
    name: 'queued-dispute-takes-a-business-nonce', rule: 'L2', breaks: 'a dispute in the delayed inbox has a nonce of the account that goes on with its business, which waits behind it',
    oracle: ['O8', 'O10', 'O14', 'bound', 'probe'],
    edits: [{ file: 'sim/src/chain/purse.rs', from: 'let from = dispute_account(tx.from);', to: 'let from = tx.from;' }],
  },
  {
    name: 'fee-not-raised', rule: 'L2', breaks: 'what nobody takes for its fee is never raised',
    oracle: ['O8', 'O10', 'O14', 'bound', 'probe'],
    edits: [{ file: 'engine/src/bid.rs', from: 'fees.replaces(self.fees).then_some', to: '(fees.replaces(self.fees) && false).then_some' }],
  },
  {
    name: 'lines-up-behind-what-nobody-takes', rule: 'L2', breaks: 'a transaction lines up behind what its account has waiting, though nobody follows that',
    test: 'cargo test -p decdn-engine --lib l2_what_is_given_up_is_replaced_by_the_next_one',
    edits: [{ file: 'engine/src/bid.rs', from: 'let is_free = |nonce: &u64| self.0.get(nonce).is_none_or(|taken| !taken.is_followed);', to: 'let is_free = |nonce: &u64| self.0.get(nonce).is_none();' }],
  },
  {
    name: 'stuck-one-stays-in-the-way', rule: 'L2', breaks: 'what was given up stays where it lies, with others behind it',
    test: 'cargo test -p decdn-engine --lib l2_nothing_waits_behind_what_was_given_up',
    edits: [{ file: 'engine/src/bid.rs', from: 'way.push((*nonce, bid));', to: '' }],
  },
  {
    name: 'mempool-forgets-order', rule: 'L2', breaks: 'a transaction comes into a block before those of its account that it waits for',
    test: 'cargo test -p decdn-contracts --test accounts l2_a_transaction_waits_for_those_before_it_and_comes_with_them',
    edits: [{ file: 'contracts/rs/l2/accounts.rs', from: 'terms.nonce == account.nonce && terms.max_fee >= base_fee', to: 'terms.nonce >= account.nonce && terms.max_fee >= base_fee' }],
  },
  {
    name: 'missing-ether-told-each-time', rule: 'L2', breaks: 'an owner hears every ten minutes that its dispute account lacks ether',
    test: 'cargo test -p decdn-io --lib l2_an_account_that_can_pay_no_more_is_told_of_once_and_again_when_it_can',
    edits: [{ file: 'io/src/chain/inbox/funds.rs', from: '(*last == Funds::Enough) != (found == Funds::Enough)', to: '*last != found' }],
  },
];
