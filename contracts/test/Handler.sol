// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "../src/IFeeSplit.sol";
import {Channel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {OddSplit} from "./splits/OddSplit.sol";
import {FeeToken} from "./tokens/FeeToken.sol";
import {MuteToken} from "./tokens/MuteToken.sol";
import {ReenteringToken} from "./tokens/ReenteringToken.sol";
import {RefusingToken} from "./tokens/RefusingToken.sol";
import {OddWallet} from "./wallets/OddWallet.sol";

/// @title Handler
/// @notice Two clients, two nodes, one of each with a contract wallet's code, a fee split that may break, five tokens and many
/// channels, moved by random calls.
/// Rules about a step (what may change, what must succeed) are asserted here, at the step; rules about a state are the invariants of
/// Invariant.t.sol.
contract Handler is Fixture {
    /// @dev What the handler knows of a channel without asking the contract how it works.
    struct Seen {
        bytes32 id;
        uint256 clientKey;
        uint256 nodeKey;
        uint256 deposit; // measured
        uint256 claimed; // paid out while it was open
        uint256 landed; // highest valid amount that reached the chain in time
        uint256 settlements;
        Channel last; // as reported after the last step
    }

    uint256 private constant CHANNELS_MAX = 24;

    Seen[] private seen;
    TestToken[] private tokens;
    OddSplit private split;
    RefusingToken private refusing;
    ReenteringToken private reentering;
    uint256[2] private clientKeys = [CLIENT_KEY, CLIENT_KEY + 1];
    uint256[2] private nodeKeys = [NODE_KEY, NODE_KEY + 1];

    /// @dev How often each kind of step did what it is for.
    mapping(string kind => uint256) public did;

    constructor() {
        setUp();
        split = new OddSplit();
        escrow = new PaymentChannel(owner, nodes, IFeeSplit(address(split)), WINDOW);
        refusing = new RefusingToken();
        reentering = new ReenteringToken();
        tokens = [usdc, new FeeToken(), refusing, reentering, new MuteToken()];
        for (uint256 i = 0; i < tokens.length; ++i) {
            allow(tokens[i]);
            for (uint256 k = 0; k < 2; ++k) {
                fund(tokens[i], vm.addr(clientKeys[k]));
            }
        }
        fund(reentering, address(reentering));
        vm.prank(owner);
        nodes.set(vm.addr(nodeKeys[1]), keccak256("second"), true);
        bytes memory wallet = address(new OddWallet()).code;
        vm.etch(vm.addr(clientKeys[1]), wallet);
        vm.etch(vm.addr(nodeKeys[1]), wallet);
        OddWallet(vm.addr(clientKeys[1])).setSession(other);
        OddWallet(vm.addr(nodeKeys[1])).setSession(other);
    }

    modifier watched() {
        _;
        for (uint256 i = 0; i < seen.length; ++i) {
            _watch(seen[i]);
        }
    }

    // Steps.

    function openChannel(uint256 die, uint256 deposit) external watched {
        if (seen.length == CHANNELS_MAX) return;
        TestToken token = die % 2 == 0 ? refusing : tokens[(die >> 1) % tokens.length];
        if (!escrow.tokenAllowed(address(token))) {
            vm.prank(client);
            (bool ok,) = address(escrow).call(abi.encodeCall(escrow.openChannel, (node, 1, address(token))));
            return vm.assertTrue(!ok, "C5: a delisted token opens nothing");
        }
        Seen storage s = seen.push();
        (s.clientKey, s.nodeKey) = (clientKeys[(die >> 8) % 2], nodeKeys[(die >> 16) % 2]);
        uint256 before = token.balanceOf(address(escrow));
        (address counterparty, uint256 size) = (vm.addr(s.nodeKey), bound(deposit, 1, 1e12));
        vm.prank(vm.addr(s.clientKey));
        s.id = escrow.openChannel(counterparty, size, address(token));
        s.deposit = token.balanceOf(address(escrow)) - before;
        s.last = escrow.channel(s.id);
        did["open"] += 1;
    }

    function closeChannel(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, die >> 8, amount, nonce);
        bool mustSucceed = _valid(s, v) && s.last.status == Status.Open;
        mustSucceed = mustSucceed || (_answers(s, v) && _valid(s, v));
        vm.prank(vm.addr((die >> 32) % 2 == 0 ? s.clientKey : s.nodeKey));
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.closeChannel, (v)));
        if (mustSucceed) vm.assertTrue(ok, "C1: a valid voucher closes");
        if (ok && v.amount > s.landed) s.landed = v.amount;
        if (ok) did["close"] += 1;
        if (ok && !_own(s, v) && v.amount != 0) did["wallet"] += 1;
    }

    function disputeChannel(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, die >> 8, amount, nonce);
        bool mustSucceed = _answers(s, v) && _valid(s, v);
        vm.prank(other);
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.disputeChannel, (v)));
        vm.assertEq(
            ok, mustSucceed, "C2: a valid voucher with a higher amount in the window, and nothing else, disputes"
        );
        if (ok && v.amount > s.landed) s.landed = v.amount;
        if (ok) did["dispute"] += 1;
        if (ok && !_own(s, v)) did["wallet"] += 1;
    }

    function forceCloseChannel(uint256 die) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        bool due = s.last.status == Status.Open && !escrow.tokenAllowed(s.last.token);
        uint256 end = vm.getBlockTimestamp() + s.last.window;
        vm.prank(other);
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.forceCloseChannel, (s.id)));
        vm.assertEq(ok, due, "C5: an open channel of a delisted token, and no other");
        if (!ok) return;
        Channel memory c = escrow.channel(s.id);
        vm.assertEq(c.amount, s.last.amount, "C5: at the recorded amount");
        vm.assertEq(c.deadline, end, "C5: with its own window");
        did["force"] += 1;
    }

    function settleChannel(uint256 die, bool wait) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        bool closing = s.last.status == Status.Closing;
        if (wait && closing && vm.getBlockTimestamp() < s.last.deadline) vm.warp(s.last.deadline);
        bool due = closing && vm.getBlockTimestamp() >= s.last.deadline;
        bool ok = _settling(s, vm.addr(s.clientKey), abi.encodeCall(escrow.settleChannel, (s.id)));
        vm.assertEq(ok, due, "C3: after the window every channel settles, whatever its token does, before it none");
        if (!ok) return;
        uint256 cap = s.landed < s.deposit ? s.landed : s.deposit;
        vm.assertGe(escrow.channel(s.id).amount, cap, "O8: the highest amount that landed is settled");
        did["settle"] += 1;
    }

    function closeCooperatively(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, die >> 8, amount, nonce);
        bytes memory agreed = sign((die >> 40) % 8 == 0 ? OTHER_KEY : s.nodeKey, consentDigest(v));
        bool ok = _settling(s, vm.addr(s.clientKey), abi.encodeCall(escrow.closeCooperatively, (v, agreed)));
        if (ok) did["cooperate"] += 1;
    }

    function claimChannel(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, die >> 8, amount, nonce);
        bool byNode = (die >> 40) % 8 != 0;
        bool due = byNode && s.last.status == Status.Open && _capped(s, v) > s.last.amount && _valid(s, v);
        uint256 before = _free(TestToken(s.last.token));
        vm.prank(vm.addr(byNode ? s.nodeKey : s.clientKey));
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.claimChannel, (v)));
        vm.assertEq(ok, due, "C12: the node claims on an open channel what the client signed, if it is more");
        uint256 gone = before - _free(TestToken(s.last.token));
        vm.assertEq(gone, ok ? _capped(s, v) - s.last.amount : 0, "C12: the difference is paid");
        if (!ok) return;
        s.claimed += gone;
        if (v.amount > s.landed) s.landed = v.amount;
        did["claim"] += 1;
    }

    function finishChannel(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, die >> 8, amount, nonce);
        bool byNode = (die >> 40) % 4 != 0;
        bool due = byNode && _runs(s) && (_capped(s, v) <= s.last.amount || _valid(s, v));
        bytes memory call = abi.encodeCall(escrow.finishChannel, (v));
        bool ok = _settling(s, vm.addr(byNode ? s.nodeKey : s.clientKey), call);
        vm.assertEq(ok, due, "C11: the node finishes, in time, by what the client signed");
        if (!ok) return;
        uint256 highest = _capped(s, v) > s.last.amount ? _capped(s, v) : s.last.amount;
        vm.assertEq(escrow.channel(s.id).amount, highest, "C11: the higher of what is recorded and the voucher");
        did["finish"] += 1;
    }

    /// @dev A claim and a settlement, each twice: a batch does of them what each does alone, and nothing again.
    function batch(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, die >> 8, amount, nonce);
        uint256 rise = s.last.status == Status.Open && _valid(s, v) && _capped(s, v) > s.last.amount
            ? _capped(s, v) - s.last.amount
            : 0;
        bool over = s.last.status == Status.Closing && vm.getBlockTimestamp() >= s.last.deadline;
        bytes[] memory calls = new bytes[](4);
        (calls[0], calls[1]) = (abi.encodeCall(escrow.claimChannel, (v)), abi.encodeCall(escrow.settleChannel, (s.id)));
        (calls[2], calls[3]) = (calls[0], calls[1]);
        uint256 before = _free(TestToken(s.last.token));
        vm.prank(vm.addr(s.nodeKey));
        escrow.batch(calls);
        uint256 gone = before - _free(TestToken(s.last.token));
        vm.assertEq(gone, over ? s.deposit - s.claimed : rise, "C8: each item does what it does alone, once");
        if (over) s.settlements += 1;
        if (!over) s.claimed += rise;
        if (rise != 0 && v.amount > s.landed) s.landed = v.amount;
        if (over || rise != 0) did["batch"] += 1;
    }

    function withdrawCredit(uint256 die) external watched {
        address payee = vm.addr(_keys()[die % 4]);
        address to = (die >> 24) % 2 == 0 ? payee : vm.addr(_keys()[(die >> 25) % 4]);
        TestToken token = (die >> 8) % 2 == 0 ? refusing : tokens[(die >> 9) % tokens.length];
        if ((die >> 16) % 2 == 0) refusing.refuse(to, false);
        uint256 due = escrow.credit(payee, address(token));
        uint256 before = token.balanceOf(to);
        uint256 held = token.balanceOf(address(escrow));
        vm.prank(payee);
        (bool ok,) = address(escrow).call{gas: 3_000_000}(abi.encodeCall(escrow.withdrawCredit, (address(token), to)));
        uint256 gone = held - token.balanceOf(address(escrow));
        vm.assertEq(gone, ok ? due : 0, "C6: a credit is paid once and whole");
        vm.assertEq(escrow.credit(payee, address(token)), ok ? 0 : due, "C6: and then gone");
        if (ok && address(token) == address(refusing)) {
            vm.assertEq(token.balanceOf(to) - before, due, "C6: to whom its payee says");
        }
        if (ok) did["withdraw"] += 1;
    }

    function refuse(uint256 die, bool yes) external watched {
        refusing.setWay(RefusingToken.Way((die >> 8) % uint256(RefusingToken.Way.Len)));
        refusing.refuse(vm.addr(_keys()[die % 4]), yes);
    }

    function reenter(uint256 die, uint256 amount, uint64 nonce) external watched {
        if (seen.length == 0) return;
        Seen storage s = seen[die % seen.length];
        Voucher memory v = _voucher(s, 2, amount, nonce);
        bytes[] memory items = new bytes[](2);
        bytes[8] memory calls = [
            abi.encodeCall(escrow.openChannel, (node, 1, address(reentering))),
            abi.encodeCall(escrow.settleChannel, (s.id)),
            abi.encodeCall(escrow.closeCooperatively, (v, sign(s.nodeKey, consentDigest(v)))),
            abi.encodeCall(escrow.withdrawCredit, (address(reentering), node)),
            abi.encodeCall(escrow.finishChannel, (v)),
            abi.encodeCall(escrow.claimChannel, (v)),
            abi.encodeCall(escrow.disputeChannel, (v)), // moves no money and may succeed
            bytes("")
        ];
        (items[0], items[1]) = (calls[1], calls[4]);
        calls[7] = abi.encodeCall(escrow.batch, (items)); // succeeds, and each item finds the guard taken
        reentering.arm(address(escrow), calls[(die >> 8) % 8], false);
    }

    function list(uint256 die, bool allowed) external watched {
        address token = address(tokens[die % tokens.length]);
        vm.prank(owner);
        escrow.setTokenAllowed(token, allowed);
    }

    /// @dev The wallets change their minds, or break.
    function flip(uint256 die) external watched {
        OddWallet wallet = OddWallet(vm.addr(die % 2 == 0 ? clientKeys[1] : nodeKeys[1]));
        if ((die >> 8) % 2 == 0) wallet.setSession(other);
        else wallet.set(OddWallet.Way((die >> 16) % uint256(OddWallet.Way.Len)));
    }

    /// @dev The split answers by other shares, or breaks; mostly it works.
    function breakSplit(uint256 die, uint256 a, uint256 b) external watched {
        uint256 toTreasury = bound(a, 0, 100);
        split.setShares(toTreasury, bound(b, 0, 100 - toTreasury));
        if (die % 3 == 0) split.set(OddSplit.Way((die >> 8) % uint256(OddSplit.Way.Len)));
    }

    function setWindow(uint64 secs) external watched {
        vm.prank(owner);
        escrow.setDisputeWindow(uint64(bound(secs, 12 hours, 72 hours)));
    }

    function pass(uint256 secs) external watched {
        vm.warp(vm.getBlockTimestamp() + bound(secs, 0, 30 hours));
    }

    // What the invariants read.

    function channelCount() external view returns (uint256) {
        return seen.length;
    }

    function seenAt(uint256 i) external view returns (Seen memory) {
        return seen[i];
    }

    function tokenList() external view returns (TestToken[] memory) {
        return tokens;
    }

    function escrowAddress() external view returns (address) {
        return address(escrow);
    }

    /// @dev Everyone who can hold money or credit.
    function holders() external view returns (address[] memory all) {
        all = new address[](9);
        for (uint256 i = 0; i < 4; ++i) {
            all[i] = vm.addr(_keys()[i]);
        }
        (all[4], all[5], all[6]) = (address(escrow), address(reentering), FeeToken(address(tokens[1])).SINK());
        (all[7], all[8]) = (split.treasury(), split.burner());
    }

    // Helpers.

    /// @dev A call that may settle `s`: what leaves the escrow and what is credited is its deposit, once.
    function _settling(Seen storage s, address by, bytes memory call) private returns (bool ok) {
        TestToken token = TestToken(s.last.token);
        uint256 before = _free(token);
        vm.prank(by);
        (ok,) = address(escrow).call(call);
        uint256 gone = before - _free(token);
        vm.assertEq(gone, ok ? s.deposit - s.claimed : 0, "O2: claimed, paid, refunded and credited are the deposit");
        if (ok) s.settlements += 1;
    }

    /// @dev What the escrow holds for channels, and not as somebody's credit.
    function _free(TestToken token) private view returns (uint256) {
        return token.balanceOf(address(escrow)) - _credits(token);
    }

    function _credits(TestToken token) private view returns (uint256 sum) {
        for (uint256 i = 0; i < 4; ++i) {
            sum += escrow.credit(vm.addr(_keys()[i]), address(token));
        }
        sum += escrow.credit(split.treasury(), address(token)) + escrow.credit(split.burner(), address(token));
    }

    /// @dev Mostly the client's own signature; sometimes another's, or the empty voucher.
    function _voucher(Seen storage s, uint256 die, uint256 amount, uint64 nonce)
        private
        view
        returns (Voucher memory v)
    {
        if (die % 8 == 0) return emptyVoucher(s.id);
        uint256 key = die % 8 < 3 ? OTHER_KEY : s.clientKey;
        return voucher(key, s.id, bound(amount, 0, 2 * s.deposit), nonce, s.last.token);
    }

    /// @dev Whether the client signed `v` itself.
    function _own(Seen storage s, Voucher memory v) private view returns (bool) {
        return _isSigned(s.clientKey, v);
    }

    /// @dev C10: signed by the client itself, or its wallet's yes.
    function _valid(Seen storage s, Voucher memory v) private view returns (bool) {
        if (_own(s, v)) return true;
        if (s.clientKey != clientKeys[1]) return false;
        OddWallet wallet = OddWallet(vm.addr(s.clientKey));
        OddWallet.Way way = wallet.way();
        if (way == OddWallet.Way.Session) return wallet.key() == other && _isSigned(OTHER_KEY, v);
        return way == OddWallet.Way.Yes || way == OddWallet.Way.HugeYes;
    }

    function _isSigned(uint256 key, Voucher memory v) private view returns (bool) {
        bytes32 digest = voucherDigest(v.channelId, v.amount, v.nonce, v.token);
        return keccak256(v.signature) == keccak256(sign(key, digest));
    }

    /// @dev Whether `v`, if validly signed, has to be recorded by a dispute now.
    function _answers(Seen storage s, Voucher memory v) private view returns (bool) {
        bool running = s.last.status == Status.Closing && vm.getBlockTimestamp() < s.last.deadline;
        return running && _capped(s, v) > s.last.amount;
    }

    /// @dev Whether it is open, or closing before its deadline.
    function _runs(Seen storage s) private view returns (bool) {
        if (s.last.status == Status.Closing) return vm.getBlockTimestamp() < s.last.deadline;
        return s.last.status == Status.Open;
    }

    /// @dev C7.
    function _capped(Seen storage s, Voucher memory v) private view returns (uint256) {
        return v.amount < s.deposit ? v.amount : s.deposit;
    }

    /// @dev What may have changed since the last step.
    function _watch(Seen storage s) private {
        Channel memory was = s.last;
        Channel memory c = escrow.channel(s.id);
        vm.assertEq(c.client, was.client, "the client never changes");
        vm.assertEq(c.node, was.node, "the node never changes");
        vm.assertEq(c.token, was.token, "the token never changes");
        vm.assertEq(c.deposit, s.deposit, "the deposit is what arrived");
        vm.assertGe(uint256(c.status), uint256(was.status), "C8: the status only moves forward");
        vm.assertGe(c.amount, was.amount, "O5: the recorded amount never falls");
        vm.assertGe(c.nonce, was.nonce, "C2: the recorded nonce never falls");
        if (was.deadline != 0) vm.assertEq(c.deadline, was.deadline, "C2: the deadline never moves");
        else if (c.deadline != 0) vm.assertEq(c.deadline, vm.getBlockTimestamp() + c.window, "C9: its own window");
        vm.assertEq(c.window, was.window, "C9: the window never changes");
        if (was.status == Status.Settled) vm.assertEq(c.amount, was.amount, "a settled channel is final");
        s.last = c;
    }

    function _keys() private view returns (uint256[4] memory) {
        return [clientKeys[0], clientKeys[1], nodeKeys[0], nodeKeys[1]];
    }
}
