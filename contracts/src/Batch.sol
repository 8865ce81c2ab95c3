// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentChannel} from "./IPaymentChannel.sol";

/// @title Batch
/// @notice Many calls in one transaction, each for itself (C8), so that one disputed item does not stop a mass exit.
abstract contract Batch is IPaymentChannel {
    /// @dev What has to be left before an item. One that needs more than it gets fails like any other.
    uint256 private constant ITEM_GAS = 100_000;

    /// @inheritdoc IPaymentChannel
    /// @dev It holds no reentrancy guard: each item takes its own, and gives it back. No function here is payable, so there is no ether
    /// that two items could both count.
    function batch(bytes[] calldata calls) external {
        for (uint256 i = 0; i < calls.length; ++i) {
            if (gasleft() < ITEM_GAS) revert TooLittleGas();
            (bool ok, bytes4 why) = _callSelf(calls[i]);
            if (!ok) emit BatchItemFailed(i, why);
        }
    }

    /// @dev At most four bytes of an answer are copied: enough to name an error, and a longer one costs its sender.
    function _callSelf(bytes memory data) private returns (bool ok, bytes4 why) {
        assembly ("memory-safe") {
            ok := delegatecall(gas(), address(), add(data, 0x20), mload(data), 0x00, 0x00)
            if gt(returndatasize(), 0x03) {
                mstore(0x00, 0)
                returndatacopy(0x00, 0x00, 0x04)
                why := mload(0x00)
            }
        }
    }
}
