// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice C1, C5: however an open channel starts to close, what was recorded of it stays.
contract RecordedTest is Fixture {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = open();
        record(30e6, 5);
    }

    function test_C1_ALowerAmountClosesAtWhatIsRecorded() public {
        expectClosing(client, 30e6, 9);
        close(client, voucher(id, 30e6 - 1, 9));
    }

    function test_C1_AHigherAmountIsRecordedAndTheHigherNonceKept() public {
        expectClosing(node, 40e6, 5);
        close(node, voucher(id, 40e6, 4));
    }

    function test_C1_TheEmptyVoucherClosesAtWhatIsRecorded() public {
        expectClosing(client, 30e6, 5);
        close(client, emptyVoucher(id));
    }

    function test_C5_AForcedCloseKeepsWhatIsRecorded() public {
        vm.prank(owner);
        escrow.setTokenAllowed(address(usdc), false);
        expectClosing(other, 30e6, 5);
        vm.prank(other);
        escrow.forceCloseChannel(id);
    }

    function testFuzz_C1_ACloseNeverLowersAndNeverRevertsForItsAmount(uint256 amount, uint64 nonce) public {
        close(client, voucher(id, amount, nonce));
        uint256 capped = amount < DEPOSIT ? amount : DEPOSIT;
        assertRecorded(id, capped > 30e6 ? capped : 30e6, nonce > 5 ? nonce : 5, Status.Closing);
    }

    /// @dev A claim leaves this behind (C12).
    function record(uint256 amount, uint64 nonce) private {
        Voucher memory v = voucher(id, amount, nonce);
        vm.prank(node);
        escrow.claimChannel(v);
        assertRecorded(id, amount, nonce, Status.Open);
    }

    function close(address by, Voucher memory v) private {
        vm.prank(by);
        escrow.closeChannel(v);
    }

    function expectClosing(address by, uint256 amount, uint64 nonce) private {
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelClosing(id, client, node, by, amount, nonce, uint64(vm.getBlockTimestamp()) + WINDOW);
    }
}
