// The chain under the contracts, and what its endpoints say: section 17 of docs/protocol.md.
export default [
  {
    name: 'time-runs-back', rule: 'L1', breaks: 'a clock that is set back takes block.timestamp along',
    test: 'cargo test -p decdn-contracts --test l2 l1_timestamps_never_fall_and_keep_to_the_profile',
    edits: [{ file: 'contracts/rs/l2/clock.rs', from: '.saturating_add_signed(skew.secs)).max(skew.floor)', to: '.saturating_add_signed(skew.secs))' }],
  },
  {
    name: 'fork-not-rewound', rule: 'L1', breaks: 'a role goes on as if the chain had never taken anything back',
    oracle: ['O8', 'O10', 'O14', 'bound'],
    edits: [{ file: 'engine/src/machine/follower.rs', from: 'let forked_at = update.forked_at.or(silent)?;', to: 'let forked_at = update.forked_at.or(silent).filter(|_| false)?;' }],
  },
  {
    name: 'voucher-erased-at-soft-settlement', rule: 'L1', breaks: 'a node erases its voucher at a settlement that only the soft head has',
    oracle: ['O8', 'O10', 'O14', 'bound'],
    edits: [{ file: 'engine/src/roles/node/watch.rs', from: 'if block <= self.buyer.follower.safe() {', to: 'if block < u64::MAX {' }],
  },
  {
    name: 'opening-safe-by-number', rule: 'V6', breaks: 'an opening that a fork took back counts as safe once the safe head passes its number',
    test: 'cargo test -p decdn-engine --test node v6_an_opening_that_vanished_is_not_served_and_not_safe',
    edits: [{ file: 'engine/src/roles/node/rewind.rs', from: 'for id in self.buyer.follower.openings.rewind(forked_at) {', to: 'for id in self.buyer.follower.openings.rewind(u64::MAX) {' }],
  },
  {
    name: 'outcome-outlives-its-block', rule: 'X1', breaks: 'what a transaction is said to have recorded counts though its block is read and does not have it',
    test: 'cargo test -p decdn-engine --test node l1_a_dispute_that_is_undone_is_sent_again_whatever_its_outcome_said',
    edits: [{ file: 'engine/src/dispute/mod.rs', from: 'self.raises.retain(|raise| raise.is_read || raise.block >= next_block);', to: '' }],
  },
  {
    name: 'undone-dispute-not-in-digest', rule: 'O13', breaks: 'a digest that was asked for before a fork does not say what the fork undid',
    test: 'cargo test -p decdn-engine --test client o13_what_a_fork_undoes_shows_in_the_digest_of_a_client_before_the_new_branch_is_read',
    edits: [{
      file: 'engine/src/roles/client/rewind.rs',
      from: 'self.closings.rewound().for_each(|slot| self.wallet.channels.touch(slot));',
      to: '',
    }],
  },
  {
    name: 'undone-events-stay', rule: 'L1', breaks: 'a chain that has forked still tells the events of the blocks it took back',
    test: 'cargo test -p decdn-contracts --test l2 l1_a_reader_that_goes_back_to_the_fork_hears_the_last_branch',
    edits: [{ file: 'contracts/rs/l2/mod.rs', from: 'self.log.truncate(from);', to: '' }],
  },
  {
    name: 'safe-blocks-undone', rule: 'L1', breaks: 'the sequencer takes back what is posted to L1',
    test: 'cargo test -p decdn-contracts --test l2 l1_a_reader_that_goes_back_to_the_fork_hears_the_last_branch',
    edits: [{ file: 'contracts/rs/l2/mod.rs', from: 'let from = from.max(self.safe(now).number + 1);', to: '' }],
  },
  {
    name: 'fork-found-too-late', rule: 'L1', breaks: 'the JSON-RPC port takes a fork to begin a block too late',
    test: 'cargo test -p decdn-io --lib l1_a_fork_is_never_taken_to_begin_too_late',
    edits: [{ file: 'io/src/chain/told.rs', from: '.map_or(self.safe, |(number, _)| *number).saturating_add(1)', to: '.map_or(self.safe, |(number, _)| *number).saturating_add(200)' }],
  },
  {
    name: 'forced-too-early', rule: 'L2', breaks: 'the inbox can be forced a second before its delay is over',
    test: 'cargo test -p decdn-contracts --test l2 l2_a_censored_account_gets_in_by_force_and_no_earlier',
    edits: [{ file: 'contracts/rs/l2/inbox.rs', from: 'if l1 < forcible', to: 'if l1.0 + 1 < forcible.0' }],
  },
  {
    name: 'wait-told-once', rule: 'L2', breaks: 'nobody hears that a message can be forced earlier than it was said first',
    test: 'cargo test -p decdn-io --lib l2_a_wait_that_shrinks_is_news_at_once_and_one_that_grows_a_little_is_none',
    edits: [{ file: 'io/src/chain/submit.rs', from: 'now.0.saturating_add(SOONER_SECS) < told.0 || ', to: '' }],
  },
  {
    name: 'content-believed', rule: 'L4', breaks: 'what an L1 endpoint says of a message is taken for its content, whatever its hash',
    test: 'cargo test -p decdn-io --lib l4_a_message_is_read_only_from_its_bridge_and_its_content_only_where_the_hash_agrees',
    edits: [{ file: 'io/src/chain/inbox/message.rs', from: 'if keccak256(&event.data) != self.data_hash', to: 'if event.data.is_empty()' }],
  },
  {
    name: 'any-ticket-is-ours', rule: 'X1', breaks: 'after a start another message of the dispute account is taken for the one that is looked for',
    test: 'cargo test -p decdn-io --test forced l2_how_long_a_message_waits_is_read_live_and_can_shrink',
    edits: [{ file: 'io/src/chain/inbox/mod.rs', from: 'goes_to == to && data == input', to: 'goes_to == to || data == input' }],
  },
  {
    name: 'cursor-ahead-of-the-safe-head', rule: 'L1', breaks: 'the stored cursor moves over blocks that may yet be undone',
    oracle: ['O12'],
    edits: [{ file: 'engine/src/chain/checkpoint.rs', from: 'confirmed.min(safe.saturating_add(1))', to: 'confirmed.max(safe.min(1))' }],
  },
  {
    name: 'one-endpoint-suffices', rule: 'L4', breaks: 'of several endpoints one alone makes a head, and what happened below it',
    oracle: ['O3', 'O4', 'O8', 'O10', 'O12', 'O14', 'bound', 'probe', 'world', 'check'],
    edits: [{ file: 'engine/src/chain/quorum.rs', from: 'const AGREE: usize = 2;', to: 'const AGREE: usize = 1;' }],
  },
  {
    name: 'lone-close-not-disputed', rule: 'L4', breaks: 'a close that one of several endpoints alone tells of is not disputed',
    test: 'cargo test -p decdn-engine --test node l4_a_close_that_one_alone_tells_of_is_disputed_and_nothing_else_follows',
    edits: [{ file: 'engine/src/machine/closings.rs', from: '&& self.rumours.hear(slot, (close, watch), is_denied, now.mono)', to: '&& self.rumours.hear(slot, (close, watch), is_denied, now.mono) && false' }],
  },
  {
    name: 'rumours-never-end', rule: 'L4', breaks: 'an endpoint that makes closes up costs gas with each of its answers',
    test: 'cargo test -p decdn-engine --test node l4_a_close_that_one_alone_tells_of_is_disputed_and_nothing_else_follows',
    edits: [{ file: 'engine/src/machine/closings/rumours.rs', from: 'self.refuted.insert(slot, now + DEAF);', to: '' }],
  },
  {
    name: 'head-of-one-counts', rule: 'L4', breaks: 'where no two endpoints agree, the head of one keeps credit going',
    test: 'cargo test -p decdn-engine --test node l4_where_no_two_agree_credit_ends_after_15_minutes_and_a_dispute_goes_out_all_the_same',
    edits: [{ file: 'engine/src/machine/follower.rs', from: 'self.counts = !self.is_alone; if self.is_alone { return; }', to: 'self.counts = !self.is_alone;' }],
  },
  {
    name: 'contested-block-passed', rule: 'L4', breaks: 'where two of two endpoints differ about a block, it is read on all the same',
    test: 'cargo test -p decdn-engine --lib l4_where_two_of_two_differ_the_block_and_all_after_it_wait',
    edits: [{ file: 'engine/src/chain/quorum.rs', from: 'None => { next = block; break; }', to: 'None => {}' }],
  },
  {
    name: 'far-head-believed', rule: 'L4', breaks: 'one answer with a head far ahead moves cursor, clock and safe head',
    oracle: ['O8', 'O12', 'O14', 'bound'],
    edits: [{
      file: 'engine/src/machine/follower/heads.rs',
      from: 'head.number > most || is_early',
      to: 'head.number > most && is_early && false',
    }],
  },
  {
    name: 'blocks-read-once', rule: 'L4', breaks: 'what an answer left out of a block is never seen',
    oracle: ['O8', 'O10', 'O14', 'bound', 'probe'],
    edits: [{
      file: 'engine/src/machine/follower/reading.rs',
      from: 'if self.is_cut { self.cursor.next_block } else { self.confirmed.min(self.cursor.next_block) }',
      to: 'self.cursor.next_block',
    }],
  },
  {
    name: 'wrong-head-stays', rule: 'L4', breaks: 'a head that was wrong is believed for ever, whatever is said afterwards',
    test: 'cargo test -p decdn-engine --lib l4_heads_behind_the_newest_one_for_a_minute_mean_that_it_was_wrong',
    edits: [{ file: 'engine/src/machine/follower/heads.rs', from: 'is_often || doubt.endpoint != endpoint', to: 'is_ahead && (is_often || doubt.endpoint != endpoint)' }],
  },
  {
    name: 'wrong-cursor-stays', rule: 'L4', breaks: 'a stored cursor above the head is waited for',
    test: 'cargo test -p decdn-engine --test node l4_a_cursor_above_the_head_goes_back',
    edits: [{ file: 'engine/src/machine/follower.rs', from: 'self.reading.from() > head.number.saturating_add(1)', to: 'false' }],
  },
  {
    name: 'large-amount-wraps', rule: 'L4', breaks: 'of an amount above 128 bits an endpoint is believed the lower ones',
    test: 'cargo test -p decdn-contracts --lib l4_an_amount_above_128_bits_is_malformed',
    edits: [{
      file: 'contracts/rs/bindings.rs',
      from: 'u128::try_from(value).map(Amount).map_err(|_| Malformed::Amount)',
      to: 'Ok(Amount(value.wrapping_to::<u128>()))',
    }],
  },
  {
    name: 'left-out-is-gone', rule: 'L4', breaks: 'a channel is forgotten whose opening one answer has left out',
    test: 'cargo test -p decdn-engine --test node v6_an_opening_that_vanished_is_not_served_and_not_safe',
    edits: [{
      file: 'engine/src/machine/closings/retained.rs',
      from: 'is_there || *block < confirmed',
      to: 'is_there || *block <= safe',
    }],
  },
];
