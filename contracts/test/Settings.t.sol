// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IPaymentChannel} from "../src/IPaymentChannel.sol";
import {NodeTakesAll} from "../src/NodeTakesAll.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice What the owner sets, its bounds (section 10), and who the owner is.
contract SettingsTest is Fixture {
    function test_Window_BoundsHoldInSetterAndConstructor() public {
        NodeTakesAll split = new NodeTakesAll();
        uint64[4] memory outside = [uint64(0), 12 hours - 1, 72 hours + 1, type(uint64).max];
        for (uint256 i = 0; i < outside.length; ++i) {
            vm.expectRevert(IPaymentChannel.WindowOutOfBounds.selector);
            vm.prank(owner);
            escrow.setDisputeWindow(outside[i]);
            vm.expectRevert(IPaymentChannel.WindowOutOfBounds.selector);
            new PaymentChannel(owner, nodes, split, outside[i]);
        }
        uint64[3] memory inside = [uint64(12 hours), 48 hours, 72 hours];
        for (uint256 i = 0; i < inside.length; ++i) {
            vm.expectEmit(address(escrow));
            emit IPaymentChannel.DisputeWindowSet(inside[i]);
            vm.prank(owner);
            escrow.setDisputeWindow(inside[i]);
            vm.assertEq(escrow.disputeWindow(), inside[i], "window");
            vm.assertEq(new PaymentChannel(owner, nodes, split, inside[i]).disputeWindow(), inside[i], "first window");
        }
    }

    function test_TokensAndPauseAreSetAndReported() public {
        vm.startPrank(owner);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.TokenAllowed(other, true);
        escrow.setTokenAllowed(other, true);
        vm.assertTrue(escrow.tokenAllowed(other), "allowed");
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.TokenAllowed(other, false);
        escrow.setTokenAllowed(other, false);
        vm.assertTrue(!escrow.tokenAllowed(other), "delisted");
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.PausedSet(true);
        escrow.setPaused(true);
        vm.assertTrue(escrow.paused(), "paused");
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.PausedSet(false);
        escrow.setPaused(false);
        vm.assertTrue(!escrow.paused(), "resumed");
        vm.stopPrank();
    }

    function test_OnlyTheOwnerSets() public {
        bytes memory why = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, client);
        vm.startPrank(client);
        vm.expectRevert(why);
        escrow.setDisputeWindow(24 hours);
        vm.expectRevert(why);
        escrow.setTokenAllowed(other, true);
        vm.expectRevert(why);
        escrow.setPaused(true);
        vm.expectRevert(why);
        escrow.transferOwnership(client);
        vm.stopPrank();
    }

    function test_OwnershipMovesInTwoSteps() public {
        vm.prank(owner);
        escrow.transferOwnership(other);
        vm.assertEq(escrow.owner(), owner, "until accepted");
        vm.prank(other);
        escrow.acceptOwnership();
        vm.assertEq(escrow.owner(), other, "accepted");
    }

    function test_RegistryAndSplitAreFixed() public {
        NodeTakesAll split = new NodeTakesAll();
        PaymentChannel fresh = new PaymentChannel(owner, nodes, split, WINDOW);
        vm.assertEq(address(fresh.registry()), address(nodes), "registry");
        vm.assertEq(address(fresh.feeSplit()), address(split), "fee split");
        vm.assertTrue(!fresh.paused(), "not paused");
    }
}
