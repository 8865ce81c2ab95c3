// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ending, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {FeeToken} from "./tokens/FeeToken.sol";
import {MuteToken} from "./tokens/MuteToken.sol";
import {ReenteringToken} from "./tokens/ReenteringToken.sol";
import {RefusingToken} from "./tokens/RefusingToken.sol";

/// @notice C6: what a token refuses to pay becomes a credit, and no token or payee locks another's money.
contract CreditTest is Fixture {
    RefusingToken private token;

    function setUp() public override {
        super.setUp();
        token = new RefusingToken();
        allow(token);
        fund(token, client);
    }

    function test_C6_RefusedPayeeIsCreditedAndTheOtherIsPaid() public {
        for (uint256 way = 0; way < uint256(RefusingToken.Way.Len); ++way) {
            token.setWay(RefusingToken.Way(way));
            token.refuse(node, true);
            uint256 before = token.balanceOf(client);
            bytes32 id = openAndClose(token, 30e6);
            warpPastWindow(id);
            vm.expectEmit(address(escrow));
            emit IPaymentChannel.Credited(node, address(token), 30e6);
            vm.expectEmit(address(escrow));
            emit IPaymentChannel.ChannelSettled(id, client, node, Ending.Window, 30e6, 30e6, DEPOSIT - 30e6);
            escrow.settleChannel{gas: 900_000}(id);
            vm.assertEq(escrow.credit(node, address(token)), 30e6, "node's credit");
            vm.assertEq(escrow.credit(client, address(token)), 0, "client's credit");
            vm.assertEq(token.balanceOf(client), before - 30e6, "client");
            withdraw(node, 30e6);
        }
    }

    function test_C6_BothRefused() public {
        for (uint256 way = 0; way < uint256(RefusingToken.Way.Len); ++way) {
            token.setWay(RefusingToken.Way(way));
            token.refuse(node, true);
            token.refuse(client, true);
            bytes32 id = openAndClose(token, 30e6);
            warpPastWindow(id);
            escrow.settleChannel{gas: 1_200_000}(id);
            assertRecorded(id, 30e6, 1, Status.Settled);
            withdraw(node, 30e6);
            withdraw(client, DEPOSIT - 30e6);
        }
    }

    function test_C6_CreditsAddUp() public {
        token.refuse(node, true);
        for (uint256 i = 1; i <= 3; ++i) {
            bytes32 id = openAndClose(token, 10e6);
            warpPastWindow(id);
            escrow.settleChannel(id);
            vm.assertEq(escrow.credit(node, address(token)), 10e6 * i, "credit");
        }
        withdraw(node, 30e6);
    }

    function test_C6_CooperativeCloseCreditsToo() public {
        token.refuse(client, true);
        bytes32 id = open(token);
        Voucher memory v = voucher(id, 30e6, 1);
        bytes memory agreed = consent(v);
        vm.prank(node);
        escrow.closeCooperatively(v, agreed);
        withdraw(client, DEPOSIT - 30e6);
    }

    function test_C6_NothingToWithdraw() public {
        vm.expectRevert(IPaymentChannel.NothingToWithdraw.selector);
        vm.prank(node);
        escrow.withdrawCredit(address(token), node);
    }

    /// @dev A payee that the token refuses for good names another one; the credit is its own all the same.
    function test_C6_ACreditGoesWhereItsPayeeSays() public {
        credited(30e6);
        vm.expectRevert(IPaymentChannel.NothingToWithdraw.selector);
        vm.prank(other);
        escrow.withdrawCredit(address(token), other);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.CreditWithdrawn(node, address(token), other, 30e6);
        vm.prank(node);
        escrow.withdrawCredit(address(token), other);
        vm.assertEq(token.balanceOf(other), 30e6, "all of it");
        vm.assertEq(token.balanceOf(node), 0, "and nothing to the payee");
        vm.assertEq(escrow.credit(node, address(token)), 0, "credit");
    }

    function test_C6_NotToNobodyAndNotBack() public {
        address[2] memory wrong = [address(0), address(escrow)];
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(IPaymentChannel.BadPayee.selector);
            vm.prank(node);
            escrow.withdrawCredit(address(token), wrong[i]); // whether there is a credit or not
        }
        credited(30e6);
        for (uint256 i = 0; i < 2; ++i) {
            vm.expectRevert(IPaymentChannel.BadPayee.selector);
            vm.prank(node);
            escrow.withdrawCredit(address(token), wrong[i]);
        }
        vm.assertEq(escrow.credit(node, address(token)), 30e6, "credit");
    }

    function testFuzz_C6_ToAnybodyElse(address to) public {
        vm.assume(to != address(0) && to != address(escrow) && to != node && to != client);
        credited(30e6);
        vm.prank(node);
        escrow.withdrawCredit(address(token), to);
        vm.assertEq(token.balanceOf(to), 30e6, "paid");
    }

    function test_C6_StillRefusedKeepsTheCredit() public {
        token.refuse(node, true);
        bytes32 id = openAndClose(token, 30e6);
        warpPastWindow(id);
        escrow.settleChannel(id);
        for (uint256 way = 0; way < uint256(RefusingToken.Way.Len); ++way) {
            token.setWay(RefusingToken.Way(way));
            vm.expectRevert(IPaymentChannel.TransferFailed.selector);
            vm.prank(node);
            escrow.withdrawCredit{gas: 5_000_000}(address(token), node);
            vm.assertEq(escrow.credit(node, address(token)), 30e6, "credit");
        }
        withdraw(node, 30e6);
    }

    function test_C6_CreditOfOneTokenIsNoneOfAnother() public {
        open();
        token.refuse(node, true);
        bytes32 id = openAndClose(token, 30e6);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.expectRevert(IPaymentChannel.NothingToWithdraw.selector);
        vm.prank(node);
        escrow.withdrawCredit(address(usdc), node);
    }

    function test_C6_PausedAndDelistedStillWithdraws() public {
        token.refuse(node, true);
        bytes32 id = openAndClose(token, 30e6);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.startPrank(owner);
        escrow.setPaused(true);
        escrow.setTokenAllowed(address(token), false);
        vm.stopPrank();
        withdraw(node, 30e6);
    }

    function test_C6_TokenWithoutCodeIsCredited() public {
        bytes32 id = openAndClose(token, 30e6);
        vm.etch(address(token), "");
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(escrow.credit(node, address(token)), 30e6, "a call to nothing pays nothing");
    }

    function test_C3_TokenWithoutReturnValuePays() public {
        MuteToken mute = new MuteToken();
        allow(mute);
        fund(mute, client);
        bytes32 id = openAndClose(mute, 30e6);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(mute.balanceOf(node), 30e6, "node");
        vm.assertEq(escrow.credit(node, address(mute)), 0, "credit");
    }

    function test_C3_FeeIsThePayeesLoss() public {
        FeeToken fee = new FeeToken();
        allow(fee);
        fund(fee, client);
        open(fee);
        bytes32 id = openAndClose(fee, 50e6);
        warpPastWindow(id);
        escrow.settleChannel(id);
        vm.assertEq(fee.balanceOf(node), 50e6 - 50e6 / 100, "node");
        vm.assertEq(fee.balanceOf(address(escrow)), 99e6, "the other channel's money");
    }

    /// @dev Whoever settles chooses the gas. It must not be enough for the credit and too little for the payout.
    function test_C6_NobodyTurnsAPayoutIntoACreditByGas() public {
        bytes32 id = openAndClose(30e6);
        warpPastWindow(id);
        bool settled;
        for (uint256 gas = 30_000; gas < 700_000; gas += 1_499) {
            uint256 state = vm.snapshotState();
            try escrow.settleChannel{gas: gas}(id) {
                settled = true;
                vm.assertEq(escrow.credit(node, address(usdc)), 0, "node is paid, not credited");
                vm.assertEq(escrow.credit(client, address(usdc)), 0, "client is paid, not credited");
            } catch {}
            vm.revertToState(state);
        }
        vm.assertTrue(settled, "some gas is enough");
    }

    /// @dev Every call that moves money, called back from inside every one of them, succeeding never.
    function test_ReenteringTokenGetsNowhere() public {
        ReenteringToken bad = new ReenteringToken();
        allow(bad);
        fund(bad, client);
        fund(bad, address(bad));
        bytes32 old = openAndClose(bad, 30e6);
        warpPastWindow(old);
        Voucher memory v = voucher(old, 30e6, 1);
        bytes[6] memory calls = [
            abi.encodeCall(escrow.openChannel, (node, 1, address(bad))),
            abi.encodeCall(escrow.settleChannel, (old)),
            abi.encodeCall(escrow.closeCooperatively, (v, consent(v))),
            abi.encodeCall(escrow.withdrawCredit, (address(bad), other)),
            abi.encodeCall(escrow.finishChannel, (v)),
            abi.encodeCall(escrow.claimChannel, (v))
        ];
        for (uint256 i = 0; i < 6; ++i) {
            bad.arm(address(escrow), calls[i], false);
            bytes32 id = openAndClose(bad, 10e6);
            expectGuarded(bad, 1);
            warpPastWindow(id);
            escrow.settleChannel(id);
            expectGuarded(bad, 2);
            id = open(bad);
            v = voucher(id, 10e6, 1);
            bytes memory agreed = consent(v);
            vm.prank(client);
            escrow.closeCooperatively(v, agreed);
            expectGuarded(bad, 3);
            id = open(bad);
            v = voucher(id, 5e6, 1);
            vm.prank(node);
            escrow.claimChannel(v);
            expectGuarded(bad, 4);
            v = voucher(id, 10e6, 1);
            vm.prank(node);
            escrow.finishChannel(v);
            expectGuarded(bad, 5);
        }
        vm.assertEq(bad.balanceOf(address(escrow)), DEPOSIT, "the old channel's money");
        vm.assertTrue(!bad.succeeded(), "no call from inside succeeded");
    }

    function test_ReenteringTokenThatPassesTheErrorOnIsCredited() public {
        ReenteringToken bad = new ReenteringToken();
        allow(bad);
        fund(bad, client);
        bytes32 id = openAndClose(bad, 30e6);
        warpPastWindow(id);
        bad.arm(address(escrow), abi.encodeCall(escrow.settleChannel, (id)), true);
        escrow.settleChannel(id);
        vm.assertEq(escrow.credit(node, address(bad)), 30e6, "node's credit");
        vm.assertEq(escrow.credit(client, address(bad)), DEPOSIT - 30e6, "client's credit");
        vm.expectRevert(IPaymentChannel.TransferFailed.selector);
        vm.prank(node);
        escrow.withdrawCredit(address(bad), node);
        bad.arm(address(0), "", false);
        vm.prank(node);
        escrow.withdrawCredit(address(bad), node);
        vm.assertEq(bad.balanceOf(node), 30e6, "node");
    }

    function expectGuarded(ReenteringToken bad, uint256 atLeast) private view {
        bytes4 guarded = bytes4(keccak256("ReentrancyGuardReentrantCall()"));
        vm.assertGe(bad.calls(), atLeast, "it called back");
        vm.assertEq(bytes32(bytes4(bad.answer())), bytes32(guarded), "guarded");
    }

    /// @dev The token refuses the node, which has this credit.
    function credited(uint256 amount) private {
        token.refuse(node, true);
        bytes32 id = openAndClose(token, amount);
        warpPastWindow(id);
        escrow.settleChannel(id);
    }

    /// @dev Lifts the refusal, withdraws, and finds nothing left.
    function withdraw(address payee, uint256 amount) private {
        token.refuse(payee, false);
        uint256 before = token.balanceOf(payee);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.CreditWithdrawn(payee, address(token), payee, amount);
        vm.prank(payee);
        escrow.withdrawCredit(address(token), payee);
        vm.assertEq(token.balanceOf(payee), before + amount, "withdrawn");
        vm.expectRevert(IPaymentChannel.NothingToWithdraw.selector);
        vm.prank(payee);
        escrow.withdrawCredit(address(token), payee);
    }
}
