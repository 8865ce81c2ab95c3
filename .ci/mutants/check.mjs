// What the rules' oracles can't see, because it does its harm later or elsewhere, and a role's own invariants can (Role::check).
export default [
  {
    name: 'share-of-the-gone-stays', rule: 'O13', breaks: 'an entry that is gone counts towards the digest still',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/state/tracked.rs',
      from: 'let gone = self.map.remove(key)?; self.sum.less(&gone.mark);',
      to: 'let gone = self.map.remove(key)?;',
    }],
  },
  {
    name: 'settled-close-holds-the-cursor', rule: 'X1', breaks: 'a channel that has settled holds the durable cursor back for ever',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/roles/client/rewind.rs',
      from: 'self.follower.checkpoint.settled(kept.held_from, *id);',
      to: 'let _ = (id, kept);',
    }],
  },
  {
    name: 'greeting-outlives-its-channel', rule: 'V3', breaks: 'a node counts as having the newest voucher of a channel that is gone',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/roles/client/rewind.rs',
      from: 'self.links.forget_channel(gone.paying.node, slot);',
      to: '',
    }],
  },
  {
    name: 'idle-peer-kept', rule: 'O11', breaks: 'a connection that nothing is left for stays',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/roles/client/watch.rs',
      from: 'self.retain(now, slot, Why::Settled, (block, block), out); } self.leave_idle_peers(now, out);',
      to: 'self.retain(now, slot, Why::Settled, (block, block), out); }',
    }],
  },
  {
    name: 'settled-alarm-stays', rule: 'O11', breaks: 'the alarms of a close stay behind when it has settled',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/machine/closings.rs',
      from: 'cx.tools.alarms.forget(AlarmKey::Settle(slot));',
      to: '',
    }],
  },
  {
    name: 'download-alarm-stays', rule: 'O11', breaks: 'a download that is over leaves its alarm behind',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/machine/fetcher.rs',
      from: 'cx.tools.alarms.forget(AlarmKey::Fetch(id)); self.fetches.remove(&id)',
      to: 'let _ = cx; self.fetches.remove(&id)',
    }],
  },
  {
    name: 'stream-counted-twice', rule: 'W3', breaks: 'a connection counts each of its streams twice',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/machine/inbound.rs',
      from: 'conn.streams += 1;',
      to: 'conn.streams += 2;',
    }],
  },
  {
    name: 'soft-listed-for-ever', rule: 'V6', breaks: 'an opening that the safe head has is listed as soft still',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/machine/earnings.rs',
      from: 'channel.is_soft = false; } is_soft }',
      to: 'channel.is_soft = false; } true }',
    }],
  },
  {
    name: 'lost-bytes-of-nobody', rule: 'D8', breaks: 'bytes that a download lost are waited for when it is over',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/roles/client/fetch.rs',
      from: 'self.retire_lossy(now, &gone.record.order, out);',
      to: 'let _ = Self::retire_lossy;',
    }],
  },
  {
    name: 'voucher-not-sent-again', rule: 'V3', breaks: 'a voucher that went out on no stream waits for ever',
    oracle: ['check'],
    edits: [{
      file: 'engine/src/roles/client/stream.rs',
      from: 'self.send_unsent(now, slot, out);',
      to: 'let _ = Self::send_unsent;',
    }],
  },
];
