// Section 18 of docs/protocol.md, where no rule of another section stands for the invariant.
export default [
  {
    name: 'blobs-unbounded', rule: 'O11', breaks: 'a node lists any number of blobs',
    test: 'cargo test -p decdn-engine --test limits o11_blobs_beyond_the_table_are_not_listed',
    edits: [{
      file: 'engine/src/machine/sending.rs',
      from: 'self.blobs.len() >= most &&',
      to: 'self.blobs.len() == usize::MAX &&',
    }],
  },
  {
    name: 'fault-spreads', rule: 'O16', breaks: 'what a peer does wrong on one stream ends the streams of all others',
    oracle: ['O16'],
    edits: [{
      file: 'engine/src/roles/node/mod.rs',
      from: 'let slot = self.end_stream(stream); self.refuse(stream, code, out);',
      to: 'let others: Vec<StreamId> = self.sending.streams.keys().copied().collect(); for other in others { self.refuse(other, code, out); } let slot = self.end_stream(stream); self.refuse(stream, code, out);',
    }],
  },
];
