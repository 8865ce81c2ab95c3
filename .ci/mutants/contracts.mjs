// Contracts: section 8 of docs/protocol.md. contracts/tools/mutants.mjs breaks them more finely, for the tests in Solidity.
export default [
  {
    name: 'amount-uncapped', rule: 'C7', breaks: 'a voucher above the deposit is not capped',
    oracle: ['O1', 'O2', 'O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_startWindow(voucher.channelId, c, _capped(voucher.amount, c.deposit), voucher.nonce);',
      to: '_startWindow(voucher.channelId, c, uint96(voucher.amount), voucher.nonce);',
    }],
  },
  {
    name: 'any-signature-disputes', rule: 'C2', breaks: 'a dispute needs no signature of the client',
    oracle: ['O4', 'O8', 'O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_requireVoucherSignature(c.client, voucher); nonce =',
      to: 'nonce =',
    }],
  },
  {
    name: 'claimed-again-at-the-end', rule: 'C12', breaks: 'a settlement pays what was claimed once more',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'uint256 paid = amount - c.claimed; (address client, address node, address token)',
      to: 'uint256 paid = amount; (address client, address node, address token)',
    }],
  },
  {
    name: 'close-below-a-claim', rule: 'C1', breaks: 'a close lowers what a claim has recorded',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'if (amount < c.amount) amount = c.amount;',
      to: '',
    }],
  },
  {
    name: 'force-close-at-zero', rule: 'C5', breaks: 'a forced close starts at 0, whatever a claim has recorded',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_startWindow(channelId, c, 0, 0);',
      to: 'c.amount = 0; _startWindow(channelId, c, 0, 0);',
    }],
  },
  {
    name: 'close-unsigned', rule: 'C1', breaks: 'a close needs no signature of the client',
    oracle: ['O4', 'O8', 'O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_requireVoucherSignature(c.client, voucher); }',
      to: '}',
    }],
  },
  {
    name: 'consent-unsigned', rule: 'C4', breaks: 'a cooperative close needs no signature of the node',
    oracle: ['O8', 'O9'],
    edits: [
      {
        file: 'contracts/src/PaymentChannel.sol',
        from: 'bytes32 consent = ChannelHash.cooperativeClose(voucher.channelId, voucher.amount, voucher.nonce, token);',
        to: '',
      },
      {
        file: 'contracts/src/PaymentChannel.sol',
        from: '_requireSignature(c.node, consent, nodeSignature);',
        to: 'nodeSignature;',
      },
    ],
  },
  {
    name: 'dispute-by-nonce', rule: 'C2', breaks: 'the higher nonce decides a dispute, whatever the amount',
    oracle: ['O8', 'O9', 'O5'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'if (amount <= c.amount) revert AmountNotHigher();',
      to: 'if (voucher.nonce <= c.nonce) revert AmountNotHigher();',
    }],
  },
  {
    name: 'dispute-moves-deadline', rule: 'C2', breaks: 'a dispute starts the window anew',
    oracle: ['O8', 'O2', 'O9', 'O12'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'emit ChannelDisputed(',
      to: 'c.deadline = uint64(block.timestamp) + disputeWindow; emit ChannelDisputed(',
    }],
  },
  {
    name: 'anybody-finishes', rule: 'C11', breaks: 'anybody finishes a channel',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'if (msg.sender != c.node) revert NotNode(); if (c.status == Status.Closing',
      to: 'if (c.status == Status.Closing',
    }],
  },
  {
    name: 'batch-all-or-nothing', rule: 'C8', breaks: 'one call that reverts stops the whole batch',
    test: 'cargo test -p decdn-contracts --features l2 --test differential c8_a_batch_does_what_its_calls_do_one_by_one',
    edits: [{
      file: 'contracts/src/Batch.sol',
      from: 'if (!ok) emit BatchItemFailed(i, why);',
      to: 'if (!ok) revert TooLittleGas();',
    }],
  },
  {
    name: 'permit-left-out', rule: 'C13', breaks: 'openWithPermit shows the token no permit',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'TokenCall.tryPermit(token, msg.sender, deposit, deadline, v, r, s);',
      to: '',
    }],
  },
  {
    name: 'pays-twice', rule: 'C3', breaks: 'a settled channel settles again',
    oracle: ['O1', 'O2', 'O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'c.status = Status.Settled; _payOut(channelId, c, Ending.Window);',
      to: '_payOut(channelId, c, Ending.Window);',
    }],
  },
  {
    name: 'refund-skipped', rule: 'C3', breaks: 'the client does not get the rest back',
    oracle: ['O1', 'O2'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_pay(token, client, refund);',
      to: '',
    }],
  },
  {
    name: 'earning-skipped', rule: 'C3', breaks: 'the node does not get what is recorded',
    oracle: ['O1', 'O2'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_payEarned(channelId, client, node, token, paid);',
      to: '',
    }],
  },
  {
    name: 'settle-ignores-window', rule: 'C3', breaks: 'a channel settles before its window is over',
    oracle: ['O2', 'O8', 'O9', 'O12'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'if (block.timestamp < c.deadline) revert WindowOpen();',
      to: '',
    }],
  },
  {
    name: 'stranger-closes', rule: 'C1', breaks: 'anybody closes a channel',
    oracle: ['O8', 'O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: '_requireParty(c); Status status',
      to: 'Status status',
    }],
  },
  {
    name: 'window-halved', rule: 'C9', breaks: 'a close gives half of the window',
    oracle: ['O8', 'O9'],
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'uint64 deadline = uint64(block.timestamp) + c.windowSecs;',
      to: 'uint64 deadline = uint64(block.timestamp) + c.windowSecs / 2;',
    }],
  },
  {
    name: 'window-not-pinned', rule: 'C9', breaks: 'the owner shortens the window of channels that are open',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/PaymentChannel.sol',
      from: 'uint64 deadline = uint64(block.timestamp) + c.windowSecs;',
      to: 'uint64 deadline = uint64(block.timestamp) + disputeWindow;',
    }],
  },
  {
    name: 'code-voids-recovery', rule: 'C10', breaks: 'a signature that recovers to its account is void once the account has code',
    test: 'cargo test -p decdn-contracts --features l2 --test differential o9_model_bytecode_and_prediction_agree_after_every_transaction',
    edits: [{
      file: 'contracts/src/SignatureCheck.sol',
      from: 'recovered == signer) return true;',
      to: 'recovered == signer && signer.code.length == 0) return true;',
    }],
  },
];
