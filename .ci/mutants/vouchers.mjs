// Vouchers and channels: section 5 of docs/protocol.md.
export default [
  {
    name: 'amount-check-skipped', rule: 'V1', breaks: 'a higher nonce is enough, the amount may fall',
    oracle: ['O5', 'O8', 'world'],
    edits: [{
      file: 'engine/src/voucher.rs',
      from: 'nonce > best_nonce && amount > best_amount',
      to: 'nonce > best_nonce',
    }],
  },
  {
    name: 'any-signer-accepted', rule: 'V1', breaks: 'a voucher counts whoever signed it',
    oracle: ['O5', 'O8'],
    edits: [{
      file: 'engine/src/roles/node/earn.rs',
      from: 'let is_signed = crypto.verify',
      to: 'let is_signed = true || crypto.verify',
    }],
  },
  {
    name: 'deposit-check-dropped', rule: 'V4', breaks: 'groups go out that the deposit does not cover',
    oracle: ['O3'],
    edits: [{
      file: 'engine/src/roles/node/sell.rs',
      from: 'let afford = channel.meter.room(channel.deposit, 0);',
      to: 'let afford = u64::MAX;',
    }],
  },
  {
    name: 'final-channel-served', rule: 'V7', breaks: 'a node serves on after its consent to a close',
    oracle: ['O3', 'O8'],
    edits: [{
      file: 'engine/src/roles/node/request.rs',
      from: 'self.earnings.channels[slot].status != ChannelStatus::Open || !is_sure',
      to: 'self.earnings.channels[slot].status == ChannelStatus::Closing || !is_sure',
    }],
  },
  {
    name: 'found-channel-paid-on', rule: 'V1', breaks: 'a channel that is found without a record is paid on from nonce 1',
    oracle: ['O5'],
    edits: [{
      file: 'engine/src/roles/client/open.rs',
      from: 'status: ChannelStatus::Final,',
      to: 'status: ChannelStatus::Open,',
    }],
  },
  {
    name: 'limit-raised-before-durable', rule: 'V3', breaks: 'a voucher raises the sending limit before it is durable',
    oracle: ['O3', 'O12'],
    edits: [{
      file: 'engine/src/machine/earnings.rs',
      from: 'channel.best = Some(Best { amount, nonce, signature, meter: channel.meter });',
      to: 'channel.best = Some(Best { amount, nonce, signature, meter: channel.meter }); channel.durable = channel.durable.max(amount);',
    }],
  },
  {
    name: 'nonce-used-again', rule: 'V1', breaks: 'after a restart a used nonce is signed again',
    oracle: ['O5'],
    edits: [{
      file: 'engine/src/roles/client/mod.rs',
      from: 'Record::Paying(paying) => _ = self.wallet.adopt(paying)',
      to: 'Record::Paying(mut paying) => { paying.nonce.0 = paying.nonce.0.saturating_sub(1); self.wallet.adopt(paying); }',
    }],
  },
  {
    name: 'persist-barrier-dropped', rule: 'V3', breaks: 'a voucher is acknowledged and raises the limit before it is durable',
    oracle: ['O5', 'O12', 'O3'],
    edits: [
      {
        file: 'engine/src/roles/node/earn.rs',
        from: 'out.send(lane, id, ClientMessage::VoucherAck(voucher.nonce));',
        to: '',
      },
      {
        file: 'engine/src/roles/node/earn.rs',
        from: 'self.earnings.take(slot, voucher, cx);',
        to: 'cx.out.send(lane, id, ClientMessage::VoucherAck(voucher.nonce)); self.earnings.take(slot, voucher, cx);',
      },
    ],
  },
  {
    name: 'restart-forgets-best', rule: 'O12', breaks: 'a node recovers without its best vouchers',
    oracle: ['O5', 'O8', 'O12'],
    edits: [{
      file: 'engine/src/roles/node/mod.rs',
      from: '_ = node.earnings.adopt(earning),',
      to: '_ = node.earnings.adopt(crate::record::Earning { best: None, ..earning }),',
    }],
  },
  {
    name: 'signs-before-durable', rule: 'V3', breaks: 'a signature leaves although nothing is on record',
    oracle: ['O5', 'O12'],
    edits: [{
      file: 'engine/src/roles/client/pay.rs',
      from: 'self.persist_paying(slot, out); self.wallet.sign(',
      to: 'self.wallet.sign(',
    }],
  },
  {
    name: 'wrong-voucher-is-late', rule: 'V2', breaks: 'a wrong voucher counts as a late copy: no fault, and an ack',
    oracle: ['O10', 'bound', 'probe'],
    edits: [{
      file: 'engine/src/voucher.rs',
      from: 'Ruling::Refused(RejectReason::V2, None)',
      to: 'Ruling::Late',
    }],
  },
  {
    name: 'counter-from-zero', rule: 'V5', breaks: 'the first channel of a client has number 0',
    oracle: ['O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '++counterOf[msg.sender]',
      to: 'counterOf[msg.sender]++',
    }],
  },
  {
    name: 'soft-cap-ignored', rule: 'V6', breaks: 'any number of openings is served before the safe head has them',
    test: 'cargo test -p decdn-engine --test limits v6_unsafe_openings_beyond_the_soft_cap_wait',
    edits: [{
      file: 'engine/src/machine/earnings.rs',
      from: '.is_none_or(|sum| sum > soft_cap)',
      to: '.is_none()',
    }],
  },
  {
    name: 'late-consent-alarm', rule: 'V7', breaks: 'a consent is waited for after the chain has closed the channel',
    test: 'cargo test -p decdn-engine --test client v7_nobody_waits_for_a_consent_once_the_chain_has_the_close',
    edits: [{
      file: 'engine/src/roles/client/watch.rs',
      from: 'self.tools.alarms.cancel(AlarmKey::Consent(slot)); if !was_closing',
      to: 'if !was_closing',
    }],
  },
];
