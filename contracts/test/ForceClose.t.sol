// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice forceCloseChannel: C5, and that it takes nobody's voucher away.
contract ForceCloseTest is Fixture {
    function test_C5_AnyoneStartsTheWindowAtWhatIsRecorded() public {
        bytes32 id = open();
        list(false);
        uint64 deadline = uint64(vm.getBlockTimestamp()) + WINDOW;
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelClosing(id, client, node, other, 0, 0, deadline);
        vm.prank(other);
        escrow.forceCloseChannel(id);
        assertRecorded(id, 0, 0, Status.Closing);
        vm.assertEq(escrow.channel(id).deadline, deadline, "deadline");
        vm.assertEq(usdc.balanceOf(address(escrow)), DEPOSIT, "no money moves");
    }

    function test_C5_NotWhileTheTokenIsAllowed() public {
        bytes32 id = open();
        expectRefused(id, IPaymentChannel.TokenStillAllowed.selector);
        list(false);
        list(true);
        expectRefused(id, IPaymentChannel.TokenStillAllowed.selector);
        assertRecorded(id, 0, 0, Status.Open);
    }

    function test_C5_DelistingAnotherTokenChangesNothing() public {
        bytes32 id = open();
        vm.prank(owner);
        escrow.setTokenAllowed(other, false);
        expectRefused(id, IPaymentChannel.TokenStillAllowed.selector);
    }

    function test_C5_AClosingChannelKeepsAmountAndDeadline() public {
        bytes32 id = openAndClose(30e6);
        Channel memory was = escrow.channel(id);
        expectRefused(id, IPaymentChannel.NotOpen.selector);
        list(false);
        vm.warp(vm.getBlockTimestamp() + 1 hours);
        expectRefused(id, IPaymentChannel.NotOpen.selector);
        warpPastWindow(id);
        expectRefused(id, IPaymentChannel.NotOpen.selector);
        vm.assertEq(keccak256(abi.encode(escrow.channel(id))), keccak256(abi.encode(was)), "nothing changed");
    }

    function test_C5_OnlyOnce() public {
        bytes32 id = forced();
        uint64 deadline = escrow.channel(id).deadline;
        vm.warp(vm.getBlockTimestamp() + 1 hours);
        expectRefused(id, IPaymentChannel.NotOpen.selector);
        vm.assertEq(escrow.channel(id).deadline, deadline, "the deadline does not move");
        warpPastWindow(id);
        escrow.settleChannel(id);
        expectRefused(id, IPaymentChannel.NotOpen.selector);
    }

    function test_C5_UnknownChannel() public {
        list(false);
        expectRefused(keccak256("nothing"), IPaymentChannel.UnknownChannel.selector);
    }

    function test_C5_AVoucherAnswersIt() public {
        bytes32 id = forced();
        escrow.disputeChannel(voucher(id, 70e6, 5));
        assertRecorded(id, 70e6, 5, Status.Closing);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(node), 70e6, "the node gets what it earned");
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "and the client the rest");
    }

    function test_C5_ACloseUnderWayActsAsDispute() public {
        bytes32 id = forced();
        Voucher memory v = voucher(id, 70e6, 5);
        vm.prank(node);
        escrow.closeChannel(v);
        assertRecorded(id, 70e6, 5, Status.Closing);
    }

    function test_C5_WithoutAVoucherTheClientGetsAllBack() public {
        uint256 wealth = usdc.balanceOf(client);
        bytes32 id = forced();
        vm.expectRevert(IPaymentChannel.WindowOpen.selector);
        escrow.settleChannel(id);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(client), wealth, "refunded");
    }

    function test_C5_ACooperativeCloseStillSettlesAtOnce() public {
        bytes32 id = forced();
        Voucher memory v = voucher(id, 70e6, 5);
        bytes memory agreed = consent(v);
        vm.prank(client);
        escrow.closeCooperatively(v, agreed);
        assertRecorded(id, 70e6, 5, Status.Settled);
    }

    function test_C5_AllowingAgainStopsNothingUnderWay() public {
        bytes32 id = forced();
        uint64 deadline = escrow.channel(id).deadline;
        list(true);
        assertRecorded(id, 0, 0, Status.Closing);
        vm.assertEq(escrow.channel(id).deadline, deadline, "deadline");
        warpPastWindow(id);
        escrow.settleChannel(id);
    }

    function test_C5_DelistingStopsNewChannelsOnly() public {
        bytes32 id = open();
        list(false);
        vm.expectRevert(IPaymentChannel.TokenNotAllowed.selector);
        vm.prank(client);
        escrow.openChannel(node, DEPOSIT, address(usdc));
        Voucher memory v = voucher(id, 1, 1);
        vm.prank(client);
        escrow.closeChannel(v);
        assertRecorded(id, 1, 1, Status.Closing);
    }

    function test_C9_TheForcedWindowIsTheOneOfTheOpening() public {
        bytes32 id = open();
        list(false);
        vm.prank(owner);
        escrow.setDisputeWindow(12 hours);
        escrow.forceCloseChannel(id);
        vm.assertEq(escrow.channel(id).deadline, vm.getBlockTimestamp() + WINDOW, "deadline");
    }

    function test_Pause_DoesNotStopAForcedClose() public {
        bytes32 id = open();
        list(false);
        vm.prank(owner);
        escrow.setPaused(true);
        escrow.forceCloseChannel(id);
        assertRecorded(id, 0, 0, Status.Closing);
    }

    /// @dev Whoever forces whatever, and whatever was closed before with: only an open channel moves, and only from open to 0.
    function testFuzz_C5_OnlyAnOpenChannelMoves(address by, uint128 amount, bool closed, bool allowed, uint32 later)
        public
    {
        bytes32 id = closed ? openAndClose(amount) : open();
        Channel memory was = escrow.channel(id);
        list(allowed);
        vm.warp(vm.getBlockTimestamp() + later);
        vm.prank(by);
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.forceCloseChannel, (id)));
        vm.assertEq(ok, !closed && !allowed, "C5");
        if (!ok) {
            vm.assertEq(keccak256(abi.encode(escrow.channel(id))), keccak256(abi.encode(was)), "nothing changed");
        } else {
            assertRecorded(id, 0, 0, Status.Closing);
            vm.assertEq(escrow.channel(id).deadline, vm.getBlockTimestamp() + WINDOW, "deadline");
        }
    }

    function forced() private returns (bytes32 id) {
        id = open();
        list(false);
        vm.prank(other);
        escrow.forceCloseChannel(id);
    }

    function list(bool allowed) private {
        vm.prank(owner);
        escrow.setTokenAllowed(address(usdc), allowed);
    }

    function expectRefused(bytes32 id, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(client);
        escrow.forceCloseChannel(id);
    }
}
