// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "./IFeeSplit.sol";
import {IPaymentChannel} from "./IPaymentChannel.sol";

/// @title SplitCall
/// @notice Asks a fee split so that it can lock nobody's money (C3).
library SplitCall {
    /// @dev Most gas that a split gets, and all of it: less would let whoever settles turn a right answer into none.
    uint256 private constant SPLIT_GAS = 300_000;
    /// @dev With this much left the split gets its gas in full: a 64th stays with the caller, and a cold account costs 2,600.
    uint256 private constant GAS_NEEDED = 310_000;

    /// @notice The three parts of `amount`. Not `ok` unless the split succeeds with exactly three words that add up to it. Reverts
    /// with `TooLittleGas` where the split could not have its gas in full.
    function ask(IFeeSplit feeSplit, address node, address token, uint256 amount)
        internal
        view
        returns (bool ok, uint256[3] memory parts)
    {
        bytes memory question = abi.encodeCall(IFeeSplit.split, (node, token, amount));
        if (gasleft() < GAS_NEEDED) revert IPaymentChannel.TooLittleGas();
        assembly ("memory-safe") {
            ok := staticcall(SPLIT_GAS, feeSplit, add(question, 0x20), mload(question), parts, 0x60)
            ok := and(ok, eq(returndatasize(), 0x60))
        }
        ok = ok && _addsUp(parts, amount);
    }

    function _addsUp(uint256[3] memory parts, uint256 amount) private pure returns (bool) {
        if (parts[0] > amount || parts[1] > amount - parts[0]) return false;
        return parts[2] == amount - parts[0] - parts[1];
    }
}
