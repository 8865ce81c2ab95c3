// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IPaymentChannel, Status} from "../src/IPaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {FeeToken} from "./tokens/FeeToken.sol";
import {MuteToken} from "./tokens/MuteToken.sol";
import {RefusingToken} from "./tokens/RefusingToken.sol";
import {ShrinkingToken} from "./tokens/ShrinkingToken.sol";

/// @notice openChannel (section 8, V5) and the order of its checks.
contract OpenTest is Fixture {
    function test_V5_IdBindsChainContractPartiesTokenAndCounter() public {
        for (uint64 counter = 1; counter <= 3; ++counter) {
            bytes32 expected =
                keccak256(abi.encode(block.chainid, address(escrow), client, node, address(usdc), counter));
            vm.expectEmit(address(escrow));
            emit IPaymentChannel.ChannelOpened(expected, client, node, address(usdc), DEPOSIT, counter, WINDOW);
            vm.assertEq(open(), expected, "id");
            vm.assertEq(escrow.channelIdOf(client, node, address(usdc), counter), expected, "channelIdOf");
            vm.assertEq(escrow.counterOf(client), counter, "counter");
        }
    }

    function test_V5_CountersArePerClient() public {
        open();
        fund(usdc, other);
        vm.prank(other);
        bytes32 id = escrow.openChannel(node, DEPOSIT, address(usdc));
        vm.assertEq(id, escrow.channelIdOf(other, node, address(usdc), 1), "first of its client");
    }

    function test_Open_StoresWhatWasOpened() public {
        Channel memory c = escrow.channel(open());
        vm.assertEq(c.client, client, "client");
        vm.assertEq(c.node, node, "node");
        vm.assertEq(c.token, address(usdc), "token");
        vm.assertEq(c.deposit, DEPOSIT, "deposit");
        vm.assertEq(c.amount + c.claimed + c.nonce + c.deadline, 0, "nothing is recorded yet");
        vm.assertEq(c.window, WINDOW, "window");
        vm.assertEq(uint256(c.status), uint256(Status.Open), "status");
        vm.assertEq(usdc.balanceOf(address(escrow)), DEPOSIT, "escrow");
    }

    function test_C8_UnknownIdReadsAsNone() public view {
        Channel memory c = escrow.channel(keccak256("nothing"));
        vm.assertEq(uint256(c.status), uint256(Status.None), "status");
        vm.assertEq(c.client, address(0), "client");
    }

    /// @dev Every condition is wrong at first; each step repairs the one that was reported.
    function test_Open_ChecksInOrder() public {
        TestToken token = new TestToken("Later", "LTR", 18);
        vm.prank(owner);
        escrow.setPaused(true);
        expectOpen(client, 0, token, IPaymentChannel.Paused.selector);
        vm.prank(owner);
        escrow.setPaused(false);
        expectOpen(client, 0, token, IPaymentChannel.TokenNotAllowed.selector);
        allow(token);
        expectOpen(client, 0, token, IPaymentChannel.ZeroDeposit.selector);
        expectOpen(client, 1, token, IPaymentChannel.SelfChannel.selector);
        expectOpen(other, 1, token, IPaymentChannel.NodeNotActive.selector);
        expectOpen(node, 1, token, IPaymentChannel.TransferFailed.selector);
        fund(token, client);
        vm.prank(client);
        escrow.openChannel(node, 1, address(token));
    }

    function test_Open_InactiveNodeGetsNoNewChannel() public {
        open();
        vm.prank(owner);
        nodes.set(node, keccak256("node"), false);
        expectOpen(node, 1, usdc, IPaymentChannel.NodeNotActive.selector);
    }

    function test_Open_MeasuredDeltaIsTheDeposit() public {
        FeeToken token = new FeeToken();
        allow(token);
        fund(token, client);
        vm.assertEq(escrow.channel(open(token)).deposit, DEPOSIT - DEPOSIT / 100, "deposit without the fee");
    }

    function test_Open_NothingArrived() public {
        ShrinkingToken token = new ShrinkingToken();
        allow(token);
        fund(token, client);
        token.mint(address(escrow), 5);
        token.take(DEPOSIT);
        expectOpen(node, DEPOSIT, token, IPaymentChannel.ZeroDeposit.selector);
        token.take(DEPOSIT + 5);
        expectOpen(node, DEPOSIT, token, IPaymentChannel.ZeroDeposit.selector);
    }

    function test_Open_TokenWithoutReturnValue() public {
        MuteToken token = new MuteToken();
        allow(token);
        fund(token, client);
        vm.assertEq(escrow.channel(open(token)).deposit, DEPOSIT, "deposit");
    }

    function test_Open_RefusedTransferFromFails() public {
        RefusingToken token = new RefusingToken();
        allow(token);
        fund(token, client);
        token.refuse(address(escrow), true);
        for (uint256 way = 0; way < uint256(RefusingToken.Way.EatGas); ++way) {
            token.setWay(RefusingToken.Way(way));
            expectOpen(node, DEPOSIT, token, IPaymentChannel.TransferFailed.selector);
        }
        vm.assertEq(escrow.counterOf(client), 0, "no counter was used");
    }

    function test_Open_DepositThatDoesNotFit() public {
        TestToken token = new TestToken("Huge", "HUGE", 18);
        allow(token);
        token.mint(client, type(uint256).max);
        vm.prank(client);
        token.approve(address(escrow), type(uint256).max);
        expectOpen(node, uint256(type(uint96).max) + 1, token, IPaymentChannel.DepositTooLarge.selector);
        vm.prank(client);
        bytes32 id = escrow.openChannel(node, type(uint96).max, address(token));
        vm.assertEq(escrow.channel(id).deposit, type(uint96).max, "the largest deposit");
    }

    function expectOpen(address counterparty, uint256 deposit, TestToken token, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(client);
        escrow.openChannel(counterparty, deposit, address(token));
    }
}
