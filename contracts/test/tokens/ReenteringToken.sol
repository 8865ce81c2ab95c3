// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {TestToken} from "../../src/TestToken.sol";

/// @notice Calls a target back in the middle of every transfer that is not a mint, once, and remembers what came of it. It goes
/// on as if nothing had happened, which is worse for the target than passing the error on.
contract ReenteringToken is TestToken("Reentering", "REE", 6) {
    address public target;
    bytes public call;
    bool public passOn; // let the target's error fail the transfer
    uint256 public calls;
    bool public succeeded; // any call ever did
    bytes public answer; // of the last call

    function arm(address target_, bytes calldata call_, bool passOn_) external {
        (target, call, passOn) = (target_, call_, passOn_);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from == address(0) || target == address(0)) return;
        (address t, bytes memory c) = (target, call);
        target = address(0); // once, and never from inside itself
        (bool ok, bytes memory returned) = t.call(c);
        target = t;
        calls += 1;
        succeeded = succeeded || ok;
        answer = returned;
        require(ok || !passOn, "passed on");
    }
}
