// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "./IFeeSplit.sol";

/// @title NodeTakesAll
/// @notice The fee split without fees: everything goes to the node. It serves until governance brings shares (G1).
contract NodeTakesAll is IFeeSplit {
    /// @inheritdoc IFeeSplit
    address public constant treasury = address(0);
    /// @inheritdoc IFeeSplit
    address public constant burner = address(0);

    /// @inheritdoc IFeeSplit
    function split(address, address, uint256 amount) external pure returns (uint256, uint256, uint256) {
        return (amount, 0, 0);
    }
}
