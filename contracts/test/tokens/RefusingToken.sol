// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/TestToken.sol";

/// @notice Refuses to pay chosen payees, in one of the ways in which real and hostile tokens refuse. Nothing moves when it refuses.
contract RefusingToken is TestToken("Refusing", "RFS", 6) {
    enum Way {
        Revert, // as USDC does with a blocked account
        ReturnFalse,
        ReturnTwo, // a word that is neither true nor false
        ReturnOneByte, // too short for a bool
        Bomb, // reverts with a megabyte
        BombReturn, // returns false and a megabyte
        EatGas, // uses all gas it gets
        Len // number of ways, itself not one
    }

    Way public way;
    mapping(address payee => bool) public refused;

    function setWay(Way way_) external {
        way = way_;
    }

    function refuse(address payee, bool yes) external {
        refused[payee] = yes;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (refused[to]) _refuse();
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (refused[to]) _refuse();
        return super.transferFrom(from, to, amount);
    }

    function _refuse() private view {
        Way w = way;
        if (w == Way.EatGas) while (true) {}
        assembly {
            mstore(0, eq(w, 2))
            if mload(0) { mstore(0, 2) }
            if eq(w, 0) { revert(0, 0) }
            if eq(w, 3) { return(31, 1) }
            if eq(w, 4) { revert(0, 1000000) }
            if eq(w, 5) { return(0, 1000000) }
            return(0, 32)
        }
    }
}
