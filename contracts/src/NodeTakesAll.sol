// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "./IFeeSplit.sol";

/// @title NodeTakesAll
/// @notice The fee split without fees: everything goes to the node. It serves until governance brings shares (G1).
contract NodeTakesAll is IFeeSplit {
    /// @inheritdoc IFeeSplit
    function split(address node, address, uint256 amount) external pure returns (Payout[] memory payouts) {
        payouts = new Payout[](1);
        payouts[0] = Payout({to: node, amount: amount});
    }
}
