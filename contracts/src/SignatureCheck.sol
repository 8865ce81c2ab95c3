// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title SignatureCheck
/// @notice The one place that decides whether a signature counts (I4, C10).
library SignatureCheck {
    /// @notice True if `signature` is 65 bytes, low-s, v in {27, 28}, and recovers to `signer` (I4).
    /// @dev Recovery comes first and is enough, whatever code `signer` has, so that EIP-7702 voids nothing. C10's ERC-1271
    /// fallback, for a signer with code to which the signature does not recover, belongs after it, here and nowhere else.
    function isValid(address signer, bytes32 digest, bytes calldata signature) internal pure returns (bool) {
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        return problem == ECDSA.RecoverError.NoError && recovered == signer;
    }
}
