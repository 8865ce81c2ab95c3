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
    name: 'stale-close-ignored', rule: 'X1', breaks: 'nobody disputes',
    oracle: ['O8'],
    edits: [{
      file: 'engine/src/dispute.rs',
      from: 'Cue::News if !outlook.monitor.enabled',
      to: 'Cue::News if outlook.monitor.enabled',
    }],
  },
];
