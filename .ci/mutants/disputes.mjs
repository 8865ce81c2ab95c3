// Disputes: section 6 of docs/protocol.md.
export default [
  {
    name: 'force-path-never', rule: 'X2', breaks: 'the delayed inbox is never taken',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute.rs',
      from: 'Step::Submit(Route::DelayedInbox)',
      to: 'Step::Wait',
    }],
  },
  {
    name: 'late-dispute-not-settled', rule: 'X1', breaks: 'a node never settles a channel whose dispute it hears of after the window',
    test: 'cargo test -p decdn-engine --test node x1_a_dispute_that_is_heard_of_after_the_window_is_settled_all_the_same',
    edits: [{
      file: 'engine/src/roles/node/watch.rs',
      from: 'if is_over && self.closings.is_settleable(slot) {',
      to: 'if is_over && !self.closings.is_settleable(slot) {',
    }],
  },
  {
    name: 'late-outcome-not-settled', rule: 'X1', breaks: 'a node waits for the event before it settles for a dispute that landed late',
    test: 'cargo test -p decdn-engine --test node x1_a_dispute_whose_outcome_comes_after_the_window_is_settled_all_the_same',
    edits: [{
      file: 'engine/src/roles/node/watch.rs',
      from: 'if matches!(heard, Some(Outcome::Landed(_))) {',
      to: 'if false {',
    }],
  },
  {
    name: 'stale-close-ignored', rule: 'X1', breaks: 'nobody disputes',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute.rs',
      from: 'Cue::News if !outlook.monitor.enabled',
      to: 'Cue::News if outlook.monitor.enabled',
    }],
  },
  {
    name: 'second-half-given-up', rule: 'X3', breaks: 'whoever comes back in the second half of a window does not dispute any more',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute.rs',
      from: 'outlook.head_time < self.deadline',
      to: 'outlook.head_time.0 < self.closed_at.0 / 2 + self.deadline.0 / 2',
    }],
  },
  {
    name: 'drift-ignored', rule: 'L3', breaks: "a node serves on while the chain's clock and its own are hours apart",
    test: 'cargo test -p decdn-engine --test node l3_a_clock_more_than_an_hour_off_closes_what_has_earned_something',
    edits: [{
      file: 'engine/src/machine/follower.rs',
      from: 'update.head.time.wall().distance(now.wall) <= CLOCK_DRIFT_MAX',
      to: 'true',
    }],
  },
];
