// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentChannel, Status} from "../src/IPaymentChannel.sol";

/// @title Model
/// @notice One channel as section 8 describes it, written from the rules: what each call answers, in the order of checks, and what
/// it leaves behind. 0 stands for success.
library Model {
    enum Caller {
        Client,
        Node,
        Other
    }

    /// @dev What matters of one call.
    struct Call {
        Caller by;
        uint256 amount;
        uint64 nonce;
        bool rightToken;
        bool signed; // by the client, over what the call carries, or its wallet takes it (C10)
        bool unsigned; // no signature bytes at all
        bool consented; // the same of the node and its consent
    }

    struct State {
        Status status;
        uint256 deposit;
        uint256 amount;
        uint256 claimed;
        uint64 nonce;
        uint256 deadline;
    }

    function close(State memory s, Call memory c, uint256 time, uint256 window) internal pure returns (bytes4) {
        if (c.by == Caller.Other) return IPaymentChannel.NotParty.selector;
        if (s.status == Status.Closing) return dispute(s, c, time);
        if (s.status == Status.Settled) return IPaymentChannel.NotOpen.selector;
        if (!isEmpty(c)) {
            if (!c.rightToken) return IPaymentChannel.WrongToken.selector;
            if (!c.signed) return IPaymentChannel.BadSignature.selector;
        }
        (s.status, s.deadline) = (Status.Closing, time + window);
        if (min(c.amount, s.deposit) > s.amount) s.amount = min(c.amount, s.deposit);
        if (c.nonce > s.nonce) s.nonce = c.nonce;
        return 0;
    }

    function dispute(State memory s, Call memory c, uint256 time) internal pure returns (bytes4) {
        if (s.status != Status.Closing) return IPaymentChannel.NotClosing.selector;
        if (time >= s.deadline) return IPaymentChannel.WindowOver.selector;
        if (!c.rightToken) return IPaymentChannel.WrongToken.selector;
        if (min(c.amount, s.deposit) <= s.amount) return IPaymentChannel.AmountNotHigher.selector;
        if (!c.signed) return IPaymentChannel.BadSignature.selector;
        s.amount = min(c.amount, s.deposit);
        if (c.nonce > s.nonce) s.nonce = c.nonce;
        return 0;
    }

    function force(State memory s, bool allowed, uint256 time, uint256 window) internal pure returns (bytes4) {
        if (s.status != Status.Open) return IPaymentChannel.NotOpen.selector;
        if (allowed) return IPaymentChannel.TokenStillAllowed.selector;
        (s.status, s.deadline) = (Status.Closing, time + window);
        return 0;
    }

    function settle(State memory s, uint256 time) internal pure returns (bytes4) {
        if (s.status != Status.Closing) return IPaymentChannel.NotClosing.selector;
        if (time < s.deadline) return IPaymentChannel.WindowOpen.selector;
        s.status = Status.Settled;
        return 0;
    }

    function cooperate(State memory s, Call memory c) internal pure returns (bytes4) {
        if (s.status == Status.Settled) return IPaymentChannel.NotOpen.selector;
        if (c.by == Caller.Other) return IPaymentChannel.NotParty.selector;
        if (!c.rightToken) return IPaymentChannel.WrongToken.selector;
        if (min(c.amount, s.deposit) < s.amount) return IPaymentChannel.AmountTooLow.selector;
        if (!isEmpty(c) && !c.signed) return IPaymentChannel.BadSignature.selector;
        if (!c.consented) return IPaymentChannel.BadSignature.selector;
        s.status = Status.Settled;
        s.amount = min(c.amount, s.deposit);
        if (c.nonce > s.nonce) s.nonce = c.nonce;
        return 0;
    }

    function claim(State memory s, Call memory c) internal pure returns (bytes4) {
        if (s.status != Status.Open) return IPaymentChannel.NotOpen.selector;
        if (c.by != Caller.Node) return IPaymentChannel.NotNode.selector;
        if (!c.rightToken) return IPaymentChannel.WrongToken.selector;
        if (min(c.amount, s.deposit) <= s.amount) return IPaymentChannel.AmountNotHigher.selector;
        if (!c.signed) return IPaymentChannel.BadSignature.selector;
        (s.amount, s.claimed) = (min(c.amount, s.deposit), min(c.amount, s.deposit));
        if (c.nonce > s.nonce) s.nonce = c.nonce;
        return 0;
    }

    function finish(State memory s, Call memory c, uint256 time) internal pure returns (bytes4) {
        if (s.status == Status.Settled) return IPaymentChannel.NotOpen.selector;
        if (c.by != Caller.Node) return IPaymentChannel.NotNode.selector;
        if (s.status == Status.Closing && time >= s.deadline) return IPaymentChannel.WindowOver.selector;
        if (!isEmpty(c)) {
            if (!c.rightToken) return IPaymentChannel.WrongToken.selector;
            if (min(c.amount, s.deposit) > s.amount) {
                if (!c.signed) return IPaymentChannel.BadSignature.selector;
                s.amount = min(c.amount, s.deposit);
                if (c.nonce > s.nonce) s.nonce = c.nonce;
            }
        }
        s.status = Status.Settled;
        return 0;
    }

    function isEmpty(Call memory c) private pure returns (bool) {
        return c.unsigned && c.amount == 0 && c.nonce == 0;
    }

    function min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
