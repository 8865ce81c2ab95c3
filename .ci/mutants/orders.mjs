// What owners order of money that is there: V7, C6, C11 and C12 in docs/protocol.md.
export default [
  {
    name: 'order-not-on-record', rule: 'V7', breaks: "an owner's close is not durable, and a crash before the transaction loses it",
    oracle: ['O10', 'probe'],
    edits: [{
      file: 'engine/src/roles/node/order.rs',
      from: 'vec![self.earnings.channels[slot].record(), Record::Order(order)]',
      to: 'vec![self.earnings.channels[slot].record()]',
    }],
  },
  {
    name: 'order-sent-once', rule: 'V7', breaks: "an owner's close that is lost on its way is not sent again",
    oracle: ['O10'],
    edits: [{
      file: 'engine/src/machine/orders.rs',
      from: 'Stage::Due { at, .. } if at <= now.mono => Some(Ready::Send),',
      to: 'Stage::Due { at, tries: 0 } if at <= now.mono => Some(Ready::Send),',
    }],
  },
  {
    name: 'owner-closes-empty', rule: 'V7', breaks: 'a node closes with the empty voucher, whatever it holds',
    test: 'cargo test -p decdn-engine --test node v7_an_order_is_carried_out_with_the_best_voucher',
    edits: [{
      file: 'engine/src/roles/node/order.rs',
      from: '(_, voucher) => channel::Call::Finish { channel: channel.id, voucher },',
      to: '_ => channel::Call::Finish { channel: channel.id, voucher: None },',
    }],
  },
  {
    name: 'ending-takes-no-voucher', rule: 'V7', breaks: 'a node whose owner closes turns down what its client has signed since',
    oracle: ['O10', 'bound'],
    edits: [{
      file: 'engine/src/roles/node/earn.rs',
      from: 'let is_taken = channel.status != ChannelStatus::Final;',
      to: 'let is_taken = !matches!(channel.status, ChannelStatus::Final | ChannelStatus::Ending);',
    }],
  },
  {
    name: 'close-not-made-again', rule: 'V7', breaks: "an owner's close that a fork took back, after a restart, is not made again",
    test: 'cargo test -p decdn-engine --test node l1_a_close_that_is_taken_back_is_made_again_after_a_restart_too',
    edits: [{
      file: 'engine/src/roles/node/rewind.rs',
      from: 'if is_ours || is_ordered {',
      to: 'if is_ours {',
    }, {
      file: 'engine/src/roles/node/rewind.rs',
      from: 'self.send_orders(now, out);',
      to: '',
    }],
  },
  {
    name: 'overtaken-is-refused', rule: 'V7', breaks: 'a close that came second counts as refused before its block was read',
    test: 'cargo test -p decdn-engine --test node v7_who_was_overtaken_has_what_it_wanted_and_a_revert_that_stands_is_told',
    edits: [{
      file: 'engine/src/machine/orders.rs',
      from: 'Stage::Reverted { block, reason } if block < next_block =>',
      to: 'Stage::Reverted { reason, .. } =>',
    }, {
      file: 'engine/src/roles/node/watch.rs',
      from: 'self.on_order_tx(now, id, ticket, &outcome);',
      to: 'self.on_order_tx(now, id, ticket, &outcome); self.send_orders(now, out);',
    }],
  },
  {
    name: 'claim-undone-for-good', rule: 'C12', breaks: 'a claim that a fork takes back is not made again',
    test: 'cargo test -p decdn-engine --test node l1_a_claim_that_is_lost_or_taken_back_is_sent_again_after_a_restart_too',
    edits: [{
      file: 'engine/src/machine/orders.rs',
      from: 'matches!(*stage, Stage::Done(block) if block >= forked_at)',
      to: 'matches!(*stage, Stage::Done(block) if block > forked_at)',
    }],
  },
  {
    name: 'claim-off-the-record-early', rule: 'C12', breaks: 'a claim is off the record before the safe head has it',
    test: 'cargo test -p decdn-engine --test node c12_a_claim_is_on_record_until_it_is_safe_and_the_channel_goes_on',
    edits: [{
      file: 'engine/src/machine/orders.rs',
      from: 'matches!(stage, Stage::Done(block) if *block <= safe)',
      to: 'matches!(stage, Stage::Done(block) if *block <= safe + 2)',
    }],
  },
  {
    name: 'claim-stops-the-channel', rule: 'C12', breaks: 'a channel that is claimed on serves no more',
    test: 'cargo test -p decdn-engine --test node c12_a_claim_is_on_record_until_it_is_safe_and_the_channel_goes_on',
    edits: [{
      file: 'engine/src/roles/node/order.rs',
      from: "let is_close = matches!(order, Order::Close(_));",
      to: 'let is_close = true;',
    }],
  },
  {
    name: 'withdrawal-not-on-record', rule: 'C6', breaks: 'a withdrawal leaves before the disk knows of it',
    test: 'cargo test -p decdn-engine --test node c6_a_withdrawal_is_on_record_until_the_chain_has_done_it',
    edits: [{
      file: 'engine/src/roles/client/order.rs',
      from: 'self.persist(Lane::Role, vec![Record::Order(order)], out);',
      to: '',
    }],
  },
  {
    name: 'withdrawal-done-for-good', rule: 'C6', breaks: 'a withdrawal that a fork takes back is not made again',
    test: 'cargo test -p decdn-engine --test node c6_a_withdrawal_is_on_record_until_the_chain_has_done_it',
    edits: [{
      file: 'engine/src/machine/orders.rs',
      from: '(*block >= forked_at).then_some(*order)',
      to: '(*block > forked_at).then_some(*order)',
    }],
  },
  {
    name: 'control-open-to-all', rule: 'V7', breaks: "anybody on the machine may order a node's money about",
    test: 'cargo test -p decdn-io --lib a_dead_socket_is_replaced_a_live_one_and_anything_else_is_left',
    edits: [{
      file: 'io/src/control.rs',
      from: 'fs::set_permissions(&young, fs::Permissions::from_mode(0o600))',
      to: 'fs::set_permissions(&young, fs::Permissions::from_mode(0o666))',
    }],
  },
  {
    name: 'control-has-no-cap', rule: 'O11', breaks: 'a request of any length is kept',
    test: 'cargo test -p decdn-io --lib o11_hostile_owners_neither_stall_the_node_nor_outnumber_what_it_hears',
    edits: [{
      file: 'io/src/control.rs',
      from: 'reader.take(LINE_BYTES as u64)',
      to: 'reader.take(u64::MAX)',
    }],
  },
];
