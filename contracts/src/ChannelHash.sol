// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title ChannelHash
/// @notice The encodings that off-chain code must reproduce: channel ids (V5) and EIP-712 struct hashes (section 5, C4).
library ChannelHash {
    bytes32 internal constant VOUCHER_TYPEHASH =
        keccak256("Voucher(bytes32 channelId,uint256 amount,uint64 nonce,address token)");
    bytes32 internal constant COOPERATIVE_CLOSE_TYPEHASH =
        keccak256("CooperativeClose(bytes32 channelId,uint256 amount,uint64 nonce,address token)");

    /// @notice V5: the id of the `counter`th channel that `client` opens in `escrow`.
    function channelId(address escrow, address client, address node, address token, uint64 counter)
        internal
        view
        returns (bytes32)
    {
        return keccak256(abi.encode(block.chainid, escrow, client, node, token, counter));
    }

    /// @notice Struct hash of a voucher, signed by the client.
    function voucher(bytes32 id, uint256 amount, uint64 nonce, address token) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, id, amount, nonce, token));
    }

    /// @notice Struct hash of the node's consent to a cooperative close (C4).
    function cooperativeClose(bytes32 id, uint256 amount, uint64 nonce, address token) internal pure returns (bytes32) {
        return keccak256(abi.encode(COOPERATIVE_CLOSE_TYPEHASH, id, amount, nonce, token));
    }
}
