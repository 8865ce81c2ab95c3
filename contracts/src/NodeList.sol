// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {INodeRegistry} from "./INodeRegistry.sol";

/// @title NodeList
/// @notice The registry without bonds: a list of nodes that its owner keeps. It serves until the bonded registry comes.
contract NodeList is INodeRegistry, Ownable2Step {
    /// @notice A node was listed, changed, activated or deactivated.
    event NodeSet(address indexed operator, bytes32 indexed nodeId, bool active);

    /// @notice The operator address or the NodeId is zero.
    error ZeroNode();

    /// @inheritdoc INodeRegistry
    mapping(address operator => bool) public isActive;

    /// @inheritdoc INodeRegistry
    mapping(address operator => bytes32) public nodeIdOf;

    constructor(address owner) Ownable(owner) {}

    /// @notice Lists `operator` with `nodeId`, or changes its entry. A deactivated node keeps its NodeId and its open
    /// channels; it only gets no new ones.
    /// @param operator Ethereum address of the node (I1).
    /// @param nodeId Ed25519 public key of the node (I1).
    /// @param active Whether clients may open channels with it.
    function set(address operator, bytes32 nodeId, bool active) external onlyOwner {
        if (operator == address(0) || nodeId == 0) revert ZeroNode();
        nodeIdOf[operator] = nodeId;
        isActive[operator] = active;
        emit NodeSet(operator, nodeId, active);
    }
}
