// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {NodeTakesAll} from "../src/NodeTakesAll.sol";
import {TestToken} from "../src/TestToken.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";

/// @notice What counts as a signature (I4, C10) and what it covers (section 5). Every case goes through all three calls that
/// take a voucher.
contract SignatureTest is Fixture {
    bytes32 private id;

    function setUp() public override {
        super.setUp();
        id = openAndClose(1);
    }

    function test_I4_BothValuesOfVAreTaken() public {
        bool[2] memory seen;
        for (uint256 amount = 2; !(seen[0] && seen[1]); ++amount) {
            Voucher memory v = voucher(id, amount, 1);
            seen[uint8(v.signature[64]) - 27] = true;
            escrow.disputeChannel(v);
        }
    }

    function test_I4_HighSIsRefused() public {
        Voucher memory v = voucher(id, 5, 1);
        v.signature = highS(v.signature);
        expectRefused(v);
        v = voucher(id, 5, 1);
        bytes memory agreed = highS(consent(v));
        expectConsentRefused(v, agreed);
    }

    function test_I4_VOtherThan27And28IsRefused() public {
        for (uint256 wrong = 0; wrong < 256; ++wrong) {
            if (wrong == 27 || wrong == 28) continue;
            Voucher memory v = voucher(id, 5, 1);
            v.signature[64] = bytes1(uint8(wrong));
            expectRefused(v);
        }
        Voucher memory w = voucher(id, 5, 1);
        bytes memory agreed = consent(w);
        agreed[64] = bytes1(uint8(agreed[64]) - 27);
        expectConsentRefused(w, agreed);
    }

    function test_I4_CompactSignatureIsRefused() public {
        for (uint256 amount = 2; amount < 6; ++amount) {
            Voucher memory v = voucher(id, amount, 1);
            v.signature = compact(v.signature);
            expectRefused(v);
            v = voucher(id, amount, 1);
            expectConsentRefused(v, compact(consent(v)));
        }
    }

    function test_I4_OnlySixtyFiveBytes() public {
        Voucher memory v = voucher(id, 5, 1);
        bytes memory whole = v.signature;
        for (uint256 length = 0; length < 100; ++length) {
            if (length == 65) continue;
            bytes memory cut = new bytes(length);
            for (uint256 i = 0; i < length && i < 65; ++i) {
                cut[i] = whole[i];
            }
            v.signature = cut;
            expectRefused(v);
        }
    }

    function test_I4_UnrecoverableSignatureIsRefused() public {
        Voucher memory v = voucher(id, 5, 1);
        v.signature = abi.encodePacked(bytes32(0), bytes32(0), uint8(27));
        expectRefused(v);
        v.signature = abi.encodePacked(bytes32(ORDER), bytes32(uint256(1)), uint8(27));
        expectRefused(v);
    }

    function test_V1_OnlyTheClientsSignatureCounts() public {
        expectRefused(voucher(NODE_KEY, id, 5, 1, address(usdc)));
        expectRefused(voucher(OTHER_KEY, id, 5, 1, address(usdc)));
    }

    function test_V1_EveryFieldIsCovered() public {
        Voucher memory v = voucher(id, 5, 1);
        v.amount = 6;
        expectRefused(v);
        v = voucher(id, 5, 1);
        v.nonce = 2;
        expectRefused(v);
        bytes32 second = openAndClose(1);
        v = voucher(id, 5, 1);
        v.channelId = second;
        expectRefused(v);
        v = voucher(CLIENT_KEY, id, 5, 1, other);
        v.token = address(usdc);
        expectRefused(v);
    }

    function test_V1_VoucherOfAnotherChainOrContractIsRefused() public {
        bytes32 kind = keccak256("Voucher(bytes32 channelId,uint256 amount,uint64 nonce,address token)");
        bytes32 hash = keccak256(abi.encode(kind, id, uint256(5), uint64(1), address(usdc)));
        Voucher memory v = voucher(id, 5, 1);
        v.signature = sign(CLIENT_KEY, typed(block.chainid + 1, address(escrow), hash));
        expectRefused(v);
        v.signature = sign(CLIENT_KEY, typed(block.chainid, address(this), hash));
        expectRefused(v);
        v.signature = sign(CLIENT_KEY, hash);
        expectRefused(v);
        v.signature = sign(CLIENT_KEY, typed(block.chainid, address(escrow), hash));
        escrow.disputeChannel(v);
    }

    /// @dev After a fork of the chain, a voucher of one side is none on the other.
    function test_V1_ForkedChainHasItsOwnVouchers() public {
        Voucher memory v = voucher(id, 5, 1);
        vm.chainId(block.chainid + 1);
        expectRefused(v);
    }

    function test_V1_TwinContractHasItsOwnChannels() public {
        PaymentChannel first = escrow;
        Voucher memory v = voucher(id, 5, 1);
        escrow = new PaymentChannel(owner, nodes, new NodeTakesAll(), WINDOW);
        allow(usdc);
        fund(usdc, client);
        bytes32 twin = openAndClose(1);
        vm.assertTrue(twin != first.channelIdOf(client, node, address(usdc), 1), "ids differ by contract");
        vm.expectRevert(IPaymentChannel.UnknownChannel.selector);
        escrow.disputeChannel(v);
    }

    function test_C10_RecoveryIsEnoughWhateverCodeTheAddressHas() public {
        // An EIP-7702 delegation, and code that refuses everything.
        vm.etch(client, abi.encodePacked(hex"ef0100", other));
        escrow.disputeChannel(voucher(id, 5, 1));
        vm.etch(client, hex"5f5ffd");
        vm.etch(node, hex"5f5ffd");
        escrow.disputeChannel(voucher(id, 6, 2));
        Voucher memory v = voucher(id, 6, 2);
        bytes memory agreed = consent(v);
        vm.prank(client);
        escrow.closeCooperatively(v, agreed);
        assertRecorded(id, 6, 2, Status.Settled);
    }

    function test_DomainIsTheOneOfSection5() public view {
        (, string memory name, string memory version, uint256 chain, address verifier,,) = escrow.eip712Domain();
        vm.assertEq(keccak256(bytes(name)), keccak256("PaymentChannel"), "name");
        vm.assertEq(keccak256(bytes(version)), keccak256("1"), "version");
        vm.assertEq(chain, block.chainid, "chain id");
        vm.assertEq(verifier, address(escrow), "contract");
    }

    /// @dev `v` has one fault, in its signature: no call takes it, whether the channel is open or closing.
    function expectRefused(Voucher memory v) private {
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        escrow.disputeChannel(v);
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        vm.prank(node);
        escrow.closeChannel(v);
        expectConsentRefused(v, consent(v));
    }

    function expectConsentRefused(Voucher memory v, bytes memory agreed) private {
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        vm.prank(node);
        escrow.closeCooperatively(v, agreed);
    }

    function highS(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = parts(signature);
        return abi.encodePacked(r, bytes32(ORDER - uint256(s)), v == 27 ? uint8(28) : uint8(27));
    }

    function compact(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, bytes32 s, uint8 v) = parts(signature);
        return abi.encodePacked(r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function parts(bytes memory signature) private pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly {
            r := mload(add(signature, 0x20))
            s := mload(add(signature, 0x40))
            v := byte(0, mload(add(signature, 0x60)))
        }
    }
}
