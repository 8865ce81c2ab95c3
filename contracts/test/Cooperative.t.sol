// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ending, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice closeCooperatively: C4.
contract CooperativeTest is Fixture {
    function test_C4_SettlesAnOpenChannelAtOnce() public {
        address[2] memory parties = [client, node];
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 id = open();
            Voucher memory v = voucher(id, 30e6, 9);
            bytes memory agreed = consent(v);
            vm.expectEmit(address(escrow));
            emit IPaymentChannel.ChannelSettled(id, client, node, Ending.Consent, 30e6, 30e6, DEPOSIT - 30e6);
            vm.prank(parties[i]);
            escrow.closeCooperatively(v, agreed);
            vm.assertEq(usdc.balanceOf(node), 30e6 * (i + 1), "node");
            vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
            assertRecorded(id, 30e6, 9, Status.Settled);
        }
    }

    function test_C4_SettlesAClosingChannelInsideAndAfterItsWindow() public {
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 id = openAndClose(10e6);
            uint64 deadline = escrow.channel(id).deadline;
            if (i == 1) warpPastWindow(id);
            close(client, voucher(id, 10e6, 0));
            assertRecorded(id, 10e6, 1, Status.Settled);
            vm.assertEq(escrow.channel(id).deadline, deadline, "the deadline does not move");
        }
    }

    function test_C4_NeverBelowARecordedAmount() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = voucher(id, 10e6 - 1, 9);
        expectClose(client, v, consent(v), IPaymentChannel.AmountTooLow.selector);
        v = emptyVoucher(id);
        expectClose(node, v, consent(v), IPaymentChannel.AmountTooLow.selector);
    }

    function test_C4_EmptyVoucherWithConsentReturnsEverything() public {
        uint256 before = usdc.balanceOf(client);
        address[2] memory parties = [client, node];
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 id = open();
            close(parties[i], emptyVoucher(id));
            assertRecorded(id, 0, 0, Status.Settled);
        }
        vm.assertEq(usdc.balanceOf(client), before, "client");
    }

    function test_C4_EmptyVoucherNeedsConsentToExactlyThat() public {
        bytes32 id = open();
        Voucher memory v = emptyVoucher(id);
        expectClose(client, v, "", IPaymentChannel.BadSignature.selector);
        expectClose(client, v, consent(voucher(id, 0, 1)), IPaymentChannel.BadSignature.selector);
        expectClose(client, v, consent(voucher(id, 1, 0)), IPaymentChannel.BadSignature.selector);
    }

    function test_C4_ConsentCoversTheUncappedAmountAndC7Caps() public {
        bytes32 id = open();
        Voucher memory v = voucher(id, DEPOSIT + 1, 2);
        expectClose(client, v, consent(voucher(id, DEPOSIT, 2)), IPaymentChannel.BadSignature.selector);
        close(client, v);
        vm.assertEq(usdc.balanceOf(node), DEPOSIT, "node");
        assertRecorded(id, DEPOSIT, 2, Status.Settled);
    }

    function test_C4_NeitherSignatureStandsInForTheOther() public {
        bytes32 id = open();
        Voucher memory v = voucher(id, 30e6, 1);
        // The node's signature of the voucher, and the client's of the consent.
        bytes memory nodeVoucher = sign(NODE_KEY, voucherDigest(id, 30e6, 1, address(usdc)));
        expectClose(client, v, nodeVoucher, IPaymentChannel.BadSignature.selector);
        expectClose(client, v, sign(CLIENT_KEY, consentDigest(v)), IPaymentChannel.BadSignature.selector);
        expectClose(client, v, v.signature, IPaymentChannel.BadSignature.selector);
        bytes memory agreed = consent(v);
        v.signature = sign(CLIENT_KEY, consentDigest(v));
        expectClose(client, v, agreed, IPaymentChannel.BadSignature.selector);
        v.signature = agreed;
        expectClose(client, v, agreed, IPaymentChannel.BadSignature.selector);
    }

    function test_C4_ConsentIsNoVoucher() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = voucher(id, 30e6, 1);
        v.signature = sign(CLIENT_KEY, consentDigest(v));
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        escrow.disputeChannel(v);
    }

    /// @dev Every condition is wrong at first; each step repairs the one that was reported.
    function test_C4_ChecksInOrder() public {
        Voucher memory v;
        (v.channelId, v.nonce, v.token) = (keccak256("nothing"), 1, other);
        expectClose(other, v, "", IPaymentChannel.UnknownChannel.selector);
        bytes32 id = v.channelId = openAndClose(10e6);
        expectClose(other, v, "", IPaymentChannel.NotParty.selector);
        expectClose(client, v, "", IPaymentChannel.WrongToken.selector);
        v.token = address(usdc);
        expectClose(client, v, "", IPaymentChannel.AmountTooLow.selector);
        v.amount = 10e6;
        expectClose(client, v, "", IPaymentChannel.BadSignature.selector);
        v = voucher(id, 10e6, 1);
        expectClose(client, v, "", IPaymentChannel.BadSignature.selector);
        close(client, v);
        expectClose(other, v, "", IPaymentChannel.NotOpen.selector);
    }

    function test_C4_OnlyOnceHoweverItSettled() public {
        bytes32 id = openAndClose(10e6);
        Voucher memory v = voucher(id, 20e6, 2);
        warpPastWindow(id);
        escrow.settleChannel(id);
        expectClose(client, v, consent(v), IPaymentChannel.NotOpen.selector);
        id = open();
        close(client, voucher(id, 20e6, 2));
        vm.expectRevert(IPaymentChannel.NotClosing.selector);
        escrow.settleChannel(id);
    }

    function close(address by, Voucher memory v) private {
        bytes memory agreed = consent(v);
        vm.prank(by);
        escrow.closeCooperatively(v, agreed);
    }

    function expectClose(address by, Voucher memory v, bytes memory agreed, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(by);
        escrow.closeCooperatively(v, agreed);
    }
}
