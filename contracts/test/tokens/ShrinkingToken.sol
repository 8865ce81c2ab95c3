// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/TestToken.sol";

/// @notice Takes from its receiver's balance when it is deposited: a transfer after which the receiver has less, or no more.
contract ShrinkingToken is TestToken("Shrinking", "SHR", 6) {
    uint256 public taken;

    function take(uint256 amount) external {
        taken = amount;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        super.transferFrom(from, to, amount);
        _burn(to, taken);
        return true;
    }
}
