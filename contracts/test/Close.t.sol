// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice closeChannel: C1, C7, C9.
contract CloseTest is Fixture {
    function test_C1_NodeClosesWithTheClientsVoucher() public {
        bytes32 id = open();
        uint64 deadline = uint64(vm.getBlockTimestamp()) + WINDOW;
        Voucher memory v = voucher(id, 40e6, 7);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelClosing(id, client, node, node, 40e6, 7, deadline);
        vm.prank(node);
        escrow.closeChannel(v);
        assertRecorded(id, 40e6, 7, Status.Closing);
        vm.assertEq(escrow.channel(id).deadline, deadline, "deadline");
    }

    function test_C1_ClientClosesWithItsOwnVoucher() public {
        bytes32 id = openAndClose(1);
        assertRecorded(id, 1, 1, Status.Closing);
    }

    function test_C1_EmptyVoucherFromEitherPartyWhateverItsToken() public {
        address[2] memory parties = [client, node];
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 id = open();
            Voucher memory v = emptyVoucher(id);
            if (i == 1) v.token = other;
            vm.prank(parties[i]);
            escrow.closeChannel(v);
            assertRecorded(id, 0, 0, Status.Closing);
        }
    }

    function test_C1_SignedVoucherOfZeroIsAVoucher() public {
        bytes32 id = open();
        Voucher memory v = voucher(id, 0, 3);
        vm.prank(client);
        escrow.closeChannel(v);
        assertRecorded(id, 0, 3, Status.Closing);
    }

    function test_C1_AlmostEmptyVouchersNeedASignature() public {
        bytes32 id = open();
        Voucher memory v = emptyVoucher(id);
        v.nonce = 1;
        expectClose(client, v, IPaymentChannel.BadSignature.selector);
        v.nonce = 0;
        v.amount = 1;
        expectClose(client, v, IPaymentChannel.BadSignature.selector);
        v.amount = 0;
        v.signature = hex"00";
        expectClose(client, v, IPaymentChannel.BadSignature.selector);
    }

    function test_C1_ThirdPartyCanNotClose() public {
        bytes32 id = open();
        expectClose(other, voucher(id, 1, 1), IPaymentChannel.NotParty.selector);
        expectClose(owner, emptyVoucher(id), IPaymentChannel.NotParty.selector);
    }

    /// @dev Every condition is wrong at first; each step repairs the one that was reported.
    function test_C1_ChecksInOrder() public {
        Voucher memory v;
        (v.channelId, v.amount, v.token) = (keccak256("nothing"), 1, other);
        expectClose(other, v, IPaymentChannel.UnknownChannel.selector);
        v.channelId = open();
        expectClose(other, v, IPaymentChannel.NotParty.selector);
        expectClose(client, v, IPaymentChannel.WrongToken.selector);
        v.token = address(usdc);
        expectClose(client, v, IPaymentChannel.BadSignature.selector);
        v = voucher(v.channelId, 1, 1);
        vm.prank(client);
        escrow.closeChannel(v);
        warpPastWindow(v.channelId);
        escrow.settleChannel(v.channelId);
        v.token = other;
        expectClose(other, v, IPaymentChannel.NotParty.selector);
        expectClose(client, v, IPaymentChannel.NotOpen.selector);
    }

    function test_C1_OnAClosingChannelItActsAsDispute() public {
        bytes32 id = openAndClose(10e6);
        uint64 deadline = escrow.channel(id).deadline;
        vm.warp(deadline - 1);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelDisputed(id, client, node, node, 30e6, 3);
        Voucher memory v = voucher(id, 30e6, 3);
        vm.prank(node);
        escrow.closeChannel(v);
        assertRecorded(id, 30e6, 3, Status.Closing);
        vm.assertEq(escrow.channel(id).deadline, deadline, "the deadline does not move");
    }

    /// @dev The same checks as disputeChannel, in its order, after NotParty.
    function test_C1_OnAClosingChannelChecksAreDisputes() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = voucher(id, 30e6, 3);
        expectClose(other, v, IPaymentChannel.NotParty.selector);
        expectClose(node, voucher(OTHER_KEY, id, 10e6, 9, other), IPaymentChannel.WrongToken.selector);
        expectClose(node, voucher(OTHER_KEY, id, 10e6, 9, address(usdc)), IPaymentChannel.AmountNotHigher.selector);
        expectClose(node, emptyVoucher(id), IPaymentChannel.AmountNotHigher.selector);
        expectClose(node, voucher(OTHER_KEY, id, 30e6, 9, address(usdc)), IPaymentChannel.BadSignature.selector);
        warpPastWindow(id);
        v.token = other;
        expectClose(node, v, IPaymentChannel.WindowOver.selector);
    }

    function test_C1_EmptyAfterEmptyIsNotHigher() public {
        bytes32 id = open();
        Voucher memory v = emptyVoucher(id);
        vm.prank(client);
        escrow.closeChannel(v);
        expectClose(node, v, IPaymentChannel.AmountNotHigher.selector);
    }

    function test_C7_AmountAboveTheDepositIsCapped() public {
        uint256[3] memory amounts = [DEPOSIT + 1, uint256(type(uint128).max) + 1, type(uint256).max];
        for (uint256 i = 0; i < amounts.length; ++i) {
            bytes32 id = openAndClose(amounts[i]);
            assertRecorded(id, DEPOSIT, 1, Status.Closing);
        }
        assertRecorded(openAndClose(DEPOSIT), DEPOSIT, 1, Status.Closing);
        assertRecorded(openAndClose(DEPOSIT - 1), DEPOSIT - 1, 1, Status.Closing);
    }

    function test_C9_TheWindowIsTheOneOfTheOpening() public {
        bytes32 first = open();
        uint256 start = vm.getBlockTimestamp();
        setWindow(12 hours);
        bytes32 second = open();
        setWindow(72 hours);
        vm.assertEq(escrow.channel(first).window, WINDOW, "the first one's");
        vm.assertEq(escrow.channel(second).window, 12 hours, "the second one's");
        close(first, 1);
        vm.assertEq(escrow.channel(first).deadline, start + WINDOW, "no longer, no shorter");
        close(second, 1);
        vm.assertEq(escrow.channel(second).deadline, start + 12 hours, "nor this one");
        setWindow(24 hours);
        vm.assertEq(escrow.channel(first).deadline, start + WINDOW, "nor does what is running change");
        vm.assertEq(escrow.channel(second).window, 12 hours, "nor what is kept");
    }

    function testFuzz_C9_NoSettingReachesAChannel(uint64 atOpening, uint64 later) public {
        setWindow(uint64(bound(atOpening, 12 hours, 72 hours)));
        uint64 window = escrow.disputeWindow();
        bytes32 id = open();
        setWindow(uint64(bound(later, 12 hours, 72 hours)));
        close(id, 1);
        vm.assertEq(escrow.channel(id).deadline, vm.getBlockTimestamp() + window, "deadline");
    }

    function test_Pause_DoesNotStopAClose() public {
        bytes32 id = open();
        vm.prank(owner);
        escrow.setPaused(true);
        Voucher memory v = voucher(id, 1, 1);
        vm.prank(client);
        escrow.closeChannel(v);
        assertRecorded(id, 1, 1, Status.Closing);
    }

    function setWindow(uint64 secs) private {
        vm.prank(owner);
        escrow.setDisputeWindow(secs);
    }

    function close(bytes32 id, uint256 amount) private {
        Voucher memory v = voucher(id, amount, 1);
        vm.prank(client);
        escrow.closeChannel(v);
    }

    function expectClose(address by, Voucher memory v, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(by);
        escrow.closeChannel(v);
    }
}
