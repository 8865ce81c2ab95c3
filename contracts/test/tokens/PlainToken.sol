// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/TestToken.sol";

/// @notice Takes no permits, in one of the ways in which tokens don't: it has no such function, swallows the call, burns all it is
/// given, or answers with a megabyte.
contract PlainToken is TestToken("Plain", "PLN", 6) {
    enum Way {
        Revert,
        Swallow,
        Bomb,
        Len
    }

    Way public way;

    function setWay(Way way_) external {
        way = way_;
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) public view override {
        Way w = way;
        assembly {
            if eq(w, 0) { revert(0, 0) }
            if eq(w, 2) { return(0, 1000000) }
        }
    }
}
