// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice A contract wallet that answers ERC-1271 in any way: with a session key's word, and in every way that a wallet can be
/// broken or hostile. Tests put its code at a party's address.
contract OddWallet {
    enum Way {
        No, // the word that means no
        Session, // yes to signatures of `key`
        Yes, // yes to everything
        HugeYes, // yes, and 500 KB behind it
        Refuse, // a revert without a word
        RefuseYes, // a revert whose data is a yes
        Huge, // 500 KB that begin with ones
        Burn, // all gas
        Write, // yes, if it could write to its storage
        Reenter, // yes, if any of `calls` to `target` succeeds
        Raw, // the bytes in `raw`
        Len
    }

    Way public way;
    address public key;
    address private target;
    bytes[] private calls;
    bytes private raw;
    uint256 private written;

    function set(Way way_) external {
        way = way_;
    }

    function setSession(address key_) external {
        (way, key) = (Way.Session, key_);
    }

    function setRaw(bytes calldata raw_) external {
        (way, raw) = (Way.Raw, raw_);
    }

    function setReenter(address target_, bytes[] calldata calls_) external {
        (way, target) = (Way.Reenter, target_);
        delete calls;
        for (uint256 i = 0; i < calls_.length; ++i) {
            calls.push(calls_[i]);
        }
    }

    /// @dev Not declared `view`, so that it may try what a static call forbids.
    function isValidSignature(bytes32 digest, bytes calldata signature) external returns (bytes4) {
        bytes4 yes = IERC1271.isValidSignature.selector;
        if (way == Way.Session) return _isByKey(digest, signature) ? yes : bytes4(0);
        if (way == Way.Yes) return yes;
        if (way == Way.HugeYes) _answerLong(yes);
        if (way == Way.Refuse) revert();
        if (way == Way.RefuseYes) _refuse(abi.encode(yes));
        if (way == Way.Huge) _answerLong(bytes32(type(uint256).max));
        while (way == Way.Burn) {}
        if (way == Way.Write) {
            ++written;
            return yes;
        }
        if (way == Way.Reenter) return _anyCall() ? yes : bytes4(0);
        if (way == Way.Raw) _answer(raw);
        return bytes4(0xffffffff);
    }

    function _isByKey(bytes32 digest, bytes calldata signature) private view returns (bool) {
        (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        return problem == ECDSA.RecoverError.NoError && recovered == key;
    }

    function _anyCall() private returns (bool any) {
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool ok,) = target.call{gas: 80_000}(calls[i]);
            any = any || ok;
        }
    }

    /// @dev About as much as a wallet can pay for out of the gas it gets; whoever copies it pays as much again.
    function _answerLong(bytes32 first) private pure {
        assembly {
            mstore(0x00, first)
            return(0x00, 500000)
        }
    }

    function _answer(bytes memory data) private pure {
        assembly {
            return(add(data, 0x20), mload(data))
        }
    }

    function _refuse(bytes memory data) private pure {
        assembly {
            revert(add(data, 0x20), mload(data))
        }
    }
}
