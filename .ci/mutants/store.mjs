// The database of records: what is acknowledged has to be there after a crash, and nothing else may be taken for it.
export default [
  {
    name: 'changed-record-accepted', rule: 'O12', breaks: 'records are not compared with the seal of their commit',
    test: 'cargo test -p decdn-store --test damage o12_a_record_that_was_changed_or_removed_past_the_seal_is_refused',
    edits: [{ file: 'io/store/src/db.rs', from: 'if seen == seal', to: 'if seen.commit == seal.commit' }],
  },
  {
    name: 'closed-well-believed', rule: 'O12', breaks: 'a database is believed to have been closed well, so damage to it is not looked for',
    test: 'cargo test -p decdn-store --test damage o12_damage_is_refused_or_changes_nothing',
    edits: [{
      file: 'io/store/src/doubted.rs',
      from: '*flags = (*flags | RECOVERY_REQUIRED) & !TWO_PHASE_COMMIT;',
      to: '*flags = *flags;',
    }],
  },
  {
    name: 'commit-not-synced', rule: 'O12', breaks: 'a commit is acknowledged before it is synced',
    test: 'cargo test -p decdn-store --test damage o12_a_crash_loses_nothing_that_was_acknowledged',
    edits: [{
      file: 'io/store/src/db.rs',
      from: 'let write = self.db.begin_write()?; let seal = put(&write, sets)?;',
      to: 'let mut write = self.db.begin_write()?; write.set_durability(redb::Durability::None)?; let seal = put(&write, sets)?;',
    }],
  },
  {
    name: 'mark-runs-ahead', rule: 'O12', breaks: 'the mark runs ahead of the commit that it stands for, so a crash locks the owner out',
    test: 'cargo test -p decdn-store --test damage o12_a_crash_loses_nothing_that_was_acknowledged',
    edits: [{
      file: 'io/store/src/db.rs',
      from: 'write.commit()?; Ok(self.mark.follow(seal.commit)?)',
      to: 'self.mark.follow(seal.commit)?; Ok(write.commit()?)',
    }],
  },
  {
    name: 'older-records-accepted', rule: 'V3', breaks: 'a database that goes back to an earlier commit is accepted, and its vouchers are signed again',
    test: 'cargo test -p decdn-store --test damage v3_',
    edits: [{ file: 'io/store/src/db.rs', from: 'if seal.commit < marked', to: 'if seal.commit < marked && seal.commit == 0' }],
  },
];
