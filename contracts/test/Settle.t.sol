// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "../src/IFeeSplit.sol";
import {Ending, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {OddSplit} from "./splits/OddSplit.sol";

/// @notice settleChannel: C3, and the fee split.
contract SettleTest is Fixture {
    function test_C3_PaysTheNodeAndRefundsTheClient() public {
        uint256 before = usdc.balanceOf(client);
        bytes32 id = openAndClose(30e6);
        warpPastWindow(id);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelSettled(id, client, node, Ending.Window, 30e6, 30e6, DEPOSIT - 30e6);
        vm.prank(other);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
        vm.assertEq(usdc.balanceOf(client), before - 30e6, "client");
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
        assertRecorded(id, 30e6, 1, Status.Settled);
    }

    function test_C3_NotBeforeTheWindowEnds() public {
        bytes32 id = openAndClose(30e6);
        uint256 deadline = escrow.channel(id).deadline;
        vm.warp(deadline - 1);
        expectSettle(id, IPaymentChannel.WindowOpen.selector);
        vm.warp(deadline);
        escrow.settleChannel(id);
    }

    function test_C3_OnlyOnce() public {
        open();
        bytes32 id = openAndClose(30e6);
        warpPastWindow(id);
        escrow.settleChannel(id);
        expectSettle(id, IPaymentChannel.NotClosing.selector);
        vm.assertEq(usdc.balanceOf(address(escrow)), DEPOSIT, "the other channel's money");
    }

    function test_C3_OnlyAClosingChannel() public {
        expectSettle(keccak256("nothing"), IPaymentChannel.UnknownChannel.selector);
        expectSettle(open(), IPaymentChannel.NotClosing.selector);
    }

    function test_C3_AmountZeroRefundsEverythingWithoutAskingTheSplit() public {
        OddSplit split = new OddSplit();
        split.set(OddSplit.Way.Refuse);
        bytes32 id = settleWith(IFeeSplit(address(split)), 0);
        vm.assertEq(escrow.credit(node, address(usdc)), 0, "nothing was split");
        vm.assertEq(usdc.balanceOf(node), 0, "node");
        assertRecorded(id, 0, 1, Status.Settled);
    }

    function test_C7_AmountAboveTheDepositPaysTheDeposit() public {
        open();
        bytes32 id = openAndClose(type(uint256).max);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(node), DEPOSIT, "node");
        vm.assertEq(usdc.balanceOf(address(escrow)), DEPOSIT, "the other channel's money");
    }

    function test_Pause_AndDelistingDoNotStopASettlement() public {
        bytes32 id = openAndClose(30e6);
        vm.startPrank(owner);
        escrow.setPaused(true);
        escrow.setTokenAllowed(address(usdc), false);
        nodes.set(node, keccak256("node"), false);
        vm.stopPrank();
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
    }

    /// @dev A channel of a fresh escrow with `split`, closed with `amount`, its window over, and settled.
    function settleWith(IFeeSplit split, uint256 amount) private returns (bytes32 id) {
        escrow = new PaymentChannel(owner, nodes, split, WINDOW);
        allow(usdc);
        fund(usdc, client);
        id = openAndClose(amount);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
    }

    function expectSettle(bytes32 id, bytes4 why) private {
        vm.expectRevert(why);
        escrow.settleChannel(id);
    }
}
