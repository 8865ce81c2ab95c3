// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice disputeChannel: C2, C7. The amount decides.
contract DisputeTest is Fixture {
    function test_C2_HigherAmountWinsAgainstAnyNonce() public {
        bytes32 id = open();
        Voucher memory stale = voucher(id, 1, type(uint64).max);
        vm.prank(client);
        escrow.closeChannel(stale);
        Voucher memory v = voucher(id, 50e6, 12);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelDisputed(id, client, node, other, 50e6, type(uint64).max);
        vm.prank(other);
        escrow.disputeChannel(v);
        assertRecorded(id, 50e6, type(uint64).max, Status.Closing);
    }

    function test_C2_HigherAmountWinsWithTheSameNonce() public {
        bytes32 id = openAndClose(10e6);
        escrow.disputeChannel(voucher(id, 20e6, 1));
        assertRecorded(id, 20e6, 1, Status.Closing);
    }

    function test_C2_HigherNonceIsKept() public {
        bytes32 id = openAndClose(10e6);
        escrow.disputeChannel(voucher(id, 20e6, 9));
        escrow.disputeChannel(voucher(id, 30e6, 4));
        assertRecorded(id, 30e6, 9, Status.Closing);
    }

    function test_C2_HigherNonceAloneDoesNotCount() public {
        bytes32 id = openAndClose(10e6);
        expectDispute(voucher(id, 10e6, 99), IPaymentChannel.AmountNotHigher.selector);
        expectDispute(voucher(id, 10e6 - 1, 99), IPaymentChannel.AmountNotHigher.selector);
        assertRecorded(id, 10e6, 1, Status.Closing);
    }

    function test_C2_AnswersAnEmptyClose() public {
        bytes32 id = open();
        Voucher memory v = emptyVoucher(id);
        vm.prank(client);
        escrow.closeChannel(v);
        escrow.disputeChannel(voucher(id, 1, 1));
        assertRecorded(id, 1, 1, Status.Closing);
    }

    function test_C2_LastSecondOfTheWindow() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = voucher(id, 20e6, 2);
        uint64 deadline = escrow.channel(id).deadline;
        vm.warp(deadline);
        expectDispute(v, IPaymentChannel.WindowOver.selector);
        vm.warp(deadline - 1);
        escrow.disputeChannel(v);
        vm.assertEq(escrow.channel(id).deadline, deadline, "the deadline does not move");
    }

    function test_C2_VoucherOfAnotherTokenIsRefused() public {
        bytes32 id = openAndClose(10e6);
        expectDispute(voucher(CLIENT_KEY, id, 20e6, 2, other), IPaymentChannel.WrongToken.selector);
        Voucher memory v = voucher(CLIENT_KEY, id, 20e6, 2, other);
        v.token = address(usdc);
        expectDispute(v, IPaymentChannel.BadSignature.selector);
    }

    function test_C7_CappedBeforeItIsCompared() public {
        bytes32 id = openAndClose(DEPOSIT - 1);
        escrow.disputeChannel(voucher(id, DEPOSIT + 5, 2));
        assertRecorded(id, DEPOSIT, 2, Status.Closing);
        expectDispute(voucher(id, type(uint256).max, 3), IPaymentChannel.AmountNotHigher.selector);
    }

    /// @dev Every condition is wrong at first; each step repairs the one that was reported.
    function test_C2_ChecksInOrder() public {
        Voucher memory v;
        (v.channelId, v.token) = (keccak256("nothing"), other);
        expectDispute(v, IPaymentChannel.UnknownChannel.selector);
        v.channelId = open();
        expectDispute(v, IPaymentChannel.NotClosing.selector);
        Voucher memory first = voucher(v.channelId, 1, 1);
        vm.prank(client);
        escrow.closeChannel(first);
        uint256 deadline = escrow.channel(v.channelId).deadline;
        vm.warp(deadline);
        expectDispute(v, IPaymentChannel.WindowOver.selector);
        vm.warp(deadline - 1);
        expectDispute(v, IPaymentChannel.WrongToken.selector);
        v.token = address(usdc);
        v.amount = 1;
        expectDispute(v, IPaymentChannel.AmountNotHigher.selector);
        v.amount = 2;
        expectDispute(v, IPaymentChannel.BadSignature.selector);
        escrow.disputeChannel(voucher(v.channelId, 2, 1));
        vm.warp(deadline);
        escrow.settleChannel(v.channelId);
        expectDispute(voucher(v.channelId, 3, 2), IPaymentChannel.NotClosing.selector);
    }

    function test_Pause_DoesNotStopADispute() public {
        bytes32 id = openAndClose(1);
        vm.prank(owner);
        escrow.setPaused(true);
        escrow.disputeChannel(voucher(id, 2, 2));
        assertRecorded(id, 2, 2, Status.Closing);
    }

    function expectDispute(Voucher memory v, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(other);
        escrow.disputeChannel(v);
    }
}
