// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

/// @title TokenCall
/// @notice ERC-20 transfers that report failure instead of reverting, so that no token can block its caller.
/// @dev A call counts as done if it succeeded and returned nothing from an address with code, or returned the word 1 first.
/// At most one word of the answer is copied, so a huge answer costs its sender, not the caller.
library TokenCall {
    /// @notice Tries `token.transfer(to, amount)` with at most `gasLimit` gas.
    function tryTransfer(address token, address to, uint256 amount, uint256 gasLimit) internal returns (bool) {
        return _done(token, abi.encodeCall(IERC20.transfer, (to, amount)), gasLimit);
    }

    /// @notice Tries `token.transferFrom(from, to, amount)` with all gas.
    function tryTransferFrom(address token, address from, address to, uint256 amount) internal returns (bool) {
        return _done(token, abi.encodeCall(IERC20.transferFrom, (from, to, amount)), gasleft());
    }

    /// @notice Tries `token.permit(owner, this, amount, …)` (ERC-2612) with all gas, and does not look at what came of it.
    function tryPermit(address token, address owner, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        internal
    {
        bytes memory data = abi.encodeCall(IERC20Permit.permit, (owner, address(this), amount, deadline, v, r, s));
        assembly ("memory-safe") {
            pop(call(gas(), token, 0, add(data, 0x20), mload(data), 0x00, 0x00))
        }
    }

    function _done(address token, bytes memory data, uint256 gasLimit) private returns (bool done) {
        assembly ("memory-safe") {
            done := call(gasLimit, token, 0, add(data, 0x20), mload(data), 0x00, 0x20)
            switch returndatasize()
            case 0 { done := and(done, gt(extcodesize(token), 0)) }
            default { done := and(done, and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) }
        }
    }
}
