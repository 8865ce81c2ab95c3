// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IPaymentChannel, Status} from "../../src/IPaymentChannel.sol";
import {NodeList} from "../../src/NodeList.sol";
import {NodeTakesAll} from "../../src/NodeTakesAll.sol";
import {PaymentChannel} from "../../src/PaymentChannel.sol";
import {vm} from "../Vm.sol";
import {AnyToken, AnyWallet, symbols} from "./Symbols.sol";

/// @title ChannelProof
/// @notice Proofs over every state of a channel and every call, for halmos (`tools/halmos.sh`); no test for forge, which finds
/// nothing to run here.
/// @dev Each `check_` takes one step: a channel in any consistent state, then one call of any function with any arguments by anyone at
/// any time. Consistent means that what is claimed is at most what is recorded, and that at most the deposit; while the channel is open,
/// all that is recorded is claimed, nothing is kept of it apart, and there is no deadline. The first check proves that every step keeps
/// it so, and openChannel begins so. What holds of the first state and of every step holds for ever. The parties are wallets that
/// answer anything (C10), so nothing rests on who can sign.
contract ChannelProof {
    bytes32 private constant ID = keccak256("any channel");
    /// @dev Where `forge inspect PaymentChannel storageLayout` says that `_channels` is; `_anyChannel` checks it.
    uint256 private constant CHANNELS_SLOT = 7;

    PaymentChannel private escrow;
    AnyToken private token;
    address private client;
    address private node;

    function setUp() public {
        NodeList nodes = new NodeList(address(this));
        escrow = new PaymentChannel(address(this), nodes, new NodeTakesAll(), 48 hours);
        token = new AnyToken();
        (client, node) = (address(new AnyWallet()), address(new AnyWallet()));
        nodes.set(node, keccak256("node"), true);
        escrow.setTokenAllowed(address(token), true);
    }

    /// @notice C7, C9: the recorded amount stays within the deposit, and deposit and window are what they were; with the next check,
    /// nothing above the deposit is ever settled.
    function check_SettledAtMostTheDeposit() public {
        Channel memory was = _anyChannel();
        _anyCall();
        Channel memory c = escrow.channel(ID);
        assert(c.deposit == was.deposit);
        assert(c.amount <= c.deposit);
        assert(c.claimed <= c.amount);
        assert(c.status != Status.Open || (c.claimed == c.amount && c.deadline == 0 && _keptClaimed() == 0));
        assert(c.status != Status.None);
        assert(c.window == was.window);
    }

    /// @notice C3, C4, C11: what any settlement takes out of the escrow is what claims have left of the deposit, once: the rest of the
    /// recorded amount for the node, the rest of the deposit for the client.
    function check_ASettlementPaysTheDeposit() public {
        Channel memory was = _anyChannel();
        bytes memory data = symbols.createCalldata("PaymentChannel");
        bytes4 call = bytes4(data);
        vm.assume(
            call == PaymentChannel.settleChannel.selector || call == PaymentChannel.closeCooperatively.selector
                || call == PaymentChannel.finishChannel.selector
        );
        _call(data);
        Channel memory c = escrow.channel(ID);
        vm.assume(c.status == Status.Settled);
        assert(was.status != Status.Settled);
        assert(c.claimed == was.claimed);
        assert(token.paid(node) == c.amount - c.claimed);
        assert(token.paid(client) == c.deposit - c.amount);
        assert(token.paidInAll() == c.deposit - c.claimed);
    }

    /// @notice C12: a claim pays the node by how much the claimed amount grows, and nobody else; what other calls leave is what was
    /// claimed before.
    function check_AClaimPaysByHowMuchItGrows() public {
        Channel memory was = _anyChannel();
        bytes4 call = _anyCall();
        Channel memory c = escrow.channel(ID);
        assert(c.claimed >= was.claimed);
        if (call != PaymentChannel.claimChannel.selector) {
            assert(c.claimed == was.claimed);
        } else if (c.claimed != was.claimed) {
            assert(was.status == Status.Open && c.status == Status.Open);
            assert(token.paid(node) == c.claimed - was.claimed);
            assert(token.paidInAll() == c.claimed - was.claimed);
        }
    }

    /// @notice O5, C2: no call lowers the recorded amount or the recorded nonce.
    function check_RecordedAmountNeverFalls() public {
        Channel memory was = _anyChannel();
        _anyCall();
        Channel memory c = escrow.channel(ID);
        assert(c.amount >= was.amount);
        assert(c.nonce >= was.nonce);
    }

    /// @notice C2 to C5, C11: out of Closing lead settleChannel, from the deadline on, finishChannel, before it, and
    /// closeCooperatively, and nothing else; while it lasts the deadline stays, and what is settled stays as it is.
    function check_NoPathOutOfClosingButSettlement() public {
        Channel memory was = _anyChannel();
        vm.assume(was.status == Status.Closing || was.status == Status.Settled);
        bytes4 call = _anyCall();
        Channel memory c = escrow.channel(ID);
        assert(c.deadline == was.deadline);
        if (was.status == Status.Settled) {
            assert(c.status == Status.Settled && c.amount == was.amount);
        } else if (c.status != Status.Closing) {
            assert(c.status == Status.Settled);
            bool inTime = call == PaymentChannel.settleChannel.selector && block.timestamp >= was.deadline;
            bool early = call == PaymentChannel.finishChannel.selector && block.timestamp < was.deadline;
            assert(inTime || early || call == PaymentChannel.closeCooperatively.selector);
        }
    }

    /// @dev A channel of the two parties in any consistent state.
    function _anyChannel() private returns (Channel memory c) {
        uint256 status = symbols.createUint(8, "status");
        uint256 deadline = symbols.createUint(64, "deadline");
        uint256 window = symbols.createUint(24, "window");
        uint256 nonce = symbols.createUint(64, "nonce");
        uint256 deposit = symbols.createUint(96, "deposit");
        uint256 amount = symbols.createUint(96, "amount");
        uint256 claimed = symbols.createUint(96, "claimed");
        vm.assume(status != uint256(Status.None) && status <= uint256(Status.Settled));
        vm.assume(claimed <= amount && amount <= deposit);
        vm.assume(status != uint256(Status.Open) || (claimed == amount && deadline == 0));
        uint256 slot = _slot();
        uint256 kept = status == uint256(Status.Open) ? 0 : claimed;
        _store(slot, uint256(uint160(client)) | deadline << 160 | status << 224 | window << 232);
        _store(slot + 1, uint256(uint160(node)));
        _store(slot + 2, uint256(uint160(address(token))) | kept << 160);
        _store(slot + 3, deposit | amount << 96 | nonce << 192);

        c = escrow.channel(ID);
        assert(c.client == client && c.node == node && c.token == address(token));
        assert(uint256(c.status) == status && c.deadline == deadline && c.window == window && c.nonce == nonce);
        assert(c.deposit == deposit && c.amount == amount && c.claimed == claimed);
    }

    function _slot() private pure returns (uint256) {
        return uint256(keccak256(abi.encode(ID, CHANNELS_SLOT)));
    }

    /// @dev What is kept of claims, apart from what is recorded: nothing while the channel is open.
    function _keptClaimed() private view returns (uint256) {
        return uint256(vm.load(address(escrow), bytes32(_slot() + 2))) >> 160;
    }

    function _store(uint256 slot, uint256 value) private {
        vm.store(address(escrow), bytes32(slot), bytes32(value));
    }

    /// @dev Any function, with any arguments, from anyone, at any time, whether the token is allowed or not. A call that reverts
    /// changes nothing and proves nothing. A new channel never gets an old one's id: that is keccak256's promise (V5), not ours.
    function _anyCall() private returns (bytes4 selector) {
        escrow.setTokenAllowed(address(token), symbols.createUint(1, "allowed") == 1);
        bytes memory data = symbols.createCalldata("PaymentChannel");
        selector = bytes4(data);
        // A batch (C8) is a row of calls, each of which is such a step.
        vm.assume(selector != IPaymentChannel.batch.selector);
        _call(data);
    }

    function _call(bytes memory data) private {
        vm.warp(symbols.createUint(64, "time"));
        vm.prank(symbols.createAddress("caller"));
        (bool ok, bytes memory answer) = address(escrow).call(data);
        vm.assume(ok);
        bytes4 selector = bytes4(data);
        bool opens = selector == PaymentChannel.openChannel.selector || selector == PaymentChannel.openWithPermit.selector;
        if (opens) vm.assume(bytes32(answer) != ID);
    }
}
