// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/TestToken.sol";

/// @notice Keeps one percent of every transfer for a sink, rounded down.
contract FeeToken is TestToken("Fee", "FEE", 6) {
    address public constant SINK = address(0xFEE);

    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) ? 0 : value / 100;
        if (fee != 0) super._update(from, SINK, fee);
        super._update(from, to, value - fee);
    }
}
