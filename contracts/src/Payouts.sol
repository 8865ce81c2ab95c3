// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPaymentChannel} from "./IPaymentChannel.sol";
import {TokenCall} from "./TokenCall.sol";

/// @title Payouts
/// @notice Money going out: a payout that the token refuses becomes a credit that the payee withdraws (C6), to itself or, where
/// the token refuses it for good, to somebody else. So nobody can lock another's money.
abstract contract Payouts is IPaymentChannel, ReentrancyGuardTransient {
    /// @dev Most gas a token gets for one payout, so that a token, or a payee it calls, can't eat what the next payee's
    /// payout needs. Well above any plain transfer. And well below 63 times what recording a credit costs: whoever calls with too
    /// little gas to give the token this much can't pay for the credit either, so nobody turns a payout into a credit that way.
    uint256 private constant PAYOUT_GAS = 300_000;

    /// @inheritdoc IPaymentChannel
    mapping(address payee => mapping(address token => uint256)) public credit;

    /// @inheritdoc IPaymentChannel
    function withdrawCredit(address token, address to) external nonReentrant {
        if (to == address(0) || to == address(this)) revert BadPayee();
        uint256 amount = credit[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw();
        credit[msg.sender][token] = 0;
        emit CreditWithdrawn(msg.sender, token, to, amount);
        if (!TokenCall.tryTransfer(token, to, amount, gasleft())) revert TransferFailed();
    }

    /// @dev Pays `amount` or credits it; nothing if it is zero. Callers hold the reentrancy guard.
    function _pay(address token, address to, uint256 amount) internal {
        if (amount == 0 || TokenCall.tryTransfer(token, to, amount, PAYOUT_GAS)) return;
        _credit(token, to, amount);
    }

    /// @dev Keeps `amount` for its payee to withdraw.
    function _credit(address token, address to, uint256 amount) internal {
        credit[to][token] += amount;
        emit Credited(to, token, amount);
    }
}
