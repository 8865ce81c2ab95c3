// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, Ending, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {IFeeSplit} from "../src/IFeeSplit.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {OddSplit} from "./splits/OddSplit.sol";
import {RefusingToken} from "./tokens/RefusingToken.sol";

/// @notice claimChannel: C12. The node is paid what it has earned so far, and the channel stays open.
contract ClaimTest is Fixture {
    function test_C12_PaysTheDifferenceAndStaysOpen() public {
        bytes32 id = open();
        Voucher memory v = voucher(id, 30e6, 3);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelClaimed(id, client, node, 30e6, 3, 30e6);
        claim(v);
        assertRecorded(id, 30e6, 3, Status.Open);
        v = voucher(id, 50e6, 2);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelClaimed(id, client, node, 50e6, 3, 20e6);
        claim(v);
        Channel memory c = escrow.channel(id);
        vm.assertEq(c.claimed, 50e6, "claimed");
        vm.assertEq(c.deadline, 0, "no window");
        assertRecorded(id, 50e6, 3, Status.Open);
        vm.assertEq(usdc.balanceOf(node), 50e6, "node");
        vm.assertEq(usdc.balanceOf(address(escrow)), DEPOSIT - 50e6, "escrow");
    }

    /// @dev O2: deposit = claimed + paid at settlement + refunded, whichever way it ends.
    function test_C12_EveryEndingPaysWhatIsNotClaimedYet() public {
        for (uint256 way = 0; way < 4; ++way) {
            bytes32 id = open();
            uint256 wealth = usdc.balanceOf(client);
            uint256 earned = usdc.balanceOf(node);
            claim(voucher(id, 30e6, 1));
            Voucher memory v = voucher(id, 70e6, 2);
            bytes memory agreed = consent(v);
            if (way == 0) close(v);
            if (way == 3) close(emptyVoucher(id));
            if (way == 3) escrow.disputeChannel(v);
            if (way % 3 == 0) warpPastWindow(id);
            vm.expectEmit(address(escrow));
            emit IPaymentChannel.ChannelSettled(id, client, node, Ending(way % 3), 70e6, 40e6, DEPOSIT - 70e6);
            vm.prank(node);
            if (way % 3 == 0) escrow.settleChannel(id);
            else if (way == 1) escrow.closeCooperatively(v, agreed);
            else escrow.finishChannel(v);
            vm.assertEq(usdc.balanceOf(node), earned + 70e6, "node");
            vm.assertEq(usdc.balanceOf(client), wealth + DEPOSIT - 70e6, "client");
            vm.assertEq(escrow.channel(id).claimed, 30e6, "claimed stays apart");
        }
    }

    function test_C12_NothingIsLeftToPayWhereAllIsClaimed() public {
        bytes32 id = open();
        claim(voucher(id, 30e6, 1));
        Voucher memory v = emptyVoucher(id);
        vm.prank(node);
        escrow.finishChannel(v);
        vm.assertEq(usdc.balanceOf(node), 30e6, "once");
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
    }

    function test_C12_NoSettlementGoesBelowAClaim() public {
        bytes32 id = open();
        claim(voucher(id, 30e6, 2));
        Voucher memory low = voucher(id, 10e6, 3);
        bytes memory agreed = consent(low);
        vm.expectRevert(IPaymentChannel.AmountTooLow.selector);
        vm.prank(client);
        escrow.closeCooperatively(low, agreed);
        close(low);
        assertRecorded(id, 30e6, 3, Status.Closing);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
    }

    function test_C12_AVoucherIsClaimedOnce() public {
        bytes32 id = open();
        Voucher memory v = voucher(id, 30e6, 1);
        claim(v);
        expectClaim(node, v, IPaymentChannel.AmountNotHigher.selector);
        expectClaim(node, voucher(id, 30e6 - 1, 9), IPaymentChannel.AmountNotHigher.selector);
    }

    function test_C12_NobodyButTheNode() public {
        bytes32 id = open();
        address[3] memory others = [client, other, owner];
        for (uint256 i = 0; i < 3; ++i) {
            expectClaim(others[i], voucher(id, 1, 1), IPaymentChannel.NotNode.selector);
        }
    }

    function test_C12_OnAnOpenChannelOnly() public {
        bytes32 id = openAndClose(10e6);
        expectClaim(node, voucher(id, 20e6, 2), IPaymentChannel.NotOpen.selector);
        warpPastWindow(id);
        expectClaim(node, voucher(id, 20e6, 2), IPaymentChannel.NotOpen.selector);
        escrow.settleChannel(id);
        expectClaim(node, voucher(id, 20e6, 2), IPaymentChannel.NotOpen.selector);
    }

    function test_C7_AClaimAboveTheDepositPaysTheDeposit() public {
        open();
        bytes32 id = open();
        claim(voucher(id, type(uint256).max, 1));
        assertRecorded(id, DEPOSIT, 1, Status.Open);
        expectClaim(node, voucher(id, type(uint256).max, 2), IPaymentChannel.AmountNotHigher.selector);
        vm.assertEq(usdc.balanceOf(node), DEPOSIT, "node");
        vm.assertEq(usdc.balanceOf(address(escrow)), DEPOSIT, "the other channel's money");
    }

    /// @dev Every condition is wrong at first; each step repairs the one that was reported.
    function test_C12_ChecksInOrder() public {
        Voucher memory v;
        (v.channelId, v.token) = (keccak256("nothing"), other);
        expectClaim(other, v, IPaymentChannel.UnknownChannel.selector);
        v.channelId = openAndClose(1);
        expectClaim(other, v, IPaymentChannel.NotOpen.selector);
        v.channelId = open();
        expectClaim(other, v, IPaymentChannel.NotNode.selector);
        expectClaim(node, v, IPaymentChannel.WrongToken.selector);
        v.token = address(usdc);
        expectClaim(node, v, IPaymentChannel.AmountNotHigher.selector); // the empty voucher claims nothing
        v.amount = 1;
        expectClaim(node, v, IPaymentChannel.BadSignature.selector);
        claim(voucher(v.channelId, 1, 1));
    }

    function test_C12_AClaimIsSplitToo() public {
        OddSplit split = new OddSplit();
        escrow = new PaymentChannel(owner, nodes, IFeeSplit(address(split)), WINDOW);
        allow(usdc);
        fund(usdc, client);
        bytes32 id = open();
        claim(voucher(id, 1_000, 1));
        vm.assertEq(usdc.balanceOf(node), 600, "node");
        vm.assertEq(usdc.balanceOf(split.treasury()), 100, "treasury");
        split.set(OddSplit.Way.Burn);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.SplitFailed(id, client, node, 500);
        Voucher memory v = voucher(id, 1_500, 2);
        vm.prank(node);
        escrow.claimChannel(v);
        vm.assertEq(escrow.credit(node, address(usdc)), 500, "credited");
        v = voucher(id, 2_000, 3);
        vm.expectRevert(IPaymentChannel.TooLittleGas.selector);
        vm.prank(node);
        escrow.claimChannel{gas: 300_000}(v);
    }

    function test_C6_AClaimThatTheTokenRefusesIsCredited() public {
        RefusingToken token = new RefusingToken();
        allow(token);
        fund(token, client);
        token.refuse(node, true);
        bytes32 id = open(token);
        claim(voucher(id, 30e6, 1));
        claim(voucher(id, 40e6, 2));
        vm.assertEq(escrow.credit(node, address(token)), 40e6, "credit");
        assertRecorded(id, 40e6, 2, Status.Open);
    }

    function test_Pause_AndDelistingDoNotStopAClaim() public {
        bytes32 id = open();
        vm.startPrank(owner);
        escrow.setPaused(true);
        escrow.setTokenAllowed(address(usdc), false);
        nodes.set(node, keccak256("node"), false);
        vm.stopPrank();
        claim(voucher(id, 30e6, 1));
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
    }

    function testFuzz_C12_ClaimsAndTheRestAreTheDeposit(uint256 a, uint256 b, uint256 c) public {
        bytes32 id = open();
        uint256 wealth = usdc.balanceOf(client);
        uint256 most;
        uint256[2] memory claims = [bound(a, 0, 2 * DEPOSIT), bound(b, 0, 2 * DEPOSIT)];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 capped = claims[i] < DEPOSIT ? claims[i] : DEPOSIT;
            Voucher memory v = voucher(id, claims[i], uint64(i + 1));
            vm.prank(node);
            (bool ok,) = address(escrow).call(abi.encodeCall(escrow.claimChannel, (v)));
            vm.assertEq(ok, capped > most, "C12: what is above the recorded amount");
            if (ok) most = capped;
            vm.assertEq(usdc.balanceOf(node), most, "paid so far");
        }
        c = bound(c, 0, 2 * DEPOSIT);
        close(voucher(id, c, 9));
        if (c > most) most = c < DEPOSIT ? c : DEPOSIT;
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(node), most, "node");
        vm.assertEq(usdc.balanceOf(client), wealth + DEPOSIT - most, "client");
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
    }

    function claim(Voucher memory v) private {
        vm.prank(node);
        escrow.claimChannel(v);
    }

    function close(Voucher memory v) private {
        vm.prank(client);
        escrow.closeChannel(v);
    }

    function expectClaim(address by, Voucher memory v, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(by);
        escrow.claimChannel(v);
    }
}
