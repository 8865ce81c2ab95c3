// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm, Vm} from "./Vm.sol";
import {ReenteringToken} from "./tokens/ReenteringToken.sol";

/// @notice batch: C8. Each item is its caller's own call, and none stops the others.
contract BatchTest is Fixture {
    function test_C8_EachItemDoesWhatTheCallAloneDoes() public {
        bytes32[3] memory ids = [open(), open(), openAndClose(10e6)];
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(escrow.claimChannel, (voucher(ids[0], 10e6, 1)));
        calls[1] = abi.encodeCall(escrow.finishChannel, (voucher(ids[1], 20e6, 1)));
        calls[2] = abi.encodeCall(escrow.disputeChannel, (voucher(ids[2], 30e6, 2)));
        vm.prank(node);
        escrow.batch(calls);
        assertRecorded(ids[0], 10e6, 1, Status.Open);
        assertRecorded(ids[1], 20e6, 1, Status.Settled);
        assertRecorded(ids[2], 30e6, 2, Status.Closing);
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
    }

    /// @dev A mass exit: what one item can't do is told and skipped.
    function test_C8_AnItemThatRevertsIsSkippedAndTold() public {
        bytes32 id = open();
        bytes[] memory calls = new bytes[](5);
        calls[0] = abi.encodeCall(escrow.settleChannel, (id));
        calls[1] = abi.encodeCall(escrow.claimChannel, (voucher(OTHER_KEY, id, 1, 1, address(usdc))));
        calls[2] = hex"01020304"; // no function
        calls[3] = "";
        calls[4] = abi.encodeCall(escrow.claimChannel, (voucher(id, 10e6, 1)));
        expectSkipped(0, IPaymentChannel.NotClosing.selector);
        expectSkipped(1, IPaymentChannel.BadSignature.selector);
        expectSkipped(2, 0);
        expectSkipped(3, 0);
        vm.prank(node);
        escrow.batch(calls);
        assertRecorded(id, 10e6, 1, Status.Open);
    }

    function test_C8_TheCallerIsTheBatchs() public {
        bytes32 id = open();
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(escrow.claimChannel, (voucher(id, 1, 1)));
        calls[1] = abi.encodeCall(escrow.setPaused, (true));
        calls[2] = abi.encodeCall(escrow.closeChannel, (voucher(id, 1, 1)));
        expectSkipped(0, IPaymentChannel.NotNode.selector);
        expectSkipped(1, Ownable.OwnableUnauthorizedAccount.selector);
        expectSkipped(2, IPaymentChannel.NotParty.selector);
        vm.prank(other);
        escrow.batch(calls);
        assertRecorded(id, 0, 0, Status.Open);
    }

    function test_C8_ABatchMayOpenMoreThanOnce() public {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.openChannel, (node, 1, address(usdc)));
        calls[1] = abi.encodeCall(escrow.openChannel, (node, 2, address(usdc)));
        vm.prank(client);
        escrow.batch(calls);
        vm.assertEq(escrow.channel(escrow.channelIdOf(client, node, address(usdc), 1)).deposit, 1, "first");
        vm.assertEq(escrow.channel(escrow.channelIdOf(client, node, address(usdc), 2)).deposit, 2, "second");
    }

    function test_C8_ABatchMayHoldABatch() public {
        bytes32 id = open();
        bytes[] memory inner = new bytes[](1);
        inner[0] = abi.encodeCall(escrow.claimChannel, (voucher(id, 10e6, 1)));
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(escrow.batch, (inner));
        calls[1] = abi.encodeCall(escrow.batch, (inner)); // the voucher is claimed already
        vm.prank(node);
        escrow.batch(calls);
        assertRecorded(id, 10e6, 1, Status.Open);
    }

    function test_C8_NothingToDoIsDone() public {
        escrow.batch(new bytes[](0));
    }

    /// @dev Money is not moved twice, whoever calls back in between.
    function test_C8_ATokenThatCallsBackGetsNowhere() public {
        ReenteringToken bad = new ReenteringToken();
        allow(bad);
        fund(bad, client);
        bytes32 id = openAndClose(bad, 30e6);
        warpPastWindow(id);
        bytes[] memory calls = new bytes[](1);
        calls[0] = abi.encodeCall(escrow.settleChannel, (id));
        bad.arm(address(escrow), abi.encodeCall(escrow.batch, (calls)), false);
        escrow.batch(calls);
        vm.assertEq(bad.balanceOf(node), 30e6, "paid once");
        vm.assertEq(bad.balanceOf(address(escrow)), 0, "escrow");
    }

    /// @dev Too little gas before an item stops the batch, and nothing of it stays; never is an item left out without a word.
    function test_C8_TooLittleGasBeforeAnItemReverts() public {
        bytes[] memory calls = new bytes[](4);
        bytes32[4] memory ids = [open(), open(), open(), open()];
        for (uint256 i = 0; i < 4; ++i) {
            calls[i] = abi.encodeCall(escrow.closeChannel, (voucher(ids[i], 1, 1)));
        }
        bool done;
        bool refused;
        for (uint256 gas = 90_000; gas < 500_000; gas += 4_999) {
            uint256 state = vm.snapshotState();
            vm.recordLogs();
            vm.prank(node);
            (bool ok, bytes memory why) = address(escrow).call{gas: gas}(abi.encodeCall(escrow.batch, (calls)));
            refused = refused || (!ok && bytes4(why) == IPaymentChannel.TooLittleGas.selector);
            if (ok) {
                done = true;
                for (uint256 i = 0; i < 4; ++i) {
                    assertRecorded(ids[i], 1, 1, Status.Closing);
                }
                Vm.Log[] memory logs = vm.getRecordedLogs();
                vm.assertEq(logs.length, 4, "nothing was skipped");
            }
            vm.revertToState(state);
        }
        vm.assertTrue(done && refused, "some gas is enough, some is too little");
    }

    function expectSkipped(uint256 index, bytes4 why) private {
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.BatchItemFailed(index, why);
    }
}
