// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IPaymentChannel, Status, Voucher} from "../src/IPaymentChannel.sol";
import {TestWallet} from "../src/TestWallet.sol";
import {Fixture} from "./Fixture.sol";
import {vm} from "./Vm.sol";
import {OddWallet} from "./wallets/OddWallet.sol";

/// @notice C10 for parties with code: when a wallet is asked, what counts as its yes, and that it can do no harm. Signature.t.sol
/// holds what is valid without asking.
contract WalletTest is Fixture {
    bytes32 private constant YES = IERC1271.isValidSignature.selector;
    uint256 private constant WALLET_GAS = 1_000_000;
    /// @dev Far more than a dispute costs without the wallet's answer.
    uint256 private constant OWN_GAS = 120_000;

    bytes32 private id;
    OddWallet private wallet;

    function setUp() public override {
        super.setUp();
        id = openAndClose(1);
        bytes memory code = address(new OddWallet()).code;
        vm.etch(client, code);
        vm.etch(node, code);
        wallet = OddWallet(client);
    }

    function test_C10_AWalletsYesIsEnoughInEveryCall() public {
        wallet.setSession(other);
        OddWallet(node).setSession(vm.addr(CLIENT_KEY));
        bytes32 fresh = open();
        Voucher memory v = voucher(OTHER_KEY, fresh, 5, 1, address(usdc));
        vm.prank(node);
        escrow.closeChannel(v);
        v = voucher(OTHER_KEY, fresh, 6, 2, address(usdc));
        escrow.disputeChannel(v);
        v = voucher(OTHER_KEY, fresh, 7, 3, address(usdc));
        bytes memory agreed = sign(CLIENT_KEY, consentDigest(v));
        vm.prank(client);
        escrow.closeCooperatively(v, agreed);
        assertRecorded(fresh, 7, 3, Status.Settled);
    }

    function test_C10_TheAccountsOwnSignatureCountsWhateverTheWalletSays() public {
        for (uint8 way = 0; way < uint8(OddWallet.Way.Len); ++way) {
            wallet.set(OddWallet.Way(way));
            uint256 before = gasleft();
            escrow.disputeChannel(voucher(id, 2 + way, 1));
            vm.assertLe(before - gasleft(), OWN_GAS + 300_000, "nobody asked the wallet"); // the test's own signing included
        }
    }

    function test_C10_OnlyAWalletTakesOtherLengths() public {
        wallet.set(OddWallet.Way.Yes);
        Voucher memory v = voucher(id, 2, 1);
        uint16[6] memory lengths = [0, 1, 64, 65, 66, 4_000];
        for (uint256 i = 0; i < lengths.length; ++i) {
            (v.amount, v.signature) = (2 + i, new bytes(lengths[i]));
            escrow.disputeChannel(v);
        }
        vm.etch(client, "");
        (v.amount, v.signature) = (100, new bytes(65));
        expectRefused(v);
    }

    function test_C10_WithoutCodeNobodyIsAsked() public {
        vm.etch(client, "");
        vm.etch(node, "");
        Voucher memory v = voucher(OTHER_KEY, id, 5, 1, address(usdc));
        expectRefused(v);
        expectConsentRefused(voucher(id, 5, 1), sign(OTHER_KEY, consentDigest(v)));
    }

    function test_C10_EveryOtherAnswerIsANo() public {
        Voucher memory v = voucher(OTHER_KEY, id, 5, 1, address(usdc));
        OddWallet.Way[7] memory ways = [
            OddWallet.Way.No,
            OddWallet.Way.Session, // of nobody
            OddWallet.Way.Refuse,
            OddWallet.Way.RefuseYes,
            OddWallet.Way.Huge,
            OddWallet.Way.Burn,
            OddWallet.Way.Write
        ];
        for (uint256 i = 0; i < ways.length; ++i) {
            wallet.set(ways[i]);
            expectRefused(v);
            wallet.set(OddWallet.Way.No);
            OddWallet(node).set(ways[i]);
            expectConsentRefused(voucher(id, 5, 1), "");
        }
        assertRecorded(id, 1, 1, Status.Closing);
    }

    /// @dev What was not exactly the word of ERC-1271 in a whole word is no yes.
    function test_C10_AlmostTheRightWordIsANo() public {
        bytes[6] memory answers = [
            bytes(""),
            abi.encodePacked(bytes4(YES)),
            abi.encodePacked(bytes31(YES)),
            abi.encode(YES | bytes32(uint256(1))),
            abi.encode(uint256(uint32(bytes4(YES)))),
            abi.encode(true)
        ];
        for (uint256 i = 0; i < answers.length; ++i) {
            wallet.setRaw(answers[i]);
            expectRefused(voucher(OTHER_KEY, id, 5, 1, address(usdc)));
        }
        wallet.setRaw(abi.encode(YES));
        escrow.disputeChannel(voucher(OTHER_KEY, id, 5, 1, address(usdc)));
    }

    /// @dev One byte is missing, and memory may hold the right one by chance: over many channels it does.
    function test_C10_AnAnswerIsNotCompletedFromMemory() public {
        wallet.setRaw(abi.encodePacked(bytes31(YES)));
        for (uint256 i = 0; i < 1_000; ++i) {
            id = openAndClose(1);
            Voucher memory v = voucher(OTHER_KEY, id, 5, 1, address(usdc));
            expectRefused(v);
            v.signature = abi.encodePacked(bytes32(0), bytes32(uint256(1)), uint8(27)); // recovers to nobody
            expectRefused(v);
        }
    }

    function testFuzz_C10_AnAnswerIsAYesByItsFirstWordAlone(bytes calldata answer, bool right) public {
        bytes memory raw = right ? abi.encodePacked(YES, answer) : answer;
        wallet.setRaw(raw);
        (bool ok,) = tryDispute(voucher(OTHER_KEY, id, 5, 1, address(usdc)), gasleft());
        vm.assertEq(ok, raw.length >= 32 && bytes32(raw) == YES, "C10");
    }

    /// @dev The wallet sees the digest of what the call carries: a session key's signature over anything else is refused.
    function testFuzz_C10_TheWalletIsAskedAboutWhatIsRecorded(uint256 amount, uint256 signed, uint64 nonce) public {
        wallet.setSession(other);
        amount = bound(amount, 2, type(uint256).max);
        Voucher memory v = voucher(OTHER_KEY, id, signed % 3 == 0 ? amount : signed, nonce, address(usdc));
        bool same = signed % 3 == 0 || signed == amount;
        v.amount = amount;
        (bool ok,) = tryDispute(v, gasleft());
        vm.assertEq(ok, same, "C10");
        if (ok) assertRecorded(id, amount < DEPOSIT ? amount : DEPOSIT, nonce > 1 ? nonce : 1, Status.Closing);
    }

    function test_C10_ASignatureReachesTheWalletWhole() public {
        EchoWallet echo = new EchoWallet();
        vm.etch(client, address(echo).code);
        Voucher memory v = voucher(id, 5, 1);
        v.signature = abi.encodePacked(v.signature, "more", new bytes(200), hex"01");
        EchoWallet(client).expect(voucherDigest(id, 5, 1, address(usdc)), keccak256(v.signature));
        escrow.disputeChannel(v);
        v.amount = 6;
        EchoWallet(client).expect(voucherDigest(id, 6, 1, address(usdc)), keccak256("other"));
        expectRefused(v);
    }

    function test_C10_TheEmptyVoucherAsksNobody() public {
        wallet.set(OddWallet.Way.Refuse);
        bytes32 fresh = open();
        Voucher memory v = emptyVoucher(fresh);
        vm.prank(node);
        escrow.closeChannel(v);
        assertRecorded(fresh, 0, 0, Status.Closing);
    }

    /// @dev V8: what was recorded stays, what was not yet may be void.
    function test_C10_AWalletMayChangeItsMind() public {
        wallet.setSession(other);
        escrow.disputeChannel(voucher(OTHER_KEY, id, 5, 1, address(usdc)));
        Voucher memory v = voucher(OTHER_KEY, id, 9, 2, address(usdc));
        wallet.set(OddWallet.Way.No);
        expectRefused(v);
        assertRecorded(id, 5, 1, Status.Closing);
        wallet.setSession(other);
        escrow.disputeChannel(v);
        warpPastWindow(id);
        wallet.set(OddWallet.Way.No);
        escrow.settleChannel(id);
        assertRecorded(id, 9, 2, Status.Settled);
    }

    /// @dev Whatever a wallet does with its gas, whoever asks pays for one answer of a known size.
    function test_C10_AnAnswerCostsAKnownSum() public {
        OddWallet.Way[3] memory ways = [OddWallet.Way.Burn, OddWallet.Way.Huge, OddWallet.Way.HugeYes];
        for (uint256 i = 0; i < ways.length; ++i) {
            wallet.set(ways[i]);
            (bool ok, uint256 used) = tryDispute(voucher(OTHER_KEY, id, 5, 1, address(usdc)), 20_000_000);
            vm.assertEq(ok, ways[i] == OddWallet.Way.HugeYes, "answer");
            vm.assertLe(used, WALLET_GAS + OWN_GAS, "gas");
            // 500 KB of memory are 524,000 gas, which only the wallet spends.
            if (ways[i] != OddWallet.Way.Burn) vm.assertLe(used, 524_000 + OWN_GAS, "a long answer is not copied");
        }
    }

    /// @dev A real wallet's answer fits into what it gets.
    function test_C10_AnExpensiveWalletFits() public {
        vm.etch(client, address(new SlowWallet()).code);
        (bool ok, uint256 used) = tryDispute(voucher(OTHER_KEY, id, 5, 1, address(usdc)), 20_000_000);
        vm.assertTrue(ok, "900,000 gas for an answer are enough");
        vm.assertGe(used, 900_000, "gas");
    }

    function testFuzz_C10_LittleGasChangesNothing(uint256 gasLimit) public {
        wallet.setSession(other);
        Voucher memory v = voucher(OTHER_KEY, id, 5, 1, address(usdc));
        (bool ok,) = tryDispute(v, bound(gasLimit, 1_000, 120_000));
        assertRecorded(id, ok ? 5 : 1, 1, Status.Closing);
    }

    /// @dev It would say yes if any of these did anything.
    function test_C10_AWalletCanNotReenter() public {
        bytes32 fresh = open();
        bytes32 due = openAndClose(1);
        warpPastWindow(due);
        id = openAndClose(1);
        Voucher memory own = voucher(id, 50, 9); // valid by itself
        vm.prank(owner);
        escrow.setTokenAllowed(address(usdc), false);
        bytes[] memory calls = new bytes[](7);
        calls[0] = abi.encodeCall(escrow.disputeChannel, (own));
        calls[1] = abi.encodeCall(escrow.settleChannel, (due));
        calls[2] = abi.encodeCall(escrow.closeCooperatively, (own, consent(own)));
        calls[3] = abi.encodeCall(escrow.closeChannel, (emptyVoucher(fresh)));
        calls[4] = abi.encodeCall(escrow.forceCloseChannel, (fresh));
        calls[5] = abi.encodeCall(escrow.withdrawCredit, (address(usdc), other));
        calls[6] = abi.encodeCall(escrow.renounceOwnership, ());
        wallet.setReenter(address(escrow), calls);
        expectRefused(voucher(OTHER_KEY, id, 5, 1, address(usdc)));
        assertRecorded(id, 1, 1, Status.Closing);
        assertRecorded(fresh, 0, 0, Status.Open);
        assertRecorded(due, 1, 1, Status.Closing);
        // The calls are right: outside the question the first ones succeed.
        escrow.settleChannel(due);
        escrow.forceCloseChannel(fresh);
        escrow.disputeChannel(own);
    }

    function test_TestWallet_TrustsWhomTheAccountSays() public {
        vm.etch(client, address(new TestWallet()).code);
        vm.expectRevert(TestWallet.NotSelf.selector);
        vm.prank(other);
        TestWallet(client).trust(other);
        vm.prank(client);
        TestWallet(client).trust(other);
        escrow.disputeChannel(voucher(OTHER_KEY, id, 5, 1, address(usdc)));
        expectRefused(voucher(NODE_KEY, id, 6, 2, address(usdc)));
        vm.prank(client);
        TestWallet(client).trust(address(0));
        expectRefused(voucher(OTHER_KEY, id, 6, 2, address(usdc)));
        Voucher memory v = voucher(id, 6, 2);
        v.signature = new bytes(65); // recovers to nobody, and nobody is not trusted
        expectRefused(v);
        escrow.disputeChannel(voucher(id, 6, 2));
    }

    function tryDispute(Voucher memory v, uint256 gasLimit) private returns (bool ok, uint256 used) {
        bytes memory call = abi.encodeCall(escrow.disputeChannel, (v));
        uint256 before = gasleft();
        (ok,) = address(escrow).call{gas: gasLimit}(call);
        used = before - gasleft();
    }

    function expectRefused(Voucher memory v) private {
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        escrow.disputeChannel(v);
    }

    function expectConsentRefused(Voucher memory v, bytes memory agreed) private {
        vm.expectRevert(IPaymentChannel.BadSignature.selector);
        vm.prank(client);
        escrow.closeCooperatively(v, agreed);
    }
}

/// @notice Says yes to one digest with one signature.
contract EchoWallet is IERC1271 {
    bytes32 private digest;
    bytes32 private signatureHash;

    function expect(bytes32 digest_, bytes32 signatureHash_) external {
        (digest, signatureHash) = (digest_, signatureHash_);
    }

    function isValidSignature(bytes32 digest_, bytes calldata signature) external view returns (bytes4) {
        bool same = digest_ == digest && keccak256(signature) == signatureHash;
        return same ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}

/// @notice Says yes after a long calculation.
contract SlowWallet is IERC1271 {
    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 start = gasleft();
        while (start - gasleft() < 900_000) {}
        return IERC1271.isValidSignature.selector;
    }
}
