// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/TestToken.sol";

/// @notice As USDT: an allowance that is not 0 has to be set to 0 before it is set to anything else.
contract TetherToken is TestToken("Tether", "USDT", 6) {
    function approve(address spender, uint256 value) public override returns (bool) {
        require(value == 0 || allowance(msg.sender, spender) == 0, "set it to 0 first");
        return super.approve(spender, value);
    }
}
