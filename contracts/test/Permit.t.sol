// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IPaymentChannel, Status} from "../src/IPaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {PlainToken} from "./tokens/PlainToken.sol";
import {TetherToken} from "./tokens/TetherToken.sol";

/// @notice openWithPermit: C13. One transaction opens; whatever becomes of the permit, the allowance decides.
contract PermitTest is Fixture {
    /// @dev A permit with its signature.
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    function setUp() public override {
        super.setUp();
        vm.prank(client);
        usdc.approve(address(escrow), 0);
    }

    function test_C13_OpensInOneTransaction() public {
        bytes32 expected = escrow.channelIdOf(client, node, address(usdc), 1);
        Permit memory p = permit(CLIENT_KEY, usdc, DEPOSIT);
        vm.expectEmit(address(escrow));
        emit IPaymentChannel.ChannelOpened(expected, client, node, address(usdc), DEPOSIT, 1, WINDOW);
        vm.prank(client);
        bytes32 id = escrow.openWithPermit(node, DEPOSIT, address(usdc), p.deadline, p.v, p.r, p.s);
        vm.assertEq(id, expected, "id");
        Channel memory c = escrow.channel(id);
        vm.assertEq(c.client, client, "client");
        vm.assertEq(c.deposit, DEPOSIT, "deposit");
        vm.assertEq(usdc.allowance(client, address(escrow)), 0, "nothing is left of it");
    }

    /// @dev Somebody saw the permit and used it: the allowance is there, and the opening goes on.
    function test_C13_APermitThatWasUsedFirstDoesNoHarm() public {
        Permit memory p = permit(CLIENT_KEY, usdc, DEPOSIT);
        vm.prank(other);
        usdc.permit(client, address(escrow), DEPOSIT, p.deadline, p.v, p.r, p.s);
        bytes32 id = openWith(usdc, p);
        vm.assertEq(escrow.channel(id).deposit, DEPOSIT, "deposit");
    }

    function test_C13_WithoutPermitOrAllowanceTheTransferFails() public {
        Permit memory p = permit(CLIENT_KEY, usdc, DEPOSIT);
        p.deadline -= 1; // not what was signed
        expectFailed(usdc, p);
        p = permit(OTHER_KEY, usdc, DEPOSIT);
        expectFailed(usdc, p);
        p = permit(CLIENT_KEY, usdc, DEPOSIT - 1);
        expectFailed(usdc, p);
        p = permit(CLIENT_KEY, usdc, DEPOSIT);
        vm.warp(p.deadline + 1);
        expectFailed(usdc, p);
        vm.assertEq(escrow.counterOf(client), 0, "no counter was used");
    }

    function test_C13_AnAllowanceThatIsThereIsEnough() public {
        vm.prank(client);
        usdc.approve(address(escrow), DEPOSIT);
        Permit memory p;
        bytes32 id = openWith(usdc, p);
        vm.assertEq(escrow.channel(id).deposit, DEPOSIT, "deposit");
    }

    function test_C13_ATokenWithoutPermitsNeedsAnAllowance() public {
        PlainToken token = new PlainToken();
        allow(token);
        token.mint(client, 1e30);
        for (uint256 way = 0; way < uint256(PlainToken.Way.Len); ++way) {
            token.setWay(PlainToken.Way(way));
            Permit memory p = permit(CLIENT_KEY, token, DEPOSIT);
            expectFailed(token, p);
            vm.prank(client);
            token.approve(address(escrow), DEPOSIT);
            openWith(token, p);
        }
    }

    /// @dev Owner and payer are the caller, whoever signed the permit.
    function test_C13_NobodyOpensWithAnothersPermit() public {
        Permit memory p = permit(CLIENT_KEY, usdc, DEPOSIT);
        usdc.mint(other, DEPOSIT);
        vm.expectRevert(IPaymentChannel.TransferFailed.selector);
        vm.prank(other);
        escrow.openWithPermit(node, DEPOSIT, address(usdc), p.deadline, p.v, p.r, p.s);
        vm.assertEq(usdc.allowance(client, address(escrow)), 0, "it allowed nothing");
    }

    function test_C13_ChecksAreTheOpenings() public {
        Permit memory p = permit(CLIENT_KEY, usdc, DEPOSIT);
        vm.prank(owner);
        escrow.setPaused(true);
        expectOpen(node, usdc, p, IPaymentChannel.Paused.selector);
        vm.prank(owner);
        escrow.setPaused(false);
        expectOpen(node, new TestToken("Other", "O", 6), p, IPaymentChannel.TokenNotAllowed.selector);
        expectOpen(client, usdc, p, IPaymentChannel.SelfChannel.selector);
        expectOpen(other, usdc, p, IPaymentChannel.NodeNotActive.selector);
        openWith(usdc, p);
    }

    /// @dev The guard is taken before the token is called.
    function test_C13_ATokenThatCallsBackGetsNowhere() public {
        ReenteringPermit token = new ReenteringPermit();
        allow(token);
        fund(token, client);
        token.aim(address(escrow), abi.encodeCall(escrow.openChannel, (node, 1, address(token))));
        Permit memory p;
        bytes32 id = openWith(token, p);
        vm.assertEq(bytes32(bytes4(token.answer())), bytes32(bytes4(keccak256("ReentrancyGuardReentrantCall()"))), "guarded");
        vm.assertEq(escrow.channel(id).deposit, DEPOSIT, "and the opening goes on");
        vm.assertEq(escrow.counterOf(client), 1, "one channel");
    }

    /// @dev As USDT: an allowance that is too small is in the way of any but 0. A permit is no approval, and goes over it.
    function test_C13_ATokenThatWantsAnAllowanceSetToZeroFirst() public {
        TetherToken token = new TetherToken();
        allow(token);
        token.mint(client, 1e30);
        vm.startPrank(client);
        token.approve(address(escrow), DEPOSIT - 1);
        vm.expectRevert(bytes("set it to 0 first"));
        token.approve(address(escrow), DEPOSIT);
        vm.expectRevert(IPaymentChannel.TransferFailed.selector);
        escrow.openChannel(node, DEPOSIT, address(token));
        token.approve(address(escrow), 0);
        token.approve(address(escrow), DEPOSIT);
        escrow.openChannel(node, DEPOSIT, address(token));
        token.approve(address(escrow), DEPOSIT - 1);
        vm.stopPrank();
        openWith(token, permit(CLIENT_KEY, token, DEPOSIT));
        vm.assertEq(token.allowance(client, address(escrow)), 0, "nothing is left of it");
    }

    function testFuzz_C13_APermitForTheDepositOpens(uint256 deposit, uint256 deadline) public {
        (deposit, deadline) = (bound(deposit, 1, type(uint96).max / 2), bound(deadline, 1, type(uint256).max));
        bool lives = deadline >= vm.getBlockTimestamp();
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(CLIENT_KEY, permitDigest(client, usdc, deposit, deadline));
        vm.prank(client);
        (bool ok,) = address(escrow).call(
            abi.encodeCall(escrow.openWithPermit, (node, deposit, address(usdc), deadline, v, r, s))
        );
        vm.assertEq(ok, lives, "C13");
    }

    function openWith(TestToken token, Permit memory p) private returns (bytes32 id) {
        vm.prank(client);
        id = escrow.openWithPermit(node, DEPOSIT, address(token), p.deadline, p.v, p.r, p.s);
        assertRecorded(id, 0, 0, Status.Open);
    }

    function expectFailed(TestToken token, Permit memory p) private {
        expectOpen(node, token, p, IPaymentChannel.TransferFailed.selector);
    }

    function expectOpen(address counterparty, TestToken token, Permit memory p, bytes4 why) private {
        vm.expectRevert(why);
        vm.prank(client);
        escrow.openWithPermit(counterparty, DEPOSIT, address(token), p.deadline, p.v, p.r, p.s);
    }

    function permit(uint256 key, TestToken token, uint256 amount) private view returns (Permit memory p) {
        p.deadline = vm.getBlockTimestamp() + 1 hours;
        (p.v, p.r, p.s) = vm.sign(key, permitDigest(vm.addr(key), token, amount, p.deadline));
    }
}

/// @notice Calls a target back in the middle of a permit.
contract ReenteringPermit is TestToken("Reentering permit", "REP", 6) {
    address private target;
    bytes private call;
    bytes public answer;

    function aim(address target_, bytes calldata call_) external {
        (target, call) = (target_, call_);
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) public override {
        (, answer) = target.call(call);
    }
}
