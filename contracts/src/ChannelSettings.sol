// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IPaymentChannel} from "./IPaymentChannel.sol";

/// @title ChannelSettings
/// @notice What the owner may set: the dispute window within its bounds, the token allow-list, the pause of new channels.
/// Of all that, only delisting its token reaches a channel that exists, and only to let anyone start its window (C5): the window
/// itself is the one of its opening (C9).
abstract contract ChannelSettings is IPaymentChannel, Ownable2Step {
    uint64 internal constant DISPUTE_WINDOW_SECS_MIN = 12 hours;
    uint64 internal constant DISPUTE_WINDOW_SECS_MAX = 72 hours;

    /// @inheritdoc IPaymentChannel
    uint64 public disputeWindow;
    /// @inheritdoc IPaymentChannel
    bool public paused;
    /// @inheritdoc IPaymentChannel
    mapping(address token => bool) public tokenAllowed;

    constructor(address owner, uint64 disputeWindowSecs) Ownable(owner) {
        _setDisputeWindow(disputeWindowSecs);
    }

    /// @inheritdoc IPaymentChannel
    function setDisputeWindow(uint64 secs) external onlyOwner {
        _setDisputeWindow(secs);
    }

    /// @inheritdoc IPaymentChannel
    function setTokenAllowed(address token, bool allowed) external onlyOwner {
        tokenAllowed[token] = allowed;
        emit TokenAllowed(token, allowed);
    }

    /// @inheritdoc IPaymentChannel
    function setPaused(bool paused_) external onlyOwner {
        paused = paused_;
        emit PausedSet(paused_);
    }

    function _setDisputeWindow(uint64 secs) private {
        if (secs < DISPUTE_WINDOW_SECS_MIN || secs > DISPUTE_WINDOW_SECS_MAX) revert WindowOutOfBounds();
        disputeWindow = secs;
        emit DisputeWindowSet(secs);
    }
}
