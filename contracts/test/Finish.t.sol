// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ending, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice finishChannel: C11. The node ends what pays it, without a window.
contract FinishTest is Fixture {
    function test_C11_SettlesAnOpenChannelAtOnce() public {
        bytes32 id = open();
        uint256 wealth = usdc.balanceOf(client);
        Voucher memory v = voucher(id, 30e6, 7);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelSettled(id, client, node, Ending.Finish, 30e6, 30e6, DEPOSIT - 30e6);
        vm.prank(node);
        escrow.finishChannel(v);
        assertRecorded(id, 30e6, 7, Status.Settled);
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
        vm.assertEq(usdc.balanceOf(client), wealth + DEPOSIT - 30e6, "client");
    }

    function test_C11_SettlesAClosingChannelBeforeItsDeadline() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = voucher(id, 30e6, 2);
        uint64 deadline = escrow.channel(id).deadline;
        vm.warp(deadline);
        expectFinish(node, v, IPaymentChannel.WindowOver.selector);
        vm.warp(deadline - 1);
        finish(v);
        assertRecorded(id, 30e6, 2, Status.Settled);
    }

    function test_C11_TheEmptyVoucherMeansWhatIsRecorded() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = emptyVoucher(id);
        v.token = other; // not looked at
        finish(v);
        assertRecorded(id, 10e6, 1, Status.Settled);
        vm.assertEq(usdc.balanceOf(node), 10e6, "node");
    }

    function test_C11_WithNothingEarnedTheClientHasAllBack() public {
        uint256 wealth = usdc.balanceOf(client);
        finish(emptyVoucher(open()));
        vm.assertEq(usdc.balanceOf(client), wealth, "client");
    }

    /// @dev What is not above the recorded amount changes nothing, whoever signed it, its nonce neither.
    function test_C11_ALowerVoucherNeedsNoSignatureAndCountsNothing() public {
        Voucher memory v = openedAt(10e6);
        (v.amount, v.nonce, v.signature) = (10e6, 99, "");
        finish(v);
        assertRecorded(v.channelId, 10e6, 1, Status.Settled);
        v = openedAt(10e6);
        v = voucher(OTHER_KEY, v.channelId, 1, 99, address(usdc));
        finish(v);
        assertRecorded(v.channelId, 10e6, 1, Status.Settled);
        vm.assertEq(usdc.balanceOf(node), 20e6, "both at what was recorded");
    }

    function test_C11_AHigherVoucherNeedsTheClientsSignature() public {
        Voucher memory v = openedAt(10e6);
        expectFinish(node, voucher(OTHER_KEY, v.channelId, 10e6 + 1, 2, address(usdc)), IPaymentChannel.BadSignature.selector);
        expectFinish(node, voucher(NODE_KEY, v.channelId, 10e6 + 1, 2, address(usdc)), IPaymentChannel.BadSignature.selector);
        v = voucher(v.channelId, 10e6 + 1, 2);
        v.amount += 1;
        expectFinish(node, v, IPaymentChannel.BadSignature.selector);
    }

    function test_C7_AFinishAboveTheDepositPaysTheDeposit() public {
        bytes32 id = open();
        finish(voucher(id, type(uint256).max, 1));
        vm.assertEq(usdc.balanceOf(node), DEPOSIT, "node");
        id = openAndClose(DEPOSIT);
        finish(voucher(OTHER_KEY, id, DEPOSIT + 1, 9, address(usdc))); // capped, it is not above
        assertRecorded(id, DEPOSIT, 1, Status.Settled);
    }

    function test_C11_NobodyButTheNode() public {
        bytes32 id = open();
        address[3] memory others = [client, other, owner];
        for (uint256 i = 0; i < 3; ++i) {
            expectFinish(others[i], voucher(id, 1, 1), IPaymentChannel.NotNode.selector);
            expectFinish(others[i], emptyVoucher(id), IPaymentChannel.NotNode.selector);
        }
    }

    /// @dev Every condition is wrong at first; each step repairs the one that was reported.
    function test_C11_ChecksInOrder() public {
        Voucher memory v;
        (v.channelId, v.amount, v.token) = (keccak256("nothing"), 11e6, other);
        expectFinish(other, v, IPaymentChannel.UnknownChannel.selector);
        v.channelId = openAndClose(10e6);
        uint64 deadline = escrow.channel(v.channelId).deadline;
        vm.warp(deadline);
        expectFinish(other, v, IPaymentChannel.NotNode.selector);
        expectFinish(node, v, IPaymentChannel.WindowOver.selector);
        vm.warp(deadline - 1);
        expectFinish(node, v, IPaymentChannel.WrongToken.selector);
        v.token = address(usdc);
        expectFinish(node, v, IPaymentChannel.BadSignature.selector);
        finish(voucher(v.channelId, 11e6, 2));
        v.token = other;
        expectFinish(other, v, IPaymentChannel.NotOpen.selector);
    }

    function test_C11_OnlyOnceHoweverItSettled() public {
        bytes32 id = open();
        finish(voucher(id, 1, 1));
        expectFinish(node, voucher(id, 2, 2), IPaymentChannel.NotOpen.selector);
        vm.expectRevert(IPaymentChannel.NotClosing.selector);
        escrow.settleChannel(id);
    }

    function test_Pause_AndDelistingDoNotStopAFinish() public {
        bytes32 id = open();
        vm.startPrank(owner);
        escrow.setPaused(true);
        escrow.setTokenAllowed(address(usdc), false);
        nodes.set(node, keccak256("node"), false);
        vm.stopPrank();
        finish(voucher(id, 30e6, 1));
        vm.assertEq(usdc.balanceOf(node), 30e6, "node");
    }

    function testFuzz_C11_PaysTheHigherOfRecordedAndVoucher(uint256 recorded, uint256 amount, uint64 nonce) public {
        recorded = bound(recorded, 0, DEPOSIT);
        bytes32 id = openAndClose(recorded);
        finish(voucher(id, amount, nonce));
        uint256 capped = amount < DEPOSIT ? amount : DEPOSIT;
        bool higher = capped > recorded;
        assertRecorded(id, higher ? capped : recorded, higher && nonce > 1 ? nonce : 1, Status.Settled);
        vm.assertEq(usdc.balanceOf(node), higher ? capped : recorded, "node");
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
    }

    /// @dev A closing channel with this amount recorded; its voucher.
    function openedAt(uint256 amount) private returns (Voucher memory) {
        return voucher(openAndClose(amount), amount, 1);
    }

    function finish(Voucher memory v) private {
        vm.prank(node);
        escrow.finishChannel(v);
    }

    function expectFinish(address by, Voucher memory v, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(by);
        escrow.finishChannel(v);
    }
}
