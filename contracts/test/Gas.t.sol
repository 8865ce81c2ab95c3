// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Voucher} from "../src/IPaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {TestWallet} from "../src/TestWallet.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice One measured call per test, for .gas-snapshot: what a test costs beyond its call is the same in every version of the
/// contract. `forge test --gas-report --match-contract GasTest` gives the calls alone.
contract GasTest is Fixture {
    bytes32 private fresh;
    bytes32 private closing;
    bytes32 private walletClosing;
    bytes32 private forcible;
    Voucher private v;
    uint8 private permitV;
    bytes32[2] private permitRs;
    Voucher private higher;
    bytes private agreed;
    bytes[] private claims;
    Voucher private walletVoucher;

    function setUp() public override {
        super.setUp();
        usdc.mint(node, 1); // a payee that holds the token already, as it mostly does
        open(); // the client's first channel also pays for its counter
        fresh = open();
        closing = openAndClose(30e6);
        v = voucher(fresh, 30e6, 1);
        higher = voucher(closing, 40e6, 2);
        agreed = consent(v);
        for (uint256 i = 0; i < 10; ++i) {
            claims.push(abi.encodeCall(escrow.claimChannel, (voucher(open(), 30e6, 1))));
        }

        // Another client, which has opened with a permit before.
        usdc.mint(other, 2 * DEPOSIT);
        signPermit();
        openWithPermit();
        signPermit();

        TestToken delisted = new TestToken("Delisted", "DL", 6);
        allow(delisted);
        fund(delisted, client);
        forcible = open(delisted);
        vm.prank(owner);
        escrow.setTokenAllowed(address(delisted), false);

        walletClosing = openAndClose(30e6);
        vm.etch(client, address(new TestWallet()).code);
        vm.prank(client);
        TestWallet(client).trust(other);
        walletVoucher = voucher(OTHER_KEY, walletClosing, 40e6, 2, address(usdc));
    }

    function test_Gas_Open() public {
        vm.prank(client);
        escrow.openChannel(node, DEPOSIT, address(usdc));
    }

    function test_Gas_OpenWithPermit() public {
        openWithPermit();
    }

    function test_Gas_Close() public {
        vm.prank(node);
        escrow.closeChannel(v);
    }

    function test_Gas_Dispute() public {
        escrow.disputeChannel(higher);
    }

    function test_Gas_DisputeAWalletsVoucher() public {
        escrow.disputeChannel(walletVoucher);
    }

    function test_Gas_ForceClose() public {
        escrow.forceCloseChannel(forcible);
    }

    function test_Gas_Settle() public {
        vm.warp(vm.getBlockTimestamp() + WINDOW);
        escrow.settleChannel(closing);
    }

    function test_Gas_Claim() public {
        vm.prank(node);
        escrow.claimChannel(v);
    }

    function test_Gas_Finish() public {
        vm.prank(node);
        escrow.finishChannel(v);
    }

    function test_Gas_BatchOfTenClaims() public {
        vm.prank(node);
        escrow.batch(claims);
    }

    function test_Gas_CooperativeClose() public {
        vm.prank(client);
        escrow.closeCooperatively(v, agreed);
    }

    function openWithPermit() private {
        (bytes32 r, bytes32 s) = (permitRs[0], permitRs[1]);
        vm.prank(other);
        escrow.openWithPermit(node, DEPOSIT, address(usdc), type(uint256).max, permitV, r, s);
    }

    function signPermit() private {
        (permitV, permitRs[0], permitRs[1]) = vm.sign(OTHER_KEY, permitDigest(other, usdc, DEPOSIT, type(uint256).max));
    }
}
