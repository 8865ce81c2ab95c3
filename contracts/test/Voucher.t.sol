// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {FeeToken} from "./tokens/FeeToken.sol";

/// @notice Properties of single vouchers and deposits over their whole range.
contract VoucherFuzzTest is Fixture {
    function testFuzz_C7_RecordedIsTheSmallerOfAmountAndDeposit(uint256 amount, uint64 nonce, uint128 deposit) public {
        bytes32 id = openWith(usdc, bound(deposit, 1, type(uint96).max));
        uint256 held = escrow.channel(id).deposit;
        Voucher memory v = voucher(id, amount, nonce);
        vm.prank(client);
        escrow.closeChannel(v);
        assertRecorded(id, amount < held ? amount : held, nonce, Status.Closing);
    }

    /// @dev O8: whatever two vouchers land in whatever order, the higher amount is what settles.
    function testFuzz_C2_HighestLandedAmountSettles(uint256 a, uint256 b, uint64 nonceA, uint64 nonceB) public {
        (a, b) = (bound(a, 0, 2 * DEPOSIT), bound(b, 0, 2 * DEPOSIT));
        bytes32 id = open();
        Voucher memory first = voucher(id, a, nonceA);
        Voucher memory second = voucher(id, b, nonceB);
        vm.prank(client);
        escrow.closeChannel(first);
        vm.prank(other);
        try escrow.disputeChannel(second) {} catch {}
        warpPastWindow(id);
        escrow.settleChannel(id);
        uint256 highest = a > b ? a : b;
        vm.assertEq(usdc.balanceOf(node), highest < DEPOSIT ? highest : DEPOSIT, "paid");
    }

    /// @dev One changed bit of a signed voucher, anywhere, voids it.
    function testFuzz_V1_OneChangedBitVoidsAVoucher(uint256 amount, uint64 nonce, uint256 bit) public {
        amount = bound(amount, 1, DEPOSIT);
        bytes32 id = open();
        Voucher memory empty = emptyVoucher(id);
        vm.prank(client);
        escrow.closeChannel(empty);
        Voucher memory v = voucher(id, amount, nonce);
        bit = bound(bit, 0, 65 * 8 + 63);
        if (bit < 65 * 8) v.signature[bit / 8] ^= bytes1(uint8(1 << (bit % 8)));
        else v.nonce ^= uint64(1) << uint64(bit - 65 * 8);
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        escrow.disputeChannel(v);
    }

    function testFuzz_I4_RandomBytesAreNoSignature(bytes memory noise) public {
        bytes32 id = openAndClose(1);
        Voucher memory v = voucher(id, 5, 1);
        vm.assume(keccak256(noise) != keccak256(v.signature));
        v.signature = noise;
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        escrow.disputeChannel(v);
    }

    function testFuzz_Open_MeasuredDelta(uint256 deposit) public {
        FeeToken token = new FeeToken();
        allow(token);
        fund(token, client);
        deposit = bound(deposit, 1, type(uint96).max);
        bytes32 id = openWith(token, deposit);
        vm.assertEq(escrow.channel(id).deposit, deposit - deposit / 100, "deposit");
        vm.assertEq(token.balanceOf(address(escrow)), deposit - deposit / 100, "escrow");
    }

    function testFuzz_V5_IdsDiffer(address c, address n, address t, uint64 counter, uint64 salt) public view {
        bytes32 id = escrow.channelIdOf(c, n, t, counter);
        vm.assertEq(id, keccak256(abi.encode(block.chainid, address(escrow), c, n, t, counter)), "V5");
        if (salt != 0) vm.assertTrue(id != escrow.channelIdOf(c, n, t, counter ^ salt), "by counter");
        if (c != n) vm.assertTrue(id != escrow.channelIdOf(n, c, t, counter), "by role");
    }

    function openWith(TestToken token, uint256 deposit) private returns (bytes32) {
        vm.prank(client);
        return escrow.openChannel(node, deposit, address(token));
    }
}
