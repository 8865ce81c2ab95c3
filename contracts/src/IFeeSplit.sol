// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @title IFeeSplit
/// @notice Who gets which part of what a node has earned (C3, G1). The escrow asks by one static call with 300,000 gas and takes
/// exactly three words that add up to the amount; whatever else comes leaves all of it to the node.
interface IFeeSplit {
    /// @notice Splits what a node has earned into three parts, in base units of the channel's token.
    /// @param node The channel's node, whose earning is split.
    /// @param token The channel's token.
    /// @param amount What there is to split.
    /// @return toOperator The node's own part.
    /// @return toTreasury The part of `treasury`.
    /// @return toBurner The part of `burner`.
    function split(address node, address token, uint256 amount)
        external
        view
        returns (uint256 toOperator, uint256 toTreasury, uint256 toBurner);

    /// @notice Who gets the treasury's parts. The escrow reads it once, when it is made.
    function treasury() external view returns (address);

    /// @notice Who gets what is to be burned. The escrow reads it once, when it is made.
    function burner() external view returns (address);
}
