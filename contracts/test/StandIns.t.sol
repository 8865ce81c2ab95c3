// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {NodeList} from "../src/NodeList.sol";
import {NodeTakesAll} from "../src/NodeTakesAll.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice The small contracts around the escrow: node list, split without fees, test money.
contract StandInsTest is Fixture {
    function test_NodeList_SetsChangesAndDeactivates() public {
        bytes32 id = keccak256("id");
        vm.assertTrue(!nodes.isActive(other), "unknown is not active");
        vm.assertEq(nodes.nodeIdOf(other), bytes32(0), "unknown has no NodeId");
        vm.startPrank(owner);
        vm.expectEmit(address(nodes));
        emit NodeList.NodeSet(other, id, true);
        nodes.set(other, id, true);
        vm.assertTrue(nodes.isActive(other), "active");
        nodes.set(other, keccak256("next"), false);
        vm.stopPrank();
        vm.assertTrue(!nodes.isActive(other), "deactivated");
        vm.assertEq(nodes.nodeIdOf(other), keccak256("next"), "NodeId is kept");
    }

    function test_NodeList_RefusesZeros() public {
        vm.startPrank(owner);
        vm.expectRevert(NodeList.ZeroNode.selector);
        nodes.set(address(0), keccak256("id"), true);
        vm.expectRevert(NodeList.ZeroNode.selector);
        nodes.set(other, 0, true);
        vm.stopPrank();
    }

    function test_NodeList_OnlyTheOwnerSets() public {
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, node));
        vm.prank(node);
        nodes.set(node, keccak256("id"), true);
    }

    function testFuzz_NodeTakesAll(address to, address token, uint256 amount) public {
        (uint256 toOperator, uint256 toTreasury, uint256 toBurner) = new NodeTakesAll().split(to, token, amount);
        vm.assertEq(toOperator, amount, "all");
        vm.assertEq(toTreasury + toBurner, 0, "and nothing else");
    }

    function test_TestToken_HasItsDecimalsAndMintsForAnyone() public {
        vm.assertEq(uint256(usdc.decimals()), 6, "decimals");
        vm.assertEq(keccak256(bytes(usdc.symbol())), keccak256("USDC"), "symbol");
        vm.prank(other);
        usdc.mint(other, 5);
        vm.assertEq(usdc.balanceOf(other), 5, "minted");
    }
}
