// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title INodeRegistry
/// @notice Who is a node: what the payment channel asks before it takes a deposit (spec section 8).
interface INodeRegistry {
    /// @notice Whether `operator` is registered and may take new channels.
    /// @param operator Ethereum address of the node (I1).
    function isActive(address operator) external view returns (bool);

    /// @notice The NodeId (Ed25519 public key) of `operator`, 0 if it never had one (I1, I2).
    /// @param operator Ethereum address of the node.
    function nodeIdOf(address operator) external view returns (bytes32);
}
