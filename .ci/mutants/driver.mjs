// The driver's contract: the numbered rules at the head of io/driver/src/lib.rs.
export default [
  {
    name: 'driver-forgets-key-order', rule: 'io 3', breaks: 'write sets that share a record become durable in any order',
    test: 'cargo test -p decdn-driver --test contract write_sets_with_a_common_key_keep_their_order',
    edits: [{
      file: 'io/driver/src/commit.rs',
      from: '.all(|key| self.order.get(&key).and_then(VecDeque::front) == Some(&seq))',
      to: '.all(|key| self.order.get(&key).is_some_and(|waiting| waiting.contains(&seq)))',
    }],
  },
  {
    name: 'driver-record-before-content', rule: 'io 3',
    breaks: 'a record that calls content verified is stored while the content is still on its way',
    test: 'cargo test -p decdn-driver --test contract verified_content_is_durable_before_its_record',
    edits: [{
      file: 'io/driver/src/driver.rs',
      from: 'if syncs.is_empty()',
      to: 'if syncs.is_empty() || !writes.is_empty()',
    }],
  },
  {
    name: 'driver-returns-credit-early', rule: 'io 7', breaks: 'a stream is read on while what followed from its inputs waits for the disk',
    test: 'cargo test -p decdn-driver --test contract a_stream_is_not_read_while_its_effects_wait',
    edits: [{
      file: 'io/driver/src/driver.rs',
      from: 'self.lanes.push(output.lane, output.effect, credit.clone());',
      to: 'self.lanes.push(output.lane, output.effect, None);',
    }],
  },
  {
    name: 'driver-takes-lanes-for-one', rule: 'io 9', breaks: 'a channel that is paid on shares its lane with one that is earned on',
    test: 'cargo test -p decdn-driver --test contract a_barrier_of_one_side_holds_nothing_of_the_other',
    edits: [{
      file: 'io/driver/src/driver.rs',
      from: 'self.lanes.push(output.lane, output.effect, credit.clone());',
      to: 'let lane = match output.lane { Lane::Channel(n) => Lane::Channel(n % (1 << 31)), other => other }; self.lanes.push(lane, output.effect, credit.clone());',
    }],
  },
  {
    name: 'driver-ends-both-sides', rule: 'io 9', breaks: 'nothing more is heard from customers when a connection to a seller is lost',
    test: 'cargo test -p decdn-driver --test contract a_lost_connection_takes_none_of_the_other_kind_along',
    edits: [{
      file: 'io/driver/src/live.rs',
      from: 'Input::Disconnected { conn, .. } => self.conns.remove(conn).is_some(),',
      to: 'Input::Disconnected { conn, .. } => { let was = self.conns.remove(conn).is_some(); self.conns.clear(); was }',
    }],
  },
  {
    name: 'edge-drops-barrier', rule: 'io 2', breaks: "in the simulator's edge, effects behind a write set do not wait for it",
    oracle: ['O5', 'O12', 'O3'],
    edits: [
      { file: 'sim/src/edge.rs', from: 'let waiting = self.spare.pop().unwrap_or_default();', to: 'self.spare.pop();' },
      { file: 'sim/src/edge.rs', from: 'self.blocked.push((write.lane, waiting));', to: '' },
    ],
  },
];
