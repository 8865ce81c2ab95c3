// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IFeeSplit} from "../src/IFeeSplit.sol";
import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {OddSplit} from "./splits/OddSplit.sol";
import {RefusingToken} from "./tokens/RefusingToken.sol";

/// @notice C3: what the fee split is asked, which answers count, and that none of them locks anybody's money.
contract SplitTest is Fixture {
    OddSplit private split;
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        split = new OddSplit();
        escrow = new PaymentChannel(owner, nodes, IFeeSplit(address(split)), WINDOW);
        allow(usdc);
        fund(usdc, client);
        id = openAndClose(1_000);
        warpPastWindow(id);
    }

    function test_C3_ThreePartsGoToTheirPayees() public {
        escrow.settleChannel(id);
        expectParts(600, 100, 300);
        vm.assertEq(usdc.balanceOf(address(escrow)), 0, "escrow");
    }

    function test_C3_PartsOfNothingAreSkipped() public {
        split.setShares(0, 0);
        escrow.settleChannel(id);
        expectParts(1_000, 0, 0);
        id = closed(1_000);
        split.setShares(100, 0);
        escrow.settleChannel(id);
        expectParts(1_000, 1_000, 0);
        vm.assertEq(escrow.credit(split.burner(), address(usdc)), 0, "no credit of nothing");
    }

    function test_C3_ACooperativeCloseIsSplitToo() public {
        id = open();
        Voucher memory v = voucher(id, 2_000, 1);
        bytes memory agreed = consent(v);
        vm.prank(client);
        escrow.closeCooperatively(v, agreed);
        expectParts(1_200, 200, 600);
    }

    function test_C3_AHostileSplitLocksNobodysMoney() public {
        OddSplit.Way[5] memory ways = [
            OddSplit.Way.Refuse, OddSplit.Way.RefuseRight, OddSplit.Way.Huge, OddSplit.Way.Burn, OddSplit.Way.Write
        ];
        for (uint256 i = 0; i < ways.length; ++i) {
            split.set(ways[i]);
            expectCredited();
        }
    }

    /// @dev Exactly three words that add up, and nothing else.
    function test_C3_AlmostRightAnswersAreNone() public {
        bytes[8] memory answers = [
            bytes(""),
            abi.encode(1_000, 0),
            abi.encodePacked(uint256(1_000), uint256(0), bytes31(0)),
            abi.encodePacked(uint256(1_000), uint256(0), uint256(0), hex"00"),
            abi.encode(1_000, 0, 1),
            abi.encode(999, 0, 0),
            abi.encode(type(uint256).max, 1_001, 0),
            abi.encode(500, type(uint256).max, 501)
        ];
        for (uint256 i = 0; i < answers.length; ++i) {
            split.setRaw(answers[i]);
            expectCredited();
        }
    }

    function testFuzz_C3_PartsCountIfTheyAddUp(uint256 a, uint256 b, uint256 c, bool right) public {
        if (right) (a, b) = (bound(a, 0, 1_000), bound(b, 0, 1_000 - bound(a, 0, 1_000)));
        if (right) c = 1_000 - a - b;
        split.setRaw(abi.encode(a, b, c));
        bool adds = a <= 1_000 && b <= 1_000 - a && c == 1_000 - a - b;
        if (adds) {
            escrow.settleChannel(id);
            expectParts(a, b, c);
        } else {
            expectCredited();
        }
    }

    function test_C3_ASplitWithoutCodeIsNone() public {
        vm.etch(address(split), "");
        expectCredited();
    }

    /// @dev The refund is not the split's to lose: it goes out whatever the split does.
    function test_C3_TheRefundDoesNotWaitForTheSplit() public {
        uint256 before = usdc.balanceOf(client);
        split.set(OddSplit.Way.Burn);
        escrow.settleChannel(id);
        vm.assertEq(usdc.balanceOf(client), before + DEPOSIT - 1_000, "refunded");
    }

    /// @dev Whoever settles chooses the gas. A right answer that takes nearly all the gas a split gets is never lost by it.
    function test_C3_NobodyTurnsASplitIntoNoneByGas() public {
        split.set(OddSplit.Way.Slow);
        bool settled;
        bool refused;
        for (uint256 gas = 200_000; gas < 900_000; gas += 1_499) {
            uint256 state = vm.snapshotState();
            (bool ok, bytes memory why) =
                address(escrow).call{gas: gas}(abi.encodeCall(escrow.settleChannel, (id)));
            settled = settled || ok;
            refused = refused || (!ok && bytes4(why) == IPaymentChannel.TooLittleGas.selector);
            if (ok) expectParts(600, 100, 300);
            if (ok) vm.assertEq(escrow.credit(node, address(usdc)), 0, "split, not credited");
            vm.revertToState(state);
        }
        vm.assertTrue(settled && refused, "some gas is enough, some is too little");
    }

    function test_C3_APartThatTheTokenRefusesIsItsPayeesCredit() public {
        RefusingToken token = new RefusingToken();
        allow(token);
        fund(token, client);
        id = openAndClose(token, 1_000);
        warpPastWindow(id);
        token.refuse(split.treasury(), true);
        escrow.settleChannel(id);
        vm.assertEq(escrow.credit(split.treasury(), address(token)), 100, "credited");
        vm.assertEq(token.balanceOf(node), 600, "node");
        vm.assertEq(token.balanceOf(split.burner()), 300, "burner");
    }

    /// @dev What the client's wallet does shows before what the split does.
    function test_C3_TheRefundGoesOutFirst() public {
        RefusingToken token = new RefusingToken();
        allow(token);
        fund(token, client);
        id = openAndClose(token, 1_000);
        warpPastWindow(id);
        token.refuse(client, true);
        split.set(OddSplit.Way.Refuse);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.Credited(client, address(token), DEPOSIT - 1_000);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.SplitFailed(id, client, node, 1_000);
        escrow.settleChannel(id);
    }

    function closed(uint256 amount) private returns (bytes32 fresh) {
        fresh = openAndClose(amount);
        warpPastWindow(fresh);
    }

    function expectParts(uint256 toNode, uint256 toTreasury, uint256 toBurner) private view {
        vm.assertEq(usdc.balanceOf(node), toNode, "node");
        vm.assertEq(usdc.balanceOf(split.treasury()), toTreasury, "treasury");
        vm.assertEq(usdc.balanceOf(split.burner()), toBurner, "burner");
    }

    /// @dev A channel over 1,000 settles now, all of it as the node's credit, and the next one is ready.
    function expectCredited() private {
        (uint256 due, uint256 wealth) = (escrow.credit(node, address(usdc)), usdc.balanceOf(client));
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.SplitFailed(id, client, node, 1_000);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.Credited(node, address(usdc), 1_000);
        escrow.settleChannel(id);
        assertRecorded(id, 1_000, 1, Status.Settled);
        vm.assertEq(escrow.credit(node, address(usdc)), due + 1_000, "all of it is the node's");
        vm.assertEq(usdc.balanceOf(client), wealth + DEPOSIT - 1_000, "refunded");
        id = closed(1_000);
    }
}
