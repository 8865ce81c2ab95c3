// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title TestWallet
/// @notice FOR TESTS ONLY: code to which an account delegates (EIP-7702) so that a second key signs for it under ERC-1271. The
/// account changes or revokes that key at any time, which is why a node takes such vouchers only if its operator chose to (V8).
contract TestWallet is IERC1271 {
    /// @notice Whose signatures are taken; zero for nobody's.
    address public trusted;

    /// @notice Only the account itself says whom it trusts.
    error NotSelf();

    /// @notice Takes signatures of `key` from now on, and no others; zero revokes.
    function trust(address key) external {
        if (msg.sender != address(this)) revert NotSelf();
        trusted = key;
    }

    /// @inheritdoc IERC1271
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        // The third value only tells how long a signature of the wrong length was.
        // slither-disable-next-line unused-return
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(hash, signature);
        bool taken = problem == ECDSA.RecoverError.NoError && recovered == trusted;
        return taken ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}
