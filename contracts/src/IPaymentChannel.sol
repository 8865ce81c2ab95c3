// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "./IFeeSplit.sol";
import {INodeRegistry} from "./INodeRegistry.sol";

/// @notice The client's promise that the node has earned `amount` in total on a channel (V1). All of it except the signature
/// is what the client signs, under EIP-712 domain name "PaymentChannel", version "1".
struct Voucher {
    bytes32 channelId;
    uint256 amount; // cumulative, base units of the token
    uint64 nonce; // starts at 1; 0 means none
    address token;
    bytes signature; // the client's: 65 bytes (I4), or what its contract wallet takes (C10)
}

/// @notice The life of a channel (C8). It only ever moves forward.
enum Status {
    None,
    Open,
    Closing,
    Settled
}

/// @notice How a channel ended: after its window (C3), because both agreed (C4), or because the node had enough (C11).
enum Ending {
    Window,
    Consent,
    Finish
}

/// @notice A channel as `channel` reports it.
struct Channel {
    address client;
    address node;
    address token;
    uint256 deposit; // what arrived when it was opened, base units
    uint256 amount; // recorded, at most the deposit (C7); never falls
    uint256 claimed; // what of it was paid out by claims (C12), at most `amount`; never falls
    uint64 nonce; // recorded with it
    uint64 deadline; // unix seconds at which the dispute window ends; 0 before the first close
    uint64 window; // seconds, as in force when it was opened (C9)
    Status status;
}

/// @title IPaymentChannel
/// @notice Escrow for one-way payments from a client to a node, by cumulative vouchers (spec section 8).
interface IPaymentChannel {
    /// @notice `window` is the channel's for good, in seconds (C9).
    event ChannelOpened(
        bytes32 indexed channelId,
        address indexed client,
        address indexed node,
        address token,
        uint256 deposit,
        uint64 counter,
        uint64 window
    );
    /// @notice First close (C1) or forced one (C5); amount and nonce are as recorded from now on, so capped (C7) and never lower
    /// than before.
    event ChannelClosing(
        bytes32 indexed channelId,
        address indexed client,
        address indexed node,
        address by,
        uint256 amount,
        uint64 nonce,
        uint64 deadline
    );
    /// @notice A higher amount was recorded (C2); `nonce` is the highest seen on chain.
    event ChannelDisputed(
        bytes32 indexed channelId,
        address indexed client,
        address indexed node,
        address by,
        uint256 amount,
        uint64 nonce
    );
    /// @notice The node was paid `paid` of its earning, which is `amount` so far (C12).
    event ChannelClaimed(
        bytes32 indexed channelId,
        address indexed client,
        address indexed node,
        uint256 amount,
        uint64 nonce,
        uint256 paid
    );
    /// @notice `amount` is what the node has earned in all, `paid` what of it was paid out now, `refunded` went to the client.
    event ChannelSettled(
        bytes32 indexed channelId,
        address indexed client,
        address indexed node,
        Ending ending,
        uint256 amount,
        uint256 paid,
        uint256 refunded
    );
    /// @notice A token refused a payout; the payee withdraws it (C6).
    event Credited(address indexed payee, address indexed token, uint256 amount);
    event CreditWithdrawn(address indexed payee, address indexed token, address indexed to, uint256 amount);
    /// @notice The fee split gave no three words that add up, so that all of `amount` is credited to the node (C3).
    event SplitFailed(bytes32 indexed channelId, address indexed client, address indexed node, uint256 amount);
    /// @notice Item `index` of a batch reverted and was skipped; `why` is the first four bytes of its error, 0 where it gave none (C8).
    event BatchItemFailed(uint256 index, bytes4 why);
    event DisputeWindowSet(uint64 secs);
    event TokenAllowed(address indexed token, bool allowed);
    event PausedSet(bool paused);

    /// @notice New channels are paused.
    error Paused();
    /// @notice The token is not allow-listed.
    error TokenNotAllowed();
    /// @notice The deposit is zero, or nothing arrived.
    error ZeroDeposit();
    /// @notice More than 2^96 - 1 base units arrived.
    error DepositTooLarge();
    /// @notice The counterparty is not an active node.
    error NodeNotActive();
    /// @notice Client and node are the same address.
    error SelfChannel();
    /// @notice No channel has this id (C8).
    error UnknownChannel();
    /// @notice The caller is neither the client nor the node of the channel.
    error NotParty();
    /// @notice The caller is not the channel's node (C11, C12).
    error NotNode();
    /// @notice The channel is settled already; for a forced close also: it is closing.
    error NotOpen();
    /// @notice The channel is not closing.
    error NotClosing();
    /// @notice The voucher names another token than the channel's.
    error WrongToken();
    /// @notice A signature is malformed or not the required party's (I4), and no contract wallet of that party takes it (C10).
    error BadSignature();
    /// @notice Reserved: part of the ABI, raised by no call of this version.
    error BadVoucher();
    /// @notice The voucher's amount is not above the recorded one (C2, C12).
    error AmountNotHigher();
    /// @notice The cooperative amount is below the recorded one (C4).
    error AmountTooLow();
    /// @notice The dispute window has not ended yet (C3).
    error WindowOpen();
    /// @notice The dispute window has ended (C2, C11).
    error WindowOver();
    /// @notice The token refused the transfer.
    error TransferFailed();
    /// @notice A credit goes neither to nobody nor back into this contract (C6).
    error BadPayee();
    /// @notice The caller has no credit in this token (C6).
    error NothingToWithdraw();
    /// @notice The dispute window is not within 12 to 72 hours (section 10).
    error WindowOutOfBounds();
    /// @notice Too little gas is left for the fee split to have its 300,000 in full (C3), or before an item of a batch (C8).
    error TooLittleGas();
    /// @notice The channel's token is allow-listed, so nobody can force the channel closed (C5).
    error TokenStillAllowed();

    /// @notice Opens a channel from the caller to `counterparty` and takes the deposit. The id follows from V5 with the
    /// caller's next counter; what counts as the deposit is the measured change of this contract's balance.
    /// @param counterparty An active node, not the caller.
    /// @param deposit What to transfer from the caller, base units of `token`; it must have approved this contract.
    /// @param token An allow-listed ERC-20.
    function openChannel(address counterparty, uint256 deposit, address token) external returns (bytes32 channelId);

    /// @notice C13: tries the caller's permit (ERC-2612) for the deposit, ignores what becomes of it, and does what `openChannel` does.
    /// Somebody who saw the permit may have used it before: what counts is the allowance. Owner and payer are always the caller.
    /// @param counterparty An active node, not the caller.
    /// @param deposit What to transfer from the caller, base units of `token`, and what the permit allows.
    /// @param token An allow-listed ERC-20.
    /// @param deadline Until when the permit counts, unix seconds.
    /// @param v With `r` and `s` the caller's signature of the permit.
    function openWithPermit(
        address counterparty,
        uint256 deposit,
        address token,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (bytes32 channelId);

    /// @notice C1: starts the dispute window with a voucher of the client, or with the empty voucher (amount 0, nonce 0, no
    /// signature; its token is ignored). The window is the channel's own (C9); an amount above the deposit is capped (C7).
    /// What is recorded is the larger of the voucher's amount and what was recorded already: it never reverts for its amount.
    /// On a channel that is closing it acts as `disputeChannel`. Client or node only.
    /// @param voucher The voucher to record.
    function closeChannel(Voucher calldata voucher) external;

    /// @notice C2: within the window, records a voucher with a higher amount, whatever its nonce. The amount is capped before
    /// it is compared (C7), the higher nonce is kept, the deadline does not move. Open to anyone.
    /// @param voucher A voucher signed by the channel's client.
    function disputeChannel(Voucher calldata voucher) external;

    /// @notice C3: after the window, pays the rest to the client and what is recorded and not claimed yet through the fee split; where
    /// that fails, it is credited to the node. A payout that the token refuses becomes a credit (C6). Open to anyone.
    /// @param channelId The channel, closing.
    function settleChannel(bytes32 channelId) external;

    /// @notice C4: settles at once over a voucher that both parties signed and that is not below a recorded one. The empty
    /// voucher (amount 0, nonce 0, no signature) with the node's consent to it returns everything. Client or node only.
    /// @param voucher The final voucher, signed by the client.
    /// @param nodeSignature The node's signature of CooperativeClose over the same four values, uncapped.
    function closeCooperatively(Voucher calldata voucher, bytes calldata nodeSignature) external;

    /// @notice C12: records a voucher above what is recorded, with the higher nonce, and pays the node what of it was not paid yet,
    /// through the fee split (C3). The channel stays open. An amount above the deposit is capped (C7). Node only.
    /// @param voucher A voucher signed by the channel's client.
    function claimChannel(Voucher calldata voucher) external;

    /// @notice C11: settles at once, over the voucher if its amount, capped (C7), is above the recorded one, and else over what is
    /// recorded. Such a voucher has to be signed; of any other only the token is looked at, of the empty voucher nothing. On an
    /// open channel, or a closing one before its deadline. Node only.
    /// @param voucher The voucher to finish with.
    function finishChannel(Voucher calldata voucher) external;

    /// @notice C5: starts the channel's window at the recorded amount on an open channel whose token was delisted; who holds a voucher
    /// answers with `disputeChannel`. A channel that is closing keeps its amount and its deadline: the call reverts. Open to anyone.
    /// @param channelId The channel, open.
    function forceCloseChannel(bytes32 channelId) external;

    /// @notice C6: pays out what the caller was credited in `token`, all of it. If the token refuses, the call reverts and the
    /// credit stays.
    /// @param token The token of the credit; it need not be allow-listed any more.
    /// @param to Who gets it; neither zero nor this contract.
    function withdrawCredit(address token, address to) external;

    /// @notice C8: makes calls of this contract in order, each as the caller's own. One that reverts is skipped and told by an event,
    /// and the rest go on. Reverts only if less than 100,000 gas are left before an item. Open to anyone.
    /// @param calls Calldata, one call each; a batch may hold batches.
    function batch(bytes[] calldata calls) external;

    /// @notice C9: sets the window of channels that are opened from now on, 12 to 72 hours (section 10). Owner only.
    /// @param secs The dispute window in seconds.
    function setDisputeWindow(uint64 secs) external;

    /// @notice Allows or delists a token for new channels. Existing ones go on, but while their token is delisted anyone may force
    /// an open one closed (C5). Owner only.
    /// @param token The ERC-20.
    /// @param allowed Whether new channels may use it.
    function setTokenAllowed(address token, bool allowed) external;

    /// @notice Stops or resumes new channels, never closes, disputes, settlements or withdrawals (section 8). Owner only.
    /// @param paused_ Whether to stop.
    function setPaused(bool paused_) external;

    /// @notice The channel's state; all zero with status None for an unknown id (C8).
    function channel(bytes32 channelId) external view returns (Channel memory);

    /// @notice What `payee` can withdraw in `token`, base units (C6).
    function credit(address payee, address token) external view returns (uint256);

    /// @notice How many channels `client` has opened; the next one takes this plus 1 as its counter (V5).
    function counterOf(address client) external view returns (uint64);

    /// @notice V5: the id of a channel, opened or not.
    function channelIdOf(address client, address node, address token, uint64 counter) external view returns (bytes32);

    /// @notice The dispute window that a channel would get now, seconds (C9).
    function disputeWindow() external view returns (uint64);

    /// @notice Whether new channels may use `token`.
    function tokenAllowed(address token) external view returns (bool);

    /// @notice Whether new channels are stopped.
    function paused() external view returns (bool);

    /// @notice Who is asked whether a counterparty is an active node.
    function registry() external view returns (INodeRegistry);

    /// @notice Who splits settled amounts (C3).
    function feeSplit() external view returns (IFeeSplit);
}
