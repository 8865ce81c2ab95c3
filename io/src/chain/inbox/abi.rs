//! What is asked of an Arbitrum chain's contracts on the L1, and what their events tell.

#![allow(missing_docs, clippy::too_many_arguments, reason = "names and arguments are the contracts' own")]

use alloy_sol_types::sol;

sol! {
    /// Where messages for the L2 are handed in.
    interface Inbox {
        event InboxMessageDelivered(uint256 indexed messageNum, bytes data);

        function bridge() external view returns (address);
        function sequencerInbox() external view returns (address);
        function calculateRetryableSubmissionFee(uint256 dataLength, uint256 baseFee) external view returns (uint256);
        function createRetryableTicket(
            address to,
            uint256 l2CallValue,
            uint256 maxSubmissionCost,
            address excessFeeRefundAddress,
            address callValueRefundAddress,
            uint256 gasLimit,
            uint256 maxFeePerGas,
            bytes data
        ) external payable returns (uint256);
    }

    /// Where they wait, numbered.
    interface Bridge {
        event MessageDelivered(
            uint256 indexed messageIndex,
            bytes32 indexed beforeInboxAcc,
            address inbox,
            uint8 kind,
            address sender,
            bytes32 messageDataHash,
            uint256 baseFeeL1,
            uint64 timestamp
        );

        function rollup() external view returns (address);
    }

    /// Where they are taken from, by the sequencer or by force.
    interface SequencerInbox {
        function totalDelayedMessagesRead() external view returns (uint256);
        function forceInclusionDeadline(uint64 blockNumber) external view returns (uint64);
        function forceInclusion(
            uint256 totalDelayedMessagesRead,
            uint8 kind,
            uint64[2] l1BlockAndTime,
            uint256 baseFeeL1,
            address sender,
            bytes32 messageDataHash
        ) external;
    }

    /// Whose chain it is.
    interface Rollup {
        function chainId() external view returns (uint256);
    }
}
