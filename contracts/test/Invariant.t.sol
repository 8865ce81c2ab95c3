// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Status} from "../src/IPaymentChannel.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {Handler} from "./Handler.sol";
import {vm} from "./Vm.sol";

/// @notice What holds in every state that any calls reach (section 18), over many channels and tokens that take a fee, refuse,
/// return nothing or call back.
contract InvariantTest {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private handler;
    PaymentChannel private escrow;

    function setUp() public {
        handler = new Handler();
        escrow = PaymentChannel(handler.escrowAddress());
    }

    /// @dev Asked by Foundry: whom to call.
    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev Asked by Foundry: what to call.
    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        bytes4[20] memory steps = [
            Handler.openChannel.selector,
            Handler.openChannel.selector,
            Handler.closeChannel.selector,
            Handler.closeChannel.selector,
            Handler.disputeChannel.selector,
            Handler.forceCloseChannel.selector,
            Handler.settleChannel.selector,
            Handler.closeCooperatively.selector,
            Handler.claimChannel.selector,
            Handler.finishChannel.selector,
            Handler.batch.selector,
            Handler.withdrawCredit.selector,
            Handler.refuse.selector,
            Handler.reenter.selector,
            Handler.list.selector,
            Handler.list.selector,
            Handler.flip.selector,
            Handler.breakSplit.selector,
            Handler.setWindow.selector,
            Handler.pass.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector({addr: address(handler), selectors: new bytes4[](steps.length)});
        for (uint256 i = 0; i < steps.length; ++i) {
            targets[0].selectors[i] = steps[i];
        }
    }

    function invariant_O1_EveryTokenIsConserved() public view {
        TestToken[] memory tokens = handler.tokenList();
        address[] memory holders = handler.holders();
        for (uint256 t = 0; t < tokens.length; ++t) {
            uint256 held;
            uint256 credited;
            for (uint256 i = 0; i < holders.length; ++i) {
                held += tokens[t].balanceOf(holders[i]);
                credited += escrow.credit(holders[i], address(tokens[t]));
            }
            vm.assertEq(held, tokens[t].totalSupply(), "O1: somebody known holds every unit");
            uint256 owed = credited + locked(address(tokens[t]));
            vm.assertEq(tokens[t].balanceOf(address(escrow)), owed, "O1: the escrow holds what it owes");
        }
    }

    function invariant_O2_SettledAtMostTheDepositAndOnce() public view {
        for (uint256 i = 0; i < handler.channelCount(); ++i) {
            Handler.Seen memory s = handler.seenAt(i);
            vm.assertLe(s.last.amount, s.deposit, "C7: never above the deposit");
            vm.assertEq(s.last.claimed, s.claimed, "C12: claimed is what claims have paid");
            vm.assertLe(s.last.claimed, s.last.amount, "C12: never above what is recorded");
            vm.assertEq(s.settlements, s.last.status == Status.Settled ? 1 : 0, "O2: one settlement");
        }
    }

    function invariant_C8_EachStatusLooksLikeItself() public view {
        for (uint256 i = 0; i < handler.channelCount(); ++i) {
            Handler.Seen memory s = handler.seenAt(i);
            vm.assertTrue(s.last.status != Status.None, "opened");
            if (s.last.status == Status.Open) {
                vm.assertEq(s.last.deadline, 0, "C1: no deadline before the first close");
                vm.assertEq(s.last.amount, s.last.claimed, "C12: what is recorded before it is claimed");
            }
            if (s.last.status == Status.Closing) vm.assertTrue(s.last.deadline != 0, "C1: closing has a deadline");
        }
    }

    /// @dev The walk does reach what the invariants are about.
    function test_Handler_ReachesEveryKindOfStep() public {
        for (uint256 i = 0; i < 2_000; ++i) {
            uint256 die = uint256(keccak256(abi.encode(i)));
            uint256 amount = die >> 128;
            uint64 nonce = uint64(die >> 64);
            uint256 kind = i % 16;
            if (kind == 0 && die % 3 == 0) handler.openChannel(die, amount);
            else if (kind == 1) handler.closeChannel(die, amount, nonce);
            else if (kind == 2) handler.disputeChannel(die, amount, nonce);
            else if (kind == 3) handler.refuse(die, die % 3 == 0);
            else if (kind == 4) handler.reenter(die, amount, nonce);
            else if (kind == 5) handler.pass(amount);
            else if (kind == 6) handler.withdrawCredit(die);
            else if (kind == 7) handler.settleChannel(die, true);
            else if (kind == 8) handler.forceCloseChannel(die);
            else if (kind == 9) handler.list(die, die % 3 != 0);
            else if (kind == 10) handler.flip(die);
            else if (kind == 11) handler.breakSplit(die, amount, nonce);
            else if (kind == 13) handler.claimChannel(die, amount, nonce);
            else if (kind == 15) handler.batch(die, amount, nonce);
            else if (kind == 12) {
                if (die % 4 == 0) handler.finishChannel(die, amount, nonce);
            } else if (die % 4 == 0) handler.closeCooperatively(die, amount, nonce);
            if (i % 17 == 0) this.invariant_O1_EveryTokenIsConserved(); // through a call, which frees its memory
        }
        invariant_O2_SettledAtMostTheDepositAndOnce();
        invariant_C8_EachStatusLooksLikeItself();
        string[11] memory kinds =
            ["open", "close", "dispute", "settle", "cooperate", "claim", "finish", "batch", "withdraw", "force", "wallet"];
        for (uint256 i = 0; i < kinds.length; ++i) {
            vm.assertTrue(handler.did(kinds[i]) != 0, kinds[i]);
        }
    }

    /// @dev What is left of the deposits of channels that are not settled.
    function locked(address token) private view returns (uint256 sum) {
        for (uint256 i = 0; i < handler.channelCount(); ++i) {
            Handler.Seen memory s = handler.seenAt(i);
            if (s.last.token == token && s.last.status != Status.Settled) sum += s.deposit - s.claimed;
        }
    }
}
