// Breaks one rule of the contracts at a time and expects the tests to notice.
//
//   node tools/mutants.mjs [name]    all mutants, or those whose name contains `name`
//
// Each mutant is a copy of the project with one piece of source replaced. Prints which tests failed on it; exit code 1 if a
// mutant survived, or if its source text is gone.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const CHANNEL = 'src/PaymentChannel.sol';
const SIGNATURE = 'src/SignatureCheck.sol';
const SPLIT = 'src/SplitCall.sol';
const BATCH = 'src/Batch.sol';
const MUTANTS = [
  // name, file, [from, to] ...
  ['C9 the window of the close', CHANNEL, ['uint64(block.timestamp) + c.windowSecs;', 'uint64(block.timestamp) + disputeWindow;']],
  ['C9 the longest window for all', CHANNEL, ['windowSecs: uint24(window)', 'windowSecs: uint24(DISPUTE_WINDOW_SECS_MAX)']],
  ['C2 dispute by nonce', CHANNEL, ['if (amount <= c.amount) revert AmountNotHigher();', 'if (voucher.nonce <= c.nonce) revert AmountNotHigher();']],
  ['C2 dispute by amount and nonce', CHANNEL, ['if (amount <= c.amount) revert', 'if (amount <= c.amount || voucher.nonce <= c.nonce) revert']],
  ['C2 equal amount disputes', CHANNEL, ['if (amount <= c.amount) revert', 'if (amount < c.amount) revert']],
  ['C2 dispute moves the deadline', CHANNEL, ['emit ChannelDisputed(', 'c.deadline += 1; emit ChannelDisputed(']],
  ['C2 dispute at the deadline', CHANNEL, ['if (block.timestamp >= c.deadline) revert WindowOver();', 'if (block.timestamp > c.deadline) revert WindowOver();']],
  ['C2 dispute after the window', CHANNEL, ['if (block.timestamp >= c.deadline) revert WindowOver();', '']],
  ['C2 nonce falls', CHANNEL, ['if (nonce <= recorded) return recorded;', '']],
  ['C3 settle ignores the window', CHANNEL, ['if (block.timestamp < c.deadline) revert WindowOpen();', '']],
  ['C3 settle needs one second more', CHANNEL, ['if (block.timestamp < c.deadline) revert', 'if (block.timestamp <= c.deadline) revert']],
  ['C3 settled twice', CHANNEL, ['c.status = Status.Settled;\n        _payOut(channelId', '_payOut(channelId']],
  ['C3 the split need not add up', SPLIT, ['return parts[2] == amount - parts[0] - parts[1];', 'return true;']],
  ['C3 a part above the amount', SPLIT, ['if (parts[0] > amount || parts[1] > amount - parts[0]) return false;', 'if (parts[0] > amount || parts[1] > amount - parts[0]) return true;']],
  ['C3 a split that reverts counts', SPLIT, ['ok := and(ok, eq(returndatasize(), 0x60))', 'ok := eq(returndatasize(), 0x60)']],
  ['C3 a longer answer counts', SPLIT, ['eq(returndatasize(), 0x60)', 'gt(returndatasize(), 0x5f)']],
  ['C3 a shorter answer counts', SPLIT, ['eq(returndatasize(), 0x60)', 'lt(returndatasize(), 0x61)']],
  ['C3 a split by little gas', SPLIT, ['if (gasleft() < GAS_NEEDED) revert IPaymentChannel.TooLittleGas();', '']],
  ['C3 the split writes', SPLIT, ['staticcall(SPLIT_GAS, feeSplit,', 'call(SPLIT_GAS, feeSplit, 0,']],
  ['C3 a split eats all gas', SPLIT, ['staticcall(SPLIT_GAS,', 'staticcall(gas(),']],
  ['C3 without a split nothing is earned', CHANNEL, ['return _credit(token, node, amount);', 'return;']],
  ['C3 the treasury gets nothing', CHANNEL, ['_pay(token, _treasury, parts[1]);', '']],
  ['C3 the split before the refund', CHANNEL, ['_pay(token, client, refund);\n        _payEarned(channelId, client, node, token, paid);', '_payEarned(channelId, client, node, token, paid);\n        _pay(token, client, refund);']],
  ['C3 nothing is refunded', CHANNEL, ['_pay(token, client, refund);', '']],
  ['C3 the refund is the deposit', CHANNEL, ['uint256 refund = c.deposit - amount;', 'uint256 refund = c.deposit;']],
  ['C4 without the node', CHANNEL, ['_requireSignature(c.node, consent, nodeSignature);', '']],
  ['C4 without the client', CHANNEL, ['if (!_isEmpty(voucher)) _requireVoucherSignature(c.client, voucher);', '']],
  ['C4 below the recorded amount', CHANNEL, ['if (amount < c.amount) revert AmountTooLow();', '']],
  ['C4 settles a settled channel', CHANNEL, ['if (c.status == Status.Settled) revert NotOpen();\n        _requireParty', '_requireParty']],
  ['C4 consent without the amount', 'src/ChannelHash.sol', ['COOPERATIVE_CLOSE_TYPEHASH, id, amount', 'COOPERATIVE_CLOSE_TYPEHASH, id, uint256(0)']],
  ['C11 anybody finishes', CHANNEL, ['if (msg.sender != c.node) revert NotNode();\n        if (c.status == Status.Closing', 'if (c.status == Status.Closing']],
  ['C12 anybody claims', CHANNEL, ['if (msg.sender != c.node) revert NotNode();\n        (address client', '(address client']],
  ['C12 claimed while it closes', CHANNEL, ['if (c.status != Status.Open) revert NotOpen();\n        if (msg.sender', 'if (c.status == Status.Settled) revert NotOpen();\n        if (msg.sender']],
  ['C12 claims are forgotten at the end', CHANNEL, ['if (c.status == Status.Open && c.amount != 0) c.claimed = c.amount;', '']],
  ['C12 a dispute counts as a claim', CHANNEL, ['if (c.status == Status.Open && c.amount != 0) c.claimed', 'if (c.amount != 0) c.claimed']],
  ['C12 a raise counts as a claim', CHANNEL, ['_keepClaimed(c);\n        c.status = Status.Settled;\n        if (!_isEmpty(voucher)) _raise(c, voucher);', 'if (!_isEmpty(voucher)) _raise(c, voucher);\n        _keepClaimed(c);\n        c.status = Status.Settled;']],
  ['C12 the whole amount each time', CHANNEL, ['uint256 paid = amount - claimed;', 'uint256 paid = amount;']],
  ['C12 paid again at settlement', CHANNEL, ['uint256 paid = amount - c.claimed;', 'uint256 paid = amount;']],
  ['C12 refunded too', CHANNEL, ['uint256 refund = c.deposit - amount;', 'uint256 refund = c.deposit - amount + c.claimed;']],
  ['Claim re-entered', CHANNEL, ['claimChannel(Voucher calldata voucher) external nonReentrant', 'claimChannel(Voucher calldata voucher) external']],
  ['C11 finished after the window', CHANNEL, ['if (c.status == Status.Closing && block.timestamp >= c.deadline) revert WindowOver();', '']],
  ['C11 finished twice', CHANNEL, ['c.status = Status.Settled;\n        if (!_isEmpty(voucher)) _raise(c, voucher);', 'if (!_isEmpty(voucher)) _raise(c, voucher);']],
  ['C11 unsigned', CHANNEL, ['_requireVoucherSignature(c.client, voucher);\n        _record(c, amount, voucher.nonce);', '_record(c, amount, voucher.nonce);']],
  ['C11 below the recorded amount', CHANNEL, ['if (amount <= c.amount) return;', '']],
  ['C11 a finish looks like a window', CHANNEL, ['_payOut(voucher.channelId, c, Ending.Finish)', '_payOut(voucher.channelId, c, Ending.Window)']],
  ['Finish re-entered', CHANNEL, ['finishChannel(Voucher calldata voucher) external nonReentrant', 'finishChannel(Voucher calldata voucher) external']],
  ['C7 uncapped amount', CHANNEL, ['return amount < deposit ? uint96(amount) : deposit;', 'return uint96(amount);']],
  ['C7 above the deposit reverts', CHANNEL, ['return amount < deposit ? uint96(amount) : deposit;', 'if (amount > deposit) revert BadVoucher(); return uint96(amount);']],
  ['C1 a close lowers the amount', CHANNEL, ['if (amount < c.amount) amount = c.amount;', '']],
  ['C1 third party closes', CHANNEL, ['if (msg.sender != c.client && msg.sender != c.node) revert NotParty();', '']],
  ['C1 second close restarts the window', CHANNEL, ['if (status == Status.Closing) return _dispute(c, voucher);', '']],
  ['C1 a zero amount needs no signature', CHANNEL, ['voucher.amount == 0 && voucher.nonce == 0 && voucher', 'voucher.amount == 0 && voucher']],
  ['C1 unsigned is empty', CHANNEL, ['return voucher.amount == 0 && voucher.nonce == 0 && voucher', 'return voucher']],
  ['C5 an allowed token is forced', CHANNEL, ['if (tokenAllowed[c.token]) revert TokenStillAllowed();', '']],
  ['C5 a closing channel is forced', CHANNEL, ['if (c.status != Status.Open) revert NotOpen();\n        if (tokenAllowed', 'if (c.status == Status.Settled) revert NotOpen();\n        if (tokenAllowed']],
  ['C5 a settled channel is forced', CHANNEL, ['if (c.status != Status.Open) revert NotOpen();\n        if (tokenAllowed', 'if (c.status == Status.Closing) revert NotOpen();\n        if (tokenAllowed']],
  ['C5 only parties force', CHANNEL, ['if (tokenAllowed[c.token]) revert', '_requireParty(c); if (tokenAllowed[c.token]) revert']],
  ['C5 no window', CHANNEL, ['_startWindow(channelId, c, 0, 0);', '_startWindow(channelId, c, 0, 0); c.deadline = uint64(block.timestamp);']],
  ['C5 at the deposit', CHANNEL, ['_startWindow(channelId, c, 0, 0);', '_startWindow(channelId, c, c.deposit, 0);']],
  ['C5 delisting does nothing', 'src/ChannelSettings.sol', ['tokenAllowed[token] = allowed;', 'if (allowed) tokenAllowed[token] = true;']],
  ['C6 credit paid twice', 'src/Payouts.sol', ['credit[msg.sender][token] = 0;', '']],
  ['C6 to the payee whatever it says', 'src/Payouts.sol', ['tryTransfer(token, to, amount, gasleft())', 'tryTransfer(token, msg.sender, amount, gasleft())']],
  ['C6 to nobody', 'src/Payouts.sol', ['to == address(0) || to == address(this)', 'to == address(this)']],
  ['C6 back into the escrow', 'src/Payouts.sol', ['to == address(0) || to == address(this)', 'to == address(0)']],
  ['C6 credit overwritten', 'src/Payouts.sol', ['credit[to][token] += amount;', 'credit[to][token] = amount;']],
  ['C6 refusal reverts', 'src/Payouts.sol', ['credit[to][token] += amount;', 'revert TransferFailed();']],
  ['C6 credit lost on failure', 'src/Payouts.sol', ['if (!TokenCall.tryTransfer(token, to, amount, gasleft())) revert TransferFailed();', 'TokenCall.tryTransfer(token, to, amount, gasleft());']],
  ['C6 a payee eats all gas', 'src/Payouts.sol', ['TokenCall.tryTransfer(token, to, amount, PAYOUT_GAS)', 'TokenCall.tryTransfer(token, to, amount, gasleft())']],
  ['C6 payout cap too low', 'src/Payouts.sol', ['PAYOUT_GAS = 300_000', 'PAYOUT_GAS = 10_000']],
  ['C6 false counts as paid', 'src/TokenCall.sol', ['eq(mload(0x00), 1)', '1']],
  ['C6 a short answer counts as paid', 'src/TokenCall.sol', ['and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))', 'gt(mload(0x00), 0)']],
  ['C6 no code counts as paid', 'src/TokenCall.sol', ['gt(extcodesize(token), 0)', '1']],
  ['C8 one item stops the batch', BATCH, ['if (!ok) emit BatchItemFailed(i, why);', 'require(ok);']],
  ['C8 a failure is not told', BATCH, ['if (!ok) emit BatchItemFailed(i, why);', '']],
  ['C8 an item is nobody\'s', BATCH, ['delegatecall(gas(), address(), add', 'call(gas(), address(), 0, add']],
  ['C8 an item is starved', BATCH, ['if (gasleft() < ITEM_GAS) revert TooLittleGas();', '']],
  ['C8 the last item is forgotten', BATCH, ['i < calls.length', 'i + 1 < calls.length']],
  ['C8 a channel that never was is open', CHANNEL, ['if (c.status == Status.None) revert UnknownChannel();', '']],
  ['Open trusts the requested deposit', CHANNEL, ['uint96 received = _take(token, deposit);', '_take(token, deposit); uint96 received = uint96(deposit);']],
  ['Open truncates the deposit', CHANNEL, ['if (received > type(uint96).max) revert DepositTooLarge();', '']],
  ['Open re-entered', CHANNEL, ['external\n        nonReentrant\n        returns', 'external\n        returns']],
  ['Open with a permit re-entered', CHANNEL, ['external nonReentrant returns', 'external returns']],
  ['C13 no permit is tried', CHANNEL, ['TokenCall.tryPermit(token, msg.sender, deposit, deadline, v, r, s);', '']],
  ['C13 a permit for more', CHANNEL, ['tryPermit(token, msg.sender, deposit,', 'tryPermit(token, msg.sender, deposit + 1,']],
  ['C13 a permit that fails stops the opening', 'src/TokenCall.sol', ['pop(call(gas(), token, 0, add(data, 0x20), mload(data), 0x00, 0x00))', 'if iszero(call(gas(), token, 0, add(data, 0x20), mload(data), 0x00, 0x00)) { revert(0, 0) }']],
  ['Settle re-entered', CHANNEL, ['settleChannel(bytes32 channelId) external nonReentrant', 'settleChannel(bytes32 channelId) external']],
  ['Cooperative close re-entered', CHANNEL, ['bytes calldata nodeSignature) external nonReentrant', 'bytes calldata nodeSignature) external']],
  ['Withdrawal re-entered', 'src/Payouts.sol', ['withdrawCredit(address token, address to) external nonReentrant', 'withdrawCredit(address token, address to) external']],
  ['Open ignores the pause', CHANNEL, ['if (paused) revert Paused();', '']],
  ['Open ignores the allow-list', CHANNEL, ['if (!tokenAllowed[token]) revert TokenNotAllowed();', '']],
  ['Open ignores the registry', CHANNEL, ['if (!registry.isActive(counterparty)) revert NodeNotActive();', '']],
  ['V5 counter starts at 0', CHANNEL, ['++counterOf[msg.sender]', 'counterOf[msg.sender]++']],
  ['V5 id without the chain', 'src/ChannelHash.sol', ['abi.encode(block.chainid, escrow', 'abi.encode(uint256(1), escrow']],
  ['V1 voucher without the nonce', 'src/ChannelHash.sol', ['VOUCHER_TYPEHASH, id, amount, nonce', 'VOUCHER_TYPEHASH, id, amount, uint64(0)']],
  ['V1 domain version', CHANNEL, ['EIP712("PaymentChannel", "1")', 'EIP712("PaymentChannel", "2")']],
  ['I4 any signer', 'src/SignatureCheck.sol', ['&& recovered == signer', '']],
  ['I4 the error is not looked at', 'src/SignatureCheck.sol', ['problem == ECDSA.RecoverError.NoError && recovered == signer', '(recovered == signer || problem != ECDSA.RecoverError.NoError)']],
  ['I4 high s counts', 'src/SignatureCheck.sol', ['(address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);', 'ECDSA.RecoverError problem; address recovered = signature.length == 65 ? ecrecover(digest, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64])) : address(0);']],
  ['C10 code voids recovery', SIGNATURE, ['recovered == signer) return true;', 'recovered == signer && signer.code.length == 0) return true;']],
  ['C10 no wallet is asked', SIGNATURE, ['return signer.code.length != 0 && _walletTakes(signer, digest, signature);', 'return false;']],
  ['C10 a revert is a yes', SIGNATURE, ['taken := and(taken, and', 'taken := and(1, and']],
  ['C10 a short answer is a yes', SIGNATURE, ['gt(returndatasize(), 0x1f)', 'gt(returndatasize(), 0x1e)']],
  ['C10 any word is a yes', SIGNATURE, ['eq(mload(0x00), yes)', 'gt(mload(0x00), 0)']],
  ['C10 any end of the word is a yes', SIGNATURE, ['eq(mload(0x00), yes)', 'eq(shr(224, mload(0x00)), shr(224, yes))']],
  ['C10 the answer is copied whole', SIGNATURE, ['taken := and(taken, and', 'returndatacopy(mload(0x40), 0, returndatasize()) taken := and(taken, and']],
  ['C10 a wallet eats all gas', SIGNATURE, ['staticcall(WALLET_GAS,', 'staticcall(gas(),']],
  ['C10 too little gas for a wallet', SIGNATURE, ['WALLET_GAS = 1_000_000', 'WALLET_GAS = 100_000']],
  ['C10 the wallet sees no signature', SIGNATURE, ['(digest, signature));', '(digest, signature[:0]));']],
  ['C10 the wallet sees another digest', SIGNATURE, ['(digest, signature));', '(keccak256(abi.encode(digest)), signature));']],
  ['Window bounds', 'src/ChannelSettings.sol', ['if (secs < DISPUTE_WINDOW_SECS_MIN || secs > DISPUTE_WINDOW_SECS_MAX) revert WindowOutOfBounds();', '']],
  ['Anyone sets tokens', 'src/ChannelSettings.sol', ['setTokenAllowed(address token, bool allowed) external onlyOwner', 'setTokenAllowed(address token, bool allowed) external']],
];

const chosen = MUTANTS.filter(([name]) => name.includes(process.argv[2] ?? ''));
const copy = fs.mkdtempSync(path.join(os.tmpdir(), 'contracts-mutants-'));
let survived = 0;
try {
  for (const name of ['node_modules', 'src', 'test', 'tools', 'foundry.toml', 'package.json']) {
    fs.cpSync(path.join(root, name), path.join(copy, name), { recursive: true, verbatimSymlinks: true });
  }
  for (const mutant of chosen) {
    const failed = run(mutant);
    if (failed.length === 0) survived += 1;
    console.log(`${failed.length ? 'caught  ' : 'SURVIVED'}  ${mutant[0]}: ${failed.join(', ')}`);
  }
} finally {
  fs.rmSync(copy, { recursive: true, force: true });
}
console.log(`mutants: ${chosen.length} tried, ${survived} survived.`);
process.exit(survived ? 1 : 0);

/** The tests that fail on a mutant. */
function run([name, file, [from, to]]) {
  const original = fs.readFileSync(path.join(root, file), 'utf8');
  if (original.split(from).length !== 2) throw new Error(`${name}: its source text is not exactly once in ${file}`);
  fs.writeFileSync(path.join(copy, file), original.replace(from, () => to));
  try {
    return forgeTest(name);
  } finally {
    fs.writeFileSync(path.join(copy, file), original);
  }
}

function forgeTest(name) {
  const installed = path.join(copy, 'node_modules/.bin/forge');
  const forge = fs.existsSync(installed) ? installed : 'forge';
  const env = {
    ...process.env,
    // What makes a mutant quick: tests that need no recompiling, no IR pipeline, no minimising of what failed.
    FOUNDRY_DYNAMIC_TEST_LINKING: 'true',
    FOUNDRY_VIA_IR: 'false',
    FOUNDRY_INVARIANT_RUNS: '16',
    FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT: '0',
    FOUNDRY_INVARIANT_FAILURE_PERSIST_DIR: 'cache/invariant',
    FOUNDRY_FUZZ_FAILURE_PERSIST_DIR: 'cache/fuzz',
  };
  const args = ['test', '--json', '--no-match-contract', 'GasTest'];
  const { stdout, stderr } = spawnSync(forge, args, { cwd: copy, env, encoding: 'utf8', maxBuffer: 1 << 28 });
  const line = stdout.split('\n').find((text) => text.startsWith('{"test/'));
  if (!line) throw new Error(`${name}: does not compile: ${stderr.slice(0, 2000)} ${stdout.slice(0, 2000)}`);
  for (const kind of ['invariant', 'fuzz']) fs.rmSync(path.join(copy, 'cache', kind), { recursive: true, force: true });
  return Object.entries(JSON.parse(line)).flatMap(([suite, { test_results: tests }]) =>
    Object.entries(tests)
      .filter(([, { status }]) => status === 'Failure')
      .map(([test]) => `${suite.split(':')[1]}.${test.split('(')[0]}`));
}
