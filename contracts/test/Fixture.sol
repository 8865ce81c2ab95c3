// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Channel, IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {NodeList} from "../src/NodeList.sol";
import {NodeTakesAll} from "../src/NodeTakesAll.sol";
import {PaymentChannel} from "../src/PaymentChannel.sol";
import {TestToken} from "../src/TestToken.sol";
import {vm} from "./Vm.sol";

/// @title Fixture
/// @notice A payment channel with one client, one node and one token, and helpers that sign. Digests are written out here by
/// hand, without the product's encoding.
abstract contract Fixture {
    uint256 internal constant CLIENT_KEY = 0xC11E47;
    uint256 internal constant NODE_KEY = 0x40DE;
    uint256 internal constant OTHER_KEY = 0x07E4;
    uint256 internal constant DEPOSIT = 100e6;
    uint64 internal constant WINDOW = 48 hours;
    /// @dev The order of secp256k1: s and ORDER - s sign alike, one of them is low (I4).
    uint256 internal constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    address internal immutable client = vm.addr(CLIENT_KEY);
    address internal immutable node = vm.addr(NODE_KEY);
    address internal immutable other = vm.addr(OTHER_KEY);
    address internal immutable owner = address(0x0E4E);

    NodeList internal nodes;
    PaymentChannel internal escrow;
    TestToken internal usdc;

    function setUp() public virtual {
        nodes = new NodeList(owner);
        escrow = new PaymentChannel(owner, nodes, new NodeTakesAll(), WINDOW);
        usdc = new TestToken("Test USDC", "USDC", 6);
        vm.prank(owner);
        nodes.set(node, keccak256("node"), true);
        allow(usdc);
        fund(usdc, client);
    }

    function allow(TestToken token) internal {
        vm.prank(owner);
        escrow.setTokenAllowed(address(token), true);
    }

    /// @dev Gives `who` money and approves the escrow without limit.
    function fund(TestToken token, address who) internal {
        token.mint(who, 1e30);
        vm.prank(who);
        token.approve(address(escrow), type(uint256).max);
    }

    function open() internal returns (bytes32) {
        return open(usdc);
    }

    function open(TestToken token) internal returns (bytes32) {
        vm.prank(client);
        return escrow.openChannel(node, DEPOSIT, address(token));
    }

    /// @dev A channel whose client closed it with `amount` and nonce 1.
    function openAndClose(TestToken token, uint256 amount) internal returns (bytes32 id) {
        id = open(token);
        Voucher memory v = voucher(id, amount, 1);
        vm.prank(client);
        escrow.closeChannel(v);
    }

    function openAndClose(uint256 amount) internal returns (bytes32) {
        return openAndClose(usdc, amount);
    }

    function voucher(bytes32 id, uint256 amount, uint64 nonce) internal view returns (Voucher memory) {
        address token = escrow.channel(id).token;
        return voucher(CLIENT_KEY, id, amount, nonce, token);
    }

    function voucher(uint256 key, bytes32 id, uint256 amount, uint64 nonce, address token)
        internal
        view
        returns (Voucher memory)
    {
        bytes memory signature = sign(key, voucherDigest(id, amount, nonce, token));
        return Voucher({channelId: id, amount: amount, nonce: nonce, token: token, signature: signature});
    }

    function emptyVoucher(bytes32 id) internal view returns (Voucher memory v) {
        v.channelId = id;
        v.token = escrow.channel(id).token;
    }

    /// @dev The node's signature for a cooperative close over `v`.
    function consent(Voucher memory v) internal view returns (bytes memory) {
        return sign(NODE_KEY, consentDigest(v));
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function voucherDigest(bytes32 id, uint256 amount, uint64 nonce, address token) internal view returns (bytes32) {
        bytes32 kind = keccak256("Voucher(bytes32 channelId,uint256 amount,uint64 nonce,address token)");
        return typed(block.chainid, address(escrow), keccak256(abi.encode(kind, id, amount, nonce, token)));
    }

    function consentDigest(Voucher memory v) internal view returns (bytes32) {
        bytes32 kind = keccak256("CooperativeClose(bytes32 channelId,uint256 amount,uint64 nonce,address token)");
        bytes32 hash = keccak256(abi.encode(kind, v.channelId, v.amount, v.nonce, v.token));
        return typed(block.chainid, address(escrow), hash);
    }

    /// @dev ERC-2612, with the escrow as the spender.
    function permitDigest(address holder, TestToken token, uint256 amount, uint256 deadline)
        internal
        view
        returns (bytes32)
    {
        bytes32 kind =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 hash =
            keccak256(abi.encode(kind, holder, address(escrow), amount, token.nonces(holder), deadline));
        return keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), hash));
    }

    function typed(uint256 chain, address verifier, bytes32 structHash) internal pure returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("PaymentChannel"),
                keccak256("1"),
                chain,
                verifier
            )
        );
        return keccak256(abi.encodePacked("\x19\x01", domain, structHash));
    }

    function warpTo(uint256 timestamp) internal {
        vm.warp(timestamp);
    }

    function warpPastWindow(bytes32 id) internal {
        vm.warp(escrow.channel(id).deadline);
    }

    function assertRecorded(bytes32 id, uint256 amount, uint64 nonce, Status status) internal view {
        Channel memory c = escrow.channel(id);
        vm.assertEq(c.amount, amount, "recorded amount");
        vm.assertEq(c.nonce, nonce, "recorded nonce");
        vm.assertEq(uint256(c.status), uint256(status), "status");
    }

    /// @dev `value` within `low` and `high`, both included.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (value >= low && value <= high) return value;
        uint256 size = high - low + 1;
        return size == 0 ? value : low + value % size;
    }
}
