// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Batch} from "./Batch.sol";
import {ChannelHash} from "./ChannelHash.sol";
import {ChannelSettings} from "./ChannelSettings.sol";
import {IFeeSplit} from "./IFeeSplit.sol";
import {INodeRegistry} from "./INodeRegistry.sol";
import {Channel, Ending, IPaymentChannel, Status, Voucher} from "./IPaymentChannel.sol";
import {Payouts} from "./Payouts.sol";
import {SignatureCheck} from "./SignatureCheck.sol";
import {SplitCall} from "./SplitCall.sol";
import {TokenCall} from "./TokenCall.sol";

/// @title PaymentChannel
/// @notice Escrow for one-way payments from a client to a node, by cumulative vouchers (spec sections 5 and 8). On chain the
/// amount alone decides (C2): the client is the only signer and may close, so an order by nonce would let it close with a
/// voucher that no dispute could answer.
/// @dev The order of checks is part of the interface: off-chain code predicts which error a call gives (O9). Windows use
/// `block.timestamp`. Everything that moves money holds the reentrancy guard; closing and disputing move none, and what they ask
/// of a wallet (C10) is a static call.
contract PaymentChannel is ChannelSettings, Payouts, Batch, EIP712 {
    /// @dev A channel in four slots. What a dispute or a claim writes lies in one of them, what a close writes in two, or three after
    /// a claim. While the channel is open, all that is recorded is claimed, and `claimed` is not written; see `_claimed`.
    struct Stored {
        address client;
        uint64 deadline;
        Status status;
        uint24 windowSecs; // 72 hours fit
        address node;
        address token;
        uint96 claimed;
        uint96 deposit;
        uint96 amount;
        uint64 nonce;
    }

    /// @inheritdoc IPaymentChannel
    INodeRegistry public immutable registry;
    /// @inheritdoc IPaymentChannel
    IFeeSplit public immutable feeSplit;
    address private immutable _treasury;
    address private immutable _burner;

    /// @inheritdoc IPaymentChannel
    mapping(address client => uint64) public counterOf;
    mapping(bytes32 channelId => Stored) private _channels;

    /// @param owner Holds the settings; ownership moves in two steps.
    /// @param registry_ Knows the active nodes.
    /// @param feeSplit_ Splits settled amounts; its payees are read here, once.
    /// @param disputeWindowSecs First dispute window, 12 to 72 hours; 48 hours is the default of section 10.
    constructor(address owner, INodeRegistry registry_, IFeeSplit feeSplit_, uint64 disputeWindowSecs)
        ChannelSettings(owner, disputeWindowSecs)
        EIP712("PaymentChannel", "1")
    {
        registry = registry_;
        feeSplit = feeSplit_;
        (_treasury, _burner) = (feeSplit_.treasury(), feeSplit_.burner());
    }

    /// @inheritdoc IPaymentChannel
    function openChannel(address counterparty, uint256 deposit, address token)
        external
        nonReentrant
        returns (bytes32 channelId)
    {
        return _open(counterparty, deposit, token);
    }

    /// @inheritdoc IPaymentChannel
    function openWithPermit(
        address counterparty,
        uint256 deposit,
        address token,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (bytes32 channelId) {
        TokenCall.tryPermit(token, msg.sender, deposit, deadline, v, r, s);
        return _open(counterparty, deposit, token);
    }

    /// @inheritdoc IPaymentChannel
    function closeChannel(Voucher calldata voucher) external {
        Stored storage c = _known(voucher.channelId);
        _requireParty(c);
        Status status = c.status;
        if (status == Status.Closing) return _dispute(c, voucher);
        if (status == Status.Settled) revert NotOpen();
        if (!_isEmpty(voucher)) {
            if (voucher.token != c.token) revert WrongToken();
            _requireVoucherSignature(c.client, voucher);
        }
        _startWindow(voucher.channelId, c, _capped(voucher.amount, c.deposit), voucher.nonce);
    }

    /// @inheritdoc IPaymentChannel
    function forceCloseChannel(bytes32 channelId) external {
        Stored storage c = _known(channelId);
        if (c.status != Status.Open) revert NotOpen();
        if (tokenAllowed[c.token]) revert TokenStillAllowed();
        _startWindow(channelId, c, 0, 0);
    }

    /// @inheritdoc IPaymentChannel
    function disputeChannel(Voucher calldata voucher) external {
        Stored storage c = _known(voucher.channelId);
        if (c.status != Status.Closing) revert NotClosing();
        _dispute(c, voucher);
    }

    /// @inheritdoc IPaymentChannel
    function settleChannel(bytes32 channelId) external nonReentrant {
        Stored storage c = _known(channelId);
        if (c.status != Status.Closing) revert NotClosing();
        if (block.timestamp < c.deadline) revert WindowOpen();
        c.status = Status.Settled;
        _payOut(channelId, c, Ending.Window);
    }

    /// @inheritdoc IPaymentChannel
    function closeCooperatively(Voucher calldata voucher, bytes calldata nodeSignature) external nonReentrant {
        Stored storage c = _known(voucher.channelId);
        if (c.status == Status.Settled) revert NotOpen();
        _requireParty(c);
        address token = c.token;
        if (voucher.token != token) revert WrongToken();
        uint96 amount = _capped(voucher.amount, c.deposit);
        if (amount < c.amount) revert AmountTooLow();
        if (!_isEmpty(voucher)) _requireVoucherSignature(c.client, voucher);
        bytes32 consent = ChannelHash.cooperativeClose(voucher.channelId, voucher.amount, voucher.nonce, token);
        _requireSignature(c.node, consent, nodeSignature);

        _keepClaimed(c);
        c.status = Status.Settled;
        _record(c, amount, voucher.nonce);
        _payOut(voucher.channelId, c, Ending.Consent);
    }

    /// @inheritdoc IPaymentChannel
    function claimChannel(Voucher calldata voucher) external nonReentrant {
        Stored storage c = _known(voucher.channelId);
        if (c.status != Status.Open) revert NotOpen();
        if (msg.sender != c.node) revert NotNode();
        (address client, uint256 claimed) = (c.client, c.amount);
        (uint96 amount, uint64 nonce) = _recordHigher(c, voucher);
        uint256 paid = amount - claimed;
        _payEarned(voucher.channelId, client, msg.sender, voucher.token, paid);
        emit ChannelClaimed(voucher.channelId, client, msg.sender, amount, nonce, paid);
    }

    /// @inheritdoc IPaymentChannel
    function finishChannel(Voucher calldata voucher) external nonReentrant {
        Stored storage c = _known(voucher.channelId);
        if (c.status == Status.Settled) revert NotOpen();
        if (msg.sender != c.node) revert NotNode();
        if (c.status == Status.Closing && block.timestamp >= c.deadline) revert WindowOver();
        _keepClaimed(c);
        c.status = Status.Settled;
        if (!_isEmpty(voucher)) _raise(c, voucher);
        _payOut(voucher.channelId, c, Ending.Finish);
    }

    /// @inheritdoc IPaymentChannel
    function channel(bytes32 channelId) external view returns (Channel memory) {
        Stored storage c = _channels[channelId];
        return Channel({
            client: c.client,
            node: c.node,
            token: c.token,
            deposit: c.deposit,
            amount: c.amount,
            claimed: _claimed(c),
            nonce: c.nonce,
            deadline: c.deadline,
            window: c.windowSecs,
            status: c.status
        });
    }

    /// @inheritdoc IPaymentChannel
    function channelIdOf(address client, address node, address token, uint64 counter) external view returns (bytes32) {
        return ChannelHash.channelId(address(this), client, node, token, counter);
    }

    /// @dev Opens a channel of the caller's. Its callers hold the guard.
    function _open(address counterparty, uint256 deposit, address token) private returns (bytes32 channelId) {
        if (paused) revert Paused();
        if (!tokenAllowed[token]) revert TokenNotAllowed();
        if (deposit == 0) revert ZeroDeposit();
        if (counterparty == msg.sender) revert SelfChannel();
        if (!registry.isActive(counterparty)) revert NodeNotActive();

        uint96 received = _take(token, deposit);
        uint64 counter = ++counterOf[msg.sender];
        uint64 window = disputeWindow;
        channelId = ChannelHash.channelId(address(this), msg.sender, counterparty, token, counter);
        _channels[channelId] = Stored({
            client: msg.sender,
            deadline: 0,
            status: Status.Open,
            windowSecs: uint24(window),
            node: counterparty,
            token: token,
            claimed: 0,
            deposit: received,
            amount: 0,
            nonce: 0
        });
        emit ChannelOpened(channelId, msg.sender, counterparty, token, received, counter, window);
    }

    /// @dev Takes a deposit from the caller and returns what arrived. The guard keeps other calls from changing the balance.
    function _take(address token, uint256 deposit) private returns (uint96) {
        uint256 balanceBefore = IERC20(token).balanceOf(address(this));
        if (!TokenCall.tryTransferFrom(token, msg.sender, address(this), deposit)) revert TransferFailed();
        uint256 balanceAfter = IERC20(token).balanceOf(address(this));
        if (balanceAfter <= balanceBefore) revert ZeroDeposit();
        uint256 received = balanceAfter - balanceBefore;
        if (received > type(uint96).max) revert DepositTooLarge();
        return uint96(received);
    }

    /// @dev C1, C5: an open channel starts to close, with the window that was in force when it was opened (C9). It never lowers
    /// what is recorded.
    function _startWindow(bytes32 channelId, Stored storage c, uint96 amount, uint64 nonce) private {
        uint64 deadline = uint64(block.timestamp) + c.windowSecs;
        _keepClaimed(c);
        (c.status, c.deadline) = (Status.Closing, deadline);
        if (amount < c.amount) amount = c.amount;
        nonce = _record(c, amount, nonce);
        emit ChannelClosing(channelId, c.client, c.node, msg.sender, amount, nonce, deadline);
    }

    /// @dev C2, on a channel that is closing.
    function _dispute(Stored storage c, Voucher calldata voucher) private {
        if (block.timestamp >= c.deadline) revert WindowOver();
        (uint96 amount, uint64 nonce) = _recordHigher(c, voucher);
        emit ChannelDisputed(voucher.channelId, c.client, c.node, msg.sender, amount, nonce);
    }

    /// @dev C2, C12: records a voucher whose capped amount (C7) is above the recorded one, and says what is recorded now.
    function _recordHigher(Stored storage c, Voucher calldata voucher) private returns (uint96 amount, uint64 nonce) {
        if (voucher.token != c.token) revert WrongToken();
        amount = _capped(voucher.amount, c.deposit);
        if (amount <= c.amount) revert AmountNotHigher();
        _requireVoucherSignature(c.client, voucher);
        nonce = _record(c, amount, voucher.nonce);
    }

    /// @dev C11: records a voucher above the recorded amount. Any other changes nothing, so nobody needs to have signed it.
    function _raise(Stored storage c, Voucher calldata voucher) private {
        if (voucher.token != c.token) revert WrongToken();
        uint96 amount = _capped(voucher.amount, c.deposit);
        if (amount <= c.amount) return;
        _requireVoucherSignature(c.client, voucher);
        _record(c, amount, voucher.nonce);
    }

    /// @dev Records an amount that is not below the recorded one, and the higher nonce, which it returns.
    function _record(Stored storage c, uint96 amount, uint64 nonce) private returns (uint64) {
        c.amount = amount;
        uint64 recorded = c.nonce;
        if (nonce <= recorded) return recorded;
        c.nonce = nonce;
        return nonce;
    }

    /// @dev C12: before a channel ceases to be open, and more is recorded than was claimed.
    function _keepClaimed(Stored storage c) private {
        if (c.status == Status.Open && c.amount != 0) c.claimed = c.amount;
    }

    /// @dev C12: what claims have paid. Nothing but a claim records on an open channel, so there it is all that is recorded.
    function _claimed(Stored storage c) private view returns (uint96) {
        return c.status == Status.Open ? c.amount : c.claimed;
    }

    /// @dev C3: the rest to the client, then what is recorded and not claimed yet (C12) to the node. The channel is settled already. The refund is first,
    /// so that no fee split stands before it.
    function _payOut(bytes32 channelId, Stored storage c, Ending ending) private {
        uint256 amount = c.amount;
        uint256 refund = c.deposit - amount;
        uint256 paid = amount - c.claimed;
        (address client, address node, address token) = (c.client, c.node, c.token);
        _pay(token, client, refund);
        _payEarned(channelId, client, node, token, paid);
        emit ChannelSettled(channelId, client, node, ending, amount, paid, refund);
    }

    /// @dev C3: what the node has earned, through the fee split; without a right answer it is the node's to withdraw, whole.
    function _payEarned(bytes32 channelId, address client, address node, address token, uint256 amount) private {
        if (amount == 0) return;
        (bool ok, uint256[3] memory parts) = SplitCall.ask(feeSplit, node, token, amount);
        if (!ok) {
            emit SplitFailed(channelId, client, node, amount);
            return _credit(token, node, amount);
        }
        _pay(token, node, parts[0]);
        _pay(token, _treasury, parts[1]);
        _pay(token, _burner, parts[2]);
    }

    function _known(bytes32 channelId) private view returns (Stored storage c) {
        c = _channels[channelId];
        if (c.status == Status.None) revert UnknownChannel();
    }

    function _requireParty(Stored storage c) private view {
        if (msg.sender != c.client && msg.sender != c.node) revert NotParty();
    }

    /// @dev `voucher.token` is the channel's: callers check it, so the digest takes the token from the channel (C2).
    function _requireVoucherSignature(address client, Voucher calldata voucher) private view {
        bytes32 structHash = ChannelHash.voucher(voucher.channelId, voucher.amount, voucher.nonce, voucher.token);
        _requireSignature(client, structHash, voucher.signature);
    }

    function _requireSignature(address signer, bytes32 structHash, bytes calldata signature) private view {
        if (!SignatureCheck.isValid(signer, _hashTypedDataV4(structHash), signature)) revert BadSignature();
    }

    /// @dev The empty voucher of C1 and C4. Its token is not looked at.
    function _isEmpty(Voucher calldata voucher) private pure returns (bool) {
        return voucher.amount == 0 && voucher.nonce == 0 && voucher.signature.length == 0;
    }

    /// @dev C7.
    function _capped(uint256 amount, uint96 deposit) private pure returns (uint96) {
        return amount < deposit ? uint96(amount) : deposit;
    }
}
