// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {Model} from "./Model.sol";
import {vm} from "./Vm.sol";
import {OddWallet} from "./wallets/OddWallet.sol";

/// @notice Any order of close, dispute, settle, cooperative and forced close, claim, finish, delisting, wallets that change their minds, and time,
/// honest or not, against the model: the same answer, error for error, the same state, and the money where the state says.
contract SequenceTest is Fixture {
    using Model for Model.State;

    uint256 private constant CALLS = 16;

    function testFuzz_EveryOrderOfCallsIsTheModels(uint256[CALLS] memory dice) public {
        bytes memory code = address(new OddWallet()).code;
        vm.etch(client, code);
        vm.etch(node, code);
        bytes32 id = open();
        uint256 wealth = usdc.balanceOf(client);
        Model.State memory s;
        (s.status, s.deposit) = (Status.Open, DEPOSIT);
        for (uint256 i = 0; i < CALLS; ++i) {
            step(id, s, uint256(keccak256(abi.encode(dice[i], i))));
            compare(id, s);
        }
        bool settled = s.status == Status.Settled;
        vm.assertEq(usdc.balanceOf(address(escrow)), settled ? 0 : DEPOSIT - s.claimed, "escrow");
        vm.assertEq(usdc.balanceOf(node), settled ? s.amount : s.claimed, "node");
        vm.assertEq(usdc.balanceOf(client) - wealth, settled ? DEPOSIT - s.amount : 0, "client");
    }

    function step(bytes32 id, Model.State memory s, uint256 die) private {
        uint256 kind = die % 13;
        uint256 time = vm.getBlockTimestamp();
        (Model.Call memory c, Voucher memory v, bytes memory agreed) = draw(id, die >> 8);
        bytes4 expected;
        bytes memory call;
        if (kind < 2) {
            expected = s.close(c, time, WINDOW);
            call = abi.encodeCall(escrow.closeChannel, (v));
        } else if (kind < 4) {
            expected = s.dispute(c, time);
            call = abi.encodeCall(escrow.disputeChannel, (v));
        } else if (kind == 4) {
            expected = s.settle(time);
            call = abi.encodeCall(escrow.settleChannel, (id));
        } else if (kind == 5) {
            expected = s.cooperate(c);
            call = abi.encodeCall(escrow.closeCooperatively, (v, agreed));
        } else if (kind == 6) {
            expected = s.force(escrow.tokenAllowed(address(usdc)), time, WINDOW);
            call = abi.encodeCall(escrow.forceCloseChannel, (id));
        } else if (kind == 12) {
            expected = s.claim(c);
            call = abi.encodeCall(escrow.claimChannel, (v));
        } else if (kind == 11) {
            expected = s.finish(c, time);
            call = abi.encodeCall(escrow.finishChannel, (v));
        } else if (kind == 7) {
            vm.prank(owner);
            return escrow.setTokenAllowed(address(usdc), (die >> 8) % 2 == 0);
        } else if (kind == 8) {
            // The wallet takes the other key's signatures, or none.
            return OddWallet((die >> 8) % 2 == 0 ? client : node).setSession((die >> 16) % 2 == 0 ? other : address(1));
        } else {
            return pass(s, die >> 8);
        }
        vm.prank(c.by == Model.Caller.Client ? client : c.by == Model.Caller.Node ? node : other);
        (bool ok, bytes memory answer) = address(escrow).call(call);
        vm.assertEq(ok, expected == 0, "success");
        if (!ok) vm.assertEq(bytes32(answer), bytes32(expected), "error");
    }

    /// @dev One call's arguments, with at most a few things wrong, and what is wrong with them.
    function draw(bytes32 id, uint256 die)
        private
        view
        returns (Model.Call memory c, Voucher memory v, bytes memory agreed)
    {
        c.by = Model.Caller(die % 8 < 7 ? die % 2 : 2);
        uint256[8] memory amounts = [0, 1, 10e6, 30e6, DEPOSIT - 1, DEPOSIT, DEPOSIT + 1, type(uint256).max];
        uint64[4] memory nonces = [0, 1, uint64(die >> 64), type(uint64).max];
        (c.amount, c.nonce) = (amounts[(die >> 8) % 8], nonces[(die >> 16) % 4]);
        c.rightToken = (die >> 24) % 8 != 0;
        bool consents = (die >> 32) % 4 != 0;
        c.consented = consents || OddWallet(node).key() == other;
        uint256 signing = (die >> 40) % 8;
        c.unsigned = signing < 2;
        c.signed = signing > 2 || (signing == 2 && OddWallet(client).key() == other);

        address token = c.rightToken ? address(usdc) : other;
        v = voucher(signing == 2 ? OTHER_KEY : CLIENT_KEY, id, c.amount, c.nonce, token);
        if (c.unsigned) v.signature = "";
        agreed = consents ? consent(v) : sign(OTHER_KEY, consentDigest(v));
    }

    /// @dev Time goes on, often to a second around the deadline, where the checks change their answers.
    function pass(Model.State memory s, uint256 die) private {
        uint256 time = vm.getBlockTimestamp();
        uint256 next = time + (die >> 8) % WINDOW;
        if (die % 2 == 0 && s.deadline != 0) next = s.deadline - 1 + (die >> 8) % 2;
        if (next > time) vm.warp(next);
    }

    function compare(bytes32 id, Model.State memory s) private view {
        Channel memory c = escrow.channel(id);
        vm.assertEq(uint256(c.status), uint256(s.status), "status");
        vm.assertEq(c.amount, s.amount, "amount");
        vm.assertEq(c.claimed, s.claimed, "claimed");
        vm.assertEq(c.nonce, s.nonce, "nonce");
        vm.assertEq(c.deadline, s.deadline, "deadline");
        vm.assertEq(c.deposit, s.deposit, "deposit");
    }
}
