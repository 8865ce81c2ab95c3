// Disputes: section 6 of docs/protocol.md.
export default [
  {
    name: 'force-path-never', rule: 'X2', breaks: 'the delayed inbox is never taken',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute/routes.rs',
      from: 'Inbox::Empty | Inbox::Queued(..) if is_time(force_at) => submit(voucher),',
      to: 'Inbox::Empty | Inbox::Queued(..) if is_time(force_at) => None,',
    }, {
      file: 'engine/src/dispute/routes.rs',
      from: 'Inbox::Empty | Inbox::Queued(..) => at(force_at),',
      to: 'Inbox::Empty | Inbox::Queued(..) => return None,',
    }],
  },
  {
    name: 'inbox-not-searched', rule: 'X1', breaks: 'after a restart a dispute is sent to the inbox once more, and its 24 hours begin anew',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/machine/closings.rs',
      from: 'self.recorded.get(&channel).map(|dispute| dispute.voucher)',
      to: 'self.recorded.get(&channel).map(|dispute| dispute.voucher).filter(|_| false)',
    }],
  },
  {
    name: 'dispute-not-on-record', rule: 'X1', breaks: 'a dispute goes to the inbox before the disk knows of it',
    oracle: ['O12'],
    edits: [{
      file: 'engine/src/machine/closings.rs',
      from: 'cx.tools.persist(lane, vec![Record::Dispute(dispute)], cx.out);\n                    }',
      to: '}',
    }],
  },
  {
    name: 'absent-until-found', rule: 'X1', breaks: 'an inbox that can not be asked counts as one that has nothing',
    test: 'cargo test -p decdn-engine --test dispute x1_what_could_not_be_looked_for_is_looked_for_again',
    edits: [{
      file: 'engine/src/dispute/routes.rs',
      from: 'TxOutcome::Lost if matches!(self.inbox, Inbox::Searched(searched) if searched == sent) => {',
      to: 'TxOutcome::Lost if false => {',
    }],
  },
  {
    name: 'alarms-set-once', rule: 'X2', breaks: 'when to take the forced path is worked out once, by whatever the clocks show then',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/machine/closings.rs',
      from: 'self.slots().chain(self.rumours.slots()).for_each(|slot| self.arm(slot, outlook, cx));',
      to: 'let _ = (outlook, cx);',
    }],
  },
  {
    name: 'chain-clock-ignored', rule: 'X2', breaks: 'the forced path waits for the wall clock, however late that is',
    test: 'cargo test -p decdn-engine --test dispute x2_the_inbox_is_taken_when_either_clock_says_so',
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'at.wall().since(now.wall).min(self.chain_left(now, at))',
      to: 'at.wall().since(now.wall)',
    }],
  },
  {
    name: 'wall-clock-read-once', rule: 'X2', breaks: 'the program shows the wall clock that it had when it started, and what has passed since',
    test: 'cargo test -p decdn-io --test clocks x2_a_node_goes_by_the_clocks_that_the_machine_has_now',
    edits: [{ file: 'io/src/clock.rs', from: 'wall: wall() + warped', to: 'wall: self.genesis + Span(elapsed.0.saturating_add(warped.0))' }],
  },
  {
    name: 'suspended-time-lost', rule: 'X2', breaks: 'the monotonic clock stands still while the machine is suspended',
    test: 'cargo test -p decdn-io --test clocks x2_a_node_goes_by_the_clocks_that_the_machine_has_now',
    edits: [{ file: 'io/src/clock.rs', from: 'ClockId::Boottime', to: 'ClockId::Monotonic' }],
  },
  {
    name: 'one-try-by-the-sequencer', rule: 'X2', breaks: 'what the sequencer lost is left to the inbox',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute/routes.rs',
      from: 'self.sequencer.is_none() && self.sequencer_retry.is_over(now)',
      to: 'self.sequencer.is_none() && self.sequencer_retry.failures == 0',
    }, {
      file: 'engine/src/dispute/routes.rs',
      from: 'Wanted::Amount(_) => self.sequencer.is_none().then_some(self.sequencer_retry.not_before),',
      to: 'Wanted::Amount(_) => None,',
    }],
  },
  {
    name: 'no-back-off', rule: 'X2', breaks: 'a dispute that fails is tried again every second',
    oracle: ['bound'],
    edits: [{
      file: 'engine/src/dispute/routes.rs',
      from: 'BACKOFF.0.saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX))',
      to: 'BACKOFF.0',
    }],
  },
  {
    name: 'silenced-by-a-head', rule: 'X2', breaks: 'a head that says the window is over ends a dispute',
    test: 'cargo test -p decdn-engine --test dispute x2_a_dispute_is_tried_until_a_settlement_is_seen_whatever_a_head_says_the_time_is',
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'if !is_wanted || !pays {',
      to: 'if !is_wanted || !pays || self.is_over(outlook) {',
    }],
  },
  {
    name: 'settles-too-early', rule: 'X2', breaks: 'a settlement goes out before the newest head says that the window is over',
    test: 'cargo test -p decdn-engine --test client x1_a_close_of_a_found_channel_that_is_older_than_the_start_is_settled',
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'outlook.head_time >= self.deadline',
      to: 'outlook.head_time.0 > 0',
    }],
  },
  {
    name: 'nothing-to-settle', rule: 'X1', breaks: 'a node settles nothing that its client does not',
    test: 'cargo test -p decdn-engine --test node x1_a_dispute_that_is_heard_of_after_the_window_is_settled_all_the_same',
    edits: [{
      file: 'engine/src/machine/closings.rs',
      from: 'self.settling.for_nothing || watch.is_worth_settling(outlook)',
      to: 'self.settling.for_nothing',
    }],
  },
  {
    name: 'stale-close-ignored', rule: 'X1', breaks: 'nobody disputes',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'if !is_wanted || !pays {',
      to: 'if !is_wanted || pays {',
    }],
  },
  {
    name: 'second-half-given-up', rule: 'X3', breaks: 'whoever comes back in the second half of a window does not dispute any more',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute/mod.rs',
      from: 'if !is_wanted || !pays {',
      to: 'if !is_wanted || outlook.head_time.0 > self.closed_at.0 / 2 + self.deadline.0 / 2 {',
    }],
  },
  {
    name: 'one-glitch-closes', rule: 'L3', breaks: 'one head that is hours off closes every channel',
    oracle: ['bound'],
    edits: [{
      file: 'engine/src/machine/follower.rs',
      from: 'self.is_off = number != head && now.mono.since(since) >= APART;',
      to: 'self.is_off = number == head || now.mono.since(since) >= APART;',
    }],
  },
  {
    name: 'drift-ignored', rule: 'L3', breaks: "a node serves on while the chain's clock and its own are hours apart",
    test: 'cargo test -p decdn-engine --test node l3_a_clock_more_than_an_hour_off_closes_what_has_earned_something',
    edits: [{
      file: 'engine/src/machine/follower.rs',
      from: 'head.time.wall().distance(cx.now.wall) <= CLOCK_DRIFT_MAX',
      to: 'true',
    }],
  },
];
