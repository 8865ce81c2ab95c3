// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IFeeSplit
/// @notice Who gets which part of a settled amount (C3, G1).
interface IFeeSplit {
    /// @notice One part of a settled amount, in base units of the channel's token.
    struct Payout {
        address to;
        uint256 amount;
    }

    /// @notice Splits a settled amount. The payouts must add up to `amount`, or the settlement reverts.
    /// @param node The channel's node, whose earning is split.
    /// @param token The channel's token.
    /// @param amount The settled amount, in base units of `token`.
    function split(address node, address token, uint256 amount) external view returns (Payout[] memory);
}
