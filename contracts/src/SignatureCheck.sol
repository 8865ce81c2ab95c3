// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title SignatureCheck
/// @notice The one place that decides whether a signature counts (I4, C10).
library SignatureCheck {
    /// @dev Most gas a wallet gets for its answer, so that one which burns all it is given costs whoever asks a known sum. A passkey
    /// verified in plain EVM code, or a few dozen owners, fit. Less gas in the call can only make the answer "no", which reverts.
    uint256 private constant WALLET_GAS = 1_000_000;

    /// @notice True if `signature` is 65 bytes, low-s, v in {27, 28}, and recovers to `signer` (I4), whatever code `signer` has, so
    /// that an EIP-7702 delegation voids nothing. Failing that, true if `signer` has code that takes it under ERC-1271 (C10).
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        // The third value only tells how long a signature of the wrong length was.
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (problem == ECDSA.RecoverError.NoError && recovered == signer) return true;
        return signer.code.length != 0 && _walletTakes(signer, digest, signature);
    }

    /// @dev Asks by a static call, so the wallet can change nothing, here or elsewhere. Only the exact word that ERC-1271 names is a
    /// yes; a revert, fewer than 32 bytes or anything else is a no. At most one word of the answer is copied.
    function _walletTakes(address wallet, bytes32 digest, bytes calldata signature) private view returns (bool taken) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes32 yes = IERC1271.isValidSignature.selector;
        assembly ("memory-safe") {
            taken := staticcall(WALLET_GAS, wallet, add(question, 0x20), mload(question), 0x00, 0x20)
            taken := and(taken, and(gt(returndatasize(), 0x1f), eq(mload(0x00), yes)))
        }
    }
}
