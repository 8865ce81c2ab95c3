// What a node does by itself with its channels, and what is worth its gas: C12, L3, V4 and X2 in docs/protocol.md.
const node = (name) => `cargo test -p decdn-engine --test node ${name}`;

export default [
  {
    name: 'dust-disputed', rule: 'X2', breaks: 'what costs more than it saves is disputed all the same',
    test: node('x2_dust_is_not_disputed_until_gas_is_cheap_enough'),
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'if !is_wanted || !pays {',
      to: 'if !is_wanted {',
    }],
  },
  {
    name: 'dust-forgotten', rule: 'X2', breaks: 'what was not worth its gas once is not looked at again',
    test: node('x2_dust_is_not_disputed_until_gas_is_cheap_enough'),
    edits: [{
      file: 'engine/src/roles/node/watch.rs',
      from: 'slots.extend(self.closings.paying_again(&self.buyer.follower.outlook()));',
      to: '',
    }],
  },
  {
    name: 'least-valuable-first', rule: 'X2', breaks: 'disputes go out in the order of their events',
    test: node('x2_the_most_valuable_goes_first'),
    edits: [{
      file: 'engine/src/roles/node/watch.rs',
      from: 'stale.sort_by_key(|(missing, _)| Reverse(*missing));',
      to: 'let _ = Reverse(0);',
    }],
  },
  {
    name: 'thieves-served', rule: 'X2', breaks: 'whoever keeps dust again and again is served for ever',
    test: node('x2_whoever_kept_more_than_a_least_deposit_is_served_no_more'),
    edits: [{
      file: 'engine/src/roles/node/request.rs',
      from: '&& !self.has_kept_too_much(request.requester, request.token)',
      to: '',
    }],
  },
  {
    name: 'settles-at-a-loss', rule: 'X2', breaks: 'a settlement is sent that costs more than it pays',
    test: node('x2_a_settlement_that_costs_more_than_it_pays_is_not_sent'),
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'outlook.market.pays(pays, SETTLE_GAS, self.stake.coin)',
      to: 'outlook.market.pays(pays, SETTLE_GAS, None)',
    }],
  },
  {
    name: 'claims-again', rule: 'C12', breaks: 'what was claimed already counts as earned',
    test: node('c12_what_was_earned_beyond_the_cap_is_claimed_and_only_that'),
    edits: [{
      file: 'engine/src/machine/earnings.rs',
      from: 'channel.durable.min(channel.deposit).saturating_sub(self.claims.of(&channel.id))',
      to: 'channel.durable.min(channel.deposit)',
    }],
  },
  {
    name: 'never-claims', rule: 'C12', breaks: 'a node claims when its owner says so, and never by itself',
    oracle: ['probe'],
    edits: [{
      file: 'engine/src/roles/node/policy.rs',
      from: 'earned > terms.claim_above && self.market().pays(earned, CLAIM_GAS, terms.coin)',
      to: 'earned > terms.claim_above && self.market().pays(Amount::ZERO, CLAIM_GAS, terms.coin)',
    }],
  },
  {
    name: 'claim-outlives-its-fork', rule: 'C12', breaks: 'a claim that a fork took back counts as made',
    test: 'cargo test -p decdn-engine --lib c12_a_claim_that_a_fork_takes_back_was_none',
    edits: [{
      file: 'engine/src/machine/earnings/claims.rs',
      from: '*paid = Paid { amount: before, newest: None };',
      to: '*paid = Paid { amount: paid.amount, newest: None };',
    }],
  },
  {
    name: 'idle-for-ever', rule: 'L3', breaks: 'a channel that nobody uses is never finished',
    oracle: ['O10', 'probe'],
    edits: [{
      file: 'engine/src/roles/node/policy.rs',
      from: 'let plan = if quiet >= patience && self.pays_to_finish(slot) {',
      to: 'let plan = if !is_open && quiet >= patience && self.pays_to_finish(slot) {',
    }],
  },
  {
    name: 'worthless-close-pins', rule: 'L3', breaks: 'a close that pays nothing holds the durable cursor for ever',
    test: node('l3_a_close_that_pays_nothing_holds_the_cursor_for_a_day_and_is_forgotten_after_ninety'),
    edits: [{
      file: 'engine/src/roles/node/policy.rs',
      from: 'self.buyer.follower.checkpoint.settled(watch.closed_in, held.channel);',
      to: '',
    }],
  },
  {
    name: 'given-up-by-a-head', rule: 'L3', breaks: "a head that runs ahead makes a node give up what it could still dispute",
    test: node('l3_a_head_that_runs_ahead_gives_nothing_up'),
    edits: [{
      file: 'engine/src/roles/node/policy.rs',
      from: '&& now.wall >= at.wall()',
      to: '',
    }],
  },
  {
    name: 'small-channel-served', rule: 'V4', breaks: 'a channel below the least deposit is served',
    test: node('v4_a_channel_below_the_least_deposit_is_refused_in_writing'),
    edits: [{
      file: 'engine/src/roles/node/request.rs',
      from: 'if channel.deposit < terms.least_deposit {',
      to: 'if channel.deposit < Amount::ZERO {',
    }],
  },
  {
    name: 'least-deposit-unbounded', rule: 'V4', breaks: "a node's word makes a client pay in as much as the node likes",
    test: 'cargo test -p decdn-engine --test client v4_who_wants_more_than_that_is_left_and_nothing_is_spent',
    edits: [{
      file: 'engine/src/machine/fetcher.rs',
      from: '(least <= most).then(|| Amount(rest).min(most).max(ordered).max(least))',
      to: 'Some(Amount(rest).min(most).max(ordered).max(least))',
    }],
  },
];
